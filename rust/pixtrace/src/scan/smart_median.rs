//! The weighted median of the reference, without sorting.

use std::cmp::Ordering;

use crate::numeric::stats::by_size;

/// A value with its weight.
pub(super) type Pair = [f64; 2];

/// Candidates are sorted once there are no more than this.
const FEW: usize = 192;
/// How many numbers are looked at to guess where the median lies.
const SAMPLE: usize = 192;
/// Half-width of the bracket around the guess, in its standard deviations: one guess in 400 misses.
const MARGIN: f64 = 3.0;

/// The weighted median of `pairs`, all of them with positive weights and none with NaN.
///
/// Numbers in the order of their size (equal ones in that of their weights) carry the cumulative weight
/// `W_i = w_0 / 2 + w_0 + ... + w_(i-1) + w_i / 2`, and the median is the first with `W_i >= total / 2`, drawn a little
/// towards the one before it: `u prev + (1 - u) here` with `u = (W_i - total / 2) / (W_i + W_(i-1))`. `first` is the
/// weight `w_0` of the smallest number; it is not that in `pairs` if numbers without weight were taken out.
///
/// A sample tells between which two numbers the median must lie; only numbers between them are sorted. Where the guess
/// misses, or there are too many equal numbers, everything is sorted, with the same result but for rounding.
pub(super) fn weighted_median(
    pairs: &[Pair],
    first: f64,
    total: f64,
    candidates: &mut Vec<Pair>,
) -> f64 {
    let half = 0.5 * total;
    if candidates.len() < pairs.len() {
        candidates.resize(pairs.len(), [0.0; 2]);
    }
    let candidates = &mut candidates[..pairs.len()];
    let (n, below) = narrow(pairs, 0.5 * first, half, candidates);
    candidates[..n].sort_unstable_by(by_value_then_weight);
    if let Some(median) = walk(&candidates[..n], below, half, false) {
        return median;
    }
    candidates.copy_from_slice(pairs);
    candidates.sort_unstable_by(by_value_then_weight);
    walk(candidates, 0.5 * first, half, true).unwrap_or(f64::NAN)
}

fn by_value_then_weight(a: &Pair, b: &Pair) -> Ordering {
    by_size(&a[0], &b[0]).then_with(|| by_size(&a[1], &b[1]))
}

/// The median of the ordered `pairs`, before which the cumulative weight is `below`.
///
/// `None` if it lies behind all of them, or if it is the first and what comes before is not known to be nothing.
fn walk(pairs: &[Pair], mut below: f64, half: f64, from_start: bool) -> Option<f64> {
    for (i, &[value, weight]) in pairs.iter().enumerate() {
        let here = below + 0.5 * weight;
        if here >= half {
            let Some([previous, previous_weight]) = i.checked_sub(1).map(|p| pairs[p]) else {
                return from_start.then_some(value);
            };
            let before = below - 0.5 * previous_weight;
            let u = (here - half) / (here + before);
            return Some(u * previous + (1.0 - u) * value);
        }
        below += weight;
    }
    // Rounding alone can hide the end of the walk.
    if from_start { pairs.last().map(|pair| pair[0]) } else { None }
}

/// Copies to the front of `candidates`, which are as many, a few of the numbers, very probably the median among them;
/// returns how many, and the cumulative weight before them. If that is half of all or more, the guess has missed.
fn narrow(pairs: &[Pair], mut below: f64, half: f64, candidates: &mut [Pair]) -> (usize, f64) {
    if pairs.len() <= FEW {
        candidates.copy_from_slice(pairs);
        return (pairs.len(), below);
    }
    let (low, high) = bracket(pairs, below, half);
    let (mut n, weight) = keep(pairs, low, high, candidates);
    below += weight;
    while n > FEW && below < half {
        let (low, high) = bracket(&candidates[..n], below, half);
        let (kept, weight) = keep_in_place(&mut candidates[..n], low, high);
        below += weight;
        let is_slow = kept > n - n / 4;
        n = kept;
        if is_slow {
            break;
        }
    }
    (n, below)
}

/// Two numbers between which the median lies, very probably.
fn bracket(pairs: &[Pair], below: f64, half: f64) -> (f64, f64) {
    let mut sample = [[0.0; 2]; SAMPLE];
    let mut squares = 0.0;
    for (i, one) in sample.iter_mut().enumerate() {
        *one = pairs[i * pairs.len() / SAMPLE];
        squares += one[1] * one[1];
    }
    sample.sort_unstable_by(|a, b| by_size(&a[0], &b[0]));
    let scale = pairs.len() as f64 / SAMPLE as f64;
    let (centre, margin) = ((half - below) / scale, MARGIN * 0.5 * squares.sqrt());
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    let mut sum = 0.0;
    for [value, weight] in sample {
        sum += weight;
        if sum < centre - margin {
            low = value;
        } else if sum - weight > centre + margin {
            high = value;
            break;
        }
    }
    (low, high)
}

