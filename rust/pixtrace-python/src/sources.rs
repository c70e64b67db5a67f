//! Sources found in maps.

use ndarray::{Array1, Array2, Array3};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3};
use pixtrace::scan::{BeamShape, GaussianFit, GaussianFitParams, PeakMethod, PeakParams, gaussian};
use pyo3::prelude::*;

use crate::error::{BoundaryError, BoundaryResult, ParameterError};
use crate::maps::as_sign;
use crate::moments::PySampleMoments;
use crate::run::{Settings, run};
use crate::stack::PyMapStack;

/// Numbers of maps, `None` for all.
type Pixels = Option<Vec<usize>>;

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
    pub(crate) fn into_params(self) -> BoundaryResult<GaussianFitParams> {
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
        Ok(GaussianFitParams {
            shape,
            beam_fwhm: self.beam_fwhm,
            has_level: self.has_level,
            starts: self.starts,
            region: self.region,
            sign: as_sign(self.sign),
            significance: self.significance,
            round_significance: self.round_significance,
            n_evaluations: self.n_evaluations,
        })
    }
}

/// Position, amplitude, FWHM, angle, level; covariance; chi2; cells, degrees of freedom, evaluations, flags; scatter.
pub(crate) type Fits<'py> = (
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray3<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray2<i64>>,
    Bound<'py, PyArray2<f64>>,
);

#[pymethods]
impl PyMapStack {
    /// Fits a Gaussian to each map.
    #[pyo3(signature = (arguments, moments, *, pixels, n_threads, progress))]
    fn fit_gaussians<'py>(
        &self,
        py: Python<'py>,
        arguments: GaussianArguments,
        moments: Option<Bound<'py, PySampleMoments>>,
        pixels: Pixels,
        n_threads: Option<usize>,
        progress: Option<Bound<'py, PyAny>>,
    ) -> BoundaryResult<Fits<'py>> {
        let params = arguments.into_params()?;
        let moments = moments.as_ref().map(|moments| &moments.get().0);
        let mut held = self.hold(py, n_threads)?;
        let maps = held.maps()?;
        let fits = run(py, &Settings { n_threads, progress }, |control| {
            maps.fit_gaussians(moments, &params, pixels.as_deref(), control)
        })?;
        Ok(columns(py, &fits))
    }
}

/// Fits in columns.
pub(crate) fn columns<'py>(py: Python<'py>, fits: &[GaussianFit]) -> Fits<'py> {
    let n = fits.len();
    let (mut values, mut covariance) = (Array2::zeros((n, 7)), Array3::zeros((n, 7, 7)));
    let (mut counts, mut scatter) = (Array2::zeros((n, 4)), Array2::zeros((n, 7)));
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
        scatter.row_mut(k).iter_mut().zip(fit.scatter).for_each(|(to, from)| *to = from);
        let row = [
            fit.n_cells as i64,
            fit.degrees_of_freedom as i64,
            fit.n_evaluations as i64,
            i64::from(fit.flags),
        ];
        counts.row_mut(k).iter_mut().zip(row).for_each(|(to, from)| *to = from);
    }
    let chi2: Array1<f64> = fits.iter().map(|fit| fit.chi2).collect();
    (
        values.into_pyarray(py),
        covariance.into_pyarray(py),
        chi2.into_pyarray(py),
        counts.into_pyarray(py),
        scatter.into_pyarray(py),
    )
}

/// How peaks are found, by the names of the Python layer.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct PeakArguments {
    method: String,
    has_fit: bool,
    degree: usize,
    reduce_degrees: bool,
    significance: f64,
    beam_fwhm: f64,
    is_levelled: bool,
}

impl PeakArguments {
    pub(crate) fn into_params(self) -> PeakParams {
        let method = match self.method.as_str() {
            "centroid" => PeakMethod::Centroid,
            "position" => PeakMethod::Position,
            _ => PeakMethod::Peak,
        };
        PeakParams {
            method,
            has_fit: self.has_fit,
            degree: self.degree,
            reduce_degrees: self.reduce_degrees,
            significance: self.significance,
            beam_fwhm: self.beam_fwhm,
            is_levelled: self.is_levelled,
        }
    }
}

#[pymethods]
impl PyMapStack {
    /// Finds the peak of each map: position, index, peak and its weight, FWHM and its weight, radius, sum, elongation,
    /// angle, `(n, 12)`; NaN where there is none.
    #[pyo3(signature = (arguments, *, pixels, n_threads))]
    fn find_peaks<'py>(
        &self,
        py: Python<'py>,
        arguments: PeakArguments,
        pixels: Pixels,
        n_threads: Option<usize>,
    ) -> BoundaryResult<Bound<'py, PyArray2<f64>>> {
        let params = arguments.into_params();
        let mut held = self.hold(py, n_threads)?;
        let maps = held.maps()?;
        let peaks = run(py, &Settings { n_threads, progress: None }, |control| {
            maps.find_peaks(&params, pixels.as_deref(), control)
        })?;
        let mut rows = Array2::from_elem((peaks.len(), 12), f64::NAN);
        for (mut row, peak) in rows.outer_iter_mut().zip(peaks) {
            let Some(peak) = peak else { continue };
            let numbers = [
                peak.position[0],
                peak.position[1],
                peak.index[0],
                peak.index[1],
                peak.peak,
                peak.peak_weight,
                peak.fwhm,
                peak.fwhm_weight,
                peak.radius,
                peak.sum,
                peak.elongation,
                peak.angle,
            ];
            row.iter_mut().zip(numbers).for_each(|(to, from)| *to = from);
        }
        Ok(rows.into_pyarray(py))
    }
}

/// Bit, name and meaning of every flag of a Gaussian fit.
#[pyfunction]
pub(crate) fn gaussian_flags() -> Vec<(u32, &'static str, &'static str)> {
    gaussian::flags::MEANINGS.to_vec()
}
