//! The splines of one exposure under the flux of another: scales made anew, shapes kept.

use rayon::prelude::*;

use super::exposure::{Exposure, RegionBox};
use super::model::{ColumnTrace, RegionTrace, TraceModel};
use super::region::RegionPixels;
use super::scale::column_scale;
use crate::numeric::Real;
use crate::{Control, Error};

/// Scales the splines of a model to the flux of an exposure; splines and bounds stay as they are.
///
/// Regions that the exposure does not have are left out, and so are columns in which no pixel with finite flux lies
/// within the bounds of the spline: nothing says how bright the source is there.
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
            let columns = trace
                .columns
                .par_iter()
                .filter_map(|column| rescaled(&pixels, trace, column))
                .collect();
            control.advance(trace.columns.len());
            control.check()?;
            // What the fit knew of its errors it knew of another exposure.
            Ok((label, RegionTrace { splines: trace.splines.clone(), columns, record: None }))
        })
        .collect::<Vec<_>>();
    Ok(TraceModel { regions: regions.into_iter().collect::<Result<_, Error>>()? })
}

/// The trace of a column with the scale that the flux asks for; `None` where there is no flux.
fn rescaled(
    pixels: &RegionPixels,
    trace: &RegionTrace,
    column: &ColumnTrace,
) -> Option<ColumnTrace> {
    let spline = trace.splines.get(column.spline)?;
    let (flux, model): (Vec<f64>, Vec<f64>) = pixels
        .column(column.column)
        .filter(|&i| column.is_within(pixels.alpha[i]))
        .map(|i| (pixels.flux[i], spline.eval(pixels.alpha[i])))
        .unzip();
    let is_seen = flux.iter().any(|f| f.is_finite());
    is_seen.then(|| ColumnTrace { scale: column_scale(&flux, &model), ..*column })
}
