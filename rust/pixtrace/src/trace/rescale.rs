//! The splines of one exposure under the flux of another: scales made anew, shapes kept.

use rayon::prelude::*;

use super::exposure::{Exposure, RegionBox};
use super::model::{ColumnTrace, RegionTrace, TraceModel};
use super::record::{Absence, RegionRecord};
use super::region::RegionPixels;
use super::scale::column_scale;
use crate::numeric::Real;
use crate::numeric::stats::median;
use crate::{Control, Error};

/// Pixels this many errors off, and this many times what is usual in the column, do not set the scale.
const OUTLIER: f64 = 5.0;
/// Median absolute deviation of a normal distribution, inverted.
const MAD: f64 = 1.4826;

/// Scales the splines of a model to the flux of an exposure; splines and bounds stay as they are.
///
/// Regions that the exposure does not have are left out, and so are columns in which no pixel with finite flux lies
/// within the bounds of the spline: nothing says how bright the source is there.
///
/// Splines of a weighted fit are scaled by weighted least squares, if the exposure has errors; all others as the reference
/// does it.
///
/// The covariance of the splines stays what it was: that of the noise of the exposure they were fitted to, which has
/// nothing in common with the noise of this one. So the windows of the fits are empty in the record, as they hold no
/// pixel of this exposure, and `chi2` is NaN.
///
/// # Errors
/// [`Error::Cancelled`].
///
/// ```
/// use ndarray::Array2;
/// use pixtrace::trace::{Exposure, FitParams, Thresholds, fit_all_regions, rescale};
///
/// let alpha = Array2::from_shape_fn((24, 60), |(y, x)| y as f64 - 11.5 + 0.01 * x as f64);
/// let flux = alpha.mapv(|a: f64| (100.0 * (-0.5 * (a / 0.9).powi(2)).exp() + 1.0) as f32);
/// let (region, twice) = (Array2::from_elem((24, 60), 1_i32), flux.mapv(|f| 2.0 * f));
/// let params = FitParams { n_intervals: Some(30), require_ngood: Some(8), ..FitParams::default() };
/// let one = Exposure::new(flux.view(), None, alpha.view(), region.view())?;
/// let model = fit_all_regions(&one, &Thresholds::default(), &params, &Default::default())?;
/// let other = Exposure::new(twice.view(), None, alpha.view(), region.view())?;
/// let scaled = rescale(&other, &model, &Default::default())?;
/// let (old, new) = (model.regions[&1].columns[7], scaled.regions[&1].columns[7]);
/// assert!((new.scale / old.scale - 2.0).abs() < 1e-6);
/// # Ok::<(), pixtrace::Error>(())
/// ```
pub fn rescale<T: Real>(
    exposure: &Exposure<'_, T>,
    model: &TraceModel,
    control: &Control,
) -> Result<TraceModel, Error> {
    let boxes = exposure.regions().boxes();
    let jobs: Vec<(i32, &RegionTrace, &RegionBox)> = model
        .regions
        .iter()
        .filter_map(|(&label, trace)| boxes.get(&label).map(|bounds| (label, trace, bounds)))
        .collect();
    control.expect(jobs.iter().map(|(_, trace, _)| trace.columns.len()).sum());
    let regions = jobs
        .into_par_iter()
        .map(|(label, trace, bounds)| {
            let pixels = RegionPixels::new(exposure, label, bounds);
            let is_weighted = exposure.error().is_some()
                && trace.record.as_ref().is_some_and(|record| record.is_weighted);
            let columns: Vec<Option<ColumnTrace>> = trace
                .columns
                .par_iter()
                .map(|column| rescaled(&pixels, trace, column, is_weighted))
                .collect();
            control.advance(trace.columns.len());
            control.check()?;
            let record = trace.record.as_ref().map(|record| of_another(record, trace, &columns));
            let columns = columns.into_iter().flatten().collect();
            Ok((label, RegionTrace { splines: trace.splines.clone(), columns, record }))
        })
        .collect::<Vec<_>>();
    Ok(TraceModel { regions: regions.into_iter().collect::<Result<_, Error>>()? })
}

/// The record of a fit to another exposure than the one that its splines are scaled to; `None` stands for columns without
/// flux.
fn of_another(
    record: &RegionRecord,
    trace: &RegionTrace,
    columns: &[Option<ColumnTrace>],
) -> RegionRecord {
    let mut found = record.clone();
    for fit in &mut found.fits {
        fit.window = 0..0;
        fit.chi2 = f64::NAN;
    }
    let mut is_there = columns.iter().map(Option::is_some);
    found.columns.retain(|_| is_there.next().unwrap_or(false));
    let gone = trace.columns.iter().zip(columns).filter(|(_, column)| column.is_none());
    found.absent.extend(gone.map(|(old, _)| (old.column, Absence::TooFewPixels)));
    found.absent.sort_by_key(|(column, _)| *column);
    found
}

/// The trace of a column with the scale that the flux asks for; `None` where there is no flux.
fn rescaled(
    pixels: &RegionPixels,
    trace: &RegionTrace,
    column: &ColumnTrace,
    is_weighted: bool,
) -> Option<ColumnTrace> {
    let spline = trace.splines.get(column.spline)?;
    let within: Vec<usize> =
        pixels.column(column.column).filter(|&i| column.is_within(pixels.alpha[i])).collect();
    let flux: Vec<f64> = within.iter().map(|&i| pixels.flux[i]).collect();
    let model: Vec<f64> = within.iter().map(|&i| spline.eval(pixels.alpha[i])).collect();
    if !flux.iter().any(|f| f.is_finite()) {
        return None;
    }
    let scale = if is_weighted {
        let error: Vec<f64> = within.iter().map(|&i| pixels.error[i]).collect();
        weighted_scale(&flux, &error, &model)?
    } else {
        column_scale(&flux, &model)
    };
    Some(ColumnTrace { scale, ..*column })
}

/// Scale of a model by weighted least squares; `None` where no pixel has a flux and an error.
///
/// Pixels are left out that are far off what the weighted median of their ratios says.
fn weighted_scale(flux: &[f64], error: &[f64], model: &[f64]) -> Option<f64> {
    let mut points: Vec<(f64, f64)> = flux
        .iter()
        .zip(error)
        .zip(model)
        .filter(|((f, e), m)| f.is_finite() && e.is_finite() && **e > 0.0 && m.abs() > 0.0)
        // Ratio of flux to model, and what a unit of it is in errors.
        .map(|((f, e), m)| (f / m, m.abs() / e))
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = 0.5 * points.iter().map(|(_, weight)| weight).sum::<f64>();
    let mut below = 0.0;
    let middle = points.iter().find(|(_, weight)| {
        below += weight;
        below >= half
    });
    let middle = middle?.0;
    let mut off: Vec<f64> = points.iter().map(|(r, weight)| (r - middle).abs() * weight).collect();
    let limit = OUTLIER * (MAD * median(&mut off)).max(1.0);
    let kept = points.iter().filter(|(r, weight)| (r - middle).abs() * weight <= limit);
    let (above, below) =
        kept.fold((0.0, 0.0), |(above, below), (r, w)| (above + w * w * r, below + w * w));
    let scale = above / below;
    scale.is_finite().then_some(scale)
}
