//! Sums over the frames that fall on some cells, and how they get into the maps.

use std::ops::Range;

use ndarray::{ArrayView1, ArrayView2, Axis};

use super::Grid;
use super::add::{Added, ChannelFactors};
use super::lanes::LANES;
use super::layer::{MapTile, Missed};
use super::sample_flags::{FLAGS_TOGETHER, Flags};
use super::samples::{FramesByCell, Run, Samples};
use crate::numeric::Real;
use crate::numeric::prefetch::prefetch;

/// Cells of a tile: so many that a map's share of it fills half a page of memory.
pub(super) const TILE_CELLS: usize = 256;
/// Columns of a run: so many that a frame's share of it is read in one go, so few that the sums of a tile stay in the
/// second-level cache.
pub(super) const TILE_CHANNELS: usize = 256;
/// Columns that are looked at together: those of one or two cache lines.
const BLOCK: usize = FLAGS_TOGETHER;
/// Columns that are turned around together: their sums of a cell fill a cache line.
const TURNED: usize = 8;
/// Columns from one cell to the next in a tile that is turned around: were that a power of two, the numbers of a column
/// would get in each other's way in the cache.
pub(super) const STRIDE: usize = TILE_CHANNELS + TURNED;
/// A frame is asked for while the one so many places before it is added.
const AHEAD: usize = 4;

/// Frames sorted by cell, and what each multiplies its samples with.
#[derive(Debug)]
pub(super) struct SortedFrames {
    by_cell: FramesByCell,
    /// In the order of `by_cell.frames`.
    factors: Vec<FrameSums>,
}

/// What a frame adds.
#[derive(Clone, Copy, Debug)]
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

    /// Places of the frames of a cell in the sorted list.
    fn places(&self, cell: usize) -> Range<usize> {
        self.by_cell.start[cell]..self.by_cell.start[cell + 1]
    }

    /// Sum of weight x gain^2 over the frames of each cell, and their numbers.
    pub(super) fn totals(&self) -> (Vec<f64>, Vec<f64>) {
        let n_cells = self.by_cell.start.len() - 1;
        (0..n_cells).map(|cell| self.total_without(cell, &[])).unzip()
    }

    /// The same of one cell, but for the frames in some places, which stand in order.
    pub(super) fn total_without(&self, cell: usize, missed: &[Missed]) -> (f64, f64) {
        let places = self.places(cell);
        let n_frames = (places.len() - missed.len()) as f64;
        let (mut sum, mut missed) = (0.0, missed.iter());
        let mut next = missed.next();
        for place in places {
            if next.is_some_and(|missed| missed.place as usize == place) {
                next = missed.next();
            } else {
                sum += self.factors[place].weight;
            }
        }
        (sum, n_frames)
    }
}

/// Rows of zeros that were made where they stay: on the stack of a thread there is no room for them.
#[expect(clippy::unnecessary_box_returns, reason = "they are too large for the stack")]
pub(super) fn zeros<const WIDTH: usize, const ROWS: usize>() -> Box<[[f64; WIDTH]; ROWS]> {
    let rows = vec![[0.0; WIDTH]; ROWS];
    rows.try_into().expect("as many rows as were made")
}

/// The sums of the data over the frames of some cells, for the columns of a run.
pub(super) struct TileSums {
    n_cells: usize,
    /// Sums of weight x gain x value, for each cell those of all columns.
    data: Box<[[f64; STRIDE]; TILE_CELLS]>,
    /// Samples that are left out, by cell and time.
    missed: Vec<Missed>,
    /// `data` of a block of columns, for each column those of all cells.
    by_cell: Box<[[f64; TILE_CELLS]; TURNED]>,
}

impl TileSums {
    pub(super) fn new() -> Self {
        Self { n_cells: 0, data: zeros(), missed: Vec::new(), by_cell: zeros() }
    }

