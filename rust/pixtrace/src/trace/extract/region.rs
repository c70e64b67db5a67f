//! The spectrum of one region, column by column.

use std::ops::Range;

use rayon::prelude::*;

use super::ExtractParams;
use super::profile::{Pixels, Profile};
use crate::Control;
use crate::numeric::Real;
use crate::numeric::bspline::ORDER;
use crate::numeric::stats::median_of_many;
use crate::trace::functional::Functional;
use crate::trace::known::{Cache, Known};

/// Columns to either side that a column is compared with.
const AROUND: usize = 50;
/// A profile has lost its source where the noise of the flux is this share of what it is in the columns around. Noise may
/// be larger in single columns, where pixels are missing, but it has no reason to be smaller.
const LOST: f64 = 1.0 / 3.0;
/// Flux and background are told apart if the determinant of their equations is this share of what it could be.
const LEAST_DETERMINANT: f64 = 1e-9;

/// The spectrum of a region: an element for each column, NaN where nothing could be measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegionSpectrum {
    /// Columns of the image.
    pub columns: Range<usize>,
    /// Mean wavelength of the source, weighted with the square of its profile; NaN if none was given.
    pub wavelength: Vec<f64>,
    /// Sum over the pixels of the source.
    pub flux: Vec<f64>,
    /// Its variance.
    pub variance: Vec<f64>,
    /// What of the variance comes from the pixels of the column alone. The rest comes from the profile, and neighbouring
    /// columns share it.
    pub noise: Vec<f64>,
    /// Level of the background per pixel; NaN if none was fitted.
    pub background: Vec<f64>,
    /// Its variance.
    pub background_variance: Vec<f64>,
    /// Share of the source's light that fell on pixels that were used.
    pub fraction: Vec<f64>,
    /// Sum of squared residuals in units of the error, per degree of freedom.
    pub chi2: Vec<f64>,
    /// Number of pixels that were used.
    pub n_pixels: Vec<u32>,
    /// Number of pixels that were left out as outliers.
    pub n_rejected: Vec<u32>,
}

/// The source at one pixel.
#[derive(Clone, Copy, Debug)]
pub(super) struct SourcePixel {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) source: f64,
    /// Variance of flux less source.
    pub(super) variance: f64,
}

/// What was found in one column.
#[derive(Clone, Copy, Debug)]
struct Found {
    wavelength: f64,
    flux: f64,
    variance: f64,
    noise: f64,
    background: f64,
    background_variance: f64,
    fraction: f64,
    chi2: f64,
    n_pixels: u32,
    n_rejected: u32,
}

impl Found {
    const NOTHING: Self = Self {
        wavelength: f64::NAN,
        flux: f64::NAN,
        variance: f64::NAN,
        noise: f64::NAN,
        background: f64::NAN,
        background_variance: f64::NAN,
        fraction: 0.0,
        chi2: f64::NAN,
        n_pixels: 0,
        n_rejected: 0,
    };
}

/// What the factor of the profile and the background are made of: how much of each pixel of the column.
struct Weights {
    profile: Vec<f64>,
    /// Empty if no background is fitted.
    background: Vec<f64>,
}

/// The work on one region.
pub(super) struct Extractor<'a> {
    known: &'a Known<'a>,
    wavelength: Option<&'a [f64]>,
    params: &'a ExtractParams,
    /// Usual width of a pixel in alpha.
    width: f64,
}

impl<'a> Extractor<'a> {
    pub(super) fn new<T: Real>(
        known: &'a Known<'a>,
        wavelength: Option<&'a [f64]>,
        params: &'a ExtractParams,
    ) -> Self {
        let width = known.region.pixels.native_dalpha::<T>();
        Self { known, wavelength, params, width }
    }

    pub(super) fn run(&self, control: &Control) -> (RegionSpectrum, Vec<SourcePixel>) {
        let columns = self.known.region.pixels.columns.clone();
        let mut found: Vec<(Found, Vec<SourcePixel>)> = columns
            .clone()
            .into_par_iter()
            .map(|column| {
                let mut pixels = Vec::new();
                let found =
                    if control.check().is_ok() { self.column(column, &mut pixels) } else { None };
                control.advance(1);
                (found.unwrap_or(Found::NOTHING), pixels)
            })
            .collect();
        if self.params.source.is_some() {
            let noise: Vec<f64> = found.iter().map(|(f, _)| f.noise).collect();
            for place in (0..noise.len()).filter(|&place| is_lost(&noise, place)) {
                found[place] = (Found::NOTHING, Vec::new());
            }
        }
        let of = |value: fn(&Found) -> f64| found.iter().map(|(f, _)| value(f)).collect();
        let spectrum = RegionSpectrum {
            columns,
            wavelength: of(|f| f.wavelength),
            flux: of(|f| f.flux),
            variance: of(|f| f.variance),
            noise: of(|f| f.noise),
            background: of(|f| f.background),
            background_variance: of(|f| f.background_variance),
            fraction: of(|f| f.fraction),
            chi2: of(|f| f.chi2),
            n_pixels: found.iter().map(|(f, _)| f.n_pixels).collect(),
            n_rejected: found.iter().map(|(f, _)| f.n_rejected).collect(),
        };
        (spectrum, found.into_iter().flat_map(|(_, pixels)| pixels).collect())
    }

