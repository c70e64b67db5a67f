//! Where a fit begins: the map as it is seen by the fit, and the brightest spot of the size of the beam on it.

use super::model::{AMPLITUDE, CROSS, Cells, DIFFERENCE, FWHM, LEVEL, MEAN, Parameters, Sky, X, Y};
use super::{GaussianFitParams, SourceSign};
use crate::numeric::stats::median;
use crate::scan::view::MapRef;

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    value: Vec<f64>,
    weight: Vec<f64>,
    sample: Vec<f64>,
    blocks: Vec<[f64; 2]>,
}

/// What there is to fit.
pub(super) struct Prepared<'a> {
    pub(super) sky: Sky<'a>,
    pub(super) n_cells: usize,
    pub(super) start: [f64; 2],
    /// Sum of weight times value squared.
    pub(super) square: f64,
}

/// The median that stands for the level to begin with is taken over about as many cells.
const LEVEL_SAMPLE: usize = 1024;

impl Scratch {
    /// Copies the valid cells of a map, and looks for the source; `None` without any valid cell.
    pub(super) fn prepare<'a>(
        &'a mut self,
        map: MapRef<'_>,
        cells: &'a Cells,
        beam_fwhm: f64,
        start: Option<[f64; 2]>,
        params: &GaussianFitParams,
    ) -> Option<Prepared<'a>> {
        self.value.clear();
        self.weight.clear();
        let (mut n_cells, mut highest_weight) = (0, 0.0_f64);
        for cell in 0..cells.grid.n_cells() {
            let (value, weight) = map.value_and_weight(cell);
            n_cells += usize::from(weight > 0.0);
            highest_weight = highest_weight.max(weight);
            self.value.push(value);
            self.weight.push(weight);
        }
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
        let mut square = 0.0;
        for (value, weight) in self.value.iter_mut().zip(&self.weight) {
            *value -= reference_level;
            square += weight * *value * *value;
        }
        let start = match start {
            Some(start) if start.iter().all(|s| s.is_finite()) => start,
            _ => self.brightest(cells, beam_fwhm, highest_weight, params.sign)?,
        };
        if let Some(radius) = params.region {
            n_cells = self.leave_out_beyond(cells, start, radius * beam_fwhm);
        }
        let sky = Sky {
            cells,
            value: &self.value,
            weight: &self.weight,
            reference_level,
            highest_weight,
        };
        (n_cells > 0).then_some(Prepared { sky, n_cells, start, square })
    }

    /// Centre of the square of about one beam over which the weighted mean is the most significant.
    fn brightest(
        &mut self,
        cells: &Cells,
        beam_fwhm: f64,
        highest_weight: f64,
        sign: SourceSign,
    ) -> Option<[f64; 2]> {
        let ([n_y, n_x], resolution) = (cells.grid.shape(), cells.grid.resolution());
        // Blocks of a third of the beam; squares of three by three of them are searched.
        let side = resolution.map(|cell| ((beam_fwhm / cell / 3.0).round() as usize).max(1));
        let [b_x, b_y] = [n_x.div_ceil(side[0]), n_y.div_ceil(side[1])];
        self.blocks.clear();
        self.blocks.resize(b_x * b_y, [0.0; 2]);
        for (row, (values, weights)) in
            self.value.chunks(n_x).zip(self.weight.chunks(n_x)).enumerate()
        {
            let blocks = &mut self.blocks[row / side[1] * b_x..][..b_x];
            let pieces = values.chunks(side[0]).zip(weights.chunks(side[0]));
            for (block, (values, weights)) in blocks.iter_mut().zip(pieces) {
                for (value, weight) in values.iter().zip(weights) {
                    block[0] += weight * value;
                    block[1] += weight;
                }
            }
        }
        let mut best: Option<(f64, [usize; 2])> = None;
        for y in 0..b_y {
            for x in 0..b_x {
                if self.blocks[y * b_x + x][1] <= 0.0 {
                    continue;
                }
                let (mut signal, mut weight) = (0.0, 0.0);
                for row in y.saturating_sub(1)..(y + 2).min(b_y) {
                    for block in &self.blocks[row * b_x..][x.saturating_sub(1)..(x + 2).min(b_x)] {
                        signal += block[0];
                        weight += block[1];
                    }
                }
                // A spot with next to no weight stands for nothing.
                if weight < LEAST_WEIGHT * highest_weight {
                    continue;
                }
                let significance = match sign {
                    SourceSign::Positive => signal,
                    SourceSign::Negative => -signal,
                    SourceSign::Either => signal.abs(),
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
    fn leave_out_beyond(&mut self, cells: &Cells, centre: [f64; 2], radius: f64) -> usize {
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
