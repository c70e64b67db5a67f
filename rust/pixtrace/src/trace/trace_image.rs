//! The trace model on the detector's own pixels.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis};

use super::compact::CompactRanges;
use super::exposure::{RegionBox, RegionMap};
use super::model::{ColumnTrace, RegionTrace, TraceModel};
use super::oversample::nan_plane;
use super::region::RegionPixels;
use crate::numeric::{BSpline, Real};
use crate::{Control, Error};

/// Columns per task; a row of a task's planes then fills one or two cache lines.
pub(crate) const COLUMNS_PER_BLOCK: usize = 16;

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

    let mut used = nan_plane::<T>(map.dim());
    let mut full = nan_plane::<T>(map.dim());
    used.axis_chunks_iter_mut(Axis(1), COLUMNS_PER_BLOCK)
        .into_par_iter()
        .zip(full.axis_chunks_iter_mut(Axis(1), COLUMNS_PER_BLOCK))
        .enumerate()
        .for_each(|(block, (mut used, mut full))| {
            let first = block * COLUMNS_PER_BLOCK;
            for (region, ranges) in regions.iter().zip(&sources) {
                for column in first..first + used.ncols() {
                    let Some(trace) = region.columns[column] else { continue };
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

/// A region of the image together with its trace.
pub(crate) struct TracedRegion<'a> {
    pub(crate) label: i32,
    pub(crate) bounds: &'a RegionBox,
    trace: Option<&'a RegionTrace>,
    /// Trace of each column of the image, where it has one.
    pub(crate) columns: Vec<Option<&'a ColumnTrace>>,
}

impl<'a> TracedRegion<'a> {
    /// All regions of the map, by rising label.
    pub(crate) fn all(map: &'a RegionMap<'_>, model: &'a TraceModel) -> Vec<Self> {
        let with_trace = |(&label, bounds)| {
            let trace = model.regions.get(&label);
            let by_column = trace.map(RegionTrace::by_column).unwrap_or_default();
            let columns = (0..map.dim().1).map(|x| by_column.get(&x).copied()).collect();
            Self { label, bounds, trace, columns }
        };
        map.boxes().iter().map(with_trace).collect()
    }

    /// The spline of a column of this region.
    pub(crate) fn spline(&self, trace: &ColumnTrace) -> Option<&'a BSpline> {
        self.trace.and_then(|region| region.splines.get(trace.spline))
    }

    /// Rows of this region in a column of the image.
    pub(crate) fn rows(&self, map: &RegionMap<'_>, column: usize) -> impl Iterator<Item = usize> {
        let is_inside = self.bounds.columns.contains(&column);
        let rows = if is_inside { self.bounds.rows.clone() } else { 0..0 };
        let labels = map.labels();
        rows.filter(move |&y| labels[(y, column)] == self.label)
    }
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

/// Finds the compact sources of every region.
///
/// `steep(column, region, trace, points)` adds the values of alpha at which the model of a column is steep, and says
/// whether the column took part. The number of histogram bins is that of the first spline met, for all regions.
pub(crate) fn find_sources<T: Real>(
    regions: &[TracedRegion<'_>],
    map: &RegionMap<'_>,
    alpha: ArrayView2<'_, f64>,
    slope_limit: f64,
    pad: f64,
    steep: impl Fn(usize, &TracedRegion<'_>, &ColumnTrace, &mut Vec<f64>) -> bool + Sync,
) -> Result<Vec<CompactRanges>, Error> {
    if slope_limit.is_nan() {
        return Err(Error::Parameter {
            name: "slope_limit",
            value: slope_limit,
            must_be: "a number",
        });
    }
    if !(pad.is_finite() && pad >= 0.0) {
        return Err(Error::Parameter {
            name: "pad",
            value: pad,
            must_be: "finite and not negative",
        });
    }
    if slope_limit <= 0.0 {
        return Ok(vec![CompactRanges::everywhere(); regions.len()]);
    }
    let found: Vec<(Vec<f64>, Option<usize>, f64)> = regions
        .par_iter()
        .map(|region| {
            let mut points = Vec::new();
            let mut n_bins = None;
            for (column, trace) in region.columns.iter().enumerate() {
                let Some(trace) = trace else { continue };
                if steep(column, region, trace, &mut points) && n_bins.is_none() {
                    n_bins = region.spline(trace).map(BSpline::n_intervals);
                }
            }
            // The spacing of the pixels is only asked for where there is something to look at.
            let native = if points.is_empty() {
                f64::NAN
            } else {
                let mut pixels = RegionPixels::layout(map.labels(), region.label, region.bounds);
                pixels.alpha =
                    pixels.collect(region.bounds, map.labels(), region.label, alpha, T::narrow);
                pixels.native_dalpha::<T>()
            };
            (points, n_bins, native)
        })
        .collect();
    let n_bins = found.iter().find_map(|f| f.1).unwrap_or(0);
    Ok(found
        .iter()
        .map(|(points, _, native)| CompactRanges::find::<T>(points, *native, n_bins, pad))
        .collect())
}
