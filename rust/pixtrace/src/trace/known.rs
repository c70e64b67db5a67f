//! A region with the variances of its pixels: what the scale and the spline of a column take of each of them.

use ndarray::ArrayView2;

use super::compact::CompactRanges;
use super::exposure::{Exposure, RegionBox};
use super::functional::ColumnTerms;
use super::model::ColumnTrace;
use super::propagate::Residual;
use super::record::{ColumnRecord, FitRecord};
use super::scale::scale_weights;
use super::shrink::shares;
use super::traced::TracedRegion;
use crate::numeric::Real;
use crate::numeric::bspline::ORDER;
use crate::numeric::normal::{Factor, Inverse, basis_at};

/// A region with its variances, and what is kept of each residual.
pub(super) struct Known<'a> {
    pub(super) region: TracedRegion<'a>,
    pub(super) ranges: CompactRanges,
    /// Variances of the pixels by component.
    pub(super) components: Vec<Vec<f64>>,
    /// Share of its residual that each pixel keeps.
    pub(super) share: Vec<f64>,
    pub(super) is_outlier: Vec<bool>,
}

impl<'a> Known<'a> {
    /// Collects the variances of a region, and decides how much of each residual is kept.
    pub(super) fn new<T: Real>(
        exposure: &Exposure<'_, T>,
        error: ArrayView2<'_, T>,
        variances: &[ArrayView2<'_, T>],
        region: TracedRegion<'a>,
        ranges: CompactRanges,
        residual: Residual,
    ) -> Self {
        let map = exposure.regions();
        let bounds = &map.boxes()[&region.label];
        let collect = |plane: ArrayView2<'_, T>, is_square: bool| {
            let values =
                region.pixels.collect(bounds, map.labels(), region.label, plane, Real::to_f64);
            let as_variance = |v: f64| match () {
                () if v < 0.0 => f64::NAN,
                () if is_square => v,
                () => v * v,
            };
            values.into_iter().map(as_variance).collect::<Vec<f64>>()
        };
        let mut components = vec![collect(error, false)];
        components.extend(variances.iter().map(|&plane| collect(plane, true)));
        let mut known =
            Self { share: Vec::new(), is_outlier: Vec::new(), ranges, components, region };
        known.weigh_residuals(bounds, residual);
        known
    }

    fn weigh_residuals(&mut self, bounds: &RegionBox, residual: Residual) {
        let n = self.region.pixels.row.len();
        if residual == Residual::Whole {
            self.share = vec![1.0; n];
            self.is_outlier = vec![false; n];
            return;
        }
        let z = self.residuals(|_, trace| trace.scale);
        (self.share, self.is_outlier) = shares(&self.region.pixels, bounds, &z);
    }

    /// Finds the outliers of a model whose scales may have been led astray by them: each column is scaled anew, so that
    /// the sum of the absolute deviations in units of the errors is smallest.
    pub(super) fn find_outliers(&mut self, bounds: &RegionBox) {
        let z = self.residuals(|column, _| self.robust_scale(column));
        self.is_outlier = shares(&self.region.pixels, bounds, &z).1;
    }

    /// Residual over error of each pixel, for scales as given; NaN where there is none.
    pub(super) fn residuals(&self, scale: impl Fn(usize, &ColumnTrace) -> f64) -> Vec<f64> {
        let mut z = vec![f64::NAN; self.region.pixels.row.len()];
        for (column, trace) in self.region.traces() {
            let scale = scale(column, trace);
            for i in self.region.pixels.column(column) {
                let variance = self.components[0][i];
                if variance > 0.0 {
                    z[i] =
                        (self.region.pixels.flux[i] - scale * self.region.fit[i]) / variance.sqrt();
                }
            }
        }
        z
    }

    /// The median of flux over spline, each weighted with spline over error; NaN without pixels.
    fn robust_scale(&self, column: usize) -> f64 {
        let pixels = self.region.pixels.column(column);
        let mut ratios: Vec<(f64, f64)> = pixels
            .map(|i| {
                let fit = self.region.fit[i];
                (self.region.pixels.flux[i] / fit, fit.abs() / self.components[0][i].sqrt())
            })
            .filter(|(ratio, weight)| ratio.is_finite() && *weight > 0.0 && weight.is_finite())
            .collect();
        ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
        let half = 0.5 * ratios.iter().map(|(_, weight)| weight).sum::<f64>();
        let mut below = 0.0;
        let middle = ratios.iter().find(|(_, weight)| {
            below += weight;
            below >= half
        });
        middle.map_or(f64::NAN, |(ratio, _)| *ratio)
    }

    /// Record of a column, and of its fit.
    pub(super) fn record(&self, column: usize) -> Option<(&ColumnRecord, &FitRecord, bool)> {
        let (trace, position) = self.region.numbered(column)?;
        let record = self.region.record()?;
        Some((record.columns.get(position)?, record.fits.get(trace.spline)?, record.is_weighted))
    }

