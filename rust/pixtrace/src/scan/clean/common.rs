//! Common signals: estimated from their channels, and removed from them.

use ndarray::{ArrayView1, Axis};
use rayon::prelude::*;

use super::CleaningParams;
use super::column::MAD;
use super::modes::{self, Gain, Lane, Member, Sums};
use super::run::{Channel, TILE, Work};
use super::slow::Slow;
use crate::Error;
use crate::numeric::Real;
use crate::numeric::stats::median;
use crate::scan::Flags;

/// Frames that are worked on together.
const FRAMES: usize = 64;
/// Samples beyond this many robust standard deviations say nothing about the gain of a channel.
const CLIP: f64 = 5.0;
/// A gain is known to be too small only if it is so by this many of its errors,
const SURELY_BLIND: f64 = 5.0;
/// and by this many standard deviations of all gains: noise that is slow as the common signal scatters them beyond errors.
const UNLIKE_OTHERS: f64 = 4.0;
/// The spread of the noise, about its median, of channels that common signals are taken from.
const MEMBERS: [f64; 2] = [0.2, 4.0];

/// A signal that all channels have in common, or those of each group of a grouping.
pub(super) struct Mode {
    /// Which gain of the channels.
    number: usize,
    /// Group of each channel.
    group: Vec<Option<usize>>,
    /// For each group and valid frame, the signal that was removed, and the one to be removed.
    signals: Vec<Vec<[f64; 2]>>,
}

impl Mode {
    pub(super) fn new(number: usize, group: Vec<Option<usize>>, n_frames: usize) -> Self {
        let n_groups = group.iter().flatten().max().map_or(0, |last| last + 1);
        Self { number, group, signals: vec![vec![[0.0; 2]; n_frames]; n_groups] }
    }

    /// Groups by any numbers; those below zero are none.
    pub(super) fn of_groups(number: usize, groups: ArrayView1<'_, i64>, n_frames: usize) -> Self {
        let mut known: Vec<i64> = groups.iter().copied().filter(|group| *group >= 0).collect();
        known.sort_unstable();
        known.dedup();
        let group = groups.iter().map(|group| known.binary_search(group).ok()).collect();
        Self::new(number, group, n_frames)
    }

    /// Channels that the signals are taken from, by group.
    fn members(&self, channels: &[Channel]) -> Vec<Vec<Member>> {
        let mut sigmas: Vec<f64> = channels
            .iter()
            .filter(|channel| !channel.is_dead)
            .map(|channel| channel.sigma)
            .collect();
        let typical = median(&mut sigmas);
        let mut members = vec![Vec::new(); self.signals.len()];
        for (c, (channel, group)) in channels.iter().zip(&self.group).enumerate() {
            let (gain, scale) = (channel.gains[self.number], channel.scale);
            let relative = channel.sigma / typical;
            let is_good = !channel.is_dead
                && (self.number > 0 || !channel.is_blind)
                && (MEMBERS[0]..=MEMBERS[1]).contains(&relative)
                && gain != 0.0
                && scale > 0.0;
            if let Some(group) = group.filter(|_| is_good) {
                members[group].push(Member { channel: c, gain, scale });
            }
        }
        members
    }

