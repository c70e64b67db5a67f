//! What is done to maps one by one, and fits to them.

use numpy::{IntoPyArray, PyArray1};
use pixtrace::scan::{FilterKind, FilterParams, MapsMut, Sign};
use pixtrace::{Control, Error};
use pyo3::prelude::*;

use crate::error::BoundaryResult;
use crate::run::{Settings, run};
use crate::stack::PyMapStack;

impl PyMapStack {
    /// Does something with the maps, off the interpreter.
    fn with_maps<R: Send>(
        &self,
        py: Python<'_>,
        n_threads: Option<usize>,
        work: impl FnOnce(&mut MapsMut<'_>, &Control) -> Result<R, Error> + Send,
    ) -> BoundaryResult<R> {
        let mut held = self.hold(py)?;
        let mut maps = held.maps()?;
        run(py, &Settings { n_threads, progress: None }, |control| work(&mut maps, control))
    }
}

/// Numbers of maps, `None` for all.
type Pixels = Option<Vec<usize>>;

#[pymethods]
impl PyMapStack {
    #[pyo3(signature = (*, pixels, n_threads))]
    fn end_accumulation(
        &self,
        py: Python<'_>,
        pixels: Pixels,
        n_threads: Option<usize>,
    ) -> BoundaryResult<()> {
        self.with_maps(py, n_threads, |maps, control| {
            maps.end_accumulation(pixels.as_deref(), control)
        })
    }

