//! Where a model is adequate: its residuals are noise, and those that are not do not lead it astray elsewhere.
//!
//! Chi2 of a whole column does not see a misfit of a few pixels in the core of a source, nor one that is a fraction of
//! the noise of a pixel, yet several times the error of a model that was fitted to thousands of them. So sums of residuals
//! in units of their errors are looked at, over boxes from a few pixels to most of a slice, and sums of their squares over
//! small boxes, for what changes its sign. Isolated outliers do not count.
//!
//! A fit is a weighted mean over the columns of its window: where some of these do not follow the model (an emission
//! line, say, above another background), it is off in all of them by the residuals that are missed, times their weight.

use std::ops::Range;

use super::box_sums::BoxSums;
use super::exposure::RegionBox;
use super::known::Known;
use super::shrink::shares;

/// Rows and columns, to either side, of the boxes whose sums are looked at, and whose squares.
const SUMS: [(usize, usize); 8] =
    [(0, 8), (1, 2), (1, 8), (7, 2), (7, 8), (15, 32), (31, 0), (31, 2)];
const SQUARES: [(usize, usize); 2] = [(1, 8), (2, 2)];
/// A misfit is more than noise by this many standard deviations.
const SIGNIFICANT: f64 = 3.0;
/// And by this many if it is to be added to others: noise must not add up.
const CLEAR: f64 = 4.0;
/// Pixels that a sum is worth something with.
const FEWEST: f64 = 3.0;
/// Rows to either side whose misfits add up along the window.
const ROWS: usize = 2;
/// Misfits elsewhere in the window may move the model by this share of its error: a bias of half of it is then the most
/// that is left on average.
const LARGEST_SHARE: f64 = 0.1;

/// The misfits of a region, by pixel.
pub(super) struct Misfit {
    is_misfit: Vec<bool>,
    /// By how much misfits in the window move the model, in units of the flux.
    influence: Vec<f64>,
}

impl Misfit {
    pub(super) fn new(known: &Known<'_>, bounds: &RegionBox) -> Self {
        let pixels = &known.region.pixels;
        let size = (bounds.rows.len(), bounds.columns.len());
        let mut z = known.residuals(|_, trace| trace.scale);
        let (_, is_outlier) = shares(pixels, bounds, &z);
        for (z, is_outlier) in z.iter_mut().zip(is_outlier) {
            *z = if is_outlier { f64::NAN } else { *z };
        }
        // Number of the pixel at each place of the box around the region.
        let mut number = vec![usize::MAX; size.0 * size.1];
        let mut place = vec![(0, 0); z.len()];
        for (x, column) in bounds.columns.clone().enumerate() {
            for i in pixels.column(column) {
                place[i] = (pixels.row[i] as usize - bounds.rows.start, x);
                number[place[i].0 * size.1 + x] = i;
            }
        }
        let sums = BoxSums::new(size, |y, x| match z.get(number[y * size.1 + x]) {
            Some(z) if z.is_finite() => [1.0, *z, z * z],
            _ => [0.0; 3],
        });
        let significance: Vec<f64> = place
            .iter()
            .map(|&(y, x)| {
                let within = |(rows, columns)| {
                    sums.within(around(y, rows, size.0), around(x, columns, size.1))
                };
                let of_sum = |reach| {
                    let [n, sum, _] = within(reach);
                    if n < FEWEST { 0.0 } else { sum.abs() / n.sqrt() }
                };
                let of_squares = |reach| {
                    let [n, _, squares] = within(reach);
                    if n < FEWEST { 0.0 } else { (squares - n) / (2.0 * n).sqrt() }
                };
                let sums = SUMS.into_iter().map(of_sum);
                sums.chain(SQUARES.into_iter().map(of_squares)).fold(0.0, f64::max)
            })
            .collect();
        let influence = influence(known, bounds, &z, &significance, &number);
        let is_misfit = significance.iter().map(|&s| s > SIGNIFICANT).collect();
        Self { is_misfit, influence }
    }

    /// Whether the model is adequate at a pixel, for a variance of the flux.
    pub(super) fn is_adequate(&self, pixel: usize, variance: f64) -> bool {
        let influence = self.influence[pixel];
        !self.is_misfit[pixel] && influence * influence < LARGEST_SHARE.powi(2) * variance
    }
}

/// Numbers within `reach` of one, of so many.
fn around(at: usize, reach: usize, n: usize) -> Range<usize> {
    at.saturating_sub(reach)..(at + reach + 1).min(n)
}

/// By how much the misfits of its window move the model at each pixel.
fn influence(
    known: &Known<'_>,
    bounds: &RegionBox,
    z: &[f64],
    significance: &[f64],
    number: &[usize],
) -> Vec<f64> {
    let (pixels, columns) = (&known.region.pixels, &bounds.columns);
    let n_columns = columns.len();
    let fits: Vec<_> = columns.clone().map(|column| known.record(column)).collect();
    let sums = BoxSums::new((bounds.rows.len(), n_columns), |y, x| {
        let i = number[y * n_columns + x];
        let (Some(&z), Some((of_column, _, is_weighted))) = (z.get(i), fits[x]) else {
            return [0.0; 2];
        };
        if !z.is_finite() {
            return [0.0; 2];
        }
        // The fit is one to the shares of the pixels in the flux of their column.
        let error = known.components[0][i].sqrt() / of_column.norm;
        let weight = if is_weighted { 1.0 / (error * error) } else { 1.0 };
        [if significance[i] > CLEAR { weight * z * error } else { 0.0 }, weight]
    });
    let mut found = vec![0.0; z.len()];
    for (x, column) in columns.clone().enumerate() {
        let (Some((_, fit, _)), Some(trace)) = (fits[x], known.region.column(column)) else {
            continue;
        };
        let inside = |x: usize| x.clamp(columns.start, columns.end) - columns.start;
        let window = inside(fit.window.start)..inside(fit.window.end);
        for i in pixels.column(column) {
            let row = pixels.row[i] as usize - bounds.rows.start;
            let [missed, weight] =
                sums.within(around(row, ROWS, bounds.rows.len()), window.clone());
            if weight > 0.0 {
                found[i] = trace.scale * missed / weight;
            }
        }
    }
    found
}
