//! The grid that all maps of a stack share.

use crate::Error;

/// Cells of a map: how many, how large, and where the source stands.
///
/// A position is an offset `[x, y]` from the reference position, in arcsec or any other unit used consistently; a map
/// index is `offset / resolution + reference_index`, and a cell is centred on whole indices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    shape: [usize; 2],
    resolution: [f64; 2],
    reference_index: [f64; 2],
}

impl Grid {
    /// A grid of `shape` `[n_y, n_x]`, with cells of `resolution` `[x, y]` and the reference position at the map index
    /// `reference_index` `[x, y]`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no cell, a resolution is not a positive number, or the reference is not finite.
    pub fn new(
        shape: [usize; 2],
        resolution: [f64; 2],
        reference_index: [f64; 2],
    ) -> Result<Self, Error> {
        if let Some(&n) = shape.iter().find(|&&n| n == 0 || n > MAX_SIDE) {
            let must_be = "from 1 to 65535 cells along each axis";
            return Err(Error::Parameter { name: "shape", value: n as f64, must_be });
        }
        if let Some(&value) = resolution.iter().find(|r| !(r.is_finite() && **r > 0.0)) {
            let must_be = "a positive number";
            return Err(Error::Parameter { name: "resolution", value, must_be });
        }
        if let Some(&value) = reference_index.iter().find(|r| !r.is_finite()) {
            return Err(Error::Parameter { name: "reference_index", value, must_be: "finite" });
        }
        Ok(Self { shape, resolution, reference_index })
    }

    /// `[n_y, n_x]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Size of a cell, `[x, y]`.
    #[must_use]
    pub fn resolution(&self) -> [f64; 2] {
        self.resolution
    }

    /// Map index of the reference position, `[x, y]`.
    #[must_use]
    pub fn reference_index(&self) -> [f64; 2] {
        self.reference_index
    }

    /// Number of cells of one map.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// Map index `[x, y]` of an offset `[x, y]`; where it falls on the map, if it does, [`Grid::cell`] tells.
    #[must_use]
    pub fn index_of(&self, offset: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|i| offset[i] / self.resolution[i] + self.reference_index[i])
    }

    /// Offset `[x, y]` of a map index `[x, y]`.
    #[must_use]
    pub fn offset_of(&self, index: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|i| (index[i] - self.reference_index[i]) * self.resolution[i])
    }

    /// Number of the cell `iy * n_x + ix`, `None` outside of the map.
    #[must_use]
    #[inline]
    pub fn cell(&self, ix: i64, iy: i64) -> Option<usize> {
        let [n_y, n_x] = self.shape;
        let (ix, iy) = (usize::try_from(ix).ok()?, usize::try_from(iy).ok()?);
        // Only then: far outside, the product overflows.
        (ix < n_x && iy < n_y).then(|| iy * n_x + ix)
    }
}

/// Beyond this a side is a mistake: one map alone would fill the memory.
const MAX_SIDE: usize = 65_535;

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_indices_are_inverse() {
        let grid = Grid::new([20, 30], [2.0, 4.0], [14.5, 9.5]).unwrap();
        assert_eq!(grid.index_of([-3.0, 2.0]), [13.0, 10.0]);
        assert_eq!(grid.offset_of([13.0, 10.0]), [-3.0, 2.0]);
        assert_eq!(grid.cell(29, 19), Some(599));
        assert_eq!(
            (grid.cell(30, 0), grid.cell(0, -1), grid.cell(i64::MIN, 3)),
            (None, None, None)
        );
        assert_eq!((grid.cell(0, i64::MAX), grid.cell(i64::MAX, i64::MAX)), (None, None));
    }

    #[test]
    fn a_grid_without_sense_is_refused() {
        assert!(Grid::new([0, 3], [1.0; 2], [0.0; 2]).is_err());
        assert!(Grid::new([3, 3], [1.0, -1.0], [0.0; 2]).is_err());
        assert!(Grid::new([3, 3], [1.0; 2], [f64::NAN, 0.0]).is_err());
    }
}
