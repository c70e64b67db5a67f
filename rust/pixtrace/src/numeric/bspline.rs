//! Cubic B-splines.

use crate::Error;

/// Degree of every spline in this crate.
pub const DEGREE: usize = 3;

/// Number of basis functions that differ from zero between two knots.
pub const ORDER: usize = DEGREE + 1;

/// A cubic B-spline: knots `t` (rising, may repeat) and `t.len() - 4` coefficients `c`.
///
/// Its own interval runs from `t[3]` to `t[t.len() - 4]`; beyond, it goes on with its first and last polynomial.
///
/// ```
/// use pixtrace::numeric::BSpline;
///
/// // All coefficients equal: the basis functions sum to one.
/// let spline = BSpline::new(vec![0., 0., 0., 0., 1., 3., 3., 3., 3.], vec![2.0; 5])?;
/// assert!((spline.eval(1.7) - 2.0).abs() < 1e-14);
/// # Ok::<(), pixtrace::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BSpline {
    t: Vec<f64>,
    c: Vec<f64>,
}

impl BSpline {
    /// Takes knots and coefficients; surplus coefficients (as scipy pads them) are dropped.
    ///
    /// # Errors
    /// [`Error::Spline`] if there are fewer than eight knots, if they fall or are not finite, if their own interval
    /// is empty, or if there are too few coefficients. Coefficients may be NaN.
    pub fn new(t: Vec<f64>, mut c: Vec<f64>) -> Result<Self, Error> {
        if t.len() < 2 * ORDER {
            return Err(Error::Spline { reason: "fewer than eight knots" });
        }
        if t.iter().any(|v| !v.is_finite()) || t.windows(2).any(|w| w[0] > w[1]) {
            return Err(Error::Spline { reason: "the knots are not finite and rising" });
        }
        let n = t.len() - ORDER;
        if t[DEGREE] >= t[n] {
            return Err(Error::Spline { reason: "the base interval, t[3] to t[-4], is empty" });
        }
        if c.len() < n {
            return Err(Error::Spline {
                reason: "fewer coefficients than the number of knots less four",
            });
        }
        c.truncate(n);
        Ok(Self { t, c })
    }

    /// Knots.
    #[must_use]
    pub fn knots(&self) -> &[f64] {
        &self.t
    }

    /// Coefficients.
    #[must_use]
    pub fn coefficients(&self) -> &[f64] {
        &self.c
    }

    /// The interval on which the basis functions sum to one.
    #[must_use]
    pub fn base_interval(&self) -> (f64, f64) {
        (self.t[DEGREE], self.t[self.c.len()])
    }

    /// Number of distinct knots, less one: the number of intervals with a polynomial each.
    #[must_use]
    pub fn n_intervals(&self) -> usize {
        self.t.windows(2).filter(|w| w[0] < w[1]).count()
    }

    /// Value at `x`; NaN at NaN.
    #[must_use]
    pub fn eval(&self, x: f64) -> f64 {
        self.around(x).map_or(f64::NAN, |(t, c)| de_boor(t, c, x))
    }

    /// Value and first derivative at `x`; NaN at NaN.
    #[must_use]
    pub fn eval_with_slope(&self, x: f64) -> (f64, f64) {
        let Some((t, c)) = self.around(x) else { return (f64::NAN, f64::NAN) };
        // The derivative is a spline one degree lower on the same knots.
        let slope = |k: usize| DEGREE as f64 * (c[k + 1] - c[k]) / (t[k + 3] - t[k]);
        let between =
            |a: f64, b: f64, first: f64, last: f64| a + (x - first) / (last - first) * (b - a);
        let (d1, d2) =
            (between(slope(0), slope(1), t[1], t[3]), between(slope(1), slope(2), t[2], t[4]));
        (de_boor(t, c, x), between(d1, d2, t[2], t[3]))
    }

    /// The six knots and the four coefficients that the value at `x` is made of; `None` at NaN.
    fn around(&self, x: f64) -> Option<(&[f64; 6], &[f64; ORDER])> {
        if x.is_nan() {
            return None;
        }
        let n = self.c.len();
        let mut j = (self.t[ORDER..n].partition_point(|&knot| knot <= x) + DEGREE).min(n - 1);
        if self.t[j] >= self.t[j + 1] {
            // Beyond an end at which knots fall together: the polynomial is that of the nearest interval with a width.
            let has_width = |&j: &usize| self.t[j] < self.t[j + 1];
            let nearest = if x < self.t[j] {
                (j..n).find(has_width)
            } else {
                (DEGREE..j).rev().find(has_width)
            };
            j = nearest.unwrap_or(j);
        }
        // There are four coefficients and six knots around every interval.
        Some((self.t[j - 2..].first_chunk()?, self.c[j - DEGREE..].first_chunk()?))
    }
}

