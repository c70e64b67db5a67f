//! An elliptical Gaussian on a constant level, fitted to each map by weighted least squares.
//!
//! Every valid cell counts with its weight, and holes are left out. Where [`SampleMoments`] are given, the model is that of
//! the samples in the cell, to second order in their scatter: binning then costs the position nothing. Cells to which the
//! beam does not reach are only compared with the level, which takes three sums over them.

mod beam;
pub mod flags;
mod model;
mod report;
mod run;
mod scatter;
mod sky;
mod start;
mod stream;

use rayon::prelude::*;

pub use self::stream::{StreamInput, fit_streams};

use self::run::fit_one;
use self::sky::Cells;
use self::start::Scratch;
use super::sample_moments::SampleMoments;
use super::sign::Sign;
use super::stack::MapsMut;
use super::view::Maps;
use crate::{Control, Error};

/// Numbers of the parameters in [`GaussianFit::covariance`].
pub mod parameter {
    /// Position, x.
    pub const X: usize = 0;
    /// Position, y.
    pub const Y: usize = 1;
    /// Amplitude.
    pub const AMPLITUDE: usize = 2;
    /// FWHM of the major axis.
    pub const FWHM_MAJOR: usize = 3;
    /// FWHM of the minor axis.
    pub const FWHM_MINOR: usize = 4;
    /// Angle of the major axis.
    pub const ANGLE: usize = 5;
    /// Level.
    pub const LEVEL: usize = 6;
}

/// What is known of the shape of the beam.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum BeamShape {
    /// Both widths and the angle are fitted.
    #[default]
    Elliptical,
    /// One width is fitted.
    Round,
    /// Nothing is fitted: FWHM along the major and minor axis, and the angle of the major axis from x towards y in degrees.
    Fixed {
        /// FWHM of the major and minor axis, in the unit of the grid.
        fwhm: [f64; 2],
        /// Angle of the major axis, from x towards y, in degrees.
        angle: f64,
    },
}

/// How Gaussians are fitted. Start from [`Default`] and change what you need.
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianFitParams {
    /// What is fitted of the beam.
    pub shape: BeamShape,
    /// FWHM to begin with, in the unit of the grid; `None`: five cells. It also sets the size of the spot that is looked
    /// for, and the unit of `region`.
    pub beam_fwhm: Option<f64>,
    /// Tells whether there is a level to fit; it is zero otherwise.
    pub has_level: bool,
    /// Position to begin with, one for each map that is fitted, in their order; NaN or `None`: the most significant spot.
    pub starts: Option<Vec<[f64; 2]>>,
    /// Cells farther from the start than this many `beam_fwhm` are left out; `None`: the whole map is fitted.
    pub region: Option<f64>,
    /// Which way a source stands out.
    pub sign: Sign,
    /// An amplitude of less than this many of its errors is flagged [`flags::NOT_SIGNIFICANT`].
    pub significance: f64,
    /// An ellipse that is not this many standard deviations from round is fitted again as a round beam, and flagged
    /// [`flags::ROUND`]; zero: never.
    ///
    /// The larger one of two noisy widths is too large. Where noise decides which one it is, neither has an error in the
    /// usual sense, nor has the angle; one width for both has.
    pub round_significance: f64,
    /// The fit is given up after this many evaluations.
    pub n_evaluations: usize,
}

impl Default for GaussianFitParams {
    fn default() -> Self {
        Self {
            shape: BeamShape::Elliptical,
            beam_fwhm: None,
            has_level: true,
            starts: None,
            region: None,
            sign: Sign::Positive,
            significance: 5.0,
            round_significance: 3.5,
            n_evaluations: 100,
        }
    }
}

/// A Gaussian fitted to one map; all numbers are NaN if the fit failed ([`GaussianFit::has_failed`]).
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianFit {
    /// Centre, `[x, y]`, as an offset from the reference position of the map.
    pub position: [f64; 2],
    /// Height above the level.
    pub amplitude: f64,
    /// FWHM of the major and the minor axis.
    pub fwhm: [f64; 2],
    /// Angle of the major axis, from x towards y, in degrees from -90 (not included) to 90; zero if the beam is round.
    pub angle: f64,
    /// Level.
    pub level: f64,
    /// Covariance of the seven, in the order of [`parameter`], from the weights of the cells as they are.
    ///
    /// Parameters that were held have zeros. The variance of the angle of a round beam is infinite.
    pub covariance: [[f64; 7]; 7],
    /// Variance of each of the seven as the residuals have it, over that in `covariance`; NaN if it is not known.
    ///
    /// It is taken from fits to samples alone, where the source was passed often enough: from how residuals differ from
    /// passage to passage, so that it knows of noise that is correlated. For one fit it is good to some ten per cent; its
    /// mean over many is what errors are to be scaled with.
    pub scatter: [f64; 7],
    /// Sum of weight times the square of data less model over the cells.
    pub chi2: f64,
    /// Number of cells that were fitted.
    pub n_cells: usize,
    /// Number of cells less number of fitted parameters.
    pub degrees_of_freedom: usize,
    /// How often the model was evaluated.
    pub n_evaluations: usize,
    /// Why the fit failed or is doubtful: bits of [`flags`].
    pub flags: u32,
}

