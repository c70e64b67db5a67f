//! One integration under the shared profile: a scale for every column, by weighted least squares without outliers.

use std::ops::Range;

use ndarray::Array2;
use rayon::prelude::*;

use super::profile::{RegionProfile, SharedProfile};
use super::shift::fit_shift;
use super::{Chunk, Integration, check_shape};
use crate::numeric::Real;
use crate::numeric::stats::median;
use crate::{Control, Error};

/// Of the pixels of a column at least this share is kept.
const LEAST_KEPT: f64 = 0.5;
/// A pixel that determines its column's scale by itself, but for this much, cannot be told to be an outlier.
const LEAST_FREEDOM: f64 = 1e-6;
/// Median absolute deviation of a normal distribution, inverted.
const MAD: f64 = 1.4826;

/// How integrations are fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SeriesFit {
    /// What is subtracted from the flux first.
    pub offset: f64,
    /// Fit a shift along the slice too, common to all columns of a region, and at most so many native pixels.
    pub max_shift: Option<f64>,
}

impl SeriesFit {
    fn check(&self) -> Result<(), Error> {
        let refuse = |name, value, must_be| Err(Error::Parameter { name, value, must_be });
        if !self.offset.is_finite() {
            return refuse("offset", self.offset, "finite");
        }
        match self.max_shift {
            Some(most) if !(most.is_finite() && most > 0.0) => {
                refuse("max_shift", most, "finite and positive")
            }
            _ => Ok(()),
        }
    }
}

/// Scales of one region in some integrations; every array is `(n_integrations, n_columns)`.
///
/// A scale is relative to the shared profile: 1 for an integration as bright as the mean of all. It is NaN, with its
/// variance and chi2, where no pixel can be used.
#[derive(Clone, Debug)]
pub struct RegionScales {
    /// Label of the region.
    pub label: i32,
    /// Columns of the image that the region reaches over.
    pub columns: Range<usize>,
    /// Scale.
    pub scale: Array2<f64>,
    /// Variance of the scale, from the errors of the integration.
    pub variance: Array2<f64>,
    /// Sum of squared residuals in units of the error, of the pixels that were used.
    pub chi2: Array2<f64>,
    /// Pixels that were used.
    pub n_used: Array2<u32>,
    /// Pixels that were rejected as outliers.
    pub n_rejected: Array2<u32>,
    /// Shift of each integration along alpha, in its unit; zero if none was fitted, NaN if the fit failed.
    pub shift: Vec<f64>,
    /// Variance of the shift.
    pub shift_variance: Vec<f64>,
}

/// What was found in one column.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnScale {
    pub(super) scale: f64,
    pub(super) variance: f64,
    pub(super) chi2: f64,
    pub(super) n_used: u32,
    pub(super) n_rejected: u32,
    /// Sum of weight times squared profile.
    pub(super) information: f64,
    /// Covariance of the scale with the shift.
    pub(super) with_shift: f64,
}

impl ColumnScale {
    const NONE: Self = Self {
        scale: f64::NAN,
        variance: f64::NAN,
        chi2: f64::NAN,
        n_used: 0,
        n_rejected: 0,
        information: 0.0,
        with_shift: 0.0,
    };
}

/// One region in one integration. Vectors have one element per pixel of the region, column by column.
#[derive(Debug)]
pub(super) struct IntegrationFit {
    /// What was subtracted from the flux.
    pub(super) offset: f64,
    /// Flux less the offset; NaN where missing.
    pub(super) flux: Vec<f64>,
    /// Error; NaN where it is not known.
    pub(super) sigma: Vec<f64>,
    /// Which pixels were used.
    pub(super) is_used: Vec<bool>,
    pub(super) columns: Vec<ColumnScale>,
    pub(super) shift: f64,
    pub(super) shift_variance: f64,
    /// The profile, where the shift has moved it.
    pub(super) moved: Option<Moved>,
}

/// A profile that has been shifted, at the native pixels.
#[derive(Debug)]
pub(super) struct Moved {
    /// The spline, not scaled.
    pub(super) fit: Vec<f64>,
    /// The whole template, and its derivative by the shift.
    pub(super) template: Vec<f64>,
    pub(super) slope: Vec<f64>,
}

