//! The finer grid along the slice.

use crate::Error;

/// Two positions closer than this, in fine pixels, are the same: what is left is rounding.
const TOLERANCE: f64 = 1e-9;
/// No detector, oversampled as far as one likes, has more rows.
const MAX_ROWS: f64 = 2_147_483_647.0;

/// A grid of rows `factor` times finer than the detector's.
///
/// Fine row `m` has its centre at the native row coordinate `(m + 1/2 + offset) / factor - 1/2`: pixel centres are
/// whole numbers, and the first native pixel begins at -1/2 on both grids. `offset` is zero, but for images that
/// were turned so that rows run against the detector's pixel numbers: there the detector's first pixel is the *last*
/// row, and the offset, `n_native * factor - n_fine`, anchors the grid at that end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FineGrid {
    n_native: usize,
    n_fine: usize,
    factor: f64,
    offset: f64,
}

impl FineGrid {
    /// Lays a grid of `ceil(n_native * factor)` rows over `n_native` rows.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless the factor is finite and at least 1, and if the grid had more than 2^31 - 1 rows.
    pub fn new(n_native: usize, factor: f64, is_flipped: bool) -> Result<Self, Error> {
        let refuse =
            |must_be| Err(Error::Parameter { name: "oversample_factor", value: factor, must_be });
        if !(factor.is_finite() && factor >= 1.0) {
            return refuse("finite and at least 1");
        }
        let exact = n_native as f64 * factor;
        if exact > MAX_ROWS {
            return refuse("small enough for an image with fewer than 2^31 rows");
        }
        // 10 * 1.1 is a little more than 11; that is no reason for a twelfth row.
        let n_fine = (exact - TOLERANCE).ceil().max(0.0);
        let offset = if is_flipped { exact - n_fine } else { 0.0 };
        Ok(Self { n_native, n_fine: n_fine as usize, factor, offset })
    }

    /// Number of fine rows.
    #[must_use]
    pub fn n_fine(&self) -> usize {
        self.n_fine
    }

    /// Fine rows per native row.
    #[must_use]
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Native row coordinate of the centre of a fine row.
    #[must_use]
    pub fn position(&self, fine: usize) -> f64 {
        (fine as f64 + 0.5 + self.offset) / self.factor - 0.5
    }

    /// The native row that a fine row's centre lies in; between two, the even one.
    #[must_use]
    pub fn nearest(&self, fine: usize) -> usize {
        let position = self.position(fine);
        let middle = (position - 0.5).round() + 0.5;
        let exact = if (position - middle).abs() < TOLERANCE { middle } else { position };
        (exact.round_ties_even().max(0.0) as usize).min(self.n_native.saturating_sub(1))
    }

    /// The fine rows whose centres lie within native rows `first` to `last`.
    ///
    /// A fine row whose centre lies on the edge of the native rows belongs to them; if there is one at either end (as
    /// for half-integer factors), only the first does, so that their number is that of the native rows times the factor.
    #[must_use]
    pub fn rows_within(&self, first: usize, last: usize) -> std::ops::Range<usize> {
        // Numbers that the fine rows at the edges would have; whole if there is a row exactly there.
        let low = first as f64 * self.factor - 0.5 - self.offset;
        let high = (last + 1) as f64 * self.factor - 0.5 - self.offset;
        let is_whole = |number: f64| (number - number.round()).abs() < TOLERANCE;
        let begin = (low - TOLERANCE).ceil().max(0.0) as usize;
        let end = if is_whole(high) {
            high.round() + if is_whole(low) { 0.0 } else { 1.0 }
        } else {
            high.ceil()
        };
        begin.min(self.n_fine)..(end.max(0.0) as usize).min(self.n_fine)
    }

    /// Number of values at each end of a slice that are not trusted: the fine pixels in one native pixel.
    #[must_use]
    pub(crate) fn edge(&self) -> usize {
        self.factor as usize
    }
}

/// The rows of a grid, worked out once.
#[derive(Clone, Debug)]
pub(crate) struct FineRows {
    /// Native row coordinate of the centre of each fine row.
    pub(crate) position: Vec<f64>,
    /// The native row under it.
    pub(crate) nearest: Vec<usize>,
}

impl FineRows {
    pub(crate) fn new(grid: &FineGrid) -> Self {
        let rows = 0..grid.n_fine();
        Self {
            position: rows.clone().map(|m| grid.position(m)).collect(),
            nearest: rows.map(|m| grid.nearest(m)).collect(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_factors_split_every_pixel_evenly() {
        let grid = FineGrid::new(4, 2.0, false).unwrap();
        let positions: Vec<f64> = (0..8).map(|m| grid.position(m)).collect();
        assert_eq!(positions, [-0.25, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25]);
        assert_eq!((0..8).map(|m| grid.nearest(m)).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(grid.rows_within(1, 2), 2..6);
    }

    #[test]
    fn factors_without_meaning_are_refused() {
        for factor in [0.0, -1.0, 0.5, f64::NAN, f64::INFINITY, 1e30] {
            assert!(FineGrid::new(10, factor, false).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_flipped_grid_is_the_mirror_image(n in 1..200_usize, factor in 1.0..5.0_f64) {
            let plain = FineGrid::new(n, factor, false).unwrap();
            let flipped = FineGrid::new(n, factor, true).unwrap();
            for m in 0..plain.n_fine() {
                let mirrored = (n - 1) as f64 - flipped.position(plain.n_fine() - 1 - m);
                prop_assert!((plain.position(m) - mirrored).abs() < 1e-9);
            }
        }

        #[test]
        fn every_fine_row_belongs_to_the_rows_it_lies_in(
            n in 1..60_usize, factor in 1.0..5.0_f64, a in 0..60_usize, b in 0..60_usize, flip: bool
        ) {
            let grid = FineGrid::new(n, factor, flip).unwrap();
            let (first, last) = (a.min(b).min(n - 1), a.max(b).min(n - 1));
            let rows = grid.rows_within(first, last);
            for m in 0..grid.n_fine() {
                let position = grid.position(m);
                let inside = first as f64 - 0.5 <= position + 1e-8 && position - 1e-8 <= last as f64 + 0.5;
                let outside = position + 1e-8 < first as f64 - 0.5 || position - 1e-8 > last as f64 + 0.5;
                prop_assert!(!(rows.contains(&m) && outside));
                prop_assert!(rows.contains(&m) || !inside || outside || (position - last as f64 - 0.5).abs() < 1e-7
                    || (position - first as f64 + 0.5).abs() < 1e-7);
            }
        }
    }
}