    /// Estimates the signals and the gains, and removes them.
    pub(super) fn remove<T: Real, F: Flags>(
        &mut self,
        work: &mut Work<'_, T, F>,
        channels: &mut [Channel],
        slow: &mut Slow,
        expected: &[f64],
        params: &CleaningParams,
    ) -> Result<(), Error> {
        let members = self.members(channels);
        let mut of_drifts = slow.take_out(&members, &self.group);
        let weights = self.estimate(work, &members)?;
        let mut share = vec![0.0; channels.len()];
        for (members, weight) in members.iter().zip(&weights).filter(|(_, weight)| **weight > 0.0) {
            for member in members {
                share[member.channel] = member.gain / (member.scale * member.scale) / weight;
            }
        }
        self.bring_to_scale(&mut of_drifts, &members, &share);
        let sums = self.sums(work, channels)?;
        let found: Vec<Option<Gain>> = (0..channels.len())
            .map(|c| {
                let channel = &channels[c];
                let gain = channel.gains[self.number];
                modes::gain(&sums[c], share[c], gain, channel.sigma).filter(|_| !channel.is_dead)
            })
            .collect();
        let mut new_gains: Vec<f64> =
            channels.iter().map(|channel| channel.removed_gain(self.number)).collect();
        let mut is_found = vec![false; channels.len()];
        for (group, members) in members.iter().enumerate() {
            let of_members = || members.iter().filter_map(|m| Some((found[m.channel]?, m.gain)));
            let mut sizes: Vec<f64> = members.iter().map(|member| member.gain.abs()).collect();
            let typical = median(&mut sizes);
            let Some(part) = modes::common_part(of_members()) else {
                // Nothing in common: what was removed before stays removed, and no more.
                self.signals[group].iter_mut().for_each(|[old, new]| *new = *old);
                continue;
            };
            let both = members.iter().filter_map(|member| {
                let (c, channel) = (member.channel, &channels[member.channel]);
                let fast = found[c]?.of_part(part);
                let error = fast.error * (channel.scale / channel.sigma).max(1.0);
                Some((Gain { error, ..fast }, of_drifts[c]?))
            });
            let excess = modes::excess(both);
            let spread_of = |gain: &dyn Fn(usize) -> Option<Gain>| {
                let values = members.iter().filter_map(|member| gain(member.channel));
                let mut apart: Vec<f64> =
                    values.map(|gain| (gain.value.abs() - typical).abs()).collect();
                MAD * median(&mut apart)
            };
            let fast_spread = spread_of(&|c| found[c].map(|gain| gain.of_part(part)));
            let slow_spread = spread_of(&|c| of_drifts[c]);
            for (c, channel) in channels.iter_mut().enumerate() {
                let (Some(gain), true) = (found[c], self.group[c] == Some(group)) else { continue };
                let (fast, slow) = (gain.of_part(part), of_drifts[c].map(|gain| gain.with(excess)));
                let expected = if self.number == 0 { expected[c] } else { 1.0 };
                new_gains[c] = modes::settle(fast, slow, expected, typical);
                is_found[c] = true;
                if self.number == 0 {
                    let is_missing = |gain: Gain, spread: f64| {
                        let missing = typical - gain.value.abs();
                        gain.value.abs() < params.blind_limit * typical
                            && missing > SURELY_BLIND * gain.error
                            && missing > UNLIKE_OTHERS * spread
                    };
                    channel.is_blind = is_missing(fast, fast_spread)
                        || slow.is_some_and(|slow| is_missing(slow, slow_spread));
                }
            }
        }
        self.subtract(work, channels, &new_gains)?;
        for (c, channel) in channels.iter_mut().enumerate().filter(|(c, _)| is_found[*c]) {
            channel.gains[self.number] = new_gains[c];
            channel.has_mode[self.number] = true;
        }
        for signal in &mut self.signals {
            for [old, new] in signal {
                *old = *new;
            }
        }
        Ok(())
    }

    /// Brings gains from drifts to the scale of the signals, in which the mean of the members' gains is that of before.
    fn bring_to_scale(
        &self,
        of_drifts: &mut [Option<Gain>],
        members: &[Vec<Member>],
        share: &[f64],
    ) {
        for (group, members) in members.iter().enumerate() {
            let (mut before, mut now) = (0.0, 0.0);
            for member in members {
                if let Some(gain) = of_drifts[member.channel] {
                    before += share[member.channel] * member.gain;
                    now += share[member.channel] * gain.value;
                }
            }
            let channels = self.group.iter().zip(of_drifts.iter_mut());
            for (_, gain) in channels.filter(|(number, _)| **number == Some(group)) {
                *gain = gain.filter(|_| now > 0.0).map(|gain| gain.of_part(now / before));
            }
        }
    }

