//! Sums of weights and exposures that wait until somebody looks at them.
//!
//! All maps that are fed by a call look through the same frames. In a cell, the sum of the frames' weights and their
//! number are therefore the same for all maps, but for a factor of each map, and for samples that were left out. So they
//! are kept once for all maps, with a list of the samples that single maps miss, and need not go into the planes of all
//! maps at each call: of what is read and written of the maps, that is two thirds. Settling them later adds the same
//! numbers in the same order, to the last bit.

use rayon::prelude::*;

use super::layer::{MapTile, TileLayer};
use super::stack::{MapMut, MapsMut};
use super::tile::TILE_CELLS;
use crate::numeric::prefetch::prefetch;
use crate::{Control, Error};

/// A tile is settled when it lists more missed samples than one for so many cells of its maps: of 8 bytes each, that
/// makes one byte for each cell.
const CELLS_OF_A_MISSED: usize = 8;
/// A tile is settled when so many calls wait.
const MOST_LAYERS: usize = 32;

/// Weights, exposures and flags that [`MapsMut::add_points_later`] has collected and that are not in the maps yet.
///
/// They belong to the maps of one stack: [`MapsMut::settle`] adds them.
#[derive(Debug, Default)]
pub struct PendingSums {
    /// That of the stack, once something has been collected.
    shape: Option<[usize; 3]>,
    tiles: Vec<PendingTile>,
}

/// Those of some cells of all maps, call after call.
#[derive(Debug, Default)]
pub(super) struct PendingTile {
    layers: Vec<TileLayer>,
}

impl PendingSums {
    /// Tells whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tiles.iter().all(|tile| tile.layers.is_empty())
    }

    /// Makes sure that it belongs to maps like these.
    pub(super) fn check(&self, maps: &MapsMut<'_>) -> Result<(), Error> {
        match self.shape.filter(|shape| shape != maps.data.shape()) {
            None => Ok(()),
            Some(shape) => {
                let (found, expected) = (shape.to_vec(), maps.data.shape().to_vec());
                Err(Error::Shape { name: "pending", found, expected, of: "the stack" })
            }
        }
    }

    /// What waits for each tile of these maps.
    pub(super) fn tiles(&mut self, maps: &MapsMut<'_>) -> &mut [PendingTile] {
        self.shape = Some(maps.data.dim().into());
        self.tiles.resize_with(maps.grid.n_cells().div_ceil(TILE_CELLS), PendingTile::default);
        &mut self.tiles
    }

    /// Adds all that waits to one map.
    fn add_to(&self, pixel: usize, map: &mut MapMut<'_>) {
        let mut before = Vec::new();
        let tiles = self.tiles.iter().zip(map.reborrow().into_tiles());
        for (number, (pending, mut tile)) in tiles.enumerate() {
            for layer in &pending.layers {
                layer.add_to(pixel, number * TILE_CELLS, &mut tile, &mut before);
            }
        }
    }
}

impl PendingTile {
    /// Takes in what a call adds to the cells from `first` on. It waits with what waits already if `may_wait`, and there
    /// is not too much of it.
    pub(super) fn add(
        &mut self,
        layer: TileLayer,
        first: usize,
        maps: &mut [MapTile<'_>],
        may_wait: bool,
    ) {
        self.layers.push(layer);
        let n_missed: usize = self.layers.iter().flat_map(|l| &l.missed).map(Vec::len).sum();
        let n_cells: usize = maps.iter().map(|map| map.data.len()).sum();
        let is_small = n_missed * CELLS_OF_A_MISSED <= n_cells;
        if may_wait && is_small && self.layers.len() < MOST_LAYERS {
            return;
        }
        let mut before = Vec::new();
        for pixel in 0..maps.len() {
            if let Some(next) = maps.get(pixel + 1) {
                prefetch(next.weight);
                prefetch(next.exposure);
                prefetch(next.flag);
            }
            for layer in &self.layers {
                layer.add_to(pixel, first, &mut maps[pixel], &mut before);
            }
        }
        self.layers.clear();
    }
}

impl MapsMut<'_> {
    /// Adds what waits to the maps; then nothing waits any more. It cannot be stopped halfway.
    ///
    /// # Errors
    /// [`Error::Shape`] if it was collected for a stack of another shape.
    pub fn settle(&mut self, pending: &mut PendingSums) -> Result<(), Error> {
        self.settle_each(pending, false)
    }

    /// [`MapsMut::settle`], and then [`MapsMut::end_accumulation`]; if all maps are to be ended, in one pass through them.
    ///
    /// # Errors
    /// Those of both.
    pub fn settle_and_end(
        &mut self,
        pending: &mut PendingSums,
        pixels: Option<&[usize]>,
        control: &Control,
    ) -> Result<(), Error> {
        if pixels.is_none() && !pending.is_empty() {
            return self.settle_each(pending, true);
        }
        self.settle(pending)?;
        self.end_accumulation(pixels, control)
    }