    /// What all that is made of a column shares, with the scale that the fit gave it.
    ///
    /// `None` for a model that has no record of its fit, or cannot be inverted.
    pub(super) fn terms<'c>(
        &'c self,
        column: usize,
        trace: &ColumnTrace,
        cache: &'c mut Cache,
    ) -> Option<ColumnTerms<'c>> {
        let (_, _, is_weighted) = self.record(column)?;
        let kappa = self.scale_kappa(column, is_weighted);
        self.terms_with(column, trace, trace.scale, kappa, cache)
    }

    /// The same for a spline that counts as known exactly: what is uncertain is its scale.
    pub(super) fn scale_terms<'c>(
        &'c self,
        column: usize,
        trace: &ColumnTrace,
        cache: &'c mut Cache,
    ) -> Option<ColumnTerms<'c>> {
        let n = self.region.spline(trace)?.coefficients().len();
        let is_weighted = self.record(column).is_some_and(|(_, _, is_weighted)| is_weighted);
        let kappa = self.scale_kappa(column, is_weighted);
        let basis = self.basis(column, trace)?;
        cache.spline = None;
        let inverse = cache.inverse.insert(Inverse::zero(n));
        let places = self.region.pixels.column(column);
        let variances =
            self.components.iter().map(|values| (values[places.clone()].to_vec(), None));
        let in_fit = vec![0.0; kappa.len()];
        Some(ColumnTerms::new(trace.scale, kappa, basis, &in_fit, inverse, variances.collect()))
    }

    /// The same for any scale that is linear in the pixels of the column: `kappa` is what it takes of each.
    pub(super) fn terms_with<'c>(
        &'c self,
        column: usize,
        trace: &ColumnTrace,
        scale: f64,
        kappa: Vec<f64>,
        cache: &'c mut Cache,
    ) -> Option<ColumnTerms<'c>> {
        let (of_column, of_fit, is_weighted) = self.record(column)?;
        if cache.spline != Some(trace.spline) {
            cache.spline = Some(trace.spline);
            cache.inverse = Factor::new(&of_fit.information).map(|factor| factor.inverse());
        }
        let inverse = cache.inverse.as_ref()?;
        let places = self.region.pixels.column(column);
        let fit = &self.region.fit[places.clone()];
        let flux = &self.region.pixels.flux[places.clone()];
        let variance = &self.components[0][places.clone()];
        let is_in_window = of_fit.window.contains(&column);
        let in_fit: Vec<f64> = (0..flux.len())
            .map(|j| {
                let residual = flux[j] / of_column.norm - fit[j];
                let is_kept = is_in_window
                    && (of_fit.limits.0..=of_fit.limits.1).contains(&residual)
                    && !self.is_outlier[places.start + j];
                let weight =
                    if is_weighted { of_column.norm / variance[j] } else { 1.0 / of_column.norm };
                if is_kept && weight.is_finite() { weight } else { 0.0 }
            })
            .collect();
        let basis = self.basis(column, trace)?;
        let components = self
            .components
            .iter()
            .zip(of_fit.noise.iter().map(Some).chain(std::iter::repeat(None)))
            .map(|(values, noise)| {
                (values[places.clone()].to_vec(), noise.filter(|n| !n.is_empty()))
            })
            .collect();
        Some(ColumnTerms::new(scale, kappa, basis, &in_fit, inverse, components))
    }

    /// Number of the first basis function and the values of four, at each pixel of a column; zeros without a model.
    pub(super) fn basis(
        &self,
        column: usize,
        trace: &ColumnTrace,
    ) -> Option<Vec<(usize, [f64; ORDER])>> {
        let spline = self.region.spline(trace)?;
        let places = self.region.pixels.column(column);
        let (alpha, fit) = (&self.region.pixels.alpha[places.clone()], &self.region.fit[places]);
        let at = |(&alpha, m): (&f64, &f64)| {
            if m.is_finite() { basis_at(spline.knots(), alpha) } else { (0, [0.0; ORDER]) }
        };
        Some(alpha.iter().zip(fit).map(at).collect())
    }

    /// Variance of a sum over the pixels of a column, each taken so often; what is not known counts as free of noise.
    pub(super) fn variance_of(&self, column: usize, component: usize, kappa: &[f64]) -> f64 {
        let variance = &self.components[component][self.region.pixels.column(column)];
        let terms = kappa.iter().zip(variance).filter(|(_, v)| v.is_finite());
        terms.map(|(k, v)| k * k * v).sum()
    }

    /// What the scale of a column takes of each of its pixels.
    pub(super) fn scale_kappa(&self, column: usize, is_weighted: bool) -> Vec<f64> {
        let places = self.region.pixels.column(column);
        let fit = &self.region.fit[places.clone()];
        let flux = &self.region.pixels.flux[places.clone()];
        let variance = &self.components[0][places.clone()];
        if is_weighted {
            let weight = |j: usize| {
                let is_used = flux[j].is_finite() && fit[j].is_finite() && variance[j] > 0.0;
                if is_used && !self.is_outlier[places.start + j] {
                    fit[j] / variance[j]
                } else {
                    0.0
                }
            };
            let weights: Vec<f64> = (0..flux.len()).map(weight).collect();
            let total: f64 =
                weights.iter().zip(fit).filter(|(w, _)| **w != 0.0).map(|(w, m)| w * m).sum();
            return weights.into_iter().map(|w| w / total).collect();
        }
        let within: Vec<usize> = (0..flux.len()).filter(|&j| fit[j].is_finite()).collect();
        let (f, m): (Vec<f64>, Vec<f64>) = within.iter().map(|&j| (flux[j], fit[j])).unzip();
        let mut kappa = vec![0.0; flux.len()];
        for (&j, weight) in within.iter().zip(scale_weights(&f, &m)) {
            kappa[j] = if weight == 0.0 { 0.0 } else { weight / fit[j] };
        }
        kappa
    }
}

/// The inverse for the last spline: neighbouring columns may share it.
#[derive(Default)]
pub(super) struct Cache {
    spline: Option<usize>,
    inverse: Option<Inverse>,
}
