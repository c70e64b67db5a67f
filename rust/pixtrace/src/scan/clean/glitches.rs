//! Glitches: a few samples of one channel that stand out.

use super::column::{Column, Present, State};
use crate::numeric::stats::median;

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
    present: Present,
    near: Vec<f64>,
}

/// Marks the glitches of a channel from which its drift was removed; returns how many there were.
pub(super) fn find_spikes(
    column: &mut Column,
    sigma: f64,
    level: f64,
    space: &mut Workspace,
) -> usize {
    let Workspace { present, near } = space;
    present.collect(column);
    let Present { index, value: values, .. } = present;
    let n = values.len();
    let mut is_spike = vec![false; n];
    let (mut n_spikes, mut length) = (0, 0);
    for i in 0..n {
        let (value, limit) = (values[i], if length > 0 { TAIL } else { level } * sigma);
        if length == LONGEST || value.abs() <= limit || sigma <= 0.0 {
            length = 0;
            continue;
        }
        near.clear();
        let before = (0..i).rev().filter(|&k| !is_spike[k]).take(NEIGHBOURS);
        let neighbours = before.chain(i + 1..(i + 1 + NEIGHBOURS).min(n));
        near.extend(neighbours.map(|k| values[k]));
        let excess = (value - median(near)).abs();
        if excess > EXCESS * limit && excess > STEEP * value.abs() {
            is_spike[i] = true;
            n_spikes += usize::from(length == 0);
            length += 1;
        } else {
            length = 0;
        }
    }
    for (&i, _) in index.iter().zip(&is_spike).filter(|(_, is_spike)| **is_spike) {
        column.state[i] = State::Spike;
    }
    n_spikes
}

#[cfg(test)]
mod tests {
    use super::super::samples_of_noise::{noise, source};
    use super::*;
    use proptest::prelude::*;

    fn column(x: Vec<f64>) -> Column {
        Column { state: vec![State::Used; x.len()], x }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_bright_source_is_no_glitch(seed in 1_u64..10_000, height in 0.0..100.0_f64) {
            let x = noise(2000, seed).into_iter().zip(source(2000, height)).map(|(a, b)| a + b);
            let n = find_spikes(&mut column(x.collect()), 1.0, 5.0, &mut Workspace::default());
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
