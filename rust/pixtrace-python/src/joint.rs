//! Joint fits of several exposures.

use std::collections::BTreeMap;

use numpy::{Element, PyArray2, PyReadonlyArray2};
use pixtrace::numeric::Real;
use pixtrace::trace::{self, Exposure, Grouping, JointFit, JointGroup, JointParams, Place};
use pyo3::prelude::*;

use crate::error::{BoundaryError, BoundaryResult, DataError, ParameterError};
use crate::model::PyTraceModel;
use crate::planes::Plane;
use crate::robust::{Given, Planes, RobustArguments, gather};
use crate::run::{Settings, run};

/// Flux, error, alpha, region map and variances of an exposure.
type GivenExposure<'py> = (
    Plane<'py>,
    Option<Plane<'py>>,
    PyReadonlyArray2<'py, f64>,
    PyReadonlyArray2<'py, i32>,
    Vec<Plane<'py>>,
);

/// The choices of the joint fit, by the names that the Python layer has for them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct JointArguments {
    half_windows: Vec<usize>,
    knots_per_pixel: Vec<f64>,
    offsets: Option<Vec<f64>>,
    refine: bool,
    grouping: String,
    tolerance: f64,
    /// By exposure and label: the label under which profiles are shared, and what is added to the columns.
    places: Vec<BTreeMap<i32, (i32, usize)>>,
}

/// Labels, offsets, their covariance, steps, and the exposures that share a profile by label.
type Group<'py> =
    (Vec<i32>, Vec<f64>, Bound<'py, PyArray2<f64>>, usize, BTreeMap<i32, Vec<Vec<usize>>>);

/// Coordinates and labels of the exposures.
struct Grids<'py> {
    alpha: Vec<PyReadonlyArray2<'py, f64>>,
    region_map: Vec<PyReadonlyArray2<'py, i32>>,
}

/// Fits every region of several exposures together.
#[pyfunction]
#[pyo3(signature = (exposures, *, alone, joint, n_threads, progress))]
pub(crate) fn fit_joint<'py>(
    py: Python<'py>,
    exposures: Vec<GivenExposure<'py>>,
    alone: RobustArguments,
    joint: JointArguments,
    n_threads: Option<usize>,
    progress: Option<Bound<'py, PyAny>>,
) -> BoundaryResult<(Vec<PyTraceModel>, Vec<Group<'py>>)> {
    let params = JointParams {
        alone: alone.into(),
        half_windows: joint.half_windows,
        knots_per_pixel: joint.knots_per_pixel,
        offsets: joint.offsets,
        is_refined: joint.refine,
        tolerance: joint.tolerance,
        places: joint.places.into_iter().map(places).collect(),
        grouping: match joint.grouping.as_str() {
            "all" => Grouping::All,
            "hundreds" => Grouping::Hundreds,
            "each" => Grouping::Each,
            other => {
                let text = format!("`grouping` = {other:?}; it must be all, hundreds or each");
                return Err(ParameterError::new_err(text).into());
            }
        },
    };
    let settings = Settings { n_threads, progress };
    let mut grids = Grids { alpha: Vec::new(), region_map: Vec::new() };
    let (mut single, mut double) = (Vec::new(), Vec::new());
    for (flux, error, alpha, region_map, variances) in exposures {
        match gather(flux, error, variances)? {
            Given::Single(planes) => single.push(planes),
            Given::Double(planes) => double.push(planes),
        }
        grids.alpha.push(alpha);
        grids.region_map.push(region_map);
    }
    let fit = match (single.is_empty(), double.is_empty()) {
        (false, false) => {
            return Err(DataError::new_err("the exposures differ in precision").into());
        }
        (false, true) => fit_planes(py, &settings, &single, &grids, &params)?,
        _ => fit_planes(py, &settings, &double, &grids, &params)?,
    };
    let groups = fit.groups.into_iter().map(|group| out(py, group)).collect::<Result<_, _>>()?;
    Ok((fit.models.into_iter().map(PyTraceModel).collect(), groups))
}

fn places(of_one: BTreeMap<i32, (i32, usize)>) -> BTreeMap<i32, Place> {
    let place = |(own, (label, columns))| (own, Place { label, columns });
    of_one.into_iter().map(place).collect()
}

fn fit_planes<T: Real + Element>(
    py: Python<'_>,
    settings: &Settings<'_>,
    planes: &[Planes<'_, T>],
    grids: &Grids<'_>,
    params: &JointParams,
) -> BoundaryResult<JointFit> {
    let mut exposures = Vec::with_capacity(planes.len());
    for ((planes, alpha), region_map) in planes.iter().zip(&grids.alpha).zip(&grids.region_map) {
        let error = planes.error.as_ref().map(|error| error.as_array());
        let (alpha, region_map) = (alpha.as_array(), region_map.as_array());
        exposures.push(Exposure::new(planes.flux.as_array(), error, alpha, region_map)?);
    }
    let variances: Vec<Vec<_>> =
        planes.iter().map(|p| p.variances.iter().map(|v| v.as_array()).collect()).collect();
    run(py, settings, |control| trace::fit_joint(&exposures, &variances, params, control))
}

fn out(py: Python<'_>, group: JointGroup) -> BoundaryResult<Group<'_>> {
    let JointGroup { labels, offsets, covariance, n_steps, shared } = group;
    let covariance = PyArray2::from_vec2(py, &covariance)
        .map_err(|_| BoundaryError::internal("a covariance that is not square"))?;
    Ok((labels, offsets, covariance, n_steps, shared))
}
