//! Optimal extraction: one flux per column, from all its pixels, each weighted by how much it says about the source.
//!
//! The idea is that of Horne (1986, PASP 98, 609): with the spatial profile `P` known, every pixel `D` of a column is a
//! measurement `D / P` of the same flux, and their weighted mean has the smallest variance that any unbiased sum of the
//! pixels can have:
//!
//! ```text
//! F = sum(P D / V) / sum(P^2 / V),      var F = 1 / sum(P^2 / V).
//! ```
//!
//! Here the profile is the spline of the trace model, divided by its integral over alpha in pixels: `F` is the sum over
//! the pixels of the column, as if none were missing. The integral is the sum over all pixels of the column: of an image
//! that the pixels themselves have smoothed, it is the same wherever these lie, and the errors of a spline between its
//! points cancel in it. Where the source stands on a background, profile and background are fitted together,
//!
//! ```text
//! D = A m + B,      F = A (integral over the source of (m - l)),
//! ```
//!
//! because the spline `m` holds both. What it has beyond the source is taken off it: `l` is the straight line through
//! its means on both sides.
//!
//! The spline is made of the same data. The flux is, to first order, a linear function of the pixels of the column and of
//! the coefficients, of the very form of `functional.rs`: `beta` are integrals of the basis functions in the place of
//! their values at a point. So the variance of the profile, and its correlation with the pixels, enter in the same way.

mod combine;
mod profile;
mod region;

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

pub use combine::{CombinedSpectrum, SliceSpectrum, combine_slices};
pub use region::RegionSpectrum;

use self::region::Extractor;
use super::compact::CompactRanges;
use super::exposure::Exposure;
use super::known::Known;
use super::model::TraceModel;
use super::propagate::{Residual, check_record};
use super::traced::{TracedRegion, nan_plane};
use crate::numeric::Real;
use crate::{Control, Error};

/// How spectra are extracted. Start from [`Default`] and change what you need.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent choices, not a state")]
pub struct ExtractParams {
    /// Lowest and highest alpha of the source. What lies beyond is background, whose level is fitted in every column and
    /// taken off. `None`: all that is in the slice is the source.
    pub source: Option<(f64, f64)>,
    /// The flux is an amount per pixel; otherwise it is a surface brightness, and a pixel counts as much as its width.
    pub is_density: bool,
    /// Leave out pixels that lie off the model by five errors and by five times what their neighbours do.
    pub reject_outliers: bool,
    /// Add to the variance that of the profile, from the record of the fit.
    pub profile_errors: bool,
    /// Make the planes of [`Extraction`] too.
    pub planes: bool,
}

impl Default for ExtractParams {
    fn default() -> Self {
        Self {
            source: None,
            is_density: false,
            reject_outliers: true,
            profile_errors: true,
            planes: false,
        }
    }
}

/// The spectra of an exposure, and its image of the source.
#[derive(Clone, Debug)]
pub struct Extraction<T> {
    /// One for each region of the exposure that has a trace.
    pub regions: BTreeMap<i32, RegionSpectrum>,
    /// The source at each pixel; NaN beyond it, and where there is no spectrum. No rows unless it was asked for.
    pub source: Array2<T>,
    /// Variance of flux less source, NaN where the source is.
    pub variance: Array2<T>,
}

/// Extracts the spectrum of every region of an exposure.
///
/// The model must have been fitted to this exposure, or have been scaled to it ([`super::rescale`]). Pixels whose flux is
/// not finite or whose error is not positive take no part. `wavelength` is that of each pixel.
///
/// # Errors
/// [`Error::ShapeMismatch`], [`Error::Parameter`] for a source without extent, [`Error::NoErrors`], [`Error::NoRecord`] if
/// errors of the profile are asked for and the fit has no record, [`Error::OutOfMemory`] and [`Error::Cancelled`].
pub fn extract<T: Real>(
    exposure: &Exposure<'_, T>,
    wavelength: Option<ArrayView2<'_, f64>>,
    model: &TraceModel,
    params: &ExtractParams,
    control: &Control,
) -> Result<Extraction<T>, Error> {
    let map = exposure.regions();
    let (n_y, n_x) = map.dim();
    if let Some(wavelength) = wavelength {
        map.check_shape("wavelength", wavelength.dim(), n_y)?;
    }
    if let Some((low, high)) = params.source
        && !(low.is_finite() && high.is_finite() && low < high)
    {
        let must_be = "a finite alpha below the end of the source";
        return Err(Error::Parameter { name: "source", value: low, must_be });
    }
    let Some(error) = exposure.error() else { return Err(Error::NoErrors) };
    if params.profile_errors {
        model.regions.iter().try_for_each(|(&label, trace)| check_record(label, trace, 1))?;
    }
    let traced = TracedRegion::all(map, model, exposure.alpha(), Some(exposure.flux()), control)?;
    control.expect(traced.iter().map(|region| region.pixels.columns.len()).sum());
    let found: Vec<_> = traced
        .into_par_iter()
        .filter(|region| region.traces().next().is_some())
        .map(|region| {
            let label = region.label;
            let bounds = &map.boxes()[&label];
            let wavelength = wavelength.map(|plane| {
                region.pixels.collect(bounds, map.labels(), label, plane, |value| value)
            });
            let everywhere = CompactRanges::everywhere();
            let mut known = Known::new(exposure, error, &[], region, everywhere, Residual::Whole);
            if params.reject_outliers {
                known.find_outliers(bounds);
            }
            let extractor = Extractor::new::<T>(&known, wavelength.as_deref(), params);
            (label, extractor.run(control))
        })
        .collect();
    control.check()?;

    let rows = if params.planes { n_y } else { 0 };
    let mut source = nan_plane::<T>((rows, n_x), control)?;
    let mut variance = nan_plane::<T>((rows, n_x), control)?;
    let mut regions = BTreeMap::new();
    for (label, (spectrum, pixels)) in found {
        for pixel in pixels {
            source[(pixel.row, pixel.column)] = T::from_f64(pixel.source);
            variance[(pixel.row, pixel.column)] = T::from_f64(pixel.variance);
        }
        regions.insert(label, spectrum);
    }
    Ok(Extraction { regions, source, variance })
}
