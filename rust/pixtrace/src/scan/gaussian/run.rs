//! The fit of one map.

use super::beam::{AMPLITUDE, CROSS, DIFFERENCE, FWHM, LEVEL, MEAN, N, Parameters};
use super::model::GaussianProblem;
use super::sky::{Bounds, Cells, Sky};
use super::start::{self, Scratch};
use super::{BeamShape, GaussianFit, GaussianFitParams, flags, report};
use crate::numeric::cholesky::Cholesky;
use crate::numeric::levenberg::{self, Limits, Minimum, Problem};
use crate::scan::{Grid, MapRef, Sign, pixelisation_fwhm};

/// A fit goes on until a step would move no parameter by more than this fraction of its error.
pub(super) const STEP: f64 = 1e-3;
/// Standard deviation of the narrowest beam, in cells.
const NARROWEST: f64 = 0.15;

/// One map, from the search for the source to the report.
pub(super) fn fit_one(
    map: MapRef<'_>,
    cells: &Cells<'_>,
    number: usize,
    start: Option<[f64; 2]>,
    params: &GaussianFitParams,
    scratch: &mut Scratch,
) -> GaussianFit {
    let beam_fwhm = params.beam_fwhm.unwrap_or(5.0 * cell_size(map.grid));
    let Some(prepared) = scratch.prepare(map, cells, number, beam_fwhm, start, params) else {
        return GaussianFit::failed(flags::NO_DATA, 0);
    };
    let (sky, n_cells) = (&prepared.sky, prepared.n_cells);
    let mut bounds = params.bounds(map.grid, beam_fwhm);
    if n_cells <= bounds.n_free() {
        return GaussianFit::failed(flags::TOO_FEW_CELLS, n_cells);
    }
    let mut limits = Limits { n_evaluations: params.n_evaluations, chi2_step: STEP * STEP };
    let mut end = search(sky, bounds, prepared.start, beam_fwhm, params, &mut limits);
    if let Some(found) = end
        && let Some((as_round, start)) = params.as_round(&found, bounds)
    {
        bounds = as_round;
        end = run(sky, bounds, start, &limits).map(|again| again.after(&found));
    }
    let place = |p: &Parameters| report::place_flags(p, sky, &bounds);
    let mut fit = params.conclude(end.as_ref(), n_cells, &bounds, sky.reference_level, place);
    if fit.has_failed() {
        return fit;
    }
    if map.record.smoothing_fwhm > SMOOTHED * pixelisation_fwhm(map.grid) {
        fit.flags |= flags::SMOOTHED;
    }
    fit
}

/// Relative rounding of a residual.
pub(super) const ROUNDING: f64 = 1e-14;
/// A map with a beam this much wider than that of its cells was smoothed.
const SMOOTHED: f64 = 1.01;

fn cell_size(grid: &Grid) -> f64 {
    let [x, y] = grid.resolution();
    (x * y).sqrt()
}

impl Minimum<N> {
    /// Counts the evaluations of the fit before.
    fn after(mut self, before: &Self) -> Self {
        self.n_evaluations += before.n_evaluations;
        self
    }
}

impl GaussianFitParams {
    /// If an ellipse is as good as round: the bounds with which it is fitted again, and the start.
    pub(super) fn as_round(
        &self,
        found: &Minimum<N>,
        mut bounds: Bounds,
    ) -> Option<(Bounds, Parameters)> {
        let is_free = found.has_converged && self.shape == BeamShape::Elliptical;
        departure_from_round(found).filter(|sigma| is_free && *sigma < self.round_significance)?;
        bounds.is_held[DIFFERENCE] = true;
        bounds.is_held[CROSS] = true;
        let mut round = found.parameters;
        (round[DIFFERENCE], round[CROSS]) = (0.0, 0.0);
        Some((bounds, round))
    }

    /// What is reported of the end of a fit; `place` tells what is doubtful about where the beam stands.
    pub(super) fn conclude(
        &self,
        end: Option<&Minimum<N>>,
        n_cells: usize,
        bounds: &Bounds,
        reference_level: f64,
        place: impl Fn(&Parameters) -> u32,
    ) -> GaussianFit {
        let Some(end) = end else {
            return GaussianFit::failed(flags::NOT_CONVERGED, n_cells);
        };
        let p = &end.parameters;
        let place = place(p);
        let factored = Cholesky::new(&end.normal.matrix, 0.0);
        let (true, Some(factored)) = (end.has_converged, factored) else {
            let why = if end.is_singular || end.has_converged {
                flags::DEGENERATE
            } else {
                flags::NOT_CONVERGED
            };
            return GaussianFit::failed(why | place, n_cells);
        };
        let mut covariance = factored.inverse();
        for held in (0..N).filter(|&i| bounds.is_held[i]) {
            covariance[held][held] = 0.0;
        }
        let mut fit = GaussianFit::failed(place, n_cells);
        let is_round = bounds.is_held[CROSS] && p[DIFFERENCE] == 0.0 && p[CROSS] == 0.0;
        report::set_parameters(&mut fit, p, &covariance, reference_level, is_round);
        fit.chi2 = end.normal.chi2;
        fit.degrees_of_freedom = n_cells - bounds.n_free();
        fit.n_evaluations = end.n_evaluations;
        if is_round {
            fit.flags |= flags::ROUND;
        }
        if fit.significance().abs() < self.significance {
            fit.flags |= flags::NOT_SIGNIFICANT;
        }
        let has_wrong_sign = match self.sign {
            Sign::Positive => fit.amplitude < 0.0,
            Sign::Negative => fit.amplitude > 0.0,
            Sign::Both => false,
        };
        if has_wrong_sign {
            fit.flags |= flags::WRONG_SIGN;
        }
        fit
    }

