//! Normal equations of windows of columns, as differences of running sums.

use std::ops::Range;

use super::bends::{Bend, Look, expect};
use super::region::Weighted;
use crate::numeric::bspline::ORDER;
use crate::numeric::normal::{Band, NormalEquations, add_outer, basis_at, multiply, uniform_knots};

/// Weight of the second differences of the coefficients, relative to the typical information on a coefficient: enough
/// to bridge gaps, too little to be seen elsewhere.
const SMOOTHNESS: f64 = 1e-4;

/// Of so many windows without a common column the mean is known: what a window then learns of itself through the mean is
/// little.
const ENOUGH_WINDOWS: usize = 6;

/// The four basis functions at a pixel.
pub(crate) type Basis = (usize, [f64; ORDER]);

/// Running sums of the normal equations over the columns of a region.
pub(crate) struct Equations<'a> {
    pub(crate) region: &'a Weighted<'a>,
    pub(crate) knots: Vec<f64>,
    /// Basis at each pixel with a weight.
    pub(crate) basis: Vec<Basis>,
    /// What the flux of each column is divided by; columns in which it is not positive take no part.
    pub(crate) norms: Vec<f64>,
    /// Sums over the columns before each column of the region, and over all.
    sums: Vec<NormalEquations>,
    /// Likewise, of what records need besides.
    extras: Vec<Extras>,
    /// What each second difference of the coefficients is expected to be; empty before that is known.
    expected: Vec<Bend>,
}

/// What a record of a fit needs of a window, besides its normal equations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    /// Sum of weight times flux squared.
    pub(crate) squares: f64,
    /// Points that are used, and points that were set aside.
    pub(crate) n_points: usize,
    pub(crate) n_rejected: usize,
    /// Noise matrices by component of the variance.
    pub(crate) noise: Vec<Band>,
}

impl<'a> Equations<'a> {
    pub(crate) fn new(region: &'a Weighted<'a>, n_intervals: usize, norms: &[f64]) -> Self {
        let knots = uniform_knots(region.range.0, region.range.1, n_intervals);
        let n = knots.len() - ORDER;
        let pixels = region.pixels;
        let basis: Vec<Basis> =
            pixels
                .alpha
                .iter()
                .map(|&alpha| {
                    if alpha.is_finite() { basis_at(&knots, alpha) } else { (0, [f64::NAN; ORDER]) }
                })
                .collect();
        let mut sums = Vec::with_capacity(norms.len() + 1);
        let mut running = NormalEquations::new(n);
        sums.push(running.clone());
        let this = |x: usize, running: &mut NormalEquations| {
            let norm = norms[x];
            if norm.is_finite() && norm > 0.0 {
                for i in pixels.column(pixels.columns.start + x) {
                    let weight = region.weight[i];
                    if weight > 0.0 {
                        running.add(basis[i], weight * norm * norm, pixels.flux[i] / norm);
                    }
                }
            }
        };
        for x in 0..norms.len() {
            this(x, &mut running);
            sums.push(running.clone());
        }
        Self {
            region,
            knots,
            basis,
            norms: norms.to_vec(),
            sums,
            extras: Vec::new(),
            expected: Vec::new(),
        }
    }

    /// Number of coefficients.
    pub(crate) fn n(&self) -> usize {
        self.knots.len() - ORDER
    }

    /// The columns of the region within `half` columns of one, counted in the image.
    pub(crate) fn window(&self, column: usize, half: usize) -> Range<usize> {
        let columns = &self.region.pixels.columns;
        column.saturating_sub(half).max(columns.start)..(column + half + 1).min(columns.end)
    }

    /// Sums over a window, without one column if that is asked for, and a little smoothness.
    pub(crate) fn of(&self, window: &Range<usize>, without: Option<usize>) -> NormalEquations {
        let first = self.region.pixels.columns.start;
        let mut found =
            difference(&self.sums[window.end - first], &self.sums[window.start - first]);
        if let Some(x) = without.map(|column| column - first) {
            let own = difference(&self.sums[x + 1], &self.sums[x]);
            found = difference(&found, &own);
        }
        add_smoothness(&mut found, &self.expected, (window.start + window.end) as f64 / 2.0);
        found
    }

    /// Learns from fits all along the region how the profile bends along the slice; see [`super::bends`].
    pub(crate) fn learn_smoothness(&mut self, half_window: usize, stride: usize) {
        self.expected.clear();
        let columns = self.region.pixels.columns.clone();
        let n = self.n().saturating_sub(2);
        let mut looks: Vec<Vec<Look>> = vec![Vec::new(); n];
        for column in columns.clone().skip(stride / 2).step_by(stride) {
            let window = self.window(column, half_window);
            let Some((c, factor)) = self.of(&window, None).solve() else { continue };
            let inverse = factor.inverse_band();
            for (i, look) in looks.iter_mut().enumerate() {
                look.push(Look {
                    column: (window.start + window.end) as f64 / 2.0,
                    bend: c[i] - 2.0 * c[i + 1] + c[i + 2],
                    variance: bend_variance(&inverse, i),
                });
            }
        }
        let independent = stride as f64 / (2 * half_window + 1) as f64;
        self.expected = expect(&looks, knows_bends(self.region, half_window), independent);
    }

