//! Medians and clipped statistics.

use std::cmp::Ordering;

/// Mean and population standard deviation of data after clipping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClippedStats {
    /// Mean of what remains.
    pub mean: f64,
    /// Population standard deviation of what remains.
    pub std: f64,
}

impl ClippedStats {
    pub(crate) const EMPTY: Self = Self { mean: f64::NAN, std: f64::NAN };
}

/// Half-width of the clipping interval, in standard deviations.
pub(crate) const CLIP_SIGMA: f64 = 3.0;
/// Number of clipping rounds after which the bounds are taken as they are.
pub(crate) const CLIP_ROUNDS: usize = 5;

/// The order of numbers none of which is NaN; cheaper than a total order.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the selections of `slice` hand out references"
)]
pub(crate) fn by_size(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b).unwrap_or(Ordering::Equal)
}

/// Median of `values`, which are reordered: the mean of the two middle ones if their count is even, NaN for none.
///
/// There must be no NaN among them.
pub fn median(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(n / 2, by_size);
    if n % 2 == 1 {
        return upper;
    }
    let larger = |a: f64, &b: &f64| if b > a { b } else { a };
    let lower = below.iter().fold(f64::NEG_INFINITY, larger);
    lower.midpoint(upper)
}

/// Mean and standard deviation of the finite `values` within 3 standard deviations of their median.
///
/// At most five rounds; in each, bounds are laid around the median of what the rounds before have left, and numbers
/// equal to a bound stay. The result is that of all data inside the last bounds, NaN for no data.
#[must_use]
pub fn clipped_stats(values: &[f64]) -> ClippedStats {
    let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    if finite.is_empty() {
        return ClippedStats::EMPTY;
    }
    let mut left = finite.clone();
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    for _ in 0..CLIP_ROUNDS {
        let before = left.len();
        let std = mean_and_std(&left).std;
        let centre = median(&mut left);
        (low, high) = (centre - CLIP_SIGMA * std, centre + CLIP_SIGMA * std);
        left.retain(|&v| low <= v && v <= high);
        if left.len() == before || left.is_empty() {
            break;
        }
    }
    left.clear();
    left.extend(finite.iter().filter(|&&v| low <= v && v <= high));
    mean_and_std(&left)
}

/// Mean and population standard deviation, NaN for no data.
#[must_use]
pub fn mean_and_std(values: &[f64]) -> ClippedStats {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    ClippedStats { mean, std }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;

    #[test]
    fn median_of_even_and_odd_counts() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn an_outlier_is_clipped() {
        let mut values: Vec<f64> = (0..100).map(|i| f64::from(i % 10)).collect();
        values.push(1e6);
        let clipped = clipped_stats(&values);
        assert!((clipped.mean - 4.5).abs() < 1e-12);
        assert!(clipped_stats(&[f64::NAN, f64::INFINITY]).mean.is_nan());
    }

    #[test]
    fn numbers_on_the_bound_stay() {
        // Median 0 and standard deviation 0 after the first round: only the zeros lie inside.
        assert_eq!(clipped_stats(&[0.0; 50]), ClippedStats { mean: 0.0, std: 0.0 });
    }
}
