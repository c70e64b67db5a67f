//! Peaks of single maps, by the methods of the reference: where, how high, how wide.
//!
//! They are kept so that results can be compared. For positions with errors use
//! [`fit_gaussians`](super::Maps::fit_gaussians): it counts each cell by its weight, leaves holes out, and fits a level.

mod centre;
mod extent;
mod holes;
mod round_fit;
mod sky;

use rayon::prelude::*;

use self::sky::{Interpolation, Plane, Scratch, TooFewCells};
use super::stack::{GAUSSIAN_AREA, MapsMut};
use super::view::{MapRef, Maps};
use crate::numeric::surface::MAX_DEGREE;
use crate::{Control, Error};

/// How the centre of a peak is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeakMethod {
    /// The cell of highest absolute S/N, refined by a parabola along each axis.
    #[default]
    Peak,
    /// The same: the reference has two names for it.
    Position,
    /// The mean position of all valid cells, weighted with their absolute S/N: good for maps that hold little else than
    /// the source in their middle.
    Centroid,
}

/// How peaks are found. Start from [`Default`] and change what you need.
#[derive(Clone, Debug, PartialEq)]
pub struct PeakParams {
    /// Where the search begins, and ends unless a fit follows.
    pub method: PeakMethod,
    /// Tells whether a round Gaussian is fitted from there. Where that fails, as without it, the width comes from a
    /// circle that grows until the S/N inside hardly rises.
    pub has_fit: bool,
    /// Degree, 0 to 5, of the spline surface that tells values between the cells.
    pub degree: usize,
    /// Tells whether a lower degree is taken where there are few cells, near an edge.
    pub reduce_degrees: bool,
    /// A peak of lower S/N is not reported.
    pub significance: f64,
    /// FWHM of the beam of the instrument, in the unit of the grid; 0 if the map does not know of it.
    pub beam_fwhm: f64,
    /// Tells whether the weighted median of the map is taken off first.
    pub is_levelled: bool,
}

impl Default for PeakParams {
    fn default() -> Self {
        Self {
            method: PeakMethod::Peak,
            has_fit: true,
            degree: 3,
            reduce_degrees: true,
            significance: 5.0,
            beam_fwhm: 0.0,
            is_levelled: true,
        }
    }
}

/// The peak of one map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeakSource {
    /// Centre, `[x, y]`, as an offset from the reference position of the map.
    pub position: [f64; 2],
    /// Centre as a map index `[x, y]`.
    pub index: [f64; 2],
    /// Value at the centre.
    pub peak: f64,
    /// Weight at the centre, from a surface through the weights of the cells: it may overshoot.
    pub peak_weight: f64,
    /// FWHM, from which that of the map's smoothing has been taken.
    pub fwhm: f64,
    /// Inverse variance of it; NaN where the peak's weight is negative.
    pub fwhm_weight: f64,
    /// Radius of the circle at which the S/N inside hardly rose; NaN after a fit.
    pub radius: f64,
    /// Sum of the S/N inside of the circle before that one; 0 after a fit.
    pub sum: f64,
    /// Elongation of the source, 0 for a round one.
    pub elongation: f64,
    /// Angle of its longer axis, from x towards y, in degrees from 0 to 180.
    pub angle: f64,
}

impl Maps<'_> {
    /// Finds the peak of each map, in parallel; `pixels` are map numbers, `None` for all of them.
    ///
    /// `None` stands for a map without a valid cell or without a significant peak. Cells that are not valid and infinite
    /// values are left out. A map of sums counts as the means that it stands for.
    ///
    /// # Errors
    /// [`Error::Parameter`] for parameters without sense, [`Error::Index`] if there is no such map, [`Error::Unfittable`]
    /// if there are too few cells around a peak for the degree and it may not be reduced, [`Error::Cancelled`].
    pub fn find_peaks(
        &self,
        params: &PeakParams,
        pixels: Option<&[usize]>,
        control: &Control,
    ) -> Result<Vec<Option<PeakSource>>, Error> {
        params.check()?;
        let pixels = self.chosen(pixels)?;
        control.expect(pixels.len());
        let peaks: Vec<Result<Option<PeakSource>, Error>> = (pixels.par_iter())
            .map_init(Scratch::default, |scratch, &pixel| {
                control.check()?;
                let found = self.map(pixel).map_or(Ok(None), |map| find(map, params, scratch));
                control.advance(1);
                found.map_err(|TooFewCells| Error::Unfittable {
                    reason: "fewer cells around a peak than the degree needs; allow reduce_degrees",
                })
            })
            .collect();
        peaks.into_iter().collect()
    }
}

