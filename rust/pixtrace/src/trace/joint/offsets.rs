//! The offsets of the exposures, by least squares.

use rayon::prelude::*;

use super::super::robust::choose::{Choice, LEARNING};
use super::super::robust::equations::Equations;
use super::super::robust::region::Weighted;
use crate::numeric::bspline::ORDER;
use crate::numeric::normal::{Band, quadratic, slopes_at};
use crate::numeric::pseudo_inverse::{Matrix, pseudo_inverse};
use crate::{Control, Error};

/// Steps after which offsets that still move do not settle.
const MOST_STEPS: usize = 60;
/// Offsets have settled when they would move by less than this share of their error, or of a pixel.
const SETTLED: (f64, f64) = (0.01, 1e-7);
/// After the last step, so much of their error is near enough.
const NEARLY_SETTLED: f64 = 0.2;
/// Steps that go back and forth are made shorter by this.
const DAMPING: f64 = 0.5;
/// No step is longer than this share of a pixel: the profile is known to be straight only so far.
const LONGEST_STEP: f64 = 0.4;
/// Offsets that are less certain than this share of a pixel are as good as unknown.
const LARGEST_ERROR: f64 = 0.25;
/// Nor are they known where so much of the square of the slopes is noise: that would count as information.
const MOST_NOISE: f64 = 0.5;
/// Columns with a profile of their own, at least. A profile of few columns is known where the pixels of the exposures
/// are, and little between them: it can bend to fit offsets that are wrong.
const FEWEST_COLUMNS: usize = 64;

/// A region in the exposures that share its profile, and how that is fitted.
#[derive(Clone)]
pub(super) struct Shared<'a> {
    /// Numbers of the exposures.
    pub(super) exposures: Vec<usize>,
    /// The region in each of them.
    pub(super) parts: Vec<Weighted<'a>>,
    /// Sums of the columns.
    pub(super) norms: Vec<Vec<f64>>,
    pub(super) choice: Choice,
}

/// Offsets that have settled.
#[derive(Debug)]
pub(super) struct Settled {
    /// Covariance of the offsets, multiplied by the reduced chi2 of the pixels, or by that of the regions, where the
    /// larger of the two exceeds one.
    pub(super) covariance: Matrix,
    pub(super) n_steps: usize,
}

