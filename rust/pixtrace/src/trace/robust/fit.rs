//! The weighted fit of every region.

use rayon::prelude::*;

use super::super::exposure::{Exposure, RegionBox};
use super::super::model::{ColumnTrace, RegionTrace, TraceModel};
use super::super::profile::crossdisp_profile;
use super::super::record::{Absence, ColumnRecord, FitRecord, Origin, RegionRecord};
use super::super::region::RegionPixels;
use super::choose::{LEARNING, choose};
use super::equations::Equations;
use super::region::Weighted;
use crate::numeric::normal::{Band, Factor};
use crate::numeric::{BSpline, Real};
use crate::{Control, Error};

/// The first look at a region is a fit around every so many columns.
const NODE_STRIDE: usize = 8;
/// Knot spacings per pixel and half-width of the window of the first look.
const FIRST_LOOK: (f64, usize) = (1.5, 32);
/// Times that it is repeated, with better sums and without the outliers.
const N_LOOKS: usize = 3;
/// A column is fitted if it has more good pixels than this.
const FEWEST_PIXELS: usize = 3;
/// Slices shorter than this many pixels have no profile to speak of.
const SHORTEST: f64 = 4.0;
/// A coefficient whose variance is this many times what the points next to it alone would leave is bridged, not known.
const BRIDGED: f64 = 1e3;
/// Columns fitted by one task.
const COLUMNS_PER_TASK: usize = 64;

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
    fn check(&self) -> Result<(), Error> {
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
/// ([`FitRecord::covariance`]; component 0 is the square of the error, then come these). Without errors all pixels count
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
/// let errors = ErrorParams { residual: Residual::Significant, n_covariances: 1 };
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
    let is_negative = has_errors
        && crossdisp_profile::<T>(pixels).is_some_and(|profile| profile.has_negative_source());
    if !has_errors {
        // A first fit with all errors alike says what they are.
        let Some(mut region) = Weighted::new::<T>(pixels, false) else {
            return Ok(RegionTrace::default());
        };
        let residual = first_look(&mut region, params).1;
        let spread = Weighted::spread(&residual);
        if spread.is_finite() && spread > 0.0 {
            pixels.error.fill(spread);
        }
    }
    let n_columns = pixels.columns.len();
    let Some(mut region) =
        Weighted::new::<T>(pixels, is_negative).filter(|r| r.length() >= SHORTEST)
    else {
        control.advance(n_columns);
        return Ok(RegionTrace::default());
    };
    let (norms, _) = first_look(&mut region, params);
    let intervals = intervals_of(&region, &params.knots_per_pixel);
    let Some(choice) = choose(&region, &norms, &intervals, &params.half_windows) else {
        return Ok(RegionTrace::default());
    };
    control.check()?;
    let mut equations = Equations::new(&region, choice.n_intervals, &norms);
    equations.learn_smoothness(LEARNING.0, LEARNING.1);
    equations.prepare_records(components);
    let reach = region.reach();
    let columns: Vec<usize> = pixels.columns.clone().collect();
    let fits: Vec<Outcome> = columns
        .par_chunks(COLUMNS_PER_TASK)
        .flat_map_iter(|task| {
            control.advance(task.len());
            task.iter()
                .map(|&column| fit_column(&equations, &reach, choice.half_window, column))
                .collect::<Vec<_>>()
        })
        .collect();
    control.check()?;
    let mut trace = RegionTrace::default();
    let mut record = RegionRecord { is_weighted: true, ..RegionRecord::default() };
    for (&column, outcome) in columns.iter().zip(fits) {
        match outcome {
            Outcome::Fitted(fit) => {
                let Ok(spline) = BSpline::new(equations.knots.clone(), fit.coefficients) else {
                    continue;
                };
                trace.columns.push(ColumnTrace {
                    column,
                    spline: trace.splines.len(),
                    scale: fit.scale,
                    bounds: fit.bounds,
                });
                trace.splines.push(spline);
                let norm = equations.norms[column - pixels.columns.start];
                record.columns.push(ColumnRecord { origin: fit.origin, from: column, norm });
                record.fits.push(fit.record);
            }
            Outcome::Absent(why) => record.absent.push((column, why)),
        }
    }
    trace.record = Some(record);
    Ok(trace)
}

/// Numbers of intervals for numbers of knots per pixel.
fn intervals_of(region: &Weighted<'_>, per_pixel: &[f64]) -> Vec<usize> {
    let mut found: Vec<usize> =
        per_pixel.iter().map(|k| ((k * region.length()).round() as usize).clamp(3, 4096)).collect();
    found.dedup();
    found
}

