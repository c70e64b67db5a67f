//! The flux on a finer grid: splines where the source is compact, linear interpolation elsewhere.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

use super::compact::{CompactRanges, find_sources};
use super::exposure::Exposure;
use super::grid::{FineGrid, FineRows};
use super::model::{ColumnTrace, TraceModel};
use super::traced::{COLUMNS_PER_BLOCK, TracedRegion, fine_rows, is_own, nan_plane};
use crate::numeric::Real;
use crate::numeric::interpolate::LinearInterpolator;
use crate::{Control, Error};

/// How an exposure is oversampled. Start from [`Default`] and change what you need.
#[derive(Clone, Debug, PartialEq)]
pub struct OversampleParams {
    /// Fine rows per native row; any finite number from 1.
    pub factor: f64,
    /// A column is oversampled if it has more good pixels than this.
    pub require_ngood: usize,
    /// A model steeper than this from one pixel to the next, in units of the column's flux, shows a compact source.
    /// With zero or less the model is used everywhere.
    pub slope_limit: f64,
    /// Leave out the residuals: the result is the model alone.
    pub psf_optimal: bool,
    /// Do not use the model in the first and the last native pixel of a column.
    pub trim_ends: bool,
    /// How far a compact source reaches to either side, in native pixels.
    pub pad: f64,
    /// Whether rows run against the detector's pixel numbers; see [`FineGrid`].
    pub is_flipped: bool,
    /// Which planes to make beside the flux.
    pub planes: Planes,
}

impl Default for OversampleParams {
    fn default() -> Self {
        Self {
            factor: 2.0,
            require_ngood: 10,
            slope_limit: 0.1,
            psf_optimal: false,
            trim_ends: false,
            pad: 3.0,
            is_flipped: false,
            planes: Planes::default(),
        }
    }
}

/// Which planes to make; one that nobody needs costs no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent choices, not a state")]
pub struct Planes {
    /// Make [`OversampledPlanes::trace_used`].
    pub trace_used: bool,
    /// Make [`OversampledPlanes::full_trace`].
    pub full_trace: bool,
    /// Make [`OversampledPlanes::linear_flux`].
    pub linear_flux: bool,
    /// Make [`OversampledPlanes::residual_flux`].
    pub residual_flux: bool,
}

impl Default for Planes {
    fn default() -> Self {
        Self { trace_used: true, full_trace: true, linear_flux: true, residual_flux: true }
    }
}

/// An oversampled exposure. Each plane has `ceil(n_y * factor)` rows, or no row if it was not asked for.
#[derive(Clone, Debug)]
pub struct OversampledPlanes<O> {
    /// The oversampled flux.
    pub flux: Array2<O>,
    /// The trace model near compact sources.
    pub trace_used: Array2<O>,
    /// The trace model wherever there is a spline.
    pub full_trace: Array2<O>,
    /// The flux, interpolated linearly.
    pub linear_flux: Array2<O>,
    /// Data less model, interpolated linearly.
    pub residual_flux: Array2<O>,
}

