//! Gaussians fitted to the samples of timestreams as they are, each at the boresight offset of its own frame.
//!
//! Nothing is binned, so nothing is lost; all channels share the offsets. A fit starts from one to a map. Samples beyond a
//! few widths are only compared with the level, which takes three sums over them.

use ndarray::{ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use super::beam::{
    AMPLITUDE, FWHM, LEVEL, MEAN, N, Parameters, X, Y, distance_squared, eigenvalues, variances,
};
use super::model::{CHUNK, Chunk, FarSums, normal};
use super::report::{NEAR_LIMIT, set_parameters};
use super::run::{ROUNDING, STEP};
use super::sky::Bounds;
use super::{BeamShape, GaussianFit, GaussianFitParams, flags, scatter, start};
use crate::numeric::Real;
use crate::numeric::levenberg::{self, Limits, Minimum, Normal, Problem};
use crate::scan::Flags;
use crate::scan::samples::{LISTED, channels, check_length, check_shape};
use crate::{Control, Error};

/// Channels that are read together, at most.
const TILE: usize = 16;
/// Samples that are read together: as many as keep the memory of a thread below some 64 MB.
const SAMPLES: usize = 1 << 20;
/// Samples within this many FWHM of the source are compared with the beam: beyond, it is below 1e-10.
const NEAR: f64 = 3.0;
/// Others are collected when the source has moved by this many FWHM, or widened by this factor.
const MOVED: f64 = 0.5;
/// See [`MOVED`].
const WIDENED: f64 = 1.2;
/// The narrowest and the widest beam, in units of the one to begin with.
const WIDTHS: [f64; 2] = [0.2, 5.0];
/// Fewest samples inside the half-maximum ellipse that tell anything about the shape of the beam.
const FEWEST_IN_BEAM: usize = 8;

/// Timestreams, where the boresight looked, and what is known of frames and channels.
#[derive(Clone, Debug)]
pub struct StreamInput<'a, T, F> {
    /// Signal, `(n_frames, n_channels)`. What is not finite is left out.
    pub frame_data: ArrayView2<'a, T>,
    /// Flags, `(n_frames, n_channels)`.
    pub sample_flags: ArrayView2<'a, F>,
    /// A sample with any of these flags is left out.
    pub exclude_sample_flag: i64,
    /// Gain of each frame; a frame with gain 0 or NaN is left out.
    pub frame_gains: ArrayView1<'a, f64>,
    /// Relative weight of each frame; a frame whose weight is not positive is left out.
    pub frame_weights: ArrayView1<'a, f64>,
    /// Frames that may be used.
    pub valid_frames: ArrayView1<'a, bool>,
    /// Offset of the boresight, `(2, n_frames)`; a frame without a finite one is left out.
    pub offsets: ArrayView2<'a, f64>,
    /// The channels that are fitted.
    pub channel_indices: ArrayView1<'a, i64>,
    /// Gain of each of the `n_channels` to the source.
    pub source_gains: ArrayView1<'a, f64>,
    /// Variance of each fitted channel.
    pub channel_variance: ArrayView1<'a, f64>,
    /// What each fit begins with, `(n_fitted, 7)` in the order of [`super::parameter`]; NaN: there is no fit.
    pub starts: ArrayView2<'a, f64>,
}

/// The frames that are used: number, offset, gain, weight.
struct Frame {
    number: usize,
    at: [f64; 2],
    gain: f64,
    weight: f64,
}

/// The samples of one channel, in the order of time.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) x: Vec<f64>,
    pub(super) y: Vec<f64>,
    pub(super) value: Vec<f64>,
    pub(super) weight: Vec<f64>,
}

