//! Subtraction of the maps from timestreams.
//!
//! A sample of channel `c` in frame `f`, over the cell `i` of its map, loses
//!
//! ```text
//! g_f (G_c map_i - Y_c base_i)
//! ```
//!
//! where `G_c` is the present source gain of the channel and `Y_c` the one with which `base`, the map of the round
//! before, was subtracted. As in `add.rs`, frames are sorted by cell and a tile of cells is prepared for many channels.

use ndarray::{ArrayView1, ArrayView3, ArrayViewMut1, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::samples::{
    Flags, FramesByCell, LISTED, Run, channels, check_length, check_map_indices, check_shape,
    listed_by_map, runs,
};
use super::stack::{MASK, MapsMut};
use crate::numeric::Real;
use crate::{Control, Error};

/// Timestreams and what to subtract from them.
#[derive(Debug)]
pub struct SyncInput<'a, T, F> {
    /// Signal, `(n_frames, n_channels)`; changed in place.
    pub frame_data: ArrayViewMut2<'a, T>,
    /// Frames that may be used.
    pub frame_valid: ArrayView1<'a, bool>,
    /// Gain of each frame. Nothing is subtracted where it is 0 or less, or not finite.
    pub frame_gains: ArrayView1<'a, f64>,
    /// The channels from which something is subtracted, each with a map of its own.
    pub channel_indices: ArrayView1<'a, i64>,
    /// Map index `[x, y]` of each frame, `(2, n_frames, 1)`, or of each sample, `(2, n_frames, n_channels)`.
    pub map_indices: ArrayView3<'a, i64>,
    /// Gain to the source of each of the `n_channels`.
    pub source_gains: ArrayView1<'a, f64>,
    /// Gains with which `base` was subtracted before.
    pub sync_gains: ArrayView1<'a, f64>,
    /// Flags, `(n_frames, n_channels)`; changed in place.
    pub sample_flags: ArrayViewMut2<'a, F>,
    /// Flag of the samples on cells that are masked.
    pub sample_blank_flag: i64,
}

