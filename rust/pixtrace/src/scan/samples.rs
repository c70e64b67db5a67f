//! Timestreams as they come from a camera, and which of their samples go into maps.

use ndarray::{ArrayView1, ArrayView2, ArrayView3};

use super::grid::Grid;
use super::sample_flags::Flags;
use crate::Error;
use crate::numeric::Real;

/// Samples of all channels, and what is known about frames and channels.
///
/// Shapes: `n_frames` readouts of `n_channels` channels. What is given for *listed* channels stands in the
/// order of `channel_indices`; each of them goes to a map of its own.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a, T, F> {
    /// Signal as the detector wrote it, `(n_frames, n_channels)`. What is not finite is skipped and counted.
    pub frame_data: ArrayView2<'a, T>,
    /// Gain of each frame; a frame with gain 0 or NaN is left out.
    pub frame_gains: ArrayView1<'a, f64>,
    /// Relative weight of each frame; a frame with weight 0, below 0 or NaN is left out.
    pub frame_weights: ArrayView1<'a, f64>,
    /// Gain to the source of each of the `n_channels`; a channel with gain 0 or NaN is left out.
    pub source_gains: ArrayView1<'a, f64>,
    /// Variance of each listed channel; one with variance 0, below 0 or NaN adds nothing.
    pub channel_variance: ArrayView1<'a, f64>,
    /// Frames that may be used.
    pub valid_frames: ArrayView1<'a, bool>,
    /// Map index `[x, y]` of each frame, `(2, n_frames, 1)`, or of each sample, `(2, n_frames, n_channels)`.
    pub map_indices: ArrayView3<'a, i64>,
    /// The listed channels.
    pub channel_indices: ArrayView1<'a, i64>,
    /// Flags, `(n_frames, n_channels)`.
    pub sample_flags: ArrayView2<'a, F>,
    /// A sample with any of these flags is left out.
    pub exclude_sample_flag: i64,
}

impl<T: Real, F: Flags> Samples<'_, T, F> {
    /// Number of frames and channels.
    pub(crate) fn dim(&self) -> (usize, usize) {
        self.frame_data.dim()
    }

    /// Tells whether all channels share the map index of a frame.
    pub(crate) fn is_index_shared(&self) -> bool {
        self.map_indices.dim().2 == 1
    }

    /// Holds all shapes against `frame_data`, and returns the listed channels.
    pub(crate) fn check(&self) -> Result<Vec<usize>, Error> {
        let (n_frames, n_channels) = self.dim();
        for (name, found) in [
            ("frame_gains", self.frame_gains.len()),
            ("frame_weights", self.frame_weights.len()),
            ("valid_frames", self.valid_frames.len()),
        ] {
            check_length(name, found, n_frames, "the frames of `frame_data`")?;
        }
        check_length("source_gains", self.source_gains.len(), n_channels, CHANNELS)?;
        let n_listed = self.channel_indices.len();
        check_length("channel_variance", self.channel_variance.len(), n_listed, LISTED)?;
        check_shape("sample_flags", self.sample_flags.shape(), &[n_frames, n_channels])?;
        check_map_indices(self.map_indices, n_frames, n_channels)?;
        channels(self.channel_indices, n_channels)
    }

    /// Gain and weight of a frame, `None` if it is left out.
    pub(crate) fn frame(&self, frame: usize) -> Option<FrameFactors> {
        let (gain, weight) = (self.frame_gains[frame], self.frame_weights[frame]);
        let is_used = self.valid_frames[frame]
            && gain.is_finite()
            && gain != 0.0
            && weight.is_finite()
            && weight > 0.0;
        is_used.then_some(FrameFactors { gain, weight })
    }

    /// Number of samples that would go into a map, but for a gain that is not finite: that of their frame, or that of
    /// their channel. `listed` are places in `channel_indices`, `channels` what stands there.
    pub(crate) fn n_without_gain(
        &self,
        grid: &Grid,
        listed: &[usize],
        channels: &[usize],
    ) -> usize {
        let gain = |k: usize| self.source_gains[channels[k]];
        let (with, without): (Vec<usize>, Vec<usize>) = (listed.iter().copied())
            .filter(|&k| self.channel_variance[k] > 0.0 && gain(k) != 0.0)
            .partition(|&k| gain(k).is_finite());
        if without.is_empty() && self.frame_gains.iter().all(|gain| gain.is_finite()) {
            return 0;
        }
        let exclude = F::from_mask(self.exclude_sample_flag);
        let is_wanted = |f: usize, c: usize| {
            let shared = if self.is_index_shared() { 0 } else { c };
            let (x, y) = (self.map_indices[[0, f, shared]], self.map_indices[[1, f, shared]]);
            grid.cell(x, y).is_some() && !self.sample_flags[[f, c]].has_any(exclude)
        };
        let count =
            |f: usize, of: &[usize]| of.iter().filter(|&&k| is_wanted(f, channels[k])).count();
        let of_frame = |f: usize| {
            let (gain, weight) = (self.frame_gains[f], self.frame_weights[f]);
            if !self.valid_frames[f] || gain == 0.0 || !weight.is_finite() || weight <= 0.0 {
                return 0;
            }
            count(f, &without) + if gain.is_finite() { 0 } else { count(f, &with) }
        };
        (0..self.dim().0).map(of_frame).sum()
    }

    /// Number of frames that are used.
    pub(crate) fn n_used_frames(&self) -> usize {
        (0..self.dim().0).filter(|&frame| self.frame(frame).is_some()).count()
    }
}