/// Fits a Gaussian on a level to the samples of each listed channel, in parallel.
///
/// Values are data over the gain of frame and channel; their weights are that of the frame times the gain squared over the
/// variance of the channel. The position is the boresight offset at which the source is seen, as in maps. Of `params`,
/// `beam_fwhm`, `region` and `starts` play no part. The number of cells in the result is that of samples, and
/// [`flags::FEW_CELLS_IN_BEAM`] means that hardly any lies inside the half-maximum ellipse.
///
/// # Errors
/// [`Error::Shape`], [`Error::Index`] and [`Error::Duplicate`] for arrays that do not fit together, [`Error::Parameter`] for
/// parameters without sense, [`Error::Cancelled`].
pub fn fit_streams<T: Real, F: Flags>(
    input: &StreamInput<'_, T, F>,
    params: &GaussianFitParams,
    control: &Control,
) -> Result<Vec<GaussianFit>, Error> {
    params.check()?;
    let listed = input.check()?;
    let frames = input.frames();
    let mut extent = [[f64::INFINITY; 2], [f64::NEG_INFINITY; 2]];
    for frame in &frames {
        for (axis, at) in frame.at.into_iter().enumerate() {
            extent[0][axis] = extent[0][axis].min(at);
            extent[1][axis] = extent[1][axis].max(at);
        }
    }
    // Neighbours in memory are read together, whatever their order in the list.
    let mut order: Vec<usize> = (0..listed.len()).collect();
    order.sort_unstable_by_key(|&k| listed[k]);
    control.expect(listed.len());
    let tile = (SAMPLES / frames.len().max(1)).clamp(1, TILE);
    let parts: Vec<Vec<(usize, GaussianFit)>> = (order.par_chunks(tile))
        .map_init(Vec::new, |streams, tile| {
            control.check()?;
            input.read(&frames, &listed, tile, streams);
            let fit = |(&k, stream): (&usize, &Stream)| {
                let start = input.starts.index_axis(Axis(0), k);
                let fit = fit_one(stream, start, &extent, params);
                control.advance(1);
                control.check().map(|()| (k, fit))
            };
            tile.iter().zip(&*streams).map(fit).collect()
        })
        .collect::<Result<_, Error>>()?;
    let mut fits: Vec<(usize, GaussianFit)> = parts.into_iter().flatten().collect();
    fits.sort_unstable_by_key(|(k, _)| *k);
    Ok(fits.into_iter().map(|(_, fit)| fit).collect())
}

impl<T: Real, F: Flags> StreamInput<'_, T, F> {
    fn check(&self) -> Result<Vec<usize>, Error> {
        let (n_frames, n_channels) = self.frame_data.dim();
        check_shape("sample_flags", self.sample_flags.shape(), &[n_frames, n_channels])?;
        check_shape("offsets", self.offsets.shape(), &[2, n_frames])?;
        let frames = "the frames of `frame_data`";
        check_length("frame_gains", self.frame_gains.len(), n_frames, frames)?;
        check_length("frame_weights", self.frame_weights.len(), n_frames, frames)?;
        check_length("valid_frames", self.valid_frames.len(), n_frames, frames)?;
        let of = "the channels of `frame_data`";
        check_length("source_gains", self.source_gains.len(), n_channels, of)?;
        let n_listed = self.channel_indices.len();
        check_length("channel_variance", self.channel_variance.len(), n_listed, LISTED)?;
        if self.starts.shape() != [n_listed, N] {
            let (found, expected) = (self.starts.shape().to_vec(), vec![n_listed, N]);
            return Err(Error::Shape { name: "starts", found, expected, of: LISTED });
        }
        channels(self.channel_indices, n_channels)
    }

    fn frames(&self) -> Vec<Frame> {
        (0..self.frame_data.nrows())
            .map(|f| Frame {
                number: f,
                at: [self.offsets[[0, f]], self.offsets[[1, f]]],
                gain: self.frame_gains[f],
                weight: self.frame_weights[f],
            })
            .filter(|frame| {
                self.valid_frames[frame.number]
                    && frame.at.iter().all(|x| x.is_finite())
                    && frame.gain.is_finite()
                    && frame.gain != 0.0
                    && frame.weight.is_finite()
                    && frame.weight > 0.0
            })
            .collect()
    }

    /// Reads the samples of the channels of a tile.
    fn read(&self, frames: &[Frame], listed: &[usize], tile: &[usize], streams: &mut Vec<Stream>) {
        streams.resize_with(tile.len(), Stream::default);
        let mut lanes = Vec::with_capacity(tile.len());
        for (stream, &k) in streams.iter_mut().zip(tile) {
            for vector in [&mut stream.x, &mut stream.y, &mut stream.value, &mut stream.weight] {
                vector.clear();
            }
            let (channel, variance) = (listed[k], self.channel_variance[k]);
            let gain = self.source_gains[channel];
            let weight = gain * gain / variance;
            let is_used = variance > 0.0 && weight > 0.0 && weight.is_finite();
            if is_used {
                lanes.push((channel, gain, weight, stream));
            }
        }
        let excluded = F::from_mask(self.exclude_sample_flag);
        for frame in frames {
            let (data, flags) =
                (self.frame_data.row(frame.number), self.sample_flags.row(frame.number));
            for (channel, gain, weight, stream) in &mut lanes {
                let value = data[*channel].to_f64() / (frame.gain * *gain);
                if value.is_finite() && !flags[*channel].has_any(excluded) {
                    stream.x.push(frame.at[0]);
                    stream.y.push(frame.at[1]);
                    stream.value.push(value);
                    stream.weight.push(*weight * frame.weight * frame.gain * frame.gain);
                }
            }
        }
    }
}

