//! The weighted fit of every region.

use rayon::prelude::*;

use super::super::exposure::{Exposure, RegionBox};
use super::super::model::{RegionTrace, TraceModel};
use super::super::profile::crossdisp_profile;
use super::super::region::RegionPixels;
use super::choose::choose;
use super::columns::fit_columns;
use super::look::{first_look, intervals_of};
use super::region::Weighted;
use crate::numeric::Real;
use crate::{Control, Error};

/// Slices shorter than this many pixels have no profile to speak of.
const SHORTEST: f64 = 4.0;

/// How the weighted fit is done. Start from [`Default`] and change what you need.
#[derive(Clone, Debug, PartialEq)]
pub struct RobustParams {
    /// Half-widths of the window to choose from, in columns.
    pub half_windows: Vec<usize>,
    /// Knot spacings per native pixel to choose from.
    pub knots_per_pixel: Vec<f64>,
    /// Pixels this many times farther from the model than is usual at their place, and than their error, are outliers.
    pub clip_sigma: f64,
}

impl Default for RobustParams {
    fn default() -> Self {
        Self {
            half_windows: vec![4, 8, 16, 32, 64],
            knots_per_pixel: vec![1.0, 1.5, 2.0, 3.0],
            clip_sigma: 5.0,
        }
    }
}

impl RobustParams {
    pub(in super::super) fn check(&self) -> Result<(), Error> {
        let refuse = |name, value, must_be| Err(Error::Parameter { name, value, must_be });
        if self.half_windows.is_empty() || self.half_windows.contains(&0) {
            return refuse("half_windows", 0.0, "one or more numbers from 1 on");
        }
        if let Some(&bad) = self.knots_per_pixel.iter().find(|k| !(0.1..=10.0).contains(*k)) {
            return refuse("knots_per_pixel", bad, "from 0.1 to 10");
        }
        if self.knots_per_pixel.is_empty() {
            return refuse("knots_per_pixel", f64::NAN, "one or more numbers");
        }
        if !(self.clip_sigma.is_finite() && self.clip_sigma > 0.0) {
            return refuse("clip_sigma", self.clip_sigma, "finite and positive");
        }
        Ok(())
    }
}

