//! Jumps: the level of one channel changes from one sample to the next, and stays.
//!
//! They are looked for in the signal with its drift: a line that was fitted across a jump turns it into a saw tooth, which
//! neither lasts nor is alone. The largest comes first, and the next is judged without it.

use super::column::{Column, Present, State};
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
/// As many times as long as a source takes, if it is there: it is then a small part of them.
const SOURCES: f64 = 8.0;

/// Space that is used again and again.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    /// With the drift.
    present: Present,
    sums: Vec<f64>,
    near: Vec<f64>,
    suspects: Vec<Suspect>,
}

/// Where there may be a jump.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    at: usize,
    /// Sum of the samples after it less that of those before.
    step: f64,
}

/// A level on either side of a place.
#[derive(Clone, Copy, Debug)]
struct Side {
    median: f64,
    /// Mean frame of its samples.
    frame: f64,
}

impl Workspace {
    fn collect(&mut self, column: &Column, timeline: &Timeline, corners: &[f64]) {
        let present = &mut self.present;
        present.collect(column);
        for (value, &i) in present.value.iter_mut().zip(&present.index) {
            *value += timeline.at(corners, i);
        }
    }

    fn median_of(&mut self, range: std::ops::Range<usize>) -> f64 {
        self.near.clear();
        self.near.extend_from_slice(&self.present.value[range]);
        median(&mut self.near)
    }

    /// Median of up to `n` samples after a place less that of up to `n` before.
    fn step(&mut self, at: usize, n: usize) -> f64 {
        let end = (at + n).min(self.present.value.len());
        self.median_of(at..end) - self.median_of(at.saturating_sub(n)..at)
    }

    /// The level of `n` samples that are not on the source, from those given.
    fn side(&mut self, indices: impl Iterator<Item = usize>, n: usize) -> Side {
        let Self { present: Present { index, value, is_blank }, near, .. } = self;
        near.clear();
        let mut frames = 0.0;
        for i in indices.filter(|&i| !is_blank[i]).take(n) {
            near.push(value[i]);
            frames += index[i] as f64;
        }
        let frame = frames / near.len() as f64;
        Side { median: median(near), frame }
    }

    /// The levels of `n` samples beside the source before and after a place.
    fn sides(&mut self, at: usize, n: usize) -> [Side; 2] {
        let end = self.present.value.len();
        [self.side((0..at).rev(), n), self.side(at..end, n)]
    }

    /// The height of a jump, and the level in its middle: what the slope of the drift adds to the step is told by one that
    /// is measured from twice as many samples. NaN if a side has none.
    fn height(&mut self, at: usize, n: usize) -> [f64; 2] {
        let [near, wide] = [n, 2 * n].map(|n| self.sides(at, n));
        let [[step, apart], [wide_step, wide_apart]] =
            [near, wide].map(|[a, b]| [b.median - a.median, b.frame - a.frame]);
        let farther = wide_apart - apart;
        let middle = 0.5 * (near[0].median + near[1].median);
        // Near the ends there may be too few to tell.
        if farther < 0.5 * n as f64 {
            return [step, middle];
        }
        [step - (wide_step - step) * apart / farther, middle]
    }

    /// The place within a few samples where a jump of this height fits best.
    fn best_place(&self, at: usize, height: f64, middle: f64) -> usize {
        let value = &self.present.value;
        let (first, last) = (at.saturating_sub(STEP).max(1), (at + STEP).min(value.len() - 1));
        let half = 0.5 * height.abs();
        let (mut sum, mut least, mut place) = (0.0, f64::INFINITY, at);
        for (j, value) in value.iter().enumerate().take(last + 1).skip(first) {
            if sum < least {
                (least, place) = (sum, j);
            }
            sum += ((value - middle) * height.signum()).clamp(-half, half);
        }
        place
    }

    /// Collects where the level may change by this much, the clearest place first.
    fn suspect(&mut self, threshold: f64) {
        let Self { present: Present { value, .. }, sums, suspects, .. } = self;
        sums.clear();
        sums.push(0.0);
        let mut sum = 0.0;
        for value in &*value {
            sum += value;
            sums.push(sum);
        }
        let (n, limit) = (value.len(), SUSPECT * threshold * STEP as f64);
        let step = |i: usize| (sums[i + STEP] - 2.0 * sums[i] + sums[i - STEP]).abs();
        suspects.clear();
        let mut i = STEP;
        while i + STEP <= n {
            if step(i) <= limit {
                i += 1;
                continue;
            }
            // The steepest place nearby.
            let mut at = i;
            for other in i..=(i + STEP).min(n - STEP) {
                if step(other) > step(at) {
                    at = other;
                }
            }
            suspects.push(Suspect { at, step: step(at) });
            i = at + 1;
        }
        suspects.sort_by(|a, b| b.step.total_cmp(&a.step));
    }
}

