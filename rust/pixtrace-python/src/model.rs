//! The trace model, and its tables.

use std::collections::BTreeMap;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pixtrace::numeric::BSpline;
use pixtrace::trace::{ColumnTrace, RegionTrace, TraceModel};
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::error::{BoundaryError, BoundaryResult, ShapeError};
use crate::record::{GivenRecord, RecordTable, from_table, to_table};

/// Columns, number of the spline, scale, bounds (n, 2); then number of knots, knots and coefficients of all splines,
/// one after another.
pub(crate) type Table<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
);

/// The same on the way in.
type GivenTable<'py> = (
    PyReadonlyArray1<'py, i64>,
    PyReadonlyArray1<'py, i64>,
    PyReadonlyArray1<'py, f64>,
    PyReadonlyArray2<'py, f64>,
    PyReadonlyArray1<'py, i64>,
    PyReadonlyArray1<'py, f64>,
    PyReadonlyArray1<'py, f64>,
);

/// A trace model owned by Rust.
#[pyclass(frozen, name = "TraceModel", module = "pixtrace._native")]
pub(crate) struct PyTraceModel(pub(crate) TraceModel);

#[pymethods]
impl PyTraceModel {
    /// Builds a model from tables as `table` returns them.
    #[classmethod]
    fn from_tables(
        _cls: &Bound<'_, PyType>,
        tables: BTreeMap<i32, GivenTable<'_>>,
    ) -> BoundaryResult<Self> {
        let regions = tables
            .into_iter()
            .map(|(label, table)| Ok((label, region_from(&table)?)))
            .collect::<BoundaryResult<_>>()?;
        Ok(Self(TraceModel { regions }))
    }

    /// The same model with the records of its fits, by region.
    fn with_records(&self, records: BTreeMap<i32, GivenRecord<'_>>) -> BoundaryResult<Self> {
        let mut model = self.0.clone();
        for (label, table) in records {
            if let Some(trace) = model.regions.get_mut(&label) {
                trace.record = Some(from_table(&table, trace)?);
            }
        }
        Ok(Self(model))
    }

    /// What the fit of a region has recorded of itself, if it has.
    fn record<'py>(&self, py: Python<'py>, label: i32) -> Option<RecordTable<'py>> {
        let record = self.0.regions.get(&label)?.record.as_ref()?;
        Some(to_table(py, record))
    }

    /// How many components of the variance the record of a region knows of; `None` if it has no record.
    fn n_components(&self, label: i32) -> Option<usize> {
        let record = self.0.regions.get(&label)?.record.as_ref()?;
        Some(record.fits.iter().map(|fit| fit.noise.len()).min().unwrap_or(0))
    }

    /// Covariance of the coefficients of a spline, by number, from one component of the variance.
    fn covariance<'py>(
        &self,
        py: Python<'py>,
        label: i32,
        spline: usize,
        component: usize,
    ) -> BoundaryResult<Option<Bound<'py, PyArray2<f64>>>> {
        let record = self.0.regions.get(&label).and_then(|trace| trace.record.as_ref());
        let found = record.and_then(|r| r.fits.get(spline)?.covariance(component));
        found
            .map(|rows| PyArray2::from_vec2(py, &rows))
            .transpose()
            .map_err(|_| BoundaryError::internal("a covariance that is not square"))
    }

    /// Labels of the regions, rising.
    fn labels(&self) -> Vec<i32> {
        self.0.regions.keys().copied().collect()
    }

    /// The table of one region.
    fn table<'py>(&self, py: Python<'py>, label: i32) -> BoundaryResult<Table<'py>> {
        let Some(region) = self.0.regions.get(&label) else {
            return Err(BoundaryError::internal("asked for a region that the model does not have"));
        };
        let bounds: Vec<[f64; 2]> =
            region.columns.iter().map(|c| [c.bounds.0, c.bounds.1]).collect();
        Ok((
            region.columns.iter().map(|c| c.column as i64).collect::<Vec<_>>().into_pyarray(py),
            region.columns.iter().map(|c| c.spline as i64).collect::<Vec<_>>().into_pyarray(py),
            region.columns.iter().map(|c| c.scale).collect::<Vec<_>>().into_pyarray(py),
            ndarray::Array2::from(bounds).into_pyarray(py),
            region
                .splines
                .iter()
                .map(|s| s.knots().len() as i64)
                .collect::<Vec<_>>()
                .into_pyarray(py),
            region
                .splines
                .iter()
                .flat_map(BSpline::knots)
                .copied()
                .collect::<Vec<_>>()
                .into_pyarray(py),
            region
                .splines
                .iter()
                .flat_map(BSpline::coefficients)
                .copied()
                .collect::<Vec<_>>()
                .into_pyarray(py),
        ))
    }
}

fn region_from(table: &GivenTable<'_>) -> BoundaryResult<RegionTrace> {
    let (columns, spline, scale, bounds, n_knots, knots, coefficients) = table;
    let (columns, spline, scale) = (columns.as_array(), spline.as_array(), scale.as_array());
    let (bounds, n_knots) = (bounds.as_array(), n_knots.as_array());
    let (knots, coefficients) = (knots.as_array().to_vec(), coefficients.as_array().to_vec());
    let n = columns.len();
    if spline.len() != n || scale.len() != n || bounds.dim() != (n, 2) {
        return Err(wrong_table("columns, splines, scales and bounds differ in length"));
    }

    let (mut knots, mut coefficients) = (knots.into_iter(), coefficients.into_iter());
    let mut splines = Vec::with_capacity(n_knots.len());
    for &count in n_knots {
        let count =
            usize::try_from(count).map_err(|_| wrong_table("a negative number of knots"))?;
        let t = knots.by_ref().take(count).collect();
        let c = coefficients.by_ref().take(count.saturating_sub(4)).collect();
        splines.push(BSpline::new(t, c)?);
    }
    if knots.next().is_some() || coefficients.next().is_some() {
        return Err(wrong_table("more knots or coefficients than the splines have"));
    }
    let columns = (0..n)
        .map(|i| {
            let column =
                usize::try_from(columns[i]).map_err(|_| wrong_table("a negative column"))?;
            let spline = usize::try_from(spline[i]).ok().filter(|&s| s < splines.len());
            let spline = spline.ok_or_else(|| wrong_table("a column without its spline"))?;
            Ok(ColumnTrace {
                column,
                spline,
                scale: scale[i],
                bounds: (bounds[(i, 0)], bounds[(i, 1)]),
            })
        })
        .collect::<BoundaryResult<_>>()?;
    Ok(RegionTrace { splines, columns, record: None })
}

fn wrong_table(what: &str) -> BoundaryError {
    ShapeError::new_err(format!("not the table of a trace model: {what}")).into()
}
