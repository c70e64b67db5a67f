//! The rounds of cleaning.

use ndarray::{Array2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::column::{self, Column, Masks, State, scale};
use super::common::Mode;
use super::drift::Timeline;
use super::slow::Slow;
use super::{CleanInput, Cleaned, CleaningParams, glitches, jumps, line, noise, verdict};
use crate::numeric::Real;
use crate::scan::Flags;
use crate::scan::samples::{check_length, check_shape};
use crate::{Control, Error};

/// Channels that are worked on together: those of a cache line.
pub(super) const TILE: usize = 16;
/// Fewest samples of a channel that is alive.
const FEWEST: usize = 32;
/// A channel changes in more than this part of its samples, or it is dead.
const CHANGING: f64 = 0.01;

/// What is known about a channel.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) is_dead: bool,
    pub(super) is_blind: bool,
    /// Standard deviation from the differences of neighbours.
    pub(super) sigma: f64,
    /// Standard deviation of what is there.
    pub(super) scale: f64,
    pub(super) variance: f64,
    /// Part of the power that lies in one line.
    pub(super) line: f64,
    corners: Vec<f64>,
    /// To the common mode, and to the signal of each grouping.
    pub(super) gains: Vec<f64>,
    pub(super) has_mode: Vec<bool>,
    n_spikes: usize,
    n_jumps: usize,
    pub(super) spike_fraction: f64,
    pub(super) flag: u32,
}

impl Channel {
    /// The gain with which a signal was removed, zero if it was not.
    pub(super) fn removed_gain(&self, mode: usize) -> f64 {
        if self.has_mode[mode] { self.gains[mode] } else { 0.0 }
    }
}

/// Cleans timestreams in place.
///
/// Give the samples as they were recorded, less the model of the source, in every round of a reduction: what was removed
/// before with a worse model is then not missing. Samples of frames that are not valid stay as they are.
///
/// # Errors
/// [`Error::Parameter`] for parameters without sense, [`Error::Shape`] for arrays that do not fit together; then nothing
/// was changed. [`Error::Cancelled`] leaves the timestreams in an unknown state.
pub fn clean<T: Real, F: Flags>(
    input: CleanInput<'_, T, F>,
    params: &CleaningParams,
    control: &Control,
) -> Result<Cleaned, Error> {
    params.check()?;
    check(&input)?;
    let frames: Vec<usize> =
        (0..input.valid_frames.len()).filter(|&f| input.valid_frames[f]).collect();
    let n_channels = input.channel_gains.len();
    let n_modes = 1 + input.channel_groups.len();
    let timeline = match params.corners {
        Some([corner, spacing]) => Timeline::with_corners(&frames, corner, spacing),
        None => Timeline::new(&frames, params.drift_time / input.dt),
    };
    let channel = |&gain: &f64| Channel {
        is_dead: false,
        is_blind: false,
        sigma: 0.0,
        scale: 0.0,
        variance: f64::NAN,
        line: 0.0,
        corners: Vec::new(),
        gains: {
            let mut gains = vec![1.0; n_modes];
            gains[0] = if gain.is_finite() { gain } else { 0.0 };
            gains
        },
        has_mode: vec![false; n_modes],
        n_spikes: 0,
        n_jumps: 0,
        spike_fraction: 0.0,
        flag: 0,
    };
    let mut channels: Vec<Channel> = input.channel_gains.iter().map(channel).collect();
    let masks = Masks::new(&input.bits);
    let source_frames = params.source_time / input.dt;
    let mut work = Work {
        data: input.frame_data,
        flags: input.sample_flags,
        frames: &frames,
        masks: &masks,
        control,
    };
    let mut modes: Vec<Mode> = Vec::new();
    if params.has_common_mode {
        modes.push(Mode::new(0, vec![Some(0); n_channels], frames.len()));
    }
    if params.has_group_modes {
        let groupings = input.channel_groups.iter().enumerate();
        modes.extend(groupings.map(|(k, groups)| Mode::of_groups(k + 1, *groups, frames.len())));
    }
    let n_passes = 1 + params.n_rounds * (1 + 2 * modes.len());
    control.expect(n_passes * n_channels.div_ceil(TILE));
    let expected: Vec<f64> = channels.iter().map(|channel| channel.gains[0]).collect();
    work.columns(&mut channels, |column, channel, space| {
        first_look(column, channel, &timeline, space);
    })?;
    for round in 0..params.n_rounds {
        let corners = channels.iter().map(|channel| channel.corners.as_slice());
        let mut slow = Slow::new(corners, timeline.n_corners);
        for mode in &mut modes {
            mode.remove(&mut work, &mut channels, &mut slow, &expected, params)?;
        }
        let is_last = round + 1 == params.n_rounds;
        work.columns(&mut channels, |column, channel, space| {
            close_look(column, channel, &timeline, params, source_frames, is_last, space);
        })?;
    }
    verdict::judge(&mut channels, params);
    let gain = |c: usize, mode: usize| {
        let channel = &channels[c];
        if channel.has_mode[mode] { channel.gains[mode] } else { f64::NAN }
    };
    Ok(Cleaned {
        channel_variance: channels.iter().map(|channel| channel.variance).collect(),
        channel_weight: (channels.iter())
            .map(|channel| if channel.flag == 0 { 1.0 / channel.variance } else { 0.0 })
            .collect(),
        channel_flag: channels.iter().map(|channel| channel.flag).collect(),
        mode_gains: Array2::from_shape_fn((n_channels, n_modes), |(c, mode)| gain(c, mode)),
        n_spikes: channels.iter().map(|channel| channel.n_spikes).collect(),
        n_jumps: channels.iter().map(|channel| channel.n_jumps).collect(),
    })
}

