//! Samples with their gains, weights and map indices spelled out, for callers who want to see them.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, Array3, Axis};

use super::sample_flags::Flags;
use super::samples::Samples;
use crate::numeric::Real;
use crate::{Control, Error};

/// Samples as the maps would take them, `(n_frames, n_channels)`.
///
/// A sample that is left out has value and gain NaN, weight 0 and index -1.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplePoints {
    /// Number of frames that are used.
    pub n: usize,
    /// Values.
    pub data: Array2<f64>,
    /// Gain of the frame times that of the channel.
    pub gains: Array2<f64>,
    /// Weight of the frame over the variance of the channel.
    pub weights: Array2<f64>,
    /// `[x, y]`, `(2, n_frames, n_channels)`.
    pub indices: Array3<i64>,
}

/// Spells out the samples of the listed channels, in the order of the list.
///
/// What is not finite is passed on as it is: `accumulate` leaves it out.
///
/// # Errors
/// Arrays that do not fit together, channels that do not exist or stand there twice; [`Error::Cancelled`].
pub fn sample_points<T: Real, F: Flags>(
    samples: &Samples<'_, T, F>,
    control: &Control,
) -> Result<SamplePoints, Error> {
    let channels = samples.check()?;
    let n_maps = channels.len();
    let n_frames = samples.dim().0;
    let mut points = SamplePoints {
        n: (0..n_frames).filter(|&f| frame_counts(samples, f)).count(),
        data: Array2::from_elem((n_frames, n_maps), f64::NAN),
        gains: Array2::from_elem((n_frames, n_maps), f64::NAN),
        weights: Array2::zeros((n_frames, n_maps)),
        indices: Array3::from_elem((2, n_frames, n_maps), -1),
    };
    let exclude = F::from_mask(samples.exclude_sample_flag);
    let (index_x, index_y) = points.indices.view_mut().split_at(Axis(0), 1);
    let (mut index_x, mut index_y) =
        (index_x.index_axis_move(Axis(0), 0), index_y.index_axis_move(Axis(0), 0));
    control.expect(n_frames);
    let rows = points.data.axis_iter_mut(Axis(0)).into_par_iter();
    let rows = rows.zip(points.gains.axis_iter_mut(Axis(0)));
    let rows = rows.zip(points.weights.axis_iter_mut(Axis(0)));
    let rows = rows.zip(index_x.axis_iter_mut(Axis(0)));
    let rows = rows.zip(index_y.axis_iter_mut(Axis(0))).enumerate();
    rows.try_for_each(|(f, ((((mut data, mut gains), mut weights), mut x), mut y))| {
        control.check()?;
        control.advance(1);
        if !frame_counts(samples, f) {
            return Ok(());
        }
        let (frame_gain, frame_weight) = (samples.frame_gains[f], samples.frame_weights[f]);
        for (k, &c) in channels.iter().enumerate() {
            let (gain, variance) = (samples.source_gains[c], samples.channel_variance[k]);
            if gain == 0.0 || variance == 0.0 || samples.sample_flags[[f, c]].has_any(exclude) {
                continue;
            }
            let column = if samples.is_index_shared() { 0 } else { c };
            data[k] = samples.frame_data[[f, c]].to_f64();
            gains[k] = frame_gain * gain;
            weights[k] = frame_weight / variance;
            x[k] = samples.map_indices[[0, f, column]];
            y[k] = samples.map_indices[[1, f, column]];
        }
        Ok(())
    })?;
    Ok(points)
}

/// A frame with a gain and a weight, neither of them 0 nor NaN.
fn frame_counts<T: Real, F: Flags>(samples: &Samples<'_, T, F>, f: usize) -> bool {
    let (gain, weight) = (samples.frame_gains[f], samples.frame_weights[f]);
    samples.valid_frames[f] && gain != 0.0 && !gain.is_nan() && weight != 0.0 && !weight.is_nan()
}
