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

/// Columns, to either side, of the widest neighbourhood.
const WIDEST: usize = 10;
/// Pixels of the largest neighbourhood.
const MOST: usize = 33;

/// Residuals of a region on the grid of the detector.
struct Grid {
    n_rows: usize,
    n_columns: usize,
    stride: usize,
    /// Residual over error; NaN where there is none.
    z: Vec<f64>,
}

/// Distance of rows of `n` numbers that are read column by column: an odd number of cache lines.
///
/// With a power of two the pixels of a column would all compete for the same few places of the cache.
fn stride(n: usize) -> usize {
    const LINE: usize = 64 / size_of::<f64>();
    (n.div_ceil(LINE) | 1) * LINE
}

impl Grid {
    fn new(pixels: &RegionPixels, bounds: &RegionBox, z: &[f64]) -> Self {
        let (n_rows, n_columns) = (bounds.rows.len(), bounds.columns.len());
        let stride = stride(n_columns);
        let mut grid = Self { n_rows, n_columns, stride, z: vec![f64::NAN; n_rows * stride] };
        for column in bounds.columns.clone() {
            let x = column - bounds.columns.start;
            let places = pixels.column(column);
            for (&row, &z) in pixels.row[places.clone()].iter().zip(&z[places]) {
                grid.z[(row as usize - bounds.rows.start) * stride + x] = z;
            }
        }
        grid
    }

