//! Maps borrowed to be read.

use ndarray::ArrayView3;

use super::grid::Grid;
use super::stack::{Content, MapRecord, MapStack, MapsMut, is_valid};
use crate::Error;

/// The planes of all maps, borrowed to be read; axes are `(n_pixels, n_y, n_x)`.
#[derive(Clone, Copy, Debug)]
pub struct Maps<'a> {
    grid: &'a Grid,
    data: ArrayView3<'a, f64>,
    weight: ArrayView3<'a, f64>,
    flag: ArrayView3<'a, u8>,
    records: &'a [MapRecord],
}

/// One map of a stack, borrowed to be read; slices hold cell `iy * n_x + ix`.
#[derive(Clone, Copy, Debug)]
pub struct MapRef<'a> {
    /// The grid.
    pub grid: &'a Grid,
    /// Sums or means, as `record` says.
    pub data: &'a [f64],
    /// Inverse variances.
    pub weight: &'a [f64],
    /// [`DISCARD`](super::DISCARD) and [`MASK`](super::MASK).
    pub flag: &'a [u8],
    /// What has been done to it.
    pub record: &'a MapRecord,
}

impl<'a> Maps<'a> {
    /// Number of maps.
    #[must_use]
    pub fn n_pixels(&self) -> usize {
        self.records.len()
    }

    /// Checks map numbers; `None` stands for all maps.
    pub(super) fn chosen(&self, pixels: Option<&[usize]>) -> Result<Vec<usize>, Error> {
        let n = self.n_pixels();
        let Some(pixels) = pixels else { return Ok((0..n).collect()) };
        match pixels.iter().position(|&pixel| pixel >= n) {
            Some(position) => {
                let found = i64::try_from(pixels[position]).unwrap_or(i64::MAX);
                Err(Error::Index { name: "pixels", position, found, n })
            }
            None => Ok(pixels.to_vec()),
        }
    }

    /// The grid of all maps.
    #[must_use]
    pub fn grid(&self) -> &'a Grid {
        self.grid
    }

    /// One map; `None` beyond the last one.
    #[must_use]
    pub fn map(&self, pixel: usize) -> Option<MapRef<'a>> {
        let record = self.records.get(pixel)?;
        let (n, grid) = (self.grid.n_cells(), self.grid);
        let cells = pixel * n..(pixel + 1) * n;
        // All of them lie in memory one map after the other: `MapsMut::new` and `MapStack` have seen to it.
        Some(MapRef {
            grid,
            data: self.data.to_slice()?.get(cells.clone())?,
            weight: self.weight.to_slice()?.get(cells.clone())?,
            flag: self.flag.to_slice()?.get(cells)?,
            record,
        })
    }
}

impl MapRef<'_> {
    /// Value and weight of a cell, zero both if it holds no data or its value is infinite; sums become means.
    #[must_use]
    #[inline]
    pub fn value_and_weight(&self, cell: usize) -> (f64, f64) {
        let (data, weight) = (self.data[cell], self.weight[cell]);
        if !(is_valid(data, weight, self.flag[cell]) && data.is_finite()) {
            (0.0, 0.0)
        } else if self.record.content == Content::Sums {
            (data / weight, weight)
        } else {
            (data, weight)
        }
    }
}

impl MapsMut<'_> {
    /// Borrows the maps to read them.
    #[must_use]
    pub fn as_maps(&self) -> Maps<'_> {
        Maps {
            grid: &self.grid,
            data: self.data.view(),
            weight: self.weight.view(),
            flag: self.flag.view(),
            records: self.records,
        }
    }
}

impl MapStack {
    /// Borrows the maps to read them.
    #[must_use]
    pub fn maps(&self) -> Maps<'_> {
        Maps {
            grid: self.grid(),
            data: self.data(),
            weight: self.weight(),
            flag: self.flag(),
            records: self.records(),
        }
    }
}
