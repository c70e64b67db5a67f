//! Medians and clipped statistics.

use std::cmp::Ordering;

use super::real::Real;

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
pub(crate) fn by_size<T: Real>(a: &T, b: &T) -> Ordering {
    a.partial_cmp(b).unwrap_or(Ordering::Equal)
}

/// Median of `values`, which are reordered: the mean of the two middle ones if their count is even, NaN for none.
///
/// There must be no NaN among them.
pub fn median(values: &mut [f64]) -> f64 {
    let n = values.len();
    middle(values, n / 2, n.is_multiple_of(2))
}

/// As [`median`], for many values of either type; `inside` is only memory, for those around the middle.
///
/// A sample of the values tells between which two the median will lie (Floyd & Rivest 1975, CACM 18, 165); one pass picks
/// out what lies there and counts what lies below. If it was not there after all, all values are searched.
pub fn median_of_many<T: Real>(values: &mut [T], inside: &mut Vec<T>) -> f64 {
    let n = values.len();
    if n < 4 * SAMPLE {
        return middle(values, n / 2, n.is_multiple_of(2));
    }
    let mut sample = [values[0]; SAMPLE];
    for (k, value) in sample.iter_mut().enumerate() {
        *value = values[k * (n / SAMPLE)];
    }
    sample.sort_unstable_by(by_size);
    let (low, high) = (sample[SAMPLE / 2 - AROUND], sample[SAMPLE / 2 + AROUND]);
    inside.clear();
    inside.resize(n, low);
    let (mut n_below, mut n_inside) = (0, 0);
    for &value in &*values {
        // Written always and kept or not: a branch here would be anybody's guess.
        inside[n_inside] = value;
        n_inside += usize::from(low <= value && value <= high);
        n_below += usize::from(value < low);
    }
    let (upper, is_even) = (n / 2, n.is_multiple_of(2));
    let lower = upper - usize::from(is_even);
    if lower < n_below || upper >= n_below + n_inside {
        return middle(values, upper, is_even);
    }
    middle(&mut inside[..n_inside], upper - n_below, is_even)
}

/// The number at place `upper` of `values` in order, or its mean with the one before; NaN for no values.
fn middle<T: Real>(values: &mut [T], upper: usize, with_lower: bool) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(upper, by_size);
    if !with_lower {
        return upper.to_f64();
    }
    let larger = |a: f64, b: &T| if b.to_f64() > a { b.to_f64() } else { a };
    below.iter().fold(f64::NEG_INFINITY, larger).midpoint(upper.to_f64())
}

/// Values that are looked at to guess where the median lies.
const SAMPLE: usize = 32;
/// So many places of the sorted sample on either side of its middle: two standard deviations of the guess.
const AROUND: usize = 6;

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
    fn the_median_of_many_is_the_median() {
        let mut inside = Vec::<f64>::new();
        let mut state = 1_u64;
        for n in [1, 255, 256, 257, 1000, 5003] {
            for n_different in [1, 2, 7, 1 << 20] {
                let mut values: Vec<f64> = (0..n)
                    .map(|_| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        ((state >> 33) % n_different) as f64
                    })
                    .collect();
                let found = median_of_many(&mut values, &mut inside);
                assert_eq!(found, median(&mut values));
                // In order, the sample is not one of the whole.
                values.sort_unstable_by(by_size);
                assert_eq!(median_of_many(&mut values, &mut inside), found);
                // A sample that is all wrong: every value that is looked at is the largest.
                let stride = (n / SAMPLE).max(1);
                (0..n).step_by(stride).for_each(|i| values[i] = 1e9);
                let found = median_of_many(&mut values, &mut inside);
                assert_eq!(found, median(&mut values));
            }
        }
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
