//! The noise of one column of one integration, followed to its fine pixels.
//!
//! A fine pixel is `q G(d) + sum_j lambda_j (f_j - q T_j(d))`: the profile `G` under the scale `q` and the shift `d`, and the
//! residuals of the pixels `f_j` against the template `T`. To first order in the noise of the integration
//!
//! ```text
//! dF = D dq + E dd + sum_j lambda_j df_j,
//! D = G - sum_j lambda_j T_j,      E = q (G' - sum_j lambda_j T_j'),      dq = sum_j kappa_j df_j.
//! ```
//!
//! The noise of the profile, which is that of the mean of all integrations, comes on top.

use super::block::{Desk, Native};
use super::column::{FineColumn, Made};
use crate::numeric::Real;

/// The variance is at least this share of what comes from the integration alone.
const LEAST_SHARE: f64 = 0.05;

impl<T: Real> Desk<T> {
    /// Variance that comes from the integration itself, by component, of each fine pixel of a column that the model is used
    /// in: number of the pixel, its row, variances.
    pub(super) fn own_variances(
        &mut self,
        column: &FineColumn<'_>,
        at: usize,
    ) -> impl Iterator<Item = (usize, usize, Vec<f64>)> {
        column.prepare::<T>(&mut self.lines);
        column.noise(&self.native, at, &mut self.noise);
        column.pixels().filter_map(move |(number, pixel)| {
            let is_missing = self.native.is_missing(pixel.nearest as usize, at);
            let made = column.make(pixel, is_missing, &mut self.lines);
            let own = || self.noise.iter().map(|noise| noise.variance(&made)).collect();
            made.is_modelled.then(|| (number, pixel.row as usize, own()))
        })
    }
}

impl FineColumn<'_> {
    /// What the fine pixels of the column have in common, for each component of the variance.
    ///
    /// `at` is the place of the column in what is known of the integration.
    pub(super) fn noise(&self, native: &Native, at: usize, all: &mut [ColumnNoise]) {
        let (fit, region) = (&self.part.fit, self.region);
        let places = self.places.clone();
        let found = &fit.columns[self.place];
        let template = fit.moved.as_ref().map_or(&region.template, |moved| &moved.template);
        let pixels = fit.is_used[places.clone()].iter().zip(&region.weight[places.clone()]);
        let pixels = pixels.zip(&template[places.clone()]);
        let kappa = pixels.map(|((&is_used, weight), template)| {
            let counts = is_used && found.information > 0.0;
            if counts { weight * template / found.information } else { 0.0 }
        });
        // The shift is that of all columns; only the whole error is followed through it.
        for (component, noise) in all.iter_mut().enumerate() {
            let is_shifted = component == 0 && fit.shift.is_finite();
            noise.of_shift = if is_shifted { fit.shift_variance } else { 0.0 };
            noise.scale_with_shift = if is_shifted { found.with_shift } else { 0.0 };
            noise.variance.clear();
            noise.with_scale.clear();
            if component == 0 {
                noise.variance.extend(fit.sigma[places.clone()].iter().map(|sigma| sigma * sigma));
                noise.of_scale = found.variance;
            } else {
                let variance = |&row: &u32| {
                    let v = native.error(component, row as usize, at);
                    if v >= 0.0 { v } else { f64::NAN }
                };
                noise.variance.extend(self.rows().iter().map(variance));
                noise.of_scale = 0.0;
            }
            for (k, &v) in kappa.clone().zip(&noise.variance) {
                let with_scale = if k == 0.0 || v.is_nan() { 0.0 } else { k * v };
                noise.with_scale.push(with_scale);
                if component > 0 {
                    noise.of_scale += k * with_scale;
                }
            }
        }
    }

    /// Adds what comes through the shared profile.
    #[inline]
    pub(super) fn with_profile(
        &self,
        component: usize,
        number: usize,
        made: &Made,
        own: f64,
    ) -> f64 {
        let Some(scaled) = self.trace.filter(|_| made.is_modelled) else { return own };
        let shared = self.fine.shared.get(component).map_or(0.0, |shared| shared[number]);
        (own + scaled.scale * scaled.scale * shared).max(LEAST_SHARE * own)
    }
}

/// The noise of one column: that of its pixels, of its scale, and of the shift, and how they go together.
#[derive(Debug, Default)]
pub(super) struct ColumnNoise {
    variance: Vec<f64>,
    with_scale: Vec<f64>,
    of_scale: f64,
    of_shift: f64,
    scale_with_shift: f64,
}

impl ColumnNoise {
    /// Variance of a fine pixel that comes from the integration itself.
    #[inline]
    pub(super) fn variance(&self, made: &Made) -> f64 {
        let (d, e) = (made.by_scale, made.by_shift);
        let mut sum = 0.0;
        for (j, w) in made.lambda {
            if w != 0.0 {
                sum += w * w * self.variance[j] + 2.0 * d * w * self.with_scale[j];
            }
        }
        if made.is_modelled {
            sum +=
                d * d * self.of_scale + e * e * self.of_shift + 2.0 * d * e * self.scale_with_shift;
        }
        sum
    }
}
