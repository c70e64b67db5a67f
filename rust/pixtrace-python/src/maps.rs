//! What is done to maps one by one, and fits to them.

use numpy::{IntoPyArray, PyArray1};
use pixtrace::scan::{FilterKind, FilterParams, MapsMut, Sign};
use pixtrace::{Control, Error};
use pyo3::prelude::*;

use crate::error::BoundaryResult;
use crate::run::{Settings, run};
use crate::stack::PyMapStack;

/// Which maps, `None` for all of them, and with how many threads.
#[derive(FromPyObject)]
pub(crate) struct Which(Option<Vec<usize>>, Option<usize>);

/// One number of each map.
type Numbers<'py, T> = BoundaryResult<Bound<'py, PyArray1<T>>>;

impl PyMapStack {
    /// Does something with some maps, off the interpreter.
    fn with_maps<R: Send>(
        &self,
        py: Python<'_>,
        which: &Which,
        work: impl FnOnce(&mut MapsMut<'_>, Option<&[usize]>, &Control) -> Result<R, Error> + Send,
    ) -> BoundaryResult<R> {
        let Which(pixels, n_threads) = which;
        let mut held = self.hold(py, *n_threads)?;
        let mut maps = held.maps()?;
        run(py, &Settings { n_threads: *n_threads, progress: None }, |control| {
            work(&mut maps, pixels.as_deref(), control)
        })
    }
}

#[pymethods]
impl PyMapStack {
    fn end_accumulation(&self, py: Python<'_>, which: Which) -> BoundaryResult<()> {
        let Which(pixels, n_threads) = which;
        let mut held = self.hold_unsettled(py)?;
        let (mut maps, pending, _) = held.maps_and_pending()?;
        run(py, &Settings { n_threads, progress: None }, |control| {
            maps.settle_and_end(pending, pixels.as_deref(), control)
        })
    }

    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method itself is not general over the lifetime of the maps"
    )]
    fn count_valid<'py>(&self, py: Python<'py>, which: Which) -> Numbers<'py, i64> {
        let found =
            self.with_maps(py, &which, |maps, pixels, control| maps.count_valid(pixels, control))?;
        Ok(as_counts(py, found))
    }

    fn level<'py>(&self, py: Python<'py>, robust: bool, which: Which) -> Numbers<'py, f64> {
        let found = self
            .with_maps(py, &which, |maps, pixels, control| maps.level(pixels, robust, control))?;
        Ok(found.into_pyarray(py))
    }

    fn reweight<'py>(&self, py: Python<'py>, robust: bool, which: Which) -> Numbers<'py, f64> {
        let found = self.with_maps(py, &which, |maps, pixels, control| {
            maps.reweight(pixels, robust, control)
        })?;
        Ok(found.into_pyarray(py))
    }

    fn chi2<'py>(&self, py: Python<'py>, robust: bool, which: Which) -> Numbers<'py, f64> {
        let found =
            self.with_maps(py, &which, |maps, pixels, control| maps.chi2(pixels, robust, control))?;
        Ok(found.into_pyarray(py))
    }

    fn smooth_to<'py>(&self, py: Python<'py>, fwhm: f64, which: Which) -> Numbers<'py, f64> {
        let found = self
            .with_maps(py, &which, |maps, pixels, control| maps.smooth_to(pixels, fwhm, control))?;
        Ok(found.into_pyarray(py))
    }

    fn despike<'py>(&self, py: Python<'py>, level: f64, which: Which) -> Numbers<'py, i64> {
        let found = self
            .with_maps(py, &which, |maps, pixels, control| maps.despike(pixels, level, control))?;
        Ok(as_counts(py, found))
    }

    fn correct_filtering<'py>(
        &self,
        py: Python<'py>,
        source: f64,
        which: Which,
    ) -> Numbers<'py, f64> {
        let found = self.with_maps(py, &which, |maps, pixels, control| {
            maps.correct_filtering(pixels, source, control)
        })?;
        Ok(found.into_pyarray(py))
    }

    fn mem_correct(&self, py: Python<'_>, lambda_: f64, which: Which) -> BoundaryResult<()> {
        self.with_maps(py, &which, |maps, pixels, control| {
            maps.mem_correct(pixels, lambda_, control)
        })
    }

    fn filter(
        &self,
        py: Python<'_>,
        fwhm: f64,
        blank: Option<f64>,
        fft: bool,
        which: Which,
    ) -> BoundaryResult<()> {
        let kind = if fft { FilterKind::Fft } else { FilterKind::Convolution };
        let params = FilterParams { fwhm, blank, kind };
        self.with_maps(py, &which, |maps, pixels, control| maps.filter(pixels, &params, control))
    }

    /// Cuts cells off: `by` is "redundancy", "exposure", "noise" or "significance"; returns how many of each map.
    fn clip<'py>(
        &self,
        py: Python<'py>,
        by: &str,
        limit: f64,
        sign: i8,
        which: Which,
    ) -> Numbers<'py, i64> {
        let sign = as_sign(sign);
        let counts = self.with_maps(py, &which, |maps, pixels, control| match by {
            "redundancy" => maps.clip_redundancy(pixels, limit, control),
            "exposure" => maps.clip_exposure(pixels, limit, control),
            "noise" => maps.clip_noise(pixels, limit, control),
            _ => maps.clip_significance(pixels, limit, sign, control),
        })?;
        Ok(as_counts(py, counts))
    }

    fn update_mask<'py>(
        &self,
        py: Python<'py>,
        level: Option<f64>,
        min_neighbors: usize,
        sign: i8,
        which: Which,
    ) -> Numbers<'py, i64> {
        let sign = as_sign(sign);
        let counts = self.with_maps(py, &which, |maps, pixels, control| {
            maps.update_mask(pixels, level, min_neighbors, sign, control)
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
