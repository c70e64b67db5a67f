//! Cross-dispersion profile of a region, the threshold test, and the trimming of bad edges.

use super::region::RegionPixels;
use crate::numeric::Real;
use crate::numeric::sequence::arange;
use crate::numeric::stats::{clipped_stats, median};

/// Signal-to-noise ratio under which a profile bin may be a bad edge, and under which a profile has a negative source.
const LOW_SNR: f64 = 5.0;
/// A bin is a bad edge if its error is this many standard deviations above the mean error of the profile.
const HIGH_ERROR_SIGMA: f64 = 5.0;
/// More bins than this do not come from a sensible alpha: the region has no profile then.
const MAX_BINS: usize = 1 << 22;

/// Medians of flux, error and signal-to-noise ratio in bins of half a native pixel in alpha; NaN in empty bins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Bin centres.
    pub alpha: Vec<f64>,
    /// Median flux.
    pub flux: Vec<f64>,
    /// Median error.
    pub error: Vec<f64>,
    /// Median of flux over error.
    pub snr: Vec<f64>,
}

impl Profile {
    /// Whether any bin is brighter than `peak`, or any signal-to-noise ratio above `snr`, where they are given.
    ///
    /// With neither given, true.
    #[must_use]
    pub fn passes(&self, peak: Option<f64>, snr: Option<f64>) -> bool {
        let above = |values: &[f64], limit: Option<f64>| {
            limit.is_some_and(|limit| values.iter().any(|&v| v > limit))
        };
        (peak.is_none() && snr.is_none()) || above(&self.flux, peak) || above(&self.snr, snr)
    }

    /// Whether the profile has a negative source: a bin with a signal-to-noise ratio below -5.
    #[must_use]
    pub fn has_negative_source(&self) -> bool {
        self.snr.iter().any(|&snr| snr < -LOW_SNR)
    }
}

/// Cross-dispersion profile of a region; `None` if it has no valid pixel or no measurable pixel spacing.
///
/// A pixel is valid if flux, error and alpha are finite and the error is positive. Bin centres run in steps of half a
/// native pixel over the alpha of the whole region.
#[must_use]
pub fn crossdisp_profile<T: Real>(pixels: &RegionPixels) -> Option<Profile> {
    let valid = |i: &usize| {
        let i = *i;
        pixels.flux[i].is_finite()
            && pixels.error[i] > 0.0
            && pixels.error[i].is_finite()
            && pixels.alpha[i].is_finite()
    };
    let valid: Vec<usize> = (0..pixels.row.len()).filter(valid).collect();
    if valid.is_empty() {
        return None;
    }
    let step = T::narrow(pixels.native_dalpha::<T>() / 2.0);
    let (low, high) = pixels.alpha_range();
    let centres = arange::<T>(low, high, step, MAX_BINS);
    if centres.is_empty() {
        return None;
    }

    let members = bin_members(pixels, &valid, &centres, step, T::narrow(step / 2.0));
    let empty = vec![f64::NAN; centres.len()];
    let mut profile =
        Profile { alpha: centres, flux: empty.clone(), error: empty.clone(), snr: empty };
    let mut values = Vec::new();
    for (k, bin) in members.iter().enumerate().filter(|(_, bin)| !bin.is_empty()) {
        let mut median_of = |value: &dyn Fn(usize) -> f64| {
            values.clear();
            values.extend(bin.iter().map(|&i| value(i)));
            T::narrow(median(&mut values))
        };
        profile.flux[k] = median_of(&|i| pixels.flux[i]);
        profile.error[k] = median_of(&|i| pixels.error[i]);
        profile.snr[k] = median_of(&|i| T::narrow(pixels.flux[i] / pixels.error[i]));
    }
    Some(profile)
}

/// Sorts the valid pixels into bins of width `step` around the centres, half open at the upper end.
///
/// Rounding may let two neighbouring bins overlap or part by one unit in the last place, so the edges decide: a pixel
/// may be in two bins, or in none.
fn bin_members(
    pixels: &RegionPixels,
    valid: &[usize],
    centres: &[f64],
    step: f64,
    half: f64,
) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); centres.len()];
    for &i in valid {
        let alpha = pixels.alpha[i];
        let near = ((alpha - centres[0]) / step).round() as usize;
        for k in near.saturating_sub(1)..(near + 2).min(centres.len()) {
            if centres[k] - half <= alpha && alpha < centres[k] + half {
                members[k].push(i);
            }
        }
    }
    members
}

/// Blanks the flux beyond bad ends of the slit: bins without signal whose error stands far above the others'.
///
/// The ends are the bad bins nearest to `alpha = 0` on either side. If all bins are bad, or none, nothing is done.
/// Returns whether anything was blanked.
pub fn trim_edges(pixels: &mut RegionPixels, profile: &Profile) -> bool {
    let seen: Vec<usize> = (0..profile.snr.len()).filter(|&k| profile.snr[k].is_finite()).collect();
    let errors: Vec<f64> = seen.iter().map(|&k| profile.error[k]).collect();
    let typical = clipped_stats(&errors);
    let limit = typical.mean + HIGH_ERROR_SIGMA * typical.std;
    let bad: Vec<f64> = seen
        .iter()
        .filter(|&&k| profile.snr[k].abs() < LOW_SNR && profile.error[k] > limit)
        .map(|&k| profile.alpha[k])
        .collect();
    if bad.is_empty() || bad.len() == seen.len() {
        return false;
    }
    let low = bad.iter().copied().filter(|&a| a < 0.0).fold(f64::NEG_INFINITY, f64::max);
    let high = bad.iter().copied().filter(|&a| a > 0.0).fold(f64::INFINITY, f64::min);
    for (flux, &alpha) in pixels.flux.iter_mut().zip(&pixels.alpha) {
        if alpha <= low || alpha >= high {
            *flux = f64::NAN;
        }
    }
    true
}