    fn column(&self, column: usize, pixels: &mut Vec<SourcePixel>) -> Option<Found> {
        let region = &self.known.region;
        let trace = region.column(column)?;
        let spline = region.spline(trace)?;
        let places = region.pixels.column(column);
        let alpha = &region.pixels.alpha[places.clone()];
        let fit = &region.fit[places.clone()];
        let flux = &region.pixels.flux[places.clone()];
        let variance = &self.known.components[0][places.clone()];
        let is_outlier = &self.known.is_outlier[places.clone()];
        let basis = self.known.basis(column, trace)?;
        let column_pixels = Pixels {
            rows: &region.pixels.row[places.clone()],
            alpha,
            fit,
            basis: &basis,
            knots: spline.knots(),
            bounds: trace.bounds,
        };
        let params = self.params;
        let c = spline.coefficients();
        let profile =
            Profile::new(&column_pixels, c, params.source, self.width, params.is_density)?;
        let level = profile.level(profile.centre);
        let sum = profile.sum.value;

        let is_good = |&j: &usize| fit[j].is_finite() && flux[j].is_finite() && variance[j] > 0.0;
        let good: Vec<usize> = (0..fit.len()).filter(is_good).collect();
        let used: Vec<usize> = good.iter().copied().filter(|&j| !is_outlier[j]).collect();
        let weights = self.weights(&used, fit, variance)?;
        let factor = dot(&weights.profile, flux);
        let base = dot(&weights.background, flux);

        // Wherever the source shines, whether the pixel is good or not.
        let light = |j: usize| {
            let above = fit[j] - profile.level_value(alpha[j]);
            if above > 0.0 { profile.share[j] * above } else { 0.0 }
        };
        let total: f64 = profile.beyond + (0..fit.len()).map(light).sum::<f64>();
        let seen: f64 = used.iter().map(|&j| light(j)).sum();
        let n_free = 1 + usize::from(self.params.source.is_some());
        let square = |&j: &usize| (flux[j] - factor * fit[j] - base).powi(2) / variance[j];
        let mut found = Found {
            wavelength: self.mean_wavelength(places.start, fit.len(), light),
            flux: factor * sum,
            fraction: seen / total,
            chi2: used.iter().map(square).sum::<f64>() / (used.len() - n_free) as f64,
            n_pixels: used.len() as u32,
            n_rejected: (good.len() - used.len()) as u32,
            ..Found::NOTHING
        };
        let of_background: Vec<f64> = if self.params.source.is_some() {
            found.background = factor * level.value + base;
            let both = weights.profile.iter().zip(&weights.background);
            both.map(|(a, b)| level.value * a + b).collect()
        } else {
            Vec::new()
        };
        let job = ColumnJob { extractor: self, column, basis: &basis, factor, profile: &profile };
        let of_factor = self.known.variance_of(column, 0, &weights.profile);
        found.noise = sum * sum * of_factor;
        if self.params.profile_errors {
            let mut cache = Cache::default();
            // Where there is hardly a source, its profile is noise, and the factor may be anything: the product of the
            // two has an error even where one of them happens to be zero. It is of second order, and nothing elsewhere.
            let nothing = vec![0.0; fit.len()];
            let alone = self.known.terms_with(column, trace, 1.0, nothing, &mut cache)?;
            let of_sum = alone.variance(0, &Functional::whole(0.0, profile.sum.of_basis.clone()));
            let kappa = weights.profile.clone();
            let terms = self.known.terms_with(column, trace, factor, kappa, &mut cache)?;
            let functional = Functional::whole(sum, profile.sum.of_basis.clone());
            found.variance = terms.variance(0, &functional) + of_factor * of_sum;
            if self.params.planes {
                job.put_source(pixels, |functional, _| terms.variance(0, functional));
            }
            if !of_background.is_empty() {
                let terms =
                    self.known.terms_with(column, trace, factor, of_background, &mut cache)?;
                let functional = Functional::whole(1.0, level.of_basis);
                found.background_variance = terms.variance(0, &functional);
            }
        } else {
            found.variance = found.noise;
            if !of_background.is_empty() {
                found.background_variance = self.known.variance_of(column, 0, &of_background);
            }
            if self.params.planes {
                job.put_source(pixels, |functional, j| {
                    let light = -functional.through_scale;
                    let own = variance[j] * (1.0 - 2.0 * light * weights.profile[j]);
                    own + light * light * of_factor
                });
            }
        }
        Some(found)
    }

