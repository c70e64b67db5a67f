//! Timestreams into maps, and maps out of timestreams.

use numpy::{
    Element, IntoPyArray, PyArray1, PyArray2, PyArray3, PyReadonlyArray1, PyReadonlyArray2,
    PyReadonlyArray3, PyReadwriteArray2,
};
use pixtrace::numeric::Real;
use pixtrace::scan::{
    self, Added, DependentsInput, Flags, OtherMaps, PendingSums, Samples, SyncInput,
    WeightedSamples,
};
use pixtrace::{Control, Error};
use pyo3::prelude::*;

use crate::error::BoundaryResult;
use crate::planes::Plane;
use crate::run::{Settings, run};
use crate::stack::PyMapStack;

/// Flags of any of the types that the Python layer lets through.
#[derive(FromPyObject)]
pub(crate) enum FlagPlane<'py> {
    U8(PyReadonlyArray2<'py, u8>),
    I32(PyReadonlyArray2<'py, i32>),
    I64(PyReadonlyArray2<'py, i64>),
}

/// What the samples of timestreams are made of, by the names of the Python layer.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct SampleArguments<'py> {
    frame_data: Plane<'py>,
    frame_gains: PyReadonlyArray1<'py, f64>,
    frame_weights: PyReadonlyArray1<'py, f64>,
    source_gains: PyReadonlyArray1<'py, f64>,
    channel_variance: PyReadonlyArray1<'py, f64>,
    valid_frames: PyReadonlyArray1<'py, bool>,
    map_indices: PyReadonlyArray3<'py, i64>,
    channel_indices: PyReadonlyArray1<'py, i64>,
    sample_flags: FlagPlane<'py>,
    exclude_sample_flag: i64,
}

/// Something that is done with samples of any types.
pub(crate) trait SampleJob<R> {
    fn work<T: Real + Element, F: Flags + Element>(
        &mut self,
        samples: &Samples<'_, T, F>,
        control: &Control,
    ) -> Result<R, Error>;
}

impl SampleArguments<'_> {
    pub(crate) fn run<R: Send>(
        &self,
        py: Python<'_>,
        settings: &Settings<'_>,
        job: &mut (impl SampleJob<R> + Send),
    ) -> BoundaryResult<R> {
        macro_rules! run {
            ($data:expr, $flags:expr) => {{
                let samples = Samples {
                    frame_data: $data.as_array(),
                    frame_gains: self.frame_gains.as_array(),
                    frame_weights: self.frame_weights.as_array(),
                    source_gains: self.source_gains.as_array(),
                    channel_variance: self.channel_variance.as_array(),
                    valid_frames: self.valid_frames.as_array(),
                    map_indices: self.map_indices.as_array(),
                    channel_indices: self.channel_indices.as_array(),
                    sample_flags: $flags.as_array(),
                    exclude_sample_flag: self.exclude_sample_flag,
                };
                run(py, settings, |control| job.work(&samples, control))
            }};
        }
        match (&self.frame_data, &self.sample_flags) {
            (Plane::Single(data), FlagPlane::U8(flags)) => run!(data, flags),
            (Plane::Single(data), FlagPlane::I32(flags)) => run!(data, flags),
            (Plane::Single(data), FlagPlane::I64(flags)) => run!(data, flags),
            (Plane::Double(data), FlagPlane::U8(flags)) => run!(data, flags),
            (Plane::Double(data), FlagPlane::I32(flags)) => run!(data, flags),
            (Plane::Double(data), FlagPlane::I64(flags)) => run!(data, flags),
        }
    }
}

struct AddPoints<'a> {
    maps: scan::MapsMut<'a>,
    pixels: Option<&'a [usize]>,
    dt: f64,
    /// Where weights and exposures may be left waiting.
    pending: Option<&'a mut PendingSums>,
}

impl SampleJob<Added> for AddPoints<'_> {
    fn work<T: Real + Element, F: Flags + Element>(
        &mut self,
        samples: &Samples<'_, T, F>,
        control: &Control,
    ) -> Result<Added, Error> {
        let Self { maps, pixels, dt, pending } = self;
        match pending {
            Some(pending) => maps.add_points_later(samples, *pixels, *dt, pending, control),
            None => maps.add_points(samples, *pixels, *dt, control),
        }
    }
}

struct SpellOut;

impl SampleJob<scan::SamplePoints> for SpellOut {
    fn work<T: Real + Element, F: Flags + Element>(
        &mut self,
        samples: &Samples<'_, T, F>,
        control: &Control,
    ) -> Result<scan::SamplePoints, Error> {
        scan::sample_points(samples, control)
    }
}

