//! The small pieces that fits and oversampling are made of, for callers who want one of them alone.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pixtrace::Error;
use pixtrace::numeric::{BSpline, Real};
use pixtrace::trace::{self, CompactRanges, FineGrid, Profile, RegionPixels, RejectionParams};
use pyo3::prelude::*;

use crate::error::BoundaryResult;
use crate::planes::{Plane, Vector};
use crate::run::{Settings, run, run_here};

/// Values of a cubic B-spline.
#[pyfunction]
pub(crate) fn evaluate_spline<'py>(
    py: Python<'py>,
    t: Vec<f64>,
    c: Vec<f64>,
    x: PyReadonlyArray1<'py, f64>,
) -> BoundaryResult<Bound<'py, PyArray1<f64>>> {
    let spline = BSpline::new(t, c)?;
    Ok(x.as_array().mapv(|x| spline.eval(x)).into_pyarray(py))
}

/// Knots and coefficients, as arrays.
type Spline<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

/// Fits one spline to points in the precision of `x`.
#[pyfunction]
#[pyo3(signature = (x, y, n_intervals, *, sigma_low, sigma_high, n_rounds, space_ratio))]
#[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
pub(crate) fn fit_spline<'py>(
    py: Python<'py>,
    x: Vector<'py>,
    y: PyReadonlyArray1<'py, f64>,
    n_intervals: usize,
    sigma_low: f64,
    sigma_high: f64,
    n_rounds: usize,
    space_ratio: f64,
) -> BoundaryResult<Option<Spline<'py>>> {
    let rules = RejectionParams { sigma_low, sigma_high, n_rounds, space_ratio };
    let y = y.as_array();
    let spline = match &x {
        Vector::Single(x) => {
            let y: Vec<f32> = y.iter().map(|&y| f32::from_f64(y)).collect();
            trace::fit_spline(&x.as_array().to_vec(), &y, n_intervals, &rules)
        }
        Vector::Double(x) => {
            trace::fit_spline(&x.as_array().to_vec(), &y.to_vec(), n_intervals, &rules)
        }
    }?;
    let arrays = |s: BSpline| {
        (s.knots().to_vec().into_pyarray(py), s.coefficients().to_vec().into_pyarray(py))
    };
    Ok(spline.map(arrays))
}

/// One value for each fine row.
fn for_each_row<T>(grid: &FineGrid, value: impl Fn(usize) -> T) -> Result<Vec<T>, Error> {
    let mut values = Vec::new();
    let n_bytes = grid.n_fine() * size_of::<T>();
    values.try_reserve_exact(grid.n_fine()).map_err(|_| Error::OutOfMemory { n_bytes })?;
    values.extend((0..grid.n_fine()).map(value));
    Ok(values)
}

/// Native row coordinates of the centres of the fine rows.
#[pyfunction]
#[pyo3(signature = (n_rows, factor, *, flipped))]
pub(crate) fn fine_rows(
    py: Python<'_>,
    n_rows: usize,
    factor: f64,
    flipped: bool,
) -> BoundaryResult<Bound<'_, PyArray1<f64>>> {
    let grid = FineGrid::new(n_rows, factor, flipped)?;
    Ok(for_each_row(&grid, |m| grid.position(m))?.into_pyarray(py))
}

/// The native row under the centre of each fine row.
#[pyfunction]
#[pyo3(signature = (n_rows, factor, *, flipped))]
pub(crate) fn nearest_rows(
    py: Python<'_>,
    n_rows: usize,
    factor: f64,
    flipped: bool,
) -> BoundaryResult<Bound<'_, PyArray1<i64>>> {
    let grid = FineGrid::new(n_rows, factor, flipped)?;
    Ok(for_each_row(&grid, |m| grid.nearest(m) as i64)?.into_pyarray(py))
}

/// Alpha at the centres of the fine pixels, interpolated from the native ones.
#[pyfunction]
#[pyo3(signature = (alpha, region_map, factor, *, flipped, n_threads))]
pub(crate) fn alpha_on_grid<'py>(
    py: Python<'py>,
    alpha: PyReadonlyArray2<'py, f64>,
    region_map: PyReadonlyArray2<'py, i32>,
    factor: f64,
    flipped: bool,
    n_threads: Option<usize>,
) -> BoundaryResult<Bound<'py, PyArray2<f64>>> {
    let (alpha, map) = (alpha.as_array(), region_map.as_array());
    let grid = FineGrid::new(map.nrows(), factor, flipped)?;
    let settings = Settings { n_threads, progress: None };
    let plane = run(py, &settings, |control| trace::alpha_on_grid(alpha, map, &grid, control))?;
    Ok(plane.into_pyarray(py))
}