    /// Sums up the frames of some cells, for the columns of a run; returns what single columns miss, by
    /// column, cell and time.
    pub(super) fn collect<T: Real, F: Flags>(
        &mut self,
        samples: &Samples<'_, T, F>,
        order: &SortedFrames,
        cells: Range<usize>,
        run: &Run,
    ) -> (Added, Vec<Missed>) {
        let exclude = F::from_mask(samples.exclude_sample_flag);
        let mut rows = Rows::new(samples, run);
        let first = cells.start;
        self.n_cells = cells.len();
        self.missed.clear();
        let (mut n_frames, mut n_skipped) = (0, 0);
        for cell in cells {
            let places = order.places(cell);
            n_frames += places.len();
            let cell = cell - first;
            let sums = &mut self.data[cell][..run.width()];
            let n_before = self.missed.len();
            let missed = |place: usize, column: usize| Missed {
                column: column as u16,
                cell: cell as u16,
                place: place as u32,
            };
            sums.fill(0.0);
            for place in places.clone() {
                let next = order.by_cell.frames.get(place + AHEAD).map(|&next| rows.ahead(next));
                let (data, flags) = rows.get(order.by_cell.frames[place]);
                let by = order.factors[place].data;
                add_row(sums, (data, flags), next.unwrap_or_default(), exclude, by, |column| {
                    self.missed.push(missed(place, column));
                });
            }
            if are_finite(sums) {
                continue;
            }
            // A value that is not finite has spoilt a sum.
            self.missed.truncate(n_before);
            sums.fill(0.0);
            for place in places {
                let (data, flags) = rows.get(order.by_cell.frames[place]);
                let by = order.factors[place].data;
                let samples = data.iter().zip(flags);
                for (column, (sum, (value, flag))) in sums.iter_mut().zip(samples).enumerate() {
                    let (value, is_flagged) = (value.to_f64(), flag.has_any(exclude));
                    if is_flagged || !value.is_finite() {
                        self.missed.push(missed(place, column));
                        n_skipped += usize::from(!is_flagged && run.has(column));
                    } else {
                        *sum += by * value;
                    }
                }
            }
        }
        if run.width() > run.maps.len() {
            // Columns that no map takes were read in passing.
            self.missed.retain(|sample| run.has(sample.column.into()));
        }
        let n_samples = n_frames * run.maps.len() - self.missed.len();
        (Added { n_frames: 0, n_samples, n_skipped }, self.missed_by_column())
    }

    /// Counts, and puts each sample in its place: they come by cell and time, and stay so within a column.
    fn missed_by_column(&self) -> Vec<Missed> {
        let mut next = [0; TILE_CHANNELS + 1];
        for sample in &self.missed {
            next[usize::from(sample.column) + 1] += 1;
        }
        for column in 0..TILE_CHANNELS {
            next[column + 1] += next[column];
        }
        let mut sorted = vec![Missed::default(); self.missed.len()];
        for &sample in &self.missed {
            let place = &mut next[usize::from(sample.column)];
            sorted[*place] = sample;
            *place += 1;
        }
        sorted
    }

    /// Adds the sums of a run to the data of its maps.
    pub(super) fn add_to(
        &mut self,
        tiles: &mut [MapTile<'_>],
        run: &Run,
        factors: &[Option<ChannelFactors>],
    ) {
        for maps in run.maps.chunk_by(|a, b| a.0 / TURNED == b.0 / TURNED) {
            self.turn(maps[0].0 / TURNED, |cell| {
                // Meanwhile the maps are asked for, as many numbers for each cell as are turned.
                if let Some(&(_, map)) = maps.get(cell * TURNED / TILE_CELLS) {
                    let at = cell * TURNED % TILE_CELLS;
                    prefetch(tiles[map].data.get(at..at + TURNED).unwrap_or_default());
                }
            });
            for &(column, map) in maps {
                let Some(factors) = factors[map] else { continue };
                for (data, sum) in tiles[map].data.iter_mut().zip(&self.by_cell[column % TURNED]) {
                    *data += factors.data * sum;
                }
            }
        }
    }

    /// Turns a block of columns around: from one row for each cell to one row for each column.
    fn turn(&mut self, block: usize, mut meanwhile: impl FnMut(usize)) {
        for (cell, sums) in self.data[..self.n_cells].iter().enumerate() {
            meanwhile(cell);
            let (blocks, _) = sums.as_chunks::<TURNED>();
            for (column, sum) in blocks[block].iter().enumerate() {
                self.by_cell[column][cell] = *sum;
            }
        }
    }
}

/// The samples of some columns, frame by frame.
struct Rows<'a, T, F> {
    data: ArrayView2<'a, T>,
    flags: ArrayView2<'a, F>,
    columns: Range<usize>,
    /// Copies, where columns do not lie one after the other.
    data_copy: Vec<T>,
    flags_copy: Vec<F>,
}

