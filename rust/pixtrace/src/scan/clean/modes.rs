//! Signals that many channels see together: the whole array, or those of a group.

use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2};

use crate::numeric::Real;
use crate::numeric::stats::median;
use crate::scan::Flags;

/// A channel that takes part in a common signal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) channel: usize,
    pub(super) gain: f64,
    /// Standard deviation of its samples, whatever is in them.
    pub(super) scale: f64,
}

/// Fewest channels that have a signal in common.
pub(super) const FEWEST: usize = 4;
/// A sample farther from the common signal than this many standard deviations is not a part of it.
const CLIP: f64 = 4.0;
/// How much gains are expected to scatter, as a part of their median; what the data say counts beside it.
const SCATTER: f64 = 0.3;
/// Median of the square of a Gaussian of unit deviation.
const MEDIAN_SQUARE: f64 = 0.454_936;
/// Variance of the median of many such squares, times their number, over the square of the median.
const MEDIAN_SCATTER: f64 = 5.4;
/// Gains differ if it is so by this many standard deviations.
const SURE: f64 = 2.0;
/// Part of a common signal that must really be common; else it is the noise of its channels.
const COMMON: f64 = 0.5;

/// The common signal in one frame, and the sum of its weights; both zero without samples.
///
/// A weighted mean of what stands near the median.
pub(super) fn in_frame<T: Real, F: Flags>(
    data: ArrayView1<'_, T>,
    flags: ArrayView1<'_, F>,
    excluded: F,
    members: &[Member],
    buffer: &mut Vec<f64>,
) -> (f64, f64) {
    buffer.clear();
    for member in members {
        let x = data[member.channel].to_f64();
        if x.is_finite() && !flags[member.channel].has_any(excluded) {
            buffer.push(x / member.gain);
        }
    }
    if buffer.is_empty() {
        return (0.0, 0.0);
    }
    let middle = median(buffer);
    let (mut sum, mut weights) = (0.0, 0.0);
    for member in members {
        let x = data[member.channel].to_f64();
        let is_near = (x - member.gain * middle).abs() <= CLIP * member.scale;
        if is_near && !flags[member.channel].has_any(excluded) {
            let weight = member.gain / (member.scale * member.scale);
            sum += weight * x;
            weights += weight * member.gain;
        }
    }
    if weights > 0.0 { (sum / weights, weights) } else { (middle, 0.0) }
}

/// Sums over the samples of one channel, from which its gain follows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    /// Of the signal squared.
    pub(super) signal: f64,
    /// Of the signal times the sample.
    pub(super) product: f64,
    /// Of the sample squared.
    pub(super) sample: f64,
}

