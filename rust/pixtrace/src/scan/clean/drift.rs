//! The drift of a channel: a broken line.

use super::column::{Column, State};
use crate::numeric::stats::median;

/// Where each valid frame stands between the corners of the broken line.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Number of the corner before, and the way to the next one, from 0 to 1.
    pub(super) place: Vec<(usize, f64)>,
    pub(super) n_corners: usize,
}

/// Numbers of the empty stretches next to the corners, in units of samples: so weakly is the line held straight there.
const STIFFNESS: f64 = 1e-6;
/// A sample farther from the line than this many robust standard deviations does not pull at it.
const CLIP: f64 = 4.0;

impl Timeline {
    /// Corners about `n_between` frames apart; they divide the time from the first to the last frame evenly.
    pub(super) fn new(frames: &[usize], n_between: f64) -> Self {
        let (Some(&first), Some(&last)) = (frames.first(), frames.last()) else {
            return Self { place: Vec::new(), n_corners: 2 };
        };
        let span = (last - first).max(1) as f64;
        // As many as there are frames at most.
        let n_pieces = (span / n_between).round().clamp(1.0, span) as usize;
        let per_frame = n_pieces as f64 / span;
        let place = |&frame: &usize| {
            let at = (frame - first) as f64 * per_frame;
            let corner = (at as usize).min(n_pieces - 1);
            (corner, at - corner as f64)
        };
        let place = frames.iter().map(place).collect();
        Self { place, n_corners: n_pieces + 1 }
    }

    /// Corners at a frame, whole or not, and at all multiples of a spacing before and behind it.
    pub(super) fn with_corners(frames: &[usize], corner: f64, spacing: f64) -> Self {
        let (Some(&first), Some(&last)) = (frames.first(), frames.last()) else {
            return Self { place: Vec::new(), n_corners: 2 };
        };
        let at = |frame: usize| (frame as f64 - corner) / spacing;
        let start = at(first).floor();
        let n_pieces = (at(last) - start).ceil().max(1.0) as usize;
        let place = |&frame: &usize| {
            let at = at(frame) - start;
            let corner = (at as usize).min(n_pieces - 1);
            (corner, at - corner as f64)
        };
        let place = frames.iter().map(place).collect();
        Self { place, n_corners: n_pieces + 1 }
    }

    /// The line through some corners at a valid frame, by its number among them.
    pub(super) fn at(&self, corners: &[f64], i: usize) -> f64 {
        let (k, t) = self.place[i];
        corners[k] + t * (corners[k + 1] - corners[k])
    }

    /// Adds the line through some corners, times a factor, to the samples.
    pub(super) fn add(&self, corners: &[f64], factor: f64, x: &mut [f64]) {
        for (x, &(k, t)) in x.iter_mut().zip(&self.place) {
            *x += factor * (corners[k] + t * (corners[k + 1] - corners[k]));
        }
    }

    /// The medians of the samples that are nearest to each corner: a first look that nothing spoils.
    pub(super) fn medians(&self, column: &Column, buffer: &mut Vec<f64>) -> Vec<f64> {
        let mut corners = vec![f64::NAN; self.n_corners];
        let mut samples = (0..column.x.len()).peekable();
        for (corner, value) in corners.iter_mut().enumerate() {
            buffer.clear();
            while let Some(i) = samples.next_if(|&i| {
                let (k, t) = self.place[i];
                k + usize::from(t >= 0.5) <= corner
            }) {
                if column.state[i] == State::Used {
                    buffer.push(column.x[i]);
                }
            }
            *value = median(buffer);
        }
        fill_gaps(&mut corners);
        corners
    }

    /// The line that fits the samples best, but for outliers: a projection, so that a second one finds nothing.
    pub(super) fn fit(&self, column: &Column, sigma: f64) -> Vec<f64> {
        let n = self.n_corners;
        let (mut diagonal, mut off, mut right) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        let limit = CLIP * sigma;
        for ((&x, &state), &(k, t)) in column.x.iter().zip(&column.state).zip(&self.place) {
            if state == State::Used && x.abs() <= limit {
                let s = 1.0 - t;
                diagonal[k] += s * s;
                diagonal[k + 1] += t * t;
                off[k] += s * t;
                right[k] += s * x;
                right[k + 1] += t * x;
            }
        }
        for k in 0..n - 1 {
            diagonal[k] += STIFFNESS;
            diagonal[k + 1] += STIFFNESS;
            off[k] -= STIFFNESS;
        }
        // A line without any sample would be held by nothing.
        diagonal[0] += STIFFNESS * STIFFNESS;
        for k in 1..n {
            let factor = off[k - 1] / diagonal[k - 1];
            diagonal[k] -= factor * off[k - 1];
            right[k] -= factor * right[k - 1];
        }
        right[n - 1] /= diagonal[n - 1];
        for k in (0..n - 1).rev() {
            right[k] = (right[k] - off[k] * right[k + 1]) / diagonal[k];
        }
        right
    }
}

