//! What samples over a tile of cells lose to the maps, prepared for many channels, and how they lose it.

use std::ops::Range;

use ndarray::{ArrayView1, ArrayView3, ArrayViewMut1, s};

use super::lanes::{LANES, all_bits_if, masked, valid_mask};
use super::sample_flags::Flags;
use super::samples::Run;
use super::stack::{MASK, is_valid};
use super::tile::{STRIDE, TILE_CELLS, TILE_CHANNELS, zeros};
use crate::Error;
use crate::numeric::Real;
use crate::numeric::prefetch::prefetch;

/// One frame.
pub(super) struct Row<'a, T, F> {
    pub(super) cell: usize,
    pub(super) gain: f64,
    pub(super) data: ArrayViewMut1<'a, T>,
    pub(super) flags: ArrayViewMut1<'a, F>,
}

/// What is subtracted, from any sample; planes as one slice of cells for each map.
pub(super) struct Models<'a, F> {
    pub(super) data: Vec<&'a [f64]>,
    pub(super) weight: Vec<&'a [f64]>,
    pub(super) flag: Vec<&'a [u8]>,
    pub(super) base: Option<Vec<&'a [f64]>>,
    pub(super) source_gains: ArrayView1<'a, f64>,
    pub(super) sync_gains: ArrayView1<'a, f64>,
    /// All bits but the one that is set over masked cells, and that bit.
    pub(super) keep: F,
    pub(super) blank: F,
}

/// What a cell is to the flags of its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It holds no data: samples stay as they are.
    Empty,
    /// Its samples are not blanked.
    Open,
    /// Its samples are blanked.
    Masked,
}

/// A plane as one slice of cells for each map.
pub(super) fn by_map<'a, A>(
    name: &'static str,
    plane: ArrayView3<'a, A>,
    n_cells: usize,
) -> Result<Vec<&'a [A]>, Error> {
    Ok(plane.to_slice().ok_or(Error::Layout { name })?.chunks(n_cells).collect())
}

/// What samples of a channel with gains `[G, Y]` lose over a cell for a frame of gain 1.
///
/// Without a jump: holes come at random, and vectors know none.
#[inline]
fn change(gains: [f64; 2], data: f64, weight: f64, flag: u8, base: f64) -> f64 {
    let model = gains[0] * data - gains[1] * masked(base, all_bits_if(!base.is_nan()));
    // A gain that is not a number would spoil samples for good. Infinity times 0 is NaN.
    masked(model, valid_mask(data, weight, flag) & all_bits_if(!(0.0 * model).is_nan()))
}

impl<F: Flags> Models<'_, F> {
    fn gains(&self, channel: usize) -> [f64; 2] {
        [self.source_gains[channel], self.sync_gains[channel]]
    }

    /// [`change`] of one cell of a map.
    pub(super) fn change(&self, map: usize, channel: usize, cell: usize) -> f64 {
        let base = self.base.as_ref().map_or(0.0, |base| base[map][cell]);
        let [data, weight] = [&self.data, &self.weight].map(|plane| plane[map][cell]);
        change(self.gains(channel), data, weight, self.flag[map][cell], base)
    }

    pub(super) fn kind(&self, map: usize, cell: usize) -> Kind {
        let flag = self.flag[map][cell];
        if !is_valid(self.data[map][cell], self.weight[map][cell], flag) {
            Kind::Empty
        } else if flag & MASK == 0 {
            Kind::Open
        } else {
            Kind::Masked
        }
    }

    pub(super) fn flags_after(&self, flags: F, kind: Kind) -> F {
        match kind {
            Kind::Empty => flags,
            Kind::Open => flags.keep_and_set(self.keep, F::from_mask(0)),
            Kind::Masked => flags.keep_and_set(self.keep, self.blank),
        }
    }

    fn planes(&self, map: usize, cells: Range<usize>) -> Planes<'_> {
        Planes {
            base: self.base.as_ref().map(|base| &base[map][cells.clone()]),
            data: &self.data[map][cells.clone()],
            weight: &self.weight[map][cells.clone()],
            flag: &self.flag[map][cells],
        }
    }
}

/// Some cells of a map.
#[derive(Clone, Copy, Default)]
struct Planes<'a> {
    data: &'a [f64],
    weight: &'a [f64],
    flag: &'a [u8],
    base: Option<&'a [f64]>,
}