impl GaussianFit {
    pub(super) fn failed(flags: u32, n_cells: usize) -> Self {
        Self {
            position: [f64::NAN; 2],
            amplitude: f64::NAN,
            fwhm: [f64::NAN; 2],
            angle: f64::NAN,
            level: f64::NAN,
            covariance: [[f64::NAN; 7]; 7],
            scatter: [f64::NAN; 7],
            chi2: f64::NAN,
            n_cells,
            degrees_of_freedom: 0,
            n_evaluations: 0,
            flags,
        }
    }

    /// Tells whether the fit failed: all numbers are NaN, and the flags say why.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.flags & flags::FAILED != 0
    }

    /// Tells whether the fit succeeded and nothing about it is doubtful.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.flags & (flags::FAILED | flags::DOUBTFUL) == 0
    }

    /// Standard deviation of a parameter, by its number in [`parameter`].
    #[must_use]
    pub fn error(&self, parameter: usize) -> f64 {
        self.covariance[parameter][parameter].sqrt()
    }

    /// Amplitude over its error.
    #[must_use]
    pub fn significance(&self) -> f64 {
        self.amplitude / self.error(parameter::AMPLITUDE)
    }
}

impl Maps<'_> {
    /// Fits a Gaussian on a level to each map, in parallel; `pixels` are map numbers, `None` for all of them.
    ///
    /// A map that cannot be fitted is an outcome, not an error: its flags say why. Cells that are not valid are left out,
    /// and so are infinite values. A map of sums is fitted as the means that it stands for.
    ///
    /// # Errors
    /// [`Error::Parameter`] and [`Error::Element`] for parameters without sense, [`Error::LengthMismatch`] if `moments`
    /// or the starts do not go with the maps, [`Error::Index`] if there is no such map, [`Error::Cancelled`].
    pub fn fit_gaussians(
        &self,
        moments: Option<&SampleMoments>,
        params: &GaussianFitParams,
        pixels: Option<&[usize]>,
        control: &Control,
    ) -> Result<Vec<GaussianFit>, Error> {
        params.check()?;
        let pixels = self.chosen(pixels)?;
        if let Some(moments) = moments {
            let name = "moments";
            for (found, expected) in
                [(moments.n_cells(), self.grid().n_cells()), (moments.n_maps(), self.n_pixels())]
            {
                if found != expected {
                    return Err(Error::LengthMismatch { name, found, expected });
                }
            }
        }
        if let Some(starts) = params.starts.as_ref().filter(|s| s.len() != pixels.len()) {
            let (found, expected) = (starts.len(), pixels.len());
            return Err(Error::LengthMismatch { name: "starts", found, expected });
        }
        let cells = Cells::new(self.grid(), moments);
        control.expect(pixels.len());
        (pixels.par_iter().enumerate())
            .map_init(Scratch::default, |scratch, (i, &pixel)| {
                control.check()?;
                let start = params.starts.as_ref().map(|starts| starts[i]);
                let map = self.map(pixel);
                let fit = map.map_or_else(
                    || GaussianFit::failed(flags::NO_DATA, 0),
                    |map| fit_one(map, &cells, pixel, start, params, scratch),
                );
                control.advance(1);
                Ok(fit)
            })
            .collect()
    }
}

impl MapsMut<'_> {
    /// Fits a Gaussian on a level to each map: see [`Maps::fit_gaussians`].
    ///
    /// # Errors
    /// Those of [`Maps::fit_gaussians`].
    pub fn fit_gaussians(
        &self,
        moments: Option<&SampleMoments>,
        params: &GaussianFitParams,
        pixels: Option<&[usize]>,
        control: &Control,
    ) -> Result<Vec<GaussianFit>, Error> {
        self.as_maps().fit_gaussians(moments, params, pixels, control)
    }
}

impl GaussianFitParams {
    pub(super) fn check(&self) -> Result<(), Error> {
        let positive = |name, value: f64| {
            let is_good = value.is_finite() && value > 0.0;
            let must_be = "a positive number";
            if is_good { Ok(()) } else { Err(Error::Parameter { name, value, must_be }) }
        };
        self.beam_fwhm.map_or(Ok(()), |value| positive("beam_fwhm", value))?;
        self.region.map_or(Ok(()), |value| positive("region", value))?;
        if let BeamShape::Fixed { fwhm, angle } = self.shape {
            positive("fwhm", fwhm[0])?;
            positive("fwhm", fwhm[1])?;
            if !angle.is_finite() {
                return Err(Error::Parameter { name: "angle", value: angle, must_be: "finite" });
            }
        }
        for (name, value) in
            [("significance", self.significance), ("round_significance", self.round_significance)]
        {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::Parameter { name, value, must_be: "zero or a positive number" });
            }
        }
        let starts = self.starts.iter().flatten().flatten();
        if let Some((position, &found)) = starts.enumerate().find(|(_, value)| value.is_infinite())
        {
            let must_be = "finite, or NaN to look for the source";
            return Err(Error::Element { name: "starts", position, found, must_be });
        }
        Ok(())
    }
}