/// Fills corners without samples from their neighbours, along a straight line; zero if there is none.
fn fill_gaps(corners: &mut [f64]) {
    let known: Vec<usize> = (0..corners.len()).filter(|&k| corners[k].is_finite()).collect();
    let (Some(&first), Some(&last)) = (known.first(), known.last()) else {
        corners.fill(0.0);
        return;
    };
    let (start, end) = (corners[first], corners[last]);
    corners[..first].fill(start);
    corners[last..].fill(end);
    for pair in known.windows(2) {
        let (from, to) = (corners[pair[0]], corners[pair[1]]);
        let slope = (to - from) / (pair[1] - pair[0]) as f64;
        for (n, corner) in corners[pair[0]..pair[1]].iter_mut().enumerate() {
            *corner = from + slope * n as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    fn column(x: Vec<f64>) -> Column {
        Column { state: vec![State::Used; x.len()], x }
    }

    proptest! {
        #[test]
        fn a_broken_line_is_found_through_gaps_and_outliers(
            corners in prop::collection::vec(-100.0..100.0_f64, 6), gap in 0..350_usize,
        ) {
            let frames: Vec<usize> =
                (0..501).filter(|f| !(gap..gap + 60).contains(f) || *f == 0 || *f == 500).collect();
            let timeline = Timeline::new(&frames, 99.0);
            prop_assert_eq!(timeline.n_corners, 6);
            let mut column = column(vec![0.0; frames.len()]);
            timeline.add(&corners, 1.0, &mut column.x);
            column.state[200] = State::Blank;
            column.x[200] = 1e9;
            column.x[300] = 1e9;
            let found = timeline.fit(&column, 1e6);
            for (found, corner) in found.iter().zip(&corners) {
                assert_relative_eq!(*found, *corner, epsilon = 1e-4);
            }
        }

        #[test]
        fn a_line_that_was_removed_is_not_found_again(x in prop::collection::vec(-1.0..1.0_f64, 200)) {
            let frames: Vec<usize> = (0..200).collect();
            let timeline = Timeline::new(&frames, 40.0);
            let mut column = column(x);
            let found = timeline.fit(&column, 1.0);
            timeline.add(&found, -1.0, &mut column.x);
            for corner in timeline.fit(&column, 10.0) {
                prop_assert!(corner.abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_part_of_a_timeline_has_its_corners() {
        let frames: Vec<usize> = (0..1001).collect();
        let whole = Timeline::new(&frames, 52.0);
        let start = 250;
        let part: Vec<usize> = (0..400).collect();
        let spacing = 1000.0 / (whole.n_corners - 1) as f64;
        let part = Timeline::with_corners(&part, -(start as f64), spacing);
        let (first, _) = whole.place[start];
        for (i, &(corner, t)) in part.place.iter().enumerate() {
            let (k, s) = whole.place[start + i];
            assert_relative_eq!((corner + first) as f64 + t, k as f64 + s, epsilon = 1e-9);
            assert!(corner + 1 < part.n_corners);
        }
    }

    #[test]
    fn corners_without_samples_follow_their_neighbours() {
        let mut corners = [f64::NAN, 1.0, f64::NAN, f64::NAN, 4.0, f64::NAN];
        fill_gaps(&mut corners);
        assert_relative_eq!(corners.as_slice(), [1.0, 1.0, 2.0, 3.0, 4.0, 4.0].as_slice());
        let mut none = [f64::NAN; 2];
        fill_gaps(&mut none);
        assert_relative_eq!(none.as_slice(), [0.0, 0.0].as_slice());
        let empty = column(vec![]);
        assert!(Timeline::new(&[], 10.0).fit(&empty, 1.0).iter().all(|corner| *corner == 0.0));
    }
}