impl Planes<'_> {
    /// [`change`] of each cell; adds the flags to those that were `found` in others. Asks for the `next` planes.
    fn changes(&self, next: Self, gains: [f64; 2], changes: &mut [f64], found: &mut [u8]) {
        for (found, flag) in found.iter_mut().zip(self.flag) {
            *found |= flag;
        }
        match self.base.map(<[f64]>::as_chunks::<LANES>) {
            None => self.chunks(next, gains, changes, |_| [0.0; LANES]),
            Some((base, _)) => self.chunks(next, gains, changes, |chunk| base[chunk]),
        }
        let n_rest = self.data.len() % LANES;
        for i in self.data.len() - n_rest..self.data.len() {
            let base = self.base.map_or(0.0, |base| base[i]);
            changes[i] = change(gains, self.data[i], self.weight[i], self.flag[i], base);
        }
    }

    /// [`Planes::changes`] of whole chunks of cells.
    #[inline]
    fn chunks(
        &self,
        next: Self,
        gains: [f64; 2],
        changes: &mut [f64],
        base: impl Fn(usize) -> [f64; LANES],
    ) {
        let (data, weight) = (self.data.as_chunks::<LANES>().0, self.weight.as_chunks::<LANES>().0);
        let flag = self.flag.as_chunks::<LANES>().0;
        let changes = changes.as_chunks_mut::<LANES>().0.iter_mut();
        let next_base = next.base.unwrap_or_default();
        let planes = data.iter().zip(weight).zip(flag).enumerate();
        for (changes, (chunk, ((data, weight), flag))) in changes.zip(planes) {
            prefetch_chunk(next.data, chunk);
            prefetch_chunk(next.weight, chunk);
            prefetch_chunk(next.flag, chunk);
            prefetch_chunk(next_base, chunk);
            let base = base(chunk);
            for i in 0..LANES {
                changes[i] = change(gains, data[i], weight[i], flag[i], base[i]);
            }
        }
    }
}

/// Asks for some cells.
#[inline]
fn prefetch_chunk<A>(cells: &[A], chunk: usize) {
    if let Some(cells) = cells.as_chunks::<LANES>().0.get(chunk) {
        prefetch(cells);
    }
}

/// Columns that are prepared together: the numbers of one cell for them fill a cache line.
const BLOCK: usize = 8;
const _: () = assert!(TILE_CHANNELS <= BLOCK * u32::BITS as usize, "a bit for each block");
/// A map is asked for while the one so many places before it is prepared, and a frame likewise.
const AHEAD: usize = 2;

/// The changes over some cells for the columns of a run.
pub(super) struct Prepared {
    cells: Range<usize>,
    /// For each cell those of all columns.
    changes: Box<[[f64; STRIDE]; TILE_CELLS]>,
    /// The blocks of columns in which a cell is masked in any map, with one bit for each.
    masked: [u32; TILE_CELLS],
    /// Scratch: the changes of a block of columns, for each column those of all cells.
    block: Box<[[f64; TILE_CELLS]; BLOCK]>,
}

impl Prepared {
    pub(super) fn new() -> Self {
        Self { cells: 0..0, changes: zeros(), masked: [0; TILE_CELLS], block: zeros() }
    }

    /// Prepares the changes over a tile of cells for the columns of a run.
    pub(super) fn fill<F: Flags>(
        &mut self,
        models: &Models<'_, F>,
        cells: Range<usize>,
        run: &Run,
    ) {
        self.cells = cells.clone();
        self.masked.fill(0);
        if run.width() > run.maps.len() {
            // Columns in between that belong to no map stay as they are.
            self.changes.iter_mut().for_each(|changes| changes.fill(0.0));
        }
        let planes = |&(_, map): &(usize, usize)| models.planes(map, cells.clone());
        for (i, maps) in run.maps.chunks(BLOCK).enumerate() {
            let mut found = [0; TILE_CELLS];
            for (k, (changes, map)) in self.block.iter_mut().zip(maps).enumerate() {
                let next = run.maps.get(i * BLOCK + k + AHEAD).map(planes).unwrap_or_default();
                let gains = models.gains(run.first + map.0);
                planes(map).changes(next, gains, changes, &mut found);
            }
            for (masked, flag) in self.masked.iter_mut().zip(found) {
                *masked |= u32::from(flag & MASK != 0) << i;
            }
            self.turn(maps);
        }
    }

