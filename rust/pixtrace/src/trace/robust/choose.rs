//! How many knots, and how wide a window: what predicts best.

use rayon::prelude::*;

use super::equations::{Equations, knows_bends};
use super::region::Weighted;
use crate::numeric::normal::{Factor, basis_at, quadratic};

/// A residual counts at most this many errors, squared: what is an outlier to all must not choose among them.
const LARGEST: f64 = 25.0;
/// Every so many columns one is left out and predicted.
const STRIDE: usize = 4;
/// And for every so many of them the error between the pixels is worked out.
const VARIANCE_STRIDE: usize = 4;
/// Places between two pixels at which the error of the model is looked at, in pixels.
const BETWEEN: [f64; 4] = [0.0, 0.25, 0.5, 0.75];
/// Of choices whose scores differ by no more than this factor the one with the widest window is taken: scores are
/// dominated by the few pixels of a bright core, and all the others have less noise in a wide window.
const AS_GOOD: f64 = 1.03;
/// Scores are in units of the variance of the data. Data with far less noise than their errors have lower ones, between
/// which there is nothing to choose.
const LEAST_SCORE: f64 = 0.5;
/// Where it is known how the profile bends, more knots cost little noise; what fewer knots do not follow *between* the
/// pixels, no pixel shows. Of two numbers of knots that are as good, and differ by no more than this, take the larger.
const FINER: f64 = 1.4;
/// A prediction as bad as this is as bad as any.
const WORST: f64 = 1e6;

/// Half-width of the windows, and distance between them, in which the smoothness of the profile is learned.
pub(crate) const LEARNING: (usize, usize) = (32, 16);

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Choice {
    pub(crate) n_intervals: usize,
    pub(crate) half_window: usize,
    /// Mean square of the prediction error between the pixels, in units of the variance of the data.
    pub(crate) score: f64,
}

/// Chooses among numbers of intervals and half-widths of the window.
pub(crate) fn choose(
    region: &Weighted<'_>,
    norms: &[f64],
    intervals: &[usize],
    half_windows: &[usize],
) -> Option<Choice> {
    let scored: Vec<Vec<Choice>> = intervals
        .par_iter()
        .map(|&n_intervals| {
            let mut equations = Equations::new(region, n_intervals, norms);
            equations.learn_smoothness(LEARNING.0, LEARNING.1);
            half_windows
                .iter()
                .map(|&half_window| {
                    let score = score(&equations, half_window);
                    Choice { n_intervals, half_window, score }
                })
                .collect()
        })
        .collect();
    let mut all: Vec<Choice> = scored.into_iter().flatten().collect();
    let best = all.iter().map(|choice| choice.score).fold(f64::INFINITY, f64::min);
    let limit = best + (AS_GOOD - 1.0) * best.max(LEAST_SCORE);
    all.retain(|choice| choice.score <= limit);
    let found = all
        .iter()
        .copied()
        .min_by(|a, b| b.half_window.cmp(&a.half_window).then(a.score.total_cmp(&b.score)))?;
    if !knows_bends(region, LEARNING.0) {
        return Some(found);
    }
    let finest = FINER * found.n_intervals as f64;
    all.into_iter()
        .filter(|c| c.half_window == found.half_window && c.n_intervals as f64 <= finest)
        .max_by_key(|choice| choice.n_intervals)
}

/// Mean squared error of the prediction of left-out columns, in units of the variance; what the model's own error grows
/// by between the pixels is added.
fn score(equations: &Equations<'_>, half_window: usize) -> f64 {
    let region = equations.region;
    let columns = region.pixels.columns.clone();
    let (mut total, mut n_points) = (0.0, 0_usize);
    let (mut growth, mut n_growth) = (0.0, 0_usize);
    let mut model = Vec::new();
    let good = columns.filter(|&column| region.n_good(column) > 3).step_by(STRIDE);
    for (k, column) in good.enumerate() {
        let n = region.n_good(column);
        n_points += n;
        let window = equations.window(column, half_window);
        let Some((coefficients, factor)) = equations.of(&window, Some(column)).solve() else {
            total += WORST * n as f64;
            continue;
        };
        equations.model(column, &coefficients, &mut model);
        let scale = region.scale(column, &model);
        if !scale.is_finite() {
            total += WORST * n as f64;
            continue;
        }
        for (i, &m) in region.pixels.column(column).zip(&model) {
            let weight = region.weight[i];
            if weight > 0.0 {
                total += ((region.pixels.flux[i] - scale * m).powi(2) * weight).min(LARGEST);
            }
        }
        if k % VARIANCE_STRIDE == 0 {
            growth += growth_between(equations, &factor, column, scale).clamp(0.0, WORST);
            n_growth += 1;
        }
    }
    if n_points == 0 {
        return f64::INFINITY;
    }
    total / n_points as f64 + growth / n_growth.max(1) as f64
}

/// By how much the variance of the scaled model is larger between the pixels of a column than at them, on average and in
/// units of the variance of the data.
fn growth_between(equations: &Equations<'_>, factor: &Factor, column: usize, scale: f64) -> f64 {
    let region = equations.region;
    let inverse = factor.inverse_band();
    let places: Vec<usize> =
        region.pixels.column(column).filter(|&i| region.weight[i] > 0.0).collect();
    let (mut at, mut between, mut n) = (0.0, 0.0, 0.0);
    for pair in places.windows(2) {
        let (a, b) = (region.pixels.alpha[pair[0]], region.pixels.alpha[pair[1]]);
        let weight = region.weight[pair[0]].min(region.weight[pair[1]]) * scale * scale;
        for share in BETWEEN {
            let value =
                weight * quadratic(&inverse, basis_at(&equations.knots, a + share * (b - a)));
            if share == 0.0 {
                at += value * (BETWEEN.len() as f64 - 1.0);
            } else {
                between += value;
            }
        }
        n += BETWEEN.len() as f64 - 1.0;
    }
    if n > 0.0 { (between - at) / n } else { 0.0 }
}
