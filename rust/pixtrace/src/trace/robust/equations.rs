//! Normal equations of windows of columns, as differences of running sums.

use std::ops::Range;

use super::bends::{Bend, Look, expect};
use super::region::Weighted;
use crate::numeric::bspline::ORDER;
use crate::numeric::normal::{Band, NormalEquations, add_outer, basis_at, multiply, uniform_knots};

/// Weight of the second differences of the coefficients, relative to the typical information on a coefficient: enough
/// to bridge gaps before it is known how the profile bends, too little to be seen elsewhere, also in the core of a bright
/// source, on which there is less information than on the background.
const SMOOTHNESS: f64 = 1e-6;

/// Of so many windows without a common column the mean is known: what a window then learns of itself through the mean is
/// little.
const ENOUGH_WINDOWS: usize = 6;

/// The four basis functions at a pixel.
pub(crate) type Basis = (usize, [f64; ORDER]);

/// Running sums of the normal equations over the columns of a region, of one exposure or of several.
pub(crate) struct Equations<'a> {
    /// The region in each exposure, shifted to where the fit has the profile.
    pub(crate) parts: &'a [Weighted<'a>],
    /// Columns that any exposure has.
    pub(crate) columns: Range<usize>,
    pub(crate) knots: Vec<f64>,
    /// Basis at each pixel with a weight, by exposure.
    pub(crate) basis: Vec<Vec<Basis>>,
    /// What the flux of each column is divided by, by exposure; where it is not positive the column takes no part.
    pub(crate) norms: Vec<Vec<f64>>,
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
    /// `norms` are by exposure and column of its region.
    pub(crate) fn new(parts: &'a [Weighted<'a>], n_intervals: usize, norms: &[Vec<f64>]) -> Self {
        let (low, high) = common_range(parts);
        let knots = uniform_knots(low, high, n_intervals);
        let n = knots.len() - ORDER;
        let basis_of = |&alpha: &f64| {
            if alpha.is_finite() { basis_at(&knots, alpha) } else { (0, [f64::NAN; ORDER]) }
        };
        let basis: Vec<Vec<Basis>> =
            parts.iter().map(|part| part.alpha.iter().map(basis_of).collect()).collect();
        let columns = all_columns(parts);
        let mut found = Self {
            parts,
            columns: columns.clone(),
            knots,
            basis,
            norms: norms.to_vec(),
            sums: Vec::with_capacity(columns.len() + 1),
            extras: Vec::new(),
            expected: Vec::new(),
        };
        let mut running = NormalEquations::new(n);
        found.sums.push(running.clone());
        for column in columns {
            for e in 0..parts.len() {
                found.add_column(&mut running, e, column, 1.0);
            }
            found.sums.push(running.clone());
        }
        found
    }

    /// What the flux of a column of an exposure is divided by; `None` if it takes no part.
    pub(crate) fn norm(&self, e: usize, column: usize) -> Option<f64> {
        let norm = self.norms[e][self.parts[e].place(column)?];
        (norm.is_finite() && norm > 0.0).then_some(norm)
    }

    /// Adds (or, with a sign of -1, takes away) the pixels of a column of an exposure.
    fn add_column(&self, sums: &mut NormalEquations, e: usize, column: usize, sign: f64) {
        let Some(norm) = self.norm(e, column) else { return };
        let part = &self.parts[e];
        for i in part.pixels.column(column) {
            let weight = part.weight[i];
            if weight > 0.0 {
                let value = part.pixels.flux[i] / norm;
                sums.add(self.basis[e][i], sign * weight * norm * norm, value);
            }
        }
    }

    /// Number of coefficients.
    pub(crate) fn n(&self) -> usize {
        self.knots.len() - ORDER
    }

    /// The columns of the region within `half` columns of one, counted in the image.
    pub(crate) fn window(&self, column: usize, half: usize) -> Range<usize> {
        let columns = &self.columns;
        column.saturating_sub(half).max(columns.start)..(column + half + 1).min(columns.end)
    }

    /// Sums over a window, and a little smoothness.
    pub(crate) fn of(&self, window: &Range<usize>) -> NormalEquations {
        let mut found = self.plain(window);
        add_smoothness(&mut found, &self.expected, middle(window));
        found
    }

    /// The same without one column of one exposure.
    pub(crate) fn without(
        &self,
        window: &Range<usize>,
        (e, column): (usize, usize),
    ) -> NormalEquations {
        let mut found = self.plain(window);
        self.add_column(&mut found, e, column, -1.0);
        add_smoothness(&mut found, &self.expected, middle(window));
        found
    }

    fn plain(&self, window: &Range<usize>) -> NormalEquations {
        let first = self.columns.start;
        difference(&self.sums[window.end - first], &self.sums[window.start - first])
    }

    /// Learns from fits all along the region how the profile bends along the slice; see [`super::bends`].
    pub(crate) fn learn_smoothness(&mut self, half_window: usize, stride: usize) {
        self.expected.clear();
        let n = self.n().saturating_sub(2);
        let mut looks: Vec<Vec<Look>> = vec![Vec::new(); n];
        for column in self.columns.clone().skip(stride / 2).step_by(stride) {
            let window = self.window(column, half_window);
            let Some((c, factor)) = self.of(&window).solve() else { continue };
            let inverse = factor.inverse_band();
            for (i, look) in looks.iter_mut().enumerate() {
                look.push(Look {
                    column: middle(&window),
                    bend: c[i] - 2.0 * c[i + 1] + c[i + 2],
                    variance: bend_variance(&inverse, i),
                });
            }
        }
        let independent = stride as f64 / (2 * half_window + 1) as f64;
        self.expected = expect(&looks, knows_bends(&self.columns, half_window), independent);
    }

    /// Works out what [`Equations::extras`] needs; `components` are variances of the pixels, by exposure.
    pub(crate) fn prepare_records(&mut self, components: &[&[Vec<f64>]]) {
        let n_components = components.first().map_or(0, |of_one| of_one.len());
        let mut running =
            Extras { noise: vec![vec![[0.0; ORDER]; self.n()]; n_components], ..Extras::default() };
        self.extras = vec![running.clone()];
        for column in self.columns.clone() {
            for (e, components) in components.iter().enumerate() {
                self.add_extras(&mut running, e, column, components);
            }
            self.extras.push(running.clone());
        }
    }

    fn add_extras(&self, running: &mut Extras, e: usize, column: usize, components: &[Vec<f64>]) {
        let Some(norm) = self.norm(e, column) else { return };
        let (part, pixels) = (&self.parts[e], self.parts[e].pixels);
        for i in pixels.column(column) {
            let weight = part.weight[i];
            if weight == 0.0 {
                let is_known = pixels.flux[i].is_finite() && pixels.error[i] > 0.0;
                running.n_rejected += usize::from(is_known && pixels.alpha[i].is_finite());
                continue;
            }
            running.n_points += 1;
            running.squares += weight * pixels.flux[i] * pixels.flux[i];
            for (band, component) in running.noise.iter_mut().zip(components) {
                if component[i].is_finite() {
                    add_outer(band, self.basis[e][i], component[i] * (weight * norm).powi(2));
                }
            }
        }
    }

    /// What a record needs of a window.
    pub(crate) fn extras(&self, window: &Range<usize>) -> Extras {
        let first = self.columns.start;
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
        let sums = self.plain(window);
        let fitted = multiply(&sums.matrix, coefficients);
        let both = coefficients.iter().zip(fitted.iter().zip(&sums.rhs));
        (squares + both.map(|(c, (fit, data))| c * (fit - 2.0 * data)).sum::<f64>()).max(0.0)
    }

    /// Values of a spline at the pixels of a column of an exposure; NaN where alpha is.
    pub(crate) fn model(
        &self,
        e: usize,
        column: usize,
        coefficients: &[f64],
        values: &mut Vec<f64>,
    ) {
        values.clear();
        values.extend(self.parts[e].pixels.column(column).map(|i| {
            let (first, basis) = self.basis[e][i];
            (0..ORDER).map(|l| basis[l] * coefficients[first + l]).sum::<f64>()
        }));
    }
}

