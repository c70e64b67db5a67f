//! One channel on the way through its tile: samples of the valid frames, and which of them count.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::SampleBits;
use crate::numeric::Real;
use crate::numeric::stats::median;
use crate::scan::Flags;

/// What a sample is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No sample, or an unusable one.
    Bad,
    /// Part of all estimates.
    Used,
    /// On the source: part of none.
    Blank,
    /// A glitch.
    Spike,
    /// Next to a jump.
    Jump,
}

/// The samples of one channel in the valid frames.
#[derive(Clone, Debug, Default)]
pub(super) struct Column {
    pub(super) x: Vec<f64>,
    pub(super) state: Vec<State>,
}

impl Column {
    /// The samples that estimates are made from.
    pub(super) fn used(&self) -> impl Iterator<Item = f64> + Clone {
        self.x.iter().zip(&self.state).filter(|(_, state)| **state == State::Used).map(|(x, _)| *x)
    }

    /// Pairs of neighbours that both count.
    pub(super) fn differences(&self) -> impl Iterator<Item = f64> + Clone {
        self.x
            .windows(2)
            .zip(self.state.windows(2))
            .filter_map(|(x, state)| (state == [State::Used, State::Used]).then_some(x[1] - x[0]))
    }
}

/// The samples of a channel that exist, but for known glitches and jumps.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// Which samples of the column they are.
    pub(super) index: Vec<usize>,
    pub(super) value: Vec<f64>,
    pub(super) is_blank: Vec<bool>,
}

impl Present {
    pub(super) fn collect(&mut self, column: &Column) {
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
}

/// Masks of the flags in the type of the flags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Masks<F> {
    /// Any of these, and a sample is part of no estimate.
    pub(super) excluded: F,
    bad: F,
    blank: F,
    spike: F,
    jump: F,
    not_spike: F,
    all: F,
    none: F,
}

impl<F: Flags> Masks<F> {
    pub(super) fn new(bits: &SampleBits) -> Self {
        Self {
            excluded: F::from_mask(bits.bad | bits.blank | bits.spike | bits.jump),
            bad: F::from_mask(bits.bad),
            blank: F::from_mask(bits.blank),
            spike: F::from_mask(bits.spike),
            jump: F::from_mask(bits.jump),
            not_spike: F::from_mask(!bits.spike),
            all: F::from_mask(-1),
            none: F::from_mask(0),
        }
    }

    /// The flag of a glitch is read only where `keeps_spikes`.
    fn state(&self, x: f64, flag: F, keeps_spikes: bool) -> State {
        if !x.is_finite() || flag.has_any(self.bad) {
            State::Bad
        } else if flag.has_any(self.jump) {
            State::Jump
        } else if keeps_spikes && flag.has_any(self.spike) {
            State::Spike
        } else if flag.has_any(self.blank) {
            State::Blank
        } else {
            State::Used
        }
    }
}

/// Loads a tile of columns; `frames` are the valid ones.
pub(super) fn load<T: Real, F: Flags>(
    data: ArrayView2<'_, T>,
    flags: ArrayView2<'_, F>,
    frames: &[usize],
    masks: &Masks<F>,
    keeps_spikes: bool,
    columns: &mut Vec<Column>,
) {
    columns.resize_with(data.ncols(), Column::default);
    for column in columns.iter_mut() {
        column.x.resize(frames.len(), 0.0);
        column.state.resize(frames.len(), State::Bad);
    }
    for (i, &frame) in frames.iter().enumerate() {
        for ((column, &x), &flag) in columns.iter_mut().zip(data.row(frame)).zip(flags.row(frame)) {
            let x = x.to_f64();
            column.x[i] = x;
            column.state[i] = masks.state(x, flag, keeps_spikes);
        }
    }
}

/// Stores a tile of columns: samples, and the flags of glitches and jumps.
pub(super) fn store<T: Real, F: Flags>(
    mut data: ArrayViewMut2<'_, T>,
    mut flags: ArrayViewMut2<'_, F>,
    frames: &[usize],
    masks: &Masks<F>,
    columns: &[Column],
) {
    for (i, &frame) in frames.iter().enumerate() {
        let row = data.row_mut(frame).into_iter().zip(flags.row_mut(frame));
        for ((x, flag), column) in row.zip(columns) {
            *x = T::from_f64(column.x[i]);
            *flag = match column.state[i] {
                State::Spike => flag.keep_and_set(masks.not_spike, masks.spike),
                State::Jump => flag.keep_and_set(masks.not_spike, masks.jump),
                // What is unusable is nobody's glitch.
                State::Bad => flag.keep_and_set(masks.all, masks.none),
                State::Used | State::Blank => flag.keep_and_set(masks.not_spike, masks.none),
            };
        }
    }
}

/// As many numbers as a robust scale is taken from: it is then good to three per cent.
const SCALE_SAMPLES: usize = 2048;
/// Standard deviation of a Gaussian over its median absolute deviation.
pub(super) const MAD: f64 = 1.482_602_218_505_602;
/// Standard deviation of a Gaussian over its mean absolute deviation.
const MEAN_DEVIATION: f64 = 1.253_314_137_315_500_3;

/// Robust standard deviation about zero of `n` numbers, from some of them; zero for none.
///
/// From the median of the absolute values; where more than half of them are zero, as with coarse counts, from their mean.
pub(super) fn scale(
    values: impl Iterator<Item = f64> + Clone,
    n: usize,
    buffer: &mut Vec<f64>,
) -> f64 {
    buffer.clear();
    buffer.extend(values.step_by(n.div_ceil(SCALE_SAMPLES).max(1)).map(f64::abs));
    if buffer.is_empty() {
        return 0.0;
    }
    let middle = median(buffer);
    if middle > 0.0 {
        return MAD * middle;
    }
    MEAN_DEVIATION * buffer.iter().sum::<f64>() / buffer.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_that_of_the_majority() {
        let mut buffer = Vec::new();
        let values: Vec<f64> =
            (0..1000).map(|i| if i % 10 == 0 { 1e6 } else { f64::from(i % 7) - 3.0 }).collect();
        let found = scale(values.iter().copied(), 1000, &mut buffer);
        assert!((found - 2.0 * MAD).abs() < 1e-12);
        assert!(scale([0.0, 0.0, 1.0].into_iter(), 3, &mut buffer) > 0.0);
        assert!(scale(std::iter::empty(), 0, &mut buffer) == 0.0);
    }
}
