//! Where a fit begins: the map as it is seen by the fit, and the brightest spot of the size of the beam on it.

use super::GaussianFitParams;
use super::beam::{AMPLITUDE, CROSS, DIFFERENCE, FWHM, LEVEL, MEAN, Parameters, X, Y};
use super::sky::{Cells, Sky};
use crate::numeric::stats::median;
use crate::scan::Sign;
use crate::scan::view::MapRef;

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    value: Vec<f64>,
    weight: Vec<f64>,
    sample: Vec<f64>,
    columns: [Vec<f64>; 2],
    blocks: Vec<[f64; 2]>,
    triples: Vec<[f64; 2]>,
}

/// What there is to fit.
pub(super) struct Prepared<'a> {
    pub(super) sky: Sky<'a>,
    pub(super) n_cells: usize,
    pub(super) start: [f64; 2],
}

/// The median that stands for the level to begin with is taken over about as many cells.
const LEVEL_SAMPLE: usize = 1024;

impl Scratch {
    /// Copies the valid cells of a map, and looks for the source; `None` without any valid cell.
    pub(super) fn prepare<'a>(
        &'a mut self,
        map: MapRef<'_>,
        cells: &'a Cells<'a>,
        number: usize,
        beam_fwhm: f64,
        start: Option<[f64; 2]>,
        params: &GaussianFitParams,
    ) -> Option<Prepared<'a>> {
        let (mut n_cells, highest_weight) = map.copy_valid(&mut self.value, &mut self.weight);
        if n_cells == 0 {
            return None;
        }
        // A whole number of rows would see the same columns again and again.
        let stride = (self.value.len() / LEVEL_SAMPLE).max(1) | 1;
        let sample = self.value.iter().zip(&self.weight).step_by(stride);
        self.sample.clear();
        self.sample.extend(sample.filter(|(_, weight)| **weight > 0.0).map(|(value, _)| *value));
        let level = median(&mut self.sample);
        let reference_level = if params.has_level && level.is_finite() { level } else { 0.0 };
        let start = match start {
            Some(start) if start.iter().all(|s| s.is_finite()) => start,
            _ => {
                self.add_up_blocks(cells, beam_fwhm, reference_level);
                self.brightest(cells, beam_fwhm, highest_weight, params.sign)?
            }
        };
        if let Some(radius) = params.region {
            n_cells = self.leave_out_beyond(cells, start, radius * beam_fwhm);
        }
        let sky = Sky {
            cells,
            map: number,
            value: &self.value,
            weight: &self.weight,
            reference_level,
            highest_weight,
        };
        (n_cells > 0).then_some(Prepared { sky, n_cells, start })
    }

    /// Sums of weight times value about the level, and of weight, over blocks of a third of the beam.
    fn add_up_blocks(&mut self, cells: &Cells<'_>, beam_fwhm: f64, level: f64) {
        let n_x = cells.grid.shape()[1];
        let (side, [b_x, b_y]) = blocks(cells, beam_fwhm);
        self.blocks.clear();
        self.blocks.resize(b_x * b_y, [0.0; 2]);
        self.columns.iter_mut().for_each(|columns| columns.resize(n_x, 0.0));
        let [signals, totals] = &mut self.columns;
        let rows = self.value.chunks(side[1] * n_x).zip(self.weight.chunks(side[1] * n_x));
        for ((values, weights), blocks) in rows.zip(self.blocks.chunks_mut(b_x)) {
            // Down the columns first: these sums do not wait for each other.
            signals.fill(0.0);
            totals.fill(0.0);
            for (values, weights) in values.chunks(n_x).zip(weights.chunks(n_x)) {
                let sums = signals.iter_mut().zip(totals.iter_mut());
                for ((signal, total), (value, weight)) in sums.zip(values.iter().zip(weights)) {
                    *signal += weight * (value - level);
                    *total += weight;
                }
            }
            let pieces = signals.chunks(side[0]).zip(totals.chunks(side[0]));
            for (block, (signals, totals)) in blocks.iter_mut().zip(pieces) {
                *block = [signals.iter().sum(), totals.iter().sum()];
            }
        }
    }

    /// Centre of the square of about one beam, three by three blocks, over which the weighted mean is most significant.
    fn brightest(
        &mut self,
        cells: &Cells<'_>,
        beam_fwhm: f64,
        highest_weight: f64,
        sign: Sign,
    ) -> Option<[f64; 2]> {
        let [n_y, n_x] = cells.grid.shape();
        let (side, [b_x, b_y]) = blocks(cells, beam_fwhm);
        let mut best: Option<(f64, [usize; 2])> = None;
        for y in 0..b_y {
            // Three rows at a time, then three of those sums side by side.
            self.triples.clear();
            self.triples.resize(b_x, [0.0; 2]);
            for row in y.saturating_sub(1)..(y + 2).min(b_y) {
                let blocks = &self.blocks[row * b_x..][..b_x];
                for (sum, block) in self.triples.iter_mut().zip(blocks) {
                    *sum = [sum[0] + block[0], sum[1] + block[1]];
                }
            }
            for x in 0..b_x {
                if self.blocks[y * b_x + x][1] <= 0.0 {
                    continue;
                }
                let [signal, weight] = square(&self.triples[x.saturating_sub(1)..(x + 2).min(b_x)]);
                // A spot with next to no weight stands for nothing.
                if weight < LEAST_WEIGHT * highest_weight {
                    continue;
                }
                let significance = match sign {
                    Sign::Positive => signal,
                    Sign::Negative => -signal,
                    Sign::Both => signal.abs(),
                } / weight.sqrt();
                if best.is_none_or(|(highest, _)| significance > highest) {
                    best = Some((significance, [x, y]));
                }
            }
        }
        let (_, block) = best?;
        let index = [0, 1].map(|axis| {
            let n = [n_x, n_y][axis];
            let (first, end) = (block[axis] * side[axis], ((block[axis] + 1) * side[axis]).min(n));
            0.5 * (first + end - 1) as f64
        });
        Some(cells.grid.offset_of(index))
    }

    /// Takes the weight from cells farther away than `radius`; returns how many are left.
    fn leave_out_beyond(&mut self, cells: &Cells<'_>, centre: [f64; 2], radius: f64) -> usize {
        let n_x = cells.grid.shape()[1];
        let mut n = 0;
        for (cell, weight) in self.weight.iter_mut().enumerate() {
            let [x, y] = cells.grid.offset_of([(cell % n_x) as f64, (cell / n_x) as f64]);
            if (x - centre[0]).hypot(y - centre[1]) > radius {
                *weight = 0.0;
            }
            n += usize::from(*weight > 0.0);
        }
        n
    }
}

