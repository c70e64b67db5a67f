//! The mean of all integrations, without outliers, added up with some of them at a time in memory.

use std::ops::Range;

use ndarray::{Array2, ArrayView3, Axis};
use rayon::prelude::*;

use super::Chunk;
use super::fit::{IntegrationFit, SeriesFit};
use super::profile::{RegionProfile, SharedProfile, level_out};
use crate::numeric::Real;
use crate::{Control, Error};

/// Pixels summed up by one task; their sums fit into the fastest cache.
const BLOCK: usize = 1024;
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

/// Sums of one region.
#[derive(Clone, Debug, Default)]
struct RegionSums {
    pixels: Vec<PixelSums>,
    /// `q^2` times the components of the variance, by pixel.
    components: Vec<Vec<f64>>,
    /// `q`, and the number of integrations with light.
    brightness: f64,
    n_bright: f64,
}

/// Sums of one pixel over the integrations, each of the brightness `q`.
#[derive(Clone, Copy, Debug, Default)]
struct PixelSums {
    /// `q f`, and `q^2`.
    flux: f64,
    weight: f64,
    /// `q^2` times the variance, and the variance as it is.
    variance: f64,
    noise: f64,
    /// Integrations that were used, and those in which the pixel was an outlier.
    n_used: u32,
    n_rejected: u32,
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
    /// Squared residuals, which tell of the variance where there are no errors.
    scatter: Option<Vec<f64>>,
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
        let is_scatter = |region: &RegionProfile| chunk.error.is_none() && region.is_noise_known;
        let one = |i: usize, region: &RegionProfile, fit: IntegrationFit| {
            let collect = |plane: &ArrayView3<'_, T>| {
                let (pixels, plane) = (&region.pixels, plane.index_axis(Axis(0), i));
                let labels = profile.labels.view();
                pixels.collect(&region.bounds, labels, region.label, plane, T::to_f64)
            };
            let components = chunk.variances.iter().map(collect).collect();
            let scatter = is_scatter(region).then(|| scatter(region, &fit));
            Added { brightness: brightness(&fit), scatter, components, fit }
        };
        let added = profile.fits(chunk, &SeriesFit::default(), control, |i, fits| {
            let regions = profile.regions.iter().zip(fits);
            regions.map(|(region, fit)| one(i, region, fit)).collect::<Vec<_>>()
        })?;
        for (r, (sums, region)) in self.sums.iter_mut().zip(&profile.regions).enumerate() {
            sums.add(&added.iter().map(|added| &added[r]).collect::<Vec<_>>());
            self.is_scatter |= is_scatter(region) && !chunk.is_empty();
        }
        self.n_integrations += chunk.len();
        Ok(())
    }

    /// The mean so far.
    #[must_use]
    pub fn finish(&self) -> Combined {
        let dim = self.profile.labels.dim();
        let n_components = self.sums.iter().map(|s| s.components.len()).max().unwrap_or(0);
        let nan = || Array2::from_elem(dim, f64::NAN);
        let mut all = Combined {
            flux: nan(),
            variances: (0..=n_components).map(|_| nan()).collect(),
            noise: nan(),
            usual: Array2::from_elem(dim, 1.0),
            n_used: Array2::zeros(dim),
            n_rejected: Array2::zeros(dim),
        };
        for (region, sums) in self.profile.regions.iter().zip(&self.sums) {
            if sums.pixels.is_empty() {
                continue;
            }
            let (mean, pixels) = (sums.brightness / sums.n_bright, &sums.pixels);
            let weight = |i: usize| mean / pixels[i].weight;
            put(region, &mut all.flux, |i| weight(i) * pixels[i].flux);
            let (total, components) = all.variances.split_at_mut(1);
            put(region, &mut total[0], |i| weight(i) * weight(i) * pixels[i].variance);
            for (plane, sum) in components.iter_mut().zip(&sums.components) {
                put(region, plane, |i| weight(i) * weight(i) * sum[i]);
            }
            let noise = pixels.iter().map(|sums| sums.noise / f64::from(sums.n_used));
            let mut noise: Vec<f64> = noise.collect();
            if self.is_scatter {
                noise = level_out(region, &noise);
            }
            put(region, &mut all.noise, |i| noise[i]);
            let clip = self.profile.clip_sigma;
            put(region, &mut all.usual, |i| region.tolerance[i] / clip);
            put(region, &mut all.n_used, |i| pixels[i].n_used);
            put(region, &mut all.n_rejected, |i| pixels[i].n_rejected);
        }
        all
    }
}

/// Writes the values of a region's pixels into a plane.
fn put<V>(region: &RegionProfile, plane: &mut Array2<V>, value: impl Fn(usize) -> V) {
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
    fn add(&mut self, added: &[&Added]) {
        let Some(one) = added.first() else { return };
        let n = one.fit.flux.len();
        self.pixels.resize(n, PixelSums::default());
        self.components.resize(one.components.len(), Vec::new());
        for one in added.iter().filter(|one| one.brightness > 0.0) {
            self.brightness += one.brightness;
            self.n_bright += 1.0;
        }
        self.pixels.par_chunks_mut(BLOCK).enumerate().for_each(|(block, sums)| {
            for one in added {
                one.add_to(block * BLOCK..block * BLOCK + sums.len(), sums);
            }
        });
        for (k, component) in self.components.iter_mut().enumerate() {
            component.resize(n, 0.0);
            component.par_chunks_mut(BLOCK).enumerate().for_each(|(block, sums)| {
                for one in added.iter().filter(|one| one.brightness > 0.0) {
                    let q2 = one.brightness * one.brightness;
                    for (i, sum) in (block * BLOCK..).zip(sums.iter_mut()) {
                        if one.fit.is_used[i] {
                            *sum += q2 * one.components[k][i];
                        }
                    }
                }
            });
        }
    }
}

impl Added {
    /// Adds some pixels of the integration to their sums.
    fn add_to(&self, pixels: Range<usize>, sums: &mut [PixelSums]) {
        let (fit, q) = (&self.fit, self.brightness);
        let values = fit.flux[pixels.clone()].iter().zip(&fit.sigma[pixels.clone()]);
        let values = values.zip(&fit.is_used[pixels.clone()]).zip(sums);
        for (i, (((flux, sigma), is_used), sums)) in pixels.zip(values) {
            if *is_used && q > 0.0 {
                let noise = self.scatter.as_ref().map_or(sigma * sigma, |scatter| scatter[i]);
                sums.flux += q * flux;
                sums.weight += q * q;
                sums.variance += q * q * noise;
                sums.noise += noise;
                sums.n_used += 1;
            }
            let is_known = flux.is_finite() && sigma.is_finite();
            sums.n_rejected += u32::from(is_known && !is_used);
        }
    }
}
