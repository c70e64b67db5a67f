//! What is wrong with a channel.

use super::CleaningParams;
use super::run::Channel;
use crate::numeric::stats::median;

/// Bits of the flags of channels, with the values of the Python package.
pub mod channel_flags {
    /// Constant, or hardly any sample.
    pub const DEAD: u32 = 1;
    /// Does not respond to the common mode.
    pub const BLIND: u32 = 2;
    /// Its noise is out of line.
    pub const SENSITIVITY: u32 = 16;
    /// Too many glitches.
    pub const SPIKY: u32 = 64;
    /// Oscillates.
    pub const OSCILLATING: u32 = 1024;
}

/// Part of the power in one line from which on a channel oscillates.
const LINE: f64 = 0.3;

/// Sets the flags of all channels.
pub(super) fn judge(channels: &mut [Channel], params: &CleaningParams) {
    use channel_flags::{BLIND, DEAD, OSCILLATING, SENSITIVITY, SPIKY};
    let mut noise: Vec<f64> = channels
        .iter()
        .filter(|channel| !channel.is_dead && channel.line < LINE && channel.variance > 0.0)
        .map(|channel| channel.variance.sqrt())
        .collect();
    let typical = median(&mut noise);
    let [low, high] = params.noise_limits;
    for channel in channels {
        if channel.is_dead || !channel.variance.is_finite() || channel.variance <= 0.0 {
            channel.flag = DEAD;
            channel.variance = f64::NAN;
            continue;
        }
        let relative = channel.variance.sqrt() / typical;
        channel.flag = 0;
        if channel.line >= LINE {
            channel.flag |= OSCILLATING;
        } else if relative < low || relative > high {
            channel.flag |= SENSITIVITY;
        }
        if channel.is_blind {
            channel.flag |= BLIND;
        }
        if channel.spike_fraction > params.spike_limit {
            channel.flag |= SPIKY;
        }
    }
}
