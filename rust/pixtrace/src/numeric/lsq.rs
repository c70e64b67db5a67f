//! Least-squares fit of a cubic B-spline to sorted points.
//!
//! Eleven sums over the points of each interval are all that is needed of them (`interval.rs`); what remains costs as much
//! as there are knots. Points that a later round rejects only change the sums of the intervals they lie in.

use super::bspline::{LocalBasis, ORDER};
use super::interval::{LocalEquations, Moments, add_local};
use super::normal::Band;
use super::{banded, givens};

/// With fewer points than this in an interval, sums are made anew when some are dropped.
const FEW_POINTS: usize = 16;

/// A basis function under which there is this little, relative to the others, is lost in the rounding of the sums.
///
/// Sums over n points are good to about `n` times the machine precision, and so is a diagonal element that is their
/// difference; the ratio of the two is what its relative error grows by.
const SMALLEST_DIAGONAL: f64 = 1e-3;

/// Workspace for repeated fits; keeps its memory.
#[derive(Clone, Debug, Default)]
pub struct SplineFitter {
    /// Number of the first point of each interval, and the number of points.
    first: Vec<usize>,
    basis: Vec<LocalBasis>,
    moments: Vec<Moments>,
    equations: Vec<LocalEquations>,
    /// Position of each point within its interval, -1 to 1.
    v: Vec<f64>,
    matrix: Vec<[f64; ORDER]>,
    coefficients: Vec<f64>,
}

impl SplineFitter {
    /// Lays the intervals of the knots `t` over the points `x` and gathers the sums of all points.
    ///
    /// `t` has its end knots four times; `x` rises from the first to the last knot.
    pub fn set_points(&mut self, t: &[f64], x: &[f64], y: &[f64]) {
        let n_intervals = t.len() + 1 - 2 * ORDER;
        self.first.clear();
        self.basis.clear();
        self.moments.clear();
        self.equations.clear();
        self.v.clear();
        self.first.push(0);
        let mut begin = 0;
        for j in 0..n_intervals {
            // The last interval is closed: it takes the points on the last knot.
            let right = t[j + ORDER];
            let count = if j + 1 == n_intervals {
                x.len() - begin
            } else {
                points_below(&x[begin..], right)
            };
            let end = begin + count;
            let basis = LocalBasis::new(t[j + 1..j + 7].first_chunk().unwrap_or(&[0.0; 6]));
            self.v.extend(x[begin..end].iter().map(|&x| (x - basis.centre) * basis.scale));
            let moments = Moments::gather(&self.v[begin..end], &y[begin..end]);
            self.basis.push(basis);
            self.moments.push(moments);
            self.equations.push(LocalEquations::new(&basis, &moments));
            self.first.push(end);
            begin = end;
        }
    }

    /// Solves for the coefficients; `None` if the points do not determine every one of them.
    ///
    /// `t`, `x` and `y` are the knots and the points as they are now. Where the normal equations are badly conditioned
    /// the points are gone through once more, by rotations.
    pub fn solve(&mut self, t: &[f64], x: &[f64], y: &[f64]) -> Option<&[f64]> {
        let n = self.equations.len() + ORDER - 1;
        self.matrix.clear();
        self.matrix.resize(n, [0.0; ORDER]);
        self.coefficients.clear();
        self.coefficients.resize(n, 0.0);
        for (j, local) in self.equations.iter().enumerate() {
            for i in 0..ORDER {
                for l in i..ORDER {
                    self.matrix[j + i][l - i] += local.matrix[i][l];
                }
                self.coefficients[j + i] += local.rhs[i];
            }
        }
        let largest = self.matrix.iter().map(|row| row[0]).fold(0.0, f64::max);
        let is_covered = self.matrix.iter().all(|row| row[0] >= SMALLEST_DIAGONAL * largest);
        let is_solved = (is_covered && banded::solve(&mut self.matrix, &mut self.coefficients))
            || givens::fit(t, &self.first, x, y, &mut self.coefficients);
        is_solved.then_some(&self.coefficients)
    }

