//! Which exposures share the profile of a region.

use super::super::robust::choose::{Choice, choose};
use super::super::robust::look::{first_look, intervals_of};
use super::super::robust::region::Weighted;
use super::fit::JointParams;
use super::offsets::Shared;

/// Scores are in units of the variance of the data. Between lower ones, of data with far less noise than their errors,
/// there is nothing to choose.
const LEAST_SCORE: f64 = 0.5;
/// Beyond the tolerance, so many times what the mean of as many squares goes up and down by chance.
const BY_CHANCE: f64 = 2.0;

/// A region in one exposure, fitted alone.
pub(super) struct Alone<'a> {
    /// Number of the exposure.
    pub(super) exposure: usize,
    /// The region with all its weights.
    pub(super) whole: Weighted<'a>,
    /// Without the outliers.
    pub(super) cleaned: Weighted<'a>,
    pub(super) norms: Vec<f64>,
    /// How it is fitted; `None` if it cannot be.
    pub(super) choice: Option<Choice>,
}

impl<'a> Alone<'a> {
    pub(super) fn new(exposure: usize, whole: Weighted<'a>, params: &JointParams) -> Self {
        let mut one = [whole.clone()];
        let norms = first_look(&mut one, params.alone.clip_sigma).0;
        let intervals = intervals_of(&one, &params.alone.knots_per_pixel);
        let choice = choose(&one, &norms, &intervals, &params.alone.half_windows);
        let ([cleaned], mut norms) = (one, norms);
        Self { exposure, whole, cleaned, norms: norms.swap_remove(0), choice }
    }
}

/// The sets of exposures that share a profile of a region, shifted by their offsets, with what is chosen for them.
///
/// Of all exposures the one that loses most is left out until none loses; then those left out are looked at alike.
pub(super) fn share<'a>(
    alone: &[Alone<'a>],
    offsets: &[f64],
    params: &JointParams,
) -> Vec<Shared<'a>> {
    let mut sets = Vec::new();
    let mut left: Vec<&Alone<'a>> = alone.iter().filter(|a| a.choice.is_some()).collect();
    while left.len() > 1 {
        let mut members = std::mem::take(&mut left);
        while members.len() > 1 {
            match try_together(&members, offsets, params) {
                Tried::Share(shared) => {
                    sets.push(*shared);
                    break;
                }
                Tried::Loses(worst) => left.push(members.remove(worst)),
            }
        }
        left.sort_by_key(|a| a.exposure);
    }
    sets.sort_by(|a, b| a.exposures.cmp(&b.exposures));
    sets
}

enum Tried<'a> {
    Share(Box<Shared<'a>>),
    /// Number of the exposure that loses most.
    Loses(usize),
}

fn try_together<'a>(members: &[&Alone<'a>], offsets: &[f64], params: &JointParams) -> Tried<'a> {
    let mut parts: Vec<Weighted<'a>> = members.iter().map(|a| a.whole.clone()).collect();
    for (part, member) in parts.iter_mut().zip(members) {
        part.shift(offsets[member.exposure]);
    }
    let norms = first_look(&mut parts, params.alone.clip_sigma).0;
    let intervals = intervals_of(&parts, &params.knots_per_pixel);
    let Some(choice) = choose(&parts, &norms, &intervals, &params.half_windows) else {
        return Tried::Loses(0);
    };
    let loss = |k: usize| {
        let own = members[k].choice.as_ref().map_or(f64::INFINITY, |own| own.score);
        let chance = (2.0 / choice.n_predicted[k] as f64).sqrt();
        // Without a floor, data without noise would share nothing: there any difference is many times the other.
        choice.scores[k] / own.max(LEAST_SCORE) / (params.tolerance + BY_CHANCE * chance)
    };
    let losses: Vec<f64> = (0..members.len()).map(loss).collect();
    let worst = (0..members.len()).max_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0);
    // Written so that NaN fails too.
    if losses[worst] <= 1.0 {
        let exposures = members.iter().map(|member| member.exposure).collect();
        return Tried::Share(Box::new(Shared { exposures, parts, norms, choice }));
    }
    Tried::Loses(worst)
}