fn fit_one(
    stream: &Stream,
    start: ArrayView1<'_, f64>,
    extent: &[[f64; 2]; 2],
    params: &GaussianFitParams,
) -> GaussianFit {
    let n = stream.value.len();
    if n == 0 {
        return GaussianFit::failed(flags::NO_DATA, 0);
    }
    let is_complete = start.iter().all(|number| number.is_finite());
    if !is_complete || start[3] <= 0.0 || start[4] <= 0.0 {
        return GaussianFit::failed(flags::NOT_CONVERGED, n);
    }
    let (mut fwhm, mut angle) = ([start[3], start[4]], start[5]);
    match params.shape {
        BeamShape::Fixed { fwhm: held, angle: turned } => (fwhm, angle) = (held, turned),
        BeamShape::Round => fwhm = [(fwhm[0] * fwhm[1]).sqrt(); 2],
        BeamShape::Elliptical => {}
    }
    let mut begin = start::beam_at([start[0], start[1]], fwhm, angle);
    let wide = fwhm[0].max(fwhm[1]);
    let mut bounds = Bounds {
        is_held: params.held(),
        sigma: [WIDTHS[0] * fwhm[0].min(fwhm[1]) / FWHM, WIDTHS[1] * wide / FWHM],
        position: [extent[0].map(|x| x - wide), extent[1].map(|x| x + wide)],
    };
    if n <= bounds.n_free() {
        return GaussianFit::failed(flags::TOO_FEW_CELLS, n);
    }
    // Taken off all values, so that sums of squares lose no digits to it.
    let reference_level = if params.has_level { start[6] } else { 0.0 };
    (begin[AMPLITUDE], begin[LEVEL]) = (start[2], 0.0);
    let mut problem = StreamProblem::new(stream, bounds, reference_level, &begin);
    let limits = Limits {
        n_evaluations: params.n_evaluations,
        chi2_step: (STEP * STEP).max(ROUNDING * ROUNDING * problem.sum_of_squares()),
    };
    let mut end = levenberg::fit(&mut problem, begin, &limits);
    if let Some(found) = end
        && let Some((as_round, again)) = params.as_round(&found, bounds)
    {
        bounds = as_round;
        problem.bounds = bounds;
        let n_before = found.n_evaluations;
        end = levenberg::fit(&mut problem, again, &limits).map(|mut end| {
            end.n_evaluations += n_before;
            end
        });
    }
    let place = |p: &Parameters| place_flags(p, stream, &bounds, extent);
    let mut fit = params.conclude(end.as_ref(), n, &bounds, reference_level, place);
    if let Some(end) = end.filter(|_| !fit.has_failed()) {
        set_scatter(&mut fit, &end, stream, reference_level, &bounds);
    }
    fit
}

/// Sets by how much the residuals contradict the covariance.
fn set_scatter(
    fit: &mut GaussianFit,
    end: &Minimum<N>,
    stream: &Stream,
    reference_level: f64,
    bounds: &Bounds,
) {
    let p = &end.parameters;
    let (normal, wide) = (&end.normal, widest(p));
    let found = scatter::covariance(p, normal, stream, reference_level, wide, NEAR, bounds);
    let Some(found) = found else { return };
    let mut other = fit.clone();
    set_parameters(&mut other, p, &found, reference_level, fit.flags & flags::ROUND != 0);
    fit.scatter = std::array::from_fn(|i| other.covariance[i][i] / fit.covariance[i][i]);
}

