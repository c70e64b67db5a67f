//! Pixel maps: one map of a known source for each pixel of a scanning camera.

mod grid;
mod level;
mod moments;
mod smart_median;
mod stack;
mod statistics;

pub use grid::Grid;
pub use level::{level, reweight};
pub use moments::{CellMoments, CellScatter};
pub use stack::{
    Content, DISCARD, GAUSSIAN_AREA, MASK, MapMut, MapRecord, MapStack, MapsMut, is_valid,
    pixelisation_fwhm,
};
pub use statistics::{
    Estimate, MEDIAN_CHI2, Workspace, chi2, count_valid, mean, median, select, select_exposure,
    select_noise, significance_variance, smart_median,
};
