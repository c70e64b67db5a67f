//! Oversampling with errors: the flux of every fine pixel, its variance by component, and its covariance with the next.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

use super::compact::{CompactRanges, find_sources};
use super::exposure::Exposure;
use super::functional::{ColumnTerms, Functional, own_noise};
use super::grid::{FineGrid, FineRows};
use super::model::{ColumnTrace, TraceModel};
use super::oversample::{Job, OversampleParams, OversampledPlanes, put};
use super::record::{ColumnRecord, FitRecord, RegionRecord};
use super::scale::scale_weights;
use super::shrink::shares;
use super::traced::{COLUMNS_PER_BLOCK, TracedRegion, fine_rows, is_own, nan_plane};
use crate::numeric::Real;
use crate::numeric::bspline::ORDER;
use crate::numeric::normal::{Factor, Inverse, basis_at};
use crate::{Control, Error};

/// How much of the residual is added to the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residual {
    /// All of it, as the reference does; the noise of the data with it.
    #[default]
    Whole,
    /// Of each pixel that share that its neighbours show to be more than noise; nothing of outliers.
    Significant,
}

/// What is to be worked out besides the flux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorParams {
    /// How much of the residual is added.
    pub residual: Residual,
    /// Number of neighbours along the column with which the covariance is wanted.
    pub n_covariances: usize,
}

/// Variances and covariances of an oversampled flux, each of its shape; NaN where the flux is.
#[derive(Clone, Debug)]
pub struct ErrorPlanes<O> {
    /// Variance that comes from the square of the error, and from each component given.
    pub variances: Vec<Array2<O>>,
    /// Covariance of each pixel with the one `1 + i` rows on, from the square of the error.
    pub covariances: Vec<Array2<O>>,
}

/// Oversamples an exposure along its slices, as [`super::oversample`] does, and propagates the variances of its pixels.
///
/// For the decisions as they were made, the flux is a linear function of the pixels; see the source of
/// `functional.rs`. The model must have been fitted with a record ([`super::RegionTrace::record`]), to this exposure.
/// Pixels without an error count as free of noise in the fit; a fine pixel interpolated from them has a variance of NaN.
///
/// # Errors
/// [`Error::Parameter`], [`Error::ShapeMismatch`], [`Error::NoRecord`], [`Error::NoErrors`] and [`Error::Cancelled`].
pub fn oversample_with_errors<T: Real, O: Real>(
    exposure: &Exposure<'_, T>,
    variances: &[ArrayView2<'_, T>],
    model: &TraceModel,
    alpha_fine: ArrayView2<'_, f64>,
    params: &OversampleParams,
    errors: ErrorParams,
    control: &Control,
) -> Result<(OversampledPlanes<O>, ErrorPlanes<O>), Error> {
    let map = exposure.regions();
    let (n_y, n_x) = map.dim();
    let grid = FineGrid::new(n_y, params.factor, params.is_flipped)?;
    map.check_shape("alpha_os", alpha_fine.dim(), grid.n_fine())?;
    for variance in variances {
        map.check_shape("variance", variance.dim(), n_y)?;
    }
    let Some(error) = exposure.error() else { return Err(Error::NoErrors) };
    let n_components = 1 + variances.len();
    for (&region, trace) in &model.regions {
        let is_complete = |record: &RegionRecord| {
            record.columns.len() == trace.columns.len()
                && record.fits.len() == trace.splines.len()
                && record.fits.iter().all(|fit| fit.noise.len() >= n_components)
        };
        if !trace.columns.is_empty() && !trace.record.as_ref().is_some_and(is_complete) {
            return Err(Error::NoRecord { region });
        }
    }
    let traced = TracedRegion::all(map, model, exposure.alpha(), Some(exposure.flux()), control)?;
    control.expect(n_x);
    let job = Job { exposure, params, grid, rows: FineRows::new(&grid), alpha_fine };
    let sources = find_sources::<T>(
        &traced,
        params.slope_limit,
        params.pad,
        control,
        |column, region, trace, points| job.steep_points(column, region, trace, points),
    )?;
    let regions: Vec<Known<'_>> = traced
        .into_par_iter()
        .zip(sources)
        .map(|(region, ranges)| {
            let bounds = &map.boxes()[&region.label];
            let collect = |plane: ArrayView2<'_, T>, square: bool| {
                let values =
                    region.pixels.collect(bounds, map.labels(), region.label, plane, Real::to_f64);
                let as_variance = |v: f64| {
                    if v < 0.0 {
                        f64::NAN
                    } else if square {
                        v * v
                    } else {
                        v
                    }
                };
                values.into_iter().map(as_variance).collect::<Vec<f64>>()
            };
            let mut components = vec![collect(error, true)];
            components.extend(variances.iter().map(|&plane| collect(plane, false)));
            let mut known =
                Known { share: Vec::new(), is_outlier: Vec::new(), ranges, components, region };
            known.weigh_residuals(bounds, errors.residual);
            known
        })
        .collect();
    control.check()?;

    let plane = |is_wanted: bool| {
        nan_plane::<O>(if is_wanted { (grid.n_fine(), n_x) } else { (0, n_x) }, control)
    };
    let mut out: Vec<Array2<O>> = vec![
        plane(true)?,
        plane(params.planes.trace_used)?,
        plane(params.planes.full_trace)?,
        plane(params.planes.linear_flux)?,
        plane(params.planes.residual_flux)?,
    ];
    for _ in 0..n_components + errors.n_covariances {
        out.push(plane(true)?);
    }
    // Blocks of columns of all planes at once, each the business of one task.
    let mut blocks: Vec<Vec<ArrayViewMut2<'_, O>>> = Vec::new();
    for plane in &mut out {
        for (block, view) in plane.axis_chunks_iter_mut(Axis(1), COLUMNS_PER_BLOCK).enumerate() {
            if blocks.len() <= block {
                blocks.push(Vec::new());
            }
            blocks[block].push(view);
        }
    }
    blocks.into_par_iter().enumerate().for_each(|(block, mut views)| {
        let first = block * COLUMNS_PER_BLOCK;
        let n = views[0].ncols();
        for region in &regions {
            let columns = &region.region.pixels.columns;
            let mut cache = Cache::default();
            for column in first.max(columns.start)..(first + n).min(columns.end) {
                if control.check().is_ok() && job.has_enough(&region.region, column) {
                    let work = Work { job: &job, known: region, errors, n_components };
                    work.fill_column(column, column - first, &mut cache, &mut views);
                }
            }
        }
        control.advance(n);
    });
    control.check()?;
    let mut planes = out.into_iter();
    let mut next =
        || planes.next().unwrap_or_else(|| Array2::from_elem((0, 0), O::from_f64(f64::NAN)));
    let made = OversampledPlanes {
        flux: next(),
        trace_used: next(),
        full_trace: next(),
        linear_flux: next(),
        residual_flux: next(),
    };
    let variances = (0..n_components).map(|_| next()).collect();
    let covariances = (0..errors.n_covariances).map(|_| next()).collect();
    Ok((made, ErrorPlanes { variances, covariances }))
}

