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

use super::column::{FineColumn, Made};
use crate::numeric::Real;

/// The variance is at least this share of what comes from the integration alone.
const LEAST_SHARE: f64 = 0.05;

impl<T: Real> FineColumn<'_, '_, T> {
    /// Variance that comes from the integration itself, by component, of each fine pixel that the model is used in.
    pub(super) fn own_variances(
        &self,
        n_components: usize,
    ) -> impl Iterator<Item = (usize, Vec<f64>)> {
        let noise: Vec<ColumnNoise> = (0..n_components).map(|k| self.noise(k)).collect();
        let made = self.made().filter(|(_, _, made)| made.is_modelled);
        made.map(move |(i, _, made)| (i, noise.iter().map(|n| n.variance(&made)).collect()))
    }

    /// What the fine pixels of the column have in common, for one component of the variance.
    pub(super) fn noise(&self, component: usize) -> ColumnNoise {
        let (fit, region) = (&self.part.fit, self.region);
        let places = region.pixels.column(self.column);
        let variance: Vec<f64> = places
            .clone()
            .map(|i| match component {
                0 => fit.sigma[i] * fit.sigma[i],
                k => {
                    let row = region.pixels.row[i] as usize;
                    let v = self.integration.variances[k - 1][(row, self.column)].to_f64();
                    if v >= 0.0 { v } else { f64::NAN }
                }
            })
            .collect();
        let found = &fit.columns[self.place];
        let template = fit.moved.as_ref().map_or(&region.template, |moved| &moved.template);
        let kappa: Vec<f64> = places
            .map(|i| {
                let is_used = fit.is_used[i] && found.information > 0.0;
                if is_used { region.weight[i] * template[i] / found.information } else { 0.0 }
            })
            .collect();
        let with_scale: Vec<f64> = kappa
            .iter()
            .zip(&variance)
            .map(|(k, v)| if *k == 0.0 || v.is_nan() { 0.0 } else { k * v })
            .collect();
        let of_scale = match component {
            0 => found.variance,
            _ => kappa.iter().zip(&with_scale).map(|(k, v)| k * v).sum(),
        };
        // The shift is that of all columns; only the whole error is followed through it.
        let is_shifted = component == 0 && fit.shift.is_finite();
        ColumnNoise {
            variance,
            with_scale,
            of_scale,
            of_shift: if is_shifted { fit.shift_variance } else { 0.0 },
            scale_with_shift: if is_shifted { found.with_shift } else { 0.0 },
        }
    }

    /// Adds what comes through the shared profile.
    pub(super) fn with_profile(
        &self,
        component: usize,
        number: usize,
        made: &Made,
        own: f64,
    ) -> f64 {
        let Some((_, scale)) = self.trace.filter(|_| made.is_modelled) else { return own };
        let shared = self.fine.shared.get(component).map_or(0.0, |shared| shared[number]);
        (own + scale * scale * shared).max(LEAST_SHARE * own)
    }
}

/// The noise of one column: that of its pixels, of its scale, and of the shift, and how they go together.
pub(super) struct ColumnNoise {
    variance: Vec<f64>,
    with_scale: Vec<f64>,
    of_scale: f64,
    of_shift: f64,
    scale_with_shift: f64,
}

impl ColumnNoise {
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
