//! Pixel maps: one map of a known source for each pixel of a scanning camera.

mod add;
pub mod clean;
mod clip;
mod combine;
mod dependents;
mod despike;
mod filter;
pub mod gaussian;
mod grid;
mod lanes;
mod layer;
mod level;
mod mask;
mod mem;
mod missed;
mod moments;
pub mod peak;
mod pending;
mod points;
mod sample_flags;
mod sample_moments;
#[cfg(test)]
mod sample_planes;
mod samples;
mod sign;
mod smart_median;
mod smooth;
mod stack;
mod statistics;
mod subtract;
mod sync;
mod tile;
mod view;

pub use add::Added;
pub use clip::{clip_exposure, clip_noise, clip_redundancy, clip_significance};
pub use combine::{OtherMaps, WeightedSamples};
pub use dependents::{DependentsInput, delta_sync_parms};
pub use despike::{DespikeSpace, despike};
pub use filter::{FilterKind, FilterParams, correct_filtering, filter, filter_correction};
pub use gaussian::{BeamShape, GaussianFit, GaussianFitParams, StreamInput, fit_streams};
pub use grid::Grid;
pub use level::{level, reweight};
pub use mask::{MaskSpace, neighbours, update_mask};
pub use mem::mem_correct;
pub use moments::{CellMoments, CellScatter};
pub use peak::{PeakMethod, PeakParams, PeakSource};
pub use pending::PendingSums;
pub use points::{SamplePoints, sample_points};
pub use sample_flags::Flags;
pub use sample_moments::{MissedCell, MomentLayer, SampleMoments};
pub use samples::Samples;
pub use sign::Sign;
pub use smooth::{SmoothingSpace, smooth_to};
pub use stack::{
    Content, DISCARD, GAUSSIAN_AREA, MASK, MapMut, MapRecord, MapStack, MapsMut, is_valid,
    pixelisation_fwhm,
};
pub use statistics::{
    Estimate, MEDIAN_CHI2, Workspace, chi2, count_valid, mean, median, select, select_exposure,
    select_noise, significance_variance, smart_median,
};
pub use sync::SyncInput;
pub use view::{MapRef, Maps};
