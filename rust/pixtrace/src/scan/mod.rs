//! Pixel maps: one map of a known source for each pixel of a scanning camera.

mod grid;
mod moments;
mod stack;

pub use grid::Grid;
pub use moments::{CellMoments, CellScatter};
pub use stack::{
    Content, DISCARD, GAUSSIAN_AREA, MASK, MapMut, MapRecord, MapStack, MapsMut, is_valid,
    pixelisation_fwhm,
};