/// Number of frames, data, gains, weights, indices.
type Points<'py> = (
    usize,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray3<i64>>,
);

/// Spells out the samples of the listed channels.
#[pyfunction]
#[pyo3(signature = (samples, *, n_threads))]
pub(crate) fn sample_points<'py>(
    py: Python<'py>,
    samples: SampleArguments<'py>,
    n_threads: Option<usize>,
) -> BoundaryResult<Points<'py>> {
    let points = samples.run(py, &Settings { n_threads, progress: None }, &mut SpellOut)?;
    Ok((
        points.n,
        points.data.into_pyarray(py),
        points.gains.into_pyarray(py),
        points.weights.into_pyarray(py),
        points.indices.into_pyarray(py),
    ))
}

/// Shares of frames and channels.
type Shares<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

/// Shares the points of a model out to frames and channels.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
pub(crate) fn delta_sync_parms<'py>(
    py: Python<'py>,
    channel_source_gains: PyReadonlyArray1<'py, f64>,
    channel_indices: PyReadonlyArray1<'py, i64>,
    channel_flags: PyReadonlyArray1<'py, i64>,
    channel_variance: PyReadonlyArray1<'py, f64>,
    frame_weight: PyReadonlyArray1<'py, f64>,
    frame_source_gains: PyReadonlyArray1<'py, f64>,
    frame_valid: PyReadonlyArray1<'py, bool>,
    frame_flags: PyReadonlyArray1<'py, i64>,
    source_flag: i64,
    n_points: f64,
) -> BoundaryResult<Shares<'py>> {
    let (frames, channels) = scan::delta_sync_parms(&DependentsInput {
        channel_source_gains: channel_source_gains.as_array(),
        channel_indices: channel_indices.as_array(),
        channel_flags: channel_flags.as_array(),
        channel_variance: channel_variance.as_array(),
        frame_weight: frame_weight.as_array(),
        frame_source_gains: frame_source_gains.as_array(),
        frame_valid: frame_valid.as_array(),
        frame_flags: frame_flags.as_array(),
        source_flag,
        n_points,
    })?;
    Ok((frames.into_pyarray(py), channels.into_pyarray(py)))
}

/// What a subtraction needs beside the timestreams.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct SyncArguments<'py> {
    frame_valid: PyReadonlyArray1<'py, bool>,
    frame_gains: PyReadonlyArray1<'py, f64>,
    channel_indices: PyReadonlyArray1<'py, i64>,
    map_indices: PyReadonlyArray3<'py, i64>,
    source_gains: PyReadonlyArray1<'py, f64>,
    sync_gains: PyReadonlyArray1<'py, f64>,
    sample_blank_flag: i64,
}

