//! Symmetric positive definite matrices of a few rows: the normal equations of a fit.

/// Elements of a diagonal scaled to one that are smaller than this after elimination are rounding.
const SMALLEST_PIVOT: f64 = 1e-13;

/// A symmetric positive definite matrix, factored.
///
/// Rows and columns are scaled to a unit diagonal first, so that parameters of any unit stand beside each other.
#[derive(Clone, Copy, Debug)]
pub struct Cholesky<const N: usize> {
    /// Lower triangle of the factor of the scaled matrix.
    factor: [[f64; N]; N],
    /// One over the square roots of the diagonal.
    scale: [f64; N],
}

impl<const N: usize> Cholesky<N> {
    /// Factors a matrix after adding `damping` times its diagonal to the diagonal; only the lower triangle is read.
    ///
    /// `None` if the matrix is singular to rounding, not positive definite, or not finite.
    #[must_use]
    pub fn new(matrix: &[[f64; N]; N], damping: f64) -> Option<Self> {
        let mut scale = [0.0; N];
        for (i, s) in scale.iter_mut().enumerate() {
            let diagonal = matrix[i][i];
            if !(diagonal > 0.0 && diagonal.is_finite()) {
                return None;
            }
            *s = 1.0 / diagonal.sqrt();
        }
        let mut factor = [[0.0; N]; N];
        for i in 0..N {
            for j in 0..=i {
                let mut sum = matrix[i][j] * scale[i] * scale[j];
                let (row, other) = (&factor[i], &factor[j]);
                sum -= row.iter().zip(other).take(j).map(|(a, b)| a * b).sum::<f64>();
                if i == j {
                    sum += damping;
                    if sum.is_nan() || sum < SMALLEST_PIVOT {
                        return None;
                    }
                    factor[i][i] = sum.sqrt();
                } else {
                    factor[i][j] = sum / factor[j][j];
                }
            }
        }
        Some(Self { factor, scale })
    }

    /// Solves for one right-hand side.
    #[must_use]
    pub fn solve(&self, right: &[f64; N]) -> [f64; N] {
        let mut x = [0.0; N];
        for i in 0..N {
            let known: f64 = (0..i).map(|k| self.factor[i][k] * x[k]).sum();
            x[i] = (right[i] * self.scale[i] - known) / self.factor[i][i];
        }
        for i in (0..N).rev() {
            let known: f64 = (i + 1..N).map(|k| self.factor[k][i] * x[k]).sum();
            x[i] = (x[i] - known) / self.factor[i][i];
        }
        for (x, scale) in x.iter_mut().zip(self.scale) {
            *x *= scale;
        }
        x
    }

    /// The inverse, symmetric to the last bit: the covariance, if the matrix is that of the normal equations.
    #[must_use]
    pub fn inverse(&self) -> [[f64; N]; N] {
        let mut inverse = [[0.0; N]; N];
        for i in 0..N {
            let mut unit = [0.0; N];
            unit[i] = 1.0;
            let column = self.solve(&unit);
            for j in 0..=i {
                inverse[i][j] = column[j];
                inverse[j][i] = column[j];
            }
        }
        inverse
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    #[test]
    fn singular_and_indefinite_matrices_are_refused() {
        assert!(Cholesky::new(&[[1.0, 1.0], [1.0, 1.0]], 0.0).is_none());
        assert!(Cholesky::new(&[[1.0, 2.0], [2.0, 1.0]], 0.0).is_none());
        assert!(Cholesky::new(&[[1.0, 0.0], [0.0, 0.0]], 0.0).is_none());
        assert!(Cholesky::new(&[[f64::NAN, 0.0], [0.0, 1.0]], 0.0).is_none());
        assert!(Cholesky::new(&[[1.0, 1.0], [1.0, 1.0]], 1e-3).is_some());
    }

    proptest! {
        #[test]
        fn a_matrix_times_its_inverse_is_one(
            rows in prop::array::uniform4(prop::array::uniform4(-1.0..1.0_f64)),
            units in prop::array::uniform4(-8.0..8.0_f64),
        ) {
            // A A^T + 1, in units that differ by up to sixteen orders of magnitude.
            let unit = units.map(|u| 10.0_f64.powf(u));
            let mut matrix = [[0.0; 4]; 4];
            for i in 0..4 {
                for j in 0..4 {
                    let dot: f64 = (0..4).map(|k| rows[i][k] * rows[j][k]).sum();
                    matrix[i][j] = (dot + f64::from(u8::from(i == j))) * unit[i] * unit[j];
                }
            }
            let factored = Cholesky::new(&matrix, 0.0).unwrap();
            let inverse = factored.inverse();
            for i in 0..4 {
                for j in 0..4 {
                    let one: f64 = (0..4).map(|k| matrix[i][k] * inverse[k][j]).sum();
                    let expected = f64::from(u8::from(i == j)) * unit[i] / unit[j];
                    assert_relative_eq!(one, expected, epsilon = 1e-11 * unit[i] / unit[j]);
                }
            }
            let right = [1.0, -2.0, 3.0, 0.5];
            let x = factored.solve(&right);
            for i in 0..4 {
                let direct: f64 = (0..4).map(|k| inverse[i][k] * right[k]).sum();
                let size: f64 = (0..4).map(|k| (inverse[i][k] * right[k]).abs()).sum();
                prop_assert!((x[i] - direct).abs() <= 1e-12 * size);
            }
        }
    }
}
