//! The trace model: splines, scales and bounds, by region and column.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::record::RegionRecord;
use crate::numeric::BSpline;

/// The trace in one column: which spline, how bright, and where it is valid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColumnTrace {
    /// Column of the image.
    pub column: usize,
    /// Number of the spline in [`RegionTrace::splines`].
    pub spline: usize,
    /// What the spline is to be multiplied by to give the flux of this column.
    pub scale: f64,
    /// Lowest and highest alpha at which the spline is valid.
    pub bounds: (f64, f64),
}

impl ColumnTrace {
    /// Whether alpha lies within the bounds; false for NaN.
    #[must_use]
    pub fn is_within(&self, alpha: f64) -> bool {
        self.bounds.0 <= alpha && alpha <= self.bounds.1
    }
}

/// The trace of one region. A spline that was taken over from another column is there once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegionTrace {
    /// Distinct splines.
    pub splines: Vec<BSpline>,
    /// Columns that have a trace, in the order in which they were fitted.
    pub columns: Vec<ColumnTrace>,
    /// Where the splines come from and how uncertain they are, if that was asked for.
    pub record: Option<RegionRecord>,
}

impl RegionTrace {
    /// Where to find each column: position in [`RegionTrace::columns`] by column number.
    pub(crate) fn by_column(&self) -> HashMap<usize, &ColumnTrace> {
        self.columns.iter().map(|trace| (trace.column, trace)).collect()
    }

    /// Takes off every column what had been added to it for the fit.
    pub(crate) fn move_back(&mut self, columns: usize) {
        for trace in &mut self.columns {
            trace.column -= columns;
        }
        let Some(record) = &mut self.record else { return };
        for fit in &mut record.fits {
            // Windows may begin before the image: other exposures have columns there.
            let Range { start, end } = fit.window;
            fit.window = start.saturating_sub(columns)..end.saturating_sub(columns);
        }
        for column in &mut record.columns {
            column.from -= columns;
        }
        for (column, _) in &mut record.absent {
            *column -= columns;
        }
    }
}

/// Trace models of the regions of an exposure, by label. A region that was too faint to be fitted has no columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceModel {
    /// Trace of each region.
    pub regions: BTreeMap<i32, RegionTrace>,
}