impl MapsMut<'_> {
    /// Subtracts the maps from timestreams, and marks the samples over masked cells.
    ///
    /// Listed channel `k` belongs to map `pixels[k]`, or to map `k` if `pixels` is `None`.
    ///
    /// Cells without data, and samples off the map, change nothing. On cells with data, samples get
    /// `sample_blank_flag` if the cell is flagged [`MASK`] and lose it if not, whatever the gain of the frame. `base` are
    /// the maps of the round before, `(n_pixels, n_y, n_x)`; where it is NaN, nothing was subtracted then. Samples that
    /// are NaN stay NaN. Sums are not maps: call [`MapsMut::end_accumulation`] first.
    ///
    /// # Errors
    /// Arrays that do not fit together, channels that do not exist or stand there twice, maps that hold sums; then
    /// nothing was changed. [`Error::Cancelled`] leaves the timestreams in an unknown state.
    pub fn sync<T: Real, F: Flags>(
        &self,
        base: Option<ArrayView3<'_, f64>>,
        mut input: SyncInput<'_, T, F>,
        pixels: Option<&[usize]>,
        control: &Control,
    ) -> Result<(), Error> {
        let channels = self.check(base, &input, pixels)?;
        let models = Models {
            n_x: self.grid.shape()[1],
            data: self.data.view(),
            weight: self.weight.view(),
            flag: self.flag.view(),
            base,
            source_gains: input.source_gains,
            sync_gains: input.sync_gains,
            blank: F::from_mask(input.sample_blank_flag),
            not_blank: F::from_mask(!input.sample_blank_flag),
            all: F::from_mask(-1),
            none: F::from_mask(0),
        };
        let gain = |f: usize| {
            let gain = input.frame_gains[f];
            if gain > 0.0 && gain.is_finite() { gain } else { 0.0 }
        };
        let rows = input.frame_data.axis_iter_mut(Axis(0));
        let rows = rows.zip(input.sample_flags.axis_iter_mut(Axis(0)));
        if input.map_indices.dim().2 == 1 {
            let order = FramesByCell::new(&self.grid, input.map_indices, |f| input.frame_valid[f]);
            let mut rows: Vec<_> = rows.map(Some).collect();
            let mut sorted: Vec<_> = order
                .frames
                .iter()
                .filter_map(|&f| Some((gain(f), rows[f].take()?)))
                .map(|(gain, (data, flags))| Row { gain, data, flags })
                .collect();
            let runs = runs(&channels, TILE_CHANNELS);
            let n_cells = self.grid.n_cells();
            // From the end, because a vector is cut there.
            let tiles: Vec<_> = (0..n_cells)
                .step_by(TILE_CELLS)
                .rev()
                .map(|first| (first, sorted.split_off(order.start[first])))
                .filter(|(_, rows)| !rows.is_empty())
                .collect();
            control.expect(tiles.len());
            tiles.into_par_iter().try_for_each_init(
                || Prepared::new(&models),
                |prepared, (first, mut rows)| {
                    control.check()?;
                    let cells = first..(first + TILE_CELLS).min(n_cells);
                    for run in &runs {
                        prepared.fill(&models, cells.clone(), run);
                        let mut rows = rows.iter_mut();
                        for cell in cells.clone() {
                            let n = order.start[cell + 1] - order.start[cell];
                            rows.by_ref().take(n).for_each(|row| {
                                prepared.subtract(cell - first, run, row);
                            });
                        }
                    }
                    control.advance(1);
                    Ok(())
                },
            )
        } else {
            control.expect(input.frame_valid.len());
            let rows: Vec<_> = rows.enumerate().collect();
            rows.into_par_iter().try_for_each(|(f, (mut data, mut flags))| {
                control.check()?;
                control.advance(1);
                if !input.frame_valid[f] {
                    return Ok(());
                }
                for (map, &c) in channels.iter().enumerate() {
                    let Some(c) = c else { continue };
                    let (x, y) = (input.map_indices[[0, f, c]], input.map_indices[[1, f, c]]);
                    if let Some(cell) = self.grid.cell(x, y) {
                        let change = models.change(map, c, cell);
                        data[c] = change.of_data(data[c], gain(f));
                        flags[c] = flags[c].keep_and_set(change.keep, change.set);
                    }
                }
                Ok(())
            })
        }
    }

    fn check<T: Real, F: Flags>(
        &self,
        base: Option<ArrayView3<'_, f64>>,
        input: &SyncInput<'_, T, F>,
        pixels: Option<&[usize]>,
    ) -> Result<Vec<Option<usize>>, Error> {
        let (n_frames, n_channels) = input.frame_data.dim();
        check_length("frame_valid", input.frame_valid.len(), n_frames, FRAMES)?;
        check_length("frame_gains", input.frame_gains.len(), n_frames, FRAMES)?;
        check_length("source_gains", input.source_gains.len(), n_channels, CHANNELS)?;
        check_length("sync_gains", input.sync_gains.len(), n_channels, CHANNELS)?;
        check_shape("sample_flags", input.sample_flags.shape(), &[n_frames, n_channels])?;
        check_map_indices(input.map_indices, n_frames, n_channels)?;
        if let Some(base) = base
            && base.shape() != self.data.shape()
        {
            let (found, expected) = (base.shape().to_vec(), self.data.shape().to_vec());
            return Err(Error::Shape { name: "base", found, expected, of: "the maps" });
        }
        self.require_means(pixels)?;
        let channels = channels(input.channel_indices, n_channels)?;
        let listed = listed_by_map(pixels, channels.len(), self.n_pixels(), LISTED)?;
        Ok(listed.into_iter().map(|k| Some(channels[k?])).collect())
    }
}

const FRAMES: &str = "the frames of `frame_data`";
const CHANNELS: &str = "the channels of `frame_data`";
/// Cells of a tile.
const TILE_CELLS: usize = 128;
/// Columns of a run.
const TILE_CHANNELS: usize = 256;

