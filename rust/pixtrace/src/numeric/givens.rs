//! Least squares by orthogonal rotations, for points that barely determine the spline.
//!
//! The normal equations square the condition of the problem. Rotating the points one by one into a triangular matrix
//! does not; it takes several times as long, and is only used where the normal equations lose digits.

use super::bspline::{ORDER, basis_functions};

/// A diagonal element this small, relative to its column, is rounding: no point determines the coefficient.
const SMALLEST_PIVOT: f64 = 1e-15;

/// Fits coefficients to sorted points; `first[j]` is the number of the first point in interval `j` of the knots `t`.
///
/// Returns `false`, with `coefficients` undefined, if the points do not determine every coefficient.
#[must_use]
pub fn fit(t: &[f64], first: &[usize], x: &[f64], y: &[f64], coefficients: &mut [f64]) -> bool {
    let n = coefficients.len();
    // Row i holds the elements in columns i to i + 3; `coefficients` the rotated values.
    let mut triangle = vec![[0.0_f64; ORDER]; n];
    let mut norms = vec![0.0_f64; n];
    coefficients.fill(0.0);
    for (j, points) in first.windows(2).enumerate() {
        for i in points[0]..points[1] {
            let Some(knots) = t[j + 1..].first_chunk() else { return false };
            let mut row = basis_functions(knots, x[i]);
            let mut value = y[i];
            for (norm, element) in norms[j..].iter_mut().zip(row) {
                *norm += element * element;
            }
            for k in 0..ORDER {
                if row[0] != 0.0 {
                    let into = &mut triangle[j + k];
                    let length = into[0].hypot(row[0]);
                    let (cos, sin) = (into[0] / length, row[0] / length);
                    for d in 0..ORDER {
                        (into[d], row[d]) =
                            (cos * into[d] + sin * row[d], cos * row[d] - sin * into[d]);
                    }
                    let target = &mut coefficients[j + k];
                    (*target, value) = (cos * *target + sin * value, cos * value - sin * *target);
                }
                // The first element is gone; the others belong to the next row.
                row = [row[1], row[2], row[3], 0.0];
            }
        }
    }
    for i in (0..n).rev() {
        for d in 1..ORDER.min(n - i) {
            coefficients[i] -= triangle[i][d] * coefficients[i + d];
        }
        if triangle[i][0].abs() <= SMALLEST_PIVOT * norms[i].sqrt() {
            return false;
        }
        coefficients[i] /= triangle[i][0];
    }
    coefficients.iter().all(|c| c.is_finite())
}
