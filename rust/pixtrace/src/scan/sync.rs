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

use ndarray::{ArrayView1, ArrayView3, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::sample_flags::Flags;
use super::samples::{
    FramesByCell, LISTED, channels, check_length, check_map_indices, check_shape, listed_by_map,
    runs,
};
use super::stack::MapsMut;
use super::subtract::{Models, Prepared, Row, by_map, less};
use super::tile::{TILE_CELLS, TILE_CHANNELS};
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
    /// `sample_blank_flag` if the cell is flagged [`MASK`](super::MASK) and lose it if not, whatever the gain of the
    /// frame. `base` are the maps of the round before, `(n_pixels, n_y, n_x)`; where it is NaN, nothing was subtracted
    /// then. Samples that are NaN stay NaN. Sums are not maps: call [`MapsMut::end_accumulation`] first.
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
                    prepared.subtract(&models, &mut rows, run);
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
                        data[c] = less(data[c], gain(f), models.change(map, c, cell));
                        flags[c] = models.flags_after(flags[c], models.kind(map, cell));
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
