//! Fits of regions.

use std::collections::BTreeMap;

use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pixtrace::numeric::Real;
use pixtrace::trace::{
    self, Exposure, FitParams, RegionPixels, RejectionParams, Thresholds, TraceModel,
};
use pyo3::prelude::*;

use crate::error::{BoundaryResult, DataError};
use crate::model::PyTraceModel;
use crate::planes::Plane;
use crate::robust::{Given, Planes, gather};
use crate::run::{Settings, run};

/// The parameters of a fit, by the names that the Python layer has for them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct FitArguments {
    lrange: usize,
    col_index: Option<Vec<usize>>,
    space_ratio: f64,
    sigma_low: f64,
    sigma_high: f64,
    fit_iter: usize,
    require_ngood: Option<usize>,
    spline_bkpt: Option<usize>,
    auto_ngood_factor: f64,
    auto_bkpt_factor: f64,
}

impl From<FitArguments> for FitParams {
    fn from(given: FitArguments) -> Self {
        Self {
            half_window: given.lrange,
            columns: given.col_index,
            n_intervals: given.spline_bkpt,
            require_ngood: given.require_ngood,
            auto_interval_factor: given.auto_bkpt_factor,
            auto_ngood_factor: given.auto_ngood_factor,
            rejection: RejectionParams {
                sigma_low: given.sigma_low,
                sigma_high: given.sigma_high,
                n_rounds: given.fit_iter,
                space_ratio: given.space_ratio,
            },
        }
    }
}

/// Fits every region of a map.
#[pyfunction]
#[pyo3(signature = (flux, error, alpha, region_map, *, peak_threshold, snr_threshold, fit, n_threads, progress))]
#[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
pub(crate) fn fit_all_regions<'py>(
    py: Python<'py>,
    flux: Plane<'py>,
    error: Option<Plane<'py>>,
    alpha: PyReadonlyArray2<'py, f64>,
    region_map: PyReadonlyArray2<'py, i32>,
    peak_threshold: Option<BTreeMap<i32, f64>>,
    snr_threshold: Option<f64>,
    fit: FitArguments,
    n_threads: Option<usize>,
    progress: Option<Bound<'py, PyAny>>,
) -> BoundaryResult<PyTraceModel> {
    let thresholds = Thresholds { peak: peak_threshold, snr: snr_threshold };
    let params = FitParams::from(fit);
    let settings = Settings { n_threads, progress };
    let (alpha, map) = (alpha.as_array(), region_map.as_array());
    let model = match (&flux, &error) {
        (Plane::Single(flux), None) => {
            let exposure = Exposure::new(flux.as_array(), None, alpha, map)?;
            run(py, &settings, |control| {
                trace::fit_all_regions(&exposure, &thresholds, &params, control)
            })
        }
        (Plane::Single(flux), Some(Plane::Single(error))) => {
            let exposure = Exposure::new(flux.as_array(), Some(error.as_array()), alpha, map)?;
            run(py, &settings, |control| {
                trace::fit_all_regions(&exposure, &thresholds, &params, control)
            })
        }
        (Plane::Double(flux), None) => {
            let exposure = Exposure::new(flux.as_array(), None, alpha, map)?;
            run(py, &settings, |control| {
                trace::fit_all_regions(&exposure, &thresholds, &params, control)
            })
        }
        (Plane::Double(flux), Some(Plane::Double(error))) => {
            let exposure = Exposure::new(flux.as_array(), Some(error.as_array()), alpha, map)?;
            run(py, &settings, |control| {
                trace::fit_all_regions(&exposure, &thresholds, &params, control)
            })
        }
        _ => {
            return Err(DataError::new_err("flux and error differ in precision").into());
        }
    }?;
    Ok(PyTraceModel(model))
}

/// Fits one region: all pixels with finite alpha. It gets the label 1.
#[pyfunction]
#[pyo3(signature = (flux, alpha, fit_scale, *, fit, n_threads, progress))]
pub(crate) fn fit_region<'py>(
    py: Python<'py>,
    flux: Plane<'py>,
    alpha: PyReadonlyArray2<'py, f64>,
    fit_scale: Option<PyReadonlyArray1<'py, f64>>,
    fit: FitArguments,
    n_threads: Option<usize>,
    progress: Option<Bound<'py, PyAny>>,
) -> BoundaryResult<PyTraceModel> {
    let params = FitParams::from(fit);
    let settings = Settings { n_threads, progress };
    let sums = fit_scale.map(|sums| sums.as_array().to_vec());
    let alpha = alpha.as_array();
    let model = match &flux {
        Plane::Single(flux) => fit_one(py, &settings, flux, alpha, sums.as_deref(), &params),
        Plane::Double(flux) => fit_one(py, &settings, flux, alpha, sums.as_deref(), &params),
    }?;
    Ok(PyTraceModel(model))
}

/// Scales the splines of a model to the flux of an image.
#[pyfunction]
#[pyo3(signature = (model, flux, error, alpha, region_map, *, n_threads))]
pub(crate) fn rescale<'py>(
    py: Python<'py>,
    model: &Bound<'py, PyTraceModel>,
    flux: Plane<'py>,
    error: Option<Plane<'py>>,
    alpha: PyReadonlyArray2<'py, f64>,
    region_map: PyReadonlyArray2<'py, i32>,
    n_threads: Option<usize>,
) -> BoundaryResult<PyTraceModel> {
    let settings = Settings { n_threads, progress: None };
    let (alpha, map) = (alpha.as_array(), region_map.as_array());
    let scaled = match gather(flux, error, Vec::new())? {
        Given::Single(planes) => rescale_planes(py, &settings, model, &planes, alpha, map),
        Given::Double(planes) => rescale_planes(py, &settings, model, &planes, alpha, map),
    }?;
    Ok(PyTraceModel(scaled))
}

fn rescale_planes<T: Real + numpy::Element>(
    py: Python<'_>,
    settings: &Settings<'_>,
    model: &Bound<'_, PyTraceModel>,
    planes: &Planes<'_, T>,
    alpha: ndarray::ArrayView2<'_, f64>,
    map: ndarray::ArrayView2<'_, i32>,
) -> BoundaryResult<TraceModel> {
    let error = planes.error.as_ref().map(|error| error.as_array());
    let exposure = Exposure::new(planes.flux.as_array(), error, alpha, map)?;
    let model = &model.get().0;
    run(py, settings, |control| trace::rescale(&exposure, model, control))
}

fn fit_one<T: Real + numpy::Element>(
    py: Python<'_>,
    settings: &Settings<'_>,
    flux: &PyReadonlyArray2<'_, T>,
    alpha: ndarray::ArrayView2<'_, f64>,
    sums: Option<&[f64]>,
    params: &FitParams,
) -> BoundaryResult<TraceModel> {
    let pixels = RegionPixels::whole(flux.as_array(), None, alpha)?;
    let n_columns = alpha.ncols();
    run(py, settings, |control| {
        let region = trace::fit_region::<T>(&pixels, sums, n_columns, params, control)?;
        Ok(TraceModel { regions: BTreeMap::from([(1, region)]) })
    })
}