    /// Data less fit, for the points as they are now, after a successful [`SplineFitter::solve`].
    pub fn residuals(&mut self, y: &[f64], residuals: &mut Vec<f64>) {
        residuals.clear();
        for (j, basis) in self.basis.iter().enumerate() {
            let c = self.coefficients[j..].first_chunk().unwrap_or(&[0.0; ORDER]);
            let q = basis.polynomial(c);
            let points = self.first[j]..self.first[j + 1];
            residuals.extend(
                self.v[points.clone()]
                    .iter()
                    .zip(&y[points])
                    .map(|(&v, &y)| y - (q[0] + v * (q[1] + v * (q[2] + v * q[3])))),
            );
        }
    }

    /// The matrix of the normal equations, for the points as they are now.
    #[must_use]
    pub(crate) fn normal_matrix(&self) -> Band {
        let mut matrix = vec![[0.0; ORDER]; self.equations.len() + ORDER - 1];
        for (j, local) in self.equations.iter().enumerate() {
            add_local(&mut matrix, j, local);
        }
        matrix
    }

    /// What the matrix of the normal equations would be with these weights on the points as they are now.
    #[must_use]
    pub(crate) fn weighted_matrix(&self, weights: &[f64]) -> Band {
        let mut matrix = vec![[0.0; ORDER]; self.equations.len() + ORDER - 1];
        for (j, basis) in self.basis.iter().enumerate() {
            let points = self.first[j]..self.first[j + 1];
            let mut sums = Moments::default();
            for (&v, &weight) in self.v[points.clone()].iter().zip(&weights[points]) {
                let mut term = weight;
                for total in &mut sums.power {
                    *total += term;
                    term *= v;
                }
            }
            add_local(&mut matrix, j, &LocalEquations::new(basis, &sums));
        }
        matrix
    }

    /// Drops the points with the numbers `rejected`, which rise; the knots stay.
    ///
    /// `y` are the values before the rejection.
    pub fn drop_points(&mut self, rejected: &[usize], y: &[f64]) {
        let mut next = 0;
        let mut begin = 0;
        for j in 0..self.basis.len() {
            let end = self.first[j + 1];
            self.first[j] = begin - next;
            let until = next + rejected[next..].partition_point(|&i| i < end);
            if until > next {
                let (v, y) = (&self.v[begin..end], &y[begin..end]);
                let gone = &rejected[next..until];
                let n_left = v.len() - gone.len();
                self.moments[j] = if n_left < FEW_POINTS {
                    // Few points may be all that holds a coefficient: no rounding from those that have gone.
                    let left = |values: &[f64]| {
                        let mut values = values.to_vec();
                        remove_at(&mut values, gone.iter().map(|&i| i - begin));
                        values
                    };
                    Moments::gather(&left(v), &left(y))
                } else {
                    let mut moments = self.moments[j];
                    for &i in gone {
                        moments.subtract(v[i - begin], y[i - begin]);
                    }
                    moments
                };
                self.equations[j] = LocalEquations::new(&self.basis[j], &self.moments[j]);
                next = until;
            }
            begin = end;
        }
        self.first[self.basis.len()] = begin - next;
        remove_at(&mut self.v, rejected.iter().copied());
    }
}

/// Removes the elements with these numbers, which rise, and closes the gaps.
pub(crate) fn remove_at<V: Copy>(values: &mut Vec<V>, numbers: impl Iterator<Item = usize>) {
    let mut kept = 0;
    let mut begin = 0;
    for i in numbers.chain(std::iter::once(values.len())) {
        values.copy_within(begin..i, kept);
        kept += i - begin;
        begin = i + 1;
    }
    values.truncate(kept);
}