    /// The weights of the pixels of a column; `None` if the profile, or profile and background, are not determined.
    fn weights(&self, used: &[usize], fit: &[f64], variance: &[f64]) -> Option<Weights> {
        let has_background = self.params.source.is_some();
        if used.len() < 2 + usize::from(has_background) {
            return None;
        }
        let moment =
            |power: i32| -> f64 { used.iter().map(|&j| fit[j].powi(power) / variance[j]).sum() };
        let (ones, first, second) = (moment(0), moment(1), moment(2));
        let mut profile = vec![0.0; fit.len()];
        if !has_background {
            // Written so that NaN fails too.
            if !(second > 0.0 && second.is_finite()) {
                return None;
            }
            for &j in used {
                profile[j] = fit[j] / variance[j] / second;
            }
            return Some(Weights { profile, background: Vec::new() });
        }
        let determinant = ones * second - first * first;
        if !(determinant > LEAST_DETERMINANT * ones * second && determinant.is_finite()) {
            return None;
        }
        let mut background = vec![0.0; fit.len()];
        for &j in used {
            profile[j] = (ones * fit[j] - first) / variance[j] / determinant;
            background[j] = (second - first * fit[j]) / variance[j] / determinant;
        }
        Some(Weights { profile, background })
    }

    /// The wavelength of a column where its source is, of all its pixels, so that missing ones do not move it.
    fn mean_wavelength(&self, start: usize, n: usize, light: impl Fn(usize) -> f64) -> f64 {
        let Some(wavelength) = self.wavelength else { return f64::NAN };
        let (mut sum, mut total) = (0.0, 0.0);
        for j in (0..n).filter(|&j| wavelength[start + j].is_finite()) {
            let weight = light(j).powi(2);
            sum += weight * wavelength[start + j];
            total += weight;
        }
        sum / total
    }
}

/// The image of the source in a column.
struct ColumnJob<'a, 'e> {
    extractor: &'a Extractor<'e>,
    column: usize,
    basis: &'a [(usize, [f64; ORDER])],
    factor: f64,
    profile: &'a Profile,
}

impl ColumnJob<'_, '_> {
    /// Adds the source at each pixel; `variance` is told the derivative of flux less source, and the pixel.
    fn put_source(
        &self,
        pixels: &mut Vec<SourcePixel>,
        variance: impl Fn(&Functional, usize) -> f64,
    ) {
        let region = &self.extractor.known.region;
        let places = region.pixels.column(self.column);
        for (j, i) in places.enumerate() {
            let fit = region.fit[i];
            if !(fit.is_finite() && self.profile.contains(region.pixels.alpha[i])) {
                continue;
            }
            // What is left is D_j - A (m_j - l_j).
            let level = self.profile.level(region.pixels.alpha[i]);
            let light = fit - level.value;
            let of_level =
                if self.extractor.params.source.is_some() { level.of_basis } else { Vec::new() };
            let mut functional = Functional::whole(-light, of_level);
            functional.add(self.basis[j], -1.0);
            functional.lambda[0] = (j, 1.0);
            pixels.push(SourcePixel {
                row: region.pixels.row[i] as usize,
                column: self.column,
                source: self.factor * light,
                variance: variance(&functional, j),
            });
        }
    }
}

/// Whether the variance of a column is far below that of the columns around.
fn is_lost(noise: &[f64], place: usize) -> bool {
    let around = place.saturating_sub(AROUND)..(place + AROUND + 1).min(noise.len());
    let mut known: Vec<f64> = noise[around].iter().copied().filter(|v| v.is_finite()).collect();
    !known.is_empty() && noise[place] < LOST * LOST * median_of_many(&mut known, &mut Vec::new())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let terms = a.iter().zip(b).filter(|(a, _)| **a != 0.0);
    terms.map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_whose_noise_collapses_has_lost_its_source() {
        let mut noise: Vec<f64> = (0..300).map(|x| 4.0 + 0.03 * f64::from(x)).collect();
        noise[100] = 0.1;
        noise[120] = 400.0;
        noise[140] = f64::NAN;
        let lost: Vec<usize> = (0..300).filter(|&place| is_lost(&noise, place)).collect();
        assert_eq!(lost, [100]);
        assert!(!is_lost(&[f64::NAN], 0));
    }
}
