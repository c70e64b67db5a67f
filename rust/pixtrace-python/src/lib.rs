//! The extension module `pixtrace._native`: arrays and numbers in, arrays and numbers out.
//!
//! One thin file per job; no arithmetic. Argument names are those of the Python layer, which holds prose and defaults.

mod clean;
mod error;
mod evaluate;
mod fit;
mod joint;
mod maps;
mod model;
mod moments;
mod oversample;
mod planes;
mod record;
mod robust;
mod run;
mod samples;
mod series;
mod sources;
mod stack;
mod streams;
mod uses;

use pyo3::prelude::*;

/// The Rust core of pixtrace.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::clean::clean_timestreams;
    #[pymodule_export]
    use crate::evaluate::{
        alpha_on_grid, compact_mask, crossdisp_profile, evaluate_spline, fine_rows, fit_spline,
        nearest_rows, trim_edges,
    };
    #[pymodule_export]
    use crate::fit::{fit_all_regions, fit_region, rescale};
    #[pymodule_export]
    use crate::joint::fit_joint;
    #[pymodule_export]
    use crate::model::PyTraceModel;
    #[pymodule_export]
    use crate::moments::PySampleMoments;
    #[pymodule_export]
    use crate::oversample::{linear_oversample, oversample, trace_image};
    #[pymodule_export]
    use crate::robust::{fit_all_regions_recorded, fit_robust, oversample_with_errors};
    #[pymodule_export]
    use crate::samples::{delta_sync_parms, sample_points};
    #[pymodule_export]
    use crate::series::{PySeriesCombination, PySeriesGrid, PySeriesProfile};
    #[pymodule_export]
    use crate::sources::gaussian_flags;
    #[pymodule_export]
    use crate::stack::PyMapStack;
    #[pymodule_export]
    use crate::streams::fit_timestreams;
    #[pymodule_export]
    use crate::uses::{combine_slices, evaluate, evaluate_with_errors, extract};

    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
