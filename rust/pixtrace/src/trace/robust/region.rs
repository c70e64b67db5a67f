//! The pixels of a region as the weighted fit sees them.

use super::super::region::RegionPixels;
use crate::numeric::Real;
use crate::numeric::stats::median;

/// Pixels whose error is this many times the median error of their column, and that show no signal, do not count in the
/// sum of the column.
const NOISY: f64 = 5.0;
/// Signal-to-noise ratio from which a noisy pixel counts nevertheless.
const SIGNAL: f64 = 10.0;
/// Columns to either side that make the mean of the sums around a column, and that tell how far to trust it.
const MEAN_REACH: usize = 8;
const CHI2_REACH: usize = 4;
/// Median absolute deviation of a normal distribution, inverted.
const MAD: f64 = 1.4826;
/// Of fewer residuals at a place along the slice nothing is known of what is usual there.
const FEW_RESIDUALS: usize = 20;
/// Rounds in which the scale of a column is fitted and its outliers are set aside.
const SCALE_ROUNDS: usize = 4;

/// Pixels of one exposure and what is known of them; everything but the scales stays as it is.
#[derive(Clone, Debug)]
pub(crate) struct Weighted<'a> {
    pub(crate) pixels: &'a RegionPixels,
    /// Where the profile of this exposure stands in alpha, from that of the fit.
    pub(crate) offset: f64,
    /// Alpha of each pixel, less the offset.
    pub(crate) alpha: Vec<f64>,
    /// Lowest and highest alpha of the region, less the offset.
    pub(crate) range: (f64, f64),
    /// Spacing of native pixels in alpha.
    pub(crate) pitch: f64,
    /// One over the variance of each pixel; 0 for pixels that are missing or without an error.
    pub(crate) weight: Vec<f64>,
    /// Part of each pixel that counts in the sum of its column; see [`super::alike`].
    pub(crate) counted: Vec<f64>,
    /// Whether only parts of the slice with positive flux are to be summed, because there is a negative source.
    pub(crate) is_positive_only: bool,
}

impl<'a> Weighted<'a> {
    /// `None` if the region is no slice: too few good pixels, or no extent in alpha.
    pub(crate) fn new<T: Real>(pixels: &'a RegionPixels, is_positive_only: bool) -> Option<Self> {
        let range = pixels.alpha_range();
        let pitch = pixels.native_dalpha::<T>();
        let weight = (0..pixels.row.len())
            .map(|i| {
                let (flux, error, alpha) = (pixels.flux[i], pixels.error[i], pixels.alpha[i]);
                let weight = 1.0 / (error * error);
                let is_good = flux.is_finite() && alpha.is_finite() && error > 0.0;
                if is_good && weight.is_finite() { weight } else { 0.0 }
            })
            .collect();
        (range.1 > range.0 && pitch > 0.0).then_some(Self {
            pixels,
            offset: 0.0,
            alpha: pixels.alpha.clone(),
            range,
            pitch,
            weight,
            counted: vec![1.0; pixels.row.len()],
            is_positive_only,
        })
    }

    /// Moves the pixels to where the fit has the profile.
    pub(crate) fn shift(&mut self, offset: f64) {
        let (low, high) = self.pixels.alpha_range();
        self.offset = offset;
        self.range = (low - offset, high - offset);
        self.alpha.clear();
        self.alpha.extend(self.pixels.alpha.iter().map(|alpha| alpha - offset));
    }

    /// Length of the slice in pixels.
    pub(crate) fn length(&self) -> f64 {
        (self.range.1 - self.range.0) / self.pitch
    }

    /// Number of a column of the image within the region.
    pub(crate) fn place(&self, column: usize) -> Option<usize> {
        let columns = &self.pixels.columns;
        columns.contains(&column).then(|| column - columns.start)
    }

    /// Number of pixels of a column that have a weight.
    pub(crate) fn n_good(&self, column: usize) -> usize {
        self.pixels.column(column).filter(|&i| self.weight[i] > 0.0).count()
    }

