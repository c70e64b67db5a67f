//! Evaluation of models: oversampled planes and trace images.

use numpy::{Element, IntoPyArray, PyArray2, PyReadonlyArray2};
use pixtrace::numeric::Real;
use pixtrace::trace::{self, Exposure, LinearParams, OversampleParams, Planes};
use pyo3::prelude::*;

use crate::error::BoundaryResult;
use crate::model::PyTraceModel;
use crate::planes::Plane;
use crate::run::{Settings, run};

/// The parameters of oversampling, by the names that the Python layer has for them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
#[expect(clippy::struct_excessive_bools, reason = "keyword arguments, not a state")]
pub(crate) struct OversampleArguments {
    oversample_factor: f64,
    require_ngood: usize,
    slope_limit: f64,
    psf_optimal: bool,
    trim_ends: bool,
    pad: f64,
    flipped: bool,
    trace_used: bool,
    full_trace: bool,
    linear_flux: bool,
    residual_flux: bool,
}

impl From<OversampleArguments> for OversampleParams {
    fn from(given: OversampleArguments) -> Self {
        Self {
            factor: given.oversample_factor,
            require_ngood: given.require_ngood,
            slope_limit: given.slope_limit,
            psf_optimal: given.psf_optimal,
            trim_ends: given.trim_ends,
            pad: given.pad,
            is_flipped: given.flipped,
            planes: Planes {
                trace_used: given.trace_used,
                full_trace: given.full_trace,
                linear_flux: given.linear_flux,
                residual_flux: given.residual_flux,
            },
        }
    }
}

/// Arrays of one of two types; which, the Python layer knows because it asked for it.
type Arrays<'py> = Vec<Bound<'py, PyAny>>;

/// Oversamples an exposure: flux, trace used, full trace, linear flux, residual flux.
#[pyfunction]
#[pyo3(signature = (model, flux, alpha, region_map, alpha_os, *, params, single, n_threads, progress))]
#[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
pub(crate) fn oversample<'py>(
    py: Python<'py>,
    model: &Bound<'py, PyTraceModel>,
    flux: Plane<'py>,
    alpha: PyReadonlyArray2<'py, f64>,
    region_map: PyReadonlyArray2<'py, i32>,
    alpha_os: PyReadonlyArray2<'py, f64>,
    params: OversampleArguments,
    single: bool,
    n_threads: Option<usize>,
    progress: Option<Bound<'py, PyAny>>,
) -> BoundaryResult<Arrays<'py>> {
    let params = OversampleParams::from(params);
    let settings = Settings { n_threads, progress };
    let job = Job { model: model.get(), alpha, region_map, alpha_os, params, settings };
    match (&flux, single) {
        (Plane::Single(flux), true) => job.run::<f32, f32>(py, flux),
        (Plane::Single(flux), false) => job.run::<f32, f64>(py, flux),
        (Plane::Double(flux), true) => job.run::<f64, f32>(py, flux),
        (Plane::Double(flux), false) => job.run::<f64, f64>(py, flux),
    }
}

struct Job<'a, 'py> {
    model: &'a PyTraceModel,
    alpha: PyReadonlyArray2<'py, f64>,
    region_map: PyReadonlyArray2<'py, i32>,
    alpha_os: PyReadonlyArray2<'py, f64>,
    params: OversampleParams,
    settings: Settings<'py>,
}

impl<'py> Job<'_, 'py> {
    fn run<T: Real + Element, O: Real + Element>(
        &self,
        py: Python<'py>,
        flux: &PyReadonlyArray2<'py, T>,
    ) -> BoundaryResult<Arrays<'py>> {
        let exposure = Exposure::new(
            flux.as_array(),
            None,
            self.alpha.as_array(),
            self.region_map.as_array(),
        )?;
        let (model, params, alpha_os) = (&self.model.0, &self.params, self.alpha_os.as_array());
        let planes = run(py, &self.settings, |control| {
            trace::oversample::<T, O>(&exposure, model, alpha_os, params, control)
        })?;
        let planes = [
            planes.flux,
            planes.trace_used,
            planes.full_trace,
            planes.linear_flux,
            planes.residual_flux,
        ];
        Ok(planes.into_iter().map(|plane| plane.into_pyarray(py).into_any()).collect())
    }
}

/// Interpolates a plane linearly onto the finer grid.
#[pyfunction]
#[pyo3(signature = (data, region_map, factor, require_ngood, *, edge_limit, preserve_nan, flipped, n_threads))]
#[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
pub(crate) fn linear_oversample<'py>(
    py: Python<'py>,
    data: Plane<'py>,
    region_map: PyReadonlyArray2<'py, i32>,
    factor: f64,
    require_ngood: usize,
    edge_limit: usize,
    preserve_nan: bool,
    flipped: bool,
    n_threads: Option<usize>,
) -> BoundaryResult<Bound<'py, PyArray2<f32>>> {
    let params =
        LinearParams { factor, require_ngood, edge_limit, preserve_nan, is_flipped: flipped };
    let settings = Settings { n_threads, progress: None };
    let map = region_map.as_array();
    let plane = match &data {
        Plane::Single(data) => {
            let data = data.as_array();
            run(py, &settings, |control| {
                trace::linear_oversample::<f32, f32>(data, map, &params, control)
            })
        }
        Plane::Double(data) => {
            let data = data.as_array();
            run(py, &settings, |control| {
                trace::linear_oversample::<f64, f32>(data, map, &params, control)
            })
        }
    }?;
    Ok(plane.into_pyarray(py))
}

/// The trace on the detector's own pixels: trace used, full trace; in single or double precision.
#[pyfunction]
#[pyo3(signature = (model, region_map, alpha, *, slope_limit, pad, single, n_threads))]
#[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
pub(crate) fn trace_image<'py>(
    py: Python<'py>,
    model: &Bound<'py, PyTraceModel>,
    region_map: PyReadonlyArray2<'py, i32>,
    alpha: PyReadonlyArray2<'py, f64>,
    slope_limit: f64,
    pad: f64,
    single: bool,
    n_threads: Option<usize>,
) -> BoundaryResult<Arrays<'py>> {
    let settings = Settings { n_threads, progress: None };
    let (map, alpha, model) = (region_map.as_array(), alpha.as_array(), &model.get().0);
    if single {
        let image = run(py, &settings, |control| {
            trace::trace_image::<f32>(model, map, alpha, slope_limit, pad, control)
        })?;
        Ok([image.trace_used, image.full_trace]
            .map(|plane| plane.into_pyarray(py).into_any())
            .into())
    } else {
        let image = run(py, &settings, |control| {
            trace::trace_image::<f64>(model, map, alpha, slope_limit, pad, control)
        })?;
        Ok([image.trace_used, image.full_trace]
            .map(|plane| plane.into_pyarray(py).into_any())
            .into())
    }
}