/// Which alphas lie near a compact source, given the alphas at which a model is steep; precision that of `alpha`.
#[pyfunction]
#[pyo3(signature = (alpha, points, native_dalpha, n_bins, pad))]
pub(crate) fn compact_mask<'py>(
    py: Python<'py>,
    alpha: Plane<'py>,
    points: PyReadonlyArray1<'py, f64>,
    native_dalpha: f64,
    n_bins: usize,
    pad: f64,
) -> Bound<'py, PyArray2<bool>> {
    let points = points.as_array().to_vec();
    match &alpha {
        Plane::Single(alpha) => {
            let ranges = CompactRanges::find::<f32>(&points, native_dalpha, n_bins, pad);
            alpha.as_array().mapv(|a| ranges.contains(a.into())).into_pyarray(py)
        }
        Plane::Double(alpha) => {
            let ranges = CompactRanges::find::<f64>(&points, native_dalpha, n_bins, pad);
            alpha.as_array().mapv(|a| ranges.contains(a)).into_pyarray(py)
        }
    }
}

/// Alpha of the bin centres, and medians of flux, error and signal-to-noise ratio.
type ProfileArrays<'py> = (
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
);

/// Cross-dispersion profile of all pixels with finite alpha.
#[pyfunction]
pub(crate) fn crossdisp_profile<'py>(
    py: Python<'py>,
    flux: Plane<'py>,
    error: Plane<'py>,
    alpha: PyReadonlyArray2<'py, f64>,
) -> BoundaryResult<Option<ProfileArrays<'py>>> {
    let (pixels, is_single) = whole_image(&flux, &error, &alpha)?;
    let profile = run_here(py, || {
        if is_single {
            trace::crossdisp_profile::<f32>(&pixels)
        } else {
            trace::crossdisp_profile::<f64>(&pixels)
        }
    });
    Ok(profile.map(|Profile { alpha, flux, error, snr }| {
        (
            alpha.into_pyarray(py),
            flux.into_pyarray(py),
            error.into_pyarray(py),
            snr.into_pyarray(py),
        )
    }))
}

/// Where the trimming of bad edges blanks the flux.
#[pyfunction]
pub(crate) fn trim_edges<'py>(
    py: Python<'py>,
    flux: Plane<'py>,
    error: Plane<'py>,
    alpha: PyReadonlyArray2<'py, f64>,
) -> BoundaryResult<Bound<'py, PyArray2<bool>>> {
    let (n_y, n_x) = alpha.as_array().dim();
    let mut mask = ndarray::Array2::from_elem((n_y, n_x), false);
    let (mut pixels, is_single) = whole_image(&flux, &error, &alpha)?;
    let profile = if is_single {
        trace::crossdisp_profile::<f32>(&pixels)
    } else {
        trace::crossdisp_profile::<f64>(&pixels)
    };
    let before: Vec<bool> = pixels.flux.iter().map(|f| f.is_finite()).collect();
    if profile.is_some_and(|profile| trace::trim_edges(&mut pixels, &profile)) {
        for column in 0..n_x {
            for i in pixels.column(column) {
                mask[(pixels.row[i] as usize, column)] = before[i] && !pixels.flux[i].is_finite();
            }
        }
    }
    Ok(mask.into_pyarray(py))
}

/// All pixels as one region, and whether they are of single precision.
fn whole_image(
    flux: &Plane<'_>,
    error: &Plane<'_>,
    alpha: &PyReadonlyArray2<'_, f64>,
) -> Result<(RegionPixels, bool), Error> {
    let alpha = alpha.as_array();
    match (flux, error) {
        (Plane::Single(flux), Plane::Single(error)) => {
            Ok((RegionPixels::whole(flux.as_array(), Some(error.as_array()), alpha)?, true))
        }
        (Plane::Double(flux), Plane::Double(error)) => {
            Ok((RegionPixels::whole(flux.as_array(), Some(error.as_array()), alpha)?, false))
        }
        (Plane::Single(flux), Plane::Double(error)) => {
            let error = error.as_array().mapv(f32::from_f64);
            Ok((RegionPixels::whole(flux.as_array(), Some(error.view()), alpha)?, true))
        }
        (Plane::Double(flux), Plane::Single(error)) => {
            let error = error.as_array().mapv(f64::from);
            Ok((RegionPixels::whole(flux.as_array(), Some(error.view()), alpha)?, false))
        }
    }
}
