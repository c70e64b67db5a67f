//! Uses of a model: its values anywhere, and spectra.

use std::collections::BTreeMap;

use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pixtrace::numeric::Real;
use pixtrace::trace::{self, Exposure, ExtractParams, Points, RegionSpectrum, SliceSpectrum};
use pyo3::prelude::*;

use crate::error::{BoundaryError, BoundaryResult, ParameterError};
use crate::model::PyTraceModel;
use crate::planes::Plane;
use crate::robust::{Given, Planes, gather};
use crate::run::{Settings, run, run_here};

type Doubles<'py> = Bound<'py, PyArray1<f64>>;

/// Where a model is wanted.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct PointArguments<'py> {
    alpha: PyReadonlyArray1<'py, f64>,
    region: PyReadonlyArray1<'py, i32>,
    column: PyReadonlyArray1<'py, i64>,
}

impl PointArguments<'_> {
    fn points(&self) -> BoundaryResult<Points<'_>> {
        let whole = |_| BoundaryError::from(ParameterError::new_err("points must be contiguous"));
        Ok(Points {
            alpha: self.alpha.as_slice().map_err(whole)?,
            region: self.region.as_slice().map_err(whole)?,
            column: self.column.as_slice().map_err(whole)?,
        })
    }
}

/// The model at points.
#[pyfunction]
#[pyo3(signature = (model, points, *, n_threads))]
pub(crate) fn evaluate<'py>(
    py: Python<'py>,
    model: &Bound<'py, PyTraceModel>,
    points: PointArguments<'py>,
    n_threads: Option<usize>,
) -> BoundaryResult<Doubles<'py>> {
    let (model, points) = (&model.get().0, points.points()?);
    let settings = Settings { n_threads, progress: None };
    let flux = run(py, &settings, |control| trace::evaluate(model, points, control))?;
    Ok(flux.into_pyarray(py))
}

/// Flux at points, and its variances by component.
type Evaluated<'py> = (Doubles<'py>, Vec<Doubles<'py>>);

/// The model at points, with variances from those of an exposure.
#[pyfunction]
#[pyo3(signature = (model, flux, error, alpha, region_map, points, *, variances, n_threads))]
#[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
pub(crate) fn evaluate_with_errors<'py>(
    py: Python<'py>,
    model: &Bound<'py, PyTraceModel>,
    flux: Plane<'py>,
    error: Option<Plane<'py>>,
    alpha: PyReadonlyArray2<'py, f64>,
    region_map: PyReadonlyArray2<'py, i32>,
    points: PointArguments<'py>,
    variances: Vec<Plane<'py>>,
    n_threads: Option<usize>,
) -> BoundaryResult<Evaluated<'py>> {
    let job = Job {
        model: model.get(),
        alpha,
        region_map,
        settings: Settings { n_threads, progress: None },
    };
    let points = points.points()?;
    match gather(flux, error, variances)? {
        Given::Single(planes) => job.evaluate(py, &planes, points),
        Given::Double(planes) => job.evaluate(py, &planes, points),
    }
}

/// How spectra are extracted, by the names that the Python layer has for it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
#[expect(clippy::struct_excessive_bools, reason = "four independent choices, not a state")]
pub(crate) struct ExtractArguments {
    source: Option<(f64, f64)>,
    is_density: bool,
    reject_outliers: bool,
    profile_errors: bool,
    planes: bool,
}

impl From<ExtractArguments> for ExtractParams {
    fn from(given: ExtractArguments) -> Self {
        Self {
            source: given.source,
            is_density: given.is_density,
            reject_outliers: given.reject_outliers,
            profile_errors: given.profile_errors,
            planes: given.planes,
        }
    }
}

/// The first column of a region; wavelength, flux, variance, noise, background, its variance, fraction, chi2; and the
/// numbers of pixels that were used, and that were rejected.
type Spectrum<'py> = (usize, Vec<Doubles<'py>>, Vec<Bound<'py, PyArray1<u32>>>);

/// Spectra by region, and planes: source, and variance of what is left.
type Extracted<'py> = (BTreeMap<i32, Spectrum<'py>>, Vec<Bound<'py, PyAny>>);

/// Spectra of all regions.
#[pyfunction]
#[pyo3(signature = (model, flux, error, alpha, region_map, wavelength, *, params, n_threads, progress))]
#[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
pub(crate) fn extract<'py>(
    py: Python<'py>,
    model: &Bound<'py, PyTraceModel>,
    flux: Plane<'py>,
    error: Option<Plane<'py>>,
    alpha: PyReadonlyArray2<'py, f64>,
    region_map: PyReadonlyArray2<'py, i32>,
    wavelength: Option<PyReadonlyArray2<'py, f64>>,
    params: ExtractArguments,
    n_threads: Option<usize>,
    progress: Option<Bound<'py, PyAny>>,
) -> BoundaryResult<Extracted<'py>> {
    let settings = Settings { n_threads, progress };
    let job = Job { model: model.get(), alpha, region_map, settings };
    let params = params.into();
    match gather(flux, error, Vec::new())? {
        Given::Single(planes) => job.extract(py, &planes, wavelength.as_ref(), &params),
        Given::Double(planes) => job.extract(py, &planes, wavelength.as_ref(), &params),
    }
}

