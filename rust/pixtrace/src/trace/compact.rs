//! Where along a slice there are compact sources.

use rayon::prelude::*;

use super::model::ColumnTrace;
use super::traced::TracedRegion;
use super::whole_slice;
use crate::numeric::peaks::local_maxima;
use crate::numeric::sequence::bin_edges;
use crate::numeric::{BSpline, Real};
use crate::{Control, Error};

/// Fewer steep points than this in a region are no sign of a compact source.
const MIN_POINTS: usize = 50;
/// A peak of the histogram counts if it is at least this tall, relative to the highest bin.
const MIN_HEIGHT: f64 = 0.2;

/// Ranges of alpha, open below and closed above, around the compact sources of one region.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompactRanges {
    ranges: Vec<(f64, f64)>,
}

impl CompactRanges {
    /// The whole slice, as if it were one source.
    #[must_use]
    pub fn everywhere() -> Self {
        Self { ranges: vec![(f64::NEG_INFINITY, f64::INFINITY)] }
    }

    /// All of these ranges, each joined with those that it touches; lower ends rise.
    pub(super) fn from_ranges(ranges: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut joined: Vec<(f64, f64)> = Vec::new();
        for (low, high) in ranges {
            match joined.last_mut() {
                Some(last) if low <= last.1 => last.1 = last.1.max(high),
                _ => joined.push((low, high)),
            }
        }
        Self { ranges: joined }
    }

    /// Looks for peaks in the histogram of the `points`, the values of alpha at which the model is steep.
    ///
    /// The histogram has `n_bins` bins of half a native pixel, centred on `alpha = 0`; points outside do not count. A
    /// source reaches `pad` native pixels to either side of the lower edge of a peak's bin. Edges are rounded to the
    /// precision of `T`. Heights are densities, counts over the widths between rounded edges, so that of two bins with
    /// the same count the one that came out narrower is higher; a flat top then is none.
    #[must_use]
    pub fn find<T: Real>(points: &[f64], native_dalpha: f64, n_bins: usize, pad: f64) -> Self {
        let reach = T::narrow(T::narrow(native_dalpha * n_bins as f64) / 4.0);
        if points.len() < MIN_POINTS || n_bins == 0 || !(reach > 0.0 && reach.is_finite()) {
            return Self::default();
        }
        let edges = bin_edges::<T>(-reach, reach, n_bins);
        let mut counts = vec![0.0; n_bins];
        for &point in points.iter().filter(|p| (edges[0]..=edges[n_bins]).contains(p)) {
            let bin = edges.partition_point(|&edge| edge <= point).clamp(1, n_bins) - 1;
            counts[bin] += 1.0;
        }
        let total: f64 = counts.iter().sum();
        for (count, edge) in counts.iter_mut().zip(edges.windows(2)) {
            *count = *count / T::narrow(edge[1] - edge[0]) / total;
        }
        let highest = counts.iter().copied().fold(0.0, f64::max);
        for density in &mut counts {
            *density /= highest;
        }
        let width = T::narrow(pad * native_dalpha);
        let ranges = local_maxima(&counts, MIN_HEIGHT)
            .into_iter()
            .map(|bin| bin as f64 * native_dalpha / 2.0 - reach)
            .map(|position| (position - width, position + width))
            .collect();
        Self { ranges }
    }

    /// Whether alpha lies within a source; false for NaN.
    #[must_use]
    pub fn contains(&self, alpha: f64) -> bool {
        self.ranges.iter().any(|&(low, high)| low < alpha && alpha <= high)
    }
}

/// Finds the compact sources of every region.
///
/// `steep(column, region, trace, points)` adds the values of alpha at which the model of a column is steep, and says
/// whether the column took part. The number of histogram bins is that of the first spline met, for all regions. Regions
/// with a weighted fit are searched as a whole instead; see `whole_slice.rs`.
pub(crate) fn find_sources<T: Real>(
    regions: &[TracedRegion<'_>],
    slope_limit: f64,
    pad: f64,
    control: &Control,
    steep: impl Fn(usize, &TracedRegion<'_>, &ColumnTrace, &mut Vec<f64>) -> bool + Sync,
) -> Result<Vec<CompactRanges>, Error> {
    if slope_limit.is_nan() {
        let must_be = "a number";
        return Err(Error::Parameter { name: "slope_limit", value: slope_limit, must_be });
    }
    if !(pad.is_finite() && pad >= 0.0) {
        let must_be = "finite and not negative";
        return Err(Error::Parameter { name: "pad", value: pad, must_be });
    }
    if slope_limit <= 0.0 {
        return Ok(vec![CompactRanges::everywhere(); regions.len()]);
    }
    let found: Vec<(Vec<f64>, Option<usize>)> = regions
        .par_iter()
        .map(|region| {
            let mut points = Vec::new();
            let mut n_bins = None;
            if is_weighted(region) {
                return (points, n_bins);
            }
            for (column, trace) in region.traces() {
                if control.check().is_err() {
                    break;
                }
                if steep(column, region, trace, &mut points) && n_bins.is_none() {
                    n_bins = region.spline(trace).map(BSpline::n_intervals);
                }
            }
            (points, n_bins)
        })
        .collect();
    control.check()?;
    let n_bins = found.iter().find_map(|f| f.1).unwrap_or(0);
    let ranges = regions.par_iter().zip(&found).map(|(region, (points, _))| {
        if is_weighted(region) {
            let pitch = region.pixels.native_dalpha::<T>();
            return whole_slice::search(region, pitch, slope_limit, pad);
        }
        if points.is_empty() {
            return CompactRanges::default();
        }
        CompactRanges::find::<T>(points, region.pixels.native_dalpha::<T>(), n_bins, pad)
    });
    Ok(ranges.collect())
}

fn is_weighted(region: &TracedRegion<'_>) -> bool {
    region.record().is_some_and(|record| record.is_weighted)
}