impl SharedProfile {
    /// Scales the profile to each integration.
    ///
    /// Pixels without finite flux, or whose error is not finite and positive, take no part. An integration without errors
    /// has the mean noise of all. In each column the worst outlier is left out, one at a
    /// time, as long as it is farther off than the tolerance.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Parameter`] and [`Error::Cancelled`].
    pub fn fit<T: Real>(
        &self,
        chunk: &Chunk<'_, T>,
        params: &SeriesFit,
        control: &Control,
    ) -> Result<Vec<RegionScales>, Error> {
        let fits = self.fits(chunk, params, control, |_, fits| fits)?;
        Ok(self.scales(fits.len(), |i, r| &fits[i][r]))
    }

    /// What is made of the fits of all regions of each integration.
    pub(super) fn fits<T: Real, R: Send>(
        &self,
        chunk: &Chunk<'_, T>,
        params: &SeriesFit,
        control: &Control,
        make: impl Fn(usize, Vec<IntegrationFit>) -> R + Sync,
    ) -> Result<Vec<R>, Error> {
        params.check()?;
        self.check_chunk(chunk)?;
        let n_columns = self.n_columns();
        control.expect(chunk.len() * n_columns);
        let fits = (0..chunk.len())
            .into_par_iter()
            .map(|i| {
                control.check()?;
                let integration = chunk.integration(i);
                let fits = self
                    .regions
                    .iter()
                    .map(|region| fit_integration(self, region, &integration, params))
                    .collect();
                let made = make(i, fits);
                control.advance(n_columns);
                Ok(made)
            })
            .collect::<Vec<_>>();
        fits.into_iter().collect()
    }

    pub(super) fn check_chunk<T>(&self, chunk: &Chunk<'_, T>) -> Result<(), Error> {
        let ((n_y, n_x), (rows, columns)) = (chunk.dim(), self.labels.dim());
        check_shape("flux", &[n_y, n_x], &[rows, columns], "the region map")
    }

    fn n_columns(&self) -> usize {
        self.regions.iter().map(|region| region.bounds.columns.len()).sum()
    }

    /// The results of `n` integrations, by region; `fit` has them by integration and region.
    pub(super) fn scales<'a>(
        &self,
        n: usize,
        fit: impl Fn(usize, usize) -> &'a IntegrationFit,
    ) -> Vec<RegionScales> {
        let of_region = |(r, region): (usize, &RegionProfile)| {
            let dim = (n, region.bounds.columns.len());
            let column = |i: usize, x: usize| fit(i, r).columns[x];
            let plane = |value: fn(&ColumnScale) -> f64| {
                Array2::from_shape_fn(dim, |(i, x)| value(&column(i, x)))
            };
            RegionScales {
                label: region.label,
                columns: region.bounds.columns.clone(),
                scale: plane(|c| c.scale),
                variance: plane(|c| c.variance),
                chi2: plane(|c| c.chi2),
                n_used: Array2::from_shape_fn(dim, |(i, x)| column(i, x).n_used),
                n_rejected: Array2::from_shape_fn(dim, |(i, x)| column(i, x).n_rejected),
                shift: (0..n).map(|i| fit(i, r).shift).collect(),
                shift_variance: (0..n).map(|i| fit(i, r).shift_variance).collect(),
            }
        };
        self.regions.iter().enumerate().map(of_region).collect()
    }
}

/// Fits one region of one integration.
pub(super) fn fit_integration<T: Real>(
    profile: &SharedProfile,
    region: &RegionProfile,
    integration: &Integration<'_, T>,
    params: &SeriesFit,
) -> IntegrationFit {
    let (pixels, bounds, labels) = (&region.pixels, &region.bounds, profile.labels.view());
    let level = |f: T| T::narrow(f.to_f64() - params.offset);
    let flux = pixels.collect(bounds, labels, region.label, integration.flux, level);
    let positive = |e: T| if e.to_f64() > 0.0 { e.to_f64() } else { f64::NAN };
    let sigma = match integration.error {
        Some(error) => pixels.collect(bounds, labels, region.label, error, positive),
        None if region.is_noise_known => region.weight.iter().map(|w| w.sqrt().recip()).collect(),
        None => {
            let sigma = spread(region, &flux);
            vec![sigma; flux.len()]
        }
    };
    let mut fit = IntegrationFit {
        offset: params.offset,
        is_used: vec![false; flux.len()],
        columns: Vec::new(),
        shift: 0.0,
        shift_variance: 0.0,
        moved: None,
        flux,
        sigma,
    };
    fit.fit_columns(region, &region.template);
    if let Some(most) = params.max_shift {
        fit_shift(region, &mut fit, most);
    }
    fit
}

