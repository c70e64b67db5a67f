//! Time series: one profile for all integrations, and for each of them a scale in every column.
//!
//! A time series is taken of a source that does not move, or hardly: its profile is that of all integrations together, and
//! the shape need not be fitted a thousand times. What is done, with some integrations at a time in memory:
//!
//! 1. [`SharedProfile::first_look`]: the median of a few integrations, a first profile.
//! 2. [`Combination`]: all integrations, scaled to it and without outliers, are added up.
//! 3. The trace model is fitted to their mean, as to any exposure.
//! 4. [`SharedProfile::fit`]: that model scaled to each integration, column by column, and, if wanted, shifted.
//! 5. [`SeriesGrid::oversample`]: the integrations on the finer grid.
//!
//! Weights are the same for all integrations, from the mean of their variances: weights that come from the error of the
//! very pixel they are for favour pixels that are low by chance, and with them all that is summed up. The errors of the
//! results follow from the errors of the integration itself.
//!
//! ```
//! use ndarray::{Array2, Array3};
//! use pixtrace::trace::{
//!     Chunk, Combination, Exposure, RobustParams, SeriesFit, SharedParams, SharedProfile, fit_robust,
//! };
//!
//! // Six integrations of a slit; each is brighter than the one before, and stands a little further on.
//! let alpha = Array2::from_shape_fn((24, 90), |(y, x)| y as f64 - 11.5 + 0.03 * x as f64);
//! let flux = Array3::from_shape_fn((6, 24, 90), |(i, y, x)| {
//!     let place = alpha[(y, x)] - 0.01 * (i as f64 - 2.5);
//!     (1.0 + 0.1 * (i as f64 - 2.5)) * (100.0 * (-0.5 * (place / 1.2).powi(2)).exp() + 1.0)
//! });
//! let (error, labels) = (Array3::from_elem((6, 24, 90), 0.5), Array2::from_elem((24, 90), 1_i32));
//! let chunk = Chunk::new(flux.view(), Some(error.view()), vec![])?;
//! let control = Default::default();
//!
//! let look = SharedProfile::first_look(&chunk, labels.view(), 5.0, &control)?;
//! let mut sum = Combination::new(look);
//! sum.add(&chunk, &control)?;
//! let mean = sum.finish();
//! let mean_error = mean.variances[0].mapv(f64::sqrt);
//! let exposure =
//!     Exposure::new(mean.flux.view(), Some(mean_error.view()), alpha.view(), labels.view())?;
//! let model = fit_robust(&exposure, &[], &RobustParams::default(), &control)?;
//! let (noise, usual) = (mean.noise.view(), mean.usual.view());
//! let params = SharedParams::default();
//! let profile = SharedProfile::new(&exposure, noise, usual, &model, params, &control)?;
//! let found = &profile.fit(&chunk, &SeriesFit { offset: 0.0, max_shift: Some(1.0) }, &control)?[0];
//! assert!((found.scale[(5, 40)] / found.scale[(0, 40)] - 1.25 / 0.75).abs() < 1e-3);
//! assert!((found.shift[5] - found.shift[0] - 0.05).abs() < 1e-3);
//! assert!(found.shift_variance[5] > 0.0);
//! # Ok::<(), pixtrace::Error>(())
//! ```

mod block;
mod column;
mod combine;
mod fine;
mod fit;
mod line;
mod noise;
mod profile;
mod shift;

use ndarray::{ArrayView2, ArrayView3, Axis};

pub use combine::{Combination, Combined};
pub use fine::{FineChunk, SeriesErrors, SeriesGrid, SeriesGridParams};
pub use fit::{RegionScales, SeriesFit};
pub use profile::{SharedParams, SharedProfile};

use crate::Error;

/// Some integrations of a time series, one after another: planes of shape `(n_integrations, n_y, n_x)`.
#[derive(Clone, Debug)]
pub struct Chunk<'a, T> {
    flux: ArrayView3<'a, T>,
    error: Option<ArrayView3<'a, T>>,
    variances: Vec<ArrayView3<'a, T>>,
}

impl<'a, T> Chunk<'a, T> {
    /// Takes flux, its error, and components of its variance. NaN marks missing data.
    ///
    /// # Errors
    /// [`Error::Shape`] unless all have the shape of the flux.
    pub fn new(
        flux: ArrayView3<'a, T>,
        error: Option<ArrayView3<'a, T>>,
        variances: Vec<ArrayView3<'a, T>>,
    ) -> Result<Self, Error> {
        let named = error.iter().map(|e| ("error", e.shape()));
        for (name, shape) in named.chain(variances.iter().map(|v| ("variance", v.shape()))) {
            check_shape(name, shape, flux.shape(), "the flux")?;
        }
        Ok(Self { flux, error, variances })
    }

    /// Number of integrations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flux.dim().0
    }

    /// Whether there is no integration.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows and columns of an integration.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        let (_, n_y, n_x) = self.flux.dim();
        (n_y, n_x)
    }

    /// One integration.
    fn integration(&self, i: usize) -> Integration<'_, T> {
        Integration {
            flux: self.flux.index_axis(Axis(0), i),
            error: self.error.as_ref().map(|error| error.index_axis(Axis(0), i)),
            variances: self.variances.iter().map(|v| v.index_axis(Axis(0), i)).collect(),
        }
    }
}

/// The planes of one integration.
#[derive(Clone, Debug)]
struct Integration<'a, T> {
    flux: ArrayView2<'a, T>,
    error: Option<ArrayView2<'a, T>>,
    variances: Vec<ArrayView2<'a, T>>,
}

/// Fails unless an array has the shape that it should have.
fn check_shape(
    name: &'static str,
    found: &[usize],
    expected: &[usize],
    of: &'static str,
) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Shape { name, found: found.to_vec(), expected: expected.to_vec(), of })
}
