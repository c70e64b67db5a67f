//! Some columns of one integration on the finer grid, put together where the cache holds them.
//!
//! Fine pixels are made column by column, and planes lie row by row. A row of an image is often a power of two long, and then
//! all pixels of a column compete for the same few places of the cache. So a block of columns is put together in a piece
//! of memory of its own, whose rows are short, and then copied.

use std::ops::Range;

use ndarray::{ArrayView1, ArrayView2, ArrayViewMut2, Axis, s};

use super::Integration;
use super::column::{FineColumn, FinePart, Lines};
use super::fine::{FinePixel, SeriesErrors, SeriesGrid};
use super::line::Line;
use super::noise::ColumnNoise;
use crate::numeric::Real;

/// Columns of a block: a row of single precision fills two cache lines.
pub(super) const COLUMNS: usize = 32;

/// Data-quality bit of a pixel that must not be used.
const DO_NOT_USE: u32 = 1;
/// Data-quality bit of a pixel whose flux comes from the model.
const FLUX_ESTIMATED: u32 = 1 << 28;

/// Where some columns of all planes of one integration are to go.
pub(super) struct Block<'a, T> {
    pub(super) integration: usize,
    /// Columns of the image.
    pub(super) columns: Range<usize>,
    pub(super) planes: Vec<ArrayViewMut2<'a, T>>,
    pub(super) errors: Vec<ArrayViewMut2<'a, f32>>,
    pub(super) dq: ArrayViewMut2<'a, u32>,
}

