//! How wrong the model itself may be, as far as the fits tell.
//!
//! The covariance of a fit is that of its noise. The model is wrong besides,
//!
//! - where the profile bends faster than its knots can follow. The error of a cubic spline goes with the fourth
//!   derivative of what it is to follow, and the fourth differences of its coefficients are what it knows of that;
//! - where the profile changes along the spectrum. A window whose columns all sampled the profile at every place would
//!   find the profile of its middle. But the columns of a tilted slice see one place after the other, and at the ends of
//!   a region there are columns to one side only. So what is seen of a place is the profile of columns that lie, on
//!   average, to one side. How the profile changes is known from the fits at the ends of the window; the error that
//!   follows is the fit of that change times the distance of each pixel from the column.
//!
//! Of a joint fit only the pixels of its own exposure are seen here: the others count as if they showed no change.
//!
//! Both are estimates of the error, not of its variance: their squares are added to the variance. From that of the second
//! the noise of the estimate is taken away first, so that a profile that does not change costs nothing on average.

use super::functional::{ColumnTerms, Functional};
use super::known::Known;
use crate::numeric::bspline::ORDER;
use crate::numeric::normal::{Factor, basis_at};

/// Error of a spline over the fourth difference of its coefficients, both as root mean squares: that of the
/// least-squares spline of a normal distribution whose standard deviation is 1.25 knot spacings. (It is 1 / 257 for
/// one spacing, 1 / 524 for 1.5; knots that are chosen by what they predict are closer than the profile is wide.)
const RESOLUTION: f64 = 1.0 / 396.0;
/// Middles of windows this many columns apart tell how the profile changes.
const LEAST_DISTANCE: f64 = 2.0;

/// What the change of the profile does to the fit of one column.
struct Drift {
    /// The error of the coefficients.
    change: Vec<f64>,
    /// Coefficients of the mean distance, in columns, of what is seen of a place.
    distance: Vec<f64>,
    /// Variance of the slope of the profile, over that of the profile.
    noise: f64,
}

/// The drifts of a region, by column.
pub(super) struct ModelError {
    first: usize,
    drifts: Vec<Option<Drift>>,
}

/// The fit of one column.
struct Fit<'a> {
    coefficients: &'a [f64],
    knots: &'a [f64],
    norm: f64,
    window: (usize, usize),
    information: &'a [[f64; ORDER]],
}

impl ModelError {
    /// `None` for a model that was not fitted with weights: its windows and knots follow other rules.
    pub(super) fn new(known: &Known<'_>) -> Option<Self> {
        let region = &known.region;
        let columns = region.pixels.columns.clone();
        let fit_of = |column: usize| {
            let spline = region.spline(region.column(column)?)?;
            let (of_column, of_fit, is_weighted) = known.record(column)?;
            let inside = |x: usize| x.clamp(columns.start, columns.end) - columns.start;
            is_weighted.then(|| Fit {
                coefficients: spline.coefficients(),
                knots: spline.knots(),
                norm: of_column.norm,
                window: (inside(of_fit.window.start), inside(of_fit.window.end)),
                information: &of_fit.information,
            })
        };
        let mut fits: Vec<Option<Fit<'_>>> = columns.clone().map(fit_of).collect();
        let n = fits.iter().flatten().next()?.coefficients.len();
        for fit in &mut fits {
            // All splines of a weighted fit have the same knots; a model that was put together may not.
            *fit = fit.take().filter(|f| f.coefficients.len() == n && f.information.len() == n);
        }
        let slopes: Vec<Option<(Vec<f64>, f64)>> =
            fits.iter().map(|fit| slope(&fits, fit.as_ref()?.window)).collect();

        // Sums over the columns before each: of slope and of one, times the weight, and the same times the place.
        let mut running = vec![0.0; 4 * n];
        let mut sums = Vec::with_capacity((fits.len() + 1) * 4 * n);
        sums.extend_from_slice(&running);
        for (x, column) in columns.clone().enumerate() {
            if let (Some(fit), Some((slope, _))) = (&fits[x], &slopes[x]) {
                add_column(&mut running, known, column, fit, slope, x as f64);
            }
            sums.extend_from_slice(&running);
        }
        let drift_of = |x: usize| {
            let (fit, (_, distance)) = (fits[x].as_ref()?, slopes[x].as_ref()?);
            let (start, end) = fit.window;
            let within =
                |k: usize, i: usize| sums[(end * 4 + k) * n + i] - sums[(start * 4 + k) * n + i];
            let centred = |k: usize| -> Vec<f64> {
                (0..n).map(|i| within(k + 1, i) - x as f64 * within(k, i)).collect()
            };
            let (mut change, mut mean) = (centred(0), centred(2));
            let factor = Factor::new(fit.information)?;
            factor.solve(&mut change);
            factor.solve(&mut mean);
            Some(Drift { change, distance: mean, noise: 2.0 / (distance * distance) })
        };
        Some(Self { first: columns.start, drifts: (0..fits.len()).map(drift_of).collect() })
    }

