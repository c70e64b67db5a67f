//! Timestreams cleaned in place.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pixtrace::scan::clean::{CleanInput, Cleaned, CleaningParams, SampleBits, clean};
use pyo3::prelude::*;

use crate::error::BoundaryResult;
use crate::run::{Settings, run};
use crate::samples::{ChangedFlags, ChangedPlane};

/// How timestreams are cleaned, by the names of the Python layer.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct CleaningArguments {
    drift_time: f64,
    corners: Option<[f64; 2]>,
    source_time: f64,
    despike_level: Option<f64>,
    jump_level: Option<f64>,
    has_common_mode: bool,
    has_group_modes: bool,
    n_rounds: usize,
    noise_limits: [f64; 2],
    blind_limit: f64,
    spike_limit: f64,
    spike: i64,
    jump: i64,
    blank: i64,
    bad: i64,
}

impl CleaningArguments {
    fn params(&self) -> CleaningParams {
        CleaningParams {
            drift_time: self.drift_time,
            corners: self.corners,
            source_time: self.source_time,
            despike_level: self.despike_level,
            jump_level: self.jump_level,
            has_common_mode: self.has_common_mode,
            has_group_modes: self.has_group_modes,
            n_rounds: self.n_rounds,
            noise_limits: self.noise_limits,
            blind_limit: self.blind_limit,
            spike_limit: self.spike_limit,
        }
    }

    fn bits(&self) -> SampleBits {
        SampleBits { spike: self.spike, jump: self.jump, blank: self.blank, bad: self.bad }
    }
}

/// Variance, weight, flag of each channel; gains to the common signals; numbers of glitches and jumps.
type Results<'py> = (
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
);

/// Cleans timestreams in place; groups are `(n_groupings, n_channels)`.
#[pyfunction]
#[pyo3(signature = (
    frame_data, sample_flags, channel_gains, channel_groups, valid_frames, dt, arguments, *, n_threads, progress
))]
#[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
pub(crate) fn clean_timestreams<'py>(
    py: Python<'py>,
    frame_data: ChangedPlane<'py>,
    sample_flags: ChangedFlags<'py>,
    channel_gains: PyReadonlyArray1<'py, f64>,
    channel_groups: PyReadonlyArray2<'py, i64>,
    valid_frames: PyReadonlyArray1<'py, bool>,
    dt: f64,
    arguments: CleaningArguments,
    n_threads: Option<usize>,
    progress: Option<Bound<'py, PyAny>>,
) -> BoundaryResult<Results<'py>> {
    let settings = Settings { n_threads, progress };
    macro_rules! run {
        ($data:expr, $flags:expr) => {{
            let (mut data, mut flags) = ($data, $flags);
            let groups = channel_groups.as_array();
            let input = CleanInput {
                frame_data: data.as_array_mut(),
                sample_flags: flags.as_array_mut(),
                bits: arguments.bits(),
                channel_gains: channel_gains.as_array(),
                channel_groups: groups.outer_iter().collect(),
                valid_frames: valid_frames.as_array(),
                dt,
            };
            run(py, &settings, |control| clean(input, &arguments.params(), control))
        }};
    }
    let cleaned = match (frame_data, sample_flags) {
        (ChangedPlane::Single(data), ChangedFlags::U8(flags)) => run!(data, flags),
        (ChangedPlane::Single(data), ChangedFlags::I32(flags)) => run!(data, flags),
        (ChangedPlane::Single(data), ChangedFlags::I64(flags)) => run!(data, flags),
        (ChangedPlane::Double(data), ChangedFlags::U8(flags)) => run!(data, flags),
        (ChangedPlane::Double(data), ChangedFlags::I32(flags)) => run!(data, flags),
        (ChangedPlane::Double(data), ChangedFlags::I64(flags)) => run!(data, flags),
    }?;
    Ok(results(py, cleaned))
}

fn results(py: Python<'_>, cleaned: Cleaned) -> Results<'_> {
    let counts = |counts: Vec<usize>| PyArray1::from_iter(py, counts.into_iter().map(|n| n as i64));
    (
        cleaned.channel_variance.into_pyarray(py),
        cleaned.channel_weight.into_pyarray(py),
        PyArray1::from_iter(py, cleaned.channel_flag.into_iter().map(i64::from)),
        cleaned.mode_gains.into_pyarray(py),
        counts(cleaned.n_spikes),
        counts(cleaned.n_jumps),
    )
}
