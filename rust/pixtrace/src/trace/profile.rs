//! Cross-dispersion profile of a region, the threshold test, and the trimming of bad edges.

use super::region::RegionPixels;
use crate::numeric::Real;
use crate::numeric::sequence::arange;
use crate::numeric::stats::{clipped_stats, median_of_many};

/// Signal-to-noise ratio under which a profile bin may be a bad edge, and under which a profile has a negative source.
const LOW_SNR: f64 = 5.0;
/// A bin is a bad edge if its error is this many standard deviations above the mean error of the profile.
const HIGH_ERROR_SIGMA: f64 = 5.0;
/// Pixels this close to the edge of a bin, in units of its width, are compared with the edge as it was rounded.
const NEAR_EDGE: f64 = 1e-3;
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
    let step = T::narrow(pixels.native_dalpha::<T>() / 2.0);
    let (low, high) = pixels.alpha_range();
    let centres = arange::<T>(low, high, step, MAX_BINS);
    if centres.is_empty() {
        return None;
    }

    let bins = Bins::<T>::new(pixels, &centres, step)?;
    let empty = vec![f64::NAN; centres.len()];
    let mut profile =
        Profile { alpha: centres, flux: empty.clone(), error: empty.clone(), snr: empty };
    let mut memory = (Vec::new(), Vec::new());
    for k in 0..profile.alpha.len() {
        let bin = &bins.members[bins.first[k]..bins.first[k + 1]];
        if !bin.is_empty() {
            profile.flux[k] = median_of(bin, &mut memory, |[flux, _]| *flux);
            profile.error[k] = median_of(bin, &mut memory, |[_, error]| *error);
            profile.snr[k] = median_of(bin, &mut memory, |[flux, error]| {
                T::from_f64(flux.to_f64() / error.to_f64())
            });
        }
    }
    Some(profile)
}

/// Median of some value of the members of a bin, in the precision of `T`; `memory` is only that.
fn median_of<T: Real>(
    bin: &[[T; 2]],
    (values, inside): &mut (Vec<T>, Vec<T>),
    value: impl Fn(&[T; 2]) -> T,
) -> f64 {
    values.clear();
    values.extend(bin.iter().map(value));
    T::narrow(median_of_many(values, inside))
}

/// Flux and error of the valid pixels, bin after bin.
struct Bins<T> {
    /// Place of the first member of each bin, and the number of members.
    first: Vec<usize>,
    members: Vec<[T; 2]>,
}

impl<T: Real> Bins<T> {
    /// Sorts the valid pixels into bins of width `step` around the centres, half open at the upper end.
    ///
    /// Rounding may let two neighbouring bins overlap or part by one unit in the last place, so near an edge the edges
    /// themselves decide: a pixel there may be in two bins, or in none.
    /// `None` if there is no valid pixel.
    fn new(pixels: &RegionPixels, centres: &[f64], step: f64) -> Option<Self> {
        let half = T::narrow(step / 2.0);
        let per_step = 1.0 / step;
        let mut has_valid = false;
        let mut found: Vec<(u32, u32)> = Vec::with_capacity(pixels.row.len() + centres.len());
        let values = pixels.alpha.iter().zip(&pixels.flux).zip(&pixels.error).enumerate();
        for (i, ((&alpha, flux), &error)) in values {
            // Missing numbers are NaN here, never infinite.
            if alpha.is_nan() || flux.is_nan() || error.is_nan() || error <= 0.0 {
                continue;
            }
            has_valid = true;
            let place = (alpha - centres[0]) * per_step + 0.5;
            let near = place as usize;
            let inside = place - near as f64;
            if near < centres.len() && (NEAR_EDGE..1.0 - NEAR_EDGE).contains(&inside) {
                found.push((near as u32, i as u32));
                continue;
            }
            let around = centres.iter().enumerate().take(near + 2).skip(near.saturating_sub(1));
            for (k, centre) in around {
                if centre - half <= alpha && alpha < centre + half {
                    found.push((k as u32, i as u32));
                }
            }
        }
        if !has_valid {
            return None;
        }
        let mut first = vec![0; centres.len() + 1];
        for &(k, _) in &found {
            first[k as usize + 1] += 1;
        }
        for k in 0..centres.len() {
            first[k + 1] += first[k];
        }
        let mut next = first.clone();
        let mut members = vec![[T::from_f64(0.0); 2]; found.len()];
        for (k, i) in found {
            let place = &mut next[k as usize];
            members[*place] = [pixels.flux[i as usize], pixels.error[i as usize]].map(T::from_f64);
            *place += 1;
        }
        Some(Self { first, members })
    }
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
