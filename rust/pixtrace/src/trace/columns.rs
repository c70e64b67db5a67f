//! Sums of the flux along each column, by which the columns are normalised.

use super::region::RegionPixels;
use crate::numeric::Real;

/// Sum of the flux of each column of the region (counted from its first), in the precision of `T`.
///
/// NaN is left out, and so is what is not above zero if `positive_only`. Rows are added from the first to the last.
pub(crate) fn column_sums<T: Real>(pixels: &RegionPixels, positive_only: bool) -> Vec<f64> {
    let is_used = |flux: &&f64| if positive_only { **flux > 0.0 } else { !flux.is_nan() };
    pixels
        .columns
        .clone()
        .map(|column| {
            pixels.flux[pixels.column(column)]
                .iter()
                .filter(is_used)
                .fold(0.0, |total, flux| T::narrow(total + flux))
        })
        .collect()
}
