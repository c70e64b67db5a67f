//! What happens suddenly in one channel: glitches and jumps.

use super::column::{Column, State};
use super::drift::Timeline;
use crate::numeric::stats::median;

/// Samples on each side from which a step is measured.
const STEP: usize = 8;
/// Samples next to a step that must show it already: a source that passes by rises more slowly.
const EDGE: usize = 3;
/// Part of a step that its edge must show.
const SHARP: f64 = 0.6;
/// Part of a step that must still be there after a source has passed.
const LASTING: f64 = 0.5;
/// Part of the level at which a step is looked at closely.
const SUSPECT: f64 = 0.8;
/// Samples on each side from which the height of a jump is measured.
const HEIGHT: usize = 32;
/// So many times as long as a source takes, and longer, a jump must last.
const SOURCES: f64 = 8.0;
/// So much of the time between the corners of the drift it must last at most: the drift takes the rest along.
const DRIFTS: f64 = 0.25;

/// Samples on each side from which a glitch stands out.
const NEIGHBOURS: usize = 4;
/// Noise of a sample less the median of its neighbours, in units of that of a sample.
const EXCESS: f64 = 1.1;
/// What follows upon a glitch belongs to it as long as it stands out by this many standard deviations.
const TAIL: f64 = 2.5;
/// Part of its deviation by which a glitch must stand out from its neighbours: a source that passes by does so less.
const STEEP: f64 = 0.5;
/// A glitch that lasts longer is none.
const LONGEST: usize = 24;

/// Space that is used again and again.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    index: Vec<usize>,
    value: Vec<f64>,
    /// The values with their drift.
    full: Vec<f64>,
    is_blank: Vec<bool>,
    sums: Vec<f64>,
    near: Vec<f64>,
}

impl Workspace {
    /// Collects the samples that exist, but for known glitches and jumps.
    fn collect(&mut self, column: &Column) {
        self.index.clear();
        self.value.clear();
        self.is_blank.clear();
        for (i, (&x, &state)) in column.x.iter().zip(&column.state).enumerate() {
            if matches!(state, State::Used | State::Blank) {
                self.index.push(i);
                self.value.push(x);
                self.is_blank.push(state == State::Blank);
            }
        }
    }

    fn median_of(&mut self, range: std::ops::Range<usize>) -> f64 {
        self.near.clear();
        self.near.extend_from_slice(&self.value[range]);
        median(&mut self.near)
    }

    /// Median of up to `n` samples after a place less that of up to `n` before.
    fn step(&mut self, at: usize, n: usize) -> f64 {
        let end = (at + n).min(self.value.len());
        self.median_of(at..end) - self.median_of(at.saturating_sub(n)..at)
    }

    /// As [`Self::step`], of samples that are not on the source, with their drift or without; NaN if a side has none.
    fn step_beside_source(&mut self, at: usize, n: usize, has_drift: bool) -> f64 {
        let Self { value, full, is_blank, near, .. } = self;
        let value = if has_drift { full } else { value };
        let mut median_of = |indices: &mut dyn Iterator<Item = usize>| {
            near.clear();
            near.extend(indices.filter(|&i| !is_blank[i]).take(n).map(|i| value[i]));
            median(near)
        };
        median_of(&mut (at..value.len())) - median_of(&mut (0..at).rev())
    }

    /// The height of a jump: that of the step nearby, less what the slope of the drift adds to it.
    fn height(&mut self, at: usize) -> f64 {
        let [near, wide] = [HEIGHT, 2 * HEIGHT].map(|n| self.step_beside_source(at, n, true));
        2.0 * near - wide
    }
}

/// Removes the jumps of a channel, and marks the samples next to them; returns how many there were.
///
/// `column` is without its drift, the line through `corners`, which is left to be measured again. `sigma` is the standard
/// deviation of a sample, `source_frames` the time that a source takes.
pub(super) fn remove_jumps(
    column: &mut Column,
    (timeline, corners): (&Timeline, &[f64]),
    sigma: f64,
    level: f64,
    source_frames: f64,
    space: &mut Workspace,
) -> usize {
    space.collect(column);
    let n = space.value.len();
    if n < 4 * STEP || sigma <= 0.0 {
        return 0;
    }
    // A number of samples: far below the limits of the conversion.
    let longest = (DRIFTS * timeline.frames_between).max(6.0 * STEP as f64);
    let lasting = (SOURCES * source_frames).clamp(6.0 * STEP as f64, longest) as usize;
    space.full.clear();
    let drift = |&i: &usize| timeline.at(corners, i);
    space.full.extend(space.index.iter().map(drift).zip(&space.value).map(|(a, b)| a + b));
    space.sums.clear();
    space.sums.push(0.0);
    let mut sum = 0.0;
    for value in &space.value {
        sum += value;
        space.sums.push(sum);
    }
    let threshold = level * sigma;
    let suspect = SUSPECT * threshold * STEP as f64;
    let mean_step = |sums: &[f64], i: usize| sums[i + STEP] - 2.0 * sums[i] + sums[i - STEP];
    let mut jumps = Vec::new();
    let mut i = STEP;
    while i + STEP <= n {
        if mean_step(&space.sums, i).abs() <= suspect {
            i += 1;
            continue;
        }
        // The steepest place nearby.
        let end = (i + STEP).min(n - STEP);
        let mut at = i;
        for other in i..=end {
            if mean_step(&space.sums, other).abs() > mean_step(&space.sums, at).abs() {
                at = other;
            }
        }
        let step = space.step(at, STEP);
        let is_jump = step.abs() > threshold
            && space.step(at, EDGE) * step.signum() > SHARP * step.abs()
            && space.step_beside_source(at, lasting, false) * step.signum() > LASTING * step.abs();
        if is_jump {
            jumps.push((at, space.height(at)));
            i = at + STEP;
        } else {
            i = at.max(i) + 1;
        }
    }
    let mut height = 0.0;
    let mut next = jumps.iter().peekable();
    let starts: Vec<usize> = jumps.iter().map(|&(at, _)| space.index[at]).collect();
    for (i, x) in column.x.iter_mut().enumerate() {
        while let Some((_, step)) = next.next_if(|&&(at, _)| space.index[at] <= i) {
            height += step;
        }
        *x -= height;
    }
    for &(at, _) in &jumps {
        for near in at - 1..=at {
            column.state[space.index[near]] = State::Jump;
        }
    }
    starts.len()
}

