//! One column of one integration on the finer grid: flux, errors, data quality.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::super::fine_column::Line;
use super::super::model::ColumnTrace;
use super::super::propagate::Residual;
use super::super::shrink::shares;
use super::Integration;
use super::fine::{FinePixel, FineRegion, SeriesErrors, SeriesGrid};
use super::fit::IntegrationFit;
use super::noise::ColumnNoise;
use super::profile::RegionProfile;
use crate::numeric::Real;

/// Data-quality bit of a pixel that must not be used.
const DO_NOT_USE: u32 = 1;
/// Data-quality bit of a pixel whose flux comes from the model.
const FLUX_ESTIMATED: u32 = 1 << 28;

/// Some columns of all planes of one integration.
pub(super) struct Block<'a, T> {
    pub(super) integration: usize,
    /// Column of the image that the views begin with.
    pub(super) first: usize,
    pub(super) planes: Vec<ArrayViewMut2<'a, T>>,
    pub(super) errors: Vec<ArrayViewMut2<'a, f32>>,
    pub(super) dq: ArrayViewMut2<'a, u32>,
}

/// One region of one integration, and how much of its residuals is added.
pub(super) struct FinePart {
    pub(super) fit: IntegrationFit,
    pub(super) share: Vec<f64>,
    pub(super) is_outlier: Vec<bool>,
}

impl SeriesGrid {
    /// Decides how much of the residual of each pixel is kept.
    pub(super) fn part(&self, region: &RegionProfile, fit: IntegrationFit) -> FinePart {
        let n = region.pixels.row.len();
        if self.params().residual == Residual::Whole {
            return FinePart { fit, share: vec![1.0; n], is_outlier: vec![false; n] };
        }
        let template = fit.moved.as_ref().map_or(&region.template, |moved| &moved.template);
        let mut z = vec![f64::NAN; n];
        for (column, found) in region.bounds.columns.clone().zip(&fit.columns) {
            for i in region.pixels.column(column) {
                z[i] = (fit.flux[i] - found.scale * template[i]) / fit.sigma[i];
            }
        }
        let (share, is_outlier) = shares(&region.pixels, &region.bounds, &z);
        FinePart { fit, share, is_outlier }
    }

    /// Fills the columns of a block; returns the number of pixels that the model has filled.
    pub(super) fn fill<T: Real>(
        &self,
        integration: &Integration<'_, T>,
        dq: Option<ArrayView2<'_, u32>>,
        parts: &[FinePart],
        block: &mut Block<'_, T>,
    ) -> usize {
        let end = block.first + block.dq.ncols();
        let native = |row: usize, column: usize| {
            let is_missing = !integration.flux[(row, column)].to_f64().is_finite();
            dq.map_or(0, |dq| dq[(row, column)]) | if is_missing { DO_NOT_USE } else { 0 }
        };
        let mut tasks = Vec::with_capacity(block.dq.ncols());
        let mut n_covered = vec![0; block.dq.ncols()];
        for (r, part) in parts.iter().enumerate() {
            let columns = &self.region(r).0.bounds.columns;
            for column in columns.start.max(block.first)..columns.end.min(end) {
                let at = column - block.first;
                if let Some(task) = FineColumn::new(self, r, part, integration, column) {
                    n_covered[at] += task.fine.column(task.place).len();
                    tasks.push((task, at));
                }
            }
        }
        for (at, _) in n_covered.iter().enumerate().filter(|(_, n)| **n < self.nearest.len()) {
            for (row, &nearest) in self.nearest.iter().enumerate() {
                block.dq[(row, at)] = native(nearest, block.first + at) | DO_NOT_USE;
            }
            block.planes.iter_mut().for_each(|p| p.column_mut(at).fill(T::from_f64(f64::NAN)));
            block.errors.iter_mut().for_each(|p| p.column_mut(at).fill(f32::NAN));
        }
        tasks.iter().map(|(task, at)| task.fill(&native, *at, block)).sum()
    }
}

/// One column of one region of one integration.
pub(super) struct FineColumn<'a, 'i, T> {
    pub(super) grid: &'a SeriesGrid,
    pub(super) region: &'a RegionProfile,
    pub(super) fine: &'a FineRegion,
    pub(super) part: &'a FinePart,
    pub(super) integration: &'a Integration<'i, T>,
    pub(super) column: usize,
    /// Number of its first pixel in the region, and of its column.
    pub(super) start: usize,
    pub(super) place: usize,
    /// Its trace, if the integration has a scale for it; with the scale.
    pub(super) trace: Option<(&'a ColumnTrace, f64)>,
}

/// What a fine pixel is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    flux: f64,
    linear: f64,
    residual: f64,
    full: f64,
    used: f64,
    /// Pixels of the column, and what is taken of each.
    pub(super) lambda: [(usize, f64); 2],
    /// Derivatives by scale and by shift, zero where the model is not used.
    pub(super) by_scale: f64,
    pub(super) by_shift: f64,
    pub(super) is_modelled: bool,
}