/// Collects the numbers from `low` to `high`: how many there are, and the weight of those below.
fn keep(pairs: &[Pair], low: f64, high: f64, kept: &mut [Pair]) -> (usize, f64) {
    let (mut n_kept, mut below) = (0, [0.0; 4]);
    for (i, &[value, weight]) in pairs.iter().enumerate() {
        below[i % 4] += if value < low { weight } else { 0.0 };
        kept[n_kept] = [value, weight];
        n_kept += usize::from(low <= value) & usize::from(value <= high);
    }
    (n_kept, below.iter().sum())
}

/// The same, moving those that are kept to the front.
fn keep_in_place(pairs: &mut [Pair], low: f64, high: f64) -> (usize, f64) {
    let (mut n_kept, mut below) = (0, 0.0);
    for i in 0..pairs.len() {
        let [value, weight] = pairs[i];
        below += if value < low { weight } else { 0.0 };
        pairs[n_kept] = [value, weight];
        n_kept += usize::from(low <= value) & usize::from(value <= high);
    }
    (n_kept, below)
}

/// The same median for numbers that all have weight 1; they are reordered. NaN for none.
///
/// The lower one of the two in the middle for an even count `n`; for an odd one that in the middle, drawn by
/// `1 / (2 n)` towards the one below it.
pub(super) fn unit_median(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    let (below, &mut here, _) = values.select_nth_unstable_by((n - 1) / 2, by_size);
    if n.is_multiple_of(2) || n == 1 {
        return here;
    }
    let previous = below.iter().fold(f64::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    let u = 0.5 / n as f64;
    u * previous + (1.0 - u) * here
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, word by word: the numbers in order, one by one.
    fn slowly(pairs: &[Pair]) -> f64 {
        let mut sorted = pairs.to_vec();
        sorted.sort_by(by_value_then_weight);
        let half = 0.5 * sorted.iter().map(|p| p[1]).sum::<f64>();
        let (mut here, mut before) = (sorted[0][1], 0.0);
        let mut i = 0;
        while here < half {
            i += 1;
            before = here;
            here += 0.5 * (sorted[i - 1][1] + sorted[i][1]);
        }
        let u = (here - half) / (here + before);
        u * sorted[i.saturating_sub(1)][0] + (1.0 - u) * sorted[i][0]
    }

    fn fast(pairs: &[Pair]) -> f64 {
        let total = pairs.iter().map(|p| p[1]).sum();
        let first = pairs.iter().min_by(|a, b| by_value_then_weight(a, b)).unwrap()[1];
        weighted_median(pairs, first, total, &mut Vec::new())
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            pairs in prop::collection::vec((-1e3..1e3_f64, 0.01..100.0_f64), 1..3000),
        ) {
            let pairs: Vec<Pair> = pairs.into_iter().map(|(v, w)| [v, w]).collect();
            let (fast, slow) = (fast(&pairs), slowly(&pairs));
            prop_assert!((fast - slow).abs() <= 1e-12 * slow.abs().max(1.0), "{fast} {slow}");
        }

        #[test]
        fn agrees_with_the_definition_for_ties(
            pairs in prop::collection::vec((-3..4_i8, 1..3_u8), 1..3000),
        ) {
            let pairs: Vec<Pair> =
                pairs.into_iter().map(|(v, w)| [f64::from(v), f64::from(w)]).collect();
            prop_assert!((fast(&pairs) - slowly(&pairs)).abs() <= 1e-12);
        }

        #[test]
        fn order_does_not_matter(
            mut pairs in prop::collection::vec((-1e3..1e3_f64, 1..9_u8), 1..2000),
        ) {
            let before: Vec<Pair> = pairs.iter().map(|&(v, w)| [v, f64::from(w)]).collect();
            pairs.reverse();
            let after: Vec<Pair> = pairs.iter().map(|&(v, w)| [v, f64::from(w)]).collect();
            prop_assert_eq!(fast(&before), fast(&after));
        }

        #[test]
        fn unit_weights_need_no_weights(values in prop::collection::vec(-1e3..1e3_f64, 1..1500)) {
            let pairs: Vec<Pair> = values.iter().map(|&v| [v, 1.0]).collect();
            let (fast, slow) = (unit_median(&mut values.clone()), slowly(&pairs));
            prop_assert!((fast - slow).abs() <= 1e-12 * slow.abs().max(1.0), "{fast} {slow}");
        }
    }

    #[test]
    fn a_guess_that_misses_does_no_harm() {
        // Every number that the sample looks at is large, the rest small.
        let n = SAMPLE * 20;
        let looked_at: Vec<usize> = (0..SAMPLE).map(|i| i * n / SAMPLE).collect();
        let value = |i: usize| if looked_at.contains(&i) { 1e6 + i as f64 } else { i as f64 };
        let pairs: Vec<Pair> = (0..n).map(|i| [value(i), 1.0 + (i % 7) as f64]).collect();
        assert!((fast(&pairs) - slowly(&pairs)).abs() < 1e-9);
    }
}
