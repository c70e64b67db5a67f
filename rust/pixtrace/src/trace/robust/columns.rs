//! The fits of all columns of a region, with what is chosen, and their records.

use rayon::prelude::*;

use super::super::model::{ColumnTrace, RegionTrace};
use super::super::record::{Absence, ColumnRecord, FitRecord, Origin, RegionRecord};
use super::choose::{Choice, LEARNING};
use super::equations::Equations;
use super::region::Weighted;
use crate::numeric::BSpline;
use crate::numeric::normal::{Band, Factor};
use crate::{Control, Error};

/// A column is fitted if it has more good pixels than this.
const FEWEST_PIXELS: usize = 3;
/// A coefficient whose variance is this many times what the points next to it alone would leave is bridged, not known.
const BRIDGED: f64 = 1e3;
/// Columns fitted by one task.
const COLUMNS_PER_TASK: usize = 64;

/// Fits every column of a region: one profile for all exposures, a scale for each.
///
/// `components` are variances of the pixels by exposure. The traces are those of the exposures, each with the splines
/// where its profile stands.
pub(in super::super) fn fit_columns(
    parts: &[Weighted<'_>],
    norms: &[Vec<f64>],
    choice: &Choice,
    components: &[&[Vec<f64>]],
    control: &Control,
) -> Result<Vec<RegionTrace>, Error> {
    let mut equations = Equations::new(parts, choice.n_intervals, norms);
    equations.learn_smoothness(LEARNING.0, LEARNING.1);
    equations.prepare_records(components);
    let reach: Vec<_> = parts.iter().map(Weighted::reach).collect();
    let columns: Vec<usize> = equations.columns.clone().collect();
    let fits: Vec<Vec<Outcome>> = columns
        .par_chunks(COLUMNS_PER_TASK)
        .flat_map_iter(|task| {
            control.advance(task.len() * parts.len());
            task.iter()
                .map(|&column| fit_column(&equations, &reach, choice.half_window, column))
                .collect::<Vec<_>>()
        })
        .collect();
    control.check()?;
    let record = RegionRecord { is_weighted: true, ..RegionRecord::default() };
    let empty = RegionTrace { record: Some(record), ..RegionTrace::default() };
    let mut traces = vec![empty; parts.len()];
    for (&column, outcomes) in columns.iter().zip(fits) {
        for (e, outcome) in outcomes.into_iter().enumerate() {
            if let Some(norm) = parts[e].place(column).map(|x| equations.norms[e][x]) {
                enter(&mut traces[e], column, norm, outcome);
            }
        }
    }
    Ok(traces)
}

/// What came of the fit of a column.
enum Outcome {
    Fitted(Box<Fit>),
    Absent(Absence),
}

struct Fit {
    spline: BSpline,
    scale: f64,
    bounds: (f64, f64),
    origin: Origin,
    record: FitRecord,
}

fn enter(trace: &mut RegionTrace, column: usize, norm: f64, outcome: Outcome) {
    let Some(record) = &mut trace.record else { return };
    match outcome {
        Outcome::Fitted(fit) => {
            trace.columns.push(ColumnTrace {
                column,
                spline: trace.splines.len(),
                scale: fit.scale,
                bounds: fit.bounds,
            });
            trace.splines.push(fit.spline);
            record.columns.push(ColumnRecord { origin: fit.origin, from: column, norm });
            record.fits.push(fit.record);
        }
        Outcome::Absent(why) => record.absent.push((column, why)),
    }
}

/// Fits the profile around a column, and scales it to every exposure.
fn fit_column(
    equations: &Equations<'_>,
    reach: &[Vec<(f64, f64)>],
    half_window: usize,
    column: usize,
) -> Vec<Outcome> {
    let parts = equations.parts;
    let is_seen: Vec<bool> = parts.iter().map(|part| part.n_good(column) > FEWEST_PIXELS).collect();
    let absent =
        |e: usize| Outcome::Absent(if is_seen[e] { Absence::NoFit } else { Absence::TooFewPixels });
    let none = || (0..parts.len()).map(absent).collect();
    if !is_seen.contains(&true) {
        return none();
    }
    let window = equations.window(column, half_window);
    let sums = equations.of(&window);
    let Some((coefficients, factor)) = sums.solve() else { return none() };

    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for (part, reach) in parts.iter().zip(reach) {
        for (x, &(lowest, highest)) in part.pixels.columns.clone().zip(reach) {
            if window.contains(&x) {
                (low, high) = (low.min(lowest), high.max(highest));
            }
        }
    }
    let extras = equations.extras(&window);
    let chi2 = equations.chi2(&window, extras.squares, &coefficients);
    let mut noise = vec![Vec::new()];
    noise.extend(extras.noise);
    let degrees = extras.n_points.saturating_sub(equations.n()).max(1) as f64;
    let origin =
        if is_bridged(&sums.matrix, &factor) { Origin::Extrapolated } else { Origin::Fitted };
    let record = FitRecord {
        window,
        n_points: extras.n_points,
        n_rejected: extras.n_rejected,
        chi2: chi2 / degrees,
        limits: (f64::NEG_INFINITY, f64::INFINITY),
        information: sums.matrix,
        noise,
    };
    let mut model = Vec::new();
    (0..parts.len())
        .map(|e| {
            if !is_seen[e] {
                return absent(e);
            }
            let part = &parts[e];
            equations.model(e, column, &coefficients, &mut model);
            let scale = part.scale(column, &model);
            let spline = shifted(&equations.knots, &coefficients, part.offset);
            let (true, Some(spline)) = (scale.is_finite(), spline) else { return absent(e) };
            let half_pixel = 0.5 * part.pitch;
            let bounds = (
                (low - half_pixel).max(part.range.0) + part.offset,
                (high + half_pixel).min(part.range.1) + part.offset,
            );
            let record = record.clone();
            Outcome::Fitted(Box::new(Fit { spline, scale, bounds, origin, record }))
        })
        .collect()
}

/// The spline where the profile stands in an exposure.
fn shifted(knots: &[f64], coefficients: &[f64], offset: f64) -> Option<BSpline> {
    let knots = knots.iter().map(|knot| knot + offset).collect();
    BSpline::new(knots, coefficients.to_vec()).ok()
}

/// Whether some coefficient is hardly known from the points.
fn is_bridged(information: &Band, factor: &Factor) -> bool {
    let inverse = factor.inverse_band();
    inverse.iter().zip(information).any(|(variance, own)| variance[0] * own[0] > BRIDGED)
}
