//! Time series: the shared profile and the scales of the integrations.

mod grid;

use numpy::{Element, IntoPyArray, PyArray1, PyArray2, PyReadonlyArray2, PyReadonlyArray3};
use pixtrace::numeric::Real;
use pixtrace::trace::{
    Chunk, Combination, Exposure, RegionScales, Residual, SeriesFit, SharedParams, SharedProfile,
};
use pyo3::prelude::*;

use crate::error::{BoundaryResult, DataError};
use crate::model::PyTraceModel;
use crate::planes::Plane;
use crate::run::{Settings, run};

pub(crate) use grid::PySeriesGrid;

/// Cubes of single or double precision.
#[derive(FromPyObject)]
pub(crate) enum Cube<'py> {
    Single(PyReadonlyArray3<'py, f32>),
    Double(PyReadonlyArray3<'py, f64>),
}

/// Some integrations: flux, its error, components of the variance; all of one precision.
type GivenChunk<'py> = (Cube<'py>, Option<Cube<'py>>, Vec<Cube<'py>>);

/// The mean of all integrations: flux, its error, components of its variance.
type GivenMean<'py> = (Plane<'py>, Option<Plane<'py>>, Vec<Plane<'py>>);

/// Columns, scale, variance, chi2, used and rejected pixels, shift and its variance, by region.
type Scales<'py> = (
    i32,
    (usize, usize),
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<u32>>,
    Bound<'py, PyArray2<u32>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
);

fn differ() -> PyErr {
    DataError::new_err("flux, error and variances differ in precision")
}

/// Numbers of one of the two precisions.
trait Precision: Real + Element {
    fn cube<'a, 'py>(cube: &'a Cube<'py>) -> Option<&'a PyReadonlyArray3<'py, Self>>;
    fn plane<'a, 'py>(plane: &'a Plane<'py>) -> Option<&'a PyReadonlyArray2<'py, Self>>;
}

impl Precision for f32 {
    fn cube<'a, 'py>(cube: &'a Cube<'py>) -> Option<&'a PyReadonlyArray3<'py, Self>> {
        if let Cube::Single(cube) = cube { Some(cube) } else { None }
    }
    fn plane<'a, 'py>(plane: &'a Plane<'py>) -> Option<&'a PyReadonlyArray2<'py, Self>> {
        if let Plane::Single(plane) = plane { Some(plane) } else { None }
    }
}

impl Precision for f64 {
    fn cube<'a, 'py>(cube: &'a Cube<'py>) -> Option<&'a PyReadonlyArray3<'py, Self>> {
        if let Cube::Double(cube) = cube { Some(cube) } else { None }
    }
    fn plane<'a, 'py>(plane: &'a Plane<'py>) -> Option<&'a PyReadonlyArray2<'py, Self>> {
        if let Plane::Double(plane) = plane { Some(plane) } else { None }
    }
}

fn chunk_of<'a, T: Precision>(
    (flux, error, variances): &'a GivenChunk<'_>,
) -> BoundaryResult<Chunk<'a, T>> {
    let view = |cube: &'a Cube<'_>| Ok(T::cube(cube).ok_or_else(differ)?.as_array());
    let variances = variances.iter().map(view).collect::<PyResult<_>>()?;
    Ok(Chunk::new(view(flux)?, error.as_ref().map(view).transpose()?, variances)?)
}

fn columns_of(scales: Vec<RegionScales>, py: Python<'_>) -> Vec<Scales<'_>> {
    let table = |region: RegionScales| {
        (
            region.label,
            (region.columns.start, region.columns.end),
            region.scale.into_pyarray(py),
            region.variance.into_pyarray(py),
            region.chi2.into_pyarray(py),
            region.n_used.into_pyarray(py),
            region.n_rejected.into_pyarray(py),
            region.shift.into_pyarray(py),
            region.shift_variance.into_pyarray(py),
        )
    };
    scales.into_iter().map(table).collect()
}

/// What all integrations share.
#[pyclass(frozen, name = "SeriesProfile", module = "pixtrace._native")]
pub(crate) struct PySeriesProfile(SharedProfile);

#[pymethods]
impl PySeriesProfile {
    /// The median of a few integrations.
    #[staticmethod]
    #[pyo3(signature = (sample, region_map, *, clip_sigma, n_threads))]
    fn first_look(
        py: Python<'_>,
        sample: GivenChunk<'_>,
        region_map: PyReadonlyArray2<'_, i32>,
        clip_sigma: f64,
        n_threads: Option<usize>,
    ) -> BoundaryResult<Self> {
        fn look<T: Precision>(
            py: Python<'_>,
            sample: &GivenChunk<'_>,
            region_map: &PyReadonlyArray2<'_, i32>,
            clip_sigma: f64,
            settings: &Settings<'_>,
        ) -> BoundaryResult<SharedProfile> {
            let (chunk, labels) = (chunk_of::<T>(sample)?, region_map.as_array());
            run(py, settings, |control| {
                SharedProfile::first_look(&chunk, labels, clip_sigma, control)
            })
        }
        let settings = Settings { n_threads, progress: None };
        let found = match &sample.0 {
            Cube::Single(_) => look::<f32>(py, &sample, &region_map, clip_sigma, &settings),
            Cube::Double(_) => look::<f64>(py, &sample, &region_map, clip_sigma, &settings),
        };
        Ok(Self(found?))
    }

    /// A model that was fitted to the mean of all integrations.
    #[new]
    #[pyo3(signature = (model, mean, noise, usual, alpha, region_map, *, clip_sigma, significant, n_threads))]
    #[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
    fn new(
        py: Python<'_>,
        model: &Bound<'_, PyTraceModel>,
        mean: GivenMean<'_>,
        noise: PyReadonlyArray2<'_, f64>,
        usual: PyReadonlyArray2<'_, f64>,
        alpha: PyReadonlyArray2<'_, f64>,
        region_map: PyReadonlyArray2<'_, i32>,
        clip_sigma: f64,
        significant: bool,
        n_threads: Option<usize>,
    ) -> BoundaryResult<Self> {
        let job = Shared {
            model: model.get(),
            noise,
            usual,
            alpha,
            region_map,
            params: SharedParams { clip_sigma, residual: residual(significant) },
            settings: Settings { n_threads, progress: None },
        };
        let found = match &mean.0 {
            Plane::Single(_) => job.run::<f32>(py, &mean),
            Plane::Double(_) => job.run::<f64>(py, &mean),
        };
        Ok(Self(found?))
    }

    /// Scales of some integrations, by region.
    #[pyo3(signature = (chunk, *, offset, max_shift, n_threads, progress))]
    fn fit<'py>(
        &self,
        py: Python<'py>,
        chunk: GivenChunk<'py>,
        offset: f64,
        max_shift: Option<f64>,
        n_threads: Option<usize>,
        progress: Option<Bound<'py, PyAny>>,
    ) -> BoundaryResult<Vec<Scales<'py>>> {
        fn fit<T: Precision>(
            py: Python<'_>,
            profile: &SharedProfile,
            chunk: &GivenChunk<'_>,
            params: &SeriesFit,
            settings: &Settings<'_>,
        ) -> BoundaryResult<Vec<RegionScales>> {
            let chunk = chunk_of::<T>(chunk)?;
            run(py, settings, |control| profile.fit(&chunk, params, control))
        }
        let settings = Settings { n_threads, progress };
        let params = SeriesFit { offset, max_shift };
        let found = match &chunk.0 {
            Cube::Single(_) => fit::<f32>(py, &self.0, &chunk, &params, &settings),
            Cube::Double(_) => fit::<f64>(py, &self.0, &chunk, &params, &settings),
        };
        Ok(columns_of(found?, py))
    }
}

