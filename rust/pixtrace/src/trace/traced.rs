//! What trace images and oversampling share: regions with their traces, and planes made column by column.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::exposure::{RegionBox, RegionMap};
use super::grid::FineGrid;
use super::model::{ColumnTrace, RegionTrace, TraceModel};
use crate::numeric::{BSpline, Real};
use crate::{Control, Error};

/// Columns per task; a row of a task's planes then fills one or two cache lines.
pub(crate) const COLUMNS_PER_BLOCK: usize = 16;

/// Values that are written between two looks at whether the caller wants to stop.
const VALUES_PER_LOOK: usize = 1 << 22;

/// A plane of NaN; its memory is touched first by the threads of the pool.
///
/// # Errors
/// [`Error::OutOfMemory`] and [`Error::Cancelled`].
pub(crate) fn nan_plane<O: Real>(
    (n_y, n_x): (usize, usize),
    control: &Control,
) -> Result<Array2<O>, Error> {
    let n = n_y * n_x;
    let mut values: Vec<O> = Vec::new();
    values.try_reserve_exact(n).map_err(|_| Error::OutOfMemory { n_bytes: n * size_of::<O>() })?;
    while values.len() < n {
        control.check()?;
        let count = VALUES_PER_LOOK.min(n - values.len());
        values.par_extend(rayon::iter::repeat_n(O::from_f64(f64::NAN), count));
    }
    let shape_is_that = "a vector of n_y * n_x values";
    Ok(Array2::from_shape_vec((n_y, n_x), values).expect(shape_is_that))
}

/// A region of the image together with its trace.
pub(crate) struct TracedRegion<'a> {
    pub(crate) label: i32,
    pub(crate) bounds: &'a RegionBox,
    trace: Option<&'a RegionTrace>,
    /// Trace of each column that the region reaches over, where it has one.
    columns: Vec<Option<&'a ColumnTrace>>,
}

impl<'a> TracedRegion<'a> {
    /// All regions of the map, by rising label.
    pub(crate) fn all(map: &'a RegionMap<'_>, model: &'a TraceModel) -> Vec<Self> {
        let with_trace = |(&label, bounds): (&i32, &'a RegionBox)| {
            let trace = model.regions.get(&label);
            let by_column = trace.map(RegionTrace::by_column).unwrap_or_default();
            let columns = bounds.columns.clone().map(|x| by_column.get(&x).copied()).collect();
            Self { label, bounds, trace, columns }
        };
        map.boxes().iter().map(with_trace).collect()
    }

    /// The trace of a column of the image.
    pub(crate) fn column(&self, column: usize) -> Option<&'a ColumnTrace> {
        let place = column.checked_sub(self.bounds.columns.start)?;
        self.columns.get(place).copied().flatten()
    }

    /// The columns that have a trace, and it.
    pub(crate) fn traces(&self) -> impl Iterator<Item = (usize, &'a ColumnTrace)> {
        self.bounds
            .columns
            .clone()
            .zip(&self.columns)
            .filter_map(|(x, trace)| trace.map(|t| (x, t)))
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

/// The fine rows of a region in a column, from the first to the last of its native rows there.
///
/// With ends included: a pixel on the border of two regions is a row of both, so that their ends are where they should
/// be. Not all of them are the region's to write to; see [`is_own`].
pub(crate) fn fine_rows(grid: &FineGrid, rows: &[usize]) -> Range<usize> {
    match (rows.first(), rows.last()) {
        (Some(&first), Some(&last)) => grid.rows_within(first, last),
        _ => 0..0,
    }
}

/// Whether a region may write to one of its fine rows in a column, so that no two regions write to the same pixel.
///
/// It may where the nearest native pixel is its own; and at the ends of its rows, where a pixel that lies exactly on the
/// border is nobody else's.
pub(crate) fn is_own(
    grid: &FineGrid,
    labels: ArrayView2<'_, i32>,
    label: i32,
    column: usize,
    rows: &Range<usize>,
    row: usize,
) -> bool {
    let found = labels[(grid.nearest(row), column)];
    found == label || (found <= 0 && (row == rows.start || row + 1 == rows.end))
}
