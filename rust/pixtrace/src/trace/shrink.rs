//! How much of the residual of each pixel is signal.
//!
//! The reference adds the residual of every pixel to the model again, and its noise with it, and cosmic rays that the fit
//! has rejected. Here a pixel keeps that share of its residual that its neighbourhood shows to be more than noise:
//! `1 - 1 / chi2`, where `chi2` is the mean square of the residuals around it in units of their errors (the estimator of
//! James & Stein 1961, in windows of several sizes). Where the model is all there is, next to nothing is kept; where
//! there is structure that it does not know, nearly all of it.

use std::ops::Range;

use super::exposure::RegionBox;
use super::region::RegionPixels;

/// Rows and columns, to either side, of the neighbourhoods.
const NEIGHBOURHOODS: [(usize, usize); 4] = [(1, 1), (1, 5), (0, 2), (0, 10)];
/// Chi2 of pure noise goes up and down; it has to exceed one by this many standard deviations.
const SIGNIFICANT: f64 = 3.0;
/// Neighbours that chi2 is worth something with.
const FEWEST: f64 = 3.0;
/// A residual this many times its error, and this many times what its neighbours have, is an outlier.
const OUTLIER: f64 = 5.0;

/// Residuals of a region on the grid of the detector.
struct Grid {
    n_rows: usize,
    n_columns: usize,
    /// Residual over error; NaN where there is none.
    z: Vec<f64>,
}

impl Grid {
    fn get(&self, y: usize, x: usize) -> f64 {
        self.z[y * self.n_columns + x]
    }

    /// Root mean square of the neighbours of a pixel, the largest of them left out; zero without neighbours.
    fn around(&self, y: usize, x: usize) -> f64 {
        let (mut sum, mut largest, mut n) = (0.0, 0.0_f64, 0.0);
        for row in y.saturating_sub(1)..(y + 2).min(self.n_rows) {
            for column in x.saturating_sub(1)..(x + 2).min(self.n_columns) {
                let z = self.get(row, column);
                if (row, column) != (y, x) && z.is_finite() {
                    sum += z * z;
                    largest = largest.max(z * z);
                    n += 1.0;
                }
            }
        }
        if n > 1.0 { ((sum - largest) / (n - 1.0)).sqrt() } else { 0.0 }
    }
}

/// Share of the residual that each pixel of a region keeps, and which pixels are outliers.
///
/// `z` are residuals in units of their errors, NaN for pixels that are missing.
pub(crate) fn shares(
    pixels: &RegionPixels,
    bounds: &RegionBox,
    z: &[f64],
) -> (Vec<f64>, Vec<bool>) {
    let (n_rows, n_columns) = (bounds.rows.len(), bounds.columns.len());
    let mut grid = Grid { n_rows, n_columns, z: vec![f64::NAN; n_rows * n_columns] };
    let place = |column: usize, i: usize| {
        (pixels.row[i] as usize - bounds.rows.start, column - bounds.columns.start)
    };
    for column in bounds.columns.clone() {
        for i in pixels.column(column) {
            let (y, x) = place(column, i);
            grid.z[y * n_columns + x] = z[i];
        }
    }
    let mut is_outlier = vec![false; z.len()];
    for column in bounds.columns.clone() {
        for i in pixels.column(column) {
            // Hardly any pixel needs a look at its neighbours.
            if z[i].is_finite() && z[i].abs() > OUTLIER {
                let (y, x) = place(column, i);
                is_outlier[i] = z[i].abs() > OUTLIER * grid.around(y, x).max(1.0);
            }
        }
    }
    for column in bounds.columns.clone() {
        for i in pixels.column(column).filter(|&i| is_outlier[i]) {
            let (y, x) = place(column, i);
            grid.z[y * n_columns + x] = f64::NAN;
        }
    }
    let sums = Integral::new(&grid);
    // By number of pixels; the largest neighbourhood has 33.
    let limit: Vec<f64> =
        (0..=33).map(|n| 1.0 + SIGNIFICANT * (2.0 / f64::from(n)).sqrt()).collect();
    let mut shares = vec![0.0; z.len()];
    for column in bounds.columns.clone() {
        for i in pixels.column(column) {
            if !z[i].is_finite() || is_outlier[i] {
                continue;
            }
            let (y, x) = place(column, i);
            for (rows, columns) in NEIGHBOURHOODS {
                let (n, sum) = sums.within(
                    y.saturating_sub(rows)..(y + rows + 1).min(n_rows),
                    x.saturating_sub(columns)..(x + columns + 1).min(n_columns),
                );
                let chi2 = sum / n;
                if n >= FEWEST && chi2 > limit[n as usize] {
                    shares[i] = f64::max(shares[i], 1.0 - 1.0 / chi2);
                }
            }
        }
    }
    (shares, is_outlier)
}