impl MapsMut<'_> {
    /// Finds the peak of each map: see [`Maps::find_peaks`].
    ///
    /// # Errors
    /// Those of [`Maps::find_peaks`].
    pub fn find_peaks(
        &self,
        params: &PeakParams,
        pixels: Option<&[usize]>,
        control: &Control,
    ) -> Result<Vec<Option<PeakSource>>, Error> {
        self.as_maps().find_peaks(params, pixels, control)
    }
}

impl PeakParams {
    fn check(&self) -> Result<(), Error> {
        for (name, value) in [("significance", self.significance), ("beam_fwhm", self.beam_fwhm)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::Parameter { name, value, must_be: "zero or a positive number" });
            }
        }
        if self.degree > MAX_DEGREE {
            let value = self.degree as f64;
            return Err(Error::Parameter { name: "degree", value, must_be: "from 0 to 5" });
        }
        Ok(())
    }
}

/// FWHM of a Gaussian of unit standard deviation, `2 sqrt(2 ln 2)`.
const FWHM: f64 = 2.354_820_045_030_949_3;
/// The source's shape is looked at within so many FWHM of the beam that the search began with.
const SHAPE_RADIUS: f64 = 1.5;

fn find(
    map: MapRef<'_>,
    params: &PeakParams,
    scratch: &mut Scratch,
) -> Result<Option<PeakSource>, TooFewCells> {
    let Some(sky) = scratch.prepare(map, params.is_levelled) else { return Ok(None) };
    let start = match params.method {
        PeakMethod::Peak | PeakMethod::Position => centre::highest(&sky),
        PeakMethod::Centroid => centre::centroid(&sky),
    };
    let Some(start) = start else { return Ok(None) };
    let interpolation = Interpolation { degree: params.degree, is_reduced: params.reduce_degrees };
    let smoothing = map.record.smoothing_fwhm;
    let beam = params.beam_fwhm.hypot(smoothing);
    let [x, y] = map.grid.resolution();
    let cell_area = x * y;
    let cell = cell_area.sqrt();
    let fitted = if params.has_fit {
        round_fit::fit(&sky, start, (beam / cell / FWHM).max(1.0))
    } else {
        None
    };
    let (index, fwhm, circle, plane, radius) = if let Some((index, sigma)) = fitted {
        let nothing = extent::Circle { radius: f64::NAN, sum: 0.0 };
        let fwhm = sigma * FWHM * cell;
        (index, fwhm, nothing, Plane::Value, SHAPE_RADIUS * fwhm)
    } else {
        let circle = extent::grow_circle(&sky, start);
        let highest = sky.value_at(Plane::Significance, start, interpolation)?;
        let fwhm = (circle.sum * cell_area / highest / GAUSSIAN_AREA).sqrt();
        (start, fwhm, circle, Plane::Significance, SHAPE_RADIUS * beam)
    };
    let peak = sky.value_at(Plane::Value, index, interpolation)?;
    let peak_weight = sky.value_at(Plane::Weight, index, interpolation)?;
    let significance = peak.abs() * peak_weight.sqrt();
    // A weight that overshot below zero leaves the S/N unknown; such a peak stays, and has no error.
    if peak.is_nan() || significance < params.significance {
        return Ok(None);
    }
    let shape = extent::elongation(&sky, plane, index, radius);
    let deconvolved = (fwhm * fwhm - smoothing * smoothing).max(0.0);
    Ok(Some(PeakSource {
        position: map.grid.offset_of(index),
        index,
        peak,
        peak_weight,
        fwhm: deconvolved.sqrt(),
        // The variance of a FWHM is 2 (FWHM / (S/N))^2; what is taken off in squares makes it larger.
        fwhm_weight: significance * significance * deconvolved / (2.0 * fwhm.powi(4)),
        radius: circle.radius,
        sum: circle.sum,
        elongation: shape[0],
        angle: shape[1],
    }))
}
