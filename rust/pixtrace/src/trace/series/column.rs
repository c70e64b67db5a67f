//! One column of one integration on the finer grid: what each of its pixels is made of.

use std::ops::Range;

use super::super::model::ColumnTrace;
use super::super::propagate::Residual;
use super::super::shrink::shares;
use super::fine::{FinePixel, FineRegion, SeriesGrid};
use super::fit::IntegrationFit;
use super::line::Line;
use super::profile::RegionProfile;
use crate::numeric::Real;

/// One region of one integration, and how much of its residuals is added.
pub(super) struct FinePart {
    pub(super) fit: IntegrationFit,
    pub(super) share: Vec<f64>,
    pub(super) is_outlier: Vec<bool>,
}

impl SeriesGrid {
    /// Decides how much of the residual of each pixel is kept.
    pub(super) fn part(&self, region: &RegionProfile, fit: IntegrationFit) -> FinePart {
        let n = region.pixels.row.len();
        if self.params().residual == Residual::Whole {
            return FinePart { fit, share: vec![1.0; n], is_outlier: vec![false; n] };
        }
        let template = fit.moved.as_ref().map_or(&region.template, |moved| &moved.template);
        let mut z = vec![f64::NAN; n];
        for (column, found) in region.bounds.columns.clone().zip(&fit.columns) {
            let places = region.pixels.column(column);
            let pixels = fit.flux[places.clone()].iter().zip(&fit.sigma[places.clone()]);
            let pixels = pixels.zip(&template[places.clone()]).zip(&mut z[places]);
            for (((flux, sigma), template), z) in pixels {
                *z = (flux - found.scale * template) / sigma;
            }
        }
        let (share, is_outlier) = shares(&region.pixels, &region.bounds, &z);
        FinePart { fit, share, is_outlier }
    }
}

/// One column of one region of one integration.
#[derive(Clone)]
pub(super) struct FineColumn<'a> {
    pub(super) grid: &'a SeriesGrid,
    pub(super) region: &'a RegionProfile,
    pub(super) fine: &'a FineRegion,
    pub(super) part: &'a FinePart,
    /// Number of the column in the region, and those of its pixels.
    pub(super) place: usize,
    pub(super) places: Range<usize>,
    /// Its trace, if the integration has a scale for it.
    pub(super) trace: Option<ScaledTrace<'a>>,
}

/// A trace under the scale of an integration.
#[derive(Clone, Copy)]
pub(super) struct ScaledTrace<'a> {
    pub(super) trace: &'a ColumnTrace,
    pub(super) scale: f64,
    /// That scale times the one of the trace.
    whole: f64,
}

/// What the pixels of a column are interpolated from.
#[derive(Debug, Default)]
pub(super) struct Lines {
    linear: Line,
    residual: Line,
    /// Flux of each native pixel for a scale of 1, of which the residual is taken.
    template: Vec<f64>,
    /// Piece of the spline that the last fine pixel lay in.
    piece: usize,
}

/// What a fine pixel is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) flux: f64,
    pub(super) linear: f64,
    pub(super) residual: f64,
    pub(super) full: f64,
    pub(super) used: f64,
    /// Pixels of the column, and what is taken of each.
    pub(super) lambda: [(usize, f64); 2],
    /// Derivatives by scale and by shift, zero where the model is not used.
    pub(super) by_scale: f64,
    pub(super) by_shift: f64,
    pub(super) is_modelled: bool,
}

impl<'a> FineColumn<'a> {
    /// `None` if the column has too few good pixels.
    pub(super) fn new(
        grid: &'a SeriesGrid,
        r: usize,
        part: &'a FinePart,
        column: usize,
    ) -> Option<Self> {
        let (region, fine) = grid.region(r);
        let places = region.pixels.column(column);
        let n_good = part.fit.flux[places.clone()].iter().filter(|f| f.is_finite()).count();
        if n_good <= grid.params().oversample.require_ngood {
            return None;
        }
        let place = column - region.bounds.columns.start;
        let scale = part.fit.columns[place].scale;
        let trace = region.trace(column).filter(|_| scale.is_finite());
        let trace = trace.map(|trace| ScaledTrace { trace, scale, whole: scale * trace.scale });
        Some(Self { grid, region, fine, part, place, places, trace })
    }

