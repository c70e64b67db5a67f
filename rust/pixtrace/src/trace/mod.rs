//! Trace models of slit and integral-field spectra: fit, evaluation, oversampling.
//!
//! Axis 0 of every plane is the spatial (cross-dispersion) axis y, axis 1 the dispersion axis x; a *column* is one
//! dispersion element. A *region* is the image of one slice or slit on the detector: the pixels with the same positive
//! label in the region map. `alpha` is the coordinate along the slice.
//!
//! NaN marks missing data in every plane and infinities count as missing too.

mod assign;
mod box_sums;
mod compact;
mod evaluate;
mod exposure;
mod extract;
mod fine_column;
mod fit;
mod functional;
mod grid;
mod joint;
mod known;
mod linear;
mod misfit;
mod model;
mod model_error;
mod oversample;
mod profile;
mod propagate;
mod record;
mod recorded;
mod region;
mod rescale;
mod robust;
mod scale;
mod series;
mod shrink;
mod spacing;
mod spline_fit;
mod trace_image;
mod traced;
mod whole_slice;
mod window;

pub use compact::CompactRanges;
pub use evaluate::{EvaluatedPoints, Points, evaluate, evaluate_with_errors};
pub use exposure::{Exposure, RegionBox, RegionMap};
pub use extract::{
    CombinedSpectrum, ExtractParams, Extraction, RegionSpectrum, SliceSpectrum, combine_slices,
    extract,
};
pub use fit::{FitParams, Thresholds, fit_all_regions, fit_all_regions_recorded, fit_region};
pub use grid::FineGrid;
pub use joint::{Grouping, JointFit, JointGroup, JointParams, Place, fit_joint};
pub use linear::{LinearParams, alpha_on_grid, linear_oversample};
pub use model::{ColumnTrace, RegionTrace, TraceModel};
pub use oversample::{OversampleParams, OversampledPlanes, Planes, oversample};
pub use profile::{Profile, crossdisp_profile, trim_edges};
pub use propagate::{ErrorParams, ErrorPlanes, Residual, oversample_with_errors};
pub use record::{Absence, ColumnRecord, FitRecord, Origin, RegionRecord};
pub use region::RegionPixels;
pub use rescale::rescale;
pub use robust::{RobustParams, fit_robust};
pub use series::{
    Chunk, Combination, Combined, FineChunk, RegionScales, SeriesErrors, SeriesFit, SeriesGrid,
    SeriesGridParams, SharedParams, SharedProfile,
};
pub use spline_fit::{RejectionParams, fit_spline};
pub use trace_image::{TraceImage, trace_image};