/// A model and the coordinates of the exposure that it belongs to.
struct Job<'a, 'py> {
    model: &'a PyTraceModel,
    alpha: PyReadonlyArray2<'py, f64>,
    region_map: PyReadonlyArray2<'py, i32>,
    settings: Settings<'py>,
}

impl<'py> Job<'_, 'py> {
    fn exposure<'e, T: Real + Element>(
        &'e self,
        planes: &'e Planes<'py, T>,
    ) -> Result<Exposure<'e, T>, pixtrace::Error> {
        let error = planes.error.as_ref().map(|error| error.as_array());
        let (alpha, map) = (self.alpha.as_array(), self.region_map.as_array());
        Exposure::new(planes.flux.as_array(), error, alpha, map)
    }

    fn evaluate<T: Real + Element>(
        &self,
        py: Python<'py>,
        planes: &Planes<'py, T>,
        points: Points<'_>,
    ) -> BoundaryResult<Evaluated<'py>> {
        let exposure = self.exposure(planes)?;
        let variances: Vec<_> = planes.variances.iter().map(|plane| plane.as_array()).collect();
        let model = &self.model.0;
        let found = run(py, &self.settings, |control| {
            trace::evaluate_with_errors(&exposure, &variances, model, points, control)
        })?;
        let variances = found.variances.into_iter().map(|v| v.into_pyarray(py)).collect();
        Ok((found.flux.into_pyarray(py), variances))
    }

    fn extract<T: Real + Element>(
        &self,
        py: Python<'py>,
        planes: &Planes<'py, T>,
        wavelength: Option<&PyReadonlyArray2<'py, f64>>,
        params: &ExtractParams,
    ) -> BoundaryResult<Extracted<'py>> {
        let exposure = self.exposure(planes)?;
        let (model, wavelength) = (&self.model.0, wavelength.map(|plane| plane.as_array()));
        let found = run(py, &self.settings, |control| {
            trace::extract(&exposure, wavelength, model, params, control)
        })?;
        let spectra = found.regions.into_iter().map(|(label, s)| (label, arrays(py, s))).collect();
        let planes = [found.source, found.variance];
        let planes = planes.into_iter().map(|plane| plane.into_pyarray(py).into_any()).collect();
        Ok((spectra, planes))
    }
}

fn arrays(py: Python<'_>, spectrum: RegionSpectrum) -> Spectrum<'_> {
    let numbers = [
        spectrum.wavelength,
        spectrum.flux,
        spectrum.variance,
        spectrum.noise,
        spectrum.background,
        spectrum.background_variance,
        spectrum.fraction,
        spectrum.chi2,
    ];
    let counts = [spectrum.n_pixels, spectrum.n_rejected];
    (
        spectrum.columns.start,
        numbers.into_iter().map(|values| values.into_pyarray(py)).collect(),
        counts.into_iter().map(|values| values.into_pyarray(py)).collect(),
    )
}

/// Wavelength, flux, variance and noise of a slice.
type Slice<'py> = (
    PyReadonlyArray1<'py, f64>,
    PyReadonlyArray1<'py, f64>,
    PyReadonlyArray1<'py, f64>,
    PyReadonlyArray1<'py, f64>,
);

/// One spectrum of several: wavelength, flux, variance, fraction, chi2; and which of them took part.
#[pyfunction]
#[pyo3(signature = (slices, half_window))]
pub(crate) fn combine_slices<'py>(
    py: Python<'py>,
    slices: Vec<Slice<'py>>,
    half_window: usize,
) -> BoundaryResult<(Vec<Doubles<'py>>, Vec<bool>)> {
    let views: Vec<[Vec<f64>; 4]> = slices
        .iter()
        .map(|(w, f, v, n)| [w, f, v, n].map(|values| values.as_array().to_vec()))
        .collect();
    let found = run_here(py, || {
        let slices: Vec<SliceSpectrum<'_>> = views
            .iter()
            .map(|[wavelength, flux, variance, noise]| SliceSpectrum {
                wavelength,
                flux,
                variance,
                noise,
            })
            .collect();
        trace::combine_slices(&slices, half_window)
    })?;
    let numbers = [found.wavelength, found.flux, found.variance, found.fraction, found.chi2];
    let numbers = numbers.into_iter().map(|values| values.into_pyarray(py)).collect();
    Ok((numbers, found.is_used))
}