    pub(super) fn held(&self) -> [bool; N] {
        let mut is_held = [false; N];
        is_held[LEVEL] = !self.has_level;
        let is_fixed = matches!(self.shape, BeamShape::Fixed { .. });
        is_held[MEAN] = is_fixed;
        is_held[DIFFERENCE] = is_fixed || self.shape == BeamShape::Round;
        is_held[CROSS] = is_held[DIFFERENCE];
        is_held
    }

    fn bounds(&self, grid: &Grid, beam_fwhm: f64) -> Bounds {
        let ([n_y, n_x], resolution) = (grid.shape(), grid.resolution());
        let [narrow, wide] = match self.shape {
            BeamShape::Fixed { fwhm: [a, b], .. } => [a.min(b), a.max(b)],
            _ => [beam_fwhm; 2],
        };
        let extent = (n_x as f64 * resolution[0]).max(n_y as f64 * resolution[1]);
        let corners = [[-0.5; 2], [n_x as f64 - 0.5, n_y as f64 - 0.5]];
        let [low, high] = corners.map(|corner| grid.offset_of(corner));
        Bounds {
            is_held: self.held(),
            // Twice what they need to be, lest a start at the limit is refused.
            sigma: [
                (NARROWEST * cell_size(grid)).min(0.5 * narrow / FWHM),
                extent.max(2.0 * wide / FWHM),
            ],
            position: [low.map(|x| x - beam_fwhm), high.map(|x| x + beam_fwhm)],
        }
    }
}

/// Fits from the position where the source seems to be; if that leads nowhere, again with other widths.
fn search(
    sky: &Sky<'_>,
    bounds: Bounds,
    position: [f64; 2],
    beam_fwhm: f64,
    params: &GaussianFitParams,
    limits: &mut Limits,
) -> Option<Minimum<N>> {
    let starts = match params.shape {
        BeamShape::Fixed { fwhm, angle } => vec![start::beam_at(position, fwhm, angle)],
        _ => [1.0, 2.0, 0.5]
            .map(|factor| start::beam_at(position, [factor * beam_fwhm; 2], 0.0))
            .to_vec(),
    };
    let (mut last, mut n_evaluations) = (None, 0);
    for mut start in starts {
        let square = with_best_amplitude(sky, bounds, &mut start, params.sign);
        // Where there is next to no noise, rounding sets the limit.
        limits.chi2_step = limits.chi2_step.max(ROUNDING * ROUNDING * square);
        if let Some(mut end) = run(sky, bounds, start, limits) {
            end.n_evaluations += n_evaluations;
            n_evaluations = end.n_evaluations;
            last = Some(end);
            if end.has_converged {
                break;
            }
        }
    }
    last
}

fn run(sky: &Sky<'_>, bounds: Bounds, start: Parameters, limits: &Limits) -> Option<Minimum<N>> {
    levenberg::fit(&mut GaussianProblem::new(sky, bounds, &start), start, limits)
}

/// Sets amplitude and level, in which the model is linear, to the best ones for the other parameters.
///
/// Returns the sum of the weighted squares of the values.
fn with_best_amplitude(sky: &Sky<'_>, bounds: Bounds, start: &mut Parameters, sign: Sign) -> f64 {
    let noise = 1.0 / sky.highest_weight.sqrt();
    start[AMPLITUDE] = START_SIGNIFICANCE * noise;
    let mut linear = Bounds { is_held: [true; N], ..bounds };
    linear.is_held[AMPLITUDE] = false;
    linear.is_held[LEVEL] = bounds.is_held[LEVEL];
    let mut problem = GaussianProblem::new(sky, linear, start);
    let step = problem.normal(start).and_then(|normal| {
        Cholesky::new(&normal.matrix, 0.0).map(|factored| factored.solve(&normal.gradient))
    });
    if let Some(step) = step {
        start[AMPLITUDE] += step[AMPLITUDE];
        start[LEVEL] += step[LEVEL];
    }
    // From an amplitude of zero nothing leads anywhere.
    let least = match sign {
        Sign::Negative => -noise,
        Sign::Both => noise.copysign(start[AMPLITUDE]),
        Sign::Positive => noise,
    };
    let has_right_sign = start[AMPLITUDE] * least > 0.0;
    if !has_right_sign || start[AMPLITUDE].abs() < noise {
        start[AMPLITUDE] = least;
    }
    problem.sum_of_squares()
}

/// Amplitude, in units of the noise of the best cell, for which the first look is wide enough.
const START_SIGNIFICANCE: f64 = 100.0;

/// By how many standard deviations an ellipse differs from a round beam.
fn departure_from_round(end: &Minimum<N>) -> Option<f64> {
    let covariance = Cholesky::new(&end.normal.matrix, 0.0)?.inverse();
    let block = [
        [covariance[DIFFERENCE][DIFFERENCE], covariance[DIFFERENCE][CROSS]],
        [covariance[CROSS][DIFFERENCE], covariance[CROSS][CROSS]],
    ];
    let departure = [end.parameters[DIFFERENCE], end.parameters[CROSS]];
    let weighted = Cholesky::new(&block, 0.0)?.solve(&departure);
    Some((departure[0] * weighted[0] + departure[1] * weighted[1]).sqrt())
}
