//! Spectral traces for slit and integral-field spectrographs, and pixel maps for scanning cameras.
//!
//! # Traces
//!
//! A slit or integral-field spectrograph samples the image of a star with too few pixels, so every resampling of its
//! data aliases. This crate fits a cubic B-spline to the spatial profile of each slice in a window around every
//! detector column (the *trace model*, [`trace::TraceModel`]), and uses it to put the flux on a finer grid
//! ([`trace::oversample`]) where the source is compact; diffuse emission is interpolated linearly.
//!
//! The method is that of Law & Clarke (2026, AJ 171, 304); the reference implementation is the
//! `adaptive_trace_model` step of the `jwst` package.
//!
//! # Pixel maps
//!
//! A far-infrared or millimetre camera scans a known source, and every detector pixel makes a map of it of its own. Where
//! the source stands in a map tells where the pixel looks, and how bright it is, how well the pixel couples. A
//! [`scan::MapStack`] takes timestreams of all pixels at once, gives them back with the source removed, and is fitted with
//! Gaussians whose errors mean what they say; `examples/pixel_maps.rs` shows all of it. The reference implementation is
//! the `PixelMap` of the `sofia_redux` package.
//!
//! # Rooms
//!
//! - [`numeric`]: splines, least squares, statistics, interpolation, convolution. Slices in, numbers out.
//! - [`trace`]: the planes of an exposure, the fit, the model, oversampling.
//! - [`scan`]: the grid, the samples, the maps, what is done to them, fits.
//!
//! The crate knows no Python, no file format, no clock and no log, and it brings no thread pool: work is spread over
//! the caller's [`rayon`] pool, and the same call gives the same bits whatever the number of threads.
//!
//! ```
//! use ndarray::Array2;
//! use pixtrace::trace::{Exposure, FitParams, Thresholds, fit_all_regions};
//!
//! // One slit of 24 rows and 60 columns: a Gaussian source, drifting slowly over the pixels.
//! let alpha = Array2::from_shape_fn((24, 60), |(y, x)| y as f64 - 11.5 + 0.01 * x as f64);
//! let flux = alpha.mapv(|a: f64| (100.0 * (-0.5 * (a / 0.9).powi(2)).exp() + 1.0) as f32);
//! let region = Array2::from_elem((24, 60), 1_i32);
//!
//! let exposure = Exposure::new(flux.view(), None, alpha.view(), region.view())?;
//! let params = FitParams { n_intervals: Some(30), require_ngood: Some(8), ..FitParams::default() };
//! let model = fit_all_regions(&exposure, &Thresholds::default(), &params, &Default::default())?;
//! assert_eq!(model.regions[&1].columns.len(), 60);
//! # Ok::<(), pixtrace::Error>(())
//! ```

mod control;
mod error;
pub mod numeric;
pub mod scan;
pub mod trace;

pub use control::Control;
pub use error::Error;
pub use ndarray;

/// The examples of README.md, run as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
