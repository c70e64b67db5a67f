//! Sums over the frames that fall on some cells, and how they get into the maps.

use std::ops::Range;

use ndarray::ArrayView1;

use super::Grid;
use super::add::{Added, ChannelFactors};
use super::samples::{Flags, FramesByCell, Run, Samples};
use super::stack::DISCARD;
use crate::numeric::Real;
use crate::numeric::prefetch::prefetch;

/// Cells of a tile: so many that a map's share of it fills half a page of memory.
pub(super) const TILE_CELLS: usize = 256;
/// Columns of a run: so many that a frame's share of it is read in one go, so few that the sums of a tile stay in the
/// second-level cache.
pub(super) const TILE_CHANNELS: usize = 256;
/// Columns that are looked at together: those of one or two cache lines.
const BLOCK: usize = 16;
/// A frame is asked for while the one so many places before it is added.
pub(super) const AHEAD: usize = 4;

/// Some cells of one map.
pub(super) struct MapTile<'a> {
    pub(super) data: &'a mut [f64],
    pub(super) weight: &'a mut [f64],
    pub(super) exposure: &'a mut [f64],
    pub(super) flag: &'a mut [u8],
}

/// Frames sorted by cell, and what each multiplies its samples with.
pub(super) struct SortedFrames {
    by_cell: FramesByCell,
    /// In the order of `by_cell.frames`.
    factors: Vec<FrameSums>,
}

/// What a frame adds.
#[derive(Clone, Copy)]
struct FrameSums {
    /// `w_f g_f`, times the value.
    data: f64,
    /// `w_f g_f^2`.
    weight: f64,
}

impl SortedFrames {
    pub(super) fn new<T: Real, F: Flags>(grid: &Grid, samples: &Samples<'_, T, F>) -> Self {
        let is_used = |frame| samples.frame(frame).is_some();
        let by_cell = FramesByCell::new(grid, samples.map_indices, is_used);
        let factors =
            by_cell.frames.iter().filter_map(|&frame| samples.frame(frame)).map(|frame| {
                let data = frame.weight * frame.gain;
                FrameSums { data, weight: data * frame.gain }
            });
        Self { factors: factors.collect(), by_cell }
    }

    /// Tells whether a frame falls on any of some cells.
    pub(super) fn has_frames(&self, cells: Range<usize>) -> bool {
        self.by_cell.start[cells.start] < self.by_cell.start[cells.end]
    }
}

/// The sums over the frames of some cells, for the columns of a run.
///
/// The sums of weights and the numbers of samples are those of the frames, the same for all columns, but for cells and
/// columns that miss a sample.
pub(super) struct TileSums {
    n_cells: usize,
    /// Sums of weight x gain x value, for each cell those of all columns.
    data: Vec<[f64; TILE_CHANNELS]>,
    /// Sum of weight x gain^2 of each cell.
    weight: [f64; TILE_CELLS],
    /// Number of frames of each cell.
    n_frames: [f64; TILE_CELLS],
    /// Places of its frames in the sorted list.
    places: Vec<Range<usize>>,
    /// What of the flags stays: all of them in a cell without a frame.
    keep: [u8; TILE_CELLS],
    /// Samples that are left out.
    left_out: Vec<LeftOut>,
    /// The same by column, then by cell, then by time.
    by_column: Vec<LeftOut>,
    /// Where in `by_column` each column begins.
    starts: [usize; TILE_CHANNELS + 1],
    /// `data` of a block of columns, for each column those of all cells.
    by_cell: Vec<[f64; TILE_CELLS]>,
    /// For the map that is at hand: cells that miss a sample, with what they hold then.
    exceptions: Vec<Exception>,
}

/// A sample that is left out.
#[derive(Clone, Copy, Default)]
struct LeftOut {
    column: u32,
    cell: u32,
    /// Place of the frame in the sorted list.
    place: u32,
    is_flagged: bool,
}

/// What a cell of a map holds after the samples of a tile, where some were left out.
struct Exception {
    cell: usize,
    weight: f64,
    exposure: f64,
    flag: u8,
}

impl TileSums {
    pub(super) fn new() -> Self {
        Self {
            n_cells: 0,
            data: vec![[0.0; TILE_CHANNELS]; TILE_CELLS],
            weight: [0.0; TILE_CELLS],
            n_frames: [0.0; TILE_CELLS],
            places: Vec::new(),
            keep: [!0; TILE_CELLS],
            left_out: Vec::new(),
            by_column: Vec::new(),
            starts: [0; TILE_CHANNELS + 1],
            by_cell: vec![[0.0; TILE_CELLS]; BLOCK],
            exceptions: Vec::new(),
        }
    }