fn residual(significant: bool) -> Residual {
    if significant { Residual::Significant } else { Residual::Whole }
}

/// What a shared profile is made of.
struct Shared<'a, 'py> {
    model: &'a PyTraceModel,
    noise: PyReadonlyArray2<'py, f64>,
    usual: PyReadonlyArray2<'py, f64>,
    alpha: PyReadonlyArray2<'py, f64>,
    region_map: PyReadonlyArray2<'py, i32>,
    params: SharedParams,
    settings: Settings<'py>,
}

impl Shared<'_, '_> {
    fn run<T: Precision>(
        &self,
        py: Python<'_>,
        mean: &GivenMean<'_>,
    ) -> BoundaryResult<SharedProfile> {
        let exposure = exposure_of::<T>(mean, &self.alpha, &self.region_map)?;
        let (noise, usual) = (self.noise.as_array(), self.usual.as_array());
        let (model, params) = (&self.model.0, self.params);
        run(py, &self.settings, |control| {
            SharedProfile::new(&exposure, noise, usual, model, params, control)
        })
    }
}

fn exposure_of<'a, T: Precision>(
    (flux, error, _): &'a GivenMean<'_>,
    alpha: &'a PyReadonlyArray2<'_, f64>,
    region_map: &'a PyReadonlyArray2<'_, i32>,
) -> BoundaryResult<Exposure<'a, T>> {
    let view =
        |plane: &'a Plane<'_>| Ok::<_, PyErr>(T::plane(plane).ok_or_else(differ)?.as_array());
    let error = error.as_ref().map(view).transpose()?;
    Ok(Exposure::new(view(flux)?, error, alpha.as_array(), region_map.as_array())?)
}

/// The sum of the integrations so far.
#[pyclass(name = "SeriesCombination", module = "pixtrace._native")]
pub(crate) struct PySeriesCombination(Combination);

/// Flux, variances, mean variance of a pixel, usual residual, integrations used and rejected.
type Mean<'py> = (
    Bound<'py, PyArray2<f64>>,
    Vec<Bound<'py, PyArray2<f64>>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<u32>>,
    Bound<'py, PyArray2<u32>>,
);

#[pymethods]
impl PySeriesCombination {
    #[new]
    fn new(profile: &PySeriesProfile) -> Self {
        Self(Combination::new(profile.0.clone()))
    }

    /// Adds integrations.
    #[pyo3(signature = (chunk, *, n_threads, progress))]
    fn add<'py>(
        &mut self,
        py: Python<'py>,
        chunk: GivenChunk<'py>,
        n_threads: Option<usize>,
        progress: Option<Bound<'py, PyAny>>,
    ) -> BoundaryResult<()> {
        let settings = Settings { n_threads, progress };
        let sum = &mut self.0;
        match &chunk.0 {
            Cube::Single(_) => {
                let chunk = chunk_of::<f32>(&chunk)?;
                run(py, &settings, |control| sum.add(&chunk, control))
            }
            Cube::Double(_) => {
                let chunk = chunk_of::<f64>(&chunk)?;
                run(py, &settings, |control| sum.add(&chunk, control))
            }
        }
    }

    /// The mean so far.
    fn finish<'py>(&self, py: Python<'py>) -> Mean<'py> {
        let mean = self.0.finish();
        (
            mean.flux.into_pyarray(py),
            mean.variances.into_iter().map(|plane| plane.into_pyarray(py)).collect(),
            mean.noise.into_pyarray(py),
            mean.usual.into_pyarray(py),
            mean.n_used.into_pyarray(py),
            mean.n_rejected.into_pyarray(py),
        )
    }
}