/// Exposures that are linked by profiles that they share, whether directly or through others.
pub(super) fn linked(n_exposures: usize, shared: &[Shared<'_>]) -> Vec<Vec<usize>> {
    let mut set: Vec<usize> = (0..n_exposures).collect();
    for region in shared {
        for pair in region.exposures.windows(2) {
            let (old, new) = (set[pair[1]], set[pair[0]]);
            for s in &mut set {
                if *s == old {
                    *s = new;
                }
            }
        }
    }
    let mut sets: Vec<Vec<usize>> = (0..n_exposures)
        .map(|s| (0..n_exposures).filter(|&e| set[e] == s).collect())
        .filter(|members: &Vec<usize>| members.len() > 1)
        .collect();
    sets.sort();
    sets
}

/// Moves offsets to where the sum of the weighted squares of the residuals is least; their mean stays.
///
/// The regions are left shifted by them.
///
/// # Errors
/// [`Error::Offsets`] if the data do not determine them, or they do not settle; [`Error::Cancelled`].
pub(super) fn settle(
    shared: &mut [Shared<'_>],
    offsets: &mut [f64],
    pitch: f64,
    control: &Control,
) -> Result<Settled, Error> {
    let n = offsets.len();
    let sets = linked(n, shared);
    let n_free: usize = sets.iter().map(|set| set.len() - 1).sum();
    let mut settled = None;
    let (mut damping, mut before) = (1.0, vec![0.0; n]);
    for n_steps in 0..=MOST_STEPS {
        control.check()?;
        shared.par_iter_mut().for_each(|region| {
            for (part, &e) in region.parts.iter_mut().zip(&region.exposures) {
                part.shift(offsets[e]);
            }
        });
        let by_region: Vec<Terms> = shared.par_iter().map(|region| Terms::of(region, n)).collect();
        let terms = by_region.iter().fold(Terms::new(n), Terms::add);
        let (mut covariance, rank) = pseudo_inverse(&centred(&terms.information, &sets));
        if rank < n_free {
            return Err(Error::Offsets { reason: "the source has no structure along the slices" });
        }
        let excess = (terms.chi2 / terms.degrees.max(1.0)).max(1.0);
        let disagreement = disagreement(shared, &by_region, n_free);
        let step: Vec<f64> = (0..n).map(|i| dot(covariance.row(i), &terms.gradient)).collect();
        covariance.elements.iter_mut().for_each(|c| *c *= excess);
        let longest = step.iter().fold(0.0, |longest, s| f64::max(longest, s.abs()));
        if !longest.is_finite() {
            break;
        }
        let share = if n_steps < MOST_STEPS { SETTLED.0 } else { NEARLY_SETTLED };
        let is_settled = (0..n).all(|i| {
            let error = covariance.row(i)[i].max(0.0).sqrt();
            step[i].abs() <= (share * error).max(SETTLED.1 * pitch)
        });
        if is_settled {
            if sets.iter().flatten().any(|&e| terms.noise[e] > MOST_NOISE * terms.own[e]) {
                return Err(Error::Offsets { reason: "the source is too faint" });
            }
            // What regions disagree by makes the error larger, but the source no fainter.
            let is_uncertain =
                (0..n).any(|e| covariance.row(e)[e].max(0.0).sqrt() > LARGEST_ERROR * pitch);
            if is_uncertain {
                return Err(Error::Offsets { reason: "the source is too faint" });
            }
            let more = (disagreement / excess).max(1.0);
            covariance.elements.iter_mut().for_each(|c| *c *= more);
            settled = Some(Settled { covariance, n_steps });
            break;
        }
        if dot(&step, &before) < 0.0 {
            damping *= DAMPING;
        }
        before.clone_from(&step);
        let shortened = damping.min(LONGEST_STEP * pitch / longest);
        for (offset, step) in offsets.iter_mut().zip(&step) {
            *offset += shortened * step;
        }
    }
    settled.ok_or(Error::Offsets { reason: "the steps towards them do not end" })
}

/// The profile of some columns, and the variance of its coefficients.
struct Fitted {
    coefficients: Vec<f64>,
    variance: Band,
}

/// What a region says about the offsets: the normal equations with profile and scales eliminated.
struct Terms {
    information: Matrix,
    gradient: Vec<f64>,
    /// By exposure, the information that its pixels alone would carry, and what the noise of the slopes adds to that.
    own: Vec<f64>,
    noise: Vec<f64>,
    chi2: f64,
    degrees: f64,
}

impl Terms {
    fn new(n: usize) -> Self {
        Self {
            information: Matrix::zeros(n, n),
            gradient: vec![0.0; n],
            own: vec![0.0; n],
            noise: vec![0.0; n],
            chi2: 0.0,
            degrees: 0.0,
        }
    }

    fn add(mut self, other: &Self) -> Self {
        let elements = self.information.elements.iter_mut().zip(&other.information.elements);
        elements.for_each(|(a, b)| *a += b);
        for (mine, others) in [
            (&mut self.gradient, &other.gradient),
            (&mut self.own, &other.own),
            (&mut self.noise, &other.noise),
        ] {
            mine.iter_mut().zip(others).for_each(|(a, b)| *a += b);
        }
        self.chi2 += other.chi2;
        self.degrees += other.degrees;
        self
    }

    fn of(region: &Shared<'_>, n: usize) -> Self {
        let mut equations = Equations::new(&region.parts, region.choice.n_intervals, &region.norms);
        equations.learn_smoothness(LEARNING.0, LEARNING.1);
        let mut terms = Self::new(n);
        let width = (2 * region.choice.half_window + 1).max(FEWEST_COLUMNS);
        let columns = equations.columns.clone();
        for first in columns.clone().step_by(width) {
            let window = first..(first + width).min(columns.end);
            let Some((coefficients, factor)) = equations.of(&window).solve() else { continue };
            terms.degrees -= coefficients.len() as f64;
            let fitted = Fitted { coefficients, variance: factor.inverse_band() };
            // By exposure: what a change of its offset does to the right-hand side of the coefficients.
            let mut couplings = vec![vec![0.0; fitted.coefficients.len()]; region.parts.len()];
            for (part, coupling) in couplings.iter_mut().enumerate() {
                for column in window.clone() {
                    let e = region.exposures[part];
                    terms.add_column(&equations, (part, e), column, &fitted, coupling);
                }
            }
            for (part, coupling) in couplings.iter().enumerate() {
                let mut solved = coupling.clone();
                factor.solve(&mut solved);
                for (other, against) in couplings.iter().enumerate() {
                    let place = region.exposures[part] * n + region.exposures[other];
                    terms.information.elements[place] -= dot(&solved, against);
                }
            }
        }
        terms
    }

    /// Adds the pixels of a column of an exposure; the part of the slope that a change of the scale could make up for is
    /// left out.
    fn add_column(
        &mut self,
        equations: &Equations<'_>,
        (part, e): (usize, usize),
        column: usize,
        fitted: &Fitted,
        coupling: &mut [f64],
    ) {
        let Some(norm) = equations.norm(part, column) else { return };
        let region = &equations.parts[part];
        let mut model = Vec::new();
        equations.model(part, column, &fitted.coefficients, &mut model);
        let scale = region.scale(column, &model);
        if !scale.is_finite() {
            return;
        }
        let used: Vec<(usize, f64)> = region
            .pixels
            .column(column)
            .zip(model)
            .filter(|&(i, m)| region.weight[i] > 0.0 && m.is_finite())
            .collect();
        let slopes: Vec<f64> = used
            .iter()
            .map(|&(i, _)| {
                let (first, slopes) = slopes_at(&equations.knots, region.alpha[i]);
                let variance = quadratic(&fitted.variance, (first, slopes));
                self.noise[e] += region.weight[i] * scale * scale * variance;
                dot(&slopes, &fitted.coefficients[first..first + ORDER])
            })
            .collect();
        let (mut both, mut own) = (0.0, 0.0);
        for (&(i, m), slope) in used.iter().zip(&slopes) {
            both += region.weight[i] * m * slope;
            own += region.weight[i] * m * m;
        }
        for (&(i, m), slope) in used.iter().zip(&slopes) {
            let weight = region.weight[i];
            let residual = region.pixels.flux[i] - scale * m;
            let derivative = -scale * (slope - m * both / own);
            self.information.elements[e * self.gradient.len() + e] +=
                weight * derivative * derivative;
            self.own[e] += weight * derivative * derivative;
            self.gradient[e] += weight * derivative * residual;
            self.chi2 += weight * residual * residual;
            let (first, basis) = equations.basis[part][i];
            for (c, b) in coupling[first..].iter_mut().zip(basis) {
                *c += weight * derivative * norm * b;
            }
        }
        self.degrees += used.len() as f64 - 1.0;
    }
}

/// Reduced chi2 of the offsets that each region would have of its own, about those of all; 0 if there is but one.
///
/// Regions that pull the offsets to different places, as where not all light moves with the source or where the slices
/// show other parts of it, say so here; the residuals of single pixels hide it in their noise.
fn disagreement(shared: &[Shared<'_>], by_region: &[Terms], n_free: usize) -> f64 {
    let (mut chi2, mut degrees) = (0.0, 0);
    for (region, terms) in shared.iter().zip(by_region) {
        let own = centred(&terms.information, std::slice::from_ref(&region.exposures));
        let (covariance, rank) = pseudo_inverse(&own);
        let by_row = (0..terms.gradient.len()).map(|i| dot(covariance.row(i), &terms.gradient));
        chi2 += by_row.zip(&terms.gradient).map(|(own, gradient)| own * gradient).sum::<f64>();
        degrees += rank;
    }
    if degrees > n_free { chi2 / (degrees - n_free) as f64 } else { 0.0 }
}

/// A matrix without what moves linked exposures together, which no data can tell, and without those that are not linked.
fn centred(matrix: &Matrix, sets: &[Vec<usize>]) -> Matrix {
    let n = matrix.n_rows;
    let mut projector = Matrix::zeros(n, n);
    for set in sets {
        for &i in set {
            for &j in set {
                projector.elements[i * n + j] =
                    f64::from(u8::from(i == j)) - 1.0 / set.len() as f64;
            }
        }
    }
    // Both are symmetric to rounding, so that rows may stand for columns.
    projector.times_transposed(matrix).times_transposed(&projector)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::robust::choose::Choice;

    fn shared(exposures: &[usize]) -> Shared<'static> {
        let choice = Choice::first(10, 4);
        Shared { exposures: exposures.to_vec(), parts: vec![], norms: vec![], choice }
    }

    #[test]
    fn exposures_are_linked_through_others() {
        assert_eq!(linked(5, &[shared(&[3, 4]), shared(&[0, 4])]), [vec![0, 3, 4]]);
        assert_eq!(linked(4, &[shared(&[2, 3]), shared(&[0, 1])]), [vec![0, 1], vec![2, 3]]);
        assert!(linked(3, &[]).is_empty());
    }

    #[test]
    fn what_moves_linked_exposures_together_is_left_out() {
        let matrix =
            Matrix { n_rows: 3, n_columns: 3, elements: vec![5., 1., 0., 1., 7., 0., 0., 0., 9.] };
        let found = centred(&matrix, &[vec![0, 1]]);
        // The difference of the two, (1, -1) / sqrt(2), has 0.5 (5 - 1 - 1 + 7) = 5; all else is nothing.
        let expected = [2.5, -2.5, 0., -2.5, 2.5, 0., 0., 0., 0.];
        assert!(found.elements.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
