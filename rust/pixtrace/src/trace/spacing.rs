//! The distances between neighbouring points of a window, and which of them are out of the ordinary.

use crate::numeric::stats::{CLIP_ROUNDS, CLIP_SIGMA, ClippedStats, by_size, mean_and_std};

/// Number of buckets that the spacings are sorted into; a bucket then holds a few tens of them at most.
const N_BUCKETS: usize = 256;
/// The buckets reach up to this many times the mean spacing; larger ones share the last bucket.
///
/// Spacings of random points are distributed exponentially: all but one in 3 000 are below eight times the mean.
const REACH: f64 = 8.0;
/// Rank, from the top, of the spacing that the gap test looks at.
const GAP_RANK: usize = 10;

/// The spacings of one window, roughly sorted: medians, sums over ranges and the largest ones come cheap.
///
/// Spacings are put into buckets of equal width; the order within a bucket is free. A sum over a range of values then
/// is a sum of whole buckets and of parts of two, and a median a selection within one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spacings {
    /// The spacings in the order of the points.
    pub(crate) in_order: Vec<f64>,
    bucket: Vec<u8>,
    grouped: Vec<f64>,
    /// Number of the first spacing of each bucket, and the number of spacings.
    first: Vec<usize>,
    next: Vec<usize>,
    sums: Vec<Sums>,
    per_unit: f64,
    scratch: Vec<f64>,
}

/// Count, sum and sum of squares; squares are about `Spacings::origin`.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: usize,
    sum: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, values: &[f64]) {
        self.count += values.len();
        for &v in values {
            self.sum += v;
            self.squares += v * v;
        }
    }
}

impl Spacings {
    /// Works out `|x[j] - x[j - 1]|`, with zero before the first point (so that the first is `|x[0]|`).
    pub(crate) fn set(&mut self, x: &[f64]) {
        self.in_order.clear();
        self.bucket.clear();
        let n = x.len();
        let (Some(&low), Some(&high)) = (x.first(), x.last()) else { return };
        self.per_unit =
            (N_BUCKETS as f64 / REACH) * (n as f64 / (high - low).max(f64::MIN_POSITIVE));

        self.in_order.push(low.abs());
        self.in_order.extend(x.windows(2).map(|pair| (pair[1] - pair[0]).abs()));
        // `as` saturates, so that a spacing of any size finds a bucket.
        self.bucket.extend(self.in_order.iter().map(|&s| (s * self.per_unit) as u8));

        self.first.clear();
        self.first.resize(N_BUCKETS + 1, 0);
        for &b in &self.bucket {
            self.first[usize::from(b) + 1] += 1;
        }
        for b in 0..N_BUCKETS {
            self.first[b + 1] += self.first[b];
        }
        self.next.clone_from(&self.first);
        self.grouped.clear();
        self.grouped.resize(n, 0.0);
        for (&s, &b) in self.in_order.iter().zip(&self.bucket) {
            let place = &mut self.next[usize::from(b)];
            self.grouped[*place] = s;
            *place += 1;
        }
        self.sums.clear();
        self.sums.resize(N_BUCKETS, Sums::default());
        for b in 0..N_BUCKETS {
            self.sums[b].add(&self.grouped[self.first[b]..self.first[b + 1]]);
        }
    }

    fn bucket_of(&self, spacing: f64) -> usize {
        usize::from((spacing * self.per_unit) as u8)
    }

    /// Sums over all spacings from `low` to `high`, both included.
    fn between(&self, low: f64, high: f64) -> Sums {
        let mut total = Sums::default();
        if high < 0.0 {
            return total;
        }
        let (from, to) = (self.bucket_of(low), self.bucket_of(high));
        for b in from..=to {
            if b == from || b == to {
                let inside = self.grouped[self.first[b]..self.first[b + 1]]
                    .iter()
                    .filter(|&&s| low <= s && s <= high);
                for &s in inside {
                    total.add(&[s]);
                }
            } else {
                total.count += self.sums[b].count;
                total.sum += self.sums[b].sum;
                total.squares += self.sums[b].squares;
            }
        }
        total
    }

