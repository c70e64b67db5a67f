//! What the subtraction of a model takes from the degrees of freedom of frames and channels.

use ndarray::{Array1, ArrayView1};

use super::samples::{channels, check_length};
use crate::Error;

/// Frames and channels from which a model was subtracted.
///
/// `n_channels` is the length of `channel_source_gains`; what is given for listed channels stands in the order of
/// `channel_indices`.
#[derive(Clone, Copy, Debug)]
pub struct DependentsInput<'a> {
    /// Gain to the source of each of the `n_channels`.
    pub channel_source_gains: ArrayView1<'a, f64>,
    /// The listed channels.
    pub channel_indices: ArrayView1<'a, i64>,
    /// Flags of the listed channels; a flagged one depends on nothing.
    pub channel_flags: ArrayView1<'a, i64>,
    /// Variances of the listed channels.
    pub channel_variance: ArrayView1<'a, f64>,
    /// Relative weights of the frames.
    pub frame_weight: ArrayView1<'a, f64>,
    /// Source gains of the frames.
    pub frame_source_gains: ArrayView1<'a, f64>,
    /// Frames that may be used.
    pub frame_valid: ArrayView1<'a, bool>,
    /// Flags of the frames.
    pub frame_flags: ArrayView1<'a, i64>,
    /// A frame with any of these flags took no part in the model.
    pub source_flag: i64,
    /// Number of independent points of the model.
    pub n_points: f64,
}

/// Shares the `n` points of a model out: of frames `n w_f |s_f| / sum(w_f s_f)`, of channels
/// `n (G_c^2 / v_c) / sum(G_c^2 / v_c)`.
///
/// Returns the share of each frame, `n_frames`, and of each listed channel. Shares are 0 where a frame or a channel took no
/// part, and all are 0 if the sum is 0 or not finite.
///
/// # Errors
/// Arrays that do not fit together, channels that do not exist or stand there twice.
pub fn delta_sync_parms(input: &DependentsInput<'_>) -> Result<(Array1<f64>, Array1<f64>), Error> {
    let n_frames = input.frame_weight.len();
    for (name, found) in [
        ("frame_source_gains", input.frame_source_gains.len()),
        ("frame_valid", input.frame_valid.len()),
        ("frame_flags", input.frame_flags.len()),
    ] {
        check_length(name, found, n_frames, "`frame_weight`")?;
    }
    let n_listed = input.channel_indices.len();
    check_length("channel_flags", input.channel_flags.len(), n_listed, "`channel_indices`")?;
    check_length("channel_variance", input.channel_variance.len(), n_listed, "`channel_indices`")?;
    let channels = channels(input.channel_indices, input.channel_source_gains.len())?;

    let took_part =
        |f: usize| input.frame_valid[f] && input.frame_flags[f] & input.source_flag == 0;
    let frame = |f: usize| {
        if took_part(f) { input.frame_weight[f] * input.frame_source_gains[f] } else { 0.0 }
    };
    let channel = |(k, &c): (usize, &usize)| {
        let (gain, variance) = (input.channel_source_gains[c], input.channel_variance[k]);
        let share = gain * gain / variance;
        if input.channel_flags[k] == 0 && variance > 0.0 && share.is_finite() { share } else { 0.0 }
    };
    let frames: Array1<f64> = (0..n_frames).map(frame).collect();
    let channels: Array1<f64> = channels.iter().enumerate().map(channel).collect();
    let by_frame = factor(input.n_points, frames.sum());
    let by_channel = factor(input.n_points, channels.sum());
    let shares = frames
        .indexed_iter()
        .map(|(f, _)| {
            if took_part(f) {
                by_frame * input.frame_weight[f] * input.frame_source_gains[f].abs()
            } else {
                0.0
            }
        })
        .collect();
    Ok((shares, channels * by_channel))
}

fn factor(n_points: f64, sum: f64) -> f64 {
    if sum == 0.0 || !sum.is_finite() { 0.0 } else { n_points / sum }
}