/// A region with its variances, and what is kept of each residual.
struct Known<'a> {
    region: TracedRegion<'a>,
    ranges: CompactRanges,
    /// Variances of the pixels by component.
    components: Vec<Vec<f64>>,
    /// Share of its residual that each pixel keeps.
    share: Vec<f64>,
    is_outlier: Vec<bool>,
}

impl Known<'_> {
    fn weigh_residuals(&mut self, bounds: &super::RegionBox, residual: Residual) {
        let n = self.region.pixels.row.len();
        if residual == Residual::Whole {
            self.share = vec![1.0; n];
            self.is_outlier = vec![false; n];
            return;
        }
        let mut z = vec![f64::NAN; n];
        for (column, trace) in self.region.traces() {
            for i in self.region.pixels.column(column) {
                let variance = self.components[0][i];
                if variance > 0.0 {
                    z[i] = (self.region.pixels.flux[i] - trace.scale * self.region.fit[i])
                        / variance.sqrt();
                }
            }
        }
        (self.share, self.is_outlier) = shares(&self.region.pixels, bounds, &z);
    }

    /// Record of a column, and of its fit.
    fn record(&self, column: usize) -> Option<(&ColumnRecord, &FitRecord, bool)> {
        let (trace, position) = self.region.numbered(column)?;
        let record = self.region.record()?;
        Some((record.columns.get(position)?, record.fits.get(trace.spline)?, record.is_weighted))
    }
}

/// The inverse for the last spline: neighbouring columns may share it.
#[derive(Default)]
struct Cache {
    spline: Option<usize>,
    inverse: Option<Inverse>,
}

/// The work on one region.
struct Work<'a, 'e, T> {
    job: &'a Job<'a, 'e, T>,
    known: &'a Known<'a>,
    errors: ErrorParams,
    n_components: usize,
}

/// Rows and values to be interpolated along a column, by number of the pixel within the column.
struct Line {
    rows: Vec<f64>,
    values: Vec<f64>,
    numbers: Vec<usize>,
    segment: usize,
}

impl Line {
    fn new(points: impl Iterator<Item = (usize, f64, f64)>) -> Self {
        let mut line =
            Self { rows: Vec::new(), values: Vec::new(), numbers: Vec::new(), segment: 0 };
        for (number, row, value) in points {
            line.numbers.push(number);
            line.rows.push(row);
            line.values.push(value);
        }
        line
    }

