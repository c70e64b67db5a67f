//! What all integrations share: the profile at the native pixels, its weights, and how far off a pixel may be.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::super::exposure::{Exposure, RegionBox, RegionMap};
use super::super::model::{ColumnTrace, TraceModel};
use super::super::propagate::Residual;
use super::super::region::RegionPixels;
use super::super::shrink::shares;
use super::super::traced::TracedRegion;
use super::Chunk;
use super::fit::{SeriesFit, fit_integration};
use crate::numeric::Real;
use crate::numeric::piecewise::PiecewiseCubic;
use crate::numeric::stats::median;
use crate::{Control, Error};

/// Median of the square of a normally distributed number.
const MEDIAN_SQUARE: f64 = 0.4549;

/// Integrations whose scatter tells the noise of a pixel.
const ENOUGH: usize = 5;
/// Columns to either side over which a noise that is known from the scatter is averaged.
const LEVEL: usize = 8;

/// How a shared profile is put together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SharedParams {
    /// Pixels this many errors off the profile, and this many times what is usual at their place, are outliers.
    pub clip_sigma: f64,
    /// How much of the difference between the mean of all integrations and the splines belongs to the profile.
    pub residual: Residual,
}

impl Default for SharedParams {
    fn default() -> Self {
        Self { clip_sigma: 5.0, residual: Residual::Significant }
    }
}

/// The profile that is scaled to every integration.
#[derive(Clone, Debug)]
pub struct SharedProfile {
    pub(super) labels: Array2<i32>,
    pub(super) regions: Vec<RegionProfile>,
    pub(super) clip_sigma: f64,
}

/// The profile of one region. Vectors have one element per pixel, column by column.
#[derive(Clone, Debug)]
pub(super) struct RegionProfile {
    pub(super) label: i32,
    pub(super) bounds: RegionBox,
    /// Rows and alpha.
    pub(super) pixels: RegionPixels,
    /// Flux for a scale of 1: splines and residuals.
    pub(super) template: Vec<f64>,
    /// One over the variance of a pixel in an integration; zero for those that take no part.
    pub(super) weight: Vec<f64>,
    /// Whether weights are those of the noise, and not all alike because nothing is known of it.
    pub(super) is_noise_known: bool,
    /// Errors that a pixel may be off.
    pub(super) tolerance: Vec<f64>,
    /// The splines, not scaled; NaN outside of their bounds. Empty at the first look.
    pub(super) fit: Vec<f64>,
    /// What belongs to the profile beside the splines.
    pub(super) residual: Vec<f64>,
    /// Trace of each column of `bounds`.
    pub(super) columns: Vec<Option<ColumnTrace>>,
    pub(super) splines: Vec<PiecewiseCubic>,
    /// Spacing of native pixels in alpha.
    pub(super) step: f64,
}

impl RegionProfile {
    /// The columns that have a trace, and it.
    pub(super) fn traces(&self) -> impl Iterator<Item = (usize, &ColumnTrace)> {
        let columns = self.bounds.columns.clone().zip(&self.columns);
        columns.filter_map(|(x, trace)| trace.as_ref().map(|t| (x, t)))
    }

    /// The trace of a column of the image.
    pub(super) fn trace(&self, column: usize) -> Option<&ColumnTrace> {
        self.columns.get(column.checked_sub(self.bounds.columns.start)?)?.as_ref()
    }
}

impl SharedProfile {
    /// Takes the median of a few integrations for the profile.
    ///
    /// `clip_sigma` is that of [`SharedParams`]. What is usual at the place of a pixel is the median of its residuals in
    /// units of their errors.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Parameter`] and [`Error::Cancelled`].
    pub fn first_look<T: Real>(
        sample: &Chunk<'_, T>,
        labels: ArrayView2<'_, i32>,
        clip_sigma: f64,
        control: &Control,
    ) -> Result<Self, Error> {
        check_clip(clip_sigma)?;
        let map = RegionMap::new(labels);
        let mut profile = Self { labels: labels.to_owned(), regions: Vec::new(), clip_sigma };
        profile.check_chunk(sample)?;
        let boxes: Vec<_> = map.boxes().iter().collect();
        let regions = boxes
            .into_par_iter()
            .map(|(&label, bounds)| {
                control.check()?;
                Ok(first_region(&profile, sample, label, bounds))
            })
            .collect::<Vec<_>>();
        profile.regions = regions.into_iter().collect::<Result<_, Error>>()?;
        Ok(profile)
    }

