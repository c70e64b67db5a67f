//! Where in their cells the samples of a map stand.

use super::grid::Grid;

/// Sums over the samples of each cell: of their weight, and of their position about the cell's centre and its squares,
/// each times the weight.
///
/// Binning moves every sample to the centre of its cell. A fit that evaluates its model at the mean position of the
/// samples of a cell, and adds the curvature times half their scatter, does not notice. All pixels of a camera share
/// these sums, but for their flagged samples. Positions are in cells; slices hold cell `iy * n_x + ix`.
#[derive(Clone, Debug, PartialEq)]
pub struct CellMoments {
    /// Sum of the weights.
    pub weight: Vec<f64>,
    /// Sums of weight times `[x, y]`.
    pub first: Vec<[f64; 2]>,
    /// Sums of weight times `[x x, x y, y y]`.
    pub second: Vec<[f64; 3]>,
}

/// Mean position and scatter of the samples of one cell, about its centre, in cells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CellScatter {
    /// Mean `[x, y]`.
    pub mean: [f64; 2],
    /// Covariance `[x x, x y, y y]`.
    pub covariance: [f64; 3],
}

impl CellMoments {
    /// No samples yet.
    #[must_use]
    pub fn new(grid: &Grid) -> Self {
        let n = grid.n_cells();
        Self { weight: vec![0.0; n], first: vec![[0.0; 2]; n], second: vec![[0.0; 3]; n] }
    }

    /// Adds other sums, times a factor.
    pub(super) fn add_times(&mut self, other: &Self, factor: f64) {
        let add = |sums: &mut [f64], terms: &[f64]| {
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum += factor * term;
            }
        };
        add(&mut self.weight, &other.weight);
        add(self.first.as_flattened_mut(), other.first.as_flattened());
        add(self.second.as_flattened_mut(), other.second.as_flattened());
    }

    /// Adds one sample to a cell: `[x, y]` is its position about the centre of the cell, in cells.
    pub fn add(&mut self, cell: usize, weight: f64, [x, y]: [f64; 2]) {
        self.weight[cell] += weight;
        let first = &mut self.first[cell];
        *first = [first[0] + weight * x, first[1] + weight * y];
        let second = &mut self.second[cell];
        *second =
            [second[0] + weight * x * x, second[1] + weight * x * y, second[2] + weight * y * y];
    }

    /// Mean position and scatter in a cell; the centre without scatter, where nothing is known.
    #[must_use]
    pub fn scatter(&self, cell: usize) -> CellScatter {
        let mut sums = CellSums::default();
        sums.add(1.0, self.weight[cell], self.first[cell], self.second[cell]);
        sums.scatter()
    }
}

/// The sums of one cell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CellSums {
    pub(super) weight: f64,
    first: [f64; 2],
    second: [f64; 3],
}

impl CellSums {
    /// Adds other sums, times a factor.
    pub(super) fn add(&mut self, factor: f64, weight: f64, first: [f64; 2], second: [f64; 3]) {
        self.weight += factor * weight;
        for (sum, term) in self.first.iter_mut().zip(first) {
            *sum += factor * term;
        }
        for (sum, term) in self.second.iter_mut().zip(second) {
            *sum += factor * term;
        }
    }

    /// Mean position and scatter; the centre without scatter, if there is no weight.
    pub(super) fn scatter(&self) -> CellScatter {
        let w = self.weight;
        if w.is_nan() || w <= 0.0 {
            return CellScatter::default();
        }
        let mean = self.first.map(|sum| sum / w);
        let [xx, xy, yy] = self.second.map(|sum| sum / w);
        let covariance = [
            (xx - mean[0] * mean[0]).max(0.0),
            xy - mean[0] * mean[1],
            (yy - mean[1] * mean[1]).max(0.0),
        ];
        CellScatter { mean, covariance }
    }
}
