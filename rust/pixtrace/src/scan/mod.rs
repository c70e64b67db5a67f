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
mod add;
mod combine;
mod dependents;
mod points;
mod samples;
mod sync;
pub use add::Added;
pub use combine::{OtherMaps, WeightedSamples};
pub use dependents::{DependentsInput, delta_sync_parms};
pub use points::{SamplePoints, sample_points};
pub use samples::{Flags, Samples};
pub use sync::SyncInput;