    /// Turns the changes of a block of columns around: from one row for each column to one row for each cell.
    fn turn(&mut self, maps: &[(usize, usize)]) {
        let first = maps[0].0;
        let is_whole = maps.len() == BLOCK && maps[BLOCK - 1].0 == first + BLOCK - 1;
        for (cell, to) in self.changes.iter_mut().enumerate() {
            match to[first..].first_chunk_mut::<BLOCK>().filter(|_| is_whole) {
                Some(to) => *to = std::array::from_fn(|k| self.block[k][cell]),
                None => {
                    for (changes, &(column, _)) in self.block.iter().zip(maps) {
                        to[column] = changes[cell];
                    }
                }
            }
        }
    }

    /// Changes the samples of frames over the tile, in the columns of the run.
    pub(super) fn subtract<T: Real, F: Flags>(
        &self,
        models: &Models<'_, F>,
        rows: &mut [Row<'_, T, F>],
        run: &Run,
    ) {
        let columns = run.first..run.first + run.width();
        for k in 0..rows.len() {
            let (rows, later) = rows.split_at_mut((k + AHEAD).min(rows.len()));
            let next = later.first().map_or((&[][..], &[][..]), |next| next.at(&columns));
            let row = &mut rows[k];
            let (cell, gain) = (row.cell - self.cells.start, row.gain);
            let changes = &self.changes[cell][..columns.len()];
            let mut data = row.data.slice_mut(s![columns.clone()]);
            let mut flags = row.flags.slice_mut(s![columns.clone()]);
            let any = if let (Some(data), Some(flags)) = (data.as_slice_mut(), flags.as_slice()) {
                subtract_row((data, flags), next, changes, gain)
            } else {
                for (data, change) in data.iter_mut().zip(changes).filter(|_| gain > 0.0) {
                    *data = less(*data, gain, *change);
                }
                flags.iter().fold(F::from_mask(0), |any, flag| F::any_of(&[any, *flag]))
            };
            // Most samples are not blanked, and stay so: then there is nothing to write.
            if self.masked[cell] == 0 && !any.has_any(models.blank) {
                continue;
            }
            for (i, maps) in run.maps.chunks(BLOCK).enumerate() {
                let is_masked = (self.masked[cell] >> i) & 1 != 0;
                if is_masked || maps.iter().any(|map| flags[map.0].has_any(models.blank)) {
                    for &(column, map) in maps {
                        let kind = models.kind(map, row.cell);
                        flags[column] = models.flags_after(flags[column], kind);
                    }
                }
            }
        }
    }
}

impl<T, F> Row<'_, T, F> {
    /// Samples and flags at some columns; none if they do not lie one after the other.
    fn at(&self, columns: &Range<usize>) -> (&[T], &[F]) {
        let (data, flags) = (self.data.as_slice(), self.flags.as_slice());
        (
            data.map_or(&[], |data| &data[columns.clone()]),
            flags.map_or(&[], |flags| &flags[columns.clone()]),
        )
    }
}

/// A sample less the change of its cell, times the gain of its frame.
#[inline]
pub(super) fn less<T: Real>(sample: T, gain: f64, change: f64) -> T {
    T::from_f64(sample.to_f64() - gain * change)
}

/// Changes the samples of one frame, and asks for those of a `next` one; returns all flags that are set.
#[inline]
fn subtract_row<T: Real, F: Flags>(
    (data, flags): (&mut [T], &[F]),
    next: (&[T], &[F]),
    changes: &[f64],
    gain: f64,
) -> F {
    if gain <= 0.0 {
        return F::any_of(flags);
    }
    let (data, data_rest) = data.as_chunks_mut::<TOGETHER>();
    let (flags, flags_rest) = flags.as_chunks::<TOGETHER>();
    let (changes, changes_rest) = changes.as_chunks::<TOGETHER>();
    let (next_data, next_flags) =
        (next.0.as_chunks::<TOGETHER>().0, next.1.as_chunks::<TOGETHER>().0);
    let mut any = [F::from_mask(0); TOGETHER];
    for (block, ((data, flags), changes)) in data.iter_mut().zip(flags).zip(changes).enumerate() {
        if let (Some(data), Some(flags)) = (next_data.get(block), next_flags.get(block)) {
            prefetch(data);
            prefetch(flags);
        }
        for i in 0..TOGETHER {
            data[i] = less(data[i], gain, changes[i]);
        }
        for i in 0..TOGETHER {
            any[i] = F::any_of(&[any[i], flags[i]]);
        }
    }
    for (data, change) in data_rest.iter_mut().zip(changes_rest) {
        *data = less(*data, gain, *change);
    }
    F::any_of(&[F::any_of(&any), F::any_of(flags_rest)])
}

/// Samples of a frame that are treated together: those of one or two cache lines.
const TOGETHER: usize = 16;
