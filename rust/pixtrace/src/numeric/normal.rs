//! Normal equations of a weighted spline fit, one data point at a time, and the covariance that follows from them.
//!
//! The matrix of the equations is the information that the points carry about the coefficients: it adds up over points,
//! has three side diagonals, and its inverse is the covariance of the coefficients. The inverse is full, but one band of
//! it after the other follows from the factor by a recurrence with three terms (Takahashi, Fagan & Chin 1973).

use super::bspline::{ORDER, basis_functions, basis_slopes};

/// A symmetric matrix with three side diagonals: element `[i][d]` is that of row `i` and column `i + d`.
pub type Band = Vec<[f64; ORDER]>;

/// A pivot this small, relative to its diagonal element, leaves no digits of the inverse.
const SMALLEST_PIVOT: f64 = 1e-11;

/// Knots `low`, `low + d`, ..., `high` with the ends four times: `n_intervals` equal intervals, computed exactly.
#[must_use]
pub fn uniform_knots(low: f64, high: f64, n_intervals: usize) -> Vec<f64> {
    let width = high - low;
    let mut knots = vec![low; ORDER];
    knots.extend((1..n_intervals).map(|j| low + width * (j as f64 / n_intervals as f64)));
    knots.extend([high; ORDER]);
    knots
}

/// Number of the first of the four basis functions that differ from zero at `x`, and their values there.
///
/// Beyond the ends, the polynomials of the first and the last interval go on. The knots are those of
/// [`super::BSpline`]: at least eight, and no interval between the ends is empty.
#[must_use]
pub fn basis_at(knots: &[f64], x: f64) -> (usize, [f64; ORDER]) {
    let (first, around) = around(knots, x);
    (first, around.map_or([f64::NAN; ORDER], |t| basis_functions(t, x)))
}

/// The slopes of the four basis functions of [`basis_at`].
#[must_use]
pub fn slopes_at(knots: &[f64], x: f64) -> (usize, [f64; ORDER]) {
    let (first, around) = around(knots, x);
    (first, around.map_or([f64::NAN; ORDER], |t| basis_slopes(t, x)))
}

/// Number of the interval that `x` lies in, or the nearest one, and the six knots around it.
#[inline]
fn around(knots: &[f64], x: f64) -> (usize, Option<&[f64; 6]>) {
    let n = knots.len() - ORDER;
    let j = knots[ORDER..n].partition_point(|&knot| knot <= x);
    (j, knots[j + 1..].first_chunk())
}

/// Matrix and right-hand side of weighted normal equations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NormalEquations {
    /// Sum of weight times basis times basis.
    pub matrix: Band,
    /// Sum of weight times basis times value.
    pub rhs: Vec<f64>,
}

impl NormalEquations {
    /// No points yet, for `n` coefficients.
    #[must_use]
    pub fn new(n: usize) -> Self {
        Self { matrix: vec![[0.0; ORDER]; n], rhs: vec![0.0; n] }
    }

    /// Adds a point (with a negative weight: takes it away).
    pub fn add(&mut self, (first, basis): (usize, [f64; ORDER]), weight: f64, value: f64) {
        add_outer(&mut self.matrix, (first, basis), weight);
        for (i, b) in basis.iter().enumerate() {
            self.rhs[first + i] += weight * value * b;
        }
    }

    /// The coefficients, and the factor of the matrix; `None` if the points do not determine them.
    #[must_use]
    pub fn solve(&self) -> Option<(Vec<f64>, Factor)> {
        let factor = Factor::new(&self.matrix)?;
        let mut coefficients = self.rhs.clone();
        factor.solve(&mut coefficients);
        coefficients.iter().all(|c| c.is_finite()).then_some((coefficients, factor))
    }
}

/// Adds `weight * basis * basis'` to a banded matrix.
pub fn add_outer(matrix: &mut [[f64; ORDER]], (first, basis): (usize, [f64; ORDER]), weight: f64) {
    for i in 0..ORDER {
        let weighted = weight * basis[i];
        let row = &mut matrix[first + i];
        for d in 0..ORDER - i {
            row[d] += weighted * basis[i + d];
        }
    }
}

/// The product of a banded symmetric matrix with a vector.
#[must_use]
pub fn multiply(matrix: &[[f64; ORDER]], x: &[f64]) -> Vec<f64> {
    let n = matrix.len();
    let mut product = vec![0.0; n];
    for (i, row) in matrix.iter().enumerate() {
        product[i] += row[0] * x[i];
        for d in 1..ORDER.min(n - i) {
            product[i] += row[d] * x[i + d];
            product[i + d] += row[d] * x[i];
        }
    }
    product
}