impl<'a, 'i, T: Real> FineColumn<'a, 'i, T> {
    /// `None` if the column has too few good pixels.
    pub(super) fn new(
        grid: &'a SeriesGrid,
        r: usize,
        part: &'a FinePart,
        integration: &'a Integration<'i, T>,
        column: usize,
    ) -> Option<Self> {
        let (region, fine) = grid.region(r);
        let places = region.pixels.column(column);
        let n_good = part.fit.flux[places.clone()].iter().filter(|f| f.is_finite()).count();
        if n_good <= grid.params().oversample.require_ngood {
            return None;
        }
        let place = column - region.bounds.columns.start;
        let scale = part.fit.columns[place].scale;
        let trace = region.trace(column).filter(|_| scale.is_finite()).map(|t| (t, scale));
        let start = places.start;
        Some(Self { grid, region, fine, part, integration, column, start, place, trace })
    }

    fn row(&self, i: usize) -> f64 {
        f64::from(self.region.pixels.row[i])
    }

    /// The spline at a native pixel, not scaled, where the shift has it.
    fn spline_at(&self, i: usize) -> f64 {
        self.part.fit.moved.as_ref().map_or(self.region.fit[i], |moved| moved.fit[i])
    }

    /// All fine pixels of the column, by number in the region.
    pub(super) fn made(&self) -> impl Iterator<Item = (usize, &'a FinePixel, Made)> {
        let (fit, region) = (&self.part.fit, self.region);
        let places = region.pixels.column(self.column);
        let points = places.clone().filter(|&i| fit.flux[i].is_finite());
        let mut linear = Line::new(points.map(|i| (i - self.start, self.row(i), fit.flux[i])));
        let residual = |i: usize| {
            let (trace, scale) = self.trace?;
            let model = scale * trace.scale * self.spline_at(i);
            let residual = T::narrow(fit.flux[i] - model - scale * self.fine.residual[i]);
            let is_kept = residual.is_finite() && !self.part.is_outlier[i];
            is_kept.then(|| (i - self.start, self.row(i), residual * self.part.share[i]))
        };
        let mut residual = Line::new(places.filter_map(residual));
        let numbers = self.fine.column(self.place);
        let pixels = numbers.clone().zip(&self.fine.pixels[numbers]);
        pixels.map(move |(number, pixel)| {
            (number, pixel, self.make(pixel, &mut linear, &mut residual))
        })
    }

    fn make(&self, pixel: &FinePixel, linear: &mut Line, residual: &mut Line) -> Made {
        let mut made = Made {
            flux: f64::NAN,
            linear: f64::NAN,
            residual: f64::NAN,
            full: f64::NAN,
            used: f64::NAN,
            lambda: [(0, 0.0); 2],
            by_scale: 0.0,
            by_shift: 0.0,
            is_modelled: false,
        };
        let planes = self.grid.params().oversample.planes;
        // What nobody will see is not interpolated: that costs as much as all the rest.
        let is_modelled = pixel.is_used && pixel.profile.is_finite() && self.trace.is_some();
        let nearest = (pixel.nearest as usize, self.column);
        if (planes.linear_flux || !is_modelled)
            && pixel.is_inner
            && self.integration.flux[nearest].to_f64().is_finite()
            && let Some((value, lambda)) = linear.at(pixel.position)
        {
            (made.linear, made.flux, made.lambda) = (value, value, lambda);
        }
        let Some((trace, scale)) = self.trace else { return made };
        let residual = if pixel.is_inner { residual.at(pixel.position) } else { None };
        let shared = scale * pixel.residual;
        made.residual = residual.map_or(f64::NAN, |(value, _)| shared + value);
        let (profile, slope) = self.profile(trace, pixel);
        made.full = profile * (scale * trace.scale);
        if made.full.is_nan() || !pixel.is_used {
            return made;
        }
        made.used = made.full;
        made.is_modelled = true;
        made.flux = made.full + shared;
        made.lambda = [(0, 0.0); 2];
        made.by_scale = trace.scale * profile + pixel.residual;
        made.by_shift = -scale * trace.scale * slope;
        if let Some((value, lambda)) = residual.filter(|_| !self.psf_optimal()) {
            made.flux = made.full + (shared + value);
            made.lambda = lambda.map(|(j, w)| (j, w * self.part.share[self.start + j]));
            for (j, w) in made.lambda {
                if w != 0.0 {
                    let i = self.start + j;
                    let template = trace.scale * self.spline_at(i) + self.fine.residual[i];
                    made.by_scale -= w * template;
                    if let Some(moved) = &self.part.fit.moved {
                        made.by_shift -= w * scale * moved.slope[i];
                    }
                }
            }
        }
        made
    }

