//! What a fit sees: positions, values and weights of cells, and how far it may go.

use super::beam::{N, Parameters, eigenvalues};
use crate::scan::{CellMoments, Grid};

/// Where the samples of one cell stand, offset and scatter in the unit of the grid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) mean: [f64; 2],
    pub(super) scatter: [f64; 3],
}

/// Positions of the cells of all maps.
#[derive(Debug)]
pub(super) struct Cells {
    pub(super) grid: Grid,
    pub(super) points: Option<Vec<Point>>,
}

impl Cells {
    pub(super) fn new(grid: &Grid, moments: Option<&CellMoments>) -> Self {
        let [x, y] = grid.resolution();
        let n_x = grid.shape()[1];
        let points = moments.map(|moments| {
            let point = |cell: usize| {
                let samples = moments.scatter(cell);
                let index = [(cell % n_x) as f64, (cell / n_x) as f64];
                let mean = grid.offset_of([0, 1].map(|i| index[i] + samples.mean[i]));
                let [xx, xy, yy] = samples.covariance;
                Point { mean, scatter: [xx * x * x, xy * x * y, yy * y * y] }
            };
            (0..grid.n_cells()).map(point).collect()
        });
        Self { grid: *grid, points }
    }
}

/// One map as the fit sees it: no weight where there is no data.
#[derive(Debug)]
pub(super) struct Sky<'a> {
    pub(super) cells: &'a Cells,
    /// Anything finite where the weight is zero.
    pub(super) value: &'a [f64],
    pub(super) weight: &'a [f64],
    /// Taken off all values before they are added up, so that sums of squares lose no digits to it.
    pub(super) reference_level: f64,
    /// The largest weight.
    pub(super) highest_weight: f64,
}

/// What may be fitted, and how far it may go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Parameters that stay where they are.
    pub(super) is_held: [bool; N],
    /// Smallest and largest standard deviation of the beam.
    pub(super) sigma: [f64; 2],
    /// Smallest and largest position, `[x, y]` each.
    pub(super) position: [[f64; 2]; 2],
}

impl Bounds {
    /// Number of parameters that are fitted.
    pub(super) fn n_free(&self) -> usize {
        self.is_held.iter().filter(|held| !**held).count()
    }

    pub(super) fn allow(&self, p: &Parameters) -> bool {
        let [low, high] = eigenvalues(p);
        let is_inside = |i: usize| p[i] >= self.position[0][i] && p[i] <= self.position[1][i];
        let [narrow, wide] = self.sigma;
        low * wide * wide >= 1.0 && high * narrow * narrow <= 1.0 && is_inside(0) && is_inside(1)
    }
}