/// One frame.
struct Row<'a, T, F> {
    gain: f64,
    data: ArrayViewMut1<'a, T>,
    flags: ArrayViewMut1<'a, F>,
}

/// What is subtracted, from any sample.
struct Models<'a, F> {
    n_x: usize,
    data: ArrayView3<'a, f64>,
    weight: ArrayView3<'a, f64>,
    flag: ArrayView3<'a, u8>,
    base: Option<ArrayView3<'a, f64>>,
    source_gains: ArrayView1<'a, f64>,
    sync_gains: ArrayView1<'a, f64>,
    blank: F,
    not_blank: F,
    all: F,
    none: F,
}

/// What happens to a sample: it loses `model` times the gain of the frame; of its flags `keep` stay and `set` are set.
struct Change<F> {
    model: f64,
    keep: F,
    set: F,
}

impl<F: Flags> Change<F> {
    fn of_data<T: Real>(&self, data: T, gain: f64) -> T {
        T::from_f64(data.to_f64() - gain * self.model)
    }
}

impl<F: Flags> Models<'_, F> {
    /// What happens to samples of `channel` over a cell of `map`.
    fn change(&self, map: usize, channel: usize, cell: usize) -> Change<F> {
        let at = [map, cell / self.n_x, cell % self.n_x];
        let (data, flag) = (self.data[at], self.flag[at]);
        if !super::is_valid(data, self.weight[at], flag) {
            return Change { model: 0.0, keep: self.all, set: self.none };
        }
        let base = self.base.map_or(0.0, |base| base[at]);
        let base = if base.is_nan() { 0.0 } else { base };
        let model = self.source_gains[channel] * data - self.sync_gains[channel] * base;
        let set = if flag & MASK == 0 { self.none } else { self.blank };
        // A gain that is not a number would spoil samples for good.
        Change { model: if model.is_finite() { model } else { 0.0 }, keep: self.not_blank, set }
    }
}

/// The changes over some cells for the columns of a run, for each cell those of all columns.
struct Prepared<F> {
    models: Vec<[f64; TILE_CHANNELS]>,
    keep: Vec<[F; TILE_CHANNELS]>,
    set: Vec<[F; TILE_CHANNELS]>,
}

impl<F: Flags> Prepared<F> {
    fn new(models: &Models<'_, F>) -> Self {
        Self {
            models: vec![[0.0; TILE_CHANNELS]; TILE_CELLS],
            keep: vec![[models.all; TILE_CHANNELS]; TILE_CELLS],
            set: vec![[models.none; TILE_CHANNELS]; TILE_CELLS],
        }
    }

    fn fill(&mut self, models: &Models<'_, F>, cells: std::ops::Range<usize>, run: &Run) {
        let n_cells = cells.len();
        // Columns in between that belong to no map stay as they are.
        for cell in 0..n_cells {
            self.models[cell].fill(0.0);
            self.keep[cell].fill(models.all);
            self.set[cell].fill(models.none);
        }
        for &(column, map) in &run.maps {
            for cell in cells.clone() {
                let change = models.change(map, run.first + column, cell);
                let at = cell - cells.start;
                self.models[at][column] = change.model;
                self.keep[at][column] = change.keep;
                self.set[at][column] = change.set;
            }
        }
    }

    /// Changes the samples of one frame over a cell.
    fn subtract<T: Real>(&self, cell: usize, run: &Run, row: &mut Row<'_, T, F>) {
        let columns = run.first..run.first + run.width();
        let (models, keep, set) = (&self.models[cell], &self.keep[cell], &self.set[cell]);
        let data = row.data.slice_mut(ndarray::s![columns.clone()]).into_iter();
        if row.gain > 0.0 {
            for (data, model) in data.zip(models) {
                *data = T::from_f64(data.to_f64() - row.gain * model);
            }
        }
        let flags = row.flags.slice_mut(ndarray::s![columns]).into_iter();
        for ((flag, &keep), &set) in flags.zip(keep).zip(set) {
            *flag = flag.keep_and_set(keep, set);
        }
    }
}
