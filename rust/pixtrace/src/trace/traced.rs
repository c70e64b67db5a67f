//! What trace images and oversampling share: regions with their traces, and planes made column by column.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::exposure::RegionMap;
use super::grid::FineGrid;
use super::model::{ColumnTrace, RegionTrace, TraceModel};
use super::record::RegionRecord;
use super::region::RegionPixels;
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

/// A region of the image together with its trace: its pixels, column by column, and the model at each of them.
pub(crate) struct TracedRegion<'a> {
    pub(crate) label: i32,
    /// Rows and alpha; flux if it was given.
    pub(crate) pixels: RegionPixels,
    /// The unscaled model at each pixel within the bounds of its column's trace, NaN elsewhere.
    pub(crate) fit: Vec<f64>,
    trace: Option<&'a RegionTrace>,
    /// Trace of each column that the region reaches over, where it has one.
    columns: Vec<Option<&'a ColumnTrace>>,
}

impl<'a> TracedRegion<'a> {
    /// All regions of the map, by rising label; alpha is rounded to the precision of `T`.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub(crate) fn all<T: Real>(
        map: &RegionMap<'_>,
        model: &'a TraceModel,
        alpha: ArrayView2<'_, f64>,
        flux: Option<ArrayView2<'_, T>>,
        control: &Control,
    ) -> Result<Vec<Self>, Error> {
        let boxes: Vec<_> = map.boxes().iter().collect();
        let regions = boxes
            .into_par_iter()
            .map(|(&label, bounds)| {
                control.check()?;
                let labels = map.labels();
                let mut pixels = RegionPixels::layout(labels, label, bounds);
                pixels.alpha = pixels.collect(bounds, labels, label, alpha, T::narrow);
                if let Some(flux) = flux {
                    pixels.flux = pixels.collect(bounds, labels, label, flux, Real::to_f64);
                }
                let trace = model.regions.get(&label);
                let by_column = trace.map(RegionTrace::by_column).unwrap_or_default();
                let columns = bounds.columns.clone().map(|x| by_column.get(&x).copied()).collect();
                let mut region = Self { label, pixels, fit: Vec::new(), trace, columns };
                region.fit = region.evaluate();
                Ok(region)
            })
            .collect::<Vec<_>>();
        regions.into_iter().collect()
    }

    fn evaluate(&self) -> Vec<f64> {
        let mut fit = vec![f64::NAN; self.pixels.alpha.len()];
        for (column, trace) in self.traces() {
            let Some(spline) = self.spline(trace) else { continue };
            for i in self.pixels.column(column) {
                let alpha = self.pixels.alpha[i];
                if trace.is_within(alpha) {
                    fit[i] = spline.eval(alpha);
                }
            }
        }
        fit
    }

    /// The trace of a column of the image.
    pub(crate) fn column(&self, column: usize) -> Option<&'a ColumnTrace> {
        let place = column.checked_sub(self.pixels.columns.start)?;
        self.columns.get(place).copied().flatten()
    }

    /// The trace of a column, and its position in [`RegionTrace::columns`].
    pub(crate) fn numbered(&self, column: usize) -> Option<(&'a ColumnTrace, usize)> {
        let (trace, all) = (self.column(column)?, &self.trace?.columns);
        // Columns mostly stand in order; of one that is there twice, the last counts.
        let position = all.iter().rposition(|other| std::ptr::eq(other, trace))?;
        Some((trace, position))
    }

    /// What the fit has recorded of itself.
    pub(crate) fn record(&self) -> Option<&'a RegionRecord> {
        self.trace?.record.as_ref()
    }

    /// The columns that have a trace, and it.
    pub(crate) fn traces(&self) -> impl Iterator<Item = (usize, &'a ColumnTrace)> {
        let columns = self.pixels.columns.clone().zip(&self.columns);
        columns.filter_map(|(x, trace)| trace.map(|t| (x, t)))
    }

    /// Numbers of the pixels of a column that lie within the bounds of its trace.
    pub(crate) fn within(&self, column: usize, trace: &ColumnTrace) -> impl Iterator<Item = usize> {
        self.pixels.column(column).filter(|&i| trace.is_within(self.pixels.alpha[i]))
    }

    /// The spline of a column of this region.
    pub(crate) fn spline(&self, trace: &ColumnTrace) -> Option<&'a BSpline> {
        self.trace.and_then(|region| region.splines.get(trace.spline))
    }
}

/// The fine rows of a region in a column, from the first to the last of its native rows there.
///
/// With ends included: a pixel on the border of two regions is a row of both, so that their ends are where they should
/// be. Not all of them are the region's to write to; see [`is_own`].
pub(crate) fn fine_rows(grid: &FineGrid, rows: &[u32]) -> Range<usize> {
    match (rows.first(), rows.last()) {
        (Some(&first), Some(&last)) => grid.rows_within(first as usize, last as usize),
        _ => 0..0,
    }
}

/// Whether a region may write to one of its fine rows in a column, so that no two regions write to the same pixel.
///
/// It may where the nearest native pixel is its own; and at the ends of its rows, where a pixel that lies exactly on the
/// border is nobody else's.
///
/// `found` is the label of the native pixel nearest to the fine row `row`.
pub(crate) fn is_own(label: i32, found: i32, rows: &Range<usize>, row: usize) -> bool {
    found == label || (found <= 0 && (row == rows.start || row + 1 == rows.end))
}
