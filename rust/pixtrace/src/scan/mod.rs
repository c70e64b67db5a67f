//! Pixel maps: one map of a known source for each pixel of a scanning camera.

pub mod gaussian;
mod grid;
mod moments;
mod stack;
mod view;

pub use gaussian::{BeamShape, GaussianFit, GaussianFitParams, SourceSign};
pub use grid::Grid;
pub use moments::{CellMoments, CellScatter};
pub use stack::{
    Content, DISCARD, GAUSSIAN_AREA, MASK, MapMut, MapRecord, MapStack, MapsMut, is_valid,
    pixelisation_fwhm,
};
pub use view::{MapRef, Maps};
