//! What a fit has recorded of itself, as arrays.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pixtrace::trace::{Absence, ColumnRecord, FitRecord, Origin, RegionRecord, RegionTrace};
use pyo3::prelude::*;

use crate::error::{BoundaryResult, ShapeError};

/// Whether the fit is weighted; origin, column of the spline and norm of each column; window (n, 2), points, rejected
/// points, chi2 and limits (n, 2) of each fit; information of all coefficients (n, 4); noise by component, likewise;
/// columns without a trace, and why (n, 2).
pub(crate) type RecordTable<'py> = (
    bool,
    (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f64>>),
    (
        Bound<'py, PyArray2<i64>>,
        Bound<'py, PyArray1<i64>>,
        Bound<'py, PyArray1<i64>>,
        Bound<'py, PyArray1<f64>>,
        Bound<'py, PyArray2<f64>>,
    ),
    Bound<'py, PyArray2<f64>>,
    Vec<Bound<'py, PyArray2<f64>>>,
    Bound<'py, PyArray2<i64>>,
);

/// The same on the way in.
pub(crate) type GivenRecord<'py> = (
    bool,
    (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, f64>),
    (
        PyReadonlyArray2<'py, i64>,
        PyReadonlyArray1<'py, i64>,
        PyReadonlyArray1<'py, i64>,
        PyReadonlyArray1<'py, f64>,
        PyReadonlyArray2<'py, f64>,
    ),
    PyReadonlyArray2<'py, f64>,
    Vec<PyReadonlyArray2<'py, f64>>,
    PyReadonlyArray2<'py, i64>,
);

/// The numbers that stand for origins.
const ORIGINS: [Origin; 4] =
    [Origin::Fitted, Origin::Retried, Origin::Reused, Origin::Extrapolated];
/// And for absences.
const ABSENCES: [Absence; 2] = [Absence::TooFewPixels, Absence::NoFit];

fn number_of<V: PartialEq>(known: &[V], value: &V) -> i64 {
    known.iter().position(|other| other == value).map_or(-1, |i| i as i64)
}

/// The record of a region as arrays.
pub(crate) fn to_table<'py>(py: Python<'py>, record: &RegionRecord) -> RecordTable<'py> {
    let (columns, fits) = (&record.columns, &record.fits);
    let integers = |values: Vec<i64>| values.into_pyarray(py);
    let pairs = |values: Vec<[i64; 2]>| ndarray::Array2::from(values).into_pyarray(py);
    let n_components = fits.iter().map(|fit| fit.noise.len()).max().unwrap_or(0);
    let noise = (0..n_components).map(|k| {
        let rows: Vec<[f64; 4]> =
            fits.iter().flat_map(|fit| fit.noise.get(k).cloned().unwrap_or_default()).collect();
        ndarray::Array2::from(rows).into_pyarray(py)
    });
    (
        record.is_weighted,
        (
            integers(columns.iter().map(|c| number_of(&ORIGINS, &c.origin)).collect()),
            integers(columns.iter().map(|c| c.from as i64).collect()),
            columns.iter().map(|c| c.norm).collect::<Vec<_>>().into_pyarray(py),
        ),
        (
            pairs(fits.iter().map(|f| [f.window.start as i64, f.window.end as i64]).collect()),
            integers(fits.iter().map(|f| f.n_points as i64).collect()),
            integers(fits.iter().map(|f| f.n_rejected as i64).collect()),
            fits.iter().map(|f| f.chi2).collect::<Vec<_>>().into_pyarray(py),
            ndarray::Array2::from(
                fits.iter().map(|f| [f.limits.0, f.limits.1]).collect::<Vec<_>>(),
            )
            .into_pyarray(py),
        ),
        ndarray::Array2::from(
            fits.iter().flat_map(|fit| fit.information.iter().copied()).collect::<Vec<_>>(),
        )
        .into_pyarray(py),
        noise.collect(),
        pairs(
            record.absent.iter().map(|(x, why)| [*x as i64, number_of(&ABSENCES, why)]).collect(),
        ),
    )
}

/// The record that a table holds, for a region with these splines and columns.
pub(crate) fn from_table(
    table: &GivenRecord<'_>,
    trace: &RegionTrace,
) -> BoundaryResult<RegionRecord> {
    let (is_weighted, (origin, from, norm), fits, information, noise, absent) = table;
    let (window, n_points, n_rejected, chi2, limits) = fits;
    let (origin, from, norm) = (origin.as_array(), from.as_array(), norm.as_array());
    let (window, limits, chi2) = (window.as_array(), limits.as_array(), chi2.as_array());
    let (n_points, n_rejected) = (n_points.as_array(), n_rejected.as_array());
    let (information, absent) = (information.as_array(), absent.as_array());
    let (n, n_fits) = (trace.columns.len(), trace.splines.len());
    let n_coefficients: usize = trace.splines.iter().map(|s| s.coefficients().len()).sum();
    let is_band = |dim: (usize, usize)| dim == (n_coefficients, 4);
    let agrees = origin.len() == n
        && from.len() == n
        && norm.len() == n
        && window.dim() == (n_fits, 2)
        && limits.dim() == (n_fits, 2)
        && [n_points.len(), n_rejected.len(), chi2.len()] == [n_fits; 3]
        && is_band(information.dim())
        && absent.ncols() == 2
        && noise.iter().all(|band| band.as_array().nrows() == 0 || is_band(band.as_array().dim()));
    let count = |value: i64| usize::try_from(value).ok();
    let read = || -> Option<RegionRecord> {
        let mut record = RegionRecord { is_weighted: *is_weighted, ..RegionRecord::default() };
        for i in 0..n {
            record.columns.push(ColumnRecord {
                origin: *ORIGINS.get(count(origin[i])?)?,
                from: count(from[i])?,
                norm: norm[i],
            });
        }
        let mut first = 0;
        for (i, spline) in trace.splines.iter().enumerate() {
            let rows = first..first + spline.coefficients().len();
            first = rows.end;
            let band = |values: ndarray::ArrayView2<'_, f64>| {
                let rows = if values.nrows() == 0 { 0..0 } else { rows.clone() };
                rows.map(|row| std::array::from_fn(|d| values[(row, d)])).collect::<Vec<_>>()
            };
            record.fits.push(FitRecord {
                window: count(window[(i, 0)])?..count(window[(i, 1)])?,
                n_points: count(n_points[i])?,
                n_rejected: count(n_rejected[i])?,
                chi2: chi2[i],
                limits: (limits[(i, 0)], limits[(i, 1)]),
                information: band(information),
                noise: noise.iter().map(|component| band(component.as_array())).collect(),
            });
        }
        for row in absent.rows() {
            record.absent.push((count(row[0])?, *ABSENCES.get(count(row[1])?)?));
        }
        Some(record)
    };
    let found = if agrees { read() } else { None };
    found.ok_or_else(|| ShapeError::new_err("not the record of this trace model").into())
}
