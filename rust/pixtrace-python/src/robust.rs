//! Fits with covariances, and oversampling with errors.

use std::collections::BTreeMap;

use numpy::{Element, IntoPyArray, PyReadonlyArray2};
use pixtrace::numeric::Real;
use pixtrace::trace::{self, ErrorParams, Exposure, FitParams, Residual, RobustParams, Thresholds};
use pyo3::prelude::*;

use crate::error::{BoundaryResult, DataError};
use crate::fit::FitArguments;
use crate::model::PyTraceModel;
use crate::oversample::OversampleArguments;
use crate::planes::Plane;
use crate::run::{Settings, run};

/// Planes of one exposure, all of one precision.
pub(crate) struct Planes<'py, T: Element> {
    pub(crate) flux: PyReadonlyArray2<'py, T>,
    pub(crate) error: Option<PyReadonlyArray2<'py, T>>,
    pub(crate) variances: Vec<PyReadonlyArray2<'py, T>>,
}

/// The planes of either precision.
pub(crate) enum Given<'py> {
    Single(Planes<'py, f32>),
    Double(Planes<'py, f64>),
}

pub(crate) fn gather<'py>(
    flux: Plane<'py>,
    error: Option<Plane<'py>>,
    variances: Vec<Plane<'py>>,
) -> BoundaryResult<Given<'py>> {
    let differ = || DataError::new_err("flux, error and variances differ in precision");
    match flux {
        Plane::Single(flux) => {
            let single = |plane| match plane {
                Plane::Single(plane) => Ok(plane),
                Plane::Double(_) => Err(differ()),
            };
            Ok(Given::Single(Planes {
                flux,
                error: error.map(single).transpose()?,
                variances: variances.into_iter().map(single).collect::<Result<_, _>>()?,
            }))
        }
        Plane::Double(flux) => {
            let double = |plane| match plane {
                Plane::Double(plane) => Ok(plane),
                Plane::Single(_) => Err(differ()),
            };
            Ok(Given::Double(Planes {
                flux,
                error: error.map(double).transpose()?,
                variances: variances.into_iter().map(double).collect::<Result<_, _>>()?,
            }))
        }
    }
}

/// The choices of the weighted fit, by the names that the Python layer has for them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct RobustArguments {
    half_windows: Vec<usize>,
    knots_per_pixel: Vec<f64>,
    clip_sigma: f64,
}

impl From<RobustArguments> for RobustParams {
    fn from(fit: RobustArguments) -> Self {
        Self {
            half_windows: fit.half_windows,
            knots_per_pixel: fit.knots_per_pixel,
            clip_sigma: fit.clip_sigma,
        }
    }
}

/// Which fit is to be made.
enum Fit {
    Reference(Thresholds, FitParams),
    Robust(RobustParams),
}

/// Fits every region as the reference does, with a record of the fit.
#[pyfunction]
#[pyo3(signature = (flux, error, alpha, region_map, *, variances, peak_threshold, snr_threshold, fit, n_threads, progress))]
#[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
pub(crate) fn fit_all_regions_recorded<'py>(
    py: Python<'py>,
    flux: Plane<'py>,
    error: Option<Plane<'py>>,
    alpha: PyReadonlyArray2<'py, f64>,
    region_map: PyReadonlyArray2<'py, i32>,
    variances: Vec<Plane<'py>>,
    peak_threshold: Option<BTreeMap<i32, f64>>,
    snr_threshold: Option<f64>,
    fit: FitArguments,
    n_threads: Option<usize>,
    progress: Option<Bound<'py, PyAny>>,
) -> BoundaryResult<PyTraceModel> {
    let thresholds = Thresholds { peak: peak_threshold, snr: snr_threshold };
    let fit = Fit::Reference(thresholds, FitParams::from(fit));
    let settings = Settings { n_threads, progress };
    match gather(flux, error, variances)? {
        Given::Single(planes) => fit_planes(py, &settings, &planes, &alpha, &region_map, &fit),
        Given::Double(planes) => fit_planes(py, &settings, &planes, &alpha, &region_map, &fit),
    }
}

/// Fits every region with weights.
#[pyfunction]
#[pyo3(signature = (flux, error, alpha, region_map, *, variances, fit, n_threads, progress))]
#[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
pub(crate) fn fit_robust<'py>(
    py: Python<'py>,
    flux: Plane<'py>,
    error: Option<Plane<'py>>,
    alpha: PyReadonlyArray2<'py, f64>,
    region_map: PyReadonlyArray2<'py, i32>,
    variances: Vec<Plane<'py>>,
    fit: RobustArguments,
    n_threads: Option<usize>,
    progress: Option<Bound<'py, PyAny>>,
) -> BoundaryResult<PyTraceModel> {
    let fit = Fit::Robust(fit.into());
    let settings = Settings { n_threads, progress };
    match gather(flux, error, variances)? {
        Given::Single(planes) => fit_planes(py, &settings, &planes, &alpha, &region_map, &fit),
        Given::Double(planes) => fit_planes(py, &settings, &planes, &alpha, &region_map, &fit),
    }
}