/// De Boor's recurrence between the knots `t[2]` and `t[3]`, from the six knots around and the four coefficients.
///
/// All six knot distances that it divides by span the interval from `t[2]` to `t[3]`, so none is zero. They are inverted
/// two at a time, because a division costs as much as several products.
#[inline]
fn de_boor(t: &[f64; 6], c: &[f64; ORDER], x: f64) -> f64 {
    let inverse = |a: f64, b: f64| {
        let both = 1.0 / (a * b);
        (both * b, both * a)
    };
    let (first, second) = inverse(t[3] - t[0], t[4] - t[1]);
    let (third, last) = inverse(t[5] - t[2], t[3] - t[2]);
    let (left, right) = inverse(t[3] - t[1], t[4] - t[2]);
    let between = |a: f64, b: f64, weight: f64| a + weight * (b - a);
    let (from0, from1, from2) = (x - t[0], x - t[1], x - t[2]);

    let d1 = between(c[0], c[1], from0 * first);
    let d2 = between(c[1], c[2], from1 * second);
    let d3 = between(c[2], c[3], from2 * third);
    let e2 = between(d1, d2, from1 * left);
    let e3 = between(d2, d3, from2 * right);
    between(e2, e3, from2 * last)
}

/// Values at `x` of the four basis functions that differ from zero between `t[2]` and `t[3]`, from the six knots around.
///
/// The Cox-de Boor recurrence on numbers: small values keep their relative accuracy.
#[must_use]
pub fn basis_functions(t: &[f64; 6], x: f64) -> [f64; ORDER] {
    basis_of_degree(t, x, DEGREE)
}

/// Slopes at `x` of the basis functions whose values are [`basis_functions`].
#[must_use]
pub fn basis_slopes(t: &[f64; 6], x: f64) -> [f64; ORDER] {
    let below = basis_of_degree(t, x, DEGREE - 1);
    let mut slopes = [0.0; ORDER];
    for i in 0..DEGREE {
        let width = t[3 + i] - t[i];
        let share = if width > 0.0 { DEGREE as f64 * below[i] / width } else { 0.0 };
        slopes[i] -= share;
        slopes[i + 1] += share;
    }
    slopes
}

/// The basis functions of a degree up to the third that differ from zero between `t[2]` and `t[3]`.
#[inline]
fn basis_of_degree(t: &[f64; 6], x: f64, highest: usize) -> [f64; ORDER] {
    let mut basis = [1.0, 0.0, 0.0, 0.0];
    for degree in 1..=highest {
        let mut carried = 0.0;
        for i in 0..degree {
            let (first, last) = (t[3 - degree + i], t[3 + i]);
            let share = if last > first { basis[i] / (last - first) } else { 0.0 };
            basis[i] = carried + (last - x) * share;
            carried = (x - first) * share;
        }
        basis[degree] = carried;
    }
    basis
}

/// The four basis functions between two knots, as polynomials.
///
/// In the variable `v`, which runs from -1 to 1 between the knots; `coefficient[i][m]` belongs to `v^m` of basis
/// function `i` (counted from the first that is not zero here).
#[derive(Clone, Copy, Debug)]
pub struct LocalBasis {
    /// Polynomial coefficients, by function and power.
    pub coefficient: [[f64; ORDER]; ORDER],
    /// Middle of the interval.
    pub centre: f64,
    /// One over half its width.
    pub scale: f64,
}

impl LocalBasis {
    /// Works out the basis between `t[2]` and `t[3]`, from the six knots around it.
    ///
    /// The Cox-de Boor recurrence, carried out on polynomials. The interval must not be empty.
    #[must_use]
    pub fn new(t: &[f64; 6]) -> Self {
        let (left, right) = (t[2], t[3]);
        let (centre, half) = (left.midpoint(right), 0.5 * (right - left));
        let mut basis = [[0.0; ORDER]; ORDER];
        basis[0][0] = 1.0;
        for degree in 1..=DEGREE {
            // Function `i` of this degree takes a rising share of the old function `i - 1` and a falling one of `i`.
            let mut next = [[0.0; ORDER]; ORDER];
            for (i, old) in basis.iter().enumerate().take(degree) {
                let (first, last) = (t[3 - degree + i], t[3 + i]);
                let width = 1.0 / (last - first);
                let (rise, slope) = ((centre - first) * width, half * width);
                for m in 0..degree {
                    let (constant, linear) = (old[m] * rise, old[m] * slope);
                    next[i + 1][m] += constant;
                    next[i + 1][m + 1] += linear;
                    next[i][m] += old[m] - constant;
                    next[i][m + 1] -= linear;
                }
            }
            basis = next;
        }
        Self { coefficient: basis, centre, scale: 1.0 / half }
    }

