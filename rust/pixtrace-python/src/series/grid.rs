//! The integrations of a time series on the finer grid.

use numpy::{IntoPyArray, PyReadonlyArray2, PyReadonlyArray3};
use pixtrace::trace::{SeriesErrors, SeriesFit, SeriesGrid, SeriesGridParams, SharedProfile};
use pyo3::prelude::*;

use super::{
    Cube, GivenChunk, GivenMean, Precision, PySeriesProfile, Scales, chunk_of, columns_of, differ,
    exposure_of, residual,
};
use crate::error::BoundaryResult;
use crate::model::PyTraceModel;
use crate::oversample::OversampleArguments;
use crate::planes::Plane;
use crate::run::{Settings, run};

/// What [`PySeriesGrid::oversample`] returns: planes, errors, data quality, number of filled pixels, scales.
type Fine<'py> =
    (Vec<Bound<'py, PyAny>>, Vec<Bound<'py, PyAny>>, Bound<'py, PyAny>, usize, Vec<Scales<'py>>);

/// The finer grid.
#[pyclass(frozen, name = "SeriesGrid", module = "pixtrace._native")]
pub(crate) struct PySeriesGrid(SeriesGrid);

/// The parameters of the grid, by the names that the Python layer has for them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct GridArguments {
    significant: bool,
    propagated: bool,
    density: bool,
    inflation: f64,
}

#[pymethods]
impl PySeriesGrid {
    #[new]
    #[pyo3(signature = (profile, model, mean, alpha, region_map, alpha_os, variances, *, params, grid, n_threads))]
    #[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
    fn new(
        py: Python<'_>,
        profile: &PySeriesProfile,
        model: &Bound<'_, PyTraceModel>,
        mean: GivenMean<'_>,
        alpha: PyReadonlyArray2<'_, f64>,
        region_map: PyReadonlyArray2<'_, i32>,
        alpha_os: PyReadonlyArray2<'_, f64>,
        variances: Vec<PyReadonlyArray2<'_, f64>>,
        params: OversampleArguments,
        grid: GridArguments,
        n_threads: Option<usize>,
    ) -> BoundaryResult<Self> {
        let errors =
            if grid.propagated { SeriesErrors::Propagated } else { SeriesErrors::Interpolated };
        let params = SeriesGridParams {
            oversample: params.into(),
            residual: residual(grid.significant),
            errors,
            is_density: grid.density,
            inflation: grid.inflation,
        };
        let job = Grid {
            profile: &profile.0,
            model: model.get(),
            alpha,
            region_map,
            alpha_os,
            variances,
            params,
            settings: Settings { n_threads, progress: None },
        };
        let found = match &mean.0 {
            Plane::Single(_) => job.run::<f32>(py, &mean),
            Plane::Double(_) => job.run::<f64>(py, &mean),
        };
        Ok(Self(found?))
    }

    /// Puts some integrations on the grid.
    #[pyo3(signature = (chunk, dq, *, offset, max_shift, n_threads, progress))]
    #[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
    fn oversample<'py>(
        &self,
        py: Python<'py>,
        chunk: GivenChunk<'py>,
        dq: Option<PyReadonlyArray3<'py, u32>>,
        offset: f64,
        max_shift: Option<f64>,
        n_threads: Option<usize>,
        progress: Option<Bound<'py, PyAny>>,
    ) -> BoundaryResult<Fine<'py>> {
        fn made<'py, T: Precision>(
            py: Python<'py>,
            grid: &SeriesGrid,
            chunk: &GivenChunk<'py>,
            dq: Option<&PyReadonlyArray3<'py, u32>>,
            params: &SeriesFit,
            settings: &Settings<'py>,
        ) -> BoundaryResult<Fine<'py>> {
            let chunk = chunk_of::<T>(chunk)?;
            let dq = dq.map(|dq| dq.as_array());
            let fine = run(py, settings, |control| grid.oversample(&chunk, dq, params, control))?;
            Ok((
                fine.planes.into_iter().map(|plane| plane.into_pyarray(py).into_any()).collect(),
                fine.errors.into_iter().map(|plane| plane.into_pyarray(py).into_any()).collect(),
                fine.dq.into_pyarray(py).into_any(),
                fine.n_filled,
                columns_of(fine.scales, py),
            ))
        }
        let settings = Settings { n_threads, progress };
        let params = SeriesFit { offset, max_shift };
        match &chunk.0 {
            Cube::Single(_) => made::<f32>(py, &self.0, &chunk, dq.as_ref(), &params, &settings),
            Cube::Double(_) => made::<f64>(py, &self.0, &chunk, dq.as_ref(), &params, &settings),
        }
    }
}

/// What a grid is made of.
struct Grid<'a, 'py> {
    profile: &'a SharedProfile,
    model: &'a PyTraceModel,
    alpha: PyReadonlyArray2<'py, f64>,
    region_map: PyReadonlyArray2<'py, i32>,
    alpha_os: PyReadonlyArray2<'py, f64>,
    variances: Vec<PyReadonlyArray2<'py, f64>>,
    params: SeriesGridParams,
    settings: Settings<'py>,
}

impl Grid<'_, '_> {
    fn run<T: Precision>(
        &self,
        py: Python<'_>,
        mean: &GivenMean<'_>,
    ) -> BoundaryResult<SeriesGrid> {
        let exposure = exposure_of::<T>(mean, &self.alpha, &self.region_map)?;
        let components = mean
            .2
            .iter()
            .map(|plane| Ok(T::plane(plane).ok_or_else(differ)?.as_array()))
            .collect::<PyResult<Vec<_>>>()?;
        let variances: Vec<_> = self.variances.iter().map(|plane| plane.as_array()).collect();
        let (alpha_os, model) = (self.alpha_os.as_array(), &self.model.0);
        let (profile, params) = (self.profile, self.params.clone());
        run(py, &self.settings, |control| {
            let mean = (&exposure, components.as_slice());
            SeriesGrid::new(profile, mean, model, alpha_os, &variances, params, control)
        })
    }
}