    /// Rows of its native pixels.
    pub(super) fn rows(&self) -> &'a [u32] {
        &self.region.pixels.row[self.places.clone()]
    }

    /// The fine pixels of the column, by number in the region.
    pub(super) fn pixels(&self) -> impl Iterator<Item = (usize, &'a FinePixel)> + use<'a> {
        let numbers = self.fine.column(self.place);
        numbers.clone().zip(&self.fine.pixels[numbers])
    }

    /// The spline at the native pixels, not scaled, where the shift has it.
    fn spline(&self) -> &'a [f64] {
        let fit = self.part.fit.moved.as_ref().map_or(&self.region.fit, |moved| &moved.fit);
        fit.get(self.places.clone()).unwrap_or_default()
    }

    /// Gets ready what its fine pixels are made of.
    pub(super) fn prepare<T: Real>(&self, lines: &mut Lines) {
        let flux = &self.part.fit.flux[self.places.clone()];
        lines.linear.set(flux.iter().copied());
        lines.template.clear();
        lines.piece = 0;
        let Some(ScaledTrace { trace, scale, whole }) = self.trace else {
            lines.residual.set(std::iter::empty());
            return;
        };
        let shared = &self.fine.residual[self.places.clone()];
        let spline = self.spline();
        lines.template.extend(spline.iter().zip(shared).map(|(s, r)| trace.scale * s + r));
        let share = &self.part.share[self.places.clone()];
        let kept = share.iter().zip(&self.part.is_outlier[self.places.clone()]);
        let pixels = flux.iter().zip(spline).zip(shared).zip(kept);
        lines.residual.set(pixels.map(|(((flux, spline), shared), (share, is_outlier))| {
            let residual = T::narrow(flux - whole * spline - scale * shared);
            if residual.is_finite() && !is_outlier { residual * share } else { f64::NAN }
        }));
    }

    /// Puts a fine pixel together; `is_missing` says that the native pixel under it is.
    #[inline]
    pub(super) fn make(&self, pixel: &FinePixel, is_missing: bool, lines: &mut Lines) -> Made {
        let mut made = Made {
            flux: f64::NAN,
            linear: f64::NAN,
            residual: f64::NAN,
            full: f64::NAN,
            used: f64::NAN,
            lambda: [(0, 0.0); 2],
            by_scale: 0.0,
            by_shift: 0.0,
            is_modelled: false,
        };
        let planes = &self.grid.params().oversample.planes;
        let (n_before, position) = (pixel.n_before as usize, self.grid.position(pixel));
        // What nobody will see is not interpolated: that costs as much as all the rest.
        let is_modelled = pixel.is_used && pixel.profile.is_finite() && self.trace.is_some();
        if (planes.linear_flux || !is_modelled)
            && pixel.is_inner
            && !is_missing
            && let Some((value, lambda)) = lines.linear.at(n_before, position, self.rows())
        {
            (made.linear, made.flux, made.lambda) = (value, value, lambda);
        }
        let Some(ScaledTrace { trace, scale, whole }) = self.trace else { return made };
        let is_inner = pixel.is_inner;
        let residual =
            if is_inner { lines.residual.at(n_before, position, self.rows()) } else { None };
        let shared = scale * pixel.residual;
        made.residual = residual.map_or(f64::NAN, |(value, _)| shared + value);
        let (profile, slope) = self.profile(trace, pixel, &mut lines.piece);
        made.full = profile * whole;
        if made.full.is_nan() || !pixel.is_used {
            return made;
        }
        made.used = made.full;
        made.is_modelled = true;
        made.flux = made.full + shared;
        made.lambda = [(0, 0.0); 2];
        made.by_scale = trace.scale * profile + pixel.residual;
        made.by_shift = -whole * slope;
        if let Some((value, lambda)) = residual.filter(|_| !self.psf_optimal()) {
            made.flux = made.full + (shared + value);
            let share = &self.part.share[self.places.clone()];
            made.lambda = lambda.map(|(j, w)| (j, w * share[j]));
            for (j, w) in made.lambda {
                if w != 0.0 {
                    made.by_scale -= w * lines.template[j];
                    if let Some(moved) = &self.part.fit.moved {
                        made.by_shift -= w * scale * moved.slope[self.places.start + j];
                    }
                }
            }
        }
        made
    }

    fn psf_optimal(&self) -> bool {
        self.grid.params().oversample.psf_optimal
    }

    /// The spline at a fine pixel, and its slope if there is a shift.
    #[inline]
    fn profile(&self, trace: &ColumnTrace, pixel: &FinePixel, piece: &mut usize) -> (f64, f64) {
        match &self.part.fit.moved {
            Some(_) if pixel.profile.is_finite() => match self.region.splines.get(trace.spline) {
                Some(spline) => spline.eval_with_slope(pixel.alpha - self.part.fit.shift, piece),
                None => (pixel.profile, 0.0),
            },
            _ => (pixel.profile, 0.0),
        }
    }
}