/// Marks the glitches of a channel from which its drift was removed; returns how many there were.
pub(super) fn find_spikes(
    column: &mut Column,
    sigma: f64,
    level: f64,
    space: &mut Workspace,
) -> usize {
    space.collect(column);
    let n = space.value.len();
    let mut is_spike = vec![false; n];
    let (mut n_spikes, mut length) = (0, 0);
    for i in 0..n {
        let (value, limit) = (space.value[i], if length > 0 { TAIL } else { level } * sigma);
        if length == LONGEST || value.abs() <= limit || sigma <= 0.0 {
            length = 0;
            continue;
        }
        space.near.clear();
        let before = (0..i).rev().filter(|&k| !is_spike[k]).take(NEIGHBOURS);
        let neighbours = before.chain(i + 1..(i + 1 + NEIGHBOURS).min(n));
        space.near.extend(neighbours.map(|k| space.value[k]));
        let excess = (value - median(&mut space.near)).abs();
        if excess > EXCESS * limit && excess > STEEP * value.abs() {
            is_spike[i] = true;
            n_spikes += usize::from(length == 0);
            length += 1;
        } else {
            length = 0;
        }
    }
    for (&i, _) in space.index.iter().zip(&is_spike).filter(|(_, is_spike)| **is_spike) {
        column.state[i] = State::Spike;
    }
    n_spikes
}

#[cfg(test)]
mod tests {
    use super::super::samples_of_noise::noise;
    use super::*;
    use proptest::prelude::*;

    fn column(x: Vec<f64>) -> Column {
        Column { state: vec![State::Used; x.len()], x }
    }

    /// Removes jumps from a column without drift.
    fn jumps_of(column: &mut Column, space: &mut Workspace) -> usize {
        let frames: Vec<usize> = (0..column.x.len()).collect();
        let timeline = Timeline::new(&frames, 1000.0);
        let corners = vec![0.0; timeline.n_corners];
        remove_jumps(column, (&timeline, &corners), 1.0, 5.0, 20.0, space)
    }

    /// A source that passes by every 200 samples, with a full width of 20 and this height.
    fn source(n: usize, height: f64) -> impl Iterator<Item = f64> {
        (0..n).map(move |i| {
            let from = (i % 200) as f64 - 100.0;
            height * (-0.5 * (from / 8.5).powi(2)).exp()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_jump_is_found_where_it_is_and_removed(
            seed in 1_u64..10_000, at in 60..900_usize, height in 10.0..300.0_f64, up in any::<bool>(),
        ) {
            let mut column = column(noise(1000, seed));
            let height = if up { height } else { -height };
            column.x[at..].iter_mut().for_each(|x| *x += height);
            let n = jumps_of(&mut column, &mut Workspace::default());
            prop_assert_eq!(n, 1);
            prop_assert!((at - 1..=at + 1).any(|i| column.state[i] == State::Jump));
            let after: f64 = column.x[at + 1..].iter().sum::<f64>() / (999 - at) as f64;
            // Five times the error of the height, 0.5: that of twice the medians of 32 samples less those of 64.
            prop_assert!(after.abs() < 2.5, "{after}");
        }

        #[test]
        fn a_bright_source_is_neither_a_jump_nor_a_glitch(seed in 1_u64..10_000, height in 0.0..100.0_f64) {
            let x = noise(2000, seed).into_iter().zip(source(2000, height)).map(|(a, b)| a + b);
            let mut column = column(x.collect());
            let space = &mut Workspace::default();
            prop_assert_eq!(jumps_of(&mut column, space), 0);
            let n = find_spikes(&mut column, 1.0, 5.0, space);
            prop_assert!(n <= 1, "{n}");
        }

        #[test]
        fn a_glitch_is_found_with_its_tail(
            seed in 1_u64..10_000, at in 10..980_usize, height in 8.0..500.0_f64, source_height in 0.0..5.0_f64,
        ) {
            let x = noise(1000, seed).into_iter().zip(source(1000, source_height)).map(|(a, b)| a + b);
            let mut column = column(x.collect());
            for k in 0..20 {
                column.x[at + k] += height * (-(k as f64) / 1.5).exp();
            }
            let n = find_spikes(&mut column, 1.0, 5.0, &mut Workspace::default());
            prop_assert!((1..=3).contains(&n), "{n}");
            prop_assert!(column.state[at] == State::Spike);
            let left = column.x.iter().zip(&column.state).filter(|(_, s)| **s == State::Used);
            prop_assert!(left.map(|(x, _)| x.abs()).fold(0.0, f64::max) < 9.0);
        }
    }
}