const CHANNELS: &str = "the channels of `frame_data`";
pub(crate) const LISTED: &str = "`channel_indices`";

/// What a frame multiplies its samples with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameFactors {
    pub(crate) gain: f64,
    pub(crate) weight: f64,
}

pub(crate) fn check_length(
    name: &'static str,
    found: usize,
    expected: usize,
    of: &'static str,
) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Shape { name, found: vec![found], expected: vec![expected], of })
}

pub(crate) fn check_shape(
    name: &'static str,
    found: &[usize],
    expected: &[usize],
) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (found.to_vec(), expected.to_vec());
    Err(Error::Shape { name, found, expected, of: "`frame_data`" })
}

/// Map indices are `[x, y]` for each frame, shared by the channels or not.
pub(crate) fn check_map_indices(
    map_indices: ArrayView3<'_, i64>,
    n_frames: usize,
    n_channels: usize,
) -> Result<(), Error> {
    let (n_axes, frames, channels) = map_indices.dim();
    if n_axes == 2 && frames == n_frames && (channels == 1 || channels == n_channels) {
        return Ok(());
    }
    let found = map_indices.shape().to_vec();
    let expected = vec![2, n_frames, 1];
    let of = "`frame_data` (or one index for each of its channels)";
    Err(Error::Shape { name: "map_indices", found, expected, of })
}

/// Channel numbers, known to exist and to stand there once.
pub(crate) fn channels(
    channel_indices: ArrayView1<'_, i64>,
    n_channels: usize,
) -> Result<Vec<usize>, Error> {
    let mut is_taken = vec![false; n_channels];
    let mut channels = Vec::with_capacity(channel_indices.len());
    for (position, &found) in channel_indices.iter().enumerate() {
        let name = "channel_indices";
        let outside = Error::Index { name, position, found, n: n_channels };
        let channel = usize::try_from(found).map_err(|_| outside.clone())?;
        match is_taken.get_mut(channel) {
            None => return Err(outside),
            Some(true) => return Err(Error::Duplicate { name, position, found }),
            Some(free) => *free = true,
        }
        channels.push(channel);
    }
    Ok(channels)
}

/// For each of `n_maps` maps, the place in a list of what is to go into maps: entry `k` goes to map `pixels[k]`, or to
/// map `k`.
pub(crate) fn listed_by_map(
    pixels: Option<&[usize]>,
    n_listed: usize,
    n_maps: usize,
    of: &'static str,
) -> Result<Vec<Option<usize>>, Error> {
    let Some(pixels) = pixels else {
        check_length("channel_indices", n_listed, n_maps, "the maps")?;
        return Ok((0..n_maps).map(Some).collect());
    };
    check_length("pixels", pixels.len(), n_listed, of)?;
    let mut listed = vec![None; n_maps];
    for (position, &pixel) in pixels.iter().enumerate() {
        let (name, found) = ("pixels", pixel as i64);
        let place =
            listed.get_mut(pixel).ok_or(Error::Index { name, position, found, n: n_maps })?;
        if place.replace(position).is_some() {
            return Err(Error::Duplicate { name, position, found });
        }
    }
    Ok(listed)
}

/// Frames sorted by the map cell they fall on.
#[derive(Debug)]
pub(crate) struct FramesByCell {
    /// Frames of cell `c` are `frames[start[c]..start[c + 1]]`, in the order of time.
    pub(crate) frames: Vec<usize>,
    /// One more than there are cells.
    pub(crate) start: Vec<usize>,
}