    /// Value at a position, and what it is made of; positions must not fall. `None` without points.
    fn at(&mut self, position: f64) -> Option<(f64, [(usize, f64); 2])> {
        let last = self.rows.len().checked_sub(1)?;
        let alone =
            |i: usize| Some((self.values[i], [(self.numbers[i], 1.0), (self.numbers[i], 0.0)]));
        if position <= self.rows[0] {
            return alone(0);
        }
        if position >= self.rows[last] {
            return alone(last);
        }
        while self.rows[self.segment + 1] <= position {
            self.segment += 1;
        }
        let j = self.segment;
        let width = self.rows[j + 1] - self.rows[j];
        let share = (position - self.rows[j]) / width;
        // As the plain interpolation has it, to the last digit.
        let slope = (self.values[j + 1] - self.values[j]) / width;
        let value = slope * (position - self.rows[j]) + self.values[j];
        Some((value, [(self.numbers[j], 1.0 - share), (self.numbers[j + 1], share)]))
    }
}

impl<T: Real> Work<'_, '_, T> {
    fn fill_column<O: Real>(
        &self,
        column: usize,
        at: usize,
        cache: &mut Cache,
        out: &mut [ArrayViewMut2<'_, O>],
    ) {
        let (job, known) = (self.job, self.known);
        let region = &known.region;
        let pixels = &region.pixels;
        let places = pixels.column(column);
        let rows = &pixels.row[places.clone()];
        let fine = fine_rows(&job.grid, rows);
        let edge = job.grid.edge();
        let inner = fine.start + edge..fine.end.saturating_sub(edge);
        let trace = region.column(column);
        let good = places.clone().filter(|&i| pixels.flux[i].is_finite());
        let number = |i: usize| i - places.start;
        let mut linear =
            Line::new(good.map(|i| (number(i), f64::from(pixels.row[i]), pixels.flux[i])));
        let residual_of = |i: usize| {
            let trace = trace?;
            let residual = T::narrow(pixels.flux[i] - trace.scale * region.fit[i]);
            (residual.is_finite() && !known.is_outlier[i]).then(|| residual * known.share[i])
        };
        let mut residual = Line::new(
            places
                .clone()
                .filter_map(|i| Some((number(i), f64::from(pixels.row[i]), residual_of(i)?))),
        );
        let terms = trace.and_then(|trace| self.terms(column, trace, cache));
        let model_rows = trace.map_or(0..0, |trace| job.model_rows(trace, column, &fine));
        let labels = job.exposure.regions().labels();
        let mut functionals: Vec<(usize, Functional)> = Vec::with_capacity(fine.len());
        for m in fine.clone() {
            let nearest = (job.rows.nearest[m], column);
            if !is_own(region.label, labels[nearest], &fine, m) {
                continue;
            }
            let position = job.rows.position[m];
            let is_inner = inner.contains(&m);
            let mut functional = Functional::default();
            let mut value = f64::NAN;
            let line = linear.at(position);
            if let Some((found, weights)) = line
                && is_inner
                && job.exposure.flux()[nearest].to_f64().is_finite()
            {
                value = found;
                functional.lambda = weights;
            }
            put(&mut out[3], m, at, value);
            let line = residual.at(position).filter(|_| is_inner);
            put(&mut out[4], m, at, line.map_or(f64::NAN, |line| line.0));
            let alpha = job.alpha_fine[(m, column)];
            if let Some(trace) = trace.filter(|t| model_rows.contains(&m) && t.is_within(alpha)) {
                let spline = region.spline(trace);
                let profile = spline.map_or(f64::NAN, |spline| spline.eval(alpha));
                let fit = profile * trace.scale;
                put(&mut out[2], m, at, fit);
                if known.ranges.contains(alpha) {
                    put(&mut out[1], m, at, fit);
                    if fit.is_finite() {
                        value = fit;
                        functional = Functional::default();
                        if let Some((found, weights)) = line.filter(|_| !job.params.psf_optimal) {
                            value = fit + found;
                            functional.lambda =
                                weights.map(|(j, w)| (j, w * known.share[places.start + j]));
                        }
                        if let (Some(terms), Some(spline)) = (&terms, spline) {
                            terms.complete(
                                &mut functional,
                                spline.knots(),
                                alpha,
                                profile,
                                &region.fit[places.clone()],
                            );
                        }
                    }
                }
            }
            put(&mut out[0], m, at, value);
            if value.is_finite() {
                functionals.push((m, functional));
            }
        }
        self.put_variances(&functionals, terms.as_ref(), &places, at, &mut out[5..]);
    }

    fn put_variances<O: Real>(
        &self,
        functionals: &[(usize, Functional)],
        terms: Option<&ColumnTerms<'_>>,
        places: &Range<usize>,
        at: usize,
        out: &mut [ArrayViewMut2<'_, O>],
    ) {
        let covariance = |component: usize, a: &Functional, b: &Functional| match terms {
            Some(terms) => terms.covariance(component, a, b),
            None => own_noise(&self.known.components[component][places.clone()], a, b),
        };
        for (n, (m, a)) in functionals.iter().enumerate() {
            for component in 0..self.n_components {
                put(&mut out[component], *m, at, covariance(component, a, a).max(0.0));
            }
            for lag in 1..=self.errors.n_covariances {
                let next =
                    functionals[n..].iter().take(lag + 1).find(|(other, _)| *other == m + lag);
                if let Some((_, b)) = next {
                    put(&mut out[self.n_components + lag - 1], *m, at, covariance(0, a, b));
                }
            }
        }
    }

    /// What all fine pixels of a column share.
    fn terms<'c>(
        &'c self,
        column: usize,
        trace: &ColumnTrace,
        cache: &'c mut Cache,
    ) -> Option<ColumnTerms<'c>> {
        let known = self.known;
        let (of_column, of_fit, is_weighted) = known.record(column)?;
        if cache.spline != Some(trace.spline) {
            cache.spline = Some(trace.spline);
            cache.inverse = Factor::new(&of_fit.information).map(|factor| factor.inverse());
        }
        let inverse = cache.inverse.as_ref()?;
        let pixels = &known.region.pixels;
        let places = pixels.column(column);
        let spline = known.region.spline(trace)?;
        let fit = &known.region.fit[places.clone()];
        let flux = &pixels.flux[places.clone()];
        let variance = &known.components[0][places.clone()];
        let kappa = if is_weighted {
            let weight = |j: usize| {
                let is_used = flux[j].is_finite() && fit[j].is_finite() && variance[j] > 0.0;
                if is_used && !known.is_outlier[places.start + j] {
                    fit[j] / variance[j]
                } else {
                    0.0
                }
            };
            let weights: Vec<f64> = (0..flux.len()).map(weight).collect();
            let total: f64 =
                weights.iter().zip(fit).filter(|(w, _)| **w != 0.0).map(|(w, m)| w * m).sum();
            weights.into_iter().map(|w| w / total).collect()
        } else {
            let within: Vec<usize> = (0..flux.len()).filter(|&j| fit[j].is_finite()).collect();
            let (f, m): (Vec<f64>, Vec<f64>) = within.iter().map(|&j| (flux[j], fit[j])).unzip();
            let mut kappa = vec![0.0; flux.len()];
            for (&j, weight) in within.iter().zip(scale_weights(&f, &m)) {
                kappa[j] = if weight == 0.0 { 0.0 } else { weight / fit[j] };
            }
            kappa
        };
        let is_in_window = of_fit.window.contains(&column);
        let in_fit: Vec<f64> = (0..flux.len())
            .map(|j| {
                let residual = flux[j] / of_column.norm - fit[j];
                let is_kept = is_in_window
                    && (of_fit.limits.0..=of_fit.limits.1).contains(&residual)
                    && !known.is_outlier[places.start + j];
                let weight =
                    if is_weighted { of_column.norm / variance[j] } else { 1.0 / of_column.norm };
                if is_kept && weight.is_finite() { weight } else { 0.0 }
            })
            .collect();
        let basis =
            pixels.alpha[places.clone()]
                .iter()
                .zip(fit)
                .map(|(&alpha, m)| {
                    if m.is_finite() { basis_at(spline.knots(), alpha) } else { (0, [0.0; ORDER]) }
                })
                .collect();
        let components = known
            .components
            .iter()
            .zip(of_fit.noise.iter().map(Some).chain(std::iter::repeat(None)))
            .map(|(values, noise)| {
                (values[places.clone()].to_vec(), noise.filter(|n| !n.is_empty()))
            })
            .collect();
        Some(ColumnTerms::new(trace.scale, kappa, basis, &in_fit, inverse, components))
    }
}

impl ColumnTerms<'_> {
    /// Adds to a functional what comes through the model: `fit` are the values of the spline at the pixels.
    fn complete(
        &self,
        functional: &mut Functional,
        knots: &[f64],
        alpha: f64,
        profile: f64,
        fit: &[f64],
    ) {
        functional.through_scale = profile;
        functional.add(basis_at(knots, alpha), 1.0);
        for (j, lambda) in functional.lambda {
            if lambda != 0.0 {
                functional.through_scale -= lambda * fit[j];
                functional.add(self.basis[j], -lambda);
            }
        }
    }
}
