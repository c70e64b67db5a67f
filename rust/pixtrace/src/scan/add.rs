//! From timestreams straight to maps.
//!
//! All channels of a frame fall on one cell. So the frames are sorted by cell once, and the cells are walked one after
//! the other: every inner loop runs over neighbouring channels of one frame and adds to sums that stay in the cache. A
//! tile of cells is then written to the maps, a few cells of one map at a time. The factors of a channel are common to
//! all its samples and enter at the end:
//!
//! ```text
//! data   += G_c / v_c   * sum(w_f g_f d_fc)
//! weight += G_c^2 / v_c * sum(w_f g_f^2)
//! ```
//!
//! with gain `g_f` and weight `w_f` of a frame, source gain `G_c` and variance `v_c` of a channel.

use std::sync::Arc;

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::layer::{Call, Fed, MapTile, TileLayer};
use super::pending::PendingSums;
use super::sample_flags::Flags;
use super::samples::{LISTED, Run, Samples, check_length, listed_by_map, runs};
use super::stack::{Content, DISCARD, MapMut, MapsMut};
use super::tile::{SortedFrames, TILE_CELLS, TILE_CHANNELS, TileSums};
use super::{CellMoments, Grid};
use crate::numeric::Real;
use crate::{Control, Error};

/// What became of the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Frames that were used, whether or not any of their samples was.
    pub n_frames: usize,
    /// Samples that went into a map.
    pub n_samples: usize,
    /// Samples that would have gone into a map but for their value, or a gain of theirs, which is not finite.
    pub n_skipped: usize,
}

impl std::ops::Add for Added {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            n_frames: self.n_frames + other.n_frames,
            n_samples: self.n_samples + other.n_samples,
            n_skipped: self.n_skipped + other.n_skipped,
        }
    }
}

