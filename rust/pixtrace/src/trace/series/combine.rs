//! The mean of all integrations, without outliers, added up with some of them at a time in memory.

use ndarray::{Array2, ArrayViewMut2};
use rayon::prelude::*;

use super::Chunk;
use super::fit::{IntegrationFit, SeriesFit};
use super::profile::{RegionProfile, SharedProfile, level_out};
use crate::numeric::Real;
use crate::{Control, Error};

/// Pixels summed up by one task.
const BLOCK: usize = 4096;
/// Share of its squared residual that a pixel has left at least, where it determines the scale nearly by itself.
const LEAST_FREEDOM: f64 = 0.1;

/// The sum of the integrations so far.
///
/// Each integration counts by its brightness: with one scale `q` for a whole region, the mean is `sum q f / sum q^2` times the
/// mean of `q`, the least-squares answer for a constant noise per pixel. The scales of single columns only tell outliers; with them the
/// noise of a faint column would get into its own mean.
#[derive(Clone, Debug)]
pub struct Combination {
    profile: SharedProfile,
    sums: Vec<RegionSums>,
    n_integrations: usize,
    /// Whether the noise is known from the scatter of the integrations.
    is_scatter: bool,
}

/// Sums of one region, by pixel.
#[derive(Clone, Debug, Default)]
struct RegionSums {
    /// `q f`, and `q^2`.
    flux: Vec<f64>,
    weight: Vec<f64>,
    /// `q^2` times the variance: that of the error, then its components.
    variances: Vec<Vec<f64>>,
    /// The variance as it is.
    noise: Vec<f64>,
    /// Integrations that were used, and those in which the pixel was an outlier.
    n_used: Vec<u32>,
    n_rejected: Vec<u32>,
    /// `q`, and the number of integrations with light.
    brightness: f64,
    n_bright: f64,
}

/// The mean of all integrations; planes of shape `(n_y, n_x)`, NaN outside the regions and where there are no data.
#[derive(Clone, Debug)]
pub struct Combined {
    /// Flux.
    pub flux: Array2<f64>,
    /// Variance of that flux, then of its components.
    pub variances: Vec<Array2<f64>>,
    /// Mean variance of a pixel in an integration.
    pub noise: Array2<f64>,
    /// Residual that is usual at the place of a pixel, in units of its error; at least 1.
    pub usual: Array2<f64>,
    /// Integrations that were used.
    pub n_used: Array2<u32>,
    /// Integrations in which the pixel was an outlier.
    pub n_rejected: Array2<u32>,
}

/// One region of one integration, and the variances of its pixels.
struct Added {
    fit: IntegrationFit,
    /// What the pixel tells of the variance: that of its error or, without errors, its squared residual.
    noise: Vec<f64>,
    brightness: f64,
    components: Vec<Vec<f64>>,
}

impl Combination {
    /// Starts with nothing; `profile` is the first look.
    #[must_use]
    pub fn new(profile: SharedProfile) -> Self {
        let sums = vec![RegionSums::default(); profile.regions.len()];
        Self { profile, sums, n_integrations: 0, is_scatter: false }
    }

    /// Number of integrations so far.
    #[must_use]
    pub fn n_integrations(&self) -> usize {
        self.n_integrations
    }

    /// Adds integrations. The order counts, for the last digits; how they are cut into chunks does not.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Cancelled`]; then nothing has been added.
    pub fn add<T: Real>(&mut self, chunk: &Chunk<'_, T>, control: &Control) -> Result<(), Error> {
        let profile = &self.profile;
        let fits = profile.fits(chunk, &SeriesFit::default(), control)?;
        let mut by_region: Vec<Vec<Added>> = profile.regions.iter().map(|_| Vec::new()).collect();
        for (i, fits) in fits.into_iter().enumerate() {
            let integration = chunk.integration(i);
            for ((fit, region), added) in fits.into_iter().zip(&profile.regions).zip(&mut by_region)
            {
                let collect = |plane| {
                    let labels = profile.labels.view();
                    region.pixels.collect(&region.bounds, labels, region.label, plane, T::to_f64)
                };
                let components = integration.variances.iter().map(|&v| collect(v)).collect();
                let brightness = brightness(&fit);
                let is_scatter = integration.error.is_none() && region.is_noise_known;
                let noise = if is_scatter {
                    scatter(region, &fit)
                } else {
                    fit.sigma.iter().map(|sigma| sigma * sigma).collect()
                };
                added.push(Added { fit, noise, brightness, components });
                self.is_scatter |= is_scatter;
            }
        }
        control.check()?;
        for (sums, added) in self.sums.iter_mut().zip(&by_region) {
            sums.add(added);
        }
        self.n_integrations += chunk.len();
        Ok(())
    }

