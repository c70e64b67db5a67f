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

use std::ops::Range;

use ndarray::{ArrayView1, ArrayView3, ArrayViewMut1, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

use super::lanes::{LANES, all_bits_if, masked, valid_mask};
use super::samples::{
    Flags, FramesByCell, LISTED, Run, channels, check_length, check_map_indices, check_shape,
    listed_by_map, runs,
};
use super::stack::{MASK, MapsMut};
use super::tile::{AHEAD, TILE_CELLS, TILE_CHANNELS, prefetch_row};
use crate::numeric::Real;
use crate::numeric::prefetch::prefetch;
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
        let n_cells = self.grid.n_cells();
        let models = Models {
            data: by_map("data", self.data.view(), n_cells)?,
            weight: by_map("weight", self.weight.view(), n_cells)?,
            flag: by_map("flag", self.flag.view(), n_cells)?,
            base: base.map(|base| by_map("base", base, n_cells)).transpose()?,
            source_gains: input.source_gains,
            sync_gains: input.sync_gains,
            keep: F::from_mask(!input.sample_blank_flag),
            blank: F::from_mask(input.sample_blank_flag),
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
            let mut sorted = Vec::with_capacity(order.frames.len());
            for (cell, places) in order.start.windows(2).enumerate() {
                for &f in &order.frames[places[0]..places[1]] {
                    let row = rows[f].take();
                    sorted.extend(row.map(|(data, flags)| Row {
                        cell,
                        gain: gain(f),
                        data,
                        flags,
                    }));
                }
            }
            let runs = runs(&channels, TILE_CHANNELS);
            // From the end, because a vector is cut there.
            let tiles: Vec<_> = (0..n_cells)
                .step_by(TILE_CELLS)
                .rev()
                .map(|first| (first, sorted.split_off(order.start[first])))
                .filter(|(_, rows)| !rows.is_empty())
                .collect();
            control.expect(tiles.len());
            tiles.into_par_iter().try_for_each_init(Prepared::new, |prepared, (first, mut rows)| {
                control.check()?;
                let cells = first..(first + TILE_CELLS).min(n_cells);
                for run in &runs {
                    prepared.fill(&models, cells.clone(), run);
                    let columns = run.first..run.first + run.width();
                    for k in 0..rows.len() {
                        if let Some(next) = rows.get(k + AHEAD) {
                            prefetch_row(next.data.view(), columns.clone());
                            prefetch_row(next.flags.view(), columns.clone());
                        }
                        let row = &mut rows[k];
                        prepared.subtract(&models, row.cell - first, columns.clone(), row);
                    }
                }
                control.advance(1);
                Ok(())
            })
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
                        let (model, kind) = models.change(map, c, cell);
                        data[c] = T::from_f64(data[c].to_f64() - gain(f) * model);
                        flags[c] = models.flags_after(flags[c], kind);
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

/// One frame.
struct Row<'a, T, F> {
    cell: usize,
    gain: f64,
    data: ArrayViewMut1<'a, T>,
    flags: ArrayViewMut1<'a, F>,
}

/// What is subtracted, from any sample; planes as one slice of cells for each map.
struct Models<'a, F> {
    data: Vec<&'a [f64]>,
    weight: Vec<&'a [f64]>,
    flag: Vec<&'a [u8]>,
    base: Option<Vec<&'a [f64]>>,
    source_gains: ArrayView1<'a, f64>,
    sync_gains: ArrayView1<'a, f64>,
    /// All bits but the one that is set over masked cells, and that bit.
    keep: F,
    blank: F,
}

/// A cell without data: samples stay as they are.
const EMPTY: u8 = 1;
/// A cell whose samples are not blanked.
const OPEN: u8 = 2;
/// A cell whose samples are blanked.
const MASKED: u8 = OPEN << 1;

/// A plane as one slice of cells for each map.
fn by_map<'a, A>(
    name: &'static str,
    plane: ArrayView3<'a, A>,
    n_cells: usize,
) -> Result<Vec<&'a [A]>, Error> {
    Ok(plane.to_slice().ok_or(Error::Layout { name })?.chunks(n_cells).collect())
}