/// The factors `L D L'` of a banded positive definite matrix.
#[derive(Clone, Debug)]
pub struct Factor {
    /// One over each diagonal element of `D`.
    inverse_pivot: Vec<f64>,
    /// `below[i][d]` is the element of `L` in row `i + d` and column `i`; that with `d = 0` is one.
    below: Band,
}

impl Factor {
    /// Factors a matrix; `None` if it is not positive definite, or so nearly not that the inverse means nothing.
    #[must_use]
    pub fn new(matrix: &[[f64; ORDER]]) -> Option<Self> {
        let n = matrix.len();
        let mut below = matrix.to_vec();
        let mut inverse_pivot = vec![0.0; n];
        for i in 0..n {
            let row = below[i];
            let inverse = 1.0 / row[0];
            // Written so that NaN fails too.
            if !(row[0] > SMALLEST_PIVOT * matrix[i][0] && inverse.is_finite()) {
                return None;
            }
            let reach = ORDER.min(n - i);
            for d in 1..reach {
                let factor = row[d] * inverse;
                for e in d..reach {
                    below[i + d][e - d] -= factor * row[e];
                }
            }
            inverse_pivot[i] = inverse;
            below[i] = row.map(|v| v * inverse);
        }
        Some(Self { inverse_pivot, below })
    }

    /// Solves for a right-hand side, in place.
    pub fn solve(&self, b: &mut [f64]) {
        let n = self.below.len();
        for i in 0..n {
            for d in 1..ORDER.min(n - i) {
                b[i + d] -= self.below[i][d] * b[i];
            }
        }
        for i in (0..n).rev() {
            b[i] *= self.inverse_pivot[i];
            for d in 1..ORDER.min(n - i) {
                b[i] -= self.below[i][d] * b[i + d];
            }
        }
    }

    /// The inverse of the matrix, whole.
    #[must_use]
    pub fn inverse(&self) -> Inverse {
        let n = self.below.len();
        let mut inverse = Inverse { n, elements: vec![0.0; n * n] };
        for i in (0..n).rev() {
            let reach = ORDER.min(n - i);
            for j in (i..n).rev() {
                let mut value = if i == j { self.inverse_pivot[i] } else { 0.0 };
                for d in 1..reach {
                    value -= self.below[i][d] * inverse.elements[(i + d) * n + j];
                }
                inverse.elements[i * n + j] = value;
                inverse.elements[j * n + i] = value;
            }
        }
        inverse
    }

    /// The inverse within the band of the matrix: enough for the variance of the spline at a point.
    #[must_use]
    pub fn inverse_band(&self) -> Band {
        let n = self.below.len();
        let mut band = vec![[0.0; ORDER]; n];
        for i in (0..n).rev() {
            let reach = ORDER.min(n - i);
            for d in (0..reach).rev() {
                let mut value = if d == 0 { self.inverse_pivot[i] } else { 0.0 };
                for e in 1..reach {
                    let (low, high) = (d.min(e), d.max(e));
                    value -= self.below[i][e] * band[i + low][high - low];
                }
                band[i][d] = value;
            }
        }
        band
    }
}

/// The quadratic form of a banded matrix with four neighbouring basis functions.
#[must_use]
pub fn quadratic(matrix: &[[f64; ORDER]], (first, basis): (usize, [f64; ORDER])) -> f64 {
    let mut sum = 0.0;
    for i in 0..ORDER {
        sum += basis[i] * basis[i] * matrix[first + i][0];
        for d in 1..ORDER - i {
            sum += 2.0 * basis[i] * basis[i + d] * matrix[first + i][d];
        }
    }
    sum
}

/// A symmetric matrix with all its elements.
#[derive(Clone, Debug)]
pub struct Inverse {
    n: usize,
    elements: Vec<f64>,
}