impl MapsMut<'_> {
    /// Adds samples to the maps: listed channel `k` goes to map `pixels[k]`, or to map `k` if `pixels` is `None`, each
    /// sample with an integration time of `dt`.
    ///
    /// Samples off the map are left out. Those that are not finite, or whose frame or channel has a gain that is not, are
    /// left out and counted; frames and channels whose weight or variance makes no sense are left out (see [`Samples`]). Maps that hold means become sums again
    /// first.
    ///
    /// # Errors
    /// Arrays that do not fit together, channels that do not exist or stand there twice, a `dt` that is not a number;
    /// then no map was changed. [`Error::Cancelled`] leaves the maps in an unknown state.
    pub fn add_points<T: Real, F: Flags>(
        &mut self,
        samples: &Samples<'_, T, F>,
        pixels: Option<&[usize]>,
        dt: f64,
        control: &Control,
    ) -> Result<Added, Error> {
        self.add(samples, pixels, dt, (&mut PendingSums::default(), false), control)
    }

    /// [`MapsMut::add_points`] that changes only the data; weights, exposures and flags wait in `pending`.
    ///
    /// [`MapsMut::settle`] adds them, with the same result to the last bit. Until then these planes lag behind, so that
    /// nothing else may be done with the maps. Where very many samples are left out, or channels have map indices of their
    /// own, nothing is gained by waiting, and they are added at once.
    ///
    /// # Errors
    /// Those of `add_points`.
    pub fn add_points_later<T: Real, F: Flags>(
        &mut self,
        samples: &Samples<'_, T, F>,
        pixels: Option<&[usize]>,
        dt: f64,
        pending: &mut PendingSums,
        control: &Control,
    ) -> Result<Added, Error> {
        self.add(samples, pixels, dt, (pending, true), control)
    }

    fn add<T: Real, F: Flags>(
        &mut self,
        samples: &Samples<'_, T, F>,
        pixels: Option<&[usize]>,
        dt: f64,
        (pending, may_wait): (&mut PendingSums, bool),
        control: &Control,
    ) -> Result<Added, Error> {
        if !dt.is_finite() || dt < 0.0 {
            let must_be = "a time of 0 s or more";
            return Err(Error::Parameter { name: "dt", value: dt, must_be });
        }
        pending.check(self)?;
        let channels = samples.check()?;
        let listed = listed_by_map(pixels, channels.len(), self.n_pixels(), LISTED)?;
        let factors: Vec<_> =
            (listed.iter()).map(|&k| ChannelFactors::new(samples, k?, channels[k?])).collect();
        let are_means = self.records.iter().any(|record| record.content == Content::Means);
        if are_means || !samples.is_index_shared() {
            self.settle(pending)?;
        }
        let is_fed: Vec<bool> = factors.iter().map(Option::is_some).collect();
        self.for_each_map(control, |pixel, mut map| {
            if is_fed[pixel] {
                map.make_sums();
            }
        })?;
        let added = if samples.is_index_shared() {
            self.add_by_cell(samples, &factors, dt, (pending, may_wait), control)?
        } else {
            self.add_by_channel(samples, &factors, dt, control)?
        };
        let fed: Vec<usize> = listed.iter().flatten().copied().collect();
        let n_skipped = added.n_skipped + samples.n_without_gain(&self.grid, &fed, &channels);
        Ok(Added { n_frames: samples.n_used_frames(), n_skipped, ..added })
    }

    fn add_by_cell<T: Real, F: Flags>(
        &mut self,
        samples: &Samples<'_, T, F>,
        factors: &[Option<ChannelFactors>],
        dt: f64,
        (pending, may_wait): (&mut PendingSums, bool),
        control: &Control,
    ) -> Result<Added, Error> {
        let order = Arc::new(SortedFrames::new(&self.grid, samples));
        let channels: Vec<_> = factors.iter().map(|f| f.map(|f| f.channel)).collect();
        let runs = runs(&channels, TILE_CHANNELS);
        let call = Call::new(&order, fed(&runs, factors), dt);
        let n_cells = self.grid.n_cells();
        let pending = pending.tiles(self);
        let mut tiles: Vec<Vec<MapTile<'_>>> =
            (0..n_cells.div_ceil(TILE_CELLS)).map(|_| Vec::with_capacity(factors.len())).collect();
        for map in self.maps() {
            for (tile, part) in tiles.iter_mut().zip(map.into_tiles()) {
                tile.push(part);
            }
        }
        control.expect(tiles.len());
        let parts: Result<Vec<Added>, Error> = tiles
            .into_par_iter()
            .zip(pending)
            .enumerate()
            .map_init(TileSums::new, |sums, (tile, (mut maps, pending))| {
                control.check()?;
                let first = tile * TILE_CELLS;
                let cells = first..(first + TILE_CELLS).min(n_cells);
                let mut added = Added::default();
                if order.has_frames(cells.clone()) {
                    let mut layer = TileLayer { call: Arc::clone(&call), missed: Vec::new() };
                    for run in &runs {
                        let (found, missed) = sums.collect(samples, &order, cells.clone(), run);
                        added = added + found;
                        layer.missed.push(missed);
                        sums.add_to(&mut maps, run, factors);
                    }
                    pending.add(layer, first, &mut maps, may_wait);
                }
                control.advance(1);
                Ok(added)
            })
            .collect();
        Ok(parts?.into_iter().fold(Added::default(), |a, b| a + b))
    }

    fn add_by_channel<T: Real, F: Flags>(
        &mut self,
        samples: &Samples<'_, T, F>,
        factors: &[Option<ChannelFactors>],
        dt: f64,
        control: &Control,
    ) -> Result<Added, Error> {
        let frames: Vec<_> = (0..samples.dim().0)
            .filter_map(|frame| samples.frame(frame).map(|factors| (frame, factors)))
            .collect();
        let exclude = F::from_mask(samples.exclude_sample_flag);
        let parts = self.for_each_map(control, |pixel, map| {
            let mut added = Added::default();
            let Some(factors) = factors[pixel] else { return added };
            let c = factors.channel;
            for &(f, frame) in &frames {
                let indices = (samples.map_indices[[0, f, c]], samples.map_indices[[1, f, c]]);
                let Some(cell) = map.grid.cell(indices.0, indices.1) else { continue };
                if samples.sample_flags[[f, c]].has_any(exclude) {
                    continue;
                }
                let value = samples.frame_data[[f, c]].to_f64();
                if !value.is_finite() {
                    added.n_skipped += 1;
                    continue;
                }
                let weighted = frame.weight * frame.gain;
                map.data[cell] += factors.data * weighted * value;
                map.weight[cell] += factors.weight * weighted * frame.gain;
                map.exposure[cell] += dt;
                map.flag[cell] &= !DISCARD;
                added.n_samples += 1;
            }
            added
        })?;
        Ok(parts.into_iter().fold(Added::default(), |a, b| a + b))
    }
}