    fn get(&self, y: usize, x: usize) -> f64 {
        self.z[y * self.stride + x]
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
    let mut grid = Grid::new(pixels, bounds, z);
    let place = |column: usize, i: usize| {
        (pixels.row[i] as usize - bounds.rows.start, column - bounds.columns.start)
    };
    let mut is_outlier = vec![false; z.len()];
    let mut outliers = Vec::new();
    for column in bounds.columns.clone() {
        for i in pixels.column(column) {
            // Hardly any pixel needs a look at its neighbours.
            if z[i].abs() > OUTLIER && z[i].is_finite() {
                let (y, x) = place(column, i);
                if z[i].abs() > OUTLIER * grid.around(y, x).max(1.0) {
                    is_outlier[i] = true;
                    outliers.push((y, x));
                }
            }
        }
    }
    for (y, x) in outliers {
        grid.z[y * grid.stride + x] = f64::NAN;
    }
    let sums = Integral::new(&grid);
    let is_candidate = sums.candidates();
    // By number of pixels.
    let limit: Vec<f64> = (0..=MOST).map(|n| 1.0 + SIGNIFICANT * (2.0 / n as f64).sqrt()).collect();
    let mut shares = vec![0.0; z.len()];
    for column in bounds.columns.clone() {
        for i in pixels.column(column) {
            let (y, x) = place(column, i);
            if !is_candidate[y * sums.stride + x] || !z[i].is_finite() || is_outlier[i] {
                continue;
            }
            for (rows, columns) in NEIGHBOURHOODS {
                let (n, sum) = sums.within(
                    y.saturating_sub(rows)..(y + rows + 1).min(grid.n_rows),
                    x.saturating_sub(columns)..(x + columns + 1).min(grid.n_columns),
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
    n_rows: usize,
    n_columns: usize,
    stride: usize,
    counts: Vec<f64>,
    squares: Vec<f64>,
}

impl Integral {
    fn new(grid: &Grid) -> Self {
        let (n_rows, n_columns) = (grid.n_rows, grid.n_columns);
        let stride = stride(n_columns + 1);
        let mut counts = vec![0.0; stride * (n_rows + 1)];
        let mut squares = counts.clone();
        for y in 0..n_rows {
            let row = &grid.z[y * grid.stride..][..n_columns];
            for (sums, is_count) in [(&mut counts, true), (&mut squares, false)] {
                let (above, here) = sums[y * stride..].split_at_mut(stride);
                let mut sum = 0.0;
                for ((&z, above), here) in row.iter().zip(&above[1..]).zip(&mut here[1..]) {
                    let value = if is_count { 1.0 } else { z * z };
                    sum += if z.is_finite() { value } else { 0.0 };
                    *here = above + sum;
                }
            }
        }
        Self { n_rows, n_columns, stride, counts, squares }
    }

    fn within(&self, rows: Range<usize>, columns: Range<usize>) -> (f64, f64) {
        let sum = |of: &[f64]| {
            let at = |y: usize, x: usize| of[y * self.stride + x];
            let (a, b) = (at(rows.end, columns.end), at(rows.start, columns.start));
            a + b - at(rows.start, columns.end) - at(rows.end, columns.start)
        };
        (sum(&self.counts), sum(&self.squares).max(0.0))
    }

    /// Pixels whose neighbourhoods are worth a closer look: all that could exceed a limit, and few others.
    ///
    /// `chi2 > 1 + s sqrt(2 / n)` is `d^2 > 2 s^2 n` for `d = sum - n > 0`, without division and for many pixels at a time.
    fn candidates(&self) -> Vec<bool> {
        // A little less, so that rounding does not lose one.
        const LIMIT: f64 = 2.0 * SIGNIFICANT * SIGNIFICANT * 0.999;
        // At the ends of the rows neighbourhoods are cut off; these few pixels are all looked at.
        let mut found = vec![true; self.n_rows * self.stride];
        let n = self.n_columns.saturating_sub(2 * WIDEST);
        let mut excess = vec![0.0; n];
        for (y, found) in found.chunks_mut(self.stride).enumerate().filter(|_| n > 0) {
            excess.fill(0.0);
            for (rows, columns) in NEIGHBOURHOODS {
                let (top, bottom) = (y.saturating_sub(rows), (y + rows + 1).min(self.n_rows));
                let (left, right) = (WIDEST - columns, WIDEST + columns + 1);
                let corners = [(bottom, right), (top, left), (top, right), (bottom, left)];
                let counts = corners.map(|(y, x)| &self.counts[y * self.stride + x..][..n]);
                let squares = corners.map(|(y, x)| &self.squares[y * self.stride + x..][..n]);
                for (x, excess) in excess.iter_mut().enumerate() {
                    let count = counts[0][x] + counts[1][x] - counts[2][x] - counts[3][x];
                    let sum = squares[0][x] + squares[1][x] - squares[2][x] - squares[3][x];
                    let above = sum - count;
                    let over = above * above.abs() - LIMIT * count;
                    *excess = if over > *excess { over } else { *excess };
                }
            }
            for (found, excess) in found[WIDEST..].iter_mut().zip(&excess) {
                *found = *excess > 0.0;
            }
        }
        found
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

    /// The quick look finds every pixel that the exact one would, also where pixels are missing and rows are short.
    #[test]
    fn no_pixel_is_passed_over() {
        for n_columns in [4, 20, 21, 200] {
            let mut z = noise(12, n_columns) * 1.15;
            z.iter_mut().step_by(17).for_each(|z| *z = f64::NAN);
            let labels = Array2::from_elem(z.dim(), 1);
            let map = RegionMap::new(labels.view());
            let bounds = &map.boxes()[&1];
            let pixels = RegionPixels::layout(labels.view(), 1, bounds);
            let values = pixels.collect(bounds, labels.view(), 1, z.view(), |v| v);
            let sums = Integral::new(&Grid::new(&pixels, bounds, &values));
            let is_candidate = sums.candidates();
            let (mut n_kept, mut n_candidates) = (0, 0);
            for ((y, x), _) in z.indexed_iter() {
                let is_kept = NEIGHBOURHOODS.iter().any(|(rows, columns)| {
                    let (n, sum) = sums.within(
                        y.saturating_sub(*rows)..(y + rows + 1).min(12),
                        x.saturating_sub(*columns)..(x + columns + 1).min(n_columns),
                    );
                    n >= FEWEST && sum / n > 1.0 + SIGNIFICANT * (2.0 / n).sqrt()
                });
                let found = is_candidate[y * sums.stride + x];
                assert!(found || !is_kept, "{n_columns} columns, {y} {x}");
                (n_kept, n_candidates) =
                    (n_kept + i32::from(is_kept), n_candidates + i32::from(found));
            }
            assert!(n_columns < 200 || (n_kept > 10 && n_candidates < 12 * 120));
        }
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