/// Adds the samples of a tile to the sums of its channels; `signal` has the old and the new common signal in each frame.
pub(super) fn add_tile<T: Real, F: Flags>(
    data: ArrayView2<'_, T>,
    flags: ArrayView2<'_, F>,
    excluded: F,
    frames: &[usize],
    lanes: &mut [Lane<'_>],
) {
    let shared = shared_signal(lanes);
    for (i, &frame) in frames.iter().enumerate() {
        let (row, flags) = (data.row(frame), flags.row(frame));
        match shared {
            Some(signal) => add_row(row, flags, excluded, lanes, |_| Some(signal[i])),
            None => add_row(row, flags, excluded, lanes, |lane| Some(lane.signal?[i])),
        }
    }
}

/// Adds the samples of one frame.
#[inline]
fn add_row<T: Real, F: Flags>(
    row: ArrayView1<'_, T>,
    flags: ArrayView1<'_, F>,
    excluded: F,
    lanes: &mut [Lane<'_>],
    signal: impl Fn(&Lane<'_>) -> Option<[f64; 2]>,
) {
    for ((lane, &x), flag) in lanes.iter_mut().zip(row).zip(flags) {
        let Some([old, new]) = signal(lane) else { continue };
        let x = x.to_f64();
        let is_used = x.abs() <= lane.limit && !flag.has_any(excluded);
        // Chosen and not branched on: glitches come when they like.
        let x = if is_used { x + lane.old_gain * old } else { 0.0 };
        let new = if is_used { new } else { 0.0 };
        lane.sums.signal += new * new;
        lane.sums.product += new * x;
        lane.sums.sample += x * x;
    }
}

/// Removes the new signals with the new gains from a tile, instead of the old ones with the old gains.
pub(super) fn subtract_tile<T: Real>(
    mut data: ArrayViewMut2<'_, T>,
    frames: &[usize],
    lanes: &[Lane<'_>],
) {
    let shared = shared_signal(lanes);
    for (i, &frame) in frames.iter().enumerate() {
        let row = data.row_mut(frame);
        match shared {
            Some(signal) => subtract_row(row, lanes, |_| Some(signal[i])),
            None => subtract_row(row, lanes, |lane| Some(lane.signal?[i])),
        }
    }
}

/// Removes the signals from the samples of one frame.
#[inline]
fn subtract_row<T: Real>(
    row: ArrayViewMut1<'_, T>,
    lanes: &[Lane<'_>],
    signal: impl Fn(&Lane<'_>) -> Option<[f64; 2]>,
) {
    for (x, lane) in row.into_iter().zip(lanes) {
        let Some([old, new]) = signal(lane) else { continue };
        *x = T::from_f64(x.to_f64() + lane.old_gain * old - lane.new_gain * new);
    }
}

/// The signal of a tile, if all its channels have the same.
fn shared_signal<'a>(lanes: &[Lane<'a>]) -> Option<&'a [[f64; 2]]> {
    let first = lanes.first()?.signal?;
    let is_shared = |lane: &Lane<'_>| lane.signal.is_some_and(|signal| std::ptr::eq(signal, first));
    lanes.iter().all(is_shared).then_some(first)
}

/// One channel of a tile, while its gain is found and its signal removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane<'a> {
    /// Common signal in each valid frame, old and new; `None`: it has none.
    pub(super) signal: Option<&'a [[f64; 2]]>,
    pub(super) old_gain: f64,
    pub(super) new_gain: f64,
    /// Samples beyond are no part of the sums.
    pub(super) limit: f64,
    pub(super) sums: Sums,
}

/// The gain of a channel to a signal, as if it had not taken part in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gain {
    pub(super) value: f64,
    pub(super) error: f64,
}

impl Gain {
    /// The gain to what is really common, if that is only a part of the signal.
    pub(super) fn of_part(self, part: f64) -> Self {
        Self { value: self.value / part, error: self.error / part }
    }

    /// The gain with one more error.
    pub(super) fn with(self, error: f64) -> Self {
        Self { error: self.error.hypot(error), ..self }
    }
}

/// `share` is the coefficient with which its samples entered the signal, `gain` the gain with which they did.
pub(super) fn gain(sums: &Sums, share: f64, gain: f64, sigma: f64) -> Option<Gain> {
    let rest = 1.0 - share * gain;
    let product = (sums.product - share * sums.sample) / rest;
    let signal =
        (sums.signal - 2.0 * share * sums.product + share * share * sums.sample) / (rest * rest);
    let is_good = rest > 0.0 && signal > 0.0 && product.is_finite() && sigma > 0.0;
    is_good.then(|| Gain { value: product / signal, error: sigma / signal.sqrt() })
}

/// Which part of a signal is really common: the median of the gains found over those expected, `None` if too few.
pub(super) fn common_part(found: impl Iterator<Item = (Gain, f64)>) -> Option<f64> {
    let mut ratios: Vec<f64> = found.map(|(gain, expected)| gain.value / expected).collect();
    let part = if ratios.len() < FEWEST { f64::NAN } else { median(&mut ratios) };
    (part >= COMMON).then_some(part)
}

/// The gain to be used: what samples and drifts say, and what was expected, each with its weight.
pub(super) fn settle(fast: Gain, slow: Option<Gain>, expected: f64, typical: f64) -> f64 {
    let habit = Gain { value: expected, error: SCATTER * typical };
    let (mut weights, mut sum) = (0.0, 0.0);
    for gain in [Some(fast), slow, Some(habit)].into_iter().flatten() {
        let weight = 1.0 / (gain.error * gain.error);
        weights += weight;
        sum += weight * gain.value;
    }
    sum / weights
}

/// By how much gains to slow and fast signals differ beyond their errors: they need not be the same signal.
///
/// A standard deviation; zero unless it is sure that they differ.
pub(super) fn excess(both: impl Iterator<Item = (Gain, Gain)>) -> f64 {
    let (mut squares, mut expected) = (Vec::new(), Vec::new());
    for (fast, slow) in both {
        squares.push((fast.value - slow.value).powi(2));
        expected.push(fast.error.powi(2) + slow.error.powi(2));
    }
    let sure = 1.0 + SURE * (MEDIAN_SCATTER / squares.len() as f64).sqrt();
    let (found, expected) = (median(&mut squares) / MEDIAN_SQUARE, median(&mut expected));
    if found > sure * expected { (found - expected).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::samples_of_noise::noise;
    use super::*;
    use ndarray::{Array1, Array2};

    #[test]
    fn a_frame_is_robust_against_a_few_channels() {
        let members: Vec<Member> = (0..40)
            .map(|channel| Member {
                channel,
                gain: 1.0 + 0.01 * f64::from(channel as u8),
                scale: 0.5,
            })
            .collect();
        let mut data: Array1<f64> = members.iter().map(|member| 7.0 * member.gain).collect();
        let mut flags = Array1::<u8>::zeros(40);
        data[3] = f64::NAN;
        (data[5], data[6], data[7]) = (1e9, -1e9, f64::INFINITY);
        (data[8], flags[8]) = (9.0, 4);
        let (signal, weight) = in_frame(data.view(), flags.view(), 4, &members, &mut Vec::new());
        assert!((signal - 7.0).abs() < 1e-12 && weight > 0.0);
        flags.fill(4);
        let none = in_frame(data.view(), flags.view(), 4, &members, &mut Vec::new());
        assert!(none == (0.0, 0.0));
    }

    /// Gains of ten channels to their own mean.
    fn gains_to_the_mean(signal: f64) -> Vec<(Gain, f64)> {
        let n = 2000;
        let common = noise(n, 99);
        let x: Vec<Vec<f64>> = (1..=10)
            .map(|seed| noise(n, seed).iter().zip(&common).map(|(a, c)| a + signal * c).collect())
            .collect();
        let mean: Vec<[f64; 2]> =
            (0..n).map(|f| [0.0, x.iter().map(|x| x[f]).sum::<f64>() / 10.0]).collect();
        let frames: Vec<usize> = (0..n).collect();
        let data = Array2::from_shape_fn((n, 10), |(f, c)| x[c][f]);
        let lane = Lane {
            signal: Some(&mean),
            old_gain: 0.0,
            new_gain: 0.0,
            limit: 1e9,
            sums: Sums::default(),
        };
        let mut lanes = [lane; 10];
        add_tile(data.view(), Array2::<u8>::zeros((n, 10)).view(), 1, &frames, &mut lanes);
        lanes.iter().map(|lane| (gain(&lane.sums, 0.1, 1.0, 1.0).unwrap(), 1.0)).collect()
    }

    #[test]
    fn gains_that_differ_by_more_than_their_errors_are_told() {
        let (fast, slow, more) = (noise(400, 1), noise(400, 2), noise(400, 3));
        let pairs = |excess: f64| {
            let both = fast.iter().zip(&slow).zip(&more).map(move |((fast, slow), more)| {
                let slow = Gain { value: 1.0 + 0.01 * slow + excess * more, error: 0.01 };
                (Gain { value: 1.0 + 0.1 * fast, error: 0.1 }, slow)
            });
            both.collect::<Vec<_>>()
        };
        assert!(excess(pairs(0.0).into_iter()) == 0.0);
        let found = excess(pairs(0.2).into_iter());
        assert!((found - 0.2).abs() < 0.03, "{found}");
        let none: [(Gain, Gain); 0] = [];
        assert!(excess(none.into_iter()) == 0.0);
    }

    #[test]
    fn noise_alone_is_not_common() {
        assert!(common_part(gains_to_the_mean(0.0).into_iter()).is_none());
        let part = common_part(gains_to_the_mean(3.0).into_iter()).unwrap();
        assert!((part - 0.99).abs() < 0.02, "{part}");
    }
}
