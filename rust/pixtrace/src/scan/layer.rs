//! What one call adds to the weights, exposures and flags of a tile of cells, and how it gets into a map.

use std::sync::Arc;

use super::stack::{DISCARD, MapMut};
use super::tile::{SortedFrames, TILE_CELLS};

/// What one call adds to some cells.
#[derive(Debug)]
pub(super) struct TileLayer {
    pub(super) call: Arc<Call>,
    /// Samples that are left out; for each run of columns by column, cell and time.
    pub(super) missed: Vec<Vec<Missed>>,
}

/// What all maps that a call feeds share.
#[derive(Debug)]
pub(super) struct Call {
    order: Arc<SortedFrames>,
    /// Sum of the weights of the frames of each cell, and their number.
    weight: Vec<f64>,
    n_frames: Vec<f64>,
    maps: Vec<Option<Fed>>,
    dt: f64,
}

impl Call {
    pub(super) fn new(order: &Arc<SortedFrames>, maps: Vec<Option<Fed>>, dt: f64) -> Arc<Self> {
        let (weight, n_frames) = order.totals();
        Arc::new(Self { order: Arc::clone(order), weight, n_frames, maps, dt })
    }
}

/// Where the samples of a map come from, and the factor of its weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fed {
    pub(super) run: usize,
    pub(super) column: u16,
    pub(super) weight: f64,
}

/// A sample that is left out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missed {
    /// Column of its run.
    pub(super) column: u16,
    /// Cell of its tile.
    pub(super) cell: u16,
    /// Place of its frame in the sorted list.
    pub(super) place: u32,
}

/// Some cells of one map.
pub(super) struct MapTile<'a> {
    pub(super) data: &'a mut [f64],
    pub(super) weight: &'a mut [f64],
    pub(super) exposure: &'a mut [f64],
    pub(super) flag: &'a mut [u8],
}

impl<'a> MapMut<'a> {
    pub(super) fn into_tiles(self) -> impl Iterator<Item = MapTile<'a>> {
        (self.data.chunks_mut(TILE_CELLS))
            .zip(self.weight.chunks_mut(TILE_CELLS))
            .zip(self.exposure.chunks_mut(TILE_CELLS))
            .zip(self.flag.chunks_mut(TILE_CELLS))
            .map(|(((data, weight), exposure), flag)| MapTile { data, weight, exposure, flag })
    }

    pub(super) fn reborrow(&mut self) -> MapMut<'_> {
        let Self { grid, data, weight, exposure, flag, record } = self;
        MapMut { grid, data, weight, exposure, flag, record }
    }
}

impl TileLayer {
    /// Adds to the cells of a map from `first` on; `before` is scratch.
    pub(super) fn add_to(
        &self,
        pixel: usize,
        first: usize,
        tile: &mut MapTile<'_>,
        before: &mut Vec<(f64, f64, u8)>,
    ) {
        let call = &*self.call;
        let Some(fed) = call.maps[pixel] else { return };
        let missed = &self.missed[fed.run];
        let of_column = |column| missed.partition_point(|missed| missed.column < column);
        let missed = &missed[of_column(fed.column)..of_column(fed.column + 1)];
        let cells = missed.chunk_by(|a, b| a.cell == b.cell);
        // All cells get what complete ones do. Those that miss a sample are put right afterwards.
        before.clear();
        before.extend(cells.clone().map(|missed| {
            let cell = usize::from(missed[0].cell);
            (tile.weight[cell], tile.exposure[cell], tile.flag[cell])
        }));
        let all = first..first + tile.data.len();
        let n_frames = &call.n_frames[all.clone()];
        for (weight, sum) in tile.weight.iter_mut().zip(&call.weight[all]) {
            *weight += fed.weight * sum;
        }
        for (exposure, n) in tile.exposure.iter_mut().zip(n_frames) {
            *exposure += call.dt * n;
        }
        for (flag, &n) in tile.flag.iter_mut().zip(n_frames) {
            *flag &= kept_flags(n);
        }
        for (missed, &(weight, exposure, flag)) in cells.zip(&*before) {
            let cell = usize::from(missed[0].cell);
            let (sum, n_frames) = call.order.total_without(first + cell, missed);
            tile.weight[cell] = weight + fed.weight * sum;
            tile.exposure[cell] = exposure + call.dt * n_frames;
            tile.flag[cell] = flag & kept_flags(n_frames);
        }
    }
}

/// The flags that a cell keeps after so many frames.
fn kept_flags(n_frames: f64) -> u8 {
    if n_frames > 0.0 { !DISCARD } else { !0 }
}