fn fit_planes<T: Real + Element>(
    py: Python<'_>,
    settings: &Settings<'_>,
    planes: &Planes<'_, T>,
    alpha: &PyReadonlyArray2<'_, f64>,
    region_map: &PyReadonlyArray2<'_, i32>,
    fit: &Fit,
) -> BoundaryResult<PyTraceModel> {
    let error = planes.error.as_ref().map(|error| error.as_array());
    let exposure =
        Exposure::new(planes.flux.as_array(), error, alpha.as_array(), region_map.as_array())?;
    let variances: Vec<_> = planes.variances.iter().map(|plane| plane.as_array()).collect();
    let model = run(py, settings, |control| match fit {
        Fit::Reference(thresholds, params) => {
            trace::fit_all_regions_recorded(&exposure, &variances, thresholds, params, control)
        }
        Fit::Robust(params) => trace::fit_robust(&exposure, &variances, params, control),
    })?;
    Ok(PyTraceModel(model))
}

type List<'py> = Vec<Bound<'py, PyAny>>;

/// Lists of planes: those of the flux, variances by component, covariances by distance, and where the model is adequate if
/// that was asked for.
type Lists<'py> = (List<'py>, List<'py>, List<'py>, List<'py>);

/// What is oversampled, and how.
struct Job<'a, 'py> {
    model: &'a PyTraceModel,
    alpha: PyReadonlyArray2<'py, f64>,
    region_map: PyReadonlyArray2<'py, i32>,
    alpha_os: PyReadonlyArray2<'py, f64>,
    params: trace::OversampleParams,
    errors: ErrorParams,
    settings: Settings<'py>,
}

/// What is worked out besides the flux, by the names that the Python layer has for it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct ErrorArguments {
    significant: bool,
    n_covariances: usize,
    adequacy: bool,
    known_profile: bool,
}

impl From<ErrorArguments> for ErrorParams {
    fn from(given: ErrorArguments) -> Self {
        let ErrorArguments { significant, n_covariances, adequacy, known_profile } = given;
        let residual = if significant { Residual::Significant } else { Residual::Whole };
        Self { residual, n_covariances, adequacy, known_profile }
    }
}

/// Oversamples an exposure, and propagates its variances.
#[pyfunction]
#[pyo3(signature = (
    model, flux, error, alpha, region_map, alpha_os, *, variances, params, errors, single, n_threads, progress
))]
#[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
pub(crate) fn oversample_with_errors<'py>(
    py: Python<'py>,
    model: &Bound<'py, PyTraceModel>,
    flux: Plane<'py>,
    error: Option<Plane<'py>>,
    alpha: PyReadonlyArray2<'py, f64>,
    region_map: PyReadonlyArray2<'py, i32>,
    alpha_os: PyReadonlyArray2<'py, f64>,
    variances: Vec<Plane<'py>>,
    params: OversampleArguments,
    errors: ErrorArguments,
    single: bool,
    n_threads: Option<usize>,
    progress: Option<Bound<'py, PyAny>>,
) -> BoundaryResult<Lists<'py>> {
    let job = Job {
        model: model.get(),
        alpha,
        region_map,
        alpha_os,
        params: params.into(),
        errors: errors.into(),
        settings: Settings { n_threads, progress },
    };
    match (gather(flux, error, variances)?, single) {
        (Given::Single(planes), true) => job.run::<f32, f32>(py, &planes),
        (Given::Single(planes), false) => job.run::<f32, f64>(py, &planes),
        (Given::Double(planes), true) => job.run::<f64, f32>(py, &planes),
        (Given::Double(planes), false) => job.run::<f64, f64>(py, &planes),
    }
}

impl<'py> Job<'_, 'py> {
    fn run<T: Real + Element, O: Real + Element>(
        &self,
        py: Python<'py>,
        planes: &Planes<'_, T>,
    ) -> BoundaryResult<Lists<'py>> {
        let error = planes.error.as_ref().map(|error| error.as_array());
        let (alpha, map) = (self.alpha.as_array(), self.region_map.as_array());
        let exposure = Exposure::new(planes.flux.as_array(), error, alpha, map)?;
        let variances: Vec<_> = planes.variances.iter().map(|plane| plane.as_array()).collect();
        let (model, alpha_os) = (&self.model.0, self.alpha_os.as_array());
        let (params, errors) = (&self.params, self.errors);
        let (flux, errors) = run(py, &self.settings, |control| {
            trace::oversample_with_errors::<T, O>(
                &exposure, &variances, model, alpha_os, params, errors, control,
            )
        })?;
        let flux =
            [flux.flux, flux.trace_used, flux.full_trace, flux.linear_flux, flux.residual_flux];
        let out = |planes: Vec<ndarray::Array2<O>>| -> List<'py> {
            planes.into_iter().map(|plane| plane.into_pyarray(py).into_any()).collect()
        };
        let adequate = errors.adequate.into_iter().collect();
        Ok((out(flux.into()), out(errors.variances), out(errors.covariances), out(adequate)))
    }
}