    /// The polynomial of a spline with coefficients `c` in this interval, by power of `v`.
    #[must_use]
    pub fn polynomial(&self, c: &[f64; ORDER]) -> [f64; ORDER] {
        let mut q = [0.0; ORDER];
        for (basis, &weight) in self.coefficient.iter().zip(c) {
            for (total, &coefficient) in q.iter_mut().zip(basis) {
                *total += weight * coefficient;
            }
        }
        q
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;

    const KNOTS: [f64; 12] = [0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.7, 2.0, 3.0, 3.0, 3.0, 3.0];

    /// The definition: the Cox-de Boor recurrence for one basis function.
    fn basis(i: usize, degree: usize, x: f64) -> f64 {
        let t = &KNOTS;
        if degree == 0 {
            return f64::from(t[i] <= x && x < t[i + 1]);
        }
        let term = |a: f64, b: f64, value: f64| if b > a { value / (b - a) } else { 0.0 };
        term(t[i], t[i + degree], (x - t[i]) * basis(i, degree - 1, x))
            + term(
                t[i + 1],
                t[i + degree + 1],
                (t[i + degree + 1] - x) * basis(i + 1, degree - 1, x),
            )
    }

    #[test]
    fn the_slope_is_that_of_the_values() {
        let c: Vec<f64> = (0..8).map(|i| (f64::from(i) * 1.3).sin()).collect();
        let spline = BSpline::new(KNOTS.to_vec(), c).unwrap();
        for step in -20..320 {
            let x = f64::from(step) * 0.01 + 0.003;
            let (value, slope) = spline.eval_with_slope(x);
            assert_eq!(value.to_bits(), spline.eval(x).to_bits());
            let difference = (spline.eval(x + 1e-6) - spline.eval(x - 1e-6)) / 2e-6;
            assert!(
                (slope - difference).abs() < 1e-6 * (1.0 + slope.abs()),
                "{slope} {difference}"
            );
        }
        assert!(spline.eval_with_slope(f64::NAN).1.is_nan());
    }

    #[test]
    fn evaluation_agrees_with_the_definition() {
        let c: Vec<f64> = (0..8).map(|i| (f64::from(i) * 1.3).sin()).collect();
        let spline = BSpline::new(KNOTS.to_vec(), c.clone()).unwrap();
        for step in 0..300 {
            let x = f64::from(step) * 0.01;
            let direct: f64 = (0..8).map(|i| c[i] * basis(i, DEGREE, x)).sum();
            assert!((spline.eval(x) - direct).abs() < 1e-14);
        }
    }

    #[test]
    fn local_polynomials_are_the_basis_functions() {
        for j in 3..8 {
            let t: [f64; 6] = KNOTS[j - 2..=j + 3].try_into().unwrap();
            let local = LocalBasis::new(&t);
            for step in 0..10 {
                let x = t[2] + (t[3] - t[2]) * f64::from(step) * 0.1;
                let v = (x - local.centre) * local.scale;
                let direct = basis_functions(&t, x);
                for (i, q) in local.coefficient.iter().enumerate() {
                    let value = q[0] + v * (q[1] + v * (q[2] + v * q[3]));
                    assert!((value - basis(j - 3 + i, DEGREE, x)).abs() < 1e-14);
                    assert!((direct[i] - basis(j - 3 + i, DEGREE, x)).abs() < 1e-15);
                }
            }
        }
    }

    #[test]
    fn goes_on_beyond_its_ends_with_the_last_polynomial() {
        // Greville abscissae as coefficients give the identity, everywhere.
        let c: Vec<f64> =
            (0..8).map(|i| (KNOTS[i + 1] + KNOTS[i + 2] + KNOTS[i + 3]) / 3.0).collect();
        let spline = BSpline::new(KNOTS.to_vec(), c).unwrap();
        for x in [-2.0, 0.0, 3.0, 7.5] {
            assert!((spline.eval(x) - x).abs() < 1e-12);
        }
        assert!(spline.eval(f64::NAN).is_nan());
    }

    #[test]
    fn knots_that_make_no_spline_are_refused() {
        assert!(BSpline::new(vec![0.0; 8], vec![1.0; 4]).is_err());
        assert!(BSpline::new(vec![0.0, 1.0], vec![]).is_err());
        assert!(BSpline::new(KNOTS.to_vec(), vec![1.0; 7]).is_err());
        let mut falling = KNOTS.to_vec();
        falling[5] = 0.1;
        assert!(BSpline::new(falling, vec![1.0; 8]).is_err());
    }
}
