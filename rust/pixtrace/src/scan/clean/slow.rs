//! What drifts say about the gains of channels to common signals.
//!
//! The sky is strongest where it is slow, and that part of it is in the drifts, which are removed channel by channel. The
//! rest may hardly stand out from the noise, and then says little about gains; so they are taken from the drifts too: from
//! the differences between neighbouring corners, to which drifts of a channel's own add little, and a jump one outlier.

use ndarray::{ArrayView1, Axis};

use super::column::scale;
use super::modes::{self, Gain, Member, Sums};
use crate::numeric::stats::median;

/// Fewest differences from which a gain is taken.
const FEWEST: usize = 8;
/// A difference farther from the common one than this many robust standard deviations is no part of the gain.
const CLIP: f64 = 4.0;
/// Passes in which the gains of the channels become those with which they enter the common signal.
const PASSES: usize = 3;
/// A gain does not change by more than this factor in a pass, or the channel is left as it is.
const MOST_CHANGE: f64 = 3.0;
/// No gain is known better than this, as a part of it: drifts of their own may go with the sky by chance.
const FINEST: f64 = 2e-3;

/// A signal that channels have in common, and their gains to it, by the numbers of the channels.
type Found = (Vec<f64>, Vec<(usize, Gain)>);

/// Differences between the corners of the drifts, less the common signals that were found in them.
#[derive(Debug)]
pub(super) struct Slow {
    /// `(n_differences, n_channels)`.
    steps: ndarray::Array2<f64>,
}

impl Slow {
    /// Of the drifts of all channels; a channel without corners is dead.
    pub(super) fn new<'a>(
        corners: impl ExactSizeIterator<Item = &'a [f64]>,
        n_corners: usize,
    ) -> Self {
        let mut steps = ndarray::Array2::zeros((n_corners.saturating_sub(1), corners.len()));
        for (mut column, corners) in steps.axis_iter_mut(Axis(1)).zip(corners) {
            for (step, pair) in column.iter_mut().zip(corners.windows(2)) {
                *step = pair[1] - pair[0];
            }
        }
        Self { steps }
    }

    /// Takes the common signals of groups out of the drifts; returns the gain of each channel where it can be told.
    ///
    /// Members bring the gains to begin with; `group` is that of each channel.
    pub(super) fn take_out(
        &mut self,
        members: &[Vec<Member>],
        group: &[Option<usize>],
    ) -> Vec<Option<Gain>> {
        let n_channels = self.steps.ncols();
        let mut gains = vec![None; n_channels];
        if self.steps.nrows() < FEWEST {
            return gains;
        }
        let mut buffer = Vec::new();
        let spread: Vec<f64> = (self.steps.axis_iter(Axis(1)))
            .map(|steps| scale(steps.iter().copied(), steps.len(), &mut buffer))
            .collect();
        for (number, members) in members.iter().enumerate() {
            let mut members: Vec<Member> = (members.iter())
                .map(|member| Member { scale: spread[member.channel], ..*member })
                .filter(|member| member.scale > 0.0)
                .collect();
            if members.len() < modes::FEWEST {
                continue;
            }
            let of_group: Vec<usize> =
                (0..n_channels).filter(|&c| group[c] == Some(number) && spread[c] > 0.0).collect();
            let mut last = None;
            // What a channel adds to the common signal is known as well as the gains of the others are.
            for _ in 0..PASSES {
                last = self.gains_of(&of_group, &members, &mut buffer);
                let Some((_, found)) = &last else { break };
                let mut new = vec![None; n_channels];
                for (c, gain) in found {
                    new[*c] = Some(gain.value);
                }
                for member in &mut members {
                    let ratio = new[member.channel].map_or(1.0, |value| value / member.gain);
                    if (1.0 / MOST_CHANGE..MOST_CHANGE).contains(&ratio) {
                        member.gain *= ratio;
                    }
                }
            }
            let Some((common, found)) = last else { continue };
            for (c, gain) in found {
                gains[c] = Some(gain.with(FINEST * gain.value));
                for (step, common) in self.steps.column_mut(c).iter_mut().zip(&common) {
                    *step -= gain.value * common;
                }
            }
        }
        gains
    }

    /// The signal that members have in common, and the gain of each channel of their group; `None` if there is none.
    fn gains_of(
        &self,
        of_group: &[usize],
        members: &[Member],
        buffer: &mut Vec<f64>,
    ) -> Option<Found> {
        let n_channels = self.steps.ncols();
        let no_flags = vec![0_u8; n_channels];
        let flags = ArrayView1::from(&no_flags);
        let common: Vec<f64> = (self.steps.rows().into_iter())
            .map(|steps| modes::in_frame(steps, flags, 1, members, buffer).0)
            .collect();
        let weight: f64 = members.iter().map(|m| (m.gain / m.scale).powi(2)).sum();
        let (mut share, mut start) = (vec![0.0; n_channels], vec![None; n_channels]);
        for member in members {
            share[member.channel] = member.gain / (member.scale * member.scale) / weight;
            start[member.channel] = Some(member.gain);
        }
        let mut found: Vec<(usize, Gain)> = Vec::with_capacity(of_group.len());
        for &c in of_group {
            let begin = start[c].unwrap_or(1.0);
            found.extend(
                gain(self.steps.column(c), &common, begin, share[c], buffer).map(|gain| (c, gain)),
            );
        }
        let of_members = found.iter().filter_map(|&(c, gain)| Some((gain, start[c]?)));
        let part = modes::common_part(of_members)?;
        for (_, gain) in &mut found {
            *gain = gain.of_part(part);
        }
        Some((common, found))
    }
}