/// Oversamples an exposure along its slices.
///
/// `alpha_fine` is the coordinate along the slice at the centres of the fine pixels, `(ceil(n_y * factor), n_x)`. `O`
/// is the type of the planes that come back; the arithmetic is `f64` in any case, with residuals rounded to the
/// precision of the data.
///
/// # Errors
/// [`Error::Parameter`], [`Error::ShapeMismatch`] and [`Error::Cancelled`].
pub fn oversample<T: Real, O: Real>(
    exposure: &Exposure<'_, T>,
    model: &TraceModel,
    alpha_fine: ArrayView2<'_, f64>,
    params: &OversampleParams,
    control: &Control,
) -> Result<OversampledPlanes<O>, Error> {
    let map = exposure.regions();
    let (n_y, n_x) = map.dim();
    let grid = FineGrid::new(n_y, params.factor, params.is_flipped)?;
    map.check_shape("alpha_os", alpha_fine.dim(), grid.n_fine())?;
    let regions = TracedRegion::all(map, model, exposure.alpha(), Some(exposure.flux()), control)?;
    control.expect(n_x);

    let job = Job { exposure, params, grid, rows: FineRows::new(&grid), alpha_fine };
    let sources = find_sources::<T>(
        &regions,
        params.slope_limit,
        params.pad,
        control,
        |column, region, trace, points| job.steep_points(column, region, trace, points),
    )?;

    let plane = |is_wanted: bool| {
        nan_plane::<O>(if is_wanted { (grid.n_fine(), n_x) } else { (0, n_x) }, control)
    };
    let mut planes = OversampledPlanes {
        flux: plane(true)?,
        trace_used: plane(params.planes.trace_used)?,
        full_trace: plane(params.planes.full_trace)?,
        linear_flux: plane(params.planes.linear_flux)?,
        residual_flux: plane(params.planes.residual_flux)?,
    };
    planes
        .flux
        .axis_chunks_iter_mut(Axis(1), COLUMNS_PER_BLOCK)
        .into_par_iter()
        .zip(planes.trace_used.axis_chunks_iter_mut(Axis(1), COLUMNS_PER_BLOCK))
        .zip(planes.full_trace.axis_chunks_iter_mut(Axis(1), COLUMNS_PER_BLOCK))
        .zip(planes.linear_flux.axis_chunks_iter_mut(Axis(1), COLUMNS_PER_BLOCK))
        .zip(planes.residual_flux.axis_chunks_iter_mut(Axis(1), COLUMNS_PER_BLOCK))
        .enumerate()
        .for_each(|(block, ((((flux, used), full), linear), residual))| {
            let mut out =
                Block { first: block * COLUMNS_PER_BLOCK, flux, used, full, linear, residual };
            if control.check().is_ok() {
                job.fill_block(&regions, &sources, &mut out);
            }
            control.advance(out.flux.ncols());
        });
    control.check()?;
    Ok(planes)
}

/// The columns of the output planes that one task fills.
struct Block<'a, O> {
    first: usize,
    flux: ArrayViewMut2<'a, O>,
    used: ArrayViewMut2<'a, O>,
    full: ArrayViewMut2<'a, O>,
    linear: ArrayViewMut2<'a, O>,
    residual: ArrayViewMut2<'a, O>,
}

/// All that the work on a column reads.
pub(super) struct Job<'a, 'e, T> {
    pub(super) exposure: &'a Exposure<'e, T>,
    pub(super) params: &'a OversampleParams,
    pub(super) grid: FineGrid,
    pub(super) rows: FineRows,
    pub(super) alpha_fine: ArrayView2<'a, f64>,
}

/// What is interpolated along one column of a region, kept for the next.
#[derive(Default)]
struct Column {
    /// Rows and values of the pixels with finite flux.
    good_rows: Vec<f64>,
    good_flux: Vec<f64>,
    /// Rows and values of the pixels where both data and model are known, data less model.
    residual_rows: Vec<f64>,
    residual: Vec<f64>,
}

impl<T: Real> Job<'_, '_, T> {
    /// Whether a column has enough good pixels.
    pub(super) fn has_enough(&self, region: &TracedRegion<'_>, column: usize) -> bool {
        let flux = &region.pixels.flux[region.pixels.column(column)];
        flux.iter().filter(|f| f.is_finite()).count() > self.params.require_ngood
    }

    /// Collects the data of a column, and subtracts the model where it has one.
    fn read(region: &TracedRegion<'_>, column: usize, values: &mut Column) {
        let pixels = &region.pixels;
        values.good_rows.clear();
        values.good_flux.clear();
        for i in pixels.column(column).filter(|&i| pixels.flux[i].is_finite()) {
            values.good_rows.push(f64::from(pixels.row[i]));
            values.good_flux.push(pixels.flux[i]);
        }
        values.residual_rows.clear();
        values.residual.clear();
        let Some(trace) = region.column(column) else { return };
        for i in pixels.column(column) {
            // Not finite outside of the bounds, where the model is NaN.
            let residual = T::narrow(pixels.flux[i] - trace.scale * region.fit[i]);
            if residual.is_finite() {
                values.residual_rows.push(f64::from(pixels.row[i]));
                values.residual.push(residual);
            }
        }
    }

