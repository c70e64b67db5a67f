//! Symmetric positive definite systems with three side diagonals.

use super::bspline::ORDER;

/// Where a pivot is this small, relative to its diagonal element, subtraction has cost too many digits.
///
/// The relative error of the solution is about the machine precision over this: 1e-11.
const SMALLEST_PIVOT: f64 = 1e-5;

/// Solves `A x = b` for a symmetric `A` of bandwidth four, in place, by an LDL' factorisation.
///
/// `a[i][d]` is the element in row `i`, column `i + d`; both it and `b` are used up, and `b` holds the solution.
/// Returns `false`, with `b` undefined, if `A` is not well enough conditioned for that.
#[must_use]
pub fn solve(a: &mut [[f64; ORDER]], b: &mut [f64]) -> bool {
    let n = a.len();
    let floor: Vec<f64> = a.iter().map(|row| SMALLEST_PIVOT * row[0]).collect();
    for i in 0..n {
        let row = a[i];
        let reach = ORDER.min(n - i);
        let inverse = 1.0 / row[0];
        // Written so that NaN fails too.
        if !(row[0] > floor[i] && inverse.is_finite()) {
            return false;
        }
        for d in 1..reach {
            let factor = row[d] * inverse;
            let below = &mut a[i + d];
            for e in d..reach {
                below[e - d] -= factor * row[e];
            }
            b[i + d] -= factor * b[i];
        }
        b[i] *= inverse;
        a[i] = row.map(|v| v * inverse);
    }
    for i in (0..n).rev() {
        let reach = ORDER.min(n - i);
        for d in 1..reach {
            b[i] -= a[i][d] * b[i + d];
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_what_it_multiplied() {
        let n = 12;
        let rows: Vec<[f64; 4]> =
            (0..n).map(|i| [6.0 + f64::from(i) * 0.1, 1.5, -0.7, 0.2]).collect();
        let x: Vec<f64> = (0..n).map(|i| (f64::from(i)).cos()).collect();
        let mut b = vec![0.0; n as usize];
        for i in 0..n as usize {
            for d in 0..4.min(n as usize - i) {
                b[i] += rows[i][d] * x[i + d];
                if d > 0 {
                    b[i + d] += rows[i][d] * x[i];
                }
            }
        }
        let mut a = rows;
        assert!(solve(&mut a, &mut b));
        for (found, expected) in b.iter().zip(&x) {
            assert!((found - expected).abs() < 1e-13);
        }
    }

    #[test]
    fn a_singular_matrix_is_refused() {
        assert!(!solve(&mut [[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]], &mut [1.0, 1.0]));
        assert!(!solve(&mut [[0.0; 4]], &mut [1.0]));
        assert!(!solve(&mut [[f64::NAN, 0.0, 0.0, 0.0]], &mut [1.0]));
    }
}
