//! Where the source stands in each exposure, to half a pixel: the start for offsets that nobody has given.

use rayon::prelude::*;

use super::super::robust::equations::Equations;
use super::super::robust::look::{FIRST_LOOK, intervals_of};
use super::super::robust::region::Weighted;
use super::offsets::Shared;
use crate::numeric::BSpline;

/// Distance of the offsets that are tried, in pixels.
const STEP: f64 = 0.5;
/// Longest offset that is tried, as a share of the slice.
const REACH: f64 = 0.8;
/// Of so many columns one is looked at.
const STRIDE: usize = 8;

/// Offsets that lay the profiles of the exposures on that of the brightest; zero for one with no region in common.
pub(super) fn search(seen: &[Shared<'_>], n_exposures: usize, pitch: f64) -> Vec<f64> {
    let mut signal = vec![0.0; n_exposures];
    for region in seen {
        for (&e, part) in region.exposures.iter().zip(&region.parts) {
            let squares = part.pixels.flux.iter().zip(&part.weight);
            signal[e] += squares.filter(|(_, w)| **w > 0.0).map(|(f, w)| f * f * w).sum::<f64>();
        }
    }
    let brightest = (0..n_exposures).max_by(|&a, &b| signal[a].total_cmp(&signal[b])).unwrap_or(0);
    let length =
        seen.iter().flat_map(|s| &s.parts).map(Weighted::length).fold(0.0, f64::max) * REACH;
    let n_trials = (length / STEP) as i64;
    let trials: Vec<f64> = (-n_trials..=n_trials).map(|k| k as f64 * STEP * pitch).collect();
    let found: Vec<Vec<Vec<f64>>> =
        seen.par_iter().map(|region| explained(region, brightest, n_exposures, &trials)).collect();
    let mut offsets: Vec<f64> = (0..n_exposures)
        .map(|e| {
            let sum = |k: usize| found.iter().map(|region| region[e][k]).sum::<f64>();
            let sums: Vec<f64> = (0..trials.len()).map(sum).collect();
            let best = sums.iter().copied().fold(0.0, f64::max);
            // Of equals, as for an exposure with nothing in common, the shortest.
            let places = (0..trials.len()).filter(|&k| sums[k] >= best);
            let nearest = places.min_by(|&a, &b| trials[a].abs().total_cmp(&trials[b].abs()));
            nearest.map_or(0.0, |k| trials[k])
        })
        .collect();
    let mean = offsets.iter().sum::<f64>() / n_exposures as f64;
    for offset in &mut offsets {
        *offset -= mean;
    }
    offsets
}

/// By exposure and trial, how much of the variance of the pixels the shifted profile of one exposure explains.
fn explained(
    region: &Shared<'_>,
    brightest: usize,
    n_exposures: usize,
    trials: &[f64],
) -> Vec<Vec<f64>> {
    let mut found = vec![vec![0.0; trials.len()]; n_exposures];
    let Some(place) = region.exposures.iter().position(|&e| e == brightest) else { return found };
    let one = std::slice::from_ref(&region.parts[place]);
    let n_intervals = intervals_of(one, &[FIRST_LOOK.0])[0];
    let equations = Equations::new(one, n_intervals, std::slice::from_ref(&region.norms[place]));
    for column in equations.columns.clone().step_by(STRIDE) {
        let Some((coefficients, _)) = equations.of(&equations.window(column, FIRST_LOOK.1)).solve()
        else {
            continue;
        };
        let Ok(profile) = BSpline::new(equations.knots.clone(), coefficients) else { continue };
        for (&e, part) in region.exposures.iter().zip(&region.parts) {
            if e != brightest {
                for (sum, &offset) in found[e].iter_mut().zip(trials) {
                    *sum += explained_by(&profile, part, column, offset);
                }
            }
        }
    }
    found
}

/// Weighted sum of squares that a profile with a free scale and background explains in a column.
fn explained_by(profile: &BSpline, part: &Weighted<'_>, column: usize, offset: f64) -> f64 {
    let (low, high) = profile.base_interval();
    let (mut n, mut f, mut p, mut pp, mut fp) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for i in part.pixels.column(column) {
        let (weight, alpha) = (part.weight[i], part.pixels.alpha[i] - offset);
        if weight > 0.0 && low <= alpha && alpha <= high {
            let (flux, value) = (part.pixels.flux[i], profile.eval(alpha));
            n += weight;
            f += weight * flux;
            p += weight * value;
            pp += weight * value * value;
            fp += weight * flux * value;
        }
    }
    let (common, own) = (fp - f * p / n, pp - p * p / n);
    // Written so that NaN fails too.
    if common > 0.0 && own > 0.0 { common * common / own } else { 0.0 }
}