    #[pyo3(signature = (*, pixels, n_threads))]
    fn count_valid<'py>(
        &self,
        py: Python<'py>,
        pixels: Pixels,
        n_threads: Option<usize>,
    ) -> BoundaryResult<Bound<'py, PyArray1<i64>>> {
        let counts = self.with_maps(py, n_threads, |maps, control| {
            maps.count_valid(pixels.as_deref(), control)
        })?;
        Ok(PyArray1::from_iter(py, counts.into_iter().map(|n| n as i64)))
    }

    #[pyo3(signature = (robust, *, pixels, n_threads))]
    fn level<'py>(
        &self,
        py: Python<'py>,
        robust: bool,
        pixels: Pixels,
        n_threads: Option<usize>,
    ) -> BoundaryResult<Bound<'py, PyArray1<f64>>> {
        let levels = self.with_maps(py, n_threads, |maps, control| {
            maps.level(pixels.as_deref(), robust, control)
        })?;
        Ok(levels.into_pyarray(py))
    }

    #[pyo3(signature = (robust, *, pixels, n_threads))]
    fn reweight<'py>(
        &self,
        py: Python<'py>,
        robust: bool,
        pixels: Pixels,
        n_threads: Option<usize>,
    ) -> BoundaryResult<Bound<'py, PyArray1<f64>>> {
        let factors = self.with_maps(py, n_threads, |maps, control| {
            maps.reweight(pixels.as_deref(), robust, control)
        })?;
        Ok(factors.into_pyarray(py))
    }

    #[pyo3(signature = (robust, *, pixels, n_threads))]
    fn chi2<'py>(
        &self,
        py: Python<'py>,
        robust: bool,
        pixels: Pixels,
        n_threads: Option<usize>,
    ) -> BoundaryResult<Bound<'py, PyArray1<f64>>> {
        let chi2 = self.with_maps(py, n_threads, |maps, control| {
            maps.chi2(pixels.as_deref(), robust, control)
        })?;
        Ok(chi2.into_pyarray(py))
    }

    #[pyo3(signature = (fwhm, *, pixels, n_threads))]
    fn smooth_to<'py>(
        &self,
        py: Python<'py>,
        fwhm: f64,
        pixels: Pixels,
        n_threads: Option<usize>,
    ) -> BoundaryResult<Bound<'py, PyArray1<f64>>> {
        let beams = self.with_maps(py, n_threads, |maps, control| {
            maps.smooth_to(pixels.as_deref(), fwhm, control)
        })?;
        Ok(beams.into_pyarray(py))
    }

    #[pyo3(signature = (level, *, pixels, n_threads))]
    fn despike<'py>(
        &self,
        py: Python<'py>,
        level: f64,
        pixels: Pixels,
        n_threads: Option<usize>,
    ) -> BoundaryResult<Bound<'py, PyArray1<i64>>> {
        let counts = self.with_maps(py, n_threads, |maps, control| {
            maps.despike(pixels.as_deref(), level, control)
        })?;
        Ok(as_counts(py, counts))
    }

    #[pyo3(signature = (fwhm, blank, fft, *, pixels, n_threads))]
    fn filter(
        &self,
        py: Python<'_>,
        fwhm: f64,
        blank: Option<f64>,
        fft: bool,
        pixels: Pixels,
        n_threads: Option<usize>,
    ) -> BoundaryResult<()> {
        let kind = if fft { FilterKind::Fft } else { FilterKind::Convolution };
        let params = FilterParams { fwhm, blank, kind };
        self.with_maps(py, n_threads, |maps, control| {
            maps.filter(pixels.as_deref(), &params, control)
        })
    }

    #[pyo3(signature = (source, *, pixels, n_threads))]
    fn correct_filtering<'py>(
        &self,
        py: Python<'py>,
        source: f64,
        pixels: Pixels,
        n_threads: Option<usize>,
    ) -> BoundaryResult<Bound<'py, PyArray1<f64>>> {
        let factors = self.with_maps(py, n_threads, |maps, control| {
            maps.correct_filtering(pixels.as_deref(), source, control)
        })?;
        Ok(factors.into_pyarray(py))
    }

    /// Cuts cells off: `by` is "redundancy", "exposure", "noise" or "significance"; returns how many of each map.
    #[pyo3(signature = (by, limit, sign, *, pixels, n_threads))]
    fn clip<'py>(
        &self,
        py: Python<'py>,
        by: &str,
        limit: f64,
        sign: i8,
        pixels: Pixels,
        n_threads: Option<usize>,
    ) -> BoundaryResult<Bound<'py, PyArray1<i64>>> {
        let sign = as_sign(sign);
        let counts = self.with_maps(py, n_threads, |maps, control| {
            let pixels = pixels.as_deref();
            match by {
                "redundancy" => maps.clip_redundancy(pixels, limit, control),
                "exposure" => maps.clip_exposure(pixels, limit, control),
                "noise" => maps.clip_noise(pixels, limit, control),
                _ => maps.clip_significance(pixels, limit, sign, control),
            }
        })?;
        Ok(as_counts(py, counts))
    }

    #[pyo3(signature = (lambda_, *, pixels, n_threads))]
    fn mem_correct(
        &self,
        py: Python<'_>,
        lambda_: f64,
        pixels: Pixels,
        n_threads: Option<usize>,
    ) -> BoundaryResult<()> {
        self.with_maps(py, n_threads, |maps, control| {
            maps.mem_correct(pixels.as_deref(), lambda_, control)
        })
    }

    #[pyo3(signature = (level, min_neighbors, sign, *, pixels, n_threads))]
    fn update_mask<'py>(
        &self,
        py: Python<'py>,
        level: Option<f64>,
        min_neighbors: usize,
        sign: i8,
        pixels: Pixels,
        n_threads: Option<usize>,
    ) -> BoundaryResult<Bound<'py, PyArray1<i64>>> {
        let sign = as_sign(sign);
        let counts = self.with_maps(py, n_threads, |maps, control| {
            maps.update_mask(pixels.as_deref(), level, min_neighbors, sign, control)
        })?;
        Ok(as_counts(py, counts))
    }
}

fn as_counts(py: Python<'_>, counts: Vec<usize>) -> Bound<'_, PyArray1<i64>> {
    PyArray1::from_iter(py, counts.into_iter().map(|n| n as i64))
}

pub(crate) fn as_sign(sign: i8) -> Sign {
    match sign {
        0 => Sign::Both,
        n if n < 0 => Sign::Negative,
        _ => Sign::Positive,
    }
}