/// Fits the trace of every region with weights, and records where each spline comes from and how uncertain it is.
///
/// No region is too faint: where there is nothing to see the model is the mean of the window. `variances` are the
/// components of the variance of the flux, for which the covariances are to be had one by one
/// ([`covariance`](crate::trace::FitRecord::covariance); component 0 is the square of the error, then come these). Without
/// errors all pixels count
/// alike, and their spread about the model is taken for their error.
///
/// # Errors
/// [`Error::Parameter`], [`Error::ShapeMismatch`], and [`Error::Cancelled`].
///
/// ```
/// use ndarray::Array2;
/// use pixtrace::trace::{
///     Exposure, OversampleParams, ErrorParams, Residual, RobustParams, fit_robust, oversample_with_errors,
/// };
///
/// let row = |m: usize, factor: f64| (m as f64 + 0.5) / factor - 0.5;
/// let alpha = |n: usize, f: f64| Array2::from_shape_fn((n, 90), |(m, x)| row(m, f) - 11.5 + 0.03 * x as f64);
/// let (native, fine) = (alpha(24, 1.0), alpha(48, 2.0));
/// let flux = native.mapv(|a: f64| 100.0 * (-0.5 * (a / 0.9).powi(2)).exp() + 1.0);
/// let (error, region) = (Array2::from_elem((24, 90), 0.5), Array2::from_elem((24, 90), 1_i32));
/// let exposure = Exposure::new(flux.view(), Some(error.view()), native.view(), region.view())?;
///
/// let model = fit_robust(&exposure, &[], &RobustParams::default(), &Default::default())?;
/// let record = model.regions[&1].record.as_ref().unwrap();
/// assert!(record.fits[45].chi2 < 0.1); // there is no noise in these data
/// let params = OversampleParams { slope_limit: 0.0, require_ngood: 3, ..OversampleParams::default() };
/// let errors = ErrorParams { residual: Residual::Significant, n_covariances: 1, ..ErrorParams::default() };
/// let (planes, found) = oversample_with_errors::<f64, f64>(
///     &exposure, &[], &model, fine.view(), &params, errors, &Default::default(),
/// )?;
/// let truth = 100.0 * (-0.5 * (fine[(23, 45)] / 0.9).powi(2)).exp() + 1.0;
/// assert!((planes.flux[(23, 45)] - truth).abs() < 0.5);
/// assert!(found.variances[0][(23, 45)].sqrt() < 0.5);
/// # Ok::<(), pixtrace::Error>(())
/// ```
pub fn fit_robust<T: Real>(
    exposure: &Exposure<'_, T>,
    variances: &[ndarray::ArrayView2<'_, T>],
    params: &RobustParams,
    control: &Control,
) -> Result<TraceModel, Error> {
    params.check()?;
    let map = exposure.regions();
    for variance in variances {
        map.check_shape("variance", variance.dim(), map.dim().0)?;
    }
    let boxes: Vec<(&i32, &RegionBox)> = map.boxes().iter().collect();
    control.expect(boxes.iter().map(|(_, bounds)| bounds.columns.len()).sum());
    let fits: Vec<Result<(i32, RegionTrace), Error>> = boxes
        .into_par_iter()
        .map(|(&label, bounds)| {
            control.check()?;
            let mut pixels = RegionPixels::new(exposure, label, bounds);
            let components: Vec<Vec<f64>> = variances
                .iter()
                .map(|&plane| pixels.collect(bounds, map.labels(), label, plane, Real::to_f64))
                .collect();
            let has_errors = exposure.error().is_some();
            let trace = fit_region::<T>(&mut pixels, has_errors, &components, params, control)?;
            Ok((label, trace))
        })
        .collect();
    Ok(TraceModel { regions: fits.into_iter().collect::<Result<_, _>>()? })
}

fn fit_region<T: Real>(
    pixels: &mut RegionPixels,
    has_errors: bool,
    components: &[Vec<f64>],
    params: &RobustParams,
    control: &Control,
) -> Result<RegionTrace, Error> {
    let n_columns = pixels.columns.len();
    let Some(region) = weighted::<T>(pixels, has_errors, params.clip_sigma) else {
        control.advance(n_columns);
        return Ok(RegionTrace::default());
    };
    let mut parts = [region];
    let norms = first_look(&mut parts, params.clip_sigma).0;
    let intervals = intervals_of(&parts, &params.knots_per_pixel);
    let Some(choice) = choose(&parts, &norms, &intervals, &params.half_windows) else {
        return Ok(RegionTrace::default());
    };
    control.check()?;
    let traces = fit_columns(&parts, &norms, &choice, &[components], control)?;
    Ok(traces.into_iter().next().unwrap_or_default())
}

/// The pixels of a region with their weights; `None` if it is no slice, or too short a one.
///
/// Without errors, a first fit with all errors alike says what they are.
pub(in super::super) fn weighted<T: Real>(
    pixels: &mut RegionPixels,
    has_errors: bool,
    clip: f64,
) -> Option<Weighted<'_>> {
    let is_negative = has_errors
        && crossdisp_profile::<T>(pixels).is_some_and(|profile| profile.has_negative_source());
    if !has_errors {
        let mut parts = [Weighted::new::<T>(pixels, false)?];
        let residuals = first_look(&mut parts, clip).1;
        let spread = Weighted::spread(&residuals[0]);
        if spread.is_finite() && spread > 0.0 {
            pixels.error.fill(spread);
        }
    }
    Weighted::new::<T>(pixels, is_negative).filter(|region| region.length() >= SHORTEST)
}
