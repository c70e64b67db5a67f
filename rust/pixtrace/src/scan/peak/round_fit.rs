//! A round Gaussian without a level, fitted to the S/N of all cells alike.
//!
//! This is the least-squares fit of the reference: holes count as zeros, and the width does not go below that of the
//! start. [`super::super::gaussian`] is the better fit; this one is for comparison.

use super::sky::Sky;
use crate::numeric::exponential::exp_negative;
use crate::numeric::levenberg::{self, Limits, Normal, Problem};

/// Parameters: map index x, y, height, standard deviation in cells.
type Parameters = [f64; 4];
const HEIGHT: usize = 2;
const SIGMA: usize = 3;

/// A cell beyond so many standard deviations holds nothing of the Gaussian.
const FARTHEST: f64 = 8.0;
/// Evaluations after which the fit is given up.
const MAX_EVALUATIONS: usize = 400;
/// The fit ends when a step changes the sum of squares by less than this: a ten-thousandth of the errors, squared.
const SMALLEST_STEP: f64 = 1e-8;
/// Rounding of the sum of squares, as a fraction of that of the values.
const ROUNDING: f64 = 1e-14;

struct RoundGaussian<'a> {
    sky: &'a Sky<'a>,
    square: f64,
    lowest_sigma: f64,
    is_held: bool,
}

impl RoundGaussian<'_> {
    /// The height with which a Gaussian of the smallest width fits best at a map index.
    fn best_height(&mut self, [x, y]: [f64; 2]) -> Option<f64> {
        let unit = self.normal(&[x, y, 1.0, self.lowest_sigma])?;
        let height = 1.0 + unit.gradient[HEIGHT] / unit.matrix[HEIGHT][HEIGHT];
        (height.is_finite() && height != 0.0).then_some(height)
    }
}

impl Problem<4> for RoundGaussian<'_> {
    fn normal(&mut self, &[x, y, height, sigma]: &Parameters) -> Option<Normal<4>> {
        let [n_y, n_x] = self.sky.grid.shape();
        let is_sane = [x, y, height].iter().all(|p| p.is_finite());
        if !is_sane || sigma.is_nan() || sigma < self.lowest_sigma || sigma > (n_x + n_y) as f64 {
            return None;
        }
        let range = |centre: f64, n: usize| {
            let (half, n) = (FARTHEST * sigma, n as f64);
            // Both lie between 0 and n: the conversion holds them.
            let first = (centre - half).floor().clamp(0.0, n) as usize;
            first..((centre + half).ceil() + 1.0).clamp(0.0, n) as usize
        };
        let mut sums = Normal { chi2: self.square, ..Normal::EMPTY };
        let inverse = 1.0 / (sigma * sigma);
        for row in range(y, n_y) {
            let dy = row as f64 - y;
            for column in range(x, n_x) {
                let dx = column as f64 - x;
                let squared = (dx * dx + dy * dy) * inverse;
                let shape = exp_negative(0.5 * squared);
                let model = height * shape;
                let slopes =
                    [model * dx * inverse, model * dy * inverse, shape, model * squared / sigma];
                let value = self.sky.significance[row * n_x + column];
                let residual = value - model;
                // Outside of the range the residual is the value: `square` holds that of all cells.
                sums.chi2 += model * (model - 2.0 * value);
                for (i, slope) in slopes.iter().enumerate() {
                    for (sum, other) in sums.matrix[i].iter_mut().zip(&slopes).take(i + 1) {
                        *sum += slope * other;
                    }
                    sums.gradient[i] += slope * residual;
                }
            }
        }
        if self.is_held {
            sums.hold(SIGMA);
        }
        Some(sums)
    }
}

/// Map index `[x, y]` and standard deviation in cells, `None` if the fit does not converge.
pub(super) fn fit(sky: &Sky<'_>, start: [f64; 2], lowest_sigma: f64) -> Option<([f64; 2], f64)> {
    let square: f64 = sky.significance.iter().map(|s| s * s).sum();
    let index = start.map(f64::round);
    let cell = sky.grid.cell(index[0] as i64, index[1] as i64)?;
    let mut problem = RoundGaussian { sky, square, lowest_sigma, is_held: true };
    let chi2_step = SMALLEST_STEP.max(ROUNDING * square);
    let limits = Limits { n_evaluations: MAX_EVALUATIONS, chi2_step };
    let mut height = sky.significance[cell];
    if height == 0.0 {
        // A hole, and without height a Gaussian has no slope to follow: the height that fits best there.
        height = problem.best_height(start)?;
    }
    let start = [start[0], start[1], height, lowest_sigma];
    // First with the smallest width. If it wants to be wider, it may.
    let held = levenberg::fit(&mut problem, start, &limits)?;
    problem.is_held = false;
    let wants_to_be_wider = problem.normal(&held.parameters)?.gradient[SIGMA] > 0.0;
    let end = if wants_to_be_wider {
        levenberg::fit(&mut problem, held.parameters, &limits)?
    } else {
        held
    };
    end.has_converged.then_some(([end.parameters[0], end.parameters[1]], end.parameters[SIGMA]))
}