/// Timestreams that are changed in place.
#[derive(FromPyObject)]
pub(crate) enum ChangedPlane<'py> {
    Single(PyReadwriteArray2<'py, f32>),
    Double(PyReadwriteArray2<'py, f64>),
}

/// Flags that are changed in place.
#[derive(FromPyObject)]
pub(crate) enum ChangedFlags<'py> {
    U8(PyReadwriteArray2<'py, u8>),
    I32(PyReadwriteArray2<'py, i32>),
    I64(PyReadwriteArray2<'py, i64>),
}

#[pymethods]
impl PyMapStack {
    /// Adds samples; returns the numbers of frames used, samples used, samples skipped.
    #[pyo3(signature = (samples, dt, *, pixels, n_threads))]
    fn add_points(
        &self,
        py: Python<'_>,
        samples: SampleArguments<'_>,
        dt: f64,
        pixels: Option<Vec<usize>>,
        n_threads: Option<usize>,
    ) -> BoundaryResult<(usize, usize, usize)> {
        let mut held = self.hold_unsettled(py)?;
        let (maps, pending, may_wait) = held.maps_and_pending()?;
        let pending = may_wait.then_some(pending);
        let mut job = AddPoints { maps, pixels: pixels.as_deref(), dt, pending };
        let settings = Settings { n_threads, progress: None };
        let added = samples.run(py, &settings, &mut job)?;
        Ok((added.n_frames, added.n_samples, added.n_skipped))
    }

    /// Adds samples with gains and weights of their own; returns the numbers of samples used and skipped.
    #[pyo3(signature = (data, gains, weights, indices, dt, *, pixels, n_threads))]
    #[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
    fn accumulate(
        &self,
        py: Python<'_>,
        data: PyReadonlyArray2<'_, f64>,
        gains: PyReadonlyArray2<'_, f64>,
        weights: PyReadonlyArray2<'_, f64>,
        indices: PyReadonlyArray3<'_, i64>,
        dt: f64,
        pixels: Option<Vec<usize>>,
        n_threads: Option<usize>,
    ) -> BoundaryResult<(usize, usize)> {
        let mut held = self.hold(py, n_threads)?;
        let mut maps = held.maps()?;
        let samples = WeightedSamples {
            data: data.as_array(),
            gains: gains.as_array(),
            weights: weights.as_array(),
            indices: indices.as_array(),
        };
        let settings = Settings { n_threads, progress: None };
        let added = run(py, &settings, |control| {
            maps.accumulate(&samples, pixels.as_deref(), dt, control)
        })?;
        Ok((added.n_samples, added.n_skipped))
    }

    /// Adds maps of another stack: sums to sums, or as a model with a weight.
    #[pyo3(signature = (other, pairs, weight, *, n_threads))]
    fn combine(
        &self,
        py: Python<'_>,
        other: &Self,
        pairs: Vec<(usize, usize)>,
        weight: Option<f64>,
        n_threads: Option<usize>,
    ) -> BoundaryResult<()> {
        // In one order for all threads: two that add two stacks to each other must not wait for one another.
        let (mut held, mut other) = if std::ptr::from_ref(self) < std::ptr::from_ref(other) {
            let held = self.hold(py, n_threads)?;
            (held, other.hold(py, n_threads)?)
        } else {
            let other = other.hold(py, n_threads)?;
            (self.hold(py, n_threads)?, other)
        };
        let (mut maps, other) = (held.maps()?, other.maps()?);
        let other = OtherMaps {
            data: other.data.view(),
            weight: other.weight.view(),
            exposure: other.exposure.view(),
            flag: other.flag.view(),
            records: other.records,
        };
        run(py, &Settings { n_threads, progress: None }, |control| match weight {
            None => maps.merge_accumulate(&other, &pairs, control),
            Some(weight) => maps.add_model_data(&other, &pairs, weight, control),
        })
    }

    /// Subtracts the maps from timestreams in place.
    #[pyo3(signature = (frame_data, sample_flags, arguments, base, *, pixels, n_threads))]
    #[expect(clippy::too_many_arguments, reason = "the signature of the Python function")]
    fn sync(
        &self,
        py: Python<'_>,
        mut frame_data: ChangedPlane<'_>,
        mut sample_flags: ChangedFlags<'_>,
        arguments: SyncArguments<'_>,
        base: Option<PyReadonlyArray3<'_, f64>>,
        pixels: Option<Vec<usize>>,
        n_threads: Option<usize>,
    ) -> BoundaryResult<()> {
        let mut held = self.hold(py, n_threads)?;
        let maps = held.maps()?;
        let base = base.as_ref().map(PyReadonlyArray3::as_array);
        let (settings, pixels) = (Settings { n_threads, progress: None }, pixels.as_deref());
        macro_rules! sync {
            ($data:expr, $flags:expr) => {{
                let input = SyncInput {
                    frame_data: $data.as_array_mut(),
                    frame_valid: arguments.frame_valid.as_array(),
                    frame_gains: arguments.frame_gains.as_array(),
                    channel_indices: arguments.channel_indices.as_array(),
                    map_indices: arguments.map_indices.as_array(),
                    source_gains: arguments.source_gains.as_array(),
                    sync_gains: arguments.sync_gains.as_array(),
                    sample_flags: $flags.as_array_mut(),
                    sample_blank_flag: arguments.sample_blank_flag,
                };
                run(py, &settings, |control| maps.sync(base, input, pixels, control))
            }};
        }
        match (&mut frame_data, &mut sample_flags) {
            (ChangedPlane::Single(data), ChangedFlags::U8(flags)) => sync!(data, flags),
            (ChangedPlane::Single(data), ChangedFlags::I32(flags)) => sync!(data, flags),
            (ChangedPlane::Single(data), ChangedFlags::I64(flags)) => sync!(data, flags),
            (ChangedPlane::Double(data), ChangedFlags::U8(flags)) => sync!(data, flags),
            (ChangedPlane::Double(data), ChangedFlags::I32(flags)) => sync!(data, flags),
            (ChangedPlane::Double(data), ChangedFlags::I64(flags)) => sync!(data, flags),
        }
    }
}
