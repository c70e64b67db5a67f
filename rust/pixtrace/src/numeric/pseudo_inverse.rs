//! The pseudo-inverse of a small matrix: least squares where the points do not determine every coefficient.

/// Singular values below this fraction of the largest one count as zero.
const SMALLEST: f64 = 1e-8;
/// Columns are orthogonal when their cosine is below this.
const ORTHOGONAL: f64 = 1e-15;
/// Rounds of rotations after which they are taken to be orthogonal.
const MAX_ROUNDS: usize = 60;

/// A matrix in rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub n_rows: usize,
    /// Number of columns.
    pub n_columns: usize,
    /// Elements, row by row.
    pub elements: Vec<f64>,
}

impl Matrix {
    /// A matrix of zeros.
    #[must_use]
    pub fn zeros(n_rows: usize, n_columns: usize) -> Self {
        Self { n_rows, n_columns, elements: vec![0.0; n_rows * n_columns] }
    }

    /// One row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f64] {
        &self.elements[row * self.n_columns..][..self.n_columns]
    }

    /// Rows and columns exchanged.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let mut turned = Self::zeros(self.n_columns, self.n_rows);
        for (i, &element) in self.elements.iter().enumerate() {
            let (row, column) = (i / self.n_columns, i % self.n_columns);
            turned.elements[column * self.n_rows + row] = element;
        }
        turned
    }

    /// The product with another matrix, the columns of which `other` holds as rows.
    ///
    /// # Panics
    /// If the rows of the two are not of the same length.
    #[must_use]
    pub fn times_transposed(&self, other: &Self) -> Self {
        assert_eq!(self.n_columns, other.n_columns, "rows of the same length");
        let mut product = Self::zeros(self.n_rows, other.n_rows);
        for i in 0..self.n_rows {
            for j in 0..other.n_rows {
                let pairs = self.row(i).iter().zip(other.row(j));
                product.elements[i * other.n_rows + j] = pairs.map(|(a, b)| a * b).sum();
            }
        }
        product
    }
}

/// The pseudo-inverse of `matrix` and its rank.
///
/// Applied to values at points, it gives the coefficients of the least-squares fit, and of all of these the ones with the
/// smallest sum of squares. Columns (of the matrix or, if it is wider than high, of its transpose) are rotated against
/// each other until all are orthogonal; their lengths then are the singular values.
#[must_use]
pub fn pseudo_inverse(matrix: &Matrix) -> (Matrix, usize) {
    if matrix.n_columns > matrix.n_rows {
        let (inverse, rank) = pseudo_inverse(&matrix.transposed());
        return (inverse.transposed(), rank);
    }
    let n = matrix.n_columns;
    // Rows here are the columns of the matrix, then of the product of all rotations.
    let mut columns = matrix.transposed();
    let mut rotations = Matrix::zeros(n, n);
    for i in 0..n {
        rotations.elements[i * n + i] = 1.0;
    }
    for _ in 0..MAX_ROUNDS {
        let mut is_done = true;
        for i in 0..n {
            for j in i + 1..n {
                is_done &= rotate(&mut columns, &mut rotations, i, j);
            }
        }
        if is_done {
            break;
        }
    }
    let squares: Vec<f64> =
        (0..n).map(|i| columns.row(i).iter().map(|element| element * element).sum()).collect();
    let largest = squares.iter().fold(0.0, |largest, &square| f64::max(largest, square));
    let mut inverse = Matrix::zeros(n, matrix.n_rows);
    let mut rank = 0;
    for (k, &square) in squares.iter().enumerate() {
        if square <= SMALLEST * SMALLEST * largest || square == 0.0 {
            continue;
        }
        rank += 1;
        for (i, rotation) in rotations.row(k).iter().enumerate() {
            let row = &mut inverse.elements[i * matrix.n_rows..][..matrix.n_rows];
            for (element, column) in row.iter_mut().zip(columns.row(k)) {
                *element += rotation * column / square;
            }
        }
    }
    (inverse, rank)
}

/// Turns columns `i` and `j` so that they are orthogonal; tells whether they were.
fn rotate(columns: &mut Matrix, rotations: &mut Matrix, i: usize, j: usize) -> bool {
    let (mut ii, mut jj, mut ij) = (0.0, 0.0, 0.0);
    for (a, b) in columns.row(i).iter().zip(columns.row(j)) {
        ii += a * a;
        jj += b * b;
        ij += a * b;
    }
    // A column without length is orthogonal to all others.
    if ij.abs() <= ORTHOGONAL * (ii * jj).sqrt() || ij == 0.0 {
        return true;
    }
    let half = 0.5 * (jj - ii) / ij;
    let tangent = half.signum() / (half.abs() + half.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    for matrix in [columns, rotations] {
        let n = matrix.n_columns;
        for k in 0..n {
            let (a, b) = (matrix.elements[i * n + k], matrix.elements[j * n + k]);
            matrix.elements[i * n + k] = cosine * a - sine * b;
            matrix.elements[j * n + k] = sine * a + cosine * b;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn product(a: &Matrix, b: &Matrix) -> Matrix {
        a.times_transposed(&b.transposed())
    }

    fn largest_difference(a: &Matrix, b: &Matrix) -> f64 {
        assert_eq!((a.n_rows, a.n_columns), (b.n_rows, b.n_columns));
        a.elements.iter().zip(&b.elements).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    proptest! {
        /// The four properties that define it, on matrices of every shape and rank.
        #[test]
        fn penroses_conditions_hold(
            (n_rows, n_columns, rank) in (1..8_usize, 1..8_usize, 1..8_usize),
            numbers in prop::collection::vec(-1.0..1.0_f64, 128),
        ) {
            let left = Matrix { n_rows, n_columns: rank, elements: numbers[..n_rows * rank].to_vec() };
            let elements = numbers[64..64 + n_columns * rank].to_vec();
            let right = Matrix { n_rows: n_columns, n_columns: rank, elements };
            let matrix = left.times_transposed(&right);
            let (inverse, found) = pseudo_inverse(&matrix);
            prop_assert!(found <= rank.min(n_rows).min(n_columns));
            let (ab, ba) = (product(&matrix, &inverse), product(&inverse, &matrix));
            let size = inverse.elements.iter().fold(1.0, |size, e| f64::max(size, e.abs()));
            prop_assert!(largest_difference(&product(&ab, &matrix), &matrix) < 1e-6);
            prop_assert!(largest_difference(&product(&ba, &inverse), &inverse) < 1e-6 * size * size);
            prop_assert!(largest_difference(&ab, &ab.transposed()) < 1e-6);
            prop_assert!(largest_difference(&ba, &ba.transposed()) < 1e-6);
        }
    }

    #[test]
    fn nothing_has_no_rank() {
        assert_eq!(pseudo_inverse(&Matrix::zeros(3, 2)), (Matrix::zeros(2, 3), 0));
    }
}