    /// Squares of the error of the model at the fine pixels of a column; zero where the model is not used.
    ///
    /// `coefficients` are those of the column's spline. That of the drift is a mean over pixels within `reach` rows, since
    /// it goes up and down, through zero, from one to the next.
    pub(super) fn squares(
        &self,
        column: usize,
        terms: &ColumnTerms<'_>,
        coefficients: &[f64],
        pixels: &[(usize, Functional)],
        reach: usize,
    ) -> Vec<f64> {
        let drift = self.drifts[column - self.first].as_ref();
        let excess: Vec<Option<f64>> = pixels
            .iter()
            .map(|(_, pixel)| {
                let (drift, (first, basis)) = (drift?, pixel.at?);
                let at = |c: &[f64]| -> f64 { (0..ORDER).map(|l| basis[l] * c[first + l]).sum() };
                let (change, distance) = (terms.scale * at(&drift.change), at(&drift.distance));
                let noise = drift.noise * terms.model_variance((first, basis));
                let excess = change * change - distance * distance * noise;
                excess.is_finite().then_some(excess)
            })
            .collect();
        let (mut start, mut end, mut sum, mut n) = (0, 0, 0.0, 0.0);
        pixels
            .iter()
            .map(|(row, pixel)| {
                while end < pixels.len() && pixels[end].0 <= row + reach {
                    if let Some(value) = excess[end] {
                        (sum, n) = (sum + value, n + 1.0);
                    }
                    end += 1;
                }
                while pixels[start].0 + reach < *row {
                    if let Some(value) = excess[start] {
                        (sum, n) = (sum - value, n - 1.0);
                    }
                    start += 1;
                }
                let Some((first, _)) = pixel.at else { return 0.0 };
                let unresolved = RESOLUTION * terms.scale * fourth_difference(coefficients, first);
                let drifted = if n > 0.0 { f64::max(sum / n, 0.0) } else { 0.0 };
                unresolved * unresolved + drifted
            })
            .collect()
    }
}

/// Slope of the coefficients along the spectrum, per column, from the fits at the ends of a window; and the distance of
/// the middles of their own windows.
fn slope(fits: &[Option<Fit<'_>>], (start, end): (usize, usize)) -> Option<(Vec<f64>, f64)> {
    let low = fits[start..end].iter().flatten().next()?;
    let high = fits[start..end].iter().flatten().next_back()?;
    let middle = |fit: &Fit<'_>| 0.5 * (fit.window.0 + fit.window.1) as f64;
    let distance = middle(high) - middle(low);
    let is_known = distance >= LEAST_DISTANCE && low.coefficients.len() == high.coefficients.len();
    let pairs = low.coefficients.iter().zip(high.coefficients);
    is_known.then(|| (pairs.map(|(a, b)| (b - a) / distance).collect(), distance))
}

/// Adds the pixels of a column that are in the fit.
fn add_column(
    running: &mut [f64],
    known: &Known<'_>,
    column: usize,
    fit: &Fit<'_>,
    slope: &[f64],
    place: f64,
) {
    let (n, pixels) = (slope.len(), &known.region.pixels);
    let scale = fit.norm * fit.norm;
    for i in pixels.column(column) {
        let weight = scale / known.components[0][i];
        let is_used = weight.is_finite()
            && pixels.flux[i].is_finite()
            && known.region.fit[i].is_finite()
            && !known.is_outlier[i];
        if !is_used {
            continue;
        }
        let (first, basis) = basis_at(fit.knots, pixels.alpha[i]);
        let change: f64 = (0..ORDER).map(|l| basis[l] * slope[first + l]).sum();
        for l in 0..ORDER {
            let value = weight * basis[l];
            running[first + l] += value * change;
            running[n + first + l] += value * change * place;
            running[2 * n + first + l] += value;
            running[3 * n + first + l] += value * place;
        }
    }
}

/// Root mean square of the fourth differences of the coefficients at the two ends of an interval between knots; `first`
/// is the number of the first basis function there.
fn fourth_difference(c: &[f64], first: usize) -> f64 {
    let square = |i: usize| match c.get(i..i + 5) {
        Some(&[a, b, c, d, e]) => (a - 4.0 * b + 6.0 * c - 4.0 * d + e).powi(2),
        _ => 0.0,
    };
    (0.5 * (square(first.saturating_sub(1)) + square(first))).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cubic_has_no_fourth_difference() {
        let cubic: Vec<f64> = (0..9).map(|i| f64::from(i * i * i - 4 * i * i)).collect();
        assert!((0..6).all(|first| fourth_difference(&cubic, first) < 1e-9));
        let mut bent = cubic;
        bent[4] += 1.0;
        assert!((fourth_difference(&bent, 2) - 26_f64.sqrt()).abs() < 1e-9);
        assert!((fourth_difference(&bent, 5) - 0.5_f64.sqrt()).abs() < 1e-9);
    }
}