impl<'a, T: Real, F: Flags> Rows<'a, T, F> {
    fn new(samples: &Samples<'a, T, F>, run: &Run) -> Self {
        Self {
            data: samples.frame_data,
            flags: samples.sample_flags,
            columns: run.first..run.first + run.width(),
            data_copy: Vec::new(),
            flags_copy: Vec::new(),
        }
    }

    /// Data and flags of a frame.
    fn get(&mut self, frame: usize) -> (&[T], &[F]) {
        let (data, flags) = (self.data.row(frame), self.flags.row(frame));
        (
            contiguous(data, &self.columns, &mut self.data_copy),
            contiguous(flags, &self.columns, &mut self.flags_copy),
        )
    }

    /// The same of a frame that comes later; nothing of columns that do not lie one after the other.
    fn ahead(&self, frame: usize) -> (&'a [T], &'a [F]) {
        let data = self.data.index_axis_move(Axis(0), frame).to_slice();
        let flags = self.flags.index_axis_move(Axis(0), frame).to_slice();
        (
            data.map_or(&[], |data| &data[self.columns.clone()]),
            flags.map_or(&[], |flags| &flags[self.columns.clone()]),
        )
    }
}

/// The elements of a row at `columns`; a copy in `scratch`, if they do not lie one after the other.
fn contiguous<'a, A: Copy>(
    row: ArrayView1<'a, A>,
    columns: &Range<usize>,
    scratch: &'a mut Vec<A>,
) -> &'a [A] {
    if let Some(row) = row.to_slice() {
        return &row[columns.clone()];
    }
    scratch.clear();
    scratch.extend(columns.clone().map(|column| row[column]));
    scratch
}

/// Adds one frame's samples, times `by`, to the sums of its cell, but for those that are flagged, and asks for the
/// samples of a `next` frame.
///
/// Most blocks of samples have no flag, and are added several at a time. In the others all are added too, and the sums of
/// the flagged ones are put back to what they were.
#[inline]
fn add_row<T: Real, F: Flags>(
    sums: &mut [f64],
    (data, flags): (&[T], &[F]),
    next: (&[T], &[F]),
    exclude: F,
    by: f64,
    mut leave_out: impl FnMut(usize),
) {
    let (sums, sums_rest) = sums.as_chunks_mut::<BLOCK>();
    let (data, data_rest) = data.as_chunks::<BLOCK>();
    let (flags, flags_rest) = flags.as_chunks::<BLOCK>();
    let (next_data, next_flags) = (next.0.as_chunks::<BLOCK>().0, next.1.as_chunks::<BLOCK>().0);
    let first_of_rest = sums.len() * BLOCK;
    for (block, ((sums, data), flags)) in sums.iter_mut().zip(data).zip(flags).enumerate() {
        if let (Some(data), Some(flags)) = (next_data.get(block), next_flags.get(block)) {
            prefetch(data);
            prefetch(flags);
        }
        let mut flagged = F::which(flags, exclude);
        if flagged == 0 {
            add_block(sums, data, by);
            continue;
        }
        let before = *sums;
        add_block(sums, data, by);
        while flagged != 0 {
            let i = flagged.trailing_zeros() as usize;
            flagged &= flagged - 1;
            sums[i] = before[i];
            leave_out(block * BLOCK + i);
        }
    }
    let rest = sums_rest.iter_mut().zip(data_rest).zip(flags_rest);
    for (i, ((sum, value), flag)) in rest.enumerate() {
        if flag.has_any(exclude) {
            leave_out(first_of_rest + i);
        } else {
            *sum += by * value.to_f64();
        }
    }
}

#[inline]
fn add_block<T: Real>(sums: &mut [f64; BLOCK], data: &[T; BLOCK], by: f64) {
    for i in 0..BLOCK {
        sums[i] += by * data[i].to_f64();
    }
}

/// Tells whether all numbers are finite: any other makes NaN of its product with 0.
#[inline]
fn are_finite(numbers: &[f64]) -> bool {
    let (blocks, rest) = numbers.as_chunks::<LANES>();
    let mut nothing = [0.0; LANES];
    for block in blocks {
        for i in 0..LANES {
            nothing[i] += 0.0 * block[i];
        }
    }
    !nothing.iter().any(|sum| sum.is_nan()) && rest.iter().all(|number| number.is_finite())
}