/// Middle of a window.
fn middle(window: &Range<usize>) -> f64 {
    (window.start + window.end) as f64 / 2.0
}

/// Whether a region has so many windows without a common column that the mean of its bends is known.
pub(crate) fn knows_bends(columns: &Range<usize>, half_window: usize) -> bool {
    columns.len() >= ENOUGH_WINDOWS * (2 * half_window + 1)
}

/// Lowest and highest alpha of a region in any exposure, from the profile that they share.
pub(crate) fn common_range(parts: &[Weighted<'_>]) -> (f64, f64) {
    parts.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), part| {
        (low.min(part.range.0), high.max(part.range.1))
    })
}

/// Columns that a region has in any exposure.
pub(crate) fn all_columns(parts: &[Weighted<'_>]) -> Range<usize> {
    let columns = || parts.iter().map(|part| &part.pixels.columns);
    let start = columns().map(|c| c.start).min().unwrap_or(0);
    start..columns().map(|c| c.end).max().unwrap_or(start)
}

/// Length of a region in pixels, all exposures together.
pub(crate) fn common_length(parts: &[Weighted<'_>]) -> f64 {
    let (low, high) = common_range(parts);
    let pitch = parts.iter().map(|part| part.pitch).sum::<f64>() / parts.len() as f64;
    (high - low) / pitch
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