    fn psf_optimal(&self) -> bool {
        self.grid.params().oversample.psf_optimal
    }

    /// The spline at a fine pixel, and its slope if there is a shift.
    fn profile(&self, trace: &ColumnTrace, pixel: &FinePixel) -> (f64, f64) {
        let spline = self.region.splines.get(trace.spline);
        match (&self.part.fit.moved, spline) {
            (Some(_), Some(spline)) if pixel.profile.is_finite() => {
                spline.eval_with_slope(pixel.alpha - self.part.fit.shift)
            }
            _ => (pixel.profile, 0.0),
        }
    }

    /// Writes all planes of the column; returns the number of pixels that the model has filled.
    fn fill(
        &self,
        native_dq: &impl Fn(usize, usize) -> u32,
        at: usize,
        block: &mut Block<'_, T>,
    ) -> usize {
        let params = self.grid.params();
        let n_errors = block.errors.len();
        let is_propagated = params.errors == SeriesErrors::Propagated;
        let noise: Vec<ColumnNoise> =
            (0..if is_propagated { n_errors } else { 0 }).map(|k| self.noise(k)).collect();
        let mut lines: Vec<Line> =
            (0..if is_propagated { 0 } else { n_errors }).map(|k| self.error_line(k)).collect();
        let offset = self.grid_offset();
        let parts = if params.is_density { params.oversample.factor } else { 1.0 };
        let share = (parts * parts).recip();
        let part = |value: f64| {
            if params.is_density { T::narrow(value / T::narrow(parts)) } else { value }
        };
        let level = |value: f64| T::from_f64(part(T::narrow(T::narrow(value) + offset)));
        let mut n_filled = 0;
        let mut found = vec![0.0_f32; n_errors];
        for (number, pixel, made) in self.made() {
            let m = pixel.row as usize;
            for (p, value) in [(1, made.used), (2, made.full), (3, made.linear)] {
                if !block.planes[p].is_empty() {
                    block.planes[p][(m, at)] = level(value);
                }
            }
            if !block.planes[4].is_empty() {
                block.planes[4][(m, at)] = T::from_f64(part(T::narrow(made.residual)));
            }
            let bits = native_dq(pixel.nearest as usize, self.column);
            let is_estimated = bits & DO_NOT_USE != 0 && made.flux.is_finite();
            let mut is_missing = !made.flux.is_finite();
            for (k, error) in found.iter_mut().enumerate() {
                *error = if is_propagated {
                    let variance = self.with_profile(k, number, &made, noise[k].variance(&made));
                    let variance = variance * share;
                    (if k == 0 { variance.sqrt() } else { variance }) as f32
                } else {
                    self.interpolated(k, pixel, &mut lines[k], is_estimated)
                };
                is_missing |= !error.is_finite();
            }
            block.planes[0][(m, at)] = level(if is_missing { f64::NAN } else { made.flux });
            for (plane, &error) in block.errors.iter_mut().zip(&found) {
                plane[(m, at)] = if is_missing { f32::NAN } else { error };
            }
            block.dq[(m, at)] = match (is_missing, is_estimated) {
                (true, _) => bits | DO_NOT_USE,
                (false, true) => bits & !DO_NOT_USE | FLUX_ESTIMATED,
                (false, false) => bits,
            };
            n_filled += usize::from(is_estimated && !is_missing);
        }
        n_filled
    }

    fn grid_offset(&self) -> f64 {
        T::narrow(self.part.fit.offset)
    }

    /// A native error, or the square root of a component of the variance.
    fn native_error(&self, k: usize, row: usize) -> f64 {
        let place = (row, self.column);
        match k {
            0 => self.integration.error.map_or(f64::NAN, |error| error[place].to_f64()),
            _ => T::narrow(self.integration.variances[k - 1][place].to_f64().sqrt()),
        }
    }

    fn error_line(&self, k: usize) -> Line {
        let places = self.region.pixels.column(self.column);
        Line::new(places.filter_map(|i| {
            let error = self.native_error(k, self.region.pixels.row[i] as usize);
            error.is_finite().then(|| (i - self.start, self.row(i), error))
        }))
    }

    /// The error as the reference interpolates it.
    fn interpolated(
        &self,
        k: usize,
        pixel: &FinePixel,
        line: &mut Line,
        is_estimated: bool,
    ) -> f32 {
        let params = self.grid.params();
        let is_known = is_estimated || self.native_error(k, pixel.nearest as usize).is_finite();
        if !is_known || line.len() <= params.oversample.require_ngood {
            return f32::NAN;
        }
        let error = line.at(pixel.position).map_or(f64::NAN, |(error, _)| error) as f32;
        let error = error * params.inflation as f32;
        if k == 0 { error } else { error * error }
    }
}