impl Inverse {
    /// That of coefficients which are known exactly: they have no covariance.
    #[must_use]
    pub fn zero(n: usize) -> Self {
        Self { n, elements: vec![0.0; n * n] }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// One row.
    #[must_use]
    pub fn row(&self, i: usize) -> &[f64] {
        &self.elements[i * self.n..(i + 1) * self.n]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numeric::BSpline;

    fn fitted(points: &[(f64, f64, f64)], n_intervals: usize) -> (Vec<f64>, NormalEquations) {
        let knots = uniform_knots(-1.0, 2.0, n_intervals);
        let mut equations = NormalEquations::new(knots.len() - ORDER);
        for &(x, y, weight) in points {
            equations.add(basis_at(&knots, x), weight, y);
        }
        (knots, equations)
    }

    fn dense(n_intervals: usize) -> impl Strategy<Value = Vec<(f64, f64, f64)>> {
        prop::collection::vec((-1.0..1.0_f64, 0.1..3.0_f64), 12 * n_intervals).prop_map(|values| {
            let n = values.len() as f64;
            let x = |i: usize| -1.0 + 3.0 * (i as f64 + 0.5) / n;
            values.into_iter().enumerate().map(|(i, (y, w))| (x(i), y, w)).collect()
        })
    }

    proptest! {
        #[test]
        fn the_residuals_are_orthogonal_to_every_basis_function(points in dense(7)) {
            let (knots, equations) = fitted(&points, 7);
            let (c, _) = equations.solve().unwrap();
            let spline = BSpline::new(knots.clone(), c.clone()).unwrap();
            let mut sums = vec![0.0; c.len()];
            for &(x, y, weight) in &points {
                let (first, basis) = basis_at(&knots, x);
                for (i, b) in basis.iter().enumerate() {
                    sums[first + i] += weight * b * (y - spline.eval(x));
                }
            }
            prop_assert!(sums.iter().all(|s| s.abs() < 1e-9));
        }

        #[test]
        fn matrix_times_inverse_is_one(points in dense(9)) {
            let (_, equations) = fitted(&points, 9);
            let factor = Factor::new(&equations.matrix).unwrap();
            let inverse = factor.inverse();
            let band = factor.inverse_band();
            prop_assert_eq!(inverse.len(), 12);
            for (i, of_band) in band.iter().enumerate() {
                let product = multiply(&equations.matrix, inverse.row(i));
                for (j, value) in product.iter().enumerate() {
                    prop_assert!((value - f64::from(u8::from(i == j))).abs() < 1e-8);
                }
                for (value, of_inverse) in of_band.iter().zip(&inverse.row(i)[i..]) {
                    prop_assert!((value - of_inverse).abs() < 1e-9 * of_band[0]);
                }
            }
        }

        #[test]
        fn what_is_added_and_taken_away_leaves_no_trace(points in dense(5), extra in dense(5)) {
            let (knots, mut equations) = fitted(&points, 5);
            let before = equations.solve().unwrap().0;
            for sign in [1.0, -1.0] {
                for &(x, y, weight) in &extra {
                    equations.add(basis_at(&knots, x), sign * weight, y);
                }
            }
            let after = equations.solve().unwrap().0;
            prop_assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-9));
        }
    }

    #[test]
    fn knots_are_exact_and_the_basis_goes_on_beyond_them() {
        let knots = uniform_knots(-0.1, 0.3, 4);
        assert_eq!(knots.len(), 11);
        assert!((knots[5] - 0.1).abs() < 1e-16);
        let spline =
            BSpline::new(knots.clone(), (0..7).map(|i| f64::from(i * i)).collect()).unwrap();
        for x in [-0.2, -0.1, 0.0, 0.11, 0.3, 0.5] {
            let (first, basis) = basis_at(&knots, x);
            let value: f64 = (0..ORDER).map(|i| basis[i] * spline.coefficients()[first + i]).sum();
            assert!((value - spline.eval(x)).abs() < 1e-9);
        }
    }

    #[test]
    fn slopes_are_those_of_the_spline() {
        let knots = uniform_knots(-0.1, 0.3, 4);
        let spline =
            BSpline::new(knots.clone(), (0..7).map(|i| f64::from(i * i - 5 * i)).collect())
                .unwrap();
        for x in [-0.15, -0.1, 0.0, 0.11, 0.29, 0.33] {
            let (first, slopes) = slopes_at(&knots, x);
            let slope: f64 = (0..ORDER).map(|i| slopes[i] * spline.coefficients()[first + i]).sum();
            let rise = spline.eval(x + 1e-5) - spline.eval(x - 1e-5);
            assert!((slope - rise / 2e-5).abs() < 1e-5 * slope.abs().max(1.0), "{x}: {slope}");
        }
    }

    #[test]
    fn points_that_do_not_determine_the_spline_are_refused() {
        let (_, equations) = fitted(&[(0.0, 1.0, 1.0), (0.1, 1.0, 1.0)], 6);
        assert!(equations.solve().is_none());
        assert!(Factor::new(&[[f64::NAN; ORDER]; 3]).is_none());
    }
}
