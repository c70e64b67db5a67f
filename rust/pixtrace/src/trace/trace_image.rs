//! The trace model on the detector's own pixels.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis};

use super::compact::find_sources;
use super::exposure::RegionMap;
use super::model::TraceModel;
use super::traced::{COLUMNS_PER_BLOCK, TracedRegion, nan_plane};
use crate::numeric::Real;
use crate::{Control, Error};

/// Trace model of an exposure, on its own pixels; NaN where there is no trace.
#[derive(Clone, Debug)]
pub struct TraceImage<T> {
    /// The trace near compact sources.
    pub trace_used: Array2<T>,
    /// The trace wherever a column has a spline.
    pub full_trace: Array2<T>,
}

/// Evaluates a model at every pixel of its regions, in the precision of `T` (the reference works in `f32`).
///
/// The first and the last pixel of each column are left out. `slope_limit` and `pad` say where there is a compact
/// source, as in [`super::OversampleParams`].
///
/// # Errors
/// [`Error::ShapeMismatch`] and [`Error::Cancelled`].
pub fn trace_image<T: Real>(
    model: &TraceModel,
    region_map: ArrayView2<'_, i32>,
    alpha: ArrayView2<'_, f64>,
    slope_limit: f64,
    pad: f64,
    control: &Control,
) -> Result<TraceImage<T>, Error> {
    let map = RegionMap::new(region_map);
    map.check_shape("alpha", alpha.dim(), region_map.nrows())?;
    let regions = TracedRegion::all::<T>(&map, model, alpha, None, control)?;
    control.expect(map.dim().1);

    let sources =
        find_sources::<T>(&regions, slope_limit, pad, control, |column, region, trace, points| {
            let within: Vec<usize> = region.within(column, trace).collect();
            // The second slope is NaN, not steep: the first value is blanked before the difference is taken.
            for i in 2..within.len().saturating_sub(1) {
                if (region.fit[within[i]] - region.fit[within[i - 1]]).abs() > slope_limit {
                    points.push(region.pixels.alpha[within[i]]);
                }
            }
            true
        })?;

    let mut used = nan_plane::<T>(map.dim(), control)?;
    let mut full = nan_plane::<T>(map.dim(), control)?;
    used.axis_chunks_iter_mut(Axis(1), COLUMNS_PER_BLOCK)
        .into_par_iter()
        .zip(full.axis_chunks_iter_mut(Axis(1), COLUMNS_PER_BLOCK))
        .enumerate()
        .for_each(|(block, (mut used, mut full))| {
            let first = block * COLUMNS_PER_BLOCK;
            for (region, ranges) in regions.iter().zip(&sources) {
                for column in first..first + used.ncols() {
                    let Some(trace) = region.column(column) else { continue };
                    let mut within = region.within(column, trace).skip(1).peekable();
                    while let Some(i) = within.next() {
                        if within.peek().is_none() {
                            break;
                        }
                        let place = (region.pixels.row[i] as usize, column - first);
                        let scaled = T::from_f64(region.fit[i] * trace.scale);
                        full[place] = scaled;
                        if ranges.contains(region.pixels.alpha[i]) {
                            used[place] = scaled;
                        }
                    }
                }
            }
            control.advance(used.ncols());
        });
    control.check()?;
    Ok(TraceImage { trace_used: used, full_trace: full })
}
