//! The fine pixels of one column, with their variances.

use std::ops::Range;

use ndarray::ArrayViewMut2;

use super::functional::{ColumnTerms, Functional, own_noise};
use super::known::{Cache, Known};
use super::misfit::Misfit;
use super::model_error::ModelError;
use super::oversample::{Job, put};
use super::propagate::ErrorParams;
use super::traced::{fine_rows, is_own};
use crate::numeric::Real;
use crate::numeric::normal::basis_at;

/// The work on one region.
pub(super) struct Work<'a, 'e, T> {
    pub(super) job: &'a Job<'a, 'e, T>,
    pub(super) known: &'a Known<'a>,
    /// Of a weighted fit.
    pub(super) model_error: Option<&'a ModelError>,
    /// If it is wanted where the model is adequate.
    pub(super) misfit: Option<&'a Misfit>,
    pub(super) errors: ErrorParams,
    pub(super) n_components: usize,
}

/// Rows and values to be interpolated along a column, by number of the pixel within the column.
pub(super) struct Line {
    /// Number, row, value.
    points: Vec<(usize, f64, f64)>,
    segment: usize,
}

impl Line {
    pub(super) fn new(points: impl Iterator<Item = (usize, f64, f64)>) -> Self {
        // Of a column nearly all pixels are there; one piece of memory will do.
        let mut line =
            Self { points: Vec::with_capacity(points.size_hint().1.unwrap_or(0)), segment: 0 };
        line.points.extend(points);
        line
    }

    /// Value at a position, and what it is made of; positions must not fall. `None` without points.
    pub(super) fn at(&mut self, position: f64) -> Option<(f64, [(usize, f64); 2])> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let alone =
            |&(number, _, value): &(usize, f64, f64)| Some((value, [(number, 1.0), (number, 0.0)]));
        if position <= first.1 {
            return alone(first);
        }
        if position >= last.1 {
            return alone(last);
        }
        while self.points[self.segment + 1].1 <= position {
            self.segment += 1;
        }
        let (here, row, value) = self.points[self.segment];
        let (there, next_row, next) = self.points[self.segment + 1];
        let width = next_row - row;
        // As the plain interpolation has it, to the last digit; divisions are slow, and mostly there is no gap.
        let is_next = width.to_bits() == 1.0_f64.to_bits();
        let over_width = |value: f64| if is_next { value } else { value / width };
        let (share, slope) = (over_width(position - row), over_width(next - value));
        let between = slope * (position - row) + value;
        Some((between, [(here, 1.0 - share), (there, share)]))
    }
}

impl<T: Real> Work<'_, '_, T> {
    pub(super) fn fill_column<O: Real>(
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
        let terms = trace.and_then(|trace| {
            if self.errors.known_profile {
                known.scale_terms(column, trace, cache)
            } else {
                known.terms(column, trace, cache)
            }
        });
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
        let spline = trace.and_then(|trace| region.spline(trace));
        let model = self.model_error.zip(terms.as_ref()).zip(spline);
        let squares = model.map(|((model, terms), spline)| {
            let reach = job.params.factor.round() as usize;
            model.squares(column, terms, spline.coefficients(), &functionals, reach)
        });
        let squares = squares.unwrap_or_else(|| vec![0.0; functionals.len()]);
        self.put_variances(&functionals, &squares, terms.as_ref(), &places, at, &mut out[5..]);
    }

    /// Whether the residuals around a fine pixel, and those of its window, are noise.
    fn is_adequate(&self, m: usize, places: &Range<usize>, variance: f64) -> bool {
        let rows = &self.known.region.pixels.row[places.clone()];
        let nearest = rows.iter().position(|&row| row as usize == self.job.rows.nearest[m]);
        let pair = self.misfit.zip(nearest);
        pair.is_some_and(|(misfit, number)| misfit.is_adequate(places.start + number, variance))
    }

    fn put_variances<O: Real>(
        &self,
        functionals: &[(usize, Functional)],
        squares: &[f64],
        terms: Option<&ColumnTerms<'_>>,
        places: &Range<usize>,
        at: usize,
        out: &mut [ArrayViewMut2<'_, O>],
    ) {
        let own = |component: usize| &self.known.components[component][places.clone()];
        let (out, adequate) = out.split_at_mut(self.n_components + self.errors.n_covariances);
        let mut adequate = adequate.first_mut();
        for (n, (m, a)) in functionals.iter().enumerate() {
            for (component, plane) in out[..self.n_components].iter_mut().enumerate() {
                let variance = match terms {
                    Some(terms) => terms.variance(component, a),
                    None => own_noise(own(component), a, a),
                };
                let of_model = if component == 0 { squares[n] } else { 0.0 };
                put(plane, *m, at, variance + of_model);
                if let (0, Some(plane), true) = (component, &mut adequate, a.at.is_some()) {
                    let is_adequate =
                        of_model <= variance && self.is_adequate(*m, places, variance + of_model);
                    put(plane, *m, at, f64::from(u8::from(is_adequate)));
                }
            }
            for lag in 1..=self.errors.n_covariances {
                let next =
                    functionals[n..].iter().take(lag + 1).find(|(other, _)| *other == m + lag);
                if let Some((_, b)) = next {
                    let value = match terms {
                        Some(terms) => terms.covariance(0, a, b),
                        None => own_noise(own(0), a, b),
                    };
                    put(&mut out[self.n_components + lag - 1], *m, at, value);
                }
            }
        }
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
        let basis = basis_at(knots, alpha);
        functional.at = Some(basis);
        functional.add(basis, 1.0);
        for (j, lambda) in functional.lambda {
            if lambda != 0.0 {
                functional.through_scale -= lambda * fit[j];
                functional.add(self.basis[j], -lambda);
            }
        }
    }
}