    /// Sums up the frames of some cells, for the columns of a run.
    pub(super) fn collect<T: Real, F: Flags>(
        &mut self,
        samples: &Samples<'_, T, F>,
        order: &SortedFrames,
        cells: Range<usize>,
        run: &Run,
    ) -> Added {
        let exclude = F::from_mask(samples.exclude_sample_flag);
        let columns = run.first..run.first + run.width();
        let (mut data_row, mut flag_row) = (Vec::new(), Vec::new());
        let first = cells.start;
        self.n_cells = cells.len();
        self.left_out.clear();
        self.places.clear();
        let mut n_frames = 0;
        for cell in cells {
            let places = order.by_cell.start[cell]..order.by_cell.start[cell + 1];
            let cell = cell - first;
            let sums = &mut self.data[cell][..run.width()];
            sums.fill(0.0);
            n_frames += places.len();
            self.places.push(places.clone());
            self.n_frames[cell] = places.len() as f64;
            self.keep[cell] = if places.is_empty() { !0 } else { !DISCARD };
            self.weight[cell] =
                order.factors[places.clone()].iter().map(|frame| frame.weight).sum();
            for place in places {
                if let Some(&next) = order.by_cell.frames.get(place + AHEAD) {
                    prefetch_row(samples.frame_data.row(next), columns.clone());
                    prefetch_row(samples.sample_flags.row(next), columns.clone());
                }
                let frame = order.by_cell.frames[place];
                let data = samples.frame_data.row(frame);
                let data = contiguous(&data, columns.clone(), &mut data_row);
                let flags = samples.sample_flags.row(frame);
                let flags = contiguous(&flags, columns.clone(), &mut flag_row);
                let by = order.factors[place].data;
                add_row(sums, data, flags, exclude, by, |column, is_flagged| {
                    let (column, cell, place) = (column as u32, cell as u32, place as u32);
                    self.left_out.push(LeftOut { column, cell, place, is_flagged });
                });
            }
        }
        // Columns that no map takes were read in passing.
        self.left_out.retain(|sample| run.has(sample.column as usize));
        self.sort_by_column();
        Added {
            n_frames: 0,
            n_samples: n_frames * run.maps.len() - self.left_out.len(),
            n_skipped: self.left_out.iter().filter(|sample| !sample.is_flagged).count(),
        }
    }

    /// Counts, and puts each sample in its place: they come by cell and time, and stay so within a column.
    fn sort_by_column(&mut self) {
        self.starts.fill(0);
        for sample in &self.left_out {
            self.starts[sample.column as usize + 1] += 1;
        }
        for column in 0..TILE_CHANNELS {
            self.starts[column + 1] += self.starts[column];
        }
        let mut next = self.starts;
        self.by_column.clear();
        self.by_column.resize(self.left_out.len(), LeftOut::default());
        for &sample in &self.left_out {
            let place = &mut next[sample.column as usize];
            self.by_column[*place] = sample;
            *place += 1;
        }
    }

    /// Adds the sums of a run to its maps.
    pub(super) fn add_to(
        &mut self,
        maps: &mut [MapTile<'_>],
        order: &SortedFrames,
        run: &Run,
        factors: &[Option<ChannelFactors>],
        dt: f64,
    ) {
        let mut block = usize::MAX;
        for (i, &(column, map)) in run.maps.iter().enumerate() {
            let Some(factors) = factors[map] else { continue };
            if let Some(&(_, next)) = run.maps.get(i + 1) {
                let next = &maps[next];
                prefetch(next.data);
                prefetch(next.weight);
                prefetch(next.exposure);
                prefetch(next.flag);
            }
            if column / BLOCK != block {
                block = column / BLOCK;
                self.transpose(block);
            }
            let map = &mut maps[map];
            self.find_exceptions(map, order, column, factors, dt);
            for (data, sum) in map.data.iter_mut().zip(&self.by_cell[column % BLOCK]) {
                *data += factors.data * sum;
            }
            for (weight, sum) in map.weight.iter_mut().zip(&self.weight) {
                *weight += factors.weight * sum;
            }
            for (exposure, n) in map.exposure.iter_mut().zip(&self.n_frames) {
                *exposure += dt * n;
            }
            for (flag, keep) in map.flag.iter_mut().zip(&self.keep) {
                *flag &= keep;
            }
            for exception in &self.exceptions {
                map.weight[exception.cell] = exception.weight;
                map.exposure[exception.cell] = exception.exposure;
                map.flag[exception.cell] = exception.flag;
            }
        }
    }

    /// Works out what those cells of a map will hold that miss a sample.
    fn find_exceptions(
        &mut self,
        map: &MapTile<'_>,
        order: &SortedFrames,
        column: usize,
        factors: ChannelFactors,
        dt: f64,
    ) {
        self.exceptions.clear();
        let left_out = &self.by_column[self.starts[column]..self.starts[column + 1]];
        for missed in left_out.chunk_by(|a, b| a.cell == b.cell) {
            let cell = missed[0].cell as usize;
            let n_frames = self.n_frames[cell] as usize;
            let mut sum = 0.0;
            let mut missed_places = missed.iter().map(|sample| sample.place as usize).peekable();
            for place in self.places[cell].clone() {
                if missed_places.next_if_eq(&place).is_none() {
                    sum += order.factors[place].weight;
                }
            }
            let n = (n_frames - missed.len()) as f64;
            self.exceptions.push(Exception {
                cell,
                weight: map.weight[cell] + factors.weight * sum,
                exposure: map.exposure[cell] + dt * n,
                flag: if n > 0.0 { map.flag[cell] & !DISCARD } else { map.flag[cell] },
            });
        }
    }

    /// Turns a block of columns around: from one row for each cell to one row for each column.
    fn transpose(&mut self, block: usize) {
        for (cell, sums) in self.data[..self.n_cells].iter().enumerate() {
            let (blocks, _) = sums.as_chunks::<BLOCK>();
            for (column, sum) in blocks[block].iter().enumerate() {
                self.by_cell[column][cell] = *sum;
            }
        }
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

pub(super) fn prefetch_row<A>(row: ArrayView1<'_, A>, columns: Range<usize>) {
    if let Some(row) = row.to_slice() {
        prefetch(&row[columns]);
    }
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
    mut left_out: impl FnMut(usize, bool),
) {
    let mut add_one_by_one = |first: usize, sums: &mut [f64], data: &[T], flags: &[F]| {
        for (i, ((sum, &value), &flag)) in sums.iter_mut().zip(data).zip(flags).enumerate() {
            let value = value.to_f64();
            let is_flagged = flag.has_any(exclude);
            if is_flagged || !value.is_finite() {
                left_out(first + i, is_flagged);
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