    /// The `rank`-th smallest, from 0, of the spacings that are at least `low`.
    fn ranked_from(&mut self, low: f64, rank: usize) -> f64 {
        let mut b = self.bucket_of(low);
        let mut left = rank;
        loop {
            self.scratch.clear();
            let bucket = &self.grouped[self.first[b]..self.first[b + 1]];
            if b == self.bucket_of(low) {
                self.scratch.extend(bucket.iter().copied().filter(|&s| low <= s));
                if left < self.scratch.len() {
                    break;
                }
                left -= self.scratch.len();
            } else if left < bucket.len() {
                self.scratch.extend_from_slice(bucket);
                break;
            } else {
                left -= bucket.len();
            }
            b += 1;
        }
        *self.scratch.select_nth_unstable_by(left, by_size).1
    }

    /// Clipped mean and standard deviation, by the rules of [`crate::numeric::stats::clipped_stats`].
    pub(crate) fn clipped(&mut self) -> ClippedStats {
        if self.in_order.is_empty() {
            return ClippedStats::EMPTY;
        }
        let stats = |sums: &Sums| {
            let n = sums.count as f64;
            let mean = sums.sum / n;
            ClippedStats { mean, std: (sums.squares / n - mean * mean).max(0.0).sqrt() }
        };
        // Survivors of all rounds so far lie between these.
        let (mut low, mut high) = (0.0, f64::INFINITY);
        let mut left = self.between(low, high);
        let mut bounds = (low, high);
        for _ in 0..CLIP_ROUNDS {
            let upper = self.ranked_from(low, left.count / 2);
            let centre = if left.count % 2 == 1 {
                upper
            } else {
                self.ranked_from(low, left.count / 2 - 1).midpoint(upper)
            };
            let reach = CLIP_SIGMA * stats(&left).std;
            bounds = (centre - reach, centre + reach);
            (low, high) = (f64::max(low, bounds.0), f64::min(high, bounds.1));
            let now = self.between(low, high);
            let is_stable = now.count == left.count;
            left = now;
            if is_stable || left.count == 0 {
                break;
            }
        }
        let last = stats(&self.between(bounds.0.max(0.0), bounds.1));
        if last.std > 1e-6 * last.mean {
            return last;
        }
        // Nearly equal spacings: the difference of squares has lost its digits.
        let inside: Vec<f64> =
            self.in_order.iter().copied().filter(|s| (bounds.0..=bounds.1).contains(s)).collect();
        mean_and_std(&inside)
    }

    /// The tenth largest spacing; `None` if there are fewer than ten.
    pub(crate) fn tenth_largest(&mut self) -> Option<f64> {
        let n = self.in_order.len();
        (n >= GAP_RANK).then(|| self.ranked_from(0.0, n - GAP_RANK))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numeric::stats::clipped_stats;

    proptest! {
        #[test]
        fn agrees_with_the_plain_statistics(mut x in prop::collection::vec(-3.0..3.0_f64, 1..400), grid in 0..3_u8) {
            if grid > 0 {
                // Repeated and evenly spaced points.
                for v in &mut x {
                    *v = (*v * 10.0_f64.powi(i32::from(grid) - 1)).round();
                }
            }
            x.sort_by(f64::total_cmp);
            let mut spacings = Spacings::default();
            spacings.set(&x);
            let slow = clipped_stats(&spacings.in_order);
            let fast = spacings.clipped();
            prop_assert!((fast.mean - slow.mean).abs() <= 1e-12 * slow.mean);
            prop_assert!((fast.std - slow.std).abs() <= 1e-9 * slow.mean);
            let mut sorted = spacings.in_order.clone();
            sorted.sort_by(f64::total_cmp);
            prop_assert_eq!(spacings.tenth_largest(), (x.len() >= 10).then(|| sorted[x.len() - 10]));
        }
    }
}
