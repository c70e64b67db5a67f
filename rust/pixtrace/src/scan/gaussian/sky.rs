//! What a fit sees: positions, values and weights of cells, and how far it may go.

use super::beam::{N, Parameters, eigenvalues};
use crate::scan::{CellScatter, Grid, SampleMoments};

/// Where the samples of one cell stand, offset and scatter in the unit of the grid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) mean: [f64; 2],
    pub(super) scatter: [f64; 3],
}

/// Positions of the cells of all maps.
#[derive(Debug)]
pub(super) struct Cells<'a> {
    pub(super) grid: Grid,
    moments: Option<&'a SampleMoments>,
    /// Those of a map that misses nothing, if there is one layer of moments: no factor of a map matters then.
    shared: Option<Vec<Point>>,
}

impl<'a> Cells<'a> {
    pub(super) fn new(grid: &Grid, moments: Option<&'a SampleMoments>) -> Self {
        let shared = moments.and_then(|moments| {
            let [layer] = moments.layers() else { return None };
            let point = |cell| point(grid, cell, layer.moments.scatter(cell));
            Some((0..grid.n_cells()).map(point).collect())
        });
        Self { grid: *grid, moments, shared }
    }

    /// Tells whether samples are known to scatter in their cells.
    pub(super) fn has_scatter(&self) -> bool {
        self.moments.is_some()
    }

    /// Where the samples of a map stand that fell on a cell.
    pub(super) fn point(&self, map: usize, cell: usize) -> Point {
        let Some(moments) = self.moments else {
            return point(&self.grid, cell, CellScatter::default());
        };
        match &self.shared {
            Some(shared) if moments.is_complete(map, cell) => shared[cell],
            _ => point(&self.grid, cell, moments.scatter(map, cell)),
        }
    }
}

fn point(grid: &Grid, cell: usize, samples: CellScatter) -> Point {
    let ([x, y], n_x) = (grid.resolution(), grid.shape()[1]);
    let index = [(cell % n_x) as f64, (cell / n_x) as f64];
    let mean = grid.offset_of([0, 1].map(|i| index[i] + samples.mean[i]));
    let [xx, xy, yy] = samples.covariance;
    Point { mean, scatter: [xx * x * x, xy * x * y, yy * y * y] }
}

/// One map as the fit sees it: no weight where there is no data.
#[derive(Debug)]
pub(super) struct Sky<'a> {
    pub(super) cells: &'a Cells<'a>,
    /// Number of the map.
    pub(super) map: usize,
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