/// The gain of a channel to the common differences, as if it had not taken part in them.
fn gain(
    steps: ArrayView1<'_, f64>,
    common: &[f64],
    start: f64,
    share: f64,
    buffer: &mut Vec<f64>,
) -> Option<Gain> {
    let mut value = median_ratio(steps, common, start, buffer);
    let mut found = None;
    for _ in 0..2 {
        let rest = || steps.iter().zip(common).map(|(step, common)| step - value * common);
        let spread = scale(rest().collect::<Vec<_>>().into_iter(), steps.len(), buffer);
        let mut sums = Sums::default();
        for (&step, &common) in steps.iter().zip(common) {
            if (step - value * common).abs() <= CLIP * spread {
                sums.signal += common * common;
                sums.product += common * step;
                sums.sample += step * step;
            }
        }
        found = modes::gain(&sums, share, start, spread);
        value = found?.value;
    }
    found
}

/// Where to begin: the median of the ratios of the larger differences.
fn median_ratio(
    steps: ArrayView1<'_, f64>,
    common: &[f64],
    start: f64,
    buffer: &mut Vec<f64>,
) -> f64 {
    buffer.clear();
    buffer.extend(common.iter().map(|common| common.abs()));
    let typical = median(buffer);
    buffer.clear();
    buffer.extend(
        (steps.iter().zip(common))
            .filter(|(_, common)| common.abs() >= typical && typical > 0.0)
            .map(|(step, common)| step / common),
    );
    if buffer.is_empty() { start } else { median(buffer) }
}

#[cfg(test)]
mod tests {
    use super::super::samples_of_noise::noise;
    use super::*;

    const N: usize = 12;

    /// Twelve channels with gains from 0.8 to 1.35, a common walk, walks of their own, and a jump.
    fn drifts(common: f64) -> (Vec<Vec<f64>>, Vec<f64>) {
        let n = 60;
        let walk = |steps: Vec<f64>| {
            let mut level = 0.0;
            steps.into_iter().map(move |step| {
                level += step;
                level
            })
        };
        let gains: Vec<f64> = (0..N).map(|c| 0.8 + 0.05 * c as f64).collect();
        let sky: Vec<f64> = walk(noise(n, 500)).collect();
        let drifts = (gains.iter().zip(1..))
            .map(|(gain, seed)| {
                let own = walk(noise(n, seed));
                own.zip(&sky).map(|(own, sky)| 0.02 * own + common * gain * sky).collect()
            })
            .collect();
        (drifts, gains)
    }

    fn members() -> Vec<Vec<Member>> {
        vec![(0..N).map(|channel| Member { channel, gain: 1.0, scale: 1.0 }).collect()]
    }

    #[test]
    fn gains_follow_from_drifts() {
        let (mut drifts, expected) = drifts(1.0);
        drifts[3][30..].iter_mut().for_each(|x| *x += 1e3);
        let mut slow = Slow::new(drifts.iter().map(Vec::as_slice), 60);
        let found = slow.take_out(&members(), &[Some(0); N]);
        let ratios: Vec<f64> =
            found.iter().zip(&expected).map(|(found, gain)| found.unwrap().value / gain).collect();
        let mean = ratios.iter().sum::<f64>() / N as f64;
        for (ratio, found) in ratios.iter().zip(&found) {
            let error = found.unwrap().error;
            assert!(error < 0.02 && (ratio / mean - 1.0).abs() < 5.0 * error, "{ratio} {error}");
        }
        // Nothing of it is left, but for the jump.
        assert!(slow.steps.iter().filter(|step| step.abs() > 0.2).count() == 1);
    }

    #[test]
    fn drifts_that_have_nothing_in_common_tell_nothing() {
        let (drifts, _) = drifts(0.0);
        let mut slow = Slow::new(drifts.iter().map(Vec::as_slice), 60);
        assert!(slow.take_out(&members(), &[Some(0); N]).iter().all(Option::is_none));
        let mut few = Slow::new(drifts.iter().map(|drift| &drift[..5]), 5);
        assert!(few.take_out(&members(), &[Some(0); N]).iter().all(Option::is_none));
    }
}