/// Tells what is doubtful about where the beam stands among the samples, and about its width.
fn place_flags(p: &Parameters, stream: &Stream, bounds: &Bounds, extent: &[[f64; 2]; 2]) -> u32 {
    let mut found = 0;
    let [low, high] = eigenvalues(p);
    let half = variances(p).map(|variance| 0.5 * FWHM * variance.sqrt());
    for (axis, centre) in [p[X], p[Y]].into_iter().enumerate() {
        let [least, largest] = [extent[0][axis], extent[1][axis]];
        if centre < least || centre > largest {
            found |= flags::OUTSIDE;
        }
        if centre - half[axis] < least || centre + half[axis] > largest {
            found |= flags::AT_EDGE;
        }
    }
    let is_at_limit = low.sqrt() * bounds.sigma[1] < 1.0 + NEAR_LIMIT
        || high.sqrt() * bounds.sigma[0] > 1.0 - NEAR_LIMIT;
    if is_at_limit && !bounds.is_held[MEAN] {
        found |= flags::WIDTH_AT_LIMIT;
    }
    let inside = (stream.x.iter().zip(&stream.y)).filter(|(x, y)| {
        distance_squared(p, [*x - p[X], *y - p[Y]]) <= 2.0 * std::f64::consts::LN_2
    });
    if inside.take(FEWEST_IN_BEAM).count() < FEWEST_IN_BEAM {
        found |= flags::FEW_CELLS_IN_BEAM;
    }
    found
}

/// A Gaussian on a level, fitted to the samples of one channel.
struct StreamProblem<'a> {
    stream: &'a Stream,
    bounds: Bounds,
    reference_level: f64,
    /// Where the samples that are near were collected, and the widest FWHM there.
    about: ([f64; 2], f64),
    near: Vec<Chunk>,
    far: FarSums,
}

fn widest(p: &Parameters) -> f64 {
    FWHM / eigenvalues(p)[0].sqrt()
}

impl<'a> StreamProblem<'a> {
    fn new(stream: &'a Stream, bounds: Bounds, reference_level: f64, p: &Parameters) -> Self {
        let about = ([p[X], p[Y]], widest(p));
        let (near, far) = (Vec::new(), FarSums::default());
        let mut problem = Self { stream, bounds, reference_level, about, near, far };
        problem.collect();
        problem
    }

    fn collect(&mut self) {
        let ([x0, y0], fwhm) = self.about;
        let reach = (NEAR * fwhm).powi(2);
        self.near.clear();
        self.far = FarSums::default();
        let mut n = 0;
        let Stream { x, y, value, weight } = self.stream;
        for (((x, y), value), weight) in x.iter().zip(y).zip(value).zip(weight) {
            let value = value - self.reference_level;
            if (x - x0).powi(2) + (y - y0).powi(2) > reach {
                self.far.weight += weight;
                self.far.value += weight * value;
                self.far.square += weight * value * value;
                continue;
            }
            let lane = n % CHUNK;
            if lane == 0 {
                self.near.push(Chunk::EMPTY);
            }
            n += 1;
            let Some(chunk) = self.near.last_mut() else { continue };
            (chunk.x[lane], chunk.y[lane]) = (*x, *y);
            (chunk.value[lane], chunk.weight[lane]) = (value, *weight);
        }
    }

    fn sum_of_squares(&self) -> f64 {
        let near = self.near.iter().flat_map(|chunk| chunk.value.iter().zip(&chunk.weight));
        self.far.square + near.map(|(value, weight)| weight * value * value).sum::<f64>()
    }
}

impl Problem<N> for StreamProblem<'_> {
    fn normal(&mut self, p: &Parameters) -> Option<Normal<N>> {
        normal(p, &self.near, false, self.far, &self.bounds)
    }

    fn moved(&mut self, p: &Parameters) -> Option<Normal<N>> {
        let ([x, y], fwhm) = self.about;
        let is_far = (p[X] - x).hypot(p[Y] - y) > MOVED * fwhm;
        if !is_far && widest(p) <= WIDENED * fwhm {
            return None;
        }
        self.about = ([p[X], p[Y]], widest(p));
        self.collect();
        self.normal(p)
    }
}
