//! Maps borrowed to be read.

use ndarray::ArrayView3;

use super::grid::Grid;
use super::stack::{Content, DISCARD, MapRecord, MapStack, MapsMut};
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
    /// Copies values and weights, zero both where a cell holds no data or an infinite value; sums become means.
    ///
    /// Returns the number of cells that hold data, and their largest weight.
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "a branch for each condition takes three times as long"
    )]
    pub(super) fn copy_valid(&self, value: &mut Vec<f64>, weight: &mut Vec<f64>) -> (usize, f64) {
        value.resize(self.data.len(), 0.0);
        weight.resize(self.data.len(), 0.0);
        let mut n = 0;
        let cells = self.data.iter().zip(self.weight).zip(self.flag);
        let copies = value.iter_mut().zip(weight.iter_mut());
        for ((value, weight), ((&data, &inverse_variance), &flag)) in copies.zip(cells) {
            // The same as `is_valid`, and finite; without a branch for each of the conditions.
            let is_good = (data.abs() < f64::INFINITY)
                & (flag & DISCARD == 0)
                & (inverse_variance > 0.0)
                & (inverse_variance < f64::INFINITY);
            *value = if is_good { data } else { 0.0 };
            *weight = if is_good { inverse_variance } else { 0.0 };
            n += usize::from(is_good);
        }
        if self.record.content == Content::Sums {
            for (value, weight) in value.iter_mut().zip(weight.iter()).filter(|(_, w)| **w > 0.0) {
                *value /= weight;
            }
        }
        (n, highest(weight))
    }
}

/// The largest of some numbers none of which is NaN or negative.
fn highest(numbers: &[f64]) -> f64 {
    // Eight at a time: none waits for the one before it.
    let (chunks, rest) = numbers.as_chunks::<8>();
    let mut lanes = [0.0_f64; 8];
    for chunk in chunks {
        for (lane, &number) in lanes.iter_mut().zip(chunk) {
            *lane = if number > *lane { number } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(0.0, |highest, &number| f64::max(highest, number))
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

#[cfg(test)]
mod tests {
    use super::super::{MASK, is_valid};
    use super::*;

    #[test]
    fn what_is_copied_is_what_is_valid() {
        let cells = [f64::NAN, f64::INFINITY, -2.0, 0.0];
        let weights = [f64::NAN, f64::INFINITY, -1.0, 0.0, 4.0];
        let flags = [0, DISCARD, MASK, DISCARD | MASK];
        let all: Vec<(f64, f64, u8)> = (cells.iter())
            .flat_map(|&c| weights.iter().flat_map(move |&w| flags.map(|f| (c, w, f))))
            .collect();
        let grid = Grid::new([1, all.len()], [1.0; 2], [0.0; 2]).unwrap();
        let mut stack = MapStack::new(1, grid);
        let mut maps = stack.maps_mut();
        maps.records[0].content = Content::Sums;
        for (i, &(data, weight, flag)) in all.iter().enumerate() {
            (maps.data[[0, 0, i]], maps.weight[[0, 0, i]], maps.flag[[0, 0, i]]) =
                (data, weight, flag);
        }
        let (mut values, mut copied) = (Vec::new(), Vec::new());
        let (n, highest) = maps.as_maps().map(0).unwrap().copy_valid(&mut values, &mut copied);
        assert_eq!((n, highest), (4, 4.0));
        for (i, &(data, weight, flag)) in all.iter().enumerate() {
            let is_good = is_valid(data, weight, flag) && data.is_finite();
            let expected = if is_good { (data / weight, weight) } else { (0.0, 0.0) };
            assert_eq!((values[i], copied[i]), expected);
        }
        assert!(maps.as_maps().map(1).is_none());
    }
}