impl MapMut<'_> {
    /// Turns means into sums, so that more can be added.
    pub(crate) fn make_sums(&mut self) {
        if self.record.content == Content::Means {
            for (data, weight) in self.data.iter_mut().zip(&*self.weight) {
                *data *= weight;
            }
        }
        self.record.content = Content::Sums;
    }
}

impl CellMoments {
    /// Adds the frames of some samples: `positions` are map indices `[x, y]` as the telescope stood, before rounding.
    ///
    /// Frames weigh `w_f g_f^2`, as their samples do in every map. Nothing happens if channels have map indices of
    /// their own.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one position for each frame.
    pub fn add_frames<T: Real, F: Flags>(
        &mut self,
        grid: &Grid,
        samples: &Samples<'_, T, F>,
        positions: ArrayView2<'_, f64>,
    ) -> Result<(), Error> {
        let n_frames = samples.dim().0;
        if positions.dim().0 != 2 {
            let (found, expected) = (positions.shape().to_vec(), vec![2, n_frames]);
            let of = "`frame_data`";
            return Err(Error::Shape { name: "map_positions", found, expected, of });
        }
        check_length("map_positions", positions.dim().1, n_frames, "the frames of `frame_data`")?;
        if !samples.is_index_shared() {
            return Ok(());
        }
        for f in 0..n_frames {
            let Some(frame) = samples.frame(f) else { continue };
            let (ix, iy) = (samples.map_indices[[0, f, 0]], samples.map_indices[[1, f, 0]]);
            let Some(cell) = grid.cell(ix, iy) else { continue };
            let about = [positions[[0, f]] - ix as f64, positions[[1, f]] - iy as f64];
            if about.iter().all(|x| x.is_finite()) {
                self.add(cell, frame.weight * frame.gain * frame.gain, about);
            }
        }
        Ok(())
    }
}

/// Where in the runs the channel of each map stands, with the factor of its weights.
fn fed(runs: &[Run], factors: &[Option<ChannelFactors>]) -> Vec<Option<Fed>> {
    let mut fed = vec![None; factors.len()];
    for (run, maps) in runs.iter().enumerate() {
        for &(column, map) in &maps.maps {
            let column = column as u16;
            fed[map] = factors[map].map(|factors| Fed { run, column, weight: factors.weight });
        }
    }
    fed
}

/// What a channel multiplies its sums with.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChannelFactors {
    pub(super) channel: usize,
    /// `G_c / v_c`
    pub(super) data: f64,
    /// `G_c^2 / v_c`
    pub(super) weight: f64,
}

impl ChannelFactors {
    /// Those of listed channel `k`, `None` if it adds nothing.
    fn new<T: Real, F: Flags>(
        samples: &Samples<'_, T, F>,
        k: usize,
        channel: usize,
    ) -> Option<Self> {
        let (gain, variance) = (samples.source_gains[channel], samples.channel_variance[k]);
        let data = gain / variance;
        let is_used = gain != 0.0 && variance > 0.0 && data.is_finite();
        is_used.then_some(Self { channel, data, weight: data * gain })
    }
}