/// Blocks of columns of a plane.
pub(super) fn split<V>(plane: ArrayViewMut2<'_, V>) -> impl Iterator<Item = ArrayViewMut2<'_, V>> {
    let mut rest = Some(plane);
    std::iter::from_fn(move || {
        let plane = rest.take()?;
        let n = plane.ncols().min(COLUMNS);
        if n == 0 {
            return None;
        }
        let (block, left) = plane.split_at(Axis(1), n);
        rest = Some(left);
        Some(block)
    })
}

/// The native pixels of a block of one integration; `COLUMNS` to a row.
#[derive(Debug, Default)]
pub(super) struct Native {
    /// Whether there is no flux.
    is_missing: Vec<bool>,
    /// Data quality.
    bits: Vec<u32>,
    /// The error, then the components: as variances where errors are propagated, else as standard deviations.
    errors: Vec<Vec<f64>>,
}

impl Native {
    /// Takes some columns of an integration, with the first so many planes of errors.
    pub(super) fn take<T: Real>(
        &mut self,
        integration: &Integration<'_, T>,
        dq: Option<ArrayView2<'_, u32>>,
        columns: &Range<usize>,
        (errors, n_errors): (SeriesErrors, usize),
    ) {
        let is_missing = |value: T| !value.to_f64().is_finite();
        copy(&mut self.is_missing, integration.flux, columns, is_missing);
        if let Some(dq) = dq {
            copy(&mut self.bits, dq, columns, |bits| bits);
        } else {
            self.bits.clear();
            self.bits.resize(self.is_missing.len(), 0);
        }
        for (bits, is_missing) in self.bits.iter_mut().zip(&self.is_missing) {
            *bits |= if *is_missing { DO_NOT_USE } else { 0 };
        }
        self.errors.resize_with(n_errors, Vec::new);
        for (k, plane) in self.errors.iter_mut().enumerate() {
            match (errors, k) {
                // What a fit knows of its pixels.
                (SeriesErrors::Propagated, 0) => {}
                (SeriesErrors::Propagated, _) => {
                    copy(plane, integration.variances[k - 1], columns, T::to_f64);
                }
                (SeriesErrors::Interpolated, 0) => match integration.error {
                    Some(error) => copy(plane, error, columns, T::to_f64),
                    None => plane.clear(),
                },
                (SeriesErrors::Interpolated, _) => {
                    let root = |v: T| T::narrow(v.to_f64().sqrt());
                    copy(plane, integration.variances[k - 1], columns, root);
                }
            }
        }
    }

    pub(super) fn is_missing(&self, row: usize, at: usize) -> bool {
        self.is_missing[row * COLUMNS + at]
    }

    fn bits(&self, row: usize, at: usize) -> u32 {
        self.bits[row * COLUMNS + at]
    }

    pub(super) fn error(&self, component: usize, row: usize, at: usize) -> f64 {
        self.errors[component][row * COLUMNS + at]
    }
}

/// Copies some columns of a plane.
fn copy<S: Copy, V: Copy + Default>(
    to: &mut Vec<V>,
    plane: ArrayView2<'_, S>,
    columns: &Range<usize>,
    convert: impl Fn(S) -> V,
) {
    to.resize(plane.nrows() * COLUMNS, V::default());
    let plane = plane.slice_move(s![.., columns.clone()]);
    for (row, to) in plane.rows().into_iter().zip(to.chunks_mut(COLUMNS)) {
        for (value, to) in row.iter().zip(to) {
            *to = convert(*value);
        }
    }
}

/// The fine pixels of a block; `COLUMNS` to a row.
#[derive(Debug)]
struct Tile<T> {
    /// Those that are not asked for are empty.
    planes: Vec<Vec<T>>,
    errors: Vec<Vec<f32>>,
    dq: Vec<u32>,
}

impl<T: Real> Tile<T> {
    fn resize(&mut self, block: &Block<'_, T>) {
        self.planes.resize_with(block.planes.len(), Vec::new);
        for (tile, plane) in self.planes.iter_mut().zip(&block.planes) {
            tile.resize(plane.nrows() * COLUMNS, T::from_f64(f64::NAN));
        }
        self.errors.resize_with(block.errors.len(), Vec::new);
        for (tile, plane) in self.errors.iter_mut().zip(&block.errors) {
            tile.resize(plane.nrows() * COLUMNS, f32::NAN);
        }
        self.dq.resize(block.dq.nrows() * COLUMNS, 0);
    }

    /// Copies everything to where it is to go.
    fn put(&self, block: &mut Block<'_, T>) {
        for (tile, plane) in self.planes.iter().zip(&mut block.planes) {
            put(tile, plane);
        }
        for (tile, plane) in self.errors.iter().zip(&mut block.errors) {
            put(tile, plane);
        }
        put(&self.dq, &mut block.dq);
    }
}

fn put<V: Copy>(tile: &[V], plane: &mut ArrayViewMut2<'_, V>) {
    for (mut row, tile) in plane.rows_mut().into_iter().zip(tile.chunks(COLUMNS)) {
        let n = row.len();
        row.assign(&ArrayView1::from(&tile[..n]));
    }
}

/// What one thread works with; it is used for one block after another, so that memory is asked for but once.
#[derive(Debug)]
pub(super) struct Desk<T> {
    pub(super) native: Native,
    pub(super) lines: Lines,
    /// Where errors are propagated: what each component has in a column; else, what they are interpolated from.
    pub(super) noise: Vec<ColumnNoise>,
    errors: Vec<Line>,
    tile: Tile<T>,
}

impl<T: Real> Desk<T> {
    pub(super) fn new() -> Self {
        Self {
            native: Native::default(),
            lines: Lines::default(),
            noise: Vec::new(),
            errors: Vec::new(),
            tile: Tile { planes: Vec::new(), errors: Vec::new(), dq: Vec::new() },
        }
    }

    /// Fills a block; returns the number of pixels that the model has filled.
    pub(super) fn fill(
        &mut self,
        grid: &SeriesGrid,
        integration: &Integration<'_, T>,
        dq: Option<ArrayView2<'_, u32>>,
        parts: &[FinePart],
        block: &mut Block<'_, T>,
    ) -> usize {
        let (errors, n_errors) = (grid.params().errors, block.errors.len());
        let is_propagated = errors == SeriesErrors::Propagated;
        self.native.take(integration, dq, &block.columns, (errors, n_errors));
        self.noise.resize_with(if is_propagated { n_errors } else { 0 }, ColumnNoise::default);
        self.errors.resize_with(if is_propagated { 0 } else { n_errors }, Line::default);
        self.tile.resize(block);
        let mut tasks = Vec::with_capacity(COLUMNS);
        let mut n_covered = [0; COLUMNS];
        for (r, part) in parts.iter().enumerate() {
            let columns = &grid.region(r).0.bounds.columns;
            let (first, end) = (block.columns.start, block.columns.end);
            for column in columns.start.max(first)..columns.end.min(end) {
                if let Some(task) = FineColumn::new(grid, r, part, column) {
                    n_covered[column - first] += task.fine.column(task.place).len();
                    tasks.push((task, column - first));
                }
            }
        }
        let n_fine = grid.n_fine();
        for (at, _) in n_covered.iter().enumerate().filter(|(_, n)| **n < n_fine) {
            self.blank(grid, at);
        }
        let n_filled = tasks.iter().map(|(task, at)| self.fill_column(task, *at)).sum();
        self.tile.put(block);
        n_filled
    }

    /// Leaves a column without data.
    fn blank(&mut self, grid: &SeriesGrid, at: usize) {
        for (row, dq) in self.tile.dq.chunks_mut(COLUMNS).enumerate() {
            dq[at] = self.native.bits(grid.nearest(row), at) | DO_NOT_USE;
        }
        for plane in &mut self.tile.planes {
            plane.chunks_mut(COLUMNS).for_each(|row| row[at] = T::from_f64(f64::NAN));
        }
        for plane in &mut self.tile.errors {
            plane.chunks_mut(COLUMNS).for_each(|row| row[at] = f32::NAN);
        }
    }

    /// Makes all fine pixels of a column; returns the number of those that the model has filled.
    fn fill_column(&mut self, column: &FineColumn<'_>, at: usize) -> usize {
        column.prepare::<T>(&mut self.lines);
        column.noise(&self.native, at, &mut self.noise);
        for (k, line) in self.errors.iter_mut().enumerate() {
            let error = |&row: &u32| {
                let error = self.native.error(k, row as usize, at);
                if error.is_finite() { error } else { f64::NAN }
            };
            line.set(column.rows().iter().map(error));
        }
        let params = column.grid.params();
        let n_parts = if params.is_density { params.oversample.factor } else { 1.0 };
        let share = (n_parts * n_parts).recip();
        let part = |value: f64| {
            if params.is_density { T::narrow(value / T::narrow(n_parts)) } else { value }
        };
        let offset = T::narrow(column.part.fit.offset);
        let level = |value: f64| T::from_f64(part(T::narrow(T::narrow(value) + offset)));
        let mut n_filled = 0;
        for (number, pixel) in column.pixels() {
            let nearest = pixel.nearest as usize;
            let is_missing = self.native.is_missing(nearest, at);
            let made = column.make(pixel, is_missing, &mut self.lines);
            let cell = pixel.row as usize * COLUMNS + at;
            let traces = [(1, made.used), (2, made.full), (3, made.linear)];
            for (p, value) in traces {
                if let Some(place) = self.tile.planes[p].get_mut(cell) {
                    *place = level(value);
                }
            }
            if let Some(place) = self.tile.planes[4].get_mut(cell) {
                *place = T::from_f64(part(T::narrow(made.residual)));
            }
            let bits = self.native.bits(nearest, at);
            let is_estimated = bits & DO_NOT_USE != 0 && made.flux.is_finite();
            let mut is_missing = !made.flux.is_finite();
            for (k, noise) in self.noise.iter().enumerate() {
                let variance = column.with_profile(k, number, &made, noise.variance(&made)) * share;
                let error = (if k == 0 { variance.sqrt() } else { variance }) as f32;
                is_missing |= !error.is_finite();
                self.tile.errors[k][cell] = error;
            }
            for k in 0..self.errors.len() {
                let error = self.interpolated(k, column, pixel, at, is_estimated);
                is_missing |= !error.is_finite();
                self.tile.errors[k][cell] = error;
            }
            if is_missing {
                self.tile.errors.iter_mut().for_each(|plane| plane[cell] = f32::NAN);
            }
            self.tile.planes[0][cell] = level(if is_missing { f64::NAN } else { made.flux });
            self.tile.dq[cell] = match (is_missing, is_estimated) {
                (true, _) => bits | DO_NOT_USE,
                (false, true) => bits & !DO_NOT_USE | FLUX_ESTIMATED,
                (false, false) => bits,
            };
            n_filled += usize::from(is_estimated && !is_missing);
        }
        n_filled
    }

    /// The error as the reference interpolates it.
    fn interpolated(
        &self,
        k: usize,
        column: &FineColumn<'_>,
        pixel: &FinePixel,
        at: usize,
        is_estimated: bool,
    ) -> f32 {
        let params = column.grid.params();
        let is_known = is_estimated || self.native.error(k, pixel.nearest as usize, at).is_finite();
        let line = &self.errors[k];
        if !is_known || line.n_known() <= params.oversample.require_ngood {
            return f32::NAN;
        }
        let position = column.grid.position(pixel);
        let error = line.at(pixel.n_before as usize, position, column.rows());
        let error = error.map_or(f64::NAN, |(error, _)| error) as f32 * params.inflation as f32;
        if k == 0 { error } else { error * error }
    }
}