/// What samples of a channel with gains `[G, Y]` lose over a cell for a frame of gain 1, and what the cell is.
///
/// Without a jump: holes come at random, and vectors know none.
#[inline]
fn change(gains: [f64; 2], data: f64, weight: f64, flag: u8, base: f64) -> (f64, u8) {
    let model = gains[0] * data - gains[1] * masked(base, all_bits_if(!base.is_nan()));
    let is_valid = valid_mask(data, weight, flag);
    // A gain that is not a number would spoil samples for good. Infinity times 0 is NaN.
    let model = masked(model, is_valid & all_bits_if(!(0.0 * model).is_nan()));
    let kind = u64::from(OPEN) << u64::from(flag & MASK != 0);
    (model, ((is_valid & kind) | (!is_valid & u64::from(EMPTY))) as u8)
}

impl<F: Flags> Models<'_, F> {
    fn gains(&self, channel: usize) -> [f64; 2] {
        [self.source_gains[channel], self.sync_gains[channel]]
    }

    /// [`change`] of one cell of a map.
    fn change(&self, map: usize, channel: usize, cell: usize) -> (f64, u8) {
        let base = self.base.as_ref().map_or(0.0, |base| base[map][cell]);
        let [data, weight] = [&self.data, &self.weight].map(|plane| plane[map][cell]);
        change(self.gains(channel), data, weight, self.flag[map][cell], base)
    }

    fn prefetch(&self, map: usize, cells: Range<usize>) {
        prefetch(&self.data[map][cells.clone()]);
        prefetch(&self.weight[map][cells.clone()]);
        prefetch(&self.flag[map][cells.clone()]);
        if let Some(base) = &self.base {
            prefetch(&base[map][cells]);
        }
    }

    fn flags_after(&self, flags: F, kind: u8) -> F {
        match kind {
            EMPTY => flags,
            OPEN => flags.keep_and_set(self.keep, F::from_mask(0)),
            _ => flags.keep_and_set(self.keep, self.blank),
        }
    }
}

/// Some cells of a map.
struct Planes<'a> {
    data: &'a [f64],
    weight: &'a [f64],
    flag: &'a [u8],
    base: &'a [f64],
}

impl Planes<'_> {
    /// [`change`] of each cell; adds what the cells are to what was `found` of others.
    fn changes(&self, gains: [f64; 2], models: &mut [f64], kinds: &mut [u8], found: &mut [u8]) {
        let (data, last_data) = self.data.as_chunks::<LANES>();
        let (weight, _) = self.weight.as_chunks::<LANES>();
        let (flag, _) = self.flag.as_chunks::<LANES>();
        let (base, _) = self.base.as_chunks::<LANES>();
        let planes = data.iter().zip(weight).zip(flag).zip(base);
        let to = models.as_chunks_mut::<LANES>().0.iter_mut();
        let to = to.zip(kinds.as_chunks_mut::<LANES>().0).zip(found.as_chunks_mut::<LANES>().0);
        for (((models, kinds), found), (((data, weight), flag), base)) in to.zip(planes) {
            for i in 0..LANES {
                (models[i], kinds[i]) = change(gains, data[i], weight[i], flag[i], base[i]);
                found[i] |= kinds[i];
            }
        }
        for i in self.data.len() - last_data.len()..self.data.len() {
            let (weight, flag, base) = (self.weight[i], self.flag[i], self.base[i]);
            (models[i], kinds[i]) = change(gains, self.data[i], weight, flag, base);
            found[i] |= kinds[i];
        }
    }
}

/// Columns that are prepared together: the numbers of one cell for them fill a cache line.
const BLOCK: usize = 8;

