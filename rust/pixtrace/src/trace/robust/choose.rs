//! How many knots, and how wide a window: what predicts best.

use rayon::prelude::*;

use super::equations::{Equations, all_columns, knows_bends};
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
/// Scores are in units of the variance of the data: what is noise makes one. Data with far less noise than their errors have
/// lower ones, between which there is no more to choose than if the noise were there.
const LEAST_SCORE: f64 = 1.0;
/// Where it is known how the profile bends, more knots cost little noise; what fewer knots do not follow *between* the
/// pixels, no pixel shows. Of two numbers of knots that are as good, and differ by no more than this, take the larger.
const FINER: f64 = 1.4;
/// A prediction as bad as this is as bad as any.
const WORST: f64 = 1e6;

/// Half-width of the windows, and distance between them, in which the smoothness of the profile is learned.
pub(crate) const LEARNING: (usize, usize) = (32, 16);

/// What was chosen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    pub(crate) n_intervals: usize,
    pub(crate) half_window: usize,
    /// Mean square of the prediction error between the pixels, in units of the variance of the data.
    pub(crate) score: f64,
    /// The same for each exposure; infinite for one without a good column.
    pub(crate) scores: Vec<f64>,
    /// Number of pixels that were predicted, by exposure.
    pub(crate) n_predicted: Vec<usize>,
}

impl Choice {
    /// What is taken before anything has been compared.
    pub(crate) fn first(n_intervals: usize, half_window: usize) -> Self {
        let (scores, n_predicted) = (Vec::new(), Vec::new());
        Self { n_intervals, half_window, score: f64::NAN, scores, n_predicted }
    }
}

/// Chooses among numbers of intervals and half-widths of the window.
pub(crate) fn choose(
    parts: &[Weighted<'_>],
    norms: &[Vec<f64>],
    intervals: &[usize],
    half_windows: &[usize],
) -> Option<Choice> {
    let scored: Vec<Vec<Choice>> = intervals
        .par_iter()
        .map(|&n_intervals| {
            let mut equations = Equations::new(parts, n_intervals, norms);
            equations.learn_smoothness(LEARNING.0, LEARNING.1);
            half_windows
                .iter()
                .map(|&half_window| {
                    let found: Vec<Score> =
                        (0..parts.len()).map(|e| score(&equations, half_window, e)).collect();
                    let scores = found.iter().map(Score::mean).collect();
                    let n_predicted = found.iter().map(|score| score.n_points).collect();
                    let score = found.into_iter().fold(Score::default(), Score::add).mean();
                    Choice { n_intervals, half_window, score, scores, n_predicted }
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
        .min_by(|a, b| b.half_window.cmp(&a.half_window).then(a.score.total_cmp(&b.score)))?
        .clone();
    if !knows_bends(&all_columns(parts), LEARNING.0) {
        return Some(found);
    }
    let finest = FINER * found.n_intervals as f64;
    all.into_iter()
        .filter(|c| c.half_window == found.half_window && c.n_intervals as f64 <= finest)
        .max_by_key(|choice| choice.n_intervals)
}

/// Squared errors of predictions, in units of the variance, and what the model's own error grows by between the pixels.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    total: f64,
    n_points: usize,
    growth: f64,
    n_growth: usize,
}

impl Score {
    fn add(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            n_points: self.n_points + other.n_points,
            growth: self.growth + other.growth,
            n_growth: self.n_growth + other.n_growth,
        }
    }

    /// Mean squared error of the prediction between the pixels; infinite without points.
    fn mean(&self) -> f64 {
        if self.n_points == 0 {
            return f64::INFINITY;
        }
        self.total / self.n_points as f64 + self.growth / self.n_growth.max(1) as f64
    }
}

/// How well columns of an exposure are predicted that are left out.
fn score(equations: &Equations<'_>, half_window: usize, e: usize) -> Score {
    let part = &equations.parts[e];
    let mut found = Score::default();
    let mut model = Vec::new();
    let good =
        part.pixels.columns.clone().filter(|&column| part.n_good(column) > 3).step_by(STRIDE);
    for (k, column) in good.enumerate() {
        let n = part.n_good(column);
        found.n_points += n;
        let window = equations.window(column, half_window);
        let Some((coefficients, factor)) = equations.without(&window, (e, column)).solve() else {
            found.total += WORST * n as f64;
            continue;
        };
        equations.model(e, column, &coefficients, &mut model);
        let scale = part.scale(column, &model);
        if !scale.is_finite() {
            found.total += WORST * n as f64;
            continue;
        }
        for (i, &m) in part.pixels.column(column).zip(&model) {
            let weight = part.weight[i];
            if weight > 0.0 {
                found.total += ((part.pixels.flux[i] - scale * m).powi(2) * weight).min(LARGEST);
            }
        }
        if k % VARIANCE_STRIDE == 0 {
            let growth = growth_between(&equations.knots, part, &factor, column, scale);
            found.growth += growth.clamp(0.0, WORST);
            found.n_growth += 1;
        }
    }
    found
}

/// By how much the variance of the scaled model is larger between the pixels of a column than at them, on average and in
/// units of the variance of the data.
fn growth_between(
    knots: &[f64],
    part: &Weighted<'_>,
    factor: &Factor,
    column: usize,
    scale: f64,
) -> f64 {
    let inverse = factor.inverse_band();
    let places: Vec<usize> = part.pixels.column(column).filter(|&i| part.weight[i] > 0.0).collect();
    let (mut at, mut between, mut n) = (0.0, 0.0, 0.0);
    for pair in places.windows(2) {
        let (a, b) = (part.alpha[pair[0]], part.alpha[pair[1]]);
        let weight = part.weight[pair[0]].min(part.weight[pair[1]]) * scale * scale;
        for share in BETWEEN {
            let value = weight * quadratic(&inverse, basis_at(knots, a + share * (b - a)));
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