/// Standard deviation of the flux about the scaled profile, when nothing is known of the noise: one for the whole region.
fn spread(region: &RegionProfile, flux: &[f64]) -> f64 {
    let mut residuals = Vec::with_capacity(flux.len());
    for column in region.bounds.columns.clone() {
        let places = region.pixels.column(column);
        let is_good = |&i: &usize| flux[i].is_finite() && region.weight[i] > 0.0;
        let (mut a, mut b) = (0.0, 0.0);
        for i in places.clone().filter(is_good) {
            a += region.weight[i] * region.template[i] * region.template[i];
            b += region.weight[i] * region.template[i] * flux[i];
        }
        if a > 0.0 {
            let residual = |i: usize| (flux[i] - b / a * region.template[i]).abs();
            residuals.extend(places.filter(is_good).map(residual));
        }
    }
    let sigma = MAD * median(&mut residuals);
    // Data without noise have no errors; any number will do.
    if sigma > 0.0 { sigma } else { 1.0 }
}

impl IntegrationFit {
    /// Scales a template to every column.
    pub(super) fn fit_columns(&mut self, region: &RegionProfile, template: &[f64]) {
        self.columns.clear();
        for column in region.bounds.columns.clone() {
            let places = region.pixels.column(column);
            let pixels = Pixels {
                flux: &self.flux[places.clone()],
                sigma: &self.sigma[places.clone()],
                template: &template[places.clone()],
                weight: &region.weight[places.clone()],
                tolerance: &region.tolerance[places.clone()],
            };
            self.columns.push(pixels.scale(&mut self.is_used[places]));
        }
    }
}

/// The pixels of one column.
struct Pixels<'a> {
    flux: &'a [f64],
    sigma: &'a [f64],
    template: &'a [f64],
    weight: &'a [f64],
    tolerance: &'a [f64],
}

impl Pixels<'_> {
    /// Finds the scale, leaving out the worst pixel as long as it is too far off.
    fn scale(&self, is_used: &mut [bool]) -> ColumnScale {
        let mut n_used = 0_u32;
        for (j, used) in is_used.iter_mut().enumerate() {
            // NaN times zero would be NaN: what takes no part is known by this alone.
            *used = self.weight[j] > 0.0 && self.flux[j].is_finite() && self.sigma[j].is_finite();
            n_used += u32::from(*used);
        }
        let fewest = f64::from(n_used) * LEAST_KEPT;
        let mut n_rejected = 0;
        loop {
            let (mut a, mut b) = (0.0, 0.0);
            for (j, _) in is_used.iter().enumerate().filter(|(_, used)| **used) {
                let weighted = self.weight[j] * self.template[j];
                a += weighted * self.template[j];
                b += weighted * self.flux[j];
            }
            if !(a > 0.0 && a.is_finite()) {
                return ColumnScale { n_rejected, ..ColumnScale::NONE };
            }
            let scale = b / a;
            let (mut chi2, mut variance) = (0.0, 0.0);
            let (mut worst, mut at) = (1.0, None);
            for (j, _) in is_used.iter().enumerate().filter(|(_, used)| **used) {
                let weighted = self.weight[j] * self.template[j];
                let residual = self.flux[j] - scale * self.template[j];
                let square = self.sigma[j] * self.sigma[j];
                let z2 = residual * residual / square;
                chi2 += z2;
                variance += weighted * weighted * square;
                // A pixel draws the scale towards itself; without it the residual would be larger by this.
                let freedom = 1.0 - weighted * self.template[j] / a;
                let limit = self.tolerance[j] * self.tolerance[j];
                if freedom > LEAST_FREEDOM && z2 > worst * freedom * limit {
                    worst = z2 / (freedom * limit);
                    at = Some(j);
                }
            }
            match at {
                Some(j) if f64::from(n_used - 1) >= fewest => {
                    is_used[j] = false;
                    n_used -= 1;
                    n_rejected += 1;
                }
                _ => {
                    return ColumnScale {
                        scale,
                        variance: variance / (a * a),
                        chi2,
                        n_used,
                        n_rejected,
                        information: a,
                        with_shift: 0.0,
                    };
                }
            }
        }
    }
}
