//! Cleaning of timestreams: jumps, glitches, drifts, and what many channels see together.
//!
//! A sample is taken to be
//!
//! ```text
//! d_fc = drift_c(f) + g_c C(f) + sum over the groupings h_c G(f) + noise
//! ```
//!
//! with a drift that is a broken line, a signal `C` common to all channels, and signals `G` common to those of a group
//! (such as a readout column). All of it is estimated robustly, in a few rounds, and removed in place; the source is not
//! part of the model and has to be subtracted before. Channels are worked on in tiles of columns, frames in rows; every
//! sum has a fixed order, so that the number of threads changes no bit.

mod column;
mod common;
mod drift;
mod glitches;
mod jumps;
mod line;
mod modes;
mod noise;
mod run;
#[cfg(test)]
mod samples_of_noise;
mod slow;
mod verdict;

use ndarray::{Array2, ArrayView1, ArrayViewMut2};

use crate::Error;

pub use run::clean;
pub use verdict::channel_flags;

/// Bits of the sample flags that cleaning reads and sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleBits {
    /// A glitch; found anew, so that old ones are forgotten.
    pub spike: i64,
    /// Next to a jump; old ones stay.
    pub jump: i64,
    /// On the source: cleaned, but no part of any estimate.
    pub blank: i64,
    /// Unusable for other reasons: cleaned, but no part of any estimate, and never flagged.
    pub bad: i64,
}

/// How timestreams are cleaned. Start from [`Default`] and change what you need.
#[derive(Clone, Debug, PartialEq)]
pub struct CleaningParams {
    /// Time between the corners of the broken line that is taken for the drift, in seconds.
    pub drift_time: f64,
    /// A frame with a corner, which may lie before the first one, and the number of frames from corner to corner: for
    /// timestreams that are a part of longer ones. `None`: about as many as `drift_time` says, so that the valid frames
    /// begin and end with a corner.
    pub corners: Option<[f64; 2]>,
    /// Time in which the source passes through the full width at half maximum of a beam, in seconds.
    pub source_time: f64,
    /// A sample that stands out from its neighbours by this many robust standard deviations is a glitch; `None`: none is.
    pub despike_level: Option<f64>,
    /// A step of the level by this many robust standard deviations of a sample is a jump; `None`: none is.
    pub jump_level: Option<f64>,
    /// Tells whether the signal common to all channels is removed.
    pub has_common_mode: bool,
    /// Tells whether the signals common to groups of channels are removed.
    pub has_group_modes: bool,
    /// How often everything is estimated.
    pub n_rounds: usize,
    /// Least and largest noise of a good channel, in units of the median of all.
    pub noise_limits: [f64; 2],
    /// A channel that responds to the common mode by less than this part of the median is blind.
    pub blind_limit: f64,
    /// A channel of whose samples more than this part are glitches is spiky.
    pub spike_limit: f64,
}

impl Default for CleaningParams {
    fn default() -> Self {
        Self {
            drift_time: 2.0,
            corners: None,
            source_time: 0.1,
            despike_level: Some(5.0),
            jump_level: Some(5.0),
            has_common_mode: true,
            has_group_modes: true,
            n_rounds: 2,
            noise_limits: [0.2, 4.0],
            blind_limit: 0.2,
            spike_limit: 0.1,
        }
    }
}

impl CleaningParams {
    fn check(&self) -> Result<(), Error> {
        let positive = |name, value: f64| {
            let is_good = value.is_finite() && value > 0.0;
            let must_be = "a positive number";
            if is_good { Ok(()) } else { Err(Error::Parameter { name, value, must_be }) }
        };
        positive("drift_time", self.drift_time)?;
        positive("source_time", self.source_time)?;
        if let Some([first, spacing]) = self.corners {
            positive("corners", spacing)?;
            if !first.is_finite() {
                return Err(Error::Parameter { name: "corners", value: first, must_be: "finite" });
            }
        }
        self.despike_level.map_or(Ok(()), |level| positive("despike_level", level))?;
        self.jump_level.map_or(Ok(()), |level| positive("jump_level", level))?;
        if self.n_rounds == 0 {
            let (name, value) = ("n_rounds", 0.0);
            return Err(Error::Parameter { name, value, must_be: "at least 1" });
        }
        let [low, high] = self.noise_limits;
        if !(low >= 0.0 && high > low) {
            let must_be = "above the lower limit, which is zero or a positive number";
            return Err(Error::Parameter { name: "noise_limits", value: high, must_be });
        }
        for (name, value) in [("blind_limit", self.blind_limit), ("spike_limit", self.spike_limit)]
        {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::Parameter { name, value, must_be: "from 0 to 1" });
            }
        }
        Ok(())
    }
}

/// Timestreams to be cleaned, and what is known about their channels.
#[derive(Debug)]
pub struct CleanInput<'a, T, F> {
    /// Signal less the model of the source, `(n_frames, n_channels)`; changed in place. What is not finite is no sample.
    pub frame_data: ArrayViewMut2<'a, T>,
    /// Flags, `(n_frames, n_channels)`; changed in place.
    pub sample_flags: ArrayViewMut2<'a, F>,
    /// Which bits of the flags mean what.
    pub bits: SampleBits,
    /// Response of each of the `n_channels` to the common mode, as far as known; with 0 or NaN it takes no part in it.
    pub channel_gains: ArrayView1<'a, f64>,
    /// Number of the group of each of the `n_channels`, for each grouping; -1 for none.
    pub channel_groups: Vec<ArrayView1<'a, i64>>,
    /// Frames that are cleaned; others stay as they are and are part of nothing.
    pub valid_frames: ArrayView1<'a, bool>,
    /// Time from one frame to the next, in seconds.
    pub dt: f64,
}

/// What cleaning found out about the channels; all vectors have `n_channels` elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Cleaned {
    /// Variance of a sample, such that weighted fits of the source have the right errors; NaN for dead channels.
    pub channel_variance: Vec<f64>,
    /// One over the variance; zero for flagged channels.
    pub channel_weight: Vec<f64>,
    /// What is wrong with a channel, bits of [`channel_flags`].
    pub channel_flag: Vec<u32>,
    /// Response to the common mode and to the signal of each grouping, `(n_channels, n_groupings + 1)`; NaN where nothing
    /// was removed.
    pub mode_gains: Array2<f64>,
    /// Number of glitches.
    pub n_spikes: Vec<usize>,
    /// Number of jumps that were removed.
    pub n_jumps: Vec<usize>,
}
