//! The stack of maps: planes that numpy owns, and what has been done to each map.

use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::{PyArray1, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadwriteArray3};
use pixtrace::scan::{Content, Grid, MapRecord, MapsMut};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;

use crate::error::{BoundaryError, BoundaryResult, DataError, ParameterError};

/// Planes `(n_pixels, n_y, n_x)` and the records of their maps.
///
/// The planes are allocated by numpy, which asks the system for large pages; Python sees them without a copy.
#[pyclass(frozen, name = "MapStack", module = "pixtrace._native")]
pub(crate) struct PyMapStack {
    pub(crate) grid: Grid,
    data: Py<PyArray3<f64>>,
    weight: Py<PyArray3<f64>>,
    exposure: Py<PyArray3<f64>>,
    flag: Py<PyArray3<u8>>,
    records: Mutex<Vec<MapRecord>>,
}

/// The planes, borrowed from numpy to be changed, and the records, locked.
pub(crate) struct Held<'a, 'py> {
    grid: Grid,
    data: PyReadwriteArray3<'py, f64>,
    weight: PyReadwriteArray3<'py, f64>,
    exposure: PyReadwriteArray3<'py, f64>,
    flag: PyReadwriteArray3<'py, u8>,
    records: MutexGuard<'a, Vec<MapRecord>>,
}

impl Held<'_, '_> {
    pub(crate) fn maps(&mut self) -> BoundaryResult<MapsMut<'_>> {
        Ok(MapsMut::new(
            self.grid,
            self.data.as_array_mut(),
            self.weight.as_array_mut(),
            self.exposure.as_array_mut(),
            self.flag.as_array_mut(),
            &mut self.records,
        )?)
    }
}

impl PyMapStack {
    /// Waits for other threads to be done with the stack, and borrows it.
    pub(crate) fn hold<'a, 'py>(&'a self, py: Python<'py>) -> BoundaryResult<Held<'a, 'py>> {
        let records = self.records.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        let in_use = |error| {
            BoundaryError::from(DataError::new_err(format!(
                "the planes of the stack cannot be changed: {error}; make them writeable, and do not pass them to methods of \
             the same stack"
            )))
        };
        Ok(Held {
            grid: self.grid,
            data: self.data.bind(py).try_readwrite().map_err(in_use)?,
            weight: self.weight.bind(py).try_readwrite().map_err(in_use)?,
            exposure: self.exposure.bind(py).try_readwrite().map_err(in_use)?,
            flag: self.flag.bind(py).try_readwrite().map_err(in_use)?,
            records,
        })
    }
}

#[pymethods]
impl PyMapStack {
    #[new]
    fn new(
        data: Py<PyArray3<f64>>,
        weight: Py<PyArray3<f64>>,
        exposure: Py<PyArray3<f64>>,
        flag: Py<PyArray3<u8>>,
        resolution: [f64; 2],
        reference_index: [f64; 2],
        py: Python<'_>,
    ) -> BoundaryResult<Self> {
        let (n_pixels, n_y, n_x) = data.bind(py).readonly().as_array().dim();
        let grid = Grid::new([n_y, n_x], resolution, reference_index)?;
        let records = Mutex::new(vec![MapRecord::new(&grid); n_pixels]);
        let stack = Self { grid, data, weight, exposure, flag, records };
        stack.hold(py)?.maps()?;
        Ok(stack)
    }

    /// What the numbers of each map mean: 0 given, 1 sums, 2 means.
    #[getter]
    fn content<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u8>> {
        let records = self.records.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        PyArray1::from_iter(py, records.iter().map(|record| record.content as u8))
    }

    fn set_content(&self, py: Python<'_>, content: u8, pixels: Vec<usize>) -> BoundaryResult<()> {
        let content = match content {
            0 => Content::Given,
            1 => Content::Sums,
            _ => Content::Means,
        };
        let mut records = self.records.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        for pixel in pixels {
            record(&mut records, pixel)?.content = content;
        }
        Ok(())
    }

    /// One number of each record.
    fn records<'py>(&self, py: Python<'py>, name: RecordField) -> Bound<'py, PyArray1<f64>> {
        let mut records = self.records.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        PyArray1::from_iter(py, records.iter_mut().map(|record| *name.of(record)))
    }

    fn set_records(
        &self,
        py: Python<'_>,
        name: RecordField,
        values: PyReadonlyArray1<'_, f64>,
    ) -> BoundaryResult<()> {
        let mut records = self.records.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        let values = values.as_array();
        if values.len() != records.len() {
            let text = format!("{} values for {} maps", values.len(), records.len());
            return Err(ParameterError::new_err(text).into());
        }
        for (record, value) in records.iter_mut().zip(values) {
            *name.of(record) = *value;
        }
        Ok(())
    }
}

fn record(records: &mut [MapRecord], pixel: usize) -> BoundaryResult<&mut MapRecord> {
    let n = records.len();
    records.get_mut(pixel).ok_or_else(|| {
        ParameterError::new_err(format!("there is no map {pixel}; the stack has {n}")).into()
    })
}

/// The numbers of a record that Python may read and write.
pub(crate) enum RecordField {
    SmoothingFwhm,
    FilterFwhm,
    CorrectingFwhm,
    FilterBlanking,
    NoiseRescale,
}

impl RecordField {
    fn of<'a>(&self, record: &'a mut MapRecord) -> &'a mut f64 {
        match self {
            Self::SmoothingFwhm => &mut record.smoothing_fwhm,
            Self::FilterFwhm => &mut record.filter_fwhm,
            Self::CorrectingFwhm => &mut record.correcting_fwhm,
            Self::FilterBlanking => &mut record.filter_blanking,
            Self::NoiseRescale => &mut record.noise_rescale,
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for RecordField {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match given.extract::<&str>()? {
            "smoothing_fwhm" => Ok(Self::SmoothingFwhm),
            "filter_fwhm" => Ok(Self::FilterFwhm),
            "correcting_fwhm" => Ok(Self::CorrectingFwhm),
            "filter_blanking" => Ok(Self::FilterBlanking),
            "noise_rescale" => Ok(Self::NoiseRescale),
            other => Err(ParameterError::new_err(format!("a map has no record of {other}"))),
        }
    }
}
