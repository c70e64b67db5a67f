//! Compact sources anywhere along a slice, for the splines of weighted fits.
//!
//! The search of the reference (`compact.rs`) looks at some pixels around `alpha = 0`, asks for a number of steep points
//! that narrow images do not have, and measures slopes in units of the whole column, so that a bright background or many
//! pixels hide a source. Here the mean profile of the slice is looked at, in bins of half a pixel from one end to the
//! other. What counts is how far it rises above its level, the median, in units of the highest rise: none of zero point
//! and unit of alpha, width of the image, background and sampling matters.

use super::compact::CompactRanges;
use super::traced::TracedRegion;
use crate::numeric::stats::median;

/// Bins per pixel.
const BINS: f64 = 2.0;
/// A source rises above the level by so many times what is usual of a bin, or the slice has none.
const SIGNIFICANT: f64 = 5.0;
/// Median absolute deviation of a normal distribution, inverted.
const MAD: f64 = 1.4826;

/// Where the mean profile of a slice rises by more than `share` of its highest rise, and `pad` pixels to either side.
pub(super) fn search(region: &TracedRegion<'_>, pitch: f64, share: f64, pad: f64) -> CompactRanges {
    let known = || {
        let columns = region.traces().map(|(column, _)| region.pixels.column(column));
        columns.flatten().filter(|&i| region.fit[i].is_finite())
    };
    let alpha = |i: usize| region.pixels.alpha[i];
    let low = known().map(alpha).fold(f64::INFINITY, f64::min);
    let high = known().map(alpha).fold(f64::NEG_INFINITY, f64::max);
    let n_bins = BINS * (high - low) / pitch;
    if !(n_bins >= 1.0 && n_bins < region.pixels.alpha.len() as f64) {
        return CompactRanges::default();
    }
    let mut bins = vec![(0.0, 0.0); n_bins as usize + 1];
    let mut values = Vec::new();
    for (column, _) in region.traces() {
        // Above the level of the column: the share of the background in a column goes up and down.
        let pixels = region.pixels.column(column).filter(|&i| region.fit[i].is_finite());
        values.clear();
        values.extend(pixels.clone().map(|i| region.fit[i]));
        let level = median(&mut values);
        for i in pixels {
            let bin = &mut bins[(BINS * (alpha(i) - low) / pitch) as usize];
            *bin = (bin.0 + region.fit[i] - level, bin.1 + 1.0);
        }
    }
    let profile: Vec<f64> = bins.into_iter().map(|(sum, n)| sum / n).collect();
    values.clear();
    values.extend(profile.iter().copied().filter(|v| v.is_finite()));
    let level = median(&mut values);
    for value in &mut values {
        *value = (*value - level).abs();
    }
    let usual = MAD * median(&mut values);
    let highest = profile.iter().map(|v| v - level).fold(0.0, f64::max);
    if highest <= SIGNIFICANT * usual {
        return CompactRanges::default();
    }
    let limit = f64::max(share * highest, SIGNIFICANT * usual);
    let ends = |bin: usize| {
        let at = |edge: f64| low + edge * pitch / BINS;
        (at(bin as f64) - pad * pitch, at(bin as f64 + 1.0) + pad * pitch)
    };
    let rises = (0..profile.len()).filter(|&bin| profile[bin] - level > limit);
    CompactRanges::from_ranges(rises.map(ends))
}