/// A square of cells whose summed weight is less than this fraction of the best single cell is not searched.
const LEAST_WEIGHT: f64 = 1e-3;

fn square(triples: &[[f64; 2]]) -> [f64; 2] {
    triples.iter().fold([0.0; 2], |sum, triple| [sum[0] + triple[0], sum[1] + triple[1]])
}

/// Sides of a block in cells, and how many blocks there are, `[x, y]` both.
fn blocks(cells: &Cells<'_>, beam_fwhm: f64) -> ([usize; 2], [usize; 2]) {
    let ([n_y, n_x], resolution) = (cells.grid.shape(), cells.grid.resolution());
    let side = resolution.map(|cell| ((beam_fwhm / cell / 3.0).round() as usize).max(1));
    (side, [n_x.div_ceil(side[0]), n_y.div_ceil(side[1])])
}

/// Parameters of a beam without amplitude at a position.
pub(super) fn beam_at([x, y]: [f64; 2], fwhm: [f64; 2], angle: f64) -> Parameters {
    let [along, across] = fwhm.map(|fwhm| (FWHM / fwhm).powi(2));
    let (mean, difference) = (0.5 * (along + across), 0.5 * (along - across));
    let (sin, cos) = (2.0 * angle.to_radians()).sin_cos();
    let mut parameters = [0.0; 7];
    (parameters[X], parameters[Y]) = (x, y);
    (parameters[AMPLITUDE], parameters[LEVEL]) = (1.0, 0.0);
    parameters[MEAN] = mean;
    (parameters[DIFFERENCE], parameters[CROSS]) = (difference * cos, difference * sin);
    parameters
}
