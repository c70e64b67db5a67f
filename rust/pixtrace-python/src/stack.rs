//! The stack of maps: planes that numpy owns, and what has been done to each map.

use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::{PyArray1, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadwriteArray3};
use pixtrace::scan::{Content, Grid, MapRecord, MapsMut, PendingSums};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;

use crate::error::{BoundaryError, BoundaryResult, DataError, ParameterError};
use crate::run::{Settings, run};

/// Planes `(n_pixels, n_y, n_x)` and the records of their maps.
///
/// The planes are allocated by numpy, which asks the system for large pages; Python sees them without a copy. Weights,
/// exposures and flags may lag behind (see [`PendingSums`]) until Python, or any method but `add_points`, looks at them.
/// Once Python has been handed one of these planes, nothing is left waiting any more: it shares their memory for ever.
#[pyclass(frozen, name = "MapStack", module = "pixtrace._native")]
pub(crate) struct PyMapStack {
    pub(crate) grid: Grid,
    data: Py<PyArray3<f64>>,
    weight: Py<PyArray3<f64>>,
    exposure: Py<PyArray3<f64>>,
    flag: Py<PyArray3<u8>>,
    state: Mutex<State>,
}

/// What is known of the planes.
#[derive(Default)]
struct State {
    records: Vec<MapRecord>,
    /// What the planes lack.
    pending: PendingSums,
    /// Whether weights, exposures or flags have been handed out to Python.
    is_handed_out: bool,
}

/// The planes, borrowed from numpy to be changed, and what is known of them, locked.
pub(crate) struct Held<'a, 'py> {
    grid: Grid,
    data: PyReadwriteArray3<'py, f64>,
    weight: PyReadwriteArray3<'py, f64>,
    exposure: PyReadwriteArray3<'py, f64>,
    flag: PyReadwriteArray3<'py, u8>,
    state: MutexGuard<'a, State>,
}

impl Held<'_, '_> {
    pub(crate) fn maps(&mut self) -> BoundaryResult<MapsMut<'_>> {
        Ok(self.maps_and_pending()?.0)
    }

    /// The maps, what they lack, and whether more may be left waiting.
    pub(crate) fn maps_and_pending(
        &mut self,
    ) -> BoundaryResult<(MapsMut<'_>, &mut PendingSums, bool)> {
        let State { records, pending, is_handed_out } = &mut *self.state;
        let maps = MapsMut::new(
            self.grid,
            self.data.as_array_mut(),
            self.weight.as_array_mut(),
            self.exposure.as_array_mut(),
            self.flag.as_array_mut(),
            records,
        )?;
        Ok((maps, pending, !*is_handed_out))
    }
}

impl PyMapStack {
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for other threads to be done with the stack, and borrows it, with nothing left waiting.
    pub(crate) fn hold<'a, 'py>(
        &'a self,
        py: Python<'py>,
        n_threads: Option<usize>,
    ) -> BoundaryResult<Held<'a, 'py>> {
        let mut held = self.hold_unsettled(py)?;
        if !held.state.pending.is_empty() {
            let (mut maps, pending, _) = held.maps_and_pending()?;
            let settings = Settings { n_threads, progress: None };
            run(py, &settings, |_| maps.settle(pending))?;
        }
        Ok(held)
    }

    /// The same with what waits left waiting.
    pub(crate) fn hold_unsettled<'a, 'py>(
        &'a self,
        py: Python<'py>,
    ) -> BoundaryResult<Held<'a, 'py>> {
        let state = self.lock(py);
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
            state,
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
        let records = vec![MapRecord::new(&grid); n_pixels];
        let state = Mutex::new(State { records, ..State::default() });
        let stack = Self { grid, data, weight, exposure, flag, state };
        stack.hold_unsettled(py)?.maps()?;
        Ok(stack)
    }

    /// Brings weights, exposures and flags up to date.
    fn settle(&self, py: Python<'_>) -> BoundaryResult<()> {
        let is_settled = self.lock(py).pending.is_empty();
        if !is_settled {
            self.hold(py, None)?;
        }
        Ok(())
    }

    /// Brings weights, exposures and flags up to date, and keeps them so from now on.
    fn hand_out(&self, py: Python<'_>) -> BoundaryResult<()> {
        self.lock(py).is_handed_out = true;
        self.settle(py)
    }

    /// Whether weights, exposures and flags are always up to date.
    #[getter]
    fn is_handed_out(&self, py: Python<'_>) -> bool {
        self.lock(py).is_handed_out
    }

    /// What the numbers of each map mean: 0 given, 1 sums, 2 means.
    #[getter]
    fn content<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u8>> {
        PyArray1::from_iter(py, self.lock(py).records.iter().map(|record| record.content as u8))
    }

    fn set_content(&self, py: Python<'_>, content: u8, pixels: Vec<usize>) -> BoundaryResult<()> {
        let content = match content {
            0 => Content::Given,
            1 => Content::Sums,
            _ => Content::Means,
        };
        // The numbers are what the planes hold once nothing waits.
        let mut held = self.hold(py, None)?;
        for pixel in pixels {
            record(&mut held.state.records, pixel)?.content = content;
        }
        Ok(())
    }

    /// One number of each record.
    fn records<'py>(&self, py: Python<'py>, name: RecordField) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_iter(py, self.lock(py).records.iter_mut().map(|record| *name.of(record)))
    }

    fn set_records(
        &self,
        py: Python<'_>,
        name: RecordField,
        values: PyReadonlyArray1<'_, f64>,
    ) -> BoundaryResult<()> {
        let records = &mut self.lock(py).records;
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