/// Sums over all rows and columns before each, of counts and of squares.
struct Integral {
    width: usize,
    sums: Vec<(f64, f64)>,
}

impl Integral {
    fn new(grid: &Grid) -> Self {
        let width = grid.n_columns + 1;
        let mut sums = vec![(0.0, 0.0); width * (grid.n_rows + 1)];
        for y in 0..grid.n_rows {
            let (mut n, mut sum) = (0.0, 0.0);
            for x in 0..grid.n_columns {
                let z = grid.get(y, x);
                if z.is_finite() {
                    n += 1.0;
                    sum += z * z;
                }
                let above = sums[y * width + x + 1];
                sums[(y + 1) * width + x + 1] = (above.0 + n, above.1 + sum);
            }
        }
        Self { width, sums }
    }

    fn within(&self, rows: Range<usize>, columns: Range<usize>) -> (f64, f64) {
        let at = |y: usize, x: usize| self.sums[y * self.width + x];
        let (a, b) = (at(rows.end, columns.end), at(rows.start, columns.start));
        let (c, d) = (at(rows.start, columns.end), at(rows.end, columns.start));
        (a.0 + b.0 - c.0 - d.0, (a.1 + b.1 - c.1 - d.1).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::trace::exposure::RegionMap;

    fn shares_of(z: &Array2<f64>) -> (Vec<f64>, Vec<bool>, RegionPixels) {
        let labels = Array2::from_elem(z.dim(), 1);
        let map = RegionMap::new(labels.view());
        let bounds = &map.boxes()[&1];
        let pixels = RegionPixels::layout(labels.view(), 1, bounds);
        let values = pixels.collect(bounds, labels.view(), 1, z.view(), |v| v);
        let (shares, is_outlier) = shares(&pixels, bounds, &values);
        (shares, is_outlier, pixels)
    }

    /// Noise without structure, from a simple generator.
    fn noise(n_rows: usize, n_columns: usize) -> Array2<f64> {
        let mut state = 12345_u64;
        let mut uniform = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        Array2::from_shape_fn((n_rows, n_columns), |_| {
            (0..12).map(|_| uniform()).sum::<f64>() - 6.0
        })
    }

    #[test]
    fn noise_is_not_kept() {
        let (shares, is_outlier, _) = shares_of(&noise(20, 200));
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        assert!(mean < 0.06, "{mean}");
        assert!(!is_outlier.contains(&true));
    }

    #[test]
    fn structure_is_kept_and_a_cosmic_ray_is_not() {
        let mut z = noise(20, 200);
        for y in 5..9 {
            for x in 100..103 {
                z[(y, x)] += 8.0;
            }
        }
        z[(14, 50)] = 40.0;
        let (shares, is_outlier, pixels) = shares_of(&z);
        let number = |y: usize, x: usize| pixels.column(x).start + y;
        assert!(is_outlier[number(14, 50)]);
        assert!(shares[number(14, 50)] == 0.0);
        assert!(shares[number(14, 51)] < 0.5);
        for y in 5..9 {
            assert!(!is_outlier[number(y, 101)]);
            assert!(shares[number(y, 101)] > 0.9);
        }
    }
}
