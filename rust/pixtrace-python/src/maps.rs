//! What is done to maps one by one, and fits to them.

use ndarray::{Array1, Array2, Array3};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyReadonlyArray2};
use pixtrace::scan::{
    BeamShape, FilterKind, FilterParams, GaussianFitParams, MapsMut, Sign, SourceSign, gaussian,
};
use pixtrace::{Control, Error};
use pyo3::prelude::*;

use crate::error::{BoundaryError, BoundaryResult, ParameterError};
use crate::run::{Settings, run};
use crate::stack::{PyMapStack, moments};

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

fn as_sign(sign: i8) -> Sign {
    match sign {
        0 => Sign::Both,
        n if n < 0 => Sign::Negative,
        _ => Sign::Positive,
    }
}

/// How Gaussians are fitted, by the names of the Python layer.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct GaussianArguments {
    shape: String,
    fixed: Option<(f64, f64, f64)>,
    beam_fwhm: Option<f64>,
    has_level: bool,
    starts: Option<Vec<[f64; 2]>>,
    region: Option<f64>,
    sign: i8,
    significance: f64,
    round_significance: f64,
    n_evaluations: usize,
}

impl GaussianArguments {
    fn into_params(self) -> BoundaryResult<GaussianFitParams> {
        let shape = match (self.shape.as_str(), self.fixed) {
            ("elliptical", _) => BeamShape::Elliptical,
            ("round", _) => BeamShape::Round,
            (_, Some((major, minor, angle))) => BeamShape::Fixed { fwhm: [major, minor], angle },
            _ => {
                return Err(BoundaryError::from(ParameterError::new_err(
                    "a fixed shape needs widths",
                )));
            }
        };
        let sign = match as_sign(self.sign) {
            Sign::Both => SourceSign::Either,
            Sign::Negative => SourceSign::Negative,
            Sign::Positive => SourceSign::Positive,
        };
        Ok(GaussianFitParams {
            shape,
            beam_fwhm: self.beam_fwhm,
            has_level: self.has_level,
            starts: self.starts,
            region: self.region,
            sign,
            significance: self.significance,
            round_significance: self.round_significance,
            n_evaluations: self.n_evaluations,
        })
    }
}

/// Position, amplitude, FWHM, angle, level; covariance; chi2; cells, degrees of freedom, evaluations, flags.
type Fits<'py> = (
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray3<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray2<i64>>,
);

#[pymethods]
impl PyMapStack {
    /// Fits a Gaussian to each map.
    #[pyo3(signature = (arguments, moment_planes, *, pixels, n_threads, progress))]
    fn fit_gaussians<'py>(
        &self,
        py: Python<'py>,
        arguments: GaussianArguments,
        moment_planes: Option<PyReadonlyArray2<'py, f64>>,
        pixels: Pixels,
        n_threads: Option<usize>,
        progress: Option<Bound<'py, PyAny>>,
    ) -> BoundaryResult<Fits<'py>> {
        let params = arguments.into_params()?;
        let moments = moment_planes.as_ref().map(moments);
        let mut held = self.hold(py)?;
        let maps = held.maps()?;
        let fits = run(py, &Settings { n_threads, progress }, |control| {
            maps.fit_gaussians(moments.as_ref(), &params, pixels.as_deref(), control)
        })?;
        let n = fits.len();
        let (mut values, mut covariance) = (Array2::zeros((n, 7)), Array3::zeros((n, 7, 7)));
        let mut counts = Array2::zeros((n, 4));
        for (k, fit) in fits.iter().enumerate() {
            let ([x, y], [major, minor]) = (fit.position, fit.fwhm);
            let row = [x, y, fit.amplitude, major, minor, fit.angle, fit.level];
            values.row_mut(k).iter_mut().zip(row).for_each(|(to, from)| *to = from);
            covariance
                .outer_iter_mut()
                .nth(k)
                .into_iter()
                .flat_map(ndarray::ArrayBase::into_iter)
                .zip(fit.covariance.as_flattened())
                .for_each(|(to, from)| *to = *from);
            let row = [
                fit.n_cells as i64,
                fit.degrees_of_freedom as i64,
                fit.n_evaluations as i64,
                i64::from(fit.flags),
            ];
            counts.row_mut(k).iter_mut().zip(row).for_each(|(to, from)| *to = from);
        }
        let chi2: Array1<f64> = fits.iter().map(|fit| fit.chi2).collect();
        Ok((
            values.into_pyarray(py),
            covariance.into_pyarray(py),
            chi2.into_pyarray(py),
            counts.into_pyarray(py),
        ))
    }
}

/// Bit, name and meaning of every flag of a Gaussian fit.
#[pyfunction]
pub(crate) fn gaussian_flags() -> Vec<(u32, &'static str, &'static str)> {
    gaussian::flags::MEANINGS.to_vec()
}