/// Fits around some columns, to learn the total flux of every column and which pixels are outliers.
///
/// Returns the sums, and the residuals of all pixels in units of their error.
fn first_look(region: &mut Weighted<'_>, params: &RobustParams) -> (Vec<f64>, Vec<f64>) {
    let mut norms = region.plain_sums();
    let mut residual = Vec::new();
    let all = region.weight.clone();
    let n_intervals = intervals_of(region, &[FIRST_LOOK.0])[0];
    for look in 0..N_LOOKS {
        let (found, new) =
            one_look(&Equations::new(region, n_intervals, &norms), &norms, params.clip_sigma, &all);
        (norms, residual) = (region.smoothed(&found), new);
        if look + 1 < N_LOOKS {
            // From the beginning each time: the model of the last look was pulled by the outliers.
            region.weight.clone_from(&all);
            region.set_outliers_aside(&residual, params.clip_sigma);
        }
    }
    (norms, residual)
}

fn one_look(
    equations: &Equations<'_>,
    before: &[f64],
    clip: f64,
    all: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let region = equations.region;
    let columns = region.pixels.columns.clone();
    let mut norms = before.to_vec();
    let mut residual = vec![f64::NAN; region.pixels.row.len()];
    let (mut model, mut spare) = (Vec::new(), Vec::new());
    let mut solved: (usize, Option<Vec<f64>>) = (usize::MAX, None);
    for column in columns.clone() {
        let block = (column - columns.start) / NODE_STRIDE;
        if solved.0 != block {
            let node = (columns.start + block * NODE_STRIDE + NODE_STRIDE / 2).min(columns.end - 1);
            let sums = equations.of(&equations.window(node, FIRST_LOOK.1), None);
            solved = (block, sums.solve().map(|(coefficients, _)| coefficients));
        }
        let Some(coefficients) = &solved.1 else { continue };
        equations.model(column, coefficients, &mut model);
        let scale = region.robust_scale(column, &model, clip, &mut spare);
        if !scale.is_finite() {
            continue;
        }
        norms[column - columns.start] = region.filled_sum(column, &model, scale, &mut spare);
        for (i, &m) in region.pixels.column(column).zip(&model) {
            residual[i] = (region.pixels.flux[i] - scale * m) * all[i].sqrt();
            if all[i] == 0.0 {
                residual[i] = f64::NAN;
            }
        }
    }
    (norms, residual)
}

/// What came of the fit of a column.
enum Outcome {
    Fitted(Box<Fit>),
    Absent(Absence),
}

struct Fit {
    coefficients: Vec<f64>,
    scale: f64,
    bounds: (f64, f64),
    origin: Origin,
    record: FitRecord,
}

fn fit_column(
    equations: &Equations<'_>,
    reach: &[(f64, f64)],
    half_window: usize,
    column: usize,
) -> Outcome {
    let region = equations.region;
    let pixels = region.pixels;
    if region.n_good(column) <= FEWEST_PIXELS {
        return Outcome::Absent(Absence::TooFewPixels);
    }
    let window = equations.window(column, half_window);
    let sums = equations.of(&window, None);
    let Some((coefficients, factor)) = sums.solve() else { return Outcome::Absent(Absence::NoFit) };
    let mut model = Vec::new();
    equations.model(column, &coefficients, &mut model);
    let scale = region.scale(column, &model);
    if !scale.is_finite() {
        return Outcome::Absent(Absence::NoFit);
    }

    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for (x, &(lowest, highest)) in pixels.columns.clone().zip(reach) {
        if window.contains(&x) {
            (low, high) = (low.min(lowest), high.max(highest));
        }
    }
    let extras = equations.extras(&window);
    let chi2 = equations.chi2(&window, extras.squares, &coefficients);
    let mut noise = vec![Vec::new()];
    noise.extend(extras.noise);
    let half_pixel = 0.5 * region.pitch;
    let bounds = ((low - half_pixel).max(region.range.0), (high + half_pixel).min(region.range.1));
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
    Outcome::Fitted(Box::new(Fit { coefficients, scale, bounds, origin, record }))
}

/// Whether some coefficient is hardly known from the points.
fn is_bridged(information: &Band, factor: &Factor) -> bool {
    let inverse = factor.inverse_band();
    inverse.iter().zip(information).any(|(variance, own)| variance[0] * own[0] > BRIDGED)
}