    /// Adds the values of alpha at which the model is steep; the ends of the column do not count.
    pub(super) fn steep_points(
        &self,
        column: usize,
        region: &TracedRegion<'_>,
        trace: &ColumnTrace,
        points: &mut Vec<f64>,
    ) -> bool {
        if !self.has_enough(region, column) {
            return false;
        }
        let within: Vec<usize> = region.within(column, trace).collect();
        let edge = self.grid.edge();
        for i in edge..within.len().saturating_sub(edge) {
            if (region.fit[within[i]] - region.fit[within[i - 1]]).abs() > self.params.slope_limit {
                points.push(region.pixels.alpha[within[i]]);
            }
        }
        true
    }

    fn fill_block<O: Real>(
        &self,
        regions: &[TracedRegion<'_>],
        sources: &[CompactRanges],
        out: &mut Block<'_, O>,
    ) {
        let mut values = Column::default();
        for (region, ranges) in regions.iter().zip(sources) {
            let first = region.pixels.columns.start.max(out.first);
            let end = region.pixels.columns.end.min(out.first + out.flux.ncols());
            for column in first..end {
                if self.has_enough(region, column) {
                    Self::read(region, column, &mut values);
                    self.fill_column(region, ranges, column, &values, out);
                }
            }
        }
    }

    fn fill_column<O: Real>(
        &self,
        region: &TracedRegion<'_>,
        ranges: &CompactRanges,
        column: usize,
        values: &Column,
        out: &mut Block<'_, O>,
    ) {
        let rows = &region.pixels.row[region.pixels.column(column)];
        let fine = fine_rows(&self.grid, rows);
        let edge = self.grid.edge();
        let inner = fine.start + edge..fine.end.saturating_sub(edge);
        let trace = region.column(column);

        let mut residual = LinearInterpolator::new(&values.residual_rows, &values.residual);
        let mut linear = LinearInterpolator::new(&values.good_rows, &values.good_flux);

        let model_rows = trace.map_or(0..0, |trace| self.model_rows(trace, column, &fine));

        let at = column - out.first;
        let labels = self.exposure.regions().labels();
        for m in fine.clone() {
            let nearest = (self.rows.nearest[m], column);
            if !is_own(region.label, labels[nearest], &fine, m) {
                continue;
            }
            let position = self.rows.position[m];
            let is_inner = inner.contains(&m);
            let mut linear_value = linear.as_mut().map_or(f64::NAN, |line| line.at(position));
            if !is_inner || !self.exposure.flux()[nearest].to_f64().is_finite() {
                linear_value = f64::NAN;
            }
            let mut value = linear_value;
            if let Some(trace) = trace {
                let alpha = self.alpha_fine[(m, column)];
                let residual_value = if is_inner {
                    residual.as_mut().map_or(f64::NAN, |line| line.at(position))
                } else {
                    f64::NAN
                };
                put(&mut out.residual, m, at, residual_value);
                if model_rows.contains(&m) && trace.is_within(alpha) {
                    let fit = region.spline(trace).map_or(f64::NAN, |spline| spline.eval(alpha))
                        * trace.scale;
                    put(&mut out.full, m, at, fit);
                    if ranges.contains(alpha) {
                        put(&mut out.used, m, at, fit);
                        if fit.is_finite() {
                            let is_added = !self.params.psf_optimal && residual_value.is_finite();
                            value = if is_added { fit + residual_value } else { fit };
                        }
                    }
                }
            }
            put(&mut out.linear, m, at, linear_value);
            put(&mut out.flux, m, at, value);
        }
    }

    /// The fine rows that the model may be used in: without the first and last values of it, if ends are to be trimmed.
    pub(super) fn model_rows(
        &self,
        trace: &ColumnTrace,
        column: usize,
        fine: &Range<usize>,
    ) -> Range<usize> {
        if !self.params.trim_ends {
            return fine.clone();
        }
        let inside: Vec<usize> =
            fine.clone().filter(|&m| trace.is_within(self.alpha_fine[(m, column)])).collect();
        let edge = self.grid.edge();
        match inside.get(edge..inside.len().saturating_sub(edge)) {
            Some([only]) => *only..only + 1,
            Some([first, .., last]) => *first..last + 1,
            _ => 0..0,
        }
    }
}

/// Stores a value, if the plane was asked for.
pub(super) fn put<O: Real>(
    plane: &mut ArrayViewMut2<'_, O>,
    row: usize,
    column: usize,
    value: f64,
) {
    if let Some(place) = plane.get_mut((row, column)) {
        *place = O::from_f64(value);
    }
}