    fn settle_each(&mut self, pending: &mut PendingSums, makes_means: bool) -> Result<(), Error> {
        pending.check(self)?;
        let pending = std::mem::take(pending);
        if !pending.is_empty() {
            self.maps().into_par_iter().enumerate().for_each(|(pixel, mut map)| {
                pending.add_to(pixel, &mut map);
                if makes_means {
                    map.make_means();
                }
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, Array3};

    use super::*;
    use crate::scan::{Content, Grid, MapStack, Samples};

    const N_FRAMES: usize = 700;
    const N_CHANNELS: usize = 270;
    const DT: f64 = 0.3;

    /// A scan of which one sample in so many is flagged, and one in as many is not a number.
    struct Scan {
        data: Array2<f64>,
        flags: Array2<u8>,
        frames: Array1<f64>,
        gains: Array1<f64>,
        valid: Array1<bool>,
        indices: Array3<i64>,
        channels: Array1<i64>,
    }

    impl Scan {
        fn new(one_in: usize) -> Self {
            let number = |f: usize, c: usize| (f * 7919 + c * 104_729) % (31 * one_in);
            let value = |(f, c)| if number(f, c) == 1 { f64::NAN } else { number(f, c) as f64 };
            let channels = Array1::from_iter((0..N_CHANNELS as i64).rev());
            Self {
                data: Array2::from_shape_fn((N_FRAMES, N_CHANNELS), value),
                flags: Array2::from_shape_fn((N_FRAMES, N_CHANNELS), |(f, c)| {
                    u8::from(number(f, c) % one_in == 0)
                }),
                frames: Array1::from_shape_fn(N_FRAMES, |f| 1.0 + 0.1 * (f as f64).sin()),
                gains: Array1::from_shape_fn(N_CHANNELS, |c| {
                    if c == 5 { 0.0 } else { 1.0 + 1e-3 * c as f64 }
                }),
                valid: Array1::from_shape_fn(N_FRAMES, |f| f % 11 != 0),
                indices: Array3::from_shape_fn((2, N_FRAMES, 1), |(axis, f, _)| {
                    (f * [37, 53][axis] % 23) as i64
                }),
                channels,
            }
        }

        fn samples(&self) -> Samples<'_, f64, u8> {
            Samples {
                frame_data: self.data.view(),
                frame_gains: self.frames.view(),
                frame_weights: self.frames.view(),
                source_gains: self.gains.view(),
                channel_variance: self.gains.view(),
                valid_frames: self.valid.view(),
                map_indices: self.indices.view(),
                channel_indices: self.channels.view(),
                sample_flags: self.flags.view(),
                exclude_sample_flag: 1,
            }
        }
    }

    fn empty() -> MapStack {
        MapStack::new(N_CHANNELS, Grid::new([21, 22], [1.0; 2], [0.0; 2]).unwrap())
    }

    fn assert_same(a: &MapStack, b: &MapStack) {
        let bits = |plane: ndarray::ArrayView3<'_, f64>| plane.mapv(f64::to_bits);
        assert_eq!(bits(a.data()), bits(b.data()));
        assert_eq!(bits(a.weight()), bits(b.weight()));
        assert_eq!(bits(a.exposure()), bits(b.exposure()));
        assert_eq!(a.flag(), b.flag());
        assert_eq!(a.records()[0].content, b.records()[0].content);
    }

    /// One stack to which scans are added at once, one to which they are added later.
    fn both(scans: &[Scan]) -> (MapStack, MapStack, PendingSums) {
        let (mut now, mut later, mut pending) = (empty(), empty(), PendingSums::default());
        let (control, mut n_samples) = (Control::default(), 0);
        for scan in scans {
            let samples = scan.samples();
            let added = now.maps_mut().add_points(&samples, None, DT, &control).unwrap();
            let mut maps = later.maps_mut();
            let same = maps.add_points_later(&samples, None, DT, &mut pending, &control).unwrap();
            assert_eq!(same, added);
            n_samples += added.n_samples;
        }
        assert!((now.exposure().sum() - DT * n_samples as f64).abs() < 1e-6);
        (now, later, pending)
    }

    #[test]
    fn what_waited_makes_no_difference_to_the_last_bit() {
        // Few, many and very many samples left out: the last does not wait, and what waited before goes first.
        for one_in in [[200, 97, 51], [97, 3, 200], [2, 2, 97]] {
            let (now, mut later, mut pending) = both(&one_in.map(Scan::new));
            assert!(!pending.is_empty());
            assert_ne!(now.weight(), later.weight());
            later.maps_mut().settle(&mut pending).unwrap();
            assert!(pending.is_empty());
            assert_same(&later, &now);
            later.maps_mut().settle(&mut pending).unwrap();
            assert_same(&later, &now);
        }
    }

    #[test]
    fn little_waits() {
        let (now, later, pending) = both(&[Scan::new(2)]);
        assert!(pending.is_empty());
        assert_same(&later, &now);
        let scans: Vec<Scan> = (0..MOST_LAYERS).map(|_| Scan::new(5000)).collect();
        let (now, later, pending) = both(&scans);
        assert!(pending.is_empty());
        assert_same(&later, &now);
    }

    #[test]
    fn means_are_made_of_everything() {
        let control = Control::default();
        for pixels in [None, Some(&[3, 0][..])] {
            let (mut now, mut later, mut pending) = both(&[Scan::new(97)]);
            now.maps_mut().end_accumulation(pixels, &control).unwrap();
            later.maps_mut().settle_and_end(&mut pending, pixels, &control).unwrap();
            assert!(pending.is_empty());
            assert_same(&later, &now);
            // Means are made sums by their weights: those must be there.
            let scan = Scan::new(200);
            now.maps_mut().add_points(&scan.samples(), None, DT, &control).unwrap();
            let mut maps = later.maps_mut();
            maps.add_points_later(&scan.samples(), None, DT, &mut pending, &control).unwrap();
            maps.settle(&mut pending).unwrap();
            assert_same(&later, &now);
            assert_eq!(now.records()[0].content, Content::Sums);
        }
    }

    #[test]
    fn it_belongs_to_one_stack() {
        let (.., mut pending) = both(&[Scan::new(97)]);
        let mut other = MapStack::new(2, Grid::new([3, 3], [1.0; 2], [0.0; 2]).unwrap());
        assert!(matches!(other.maps_mut().settle(&mut pending), Err(Error::Shape { .. })));
        assert!(!pending.is_empty());
    }
}
