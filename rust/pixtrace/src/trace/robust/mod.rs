//! Fits that weigh every pixel by its error, and choose knots and windows by the data.
//!
//! The reference normalises columns, throws away slit ends that look bad, and fits unweighted points with a number of
//! knots and a window that belong to the observing mode. Here
//!
//! - points have the weight of their errors, so that a noisy slit end need not be thrown away, nor a source with it;
//! - all windows of a region share one sequence of equally spaced knots, computed exactly, so that the normal equations
//!   of a window are a difference of sums over columns;
//! - the number of knots and the width of the window are those that predict left-out columns best, with the error of
//!   the model *between* the pixels taken into account: where neighbouring columns do not sample the profile at
//!   different phases, nothing is known between the pixels, and few knots are better than many;
//! - columns are normalised by their total flux, missing pixels filled in from the model. It may seem better to scale
//!   the model to the data by least squares, which is less noisy. But then the scale can go up and down with the phase
//!   of the pixels, and the model with it, and no pixel notices; the total flux cannot;
//! - where the points leave gaps, the smoothness of the spline bridges them, and the covariance says how badly.

mod alike;
mod bends;
pub(super) mod choose;
pub(super) mod columns;
pub(super) mod equations;
mod fit;
pub(super) mod look;
pub(super) mod region;

pub(super) use fit::weighted;
pub use fit::{RobustParams, fit_robust};