/// Removes the jumps of a channel, and marks the samples next to them; returns how many there were.
///
/// `column` is without its drift, the line through `corners`, which is left to be measured again. `sigma` is the standard
/// deviation of a sample, `source_frames` the time that a source takes.
pub(super) fn remove(
    column: &mut Column,
    (timeline, corners): (&Timeline, &[f64]),
    sigma: f64,
    level: f64,
    source_frames: f64,
    space: &mut Workspace,
) -> usize {
    space.collect(column, timeline, corners);
    if space.present.value.len() < 4 * STEP || sigma <= 0.0 {
        return 0;
    }
    let threshold = level * sigma;
    space.suspect(threshold);
    if space.suspects.is_empty() {
        return 0;
    }
    let is_source_out = space.present.is_blank.iter().any(|is_blank| *is_blank);
    // A number of samples: far below the limits of the conversion.
    let n = if is_source_out { HEIGHT } else { HEIGHT.max((SOURCES * source_frames) as usize) };
    let mut n_jumps = 0;
    for k in 0..space.suspects.len() {
        let at = space.suspects[k].at;
        let step = space.step(at, STEP);
        if step.abs() <= threshold || space.step(at, EDGE) * step.signum() <= SHARP * step.abs() {
            continue;
        }
        let [height, middle] = space.height(at, n);
        if height.is_nan() || height * step.signum() <= LASTING * step.abs() {
            continue;
        }
        let place = space.best_place(at, height, middle);
        space.present.value[place..].iter_mut().for_each(|value| *value -= height);
        let (before, after) = (space.present.index[place - 1], space.present.index[place]);
        column.x[after..].iter_mut().for_each(|x| *x -= height);
        (column.state[before], column.state[after]) = (State::Jump, State::Jump);
        n_jumps += 1;
    }
    n_jumps
}

#[cfg(test)]
mod tests {
    use super::super::samples_of_noise::{noise, source};
    use super::*;
    use proptest::prelude::*;

    fn column(x: Vec<f64>) -> Column {
        Column { state: vec![State::Used; x.len()], x }
    }

    /// Takes the drift out with a corner for every so many samples, and then removes jumps.
    fn remove_from(column: &mut Column, n_between: f64, source_frames: f64) -> usize {
        let frames: Vec<usize> = (0..column.x.len()).collect();
        let timeline = Timeline::new(&frames, n_between);
        let corners = timeline.medians(column, &mut Vec::new());
        timeline.add(&corners, -1.0, &mut column.x);
        let drift = (&timeline, corners.as_slice());
        let n = remove(column, drift, 1.0, 5.0, source_frames, &mut Workspace::default());
        timeline.add(&corners, 1.0, &mut column.x);
        n
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_jump_is_found_where_it_is_and_removed(
            seed in 1_u64..10_000, at in 60..940_usize, height in 10.0..300.0_f64, up in any::<bool>(),
            n_between in 80.0..2000.0_f64, slope in -0.1..0.1_f64,
        ) {
            let mut column = column(noise(1000, seed));
            let height = if up { height } else { -height };
            column.x[at..].iter_mut().for_each(|x| *x += height);
            column.x.iter_mut().enumerate().for_each(|(i, x)| *x += slope * i as f64);
            let n = remove_from(&mut column, n_between, 4.0);
            prop_assert_eq!(n, 1);
            prop_assert!((at - 1..=at + 1).any(|i| column.state[i] == State::Jump));
            let rest = |(i, x): (usize, &f64)| x - slope * i as f64;
            let after: f64 = column.x.iter().enumerate().skip(at + 1).map(rest).sum::<f64>() / (999 - at) as f64;
            let before: f64 = column.x.iter().enumerate().take(at - 1).map(rest).sum::<f64>() / (at - 1) as f64;
            // Five times the error of the height, 0.5: that of twice the medians of 32 samples less those of 64.
            prop_assert!((after - before).abs() < 2.7, "{before} {after}");
        }

        #[test]
        fn a_bright_source_is_no_jump(seed in 1_u64..10_000, height in 0.0..100.0_f64) {
            let x = noise(2000, seed).into_iter().zip(source(2000, height)).map(|(a, b)| a + b);
            prop_assert_eq!(remove_from(&mut column(x.collect()), 1000.0, 20.0), 0);
        }

        #[test]
        fn a_jump_on_the_source_is_found_whatever_is_left_of_the_source(
            seed in 1_u64..10_000, at in 75..125_usize, height in 30.0..300.0_f64, left in -8.0..8.0_f64,
        ) {
            let x = noise(1000, seed).into_iter().zip(source(1000, left)).map(|(a, b)| a + b);
            let mut column = column(x.collect());
            for start in (75..1000).step_by(200) {
                column.state[start..start + 50].fill(State::Blank);
            }
            let at = at + 400;
            column.x[at..].iter_mut().for_each(|x| *x += height);
            prop_assert_eq!(remove_from(&mut column, 90.0, 20.0), 1);
            prop_assert!((at - 1..=at).all(|i| column.state[i] == State::Jump));
            let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
            let step = mean(&column.x[525..575]) - mean(&column.x[425..475]);
            prop_assert!(step.abs() < 5.0, "{step}");
        }
    }

    #[test]
    fn jumps_near_each_other_are_told_apart() {
        for seed in 1..50 {
            let mut column = column(noise(600, seed));
            for (at, height) in [(280, 60.0), (330, -40.0)] {
                column.x[at..].iter_mut().for_each(|x| *x += height);
            }
            assert_eq!(remove_from(&mut column, 90.0, 4.0), 2);
            let found: Vec<usize> = (0..600).filter(|i| column.state[*i] == State::Jump).collect();
            assert_eq!(found, [279, 280, 329, 330], "{seed}");
        }
    }
}
