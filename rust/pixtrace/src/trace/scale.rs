//! The scale that takes a normalised model to the flux of one column.

use crate::numeric::stats::clipped_stats;

/// Number of pixels with the highest model values that say what a typical ratio is.
const N_BRIGHTEST: usize = 5;
/// Ratios further than this many standard deviations from the typical one get no weight.
const RATIO_SIGMA: f64 = 2.0;

/// Mean ratio of flux to model over the pixels of a column, weighted by the model.
///
/// Ratios that are negative or not finite, pixels where the model is negative, and ratios far from those of the five
/// brightest pixels have no weight. If no pixel has any weight the scale is 0, and the model counts for nothing.
pub(crate) fn column_scale(flux: &[f64], model: &[f64]) -> f64 {
    let (ratio, weight) = ratios_and_weights(flux, model);
    let total: f64 = weight.iter().sum();
    if total <= 0.0 || total.is_nan() {
        return 0.0;
    }
    ratio
        .iter()
        .zip(&weight)
        .filter(|(r, _)| !r.is_nan())
        .map(|(r, w)| if *w == 0.0 { 0.0 } else { r * (w / total) })
        .sum()
}

/// What the ratio of each pixel counts in [`column_scale`]; zero for all if no pixel has any weight.
pub(crate) fn scale_weights(flux: &[f64], model: &[f64]) -> Vec<f64> {
    let (_, weight) = ratios_and_weights(flux, model);
    let total: f64 = weight.iter().sum();
    let is_any = total > 0.0;
    weight.into_iter().map(|w| if is_any { w / total } else { 0.0 }).collect()
}

fn ratios_and_weights(flux: &[f64], model: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let ratio: Vec<f64> = flux.iter().zip(model).map(|(f, m)| f / m).collect();
    let mut weight: Vec<f64> = ratio
        .iter()
        .zip(model)
        .map(|(&r, &m)| if !r.is_finite() || r < 0.0 || m < 0.0 { 0.0 } else { m })
        .collect();
    let mut sorted = weight.clone();
    sorted.sort_by(f64::total_cmp);
    let Some(&threshold) = sorted.get(sorted.len().saturating_sub(N_BRIGHTEST)) else {
        return (ratio, weight);
    };
    let brightest: Vec<f64> = ratio
        .iter()
        .zip(&weight)
        .filter(|&(&r, &w)| w >= threshold && r.is_finite())
        .map(|(&r, _)| r)
        .collect();
    let typical = clipped_stats(&brightest);
    for (w, &r) in weight.iter_mut().zip(&ratio) {
        if (typical.mean - r).abs() > RATIO_SIGMA * typical.std {
            *w = 0.0;
        }
    }
    (ratio, weight)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_model_gives_its_scale() {
        let model: Vec<f64> =
            (0..20).map(|i| (-0.5 * (f64::from(i) - 9.3).powi(2) / 4.0).exp()).collect();
        let mut flux: Vec<f64> = model.iter().map(|m| 7.0 * m).collect();
        flux[3] = f64::NAN;
        flux[14] *= 10.0;
        // The ratios of the five brightest pixels agree to rounding, so any other ratio is far off.
        assert!((column_scale(&flux, &model) - 7.0).abs() < 1e-12);
    }

    #[test]
    fn fewer_than_five_pixels_will_do() {
        assert!((column_scale(&[2.0, 4.0, 2.0], &[1.0, 2.0, 1.0]) - 2.0).abs() < 1e-15);
        assert_eq!(column_scale(&[], &[]), 0.0);
        assert_eq!(column_scale(&[f64::NAN; 6], &[1.0; 6]), 0.0);
        assert_eq!(column_scale(&[1.0; 6], &[-1.0; 6]), 0.0);
    }
}
