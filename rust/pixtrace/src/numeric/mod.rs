//! Numbers in, numbers out: the mathematics that the rest of the crate stands on.

pub mod banded;
pub mod bspline;
pub mod cholesky;
pub mod convolve;
pub mod exponential;
pub mod givens;
pub mod interpolate;
mod interval;
pub mod levenberg;
pub mod lsq;
pub mod normal;
pub mod peaks;
pub(crate) mod piecewise;
pub(crate) mod prefetch;
pub mod pseudo_inverse;
pub mod real;
pub mod sequence;
pub mod stats;
pub mod surface;

pub use bspline::BSpline;
pub use real::Real;