/// The changes over some cells for the columns of a run.
struct Prepared {
    /// For each cell those of all columns.
    models: Vec<[f64; TILE_CHANNELS]>,
    /// What the cells of each column are.
    kinds: Vec<[u8; TILE_CELLS]>,
    /// All that a cell is to any column.
    found: [u8; TILE_CELLS],
    /// Scratch: the changes of a block of columns, for each column those of all cells.
    block: Vec<[f64; TILE_CELLS]>,
}

impl Prepared {
    fn new() -> Self {
        Self {
            models: vec![[0.0; TILE_CHANNELS]; TILE_CELLS],
            kinds: vec![[EMPTY; TILE_CELLS]; TILE_CHANNELS],
            found: [0; TILE_CELLS],
            block: vec![[0.0; TILE_CELLS]; BLOCK],
        }
    }

    fn fill<F: Flags>(&mut self, models: &Models<'_, F>, tile: Range<usize>, run: &Run) {
        let n_cells = tile.len();
        self.found.fill(0);
        if run.width() > run.maps.len() {
            // Columns in between that belong to no map stay as they are.
            self.models.iter_mut().for_each(|cell| cell.fill(0.0));
            self.kinds.iter_mut().for_each(|column| column.fill(EMPTY));
            self.found.fill(EMPTY);
        }
        for (i, maps) in run.maps.chunks(BLOCK).enumerate() {
            for &(_, next) in run.maps.iter().skip((i + 1) * BLOCK).take(BLOCK) {
                models.prefetch(next, tile.clone());
            }
            for (changes, &(column, map)) in self.block.iter_mut().zip(maps) {
                let gains = models.gains(run.first + column);
                let base =
                    models.base.as_ref().map_or(&NO_BASE[..n_cells], |b| &b[map][tile.clone()]);
                let planes = Planes {
                    data: &models.data[map][tile.clone()],
                    weight: &models.weight[map][tile.clone()],
                    flag: &models.flag[map][tile.clone()],
                    base,
                };
                planes.changes(gains, changes, &mut self.kinds[column], &mut self.found);
            }
            for (cell, models) in self.models[..n_cells].iter_mut().enumerate() {
                for (changes, &(column, _)) in self.block.iter().zip(maps) {
                    models[column] = changes[cell];
                }
            }
        }
    }

    /// Changes the samples of one frame over a cell.
    fn subtract<T: Real, F: Flags>(
        &self,
        models: &Models<'_, F>,
        cell: usize,
        columns: Range<usize>,
        row: &mut Row<'_, T, F>,
    ) {
        if self.found[cell] == EMPTY {
            return;
        }
        if row.gain > 0.0 {
            let subtract = |data: &mut T, model: &f64| {
                *data = T::from_f64(data.to_f64() - row.gain * model);
            };
            let mut data = row.data.slice_mut(s![columns.clone()]);
            match data.as_slice_mut() {
                Some(data) => {
                    data.iter_mut().zip(&self.models[cell]).for_each(|(d, m)| subtract(d, m));
                }
                None => data.iter_mut().zip(&self.models[cell]).for_each(|(d, m)| subtract(d, m)),
            }
        }
        let blank = |first: usize, flags: &mut [F]| {
            for (flag, kinds) in flags.iter_mut().zip(&self.kinds[first..]) {
                *flag = models.flags_after(*flag, kinds[cell]);
            }
        };
        let mut flags = row.flags.slice_mut(s![columns]);
        match flags.as_slice_mut() {
            Some(flags) => {
                for (i, flags) in flags.chunks_mut(BLOCK).enumerate() {
                    // Most samples are not blanked, and stay so: then there is nothing to write.
                    if self.found[cell] & MASKED != 0 || F::any_of(flags).has_any(models.blank) {
                        blank(i * BLOCK, flags);
                    }
                }
            }
            None => {
                for (i, flag) in flags.iter_mut().enumerate() {
                    blank(i, std::slice::from_mut(flag));
                }
            }
        }
    }
}

/// What was subtracted before, if nothing was.
const NO_BASE: [f64; TILE_CELLS] = [0.0; TILE_CELLS];
