//! The trace model on the detector's own pixels.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis};

use super::compact::find_sources;
use super::exposure::RegionMap;
use super::model::{ColumnTrace, TraceModel};
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
    let regions = TracedRegion::all(&map, model);
    control.expect(map.dim().1);

    let sources = find_sources::<T>(
        &regions,
        &map,
        alpha,
        slope_limit,
        pad,
        control,
        |column, region, trace, points| {
            let values = native_trace::<T>(&map, region, trace, alpha, column);
            let n = values.len();
            // The second slope is NaN, not steep: the first value is blanked before the difference is taken.
            for i in 2..n.saturating_sub(1) {
                if (values[i].fit - values[i - 1].fit).abs() > slope_limit {
                    points.push(values[i].alpha);
                }
            }
            true
        },
    )?;

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
                    let values = native_trace::<T>(&map, region, trace, alpha, column);
                    let inner = values.get(1..values.len().saturating_sub(1)).unwrap_or_default();
                    for value in inner {
                        let scaled = T::from_f64(value.fit * trace.scale);
                        full[(value.row, column - first)] = scaled;
                        if ranges.contains(value.alpha) {
                            used[(value.row, column - first)] = scaled;
                        }
                    }
                }
            }
            control.advance(used.ncols());
        });
    control.check()?;
    Ok(TraceImage { trace_used: used, full_trace: full })
}

/// The unscaled model at one pixel.
struct NativeValue {
    row: usize,
    alpha: f64,
    fit: f64,
}

/// The unscaled model at the pixels of a column that lie within its bounds.
fn native_trace<T: Real>(
    map: &RegionMap<'_>,
    region: &TracedRegion<'_>,
    trace: &ColumnTrace,
    alpha: ArrayView2<'_, f64>,
    column: usize,
) -> Vec<NativeValue> {
    let Some(spline) = region.spline(trace) else { return Vec::new() };
    region
        .rows(map, column)
        .map(|row| (row, T::narrow(alpha[(row, column)])))
        .filter(|&(_, alpha)| trace.bounds.0 <= alpha && alpha <= trace.bounds.1)
        .map(|(row, alpha)| NativeValue { row, alpha, fit: spline.eval(alpha) })
        .collect()
}