    /// Lowest and highest alpha of the good pixels of each column.
    pub(crate) fn reach(&self) -> Vec<(f64, f64)> {
        let of_column = |column| {
            let good = self.pixels.column(column).filter(|&i| self.weight[i] > 0.0);
            good.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), i| {
                (low.min(self.alpha[i]), high.max(self.alpha[i]))
            })
        };
        self.pixels.columns.clone().map(of_column).collect()
    }

    /// Sum of the flux of the good pixels of each column; with a negative source, of what is above zero.
    pub(crate) fn plain_sums(&self) -> Vec<f64> {
        let sum = |column| {
            self.pixels
                .column(column)
                .filter(|&i| self.weight[i] > 0.0)
                .filter(|&i| !self.is_positive_only || self.pixels.flux[i] > 0.0)
                .map(|i| self.counted[i] * self.pixels.flux[i])
                .sum()
        };
        self.pixels.columns.clone().map(sum).collect()
    }

    /// Total flux of a column: that of its good pixels, and the scaled model for the others.
    ///
    /// With a negative source, where the model is positive. `model` belongs to the pixels of the column.
    pub(crate) fn filled_sum(
        &self,
        column: usize,
        model: &[f64],
        scale: f64,
        spare: &mut Vec<f64>,
    ) -> f64 {
        let places = self.pixels.column(column);
        spare.clear();
        spare
            .extend(places.clone().filter(|&i| self.weight[i] > 0.0).map(|i| self.pixels.error[i]));
        let typical = median(spare);
        let mut sum = 0.0;
        for (i, &m) in places.zip(model) {
            if !m.is_finite() || (self.is_positive_only && m <= 0.0) {
                continue;
            }
            let (flux, error) = (self.pixels.flux[i], self.pixels.error[i]);
            let is_used =
                self.weight[i] > 0.0 && (error < NOISY * typical || flux.abs() > SIGNAL * error);
            sum += self.counted[i] * if is_used { flux } else { scale * m };
        }
        sum
    }

    /// The sums of the columns, less noisy: drawn towards the mean of their neighbours as far as they differ from it by
    /// no more than their noise.
    ///
    /// A sum is noisy where the source is faint, and it shares that noise with the pixels that are divided by it: each
    /// would then find a little of itself in the profile.
    pub(crate) fn smoothed(&self, sums: &[f64]) -> Vec<f64> {
        let variance: Vec<f64> = self
            .pixels
            .columns
            .clone()
            .map(|column| {
                let used = self.pixels.column(column).filter(|&i| self.weight[i] > 0.0);
                used.map(|i| self.counted[i].powi(2) / self.weight[i]).sum()
            })
            .collect();
        let is_known = |x: usize| sums[x].is_finite() && variance[x] > 0.0;
        let around = |x: usize, reach: usize| {
            (x.saturating_sub(reach)..(x + reach + 1).min(sums.len())).filter(|&x| is_known(x))
        };
        let means: Vec<f64> = (0..sums.len())
            .map(|x| {
                let (mut sum, mut total) = (0.0, 0.0);
                for other in around(x, MEAN_REACH) {
                    sum += sums[other] / variance[other];
                    total += 1.0 / variance[other];
                }
                sum / total
            })
            .collect();
        (0..sums.len())
            .map(|x| {
                let (mut chi2, mut n) = (0.0, 0.0_f64);
                for other in around(x, CHI2_REACH) {
                    chi2 += (sums[other] - means[other]).powi(2) / variance[other];
                    n += 1.0;
                }
                chi2 /= n;
                let is_signal = chi2 > 1.0 + (2.0 / n).sqrt();
                let share = if is_signal { 1.0 - 1.0 / chi2 } else { 0.0 };
                if is_known(x) { means[x] + share * (sums[x] - means[x]) } else { sums[x] }
            })
            .collect()
    }

    /// Least-squares scale of a model to a column, with outliers set aside; NaN without good pixels.
    pub(crate) fn robust_scale(
        &self,
        column: usize,
        model: &[f64],
        clip: f64,
        spare: &mut Vec<f64>,
    ) -> f64 {
        let places = self.pixels.column(column);
        let mut limit = f64::INFINITY;
        let mut scale = f64::NAN;
        for _ in 0..SCALE_ROUNDS {
            let (mut above, mut below, mut n) = (0.0, 0.0, 0);
            for (i, &m) in places.clone().zip(model) {
                let (w, flux) = (self.weight[i], self.pixels.flux[i]);
                if w > 0.0
                    && m.is_finite()
                    && (scale.is_nan() || (flux - scale * m).abs() * w.sqrt() < limit)
                {
                    above += w * flux * m;
                    below += w * m * m;
                    n += 1;
                }
            }
            let new = above / below;
            if n < 3 || !new.is_finite() {
                break;
            }
            let is_settled = (new - scale).abs() <= 1e-9 * new.abs();
            scale = new;
            if is_settled {
                break;
            }
            spare.clear();
            spare.extend(
                places
                    .clone()
                    .zip(model)
                    .filter(|&(i, m)| self.weight[i] > 0.0 && m.is_finite())
                    .map(|(i, &m)| (self.pixels.flux[i] - scale * m).abs() * self.weight[i].sqrt()),
            );
            limit = clip * (MAD * median(spare)).max(1.0);
        }
        scale
    }

    /// Least-squares scale of a model to a column, all good pixels taken; NaN without any.
    pub(crate) fn scale(&self, column: usize, model: &[f64]) -> f64 {
        let (mut above, mut below) = (0.0, 0.0);
        for (i, &m) in self.pixels.column(column).zip(model) {
            if self.weight[i] > 0.0 && m.is_finite() {
                above += self.weight[i] * self.pixels.flux[i] * m;
                below += self.weight[i] * m * m;
            }
        }
        above / below
    }

    /// Sets outliers aside: pixels whose residual is `clip` times what is usual at their place along the slice, and at
    /// least `clip` errors.
    ///
    /// `residual` holds data less model in units of the error, NaN where unknown. What is usual counts because a profile
    /// that changes along the spectrum leaves large residuals in the core of a bright source, which are no outliers.
    pub(crate) fn set_outliers_aside(&mut self, residual: &[f64], clip: f64) {
        let n_bins = self.length() as usize + 1;
        let bin = |alpha: f64| ((alpha - self.range.0) / self.pitch).max(0.0) as usize;
        let mut values = vec![Vec::new(); n_bins + 1];
        for (&z, &alpha) in residual.iter().zip(&self.alpha) {
            if z.is_finite() && alpha.is_finite() {
                values[bin(alpha).min(n_bins)].push(z.abs());
            }
        }
        let limits: Vec<f64> = values
            .iter_mut()
            .map(|v| {
                if v.len() > FEW_RESIDUALS {
                    clip * (MAD * median(v)).max(1.0)
                } else {
                    f64::INFINITY
                }
            })
            .collect();
        for (i, &z) in residual.iter().enumerate() {
            if z.is_finite() && z.abs() > limits[bin(self.alpha[i]).min(n_bins)] {
                self.weight[i] = 0.0;
            }
        }
    }

    /// Median absolute residual, as a standard deviation.
    pub(crate) fn spread(residual: &[f64]) -> f64 {
        let mut values: Vec<f64> =
            residual.iter().filter(|z| z.is_finite()).map(|z| z.abs()).collect();
        MAD * median(&mut values)
    }
}
