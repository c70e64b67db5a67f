//! Which column has which spline: its own, or that of the column before.

use super::model::{ColumnTrace, RegionTrace};
use super::record::{Absence, ColumnRecord, FitRecord, Origin, RegionRecord};
use super::region::RegionPixels;
use super::scale::column_scale;
use crate::numeric::BSpline;

/// What came of the fit of one column on its own.
pub(super) enum Outcome {
    /// Too few good pixels: no trace here.
    TooFew,
    /// A spline, the range of alpha of its window, and its record if one was asked for.
    Fitted(BSpline, (f64, f64), Option<Box<FitRecord>>),
    /// The points have gaps, or do not determine the spline.
    Refused,
    /// Too few points in the whole window.
    Impossible,
}

/// Gives every column its own spline or the one of the column before, and scales it to the flux.
///
/// For a record, `recorded` holds the sums of the columns of the region, and the column that was tried twice.
pub(super) fn assign(
    pixels: &RegionPixels,
    columns: &[usize],
    outcomes: Vec<Outcome>,
    recorded: Option<(&[f64], Option<usize>)>,
) -> RegionTrace {
    let mut trace = RegionTrace::default();
    let mut record = RegionRecord::default();
    let mut bounds = (f64::NAN, f64::NAN);
    let mut from = 0;
    for (&column, outcome) in columns.iter().zip(outcomes) {
        match outcome {
            Outcome::TooFew => {
                record.absent.push((column, Absence::TooFewPixels));
                continue;
            }
            Outcome::Fitted(spline, range, fit) => {
                trace.splines.push(spline);
                record.fits.extend(fit.map(|fit| *fit));
                (bounds, from) = (range, column);
            }
            Outcome::Refused | Outcome::Impossible => {}
        }
        let Some(spline) = trace.splines.last() else {
            record.absent.push((column, Absence::NoFit));
            continue;
        };
        let is_inside = |&i: &usize| bounds.0 <= pixels.alpha[i] && pixels.alpha[i] <= bounds.1;
        let (flux, model): (Vec<f64>, Vec<f64>) = pixels
            .column(column)
            .filter(is_inside)
            .map(|i| (pixels.flux[i], spline.eval(pixels.alpha[i])))
            .unzip();
        let scale = column_scale(&flux, &model);
        trace.columns.push(ColumnTrace { column, spline: trace.splines.len() - 1, scale, bounds });
        if let Some((sums, retried)) = recorded {
            let origin = match () {
                () if from != column => Origin::Reused,
                () if retried == Some(column) => Origin::Retried,
                () => Origin::Fitted,
            };
            let place = column.checked_sub(pixels.columns.start);
            let norm = place.and_then(|x| sums.get(x)).copied().unwrap_or(f64::NAN);
            record.columns.push(ColumnRecord { origin, from, norm });
        }
    }
    trace.record = recorded.map(|_| record);
    trace
}