impl FramesByCell {
    /// Sorts the frames that `is_used` names by the cell that `map_indices` (2, `n_frames`, 1) give; frames off the map
    /// are left out.
    pub(crate) fn new(
        grid: &Grid,
        map_indices: ArrayView3<'_, i64>,
        is_used: impl Fn(usize) -> bool,
    ) -> Self {
        let n_frames = map_indices.dim().1;
        let cells: Vec<Option<usize>> = (0..n_frames)
            .map(|f| {
                if !is_used(f) {
                    return None;
                }
                grid.cell(map_indices[[0, f, 0]], map_indices[[1, f, 0]])
            })
            .collect();
        let mut start = vec![0; grid.n_cells() + 1];
        for &cell in cells.iter().flatten() {
            start[cell + 1] += 1;
        }
        for cell in 0..grid.n_cells() {
            start[cell + 1] += start[cell];
        }
        let mut next = start.clone();
        let mut frames = vec![0; start[grid.n_cells()]];
        for (frame, &cell) in cells.iter().enumerate() {
            if let Some(cell) = cell {
                frames[next[cell]] = frame;
                next[cell] += 1;
            }
        }
        Self { frames, start }
    }
}

/// Columns that lie together in `frame_data`, and the maps they go to.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// First column.
    pub(crate) first: usize,
    /// The maps: `(column - first, map)`, columns ascending.
    pub(crate) maps: Vec<(usize, usize)>,
}

impl Run {
    /// Number of columns, unused ones in between included.
    pub(crate) fn width(&self) -> usize {
        self.maps.last().map_or(0, |&(column, _)| column + 1)
    }

    /// Tells whether a map takes this column.
    pub(crate) fn has(&self, column: usize) -> bool {
        self.maps.binary_search_by_key(&column, |&(column, _)| column).is_ok()
    }
}

/// Cuts channels into runs of at most `most` columns; gaps of a few unused columns are bridged.
///
/// `channels[k]` is the channel of map `k`, `None` if map `k` gets nothing.
pub(crate) fn runs(channels: &[Option<usize>], most: usize) -> Vec<Run> {
    let mut pairs: Vec<(usize, usize)> =
        channels.iter().enumerate().filter_map(|(map, &channel)| Some((channel?, map))).collect();
    pairs.sort_unstable();
    let mut runs: Vec<Run> = Vec::new();
    for (channel, map) in pairs {
        match runs.last_mut() {
            Some(run)
                if channel < run.first + most && channel < run.first + run.width() + BRIDGED =>
            {
                run.maps.push((channel - run.first, map));
            }
            _ => runs.push(Run { first: channel, maps: vec![(0, map)] }),
        }
    }
    runs
}

/// Columns of a gap that it costs less to read than to go around: those of one or two cache lines.
const BRIDGED: usize = 16;

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn frames_come_cell_by_cell_in_the_order_of_time() {
        let grid = Grid::new([2, 2], [1.0; 2], [0.0; 2]).unwrap();
        let indices = array![[[1], [0], [1], [5], [0]], [[1], [0], [1], [0], [1]]];
        let sorted = FramesByCell::new(&grid, indices.view(), |frame| frame != 1);
        let of = |cell: usize| &sorted.frames[sorted.start[cell]..sorted.start[cell + 1]];
        assert_eq!(of(0), [0; 0]);
        assert_eq!(of(2), [4]);
        assert_eq!(of(3), [0, 2]);
    }

    #[test]
    fn runs_cover_each_channel_once() {
        let channels: Vec<Option<usize>> = vec![Some(5), None, Some(3), Some(4), Some(90), Some(0)];
        let found = runs(&channels, 4);
        let firsts: Vec<_> = found.iter().map(|run| (run.first, run.maps.clone())).collect();
        assert_eq!(
            firsts,
            [(0, vec![(0, 5), (3, 2)]), (4, vec![(0, 3), (1, 0)]), (90, vec![(0, 4)])]
        );
    }

    #[test]
    fn a_channel_stands_there_once_and_exists() {
        assert!(channels(array![0, 2].view(), 2).is_err());
        assert!(channels(array![0, -1].view(), 2).is_err());
        assert!(channels(array![1, 1].view(), 2).is_err());
        assert_eq!(channels(array![1, 0].view(), 2).unwrap(), [1, 0]);
    }
}
