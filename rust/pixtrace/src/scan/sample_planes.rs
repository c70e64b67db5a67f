//! Maps for the unit tests of this room.

use super::grid::Grid;
use super::stack::{DISCARD, MapMut, MapRecord};

/// The planes of one map.
#[derive(Clone, Debug)]
pub(super) struct Planes {
    pub(super) grid: Grid,
    pub(super) data: Vec<f64>,
    pub(super) weight: Vec<f64>,
    pub(super) exposure: Vec<f64>,
    pub(super) flag: Vec<u8>,
    pub(super) record: MapRecord,
}

impl Planes {
    /// The same number everywhere, weight 1, exposure 2; cells of 2 x 2.
    pub(super) fn flat(shape: [usize; 2], value: f64) -> Self {
        let grid = Grid::new(shape, [2.0; 2], [0.0; 2]).unwrap();
        let n = grid.n_cells();
        Self {
            data: vec![value; n],
            weight: vec![1.0; n],
            exposure: vec![2.0; n],
            flag: vec![0; n],
            record: MapRecord::new(&grid),
            grid,
        }
    }

    /// A source of height `peak` in the middle, FWHM 8 cells, on ripples that stand for noise, with uneven weights and a
    /// hole in every eleventh cell.
    pub(super) fn source(shape: [usize; 2], peak: f64) -> Self {
        let mut planes = Self::flat(shape, 0.0);
        let [n_y, n_x] = shape;
        for cell in 0..n_y * n_x {
            let (x, y) = ((cell % n_x) as f64, (cell / n_x) as f64);
            let r2 = (x - 0.5 * n_x as f64).powi(2) + (y - 0.5 * n_y as f64).powi(2);
            planes.weight[cell] = 1.0 + (cell % 5) as f64;
            planes.exposure[cell] = 0.1 * planes.weight[cell];
            planes.data[cell] = peak * (-0.5 * r2 / 11.54).exp() + (1.7 * cell as f64).sin();
            if cell % 11 == 3 {
                planes.hole(cell);
            }
        }
        planes
    }

    pub(super) fn hole(&mut self, cell: usize) {
        (self.data[cell], self.weight[cell], self.exposure[cell]) = (0.0, 0.0, 0.0);
        self.flag[cell] = DISCARD;
    }

    pub(super) fn map(&mut self) -> MapMut<'_> {
        MapMut {
            grid: &self.grid,
            data: &mut self.data,
            weight: &mut self.weight,
            exposure: &mut self.exposure,
            flag: &mut self.flag,
            record: &mut self.record,
        }
    }
}