    /// Takes a model that was fitted to the mean of all integrations, which is `exposure`.
    ///
    /// `noise` is the mean variance of a pixel in an integration, and `usual` the residual that is usual at its place, in
    /// units of its error ([`super::Combined`] has both).
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::Parameter`] and [`Error::Cancelled`].
    pub fn new<T: Real>(
        exposure: &Exposure<'_, T>,
        noise: ArrayView2<'_, f64>,
        usual: ArrayView2<'_, f64>,
        model: &TraceModel,
        params: SharedParams,
        control: &Control,
    ) -> Result<Self, Error> {
        check_clip(params.clip_sigma)?;
        let map = exposure.regions();
        for (name, plane) in [("noise", noise), ("usual", usual)] {
            map.check_shape(name, plane.dim(), map.dim().0)?;
        }
        let traced =
            TracedRegion::all(map, model, exposure.alpha(), Some(exposure.flux()), control)?;
        let regions = traced
            .into_par_iter()
            .map(|traced| region_of(exposure, noise, usual, model, params, &traced))
            .collect();
        control.check()?;
        let clip_sigma = params.clip_sigma;
        Ok(Self { labels: map.labels().to_owned(), regions, clip_sigma })
    }
}

fn check_clip(value: f64) -> Result<(), Error> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::Parameter { name: "clip_sigma", value, must_be: "finite and positive" })
}

/// The region of a model, with the residuals that belong to the profile.
fn region_of<T: Real>(
    exposure: &Exposure<'_, T>,
    noise: ArrayView2<'_, f64>,
    usual: ArrayView2<'_, f64>,
    model: &TraceModel,
    params: SharedParams,
    traced: &TracedRegion<'_>,
) -> RegionProfile {
    let map = exposure.regions();
    let (label, bounds, pixels) = (traced.label, &map.boxes()[&traced.label], &traced.pixels);
    let collect = |plane| pixels.collect(bounds, map.labels(), label, plane, |v: f64| v);
    let (noise, usual) = (collect(noise), collect(usual));
    let n = pixels.row.len();
    let mut scaled = vec![f64::NAN; n];
    for (column, trace) in traced.traces() {
        for i in pixels.column(column) {
            scaled[i] = trace.scale * traced.fit[i];
        }
    }
    let residual = |i: usize| pixels.flux[i] - scaled[i];
    let (share, is_outlier) = match (params.residual, exposure.error()) {
        (Residual::Significant, Some(error)) => {
            let error = pixels.collect(bounds, map.labels(), label, error, Real::to_f64);
            let z: Vec<f64> = (0..n)
                .map(|i| if error[i] > 0.0 { residual(i) / error[i] } else { f64::NAN })
                .collect();
            shares(pixels, bounds, &z)
        }
        (Residual::Significant, None) => (vec![0.0; n], vec![false; n]),
        (Residual::Whole, _) => (vec![1.0; n], vec![false; n]),
    };
    let kept = |i: usize| {
        let residual = residual(i);
        if residual.is_finite() { share[i] * residual } else { 0.0 }
    };
    let residual: Vec<f64> = (0..n).map(kept).collect();
    let weight = |i: usize| {
        let is_known = noise[i] > 0.0 && scaled[i].is_finite() && !is_outlier[i];
        if is_known { 1.0 / noise[i] } else { 0.0 }
    };
    let splines = model.regions.get(&label).map(|trace| &trace.splines);
    RegionProfile {
        label,
        bounds: bounds.clone(),
        template: scaled.iter().zip(&residual).map(|(m, r)| m + r).collect(),
        weight: (0..n).map(weight).collect(),
        is_noise_known: true,
        tolerance: usual.iter().map(|u| params.clip_sigma * u.max(1.0)).collect(),
        fit: traced.fit.clone(),
        residual,
        columns: bounds.columns.clone().map(|x| traced.column(x).copied()).collect(),
        splines: splines.map_or_else(Vec::new, |all| all.iter().map(Into::into).collect()),
        step: pixels.native_dalpha::<T>(),
        pixels: pixels.clone(),
    }
}

/// The median of a few integrations, in one region.
fn first_region<T: Real>(
    profile: &SharedProfile,
    sample: &Chunk<'_, T>,
    label: i32,
    bounds: &RegionBox,
) -> RegionProfile {
    let labels = profile.labels.view();
    let pixels = RegionPixels::layout(labels, label, bounds);
    let n = pixels.row.len();
    let collect =
        |plane: ArrayView2<'_, T>| pixels.collect(bounds, labels, label, plane, Real::to_f64);
    let integrations = || (0..sample.len()).map(|i| sample.integration(i));
    let flux: Vec<Vec<f64>> = integrations().map(|one| collect(one.flux)).collect();
    let error: Vec<Vec<f64>> = integrations().filter_map(|one| one.error.map(collect)).collect();
    let template = medians(n, &flux, Some);
    // Without errors all pixels count alike.
    let noise = if error.is_empty() {
        vec![1.0; n]
    } else {
        medians(n, &error, |e| (e > 0.0).then_some(e * e))
    };
    let weight = |i: usize| {
        if noise[i] > 0.0 && template[i].is_finite() { 1.0 / noise[i] } else { 0.0 }
    };
    let mut region = RegionProfile {
        label,
        bounds: bounds.clone(),
        weight: (0..n).map(weight).collect(),
        template,
        is_noise_known: !error.is_empty(),
        tolerance: vec![profile.clip_sigma; n],
        fit: Vec::new(),
        residual: Vec::new(),
        columns: vec![None; bounds.columns.len()],
        splines: Vec::new(),
        step: f64::NAN,
        pixels,
    };
    let squares = |region: &RegionProfile| -> Vec<Vec<f64>> {
        integrations()
            .map(|one| {
                let fit = fit_integration(profile, region, &one, &SeriesFit::default());
                let mut square = vec![f64::NAN; n];
                for (column, found) in bounds.columns.clone().zip(&fit.columns) {
                    for i in region.pixels.column(column) {
                        let z = (fit.flux[i] - found.scale * region.template[i]) / fit.sigma[i];
                        square[i] =
                            z * z * if error.is_empty() { fit.sigma[i].powi(2) } else { 1.0 };
                    }
                }
                square
            })
            .collect()
    };
    let finite = |z2: f64| z2.is_finite().then_some(z2 / MEDIAN_SQUARE);
    if error.is_empty() {
        // What is usual is the noise itself; a few integrations tell it but roughly.
        if sample.len() >= ENOUGH {
            let noise = level_out(&region, &medians(n, &squares(&region), finite));
            for (weight, noise) in region.weight.iter_mut().zip(noise) {
                *weight = if *weight > 0.0 && noise > 0.0 { 1.0 / noise } else { 0.0 };
            }
            region.is_noise_known = true;
        }
        return region;
    }
    let usual = medians(n, &squares(&region), finite);
    for (tolerance, usual) in region.tolerance.iter_mut().zip(usual) {
        *tolerance *= usual.sqrt().max(1.0);
    }
    region
}

/// Averages a noise over the neighbouring columns of each row: what is known from a few integrations is itself noisy.
pub(super) fn level_out(region: &RegionProfile, noise: &[f64]) -> Vec<f64> {
    let (rows, columns) = (region.bounds.rows.clone(), region.bounds.columns.clone());
    // Numbers and sums of the columns before each, by row.
    let width = columns.len() + 1;
    let mut sums = vec![(0.0, 0.0); rows.len() * width];
    let at = |row: u32, place: usize| (row as usize - rows.start) * width + place;
    for (place, column) in columns.clone().enumerate() {
        for i in region.pixels.column(column).filter(|&i| noise[i].is_finite()) {
            sums[at(region.pixels.row[i], place + 1)] = (1.0, noise[i]);
        }
    }
    for row in sums.chunks_mut(width) {
        for place in 1..width {
            row[place] = (row[place].0 + row[place - 1].0, row[place].1 + row[place - 1].1);
        }
    }
    let mut level = vec![f64::NAN; noise.len()];
    for (place, column) in columns.enumerate() {
        for i in region.pixels.column(column) {
            let row = region.pixels.row[i];
            let first = sums[at(row, place.saturating_sub(LEVEL))];
            let last = sums[at(row, (place + LEVEL + 1).min(width - 1))];
            level[i] = (last.1 - first.1) / (last.0 - first.0);
        }
    }
    level
}

/// Median of each of `n` pixels over several vectors, of what `value` makes of the finite ones; NaN where there is none.
fn medians(n: usize, all: &[Vec<f64>], value: impl Fn(f64) -> Option<f64>) -> Vec<f64> {
    let mut values = Vec::with_capacity(all.len());
    (0..n)
        .map(|i| {
            values.clear();
            values.extend(all.iter().map(|v| v[i]).filter(|v| v.is_finite()).filter_map(&value));
            median(&mut values)
        })
        .collect()
}
