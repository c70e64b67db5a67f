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

use std::ops::Range;

use ndarray::{ArrayView1, ArrayView2, ArrayViewMut2, ArrayViewMut3, Axis};
use rayon::prelude::*;

use super::samples::{
    Flags, FramesByCell, LISTED, Run, Samples, check_length, listed_by_map, runs,
};
use super::stack::{Content, DISCARD, MapMut, MapsMut};
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
    /// Samples that would have gone into a map but for their value, which is not finite.
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
    /// Samples off the map are left out. Those that are not finite are left out and counted; frames and channels whose
    /// gain, weight or variance makes no sense are left out (see [`Samples`]). Maps that hold means become sums again
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
        if !dt.is_finite() || dt < 0.0 {
            let must_be = "a time of 0 s or more";
            return Err(Error::Parameter { name: "dt", value: dt, must_be });
        }
        let channels = samples.check()?;
        let listed = listed_by_map(pixels, channels.len(), self.n_pixels(), LISTED)?;
        let factors: Vec<_> =
            (listed.into_iter()).map(|k| ChannelFactors::new(samples, k?, channels[k?])).collect();
        let is_fed: Vec<bool> = factors.iter().map(Option::is_some).collect();
        self.for_each_map(control, |pixel, mut map| {
            if is_fed[pixel] {
                map.make_sums();
            }
        })?;
        let added = if samples.is_index_shared() {
            self.add_by_cell(samples, &factors, dt, control)?
        } else {
            self.add_by_channel(samples, &factors, dt, control)?
        };
        Ok(Added { n_frames: samples.n_used_frames(), ..added })
    }

    fn add_by_cell<T: Real, F: Flags>(
        &mut self,
        samples: &Samples<'_, T, F>,
        factors: &[Option<ChannelFactors>],
        dt: f64,
        control: &Control,
    ) -> Result<Added, Error> {
        let order = SortedFrames::new(&self.grid, samples);
        let channels: Vec<_> = factors.iter().map(|f| f.map(|f| f.channel)).collect();
        let runs = runs(&channels, TILE_CHANNELS);
        let (n_maps, n_cells) = (self.n_pixels(), self.grid.n_cells());
        let [data, weight, exposure] = [&mut self.data, &mut self.weight, &mut self.exposure]
            .map(|plane| flat(plane.view_mut(), n_maps, n_cells));
        let flag = flat(self.flag.view_mut(), n_maps, n_cells);
        let tiles = by_tile(data?)
            .into_iter()
            .zip(by_tile(weight?))
            .zip(by_tile(exposure?))
            .zip(by_tile(flag?))
            .enumerate()
            .filter(|(tile, _)| {
                let first = tile * TILE_CELLS;
                (first..(first + TILE_CELLS).min(n_cells)).any(|c| !order.by_cell.of(c).is_empty())
            })
            .collect::<Vec<_>>();
        control.expect(tiles.len());
        let parts: Result<Vec<Added>, Error> = tiles
            .into_par_iter()
            .map_init(Tile::new, |sums, (tile, (((data, weight), exposure), flag))| {
                control.check()?;
                let mut planes = TilePlanes { data, weight, exposure, flag };
                let mut added = Added::default();
                for run in &runs {
                    added = added + sums.collect(samples, &order, tile * TILE_CELLS, run);
                    planes.add(sums, run, factors, dt);
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

/// What a channel multiplies its sums with.
#[derive(Clone, Copy, Debug)]
struct ChannelFactors {
    channel: usize,
    /// `G_c / v_c`
    data: f64,
    /// `G_c^2 / v_c`
    weight: f64,
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

/// Planes of some cells of all maps, `(n_maps, n_cells)`.
struct TilePlanes<'a> {
    data: ArrayViewMut2<'a, f64>,
    weight: ArrayViewMut2<'a, f64>,
    exposure: ArrayViewMut2<'a, f64>,
    flag: ArrayViewMut2<'a, u8>,
}

impl TilePlanes<'_> {
    /// Adds the sums of a run to its maps.
    fn add(&mut self, tile: &mut Tile, run: &Run, factors: &[Option<ChannelFactors>], dt: f64) {
        let n_cells = self.data.len_of(Axis(1));
        let mut block = usize::MAX;
        let mut exceptions = tile.exceptions.as_slice();
        for &(column, map) in &run.maps {
            let Some(factors) = factors[map] else { continue };
            if column / BLOCK != block {
                block = column / BLOCK;
                transpose(&tile.sums, block, &mut tile.by_cell);
            }
            let (mut data, mut weight) = (self.data.row_mut(map), self.weight.row_mut(map));
            let (mut exposure, mut flag) = (self.exposure.row_mut(map), self.flag.row_mut(map));
            // Rows of contiguous planes are slices.
            let (Some(data), Some(weight), Some(exposure), Some(flag)) = (
                data.as_slice_mut(),
                weight.as_slice_mut(),
                exposure.as_slice_mut(),
                flag.as_slice_mut(),
            ) else {
                continue;
            };
            let n_before = exceptions.partition_point(|exception| exception.column < column);
            let n_here =
                exceptions[n_before..].partition_point(|exception| exception.column == column);
            let here = &exceptions[n_before..n_before + n_here];
            exceptions = &exceptions[n_before + n_here..];
            tile.kept.clear();
            tile.kept.extend(here.iter().map(|e| (weight[e.cell], exposure[e.cell], flag[e.cell])));
            for (data, sum) in data.iter_mut().zip(&tile.by_cell[column % BLOCK][..n_cells]) {
                *data += factors.data * sum;
            }
            for (weight, sum) in weight.iter_mut().zip(&tile.weight[..n_cells]) {
                *weight += factors.weight * sum;
            }
            for (exposure, n) in exposure.iter_mut().zip(&tile.n_frames[..n_cells]) {
                *exposure += dt * n;
            }
            for (flag, keep) in flag.iter_mut().zip(&tile.keep[..n_cells]) {
                *flag &= keep;
            }
            for (e, kept) in here.iter().zip(&tile.kept) {
                weight[e.cell] = kept.0 + factors.weight * e.weight;
                exposure[e.cell] = kept.1 + dt * e.n_samples;
                flag[e.cell] = if e.n_samples > 0.0 { kept.2 & !DISCARD } else { kept.2 };
            }
        }
    }
}

/// Cells of a tile: so many that a map's share of it fills some cache lines.
const TILE_CELLS: usize = 128;
/// Columns of a run: so many that a frame's share of it is read in one go, so few that the sums of a tile stay in the
/// second-level cache.
const TILE_CHANNELS: usize = 256;
/// Columns that are looked at together: those of one or two cache lines.
const BLOCK: usize = 16;

/// The sums over the frames of some cells, for the columns of a run.
///
/// The sums of weights and the numbers of samples are those of the frames, the same for all columns, but for the
/// exceptions: cells and columns that miss a sample.
struct Tile {
    /// Sums of weight x gain x value, for each cell those of all columns.
    sums: Vec<[f64; TILE_CHANNELS]>,
    /// Sum of weight x gain^2 of each cell.
    weight: [f64; TILE_CELLS],
    /// Number of frames of each cell.
    n_frames: [f64; TILE_CELLS],
    /// What of the flags stays: all of them in a cell without a frame.
    keep: [u8; TILE_CELLS],
    /// By column, then by cell.
    exceptions: Vec<Exception>,
    /// Scratch: samples that are left out, `(column, cell)`.
    left_out: Vec<(usize, usize)>,
    /// Scratch: `sums` of some columns, for each column those of all cells.
    by_cell: [[f64; TILE_CELLS]; BLOCK],
    /// Scratch: weight, exposure and flag before anything was added, for the exceptions of one map.
    kept: Vec<(f64, f64, u8)>,
}

/// Sums over those samples of a cell and column that are not left out, where some are.
struct Exception {
    column: usize,
    cell: usize,
    weight: f64,
    n_samples: f64,
}

impl Tile {
    fn new() -> Self {
        Self {
            sums: vec![[0.0; TILE_CHANNELS]; TILE_CELLS],
            weight: [0.0; TILE_CELLS],
            n_frames: [0.0; TILE_CELLS],
            keep: [!0; TILE_CELLS],
            exceptions: Vec::new(),
            left_out: Vec::new(),
            by_cell: [[0.0; TILE_CELLS]; BLOCK],
            kept: Vec::new(),
        }
    }

    /// Sums up the frames of the cells from `first` on, for the columns of a run.
    fn collect<T: Real, F: Flags>(
        &mut self,
        samples: &Samples<'_, T, F>,
        order: &SortedFrames,
        first: usize,
        run: &Run,
    ) -> Added {
        let exclude = F::from_mask(samples.exclude_sample_flag);
        let columns = run.first..run.first + run.width();
        let n_cells = (order.by_cell.n_cells() - first).min(TILE_CELLS);
        let (mut data_row, mut flag_row) = (Vec::new(), Vec::new());
        let mut n_samples = 0;
        self.left_out.clear();
        for cell in 0..n_cells {
            let frames = order.by_cell.of(first + cell);
            let sums = &mut self.sums[cell][..run.width()];
            sums.fill(0.0);
            self.weight[cell] = 0.0;
            self.n_frames[cell] = frames.len() as f64;
            self.keep[cell] = if frames.is_empty() { !0 } else { !DISCARD };
            n_samples += frames.len() * run.maps.len();
            for &f in frames {
                let frame = order.factors[f];
                self.weight[cell] += frame.weight;
                let data = samples.frame_data.row(f);
                let data = contiguous(&data, columns.clone(), &mut data_row);
                let flags = samples.sample_flags.row(f);
                let flags = contiguous(&flags, columns.clone(), &mut flag_row);
                add_row(sums, data, flags, exclude, frame.data, |column| {
                    self.left_out.push((column, cell));
                });
            }
        }
        let n_skipped = self.except(samples, order, first, run);
        let n_left_out = self.left_out.len();
        Added { n_frames: 0, n_samples: n_samples - n_left_out, n_skipped }
    }

    /// Works out the sums of the cells and columns that miss a sample; returns how many of those are not finite.
    fn except<T: Real, F: Flags>(
        &mut self,
        samples: &Samples<'_, T, F>,
        order: &SortedFrames,
        first: usize,
        run: &Run,
    ) -> usize {
        let exclude = F::from_mask(samples.exclude_sample_flag);
        // Columns that no map takes were read in passing.
        self.left_out.retain(|&(column, _)| run.has(column));
        self.left_out.sort_unstable();
        self.exceptions.clear();
        let mut n_skipped = 0;
        for same in self.left_out.chunk_by(|a, b| a == b) {
            let (column, cell) = same[0];
            let mut exception = Exception { column, cell, weight: 0.0, n_samples: 0.0 };
            for &f in order.by_cell.of(first + cell) {
                let at = [f, run.first + column];
                if samples.sample_flags[at].has_any(exclude) {
                    continue;
                }
                if samples.frame_data[at].to_f64().is_finite() {
                    exception.weight += order.factors[f].weight;
                    exception.n_samples += 1.0;
                } else {
                    n_skipped += 1;
                }
            }
            self.exceptions.push(exception);
        }
        n_skipped
    }
}

/// Frames sorted by cell, and what each multiplies its samples with.
struct SortedFrames {
    by_cell: FramesByCell,
    factors: Vec<FrameSums>,
}

/// What a frame adds.
#[derive(Clone, Copy, Default)]
struct FrameSums {
    /// `w_f g_f`, times the value.
    data: f64,
    /// `w_f g_f^2`.
    weight: f64,
}

impl SortedFrames {
    fn new<T: Real, F: Flags>(grid: &Grid, samples: &Samples<'_, T, F>) -> Self {
        let is_used = |frame| samples.frame(frame).is_some();
        let by_cell = FramesByCell::new(grid, samples.map_indices, is_used);
        let factors = (0..samples.dim().0).map(|frame| {
            let Some(frame) = samples.frame(frame) else { return FrameSums::default() };
            let data = frame.weight * frame.gain;
            FrameSums { data, weight: data * frame.gain }
        });
        Self { by_cell, factors: factors.collect() }
    }
}

/// The elements of a row at `columns`; a copy in `scratch`, if they do not lie one after the other.
fn contiguous<'a, A: Copy>(
    row: &'a ArrayView1<'_, A>,
    columns: Range<usize>,
    scratch: &'a mut Vec<A>,
) -> &'a [A] {
    if let Some(row) = row.as_slice() {
        return &row[columns];
    }
    scratch.clear();
    scratch.extend(columns.map(|column| row[column]));
    scratch
}

/// Adds one frame's samples, times `by`, to the sums of its cell, and names those that are left out.
///
/// Most blocks of samples are good. That is found out first, without a branch for each sample, so that the additions
/// of a good block are made several at a time.
#[inline]
fn add_row<T: Real, F: Flags>(
    sums: &mut [f64],
    data: &[T],
    flags: &[F],
    exclude: F,
    by: f64,
    mut left_out: impl FnMut(usize),
) {
    let mut add_one_by_one = |first: usize, sums: &mut [f64], data: &[T], flags: &[F]| {
        for (i, ((sum, &value), &flag)) in sums.iter_mut().zip(data).zip(flags).enumerate() {
            let value = value.to_f64();
            if flag.has_any(exclude) || !value.is_finite() {
                left_out(first + i);
            } else {
                *sum += by * value;
            }
        }
    };
    let (sum_blocks, sum_rest) = sums.as_chunks_mut::<BLOCK>();
    let (data_blocks, data_rest) = data.as_chunks::<BLOCK>();
    let (flag_blocks, flag_rest) = flags.as_chunks::<BLOCK>();
    let n_blocks = sum_blocks.len();
    for (block, ((sums, data), flags)) in
        sum_blocks.iter_mut().zip(data_blocks).zip(flag_blocks).enumerate()
    {
        let products = data.map(|value| by * value.to_f64());
        let are_finite = products.iter().fold(true, |all, product| all & product.is_finite());
        if are_finite && !F::any_of(flags).has_any(exclude) {
            for (sum, product) in sums.iter_mut().zip(products) {
                *sum += product;
            }
        } else {
            add_one_by_one(block * BLOCK, sums, data, flags);
        }
    }
    add_one_by_one(n_blocks * BLOCK, sum_rest, data_rest, flag_rest);
}

/// Turns a block of columns around: from one row for each cell to one row for each column.
fn transpose(
    sums: &[[f64; TILE_CHANNELS]],
    block: usize,
    by_cell: &mut [[f64; TILE_CELLS]; BLOCK],
) {
    for (cell, sums) in sums.iter().enumerate() {
        let (blocks, _) = sums.as_chunks::<BLOCK>();
        for (column, sum) in blocks[block].iter().enumerate() {
            by_cell[column][cell] = *sum;
        }
    }
}

/// `(n_maps, n_y, n_x)` as `(n_maps, n_cells)`.
fn flat<A>(
    plane: ArrayViewMut3<'_, A>,
    n_maps: usize,
    n_cells: usize,
) -> Result<ArrayViewMut2<'_, A>, Error> {
    plane.into_shape_with_order((n_maps, n_cells)).map_err(|_| Error::Layout { name: "data" })
}

/// Cut into tiles of cells.
fn by_tile<A>(plane: ArrayViewMut2<'_, A>) -> Vec<ArrayViewMut2<'_, A>> {
    let mut rest = plane;
    let mut tiles = Vec::new();
    while rest.len_of(Axis(1)) > TILE_CELLS {
        let (tile, others) = rest.split_at(Axis(1), TILE_CELLS);
        tiles.push(tile);
        rest = others;
    }
    tiles.push(rest);
    tiles
}