    /// Works out what [`Equations::extras`] needs; `components` are variances of the pixels.
    pub(crate) fn prepare_records(&mut self, components: &[Vec<f64>]) {
        let pixels = self.region.pixels;
        let mut running = Extras {
            noise: vec![vec![[0.0; ORDER]; self.n()]; components.len()],
            ..Extras::default()
        };
        self.extras = vec![running.clone()];
        for (column, &norm) in pixels.columns.clone().zip(&self.norms) {
            for i in pixels.column(column).filter(|_| norm.is_finite() && norm > 0.0) {
                let weight = self.region.weight[i];
                if weight == 0.0 {
                    let is_known = pixels.flux[i].is_finite() && pixels.error[i] > 0.0;
                    running.n_rejected += usize::from(is_known && pixels.alpha[i].is_finite());
                    continue;
                }
                running.n_points += 1;
                running.squares += weight * pixels.flux[i] * pixels.flux[i];
                for (band, component) in running.noise.iter_mut().zip(components) {
                    if component[i].is_finite() {
                        add_outer(band, self.basis[i], component[i] * (weight * norm).powi(2));
                    }
                }
            }
            self.extras.push(running.clone());
        }
    }

    /// What a record needs of a window.
    pub(crate) fn extras(&self, window: &Range<usize>) -> Extras {
        let first = self.region.pixels.columns.start;
        let (a, b) = (&self.extras[window.end - first], &self.extras[window.start - first]);
        Extras {
            squares: a.squares - b.squares,
            n_points: a.n_points - b.n_points,
            n_rejected: a.n_rejected - b.n_rejected,
            noise: a.noise.iter().zip(&b.noise).map(|(a, b)| minus(a, b)).collect(),
        }
    }

    /// Sum of the squared residuals of a spline over a window, each times its weight.
    pub(crate) fn chi2(&self, window: &Range<usize>, squares: f64, coefficients: &[f64]) -> f64 {
        let first = self.region.pixels.columns.start;
        let sums = difference(&self.sums[window.end - first], &self.sums[window.start - first]);
        let fitted = multiply(&sums.matrix, coefficients);
        let both = coefficients.iter().zip(fitted.iter().zip(&sums.rhs));
        (squares + both.map(|(c, (fit, data))| c * (fit - 2.0 * data)).sum::<f64>()).max(0.0)
    }

    /// Values of a spline at the pixels of a column; NaN where alpha is.
    pub(crate) fn model(&self, column: usize, coefficients: &[f64], values: &mut Vec<f64>) {
        values.clear();
        values.extend(self.region.pixels.column(column).map(|i| {
            let (first, basis) = self.basis[i];
            (0..ORDER).map(|l| basis[l] * coefficients[first + l]).sum::<f64>()
        }));
    }
}

/// Whether a region has so many windows without a common column that the mean of its bends is known.
pub(crate) fn knows_bends(region: &Weighted<'_>, half_window: usize) -> bool {
    region.pixels.columns.len() >= ENOUGH_WINDOWS * (2 * half_window + 1)
}

fn minus(a: &Band, b: &Band) -> Band {
    a.iter().zip(b).map(|(a, b)| std::array::from_fn(|d| a[d] - b[d])).collect()
}

fn difference(a: &NormalEquations, b: &NormalEquations) -> NormalEquations {
    NormalEquations {
        matrix: minus(&a.matrix, &b.matrix),
        rhs: a.rhs.iter().zip(&b.rhs).map(|(a, b)| a - b).collect(),
    }
}

/// Variance of the second difference that begins at coefficient `i`.
fn bend_variance(inverse: &Band, i: usize) -> f64 {
    let at = |a: usize, d: usize| inverse[i + a][d];
    at(0, 0) + 4.0 * at(1, 0) + at(2, 0) - 4.0 * at(0, 1) - 4.0 * at(1, 1) + 2.0 * at(0, 2)
}

/// Adds the square of what second differences are off what is expected of them, around a column: with a small weight,
/// and with that of the expectation.
fn add_smoothness(equations: &mut NormalEquations, expected: &[Bend], column: f64) {
    let NormalEquations { matrix, rhs } = equations;
    let mut diagonal: Vec<f64> = matrix.iter().map(|row| row[0]).collect();
    let typical = crate::numeric::stats::median(&mut diagonal);
    for i in 0..matrix.len().saturating_sub(2) {
        let bend = expected.get(i).copied().unwrap_or_default();
        let weight = SMOOTHNESS * typical + bend.weight;
        let row = [1.0, -2.0, 1.0];
        for a in 0..3 {
            for b in a..3 {
                matrix[i + a][b - a] += weight * row[a] * row[b];
            }
            rhs[i + a] += weight * row[a] * bend.at(column);
        }
    }
}