fn check<T: Real, F: Flags>(input: &CleanInput<'_, T, F>) -> Result<(), Error> {
    let (n_frames, n_channels) = input.frame_data.dim();
    check_shape("sample_flags", input.sample_flags.shape(), &[n_frames, n_channels])?;
    let frames = "the frames of `frame_data`";
    check_length("valid_frames", input.valid_frames.len(), n_frames, frames)?;
    let of = "the channels of `frame_data`";
    check_length("channel_gains", input.channel_gains.len(), n_channels, of)?;
    for groups in &input.channel_groups {
        check_length("channel_groups", groups.len(), n_channels, of)?;
    }
    if !(input.dt > 0.0 && input.dt.is_finite()) {
        return Err(Error::Parameter { name: "dt", value: input.dt, must_be: "a positive number" });
    }
    Ok(())
}

/// Space of a thread.
#[derive(Debug, Default)]
struct Space {
    columns: Vec<Column>,
    buffer: Vec<f64>,
    jumps: jumps::Workspace,
    glitches: glitches::Workspace,
    noise: noise::Workspace,
    line: line::Workspace,
}

/// The timestreams, and how they are gone through.
pub(super) struct Work<'a, T, F> {
    pub(super) data: ArrayViewMut2<'a, T>,
    pub(super) flags: ArrayViewMut2<'a, F>,
    pub(super) frames: &'a [usize],
    pub(super) masks: &'a Masks<F>,
    pub(super) control: &'a Control,
}

impl<T: Real, F: Flags> Work<'_, T, F> {
    /// Does something with every channel; glitches are found anew by whoever looks for them.
    fn columns(
        &mut self,
        channels: &mut [Channel],
        work: impl Fn(&mut Column, &mut Channel, &mut Space) + Sync,
    ) -> Result<(), Error> {
        let (frames, masks, control) = (self.frames, self.masks, self.control);
        (self.data.axis_chunks_iter_mut(Axis(1), TILE).into_par_iter())
            .zip(self.flags.axis_chunks_iter_mut(Axis(1), TILE))
            .zip(channels.par_chunks_mut(TILE))
            .try_for_each_init(Space::default, |space, ((data, flags), channels)| {
                control.check()?;
                let mut columns = std::mem::take(&mut space.columns);
                column::load(data.view(), flags.view(), frames, masks, false, &mut columns);
                for (column, channel) in columns.iter_mut().zip(channels) {
                    work(column, channel, space);
                }
                column::store(data, flags, frames, masks, &columns);
                space.columns = columns;
                control.advance(1);
                Ok(())
            })
    }
}

/// Finds dead channels, and removes the drift roughly.
fn first_look(column: &mut Column, channel: &mut Channel, timeline: &Timeline, space: &mut Space) {
    let n_used = column.used().count();
    let (n_pairs, n_changes) = column
        .differences()
        .fold((0_usize, 0_usize), |(n, changed), step| (n + 1, changed + usize::from(step != 0.0)));
    channel.corners = vec![0.0; timeline.n_corners];
    if n_used < FEWEST || (n_changes as f64) <= CHANGING * n_pairs as f64 {
        channel.is_dead = true;
        return;
    }
    channel.corners = timeline.medians(column, &mut space.buffer);
    timeline.add(&channel.corners, -1.0, &mut column.x);
    measure(column, channel, n_used, space);
}

/// Measures the scatter of neighbours and of all samples.
fn measure(column: &Column, channel: &mut Channel, n_used: usize, space: &mut Space) {
    let steps = scale(column.differences(), n_used, &mut space.buffer);
    channel.sigma = steps / std::f64::consts::SQRT_2;
    channel.scale = scale(column.used(), n_used, &mut space.buffer);
}

/// Removes jumps, marks glitches, and removes the drift with care; in the last round measures the noise.
fn close_look(
    column: &mut Column,
    channel: &mut Channel,
    timeline: &Timeline,
    params: &CleaningParams,
    source_frames: f64,
    is_last: bool,
    space: &mut Space,
) {
    if channel.is_dead {
        return;
    }
    let n_used = column.used().count();
    measure(column, channel, n_used, space);
    if let Some(level) = params.jump_level {
        let drift = (timeline, channel.corners.as_slice());
        let sigma = channel.sigma;
        let n = jumps::remove(column, drift, sigma, level, source_frames, &mut space.jumps);
        channel.n_jumps += n;
        if n > 0 {
            let change = timeline.medians(column, &mut space.buffer);
            correct_drift(column, channel, timeline, &change);
        }
    }
    remove_drift(column, channel, timeline);
    channel.scale = scale(column.used(), n_used, &mut space.buffer);
    if let Some(level) = params.despike_level {
        let sigma = channel.sigma.max(channel.scale);
        channel.n_spikes = glitches::find_spikes(column, sigma, level, &mut space.glitches);
        if channel.n_spikes > 0 {
            remove_drift(column, channel, timeline);
        }
        let n_flagged = column.state.iter().filter(|state| **state == State::Spike).count();
        channel.spike_fraction = n_flagged as f64 / column.x.len().max(1) as f64;
    }
    if is_last {
        channel.variance = noise::variance(column, source_frames, &mut space.noise);
        channel.line = line::line_fraction(column, &mut space.line);
    }
}

fn remove_drift(column: &mut Column, channel: &mut Channel, timeline: &Timeline) {
    let change = timeline.fit(column, channel.scale);
    correct_drift(column, channel, timeline, &change);
}

fn correct_drift(column: &mut Column, channel: &mut Channel, timeline: &Timeline, change: &[f64]) {
    timeline.add(change, -1.0, &mut column.x);
    for (corner, change) in channel.corners.iter_mut().zip(change) {
        *corner += change;
    }
}
