//! Gaussians fitted to timestreams.

use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pixtrace::scan::{StreamInput, fit_streams};
use pyo3::prelude::*;

use crate::error::BoundaryResult;
use crate::planes::Plane;
use crate::run::{Settings, run};
use crate::samples::FlagPlane;
use crate::sources::{Fits, GaussianArguments, columns};

/// Samples that are fitted, by the names of the Python layer.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct StreamArguments<'py> {
    frame_data: Plane<'py>,
    sample_flags: FlagPlane<'py>,
    exclude_sample_flag: i64,
    frame_gains: PyReadonlyArray1<'py, f64>,
    frame_weights: PyReadonlyArray1<'py, f64>,
    valid_frames: PyReadonlyArray1<'py, bool>,
    offsets: PyReadonlyArray2<'py, f64>,
    channel_indices: PyReadonlyArray1<'py, i64>,
    source_gains: PyReadonlyArray1<'py, f64>,
    channel_variance: PyReadonlyArray1<'py, f64>,
    starts: PyReadonlyArray2<'py, f64>,
}

/// Fits a Gaussian to the samples of each listed channel.
#[pyfunction]
#[pyo3(signature = (samples, arguments, *, n_threads, progress))]
pub(crate) fn fit_timestreams<'py>(
    py: Python<'py>,
    samples: StreamArguments<'py>,
    arguments: GaussianArguments,
    n_threads: Option<usize>,
    progress: Option<Bound<'py, PyAny>>,
) -> BoundaryResult<Fits<'py>> {
    let params = arguments.into_params()?;
    let settings = Settings { n_threads, progress };
    macro_rules! fit {
        ($data:expr, $flags:expr) => {{
            let input = StreamInput {
                frame_data: $data.as_array(),
                sample_flags: $flags.as_array(),
                exclude_sample_flag: samples.exclude_sample_flag,
                frame_gains: samples.frame_gains.as_array(),
                frame_weights: samples.frame_weights.as_array(),
                valid_frames: samples.valid_frames.as_array(),
                offsets: samples.offsets.as_array(),
                channel_indices: samples.channel_indices.as_array(),
                source_gains: samples.source_gains.as_array(),
                channel_variance: samples.channel_variance.as_array(),
                starts: samples.starts.as_array(),
            };
            run(py, &settings, |control| fit_streams(&input, &params, control))
        }};
    }
    let fits = match (&samples.frame_data, &samples.sample_flags) {
        (Plane::Single(data), FlagPlane::U8(flags)) => fit!(data, flags),
        (Plane::Single(data), FlagPlane::I32(flags)) => fit!(data, flags),
        (Plane::Single(data), FlagPlane::I64(flags)) => fit!(data, flags),
        (Plane::Double(data), FlagPlane::U8(flags)) => fit!(data, flags),
        (Plane::Double(data), FlagPlane::I32(flags)) => fit!(data, flags),
        (Plane::Double(data), FlagPlane::I64(flags)) => fit!(data, flags),
    }?;
    Ok(columns(py, &fits))
}
