//! Sums over boxes of an image, each from four numbers.

use std::ops::Range;

/// Sums of `K` values over all rows and columns before each.
pub(super) struct BoxSums<const K: usize> {
    width: usize,
    sums: Vec<[f64; K]>,
}

impl<const K: usize> BoxSums<K> {
    /// `values` are those of a row and a column.
    pub(super) fn new(
        (n_rows, n_columns): (usize, usize),
        values: impl Fn(usize, usize) -> [f64; K],
    ) -> Self {
        let width = n_columns + 1;
        let mut sums = vec![[0.0; K]; width * (n_rows + 1)];
        for y in 0..n_rows {
            let mut of_row = [0.0; K];
            for x in 0..n_columns {
                let found = values(y, x);
                let above = sums[y * width + x + 1];
                for k in 0..K {
                    of_row[k] += found[k];
                    sums[(y + 1) * width + x + 1][k] = above[k] + of_row[k];
                }
            }
        }
        Self { width, sums }
    }

    /// The sums over some rows and columns.
    pub(super) fn within(&self, rows: Range<usize>, columns: Range<usize>) -> [f64; K] {
        let at = |y: usize, x: usize| &self.sums[y * self.width + x];
        let (a, b) = (at(rows.end, columns.end), at(rows.start, columns.start));
        let (c, d) = (at(rows.start, columns.end), at(rows.end, columns.start));
        std::array::from_fn(|k| a[k] + b[k] - c[k] - d[k])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_box() {
        let sums = BoxSums::new((4, 5), |y, x| [1.0, (10 * y + x) as f64]);
        let [n, sum] = sums.within(1..3, 2..5);
        assert!((n - 6.0).abs() < 1e-12);
        assert!((sum - (12.0 + 13.0 + 14.0 + 22.0 + 23.0 + 24.0)).abs() < 1e-12);
        assert!(sums.within(2..2, 0..5)[0].abs() < 1e-12);
    }
}