/// Number of leading elements of the rising `x` below `limit`.
#[inline]
fn points_below(x: &[f64], limit: f64) -> usize {
    x.partition_point(|&x| x < limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numeric::bspline::basis_functions;

    /// The definition: all basis functions at all points, normal equations, Gaussian elimination with pivoting.
    fn slow_fit(t: &[f64], x: &[f64], y: &[f64]) -> Vec<f64> {
        let n = t.len() - ORDER;
        let mut system = vec![vec![0.0; n + 1]; n];
        for (&x, &y) in x.iter().zip(y) {
            let j = t[ORDER..n].partition_point(|&knot| knot <= x);
            let basis = basis_functions(t[j + 1..].first_chunk().unwrap(), x);
            for i in 0..ORDER {
                for l in 0..ORDER {
                    system[j + i][j + l] += basis[i] * basis[l];
                }
                system[j + i][n] += basis[i] * y;
            }
        }
        for i in 0..n {
            let best =
                (i..n).max_by(|&a, &b| system[a][i].abs().total_cmp(&system[b][i].abs())).unwrap();
            system.swap(i, best);
            for below in i + 1..n {
                let pivot = system[i].clone();
                let factor = system[below][i] / pivot[i];
                for (element, from) in system[below].iter_mut().zip(&pivot) {
                    *element -= factor * from;
                }
            }
        }
        let mut c = vec![0.0; n];
        for i in (0..n).rev() {
            let rest: f64 = (i + 1..n).map(|l| system[i][l] * c[l]).sum();
            c[i] = (system[i][n] - rest) / system[i][i];
        }
        c
    }

    fn knots(n_inner: usize) -> Vec<f64> {
        let inner = (1..=n_inner).map(|i| i as f64 / (n_inner + 1) as f64);
        [0.0; ORDER].into_iter().chain(inner).chain([1.0; ORDER]).collect()
    }

    /// Points from 0 to 1, so dense that every basis function has some.
    fn points(y: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let n = y.len();
        ((0..n).map(|i| (i as f64 / (n - 1) as f64).powf(1.1)).collect(), y.to_vec())
    }

    fn agree(a: &[f64], b: &[f64]) -> bool {
        let largest = b.iter().fold(1e-3, |m: f64, v| m.max(v.abs()));
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9 * largest)
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(y in prop::collection::vec(-1.0..1.0_f64, 120..300), n_inner in 0..14_usize) {
            let (t, (x, y)) = (knots(n_inner), points(&y));
            let expected = slow_fit(&t, &x, &y);
            let mut fitter = SplineFitter::default();
            fitter.set_points(&t, &x, &y);
            prop_assert!(agree(fitter.solve(&t, &x, &y).unwrap(), &expected));
            let first = fitter.first.clone();
            let mut rotated = vec![0.0; expected.len()];
            prop_assert!(givens::fit(&t, &first, &x, &y, &mut rotated));
            prop_assert!(agree(&rotated, &expected));
        }

        #[test]
        fn dropping_points_is_like_never_having_had_them(
            y in prop::collection::vec(-1.0..1.0_f64, 120..300), n_inner in 0..14_usize,
            dropped in prop::collection::btree_set(1..119_usize, 1..40),
        ) {
            let (t, (x, y)) = (knots(n_inner), points(&y));
            let rejected: Vec<usize> = dropped.into_iter().collect();
            let left = |values: &[f64]| {
                let mut values = values.to_vec();
                remove_at(&mut values, rejected.iter().copied());
                values
            };
            let mut fitter = SplineFitter::default();
            fitter.set_points(&t, &x, &y);
            fitter.drop_points(&rejected, &y);
            let (x, y) = (left(&x), left(&y));
            let expected = slow_fit(&t, &x, &y);
            let found = fitter.solve(&t, &x, &y).map(<[f64]>::to_vec);
            // Neighbouring points may all be gone, and the answer of the definition be rounding.
            if expected.iter().all(|c| c.abs() < 1e3) {
                prop_assert!(agree(&found.unwrap(), &expected));
                let mut residuals = Vec::new();
                fitter.residuals(&y, &mut residuals);
                prop_assert_eq!(residuals.len(), y.len());
                // Least squares: residuals are orthogonal to constants.
                prop_assert!(residuals.iter().sum::<f64>().abs() < 1e-8);
            }
        }
    }

    #[test]
    fn an_interval_without_points_has_no_answer() {
        let t = knots(9);
        let x: Vec<f64> =
            (0..100).map(|i| f64::from(i) / 99.0).filter(|x| !(0.2..0.75).contains(x)).collect();
        let mut fitter = SplineFitter::default();
        fitter.set_points(&t, &x, &x);
        assert!(fitter.solve(&t, &x, &x).is_none());
    }
}