    /// The mean so far.
    #[must_use]
    pub fn finish(&self) -> Combined {
        let dim = self.profile.labels.dim();
        let n_variances = self.sums.iter().map(|s| s.variances.len()).max().unwrap_or(1).max(1);
        let nan = || Array2::from_elem(dim, f64::NAN);
        let mut all = Combined {
            flux: nan(),
            variances: (0..n_variances).map(|_| nan()).collect(),
            noise: nan(),
            usual: Array2::from_elem(dim, 1.0),
            n_used: Array2::zeros(dim),
            n_rejected: Array2::zeros(dim),
        };
        for (region, sums) in self.profile.regions.iter().zip(&self.sums) {
            if sums.flux.is_empty() {
                continue;
            }
            let mean = sums.brightness / sums.n_bright;
            let weight = |i: usize| mean / sums.weight[i];
            put(region, &mut all.flux.view_mut(), |i| weight(i) * sums.flux[i]);
            for (plane, sum) in all.variances.iter_mut().zip(&sums.variances) {
                put(region, &mut plane.view_mut(), |i| weight(i) * weight(i) * sum[i]);
            }
            let noise = sums.noise.iter().zip(&sums.n_used).map(|(sum, n)| sum / f64::from(*n));
            let mut noise: Vec<f64> = noise.collect();
            if self.is_scatter {
                noise = level_out(region, &noise);
            }
            put(region, &mut all.noise.view_mut(), |i| noise[i]);
            let clip = self.profile.clip_sigma;
            put(region, &mut all.usual.view_mut(), |i| region.tolerance[i] / clip);
            put(region, &mut all.n_used.view_mut(), |i| sums.n_used[i]);
            put(region, &mut all.n_rejected.view_mut(), |i| sums.n_rejected[i]);
        }
        all
    }
}

/// Writes the values of a region's pixels into a plane.
fn put<V>(region: &RegionProfile, plane: &mut ArrayViewMut2<'_, V>, value: impl Fn(usize) -> V) {
    for column in region.bounds.columns.clone() {
        for i in region.pixels.column(column) {
            plane[(region.pixels.row[i] as usize, column)] = value(i);
        }
    }
}

/// Squared residuals, made larger by what they are too small because the scale was fitted to them.
fn scatter(region: &RegionProfile, fit: &IntegrationFit) -> Vec<f64> {
    let mut square = vec![f64::NAN; fit.flux.len()];
    for (column, found) in region.bounds.columns.clone().zip(&fit.columns) {
        for i in region.pixels.column(column) {
            let (template, weight) = (region.template[i], region.weight[i]);
            let freedom = 1.0 - weight * template * template / found.information;
            let residual = fit.flux[i] - found.scale * template;
            square[i] = residual * residual / freedom.max(LEAST_FREEDOM);
        }
    }
    square
}

/// One scale for all columns; zero where there is none.
fn brightness(fit: &IntegrationFit) -> f64 {
    let (mut a, mut b) = (0.0, 0.0);
    for column in fit.columns.iter().filter(|column| column.scale.is_finite()) {
        a += column.information;
        b += column.information * column.scale;
    }
    if a > 0.0 { (b / a).max(0.0) } else { 0.0 }
}

impl RegionSums {
    /// Adds integrations, pixel by pixel in their order, whatever the number of threads.
    fn add(&mut self, added: &[Added]) {
        let Some(one) = added.first() else { return };
        let n = one.fit.flux.len();
        let n_variances = 1 + one.components.len();
        self.flux.resize(n, 0.0);
        self.weight.resize(n, 0.0);
        self.noise.resize(n, 0.0);
        self.n_used.resize(n, 0);
        self.n_rejected.resize(n, 0);
        self.variances.resize(n_variances, Vec::new());
        for variance in &mut self.variances {
            variance.resize(n, 0.0);
        }
        for one in added.iter().filter(|one| one.brightness > 0.0) {
            self.brightness += one.brightness;
            self.n_bright += 1.0;
        }
        let is_used = |one: &Added, i: usize| one.fit.is_used[i] && one.brightness > 0.0;
        sum(&mut self.flux, added, is_used, |one, i| one.brightness * one.fit.flux[i]);
        sum(&mut self.weight, added, is_used, |one, _| one.brightness * one.brightness);
        sum(&mut self.noise, added, is_used, |one, i| one.noise[i]);
        for (k, variance) in self.variances.iter_mut().enumerate() {
            sum(variance, added, is_used, |one, i| {
                let q2 = one.brightness * one.brightness;
                match k {
                    0 => q2 * one.noise[i],
                    _ => q2 * one.components[k - 1][i],
                }
            });
        }
        let is_out = |one: &Added, i: usize| {
            one.fit.flux[i].is_finite() && one.fit.sigma[i].is_finite() && !one.fit.is_used[i]
        };
        sum(&mut self.n_used, added, is_used, |_, _| 1);
        sum(&mut self.n_rejected, added, is_out, |_, _| 1);
    }
}

/// Adds what each integration has for each pixel, in the order of the integrations.
fn sum<V: Send + std::ops::AddAssign>(
    plane: &mut [V],
    added: &[Added],
    counts: impl Fn(&Added, usize) -> bool + Sync,
    value: impl Fn(&Added, usize) -> V + Sync,
) {
    plane.par_chunks_mut(BLOCK).enumerate().for_each(|(block, sums)| {
        for one in added {
            for (i, sum) in (block * BLOCK..).zip(sums.iter_mut()) {
                if counts(one, i) {
                    *sum += value(one, i);
                }
            }
        }
    });
}
