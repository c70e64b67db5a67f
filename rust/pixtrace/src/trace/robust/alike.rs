//! The part of a slice that neighbouring columns have in common.
//!
//! Columns are divided by their total flux. Where a slice is tilted, rows enter at one end of it and leave at the other,
//! so that the total goes up and down by the background of one pixel, together with the phase of the pixels: it would
//! put wiggles into the profile. So of the pixels at the ends of a column that part counts which all columns around have.

use super::equations::all_columns;
use super::region::Weighted;
use crate::numeric::stats::median;

/// Columns to either side that are compared: the rows of a slice that is tilted by a row in twice as many come and go.
const REACH: usize = 256;
/// So many columns in a row are compared with the same ones.
const BLOCK: usize = 8;
/// In pixels: no more than this is left out of a column at either end, besides what the exposures are apart.
const MOST: f64 = 2.0;

/// Works out which part of each pixel counts in the sum of its column.
pub(crate) fn count_alike(parts: &mut [Weighted<'_>]) {
    let columns = all_columns(parts);
    let ends: Vec<Vec<(f64, f64)>> = parts.iter().map(ends).collect();
    let mut inner = vec![(f64::NEG_INFINITY, f64::INFINITY); columns.len()];
    for (part, ends) in parts.iter().zip(&ends) {
        for (column, &(low, high)) in part.pixels.columns.clone().zip(ends) {
            let found = &mut inner[column - columns.start];
            *found = (found.0.max(low), found.1.min(high));
        }
    }
    // Ends go up and down by a pixel about the end of the slice, which is their median: columns that something else cuts
    // short do not count in that.
    let pitch = parts.iter().map(|part| part.pitch).fold(0.0, f64::max);
    let common: Vec<(f64, f64)> = (BLOCK / 2..inner.len() + BLOCK / 2)
        .step_by(BLOCK)
        .map(|middle| {
            let range = middle.saturating_sub(REACH)..(middle + REACH + 1).min(inner.len());
            let usual = |end: fn(&(f64, f64)) -> f64| {
                let ends = inner[range.clone()].iter().map(end);
                median(&mut ends.filter(|end| end.is_finite()).collect::<Vec<f64>>())
            };
            (usual(|ends| ends.0) + 0.5 * pitch, usual(|ends| ends.1) - 0.5 * pitch)
        })
        .collect();
    let offsets = || parts.iter().map(|part| part.offset);
    let moved =
        offsets().fold(f64::NEG_INFINITY, f64::max) - offsets().fold(f64::INFINITY, f64::min);
    for (part, ends) in parts.iter_mut().zip(&ends) {
        let most = MOST * part.pitch + moved;
        let mut counted = vec![1.0; part.alpha.len()];
        for (column, own) in part.pixels.columns.clone().zip(ends) {
            let common = common[(column - columns.start) / BLOCK];
            let low = common.0.min(own.0 + most);
            let high = common.1.max(own.1 - most);
            for_each_pixel(part, column, |i, from, to| {
                counted[i] = ((to.min(high) - from.max(low)) / (to - from)).clamp(0.0, 1.0);
            });
        }
        part.counted = counted;
    }
}

/// Lowest and highest edge of the pixels of each column; infinite without pixels.
fn ends(part: &Weighted<'_>) -> Vec<(f64, f64)> {
    let of_column = |column| {
        let mut found = (f64::INFINITY, f64::NEG_INFINITY);
        for_each_pixel(part, column, |_, from, to| found = (found.0.min(from), found.1.max(to)));
        if found.0 < found.1 { found } else { (f64::NEG_INFINITY, f64::INFINITY) }
    };
    part.pixels.columns.clone().map(of_column).collect()
}

/// Calls with the number and the lower and upper edge of each pixel of a column that has a neighbour.
fn for_each_pixel(part: &Weighted<'_>, column: usize, mut call: impl FnMut(usize, f64, f64)) {
    let known = || part.pixels.column(column).filter(|&i| part.alpha[i].is_finite());
    let (mut previous, mut next) = (None, known().skip(1));
    for i in known() {
        let after = next.next().map(|j| part.alpha[j] - part.alpha[i]);
        let (Some(before), Some(after)) = (previous.or(after), after.or(previous)) else { return };
        let (one, other) = (part.alpha[i] - 0.5 * before, part.alpha[i] + 0.5 * after);
        let (from, to) = (one.min(other), one.max(other));
        if from < to {
            call(i, from, to);
        }
        previous = Some(after);
    }
}
