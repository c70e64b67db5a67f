//! What trace images and oversampling share: regions with their traces, and planes made column by column.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::exposure::{RegionBox, RegionMap};
use super::grid::FineGrid;
use super::model::{ColumnTrace, RegionTrace, TraceModel};
use crate::numeric::{BSpline, Real};

/// Columns per task; a row of a task's planes then fills one or two cache lines.
pub(crate) const COLUMNS_PER_BLOCK: usize = 16;

/// A plane of NaN; its memory is touched first by the threads of the pool.
pub(crate) fn nan_plane<O: Real>((n_y, n_x): (usize, usize)) -> Array2<O> {
    let values: Vec<O> = rayon::iter::repeat_n(O::from_f64(f64::NAN), n_y * n_x).collect();
    Array2::from_shape_vec((n_y, n_x), values)
        .unwrap_or_else(|_| Array2::from_elem((0, n_x), O::from_f64(f64::NAN)))
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

/// The fine rows of a region in a column, and those among them that are its own. `rows` are its native rows there.
///
/// A fine pixel whose centre lies exactly between two regions is a row of both, so that their ends are where they
/// should be; but it belongs to the one that has the nearest native pixel, and the other must leave it alone.
pub(crate) fn fine_rows(
    grid: &FineGrid,
    labels: ArrayView2<'_, i32>,
    label: i32,
    column: usize,
    rows: &[usize],
) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
    let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else { return (0..0, 0..0) };
    let all = grid.rows_within(first, last);
    let is_others = |m: usize| {
        let found = labels[(grid.nearest(m), column)];
        found > 0 && found != label
    };
    let mut own = all.clone();
    if !own.is_empty() && is_others(own.start) {
        own.start += 1;
    }
    if !own.is_empty() && is_others(own.end - 1) {
        own.end -= 1;
    }
    (all, own)
}