    /// Sets the new signals; returns the mean weight of each.
    fn estimate<T: Real, F: Flags>(
        &mut self,
        work: &Work<'_, T, F>,
        members: &[Vec<Member>],
    ) -> Result<Vec<f64>, Error> {
        let (data, flags, excluded) = (work.data.view(), work.flags.view(), work.masks.excluded);
        let parts: Vec<Vec<(f64, f64)>> = (work.frames.par_chunks(FRAMES))
            .map_init(Vec::new, |buffer, frames| {
                work.control.check()?;
                let mut found = Vec::with_capacity(frames.len() * members.len());
                for &frame in frames {
                    for members in members {
                        found.push(if members.len() < modes::FEWEST {
                            (0.0, 0.0)
                        } else {
                            modes::in_frame(
                                data.row(frame),
                                flags.row(frame),
                                excluded,
                                members,
                                buffer,
                            )
                        });
                    }
                }
                Ok(found)
            })
            .collect::<Result<_, Error>>()?;
        let mut weights = vec![0.0; members.len()];
        let rows = parts.iter().flat_map(|part| part.chunks_exact(members.len().max(1)));
        for (i, row) in rows.enumerate() {
            for (group, &(change, weight)) in row.iter().enumerate() {
                let [old, new] = &mut self.signals[group][i];
                *new = *old + change;
                weights[group] += weight / work.frames.len() as f64;
            }
        }
        Ok(weights)
    }

    /// What a tile needs to find its gains.
    fn lanes(&self, first: usize, channels: &[Channel]) -> Vec<Lane<'_>> {
        (channels.iter().zip(first..))
            .map(|(channel, c)| Lane {
                signal: self.signal_of(c, channel),
                old_gain: channel.removed_gain(self.number),
                new_gain: 0.0,
                limit: CLIP * channel.scale,
                sums: Sums::default(),
            })
            .collect()
    }

    fn signal_of(&self, c: usize, channel: &Channel) -> Option<&[[f64; 2]]> {
        let group = self.group[c].filter(|_| !channel.is_dead)?;
        Some(self.signals[group].as_slice())
    }

    /// Removes the new signals with the new gains instead of the old ones with the old gains.
    fn subtract<T: Real, F: Flags>(
        &self,
        work: &mut Work<'_, T, F>,
        channels: &[Channel],
        new_gains: &[f64],
    ) -> Result<(), Error> {
        let (frames, control) = (work.frames, work.control);
        (work.data.axis_chunks_iter_mut(Axis(1), TILE).into_par_iter())
            .zip(channels.par_chunks(TILE))
            .enumerate()
            .try_for_each(|(tile, (data, channels))| {
                control.check()?;
                let mut lanes = self.lanes(tile * TILE, channels);
                for (lane, gain) in lanes.iter_mut().zip(&new_gains[tile * TILE..]) {
                    lane.new_gain = *gain;
                }
                modes::subtract_tile(data, frames, &lanes);
                control.advance(1);
                Ok(())
            })
    }

    fn sums<T: Real, F: Flags>(
        &self,
        work: &Work<'_, T, F>,
        channels: &[Channel],
    ) -> Result<Vec<Sums>, Error> {
        let (data, flags) = (work.data.view(), work.flags.view());
        let tiles: Vec<Vec<Sums>> = (data.axis_chunks_iter(Axis(1), TILE).into_par_iter())
            .zip(flags.axis_chunks_iter(Axis(1), TILE))
            .zip(channels.par_chunks(TILE))
            .enumerate()
            .map(|(tile, ((data, flags), channels))| {
                work.control.check()?;
                let mut lanes = self.lanes(tile * TILE, channels);
                modes::add_tile(data, flags, work.masks.excluded, work.frames, &mut lanes);
                work.control.advance(1);
                Ok(lanes.iter().map(|lane| lane.sums).collect())
            })
            .collect::<Result<_, Error>>()?;
        Ok(tiles.concat())
    }
}
