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
        let n_cells = self.grid.n_cells();
        let models = Models {
            data: by_map("data", self.data.view(), n_cells)?,
            weight: by_map("weight", self.weight.view(), n_cells)?,
            flag: by_map("flag", self.flag.view(), n_cells)?,
            base: base.map(|base| by_map("base", base, n_cells)).transpose()?,
            source_gains: input.source_gains,
            sync_gains: input.sync_gains,
            keep: [-1, !input.sample_blank_flag, !input.sample_blank_flag].map(F::from_mask),
            set: [0, 0, input.sample_blank_flag].map(F::from_mask),
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
            let mut sorted: Vec<_> = order
                .frames
                .iter()
                .filter_map(|&f| Some((gain(f), rows[f].take()?)))
                .map(|(gain, (data, flags))| Row { gain, data, flags })
                .collect();
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
                    let mut rows = rows.iter_mut();
                    for cell in cells.clone() {
                        let n = order.start[cell + 1] - order.start[cell];
                        rows.by_ref().take(n).for_each(|row| {
                            prepared.subtract(&models, cell - first, run, row);
                        });
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
                        let (model, cell) = models.change(map, c, cell);
                        data[c] = T::from_f64(data[c].to_f64() - gain(f) * model);
                        flags[c] = models.flags_after(flags[c], cell);
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

/// What is subtracted, from any sample; planes as one slice of cells for each map.
struct Models<'a, F> {
    data: Vec<&'a [f64]>,
    weight: Vec<&'a [f64]>,
    flag: Vec<&'a [u8]>,
    base: Option<Vec<&'a [f64]>>,
    source_gains: ArrayView1<'a, f64>,
    sync_gains: ArrayView1<'a, f64>,
    /// What of a sample's flags stays, and what is set, by [`Cell`].
    keep: [F; 3],
    set: [F; 3],
    blank: F,
}

/// Whether a cell holds data, and is masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cell {
    /// No data: samples stay as they are.
    #[default]
    Empty,
    /// Its samples are not blanked.
    Open,
    /// Its samples are blanked.
    Masked,
}

/// A plane as one slice of cells for each map.
fn by_map<'a, A>(
    name: &'static str,
    plane: ArrayView3<'a, A>,
    n_cells: usize,
) -> Result<Vec<&'a [A]>, Error> {
    Ok(plane.to_slice().ok_or(Error::Layout { name })?.chunks(n_cells).collect())
}

impl<F: Flags> Models<'_, F> {
    /// What samples of `channel` over a cell of `map` lose for a frame of gain 1, and what becomes of their flags.
    #[inline]
    fn change(&self, map: usize, channel: usize, cell: usize) -> (f64, Cell) {
        let (data, flag) = (self.data[map][cell], self.flag[map][cell]);
        if !super::is_valid(data, self.weight[map][cell], flag) {
            return (0.0, Cell::Empty);
        }
        let base = self.base.as_ref().map_or(0.0, |base| base[map][cell]);
        let base = if base.is_nan() { 0.0 } else { base };
        let model = self.source_gains[channel] * data - self.sync_gains[channel] * base;
        // A gain that is not a number would spoil samples for good.
        let model = if model.is_finite() { model } else { 0.0 };
        (model, if flag & MASK == 0 { Cell::Open } else { Cell::Masked })
    }

    fn flags_after(&self, flags: F, cell: Cell) -> F {
        flags.keep_and_set(self.keep[cell as usize], self.set[cell as usize])
    }
}

/// Columns that are prepared together: the numbers of one cell for them fill a cache line.
const BLOCK: usize = 8;

/// The changes over some cells for the columns of a run, for each cell those of all columns.
struct Prepared {
    models: Vec<[f64; TILE_CHANNELS]>,
    cells: Vec<[Cell; TILE_CHANNELS]>,
    /// What all columns of a cell are, if they are alike.
    alike: Vec<Option<Cell>>,
    /// Scratch: the changes of a block of columns, for each column those of all cells.
    block: Vec<[(f64, Cell); TILE_CELLS]>,
}

impl Prepared {
    fn new() -> Self {
        Self {
            models: vec![[0.0; TILE_CHANNELS]; TILE_CELLS],
            cells: vec![[Cell::Empty; TILE_CHANNELS]; TILE_CELLS],
            alike: vec![None; TILE_CELLS],
            block: vec![[(0.0, Cell::Empty); TILE_CELLS]; BLOCK],
        }
    }

    fn fill<F: Flags>(&mut self, models: &Models<'_, F>, tile: Range<usize>, run: &Run) {
        let n_cells = tile.len();
        // Columns in between that belong to no map stay as they are.
        for cell in 0..n_cells {
            self.models[cell].fill(0.0);
            self.cells[cell].fill(Cell::Empty);
        }
        for maps in run.maps.chunks(BLOCK) {
            for (changes, &(column, map)) in self.block.iter_mut().zip(maps) {
                for (change, cell) in changes.iter_mut().zip(tile.clone()) {
                    *change = models.change(map, run.first + column, cell);
                }
            }
            for cell in 0..n_cells {
                for (changes, &(column, _)) in self.block.iter().zip(maps) {
                    (self.models[cell][column], self.cells[cell][column]) = changes[cell];
                }
            }
        }
        for (alike, cells) in self.alike.iter_mut().zip(&self.cells[..n_cells]) {
            let cells = &cells[..run.width()];
            *alike = cells.iter().all(|cell| *cell == cells[0]).then_some(cells[0]);
        }
    }

    /// Changes the samples of one frame over a cell.
    fn subtract<T: Real, F: Flags>(
        &self,
        models: &Models<'_, F>,
        cell: usize,
        run: &Run,
        row: &mut Row<'_, T, F>,
    ) {
        if self.alike[cell] == Some(Cell::Empty) {
            return;
        }
        let columns = run.first..run.first + run.width();
        if row.gain > 0.0 {
            let subtract = |data: &mut T, model: &f64| {
                *data = T::from_f64(data.to_f64() - row.gain * model);
            };
            let mut data = row.data.slice_mut(ndarray::s![columns.clone()]);
            match data.as_slice_mut() {
                Some(data) => {
                    data.iter_mut().zip(&self.models[cell]).for_each(|(d, m)| subtract(d, m));
                }
                None => data.iter_mut().zip(&self.models[cell]).for_each(|(d, m)| subtract(d, m)),
            }
        }
        let mut flags = row.flags.slice_mut(ndarray::s![columns]);
        match (flags.as_slice_mut(), self.alike[cell]) {
            // Most samples are not blanked, and stay so: then there is nothing to write.
            (Some(flags), Some(Cell::Open)) => {
                for block in flags.chunks_mut(BLOCK) {
                    if F::any_of(block).has_any(models.blank) {
                        for flag in block {
                            *flag = models.flags_after(*flag, Cell::Open);
                        }
                    }
                }
            }
            _ => {
                for (flag, &cell) in flags.iter_mut().zip(&self.cells[cell]) {
                    *flag = models.flags_after(*flag, cell);
                }
            }
        }
    }
}
