//! Which samples of a frame single channels miss.

use std::ops::Range;

use ndarray::{ArrayView2, Axis, Slice};
use rayon::prelude::*;

use super::add::Added;
use super::moments::CellMoments;
use super::sample_flags::Flags;
use super::sample_moments::{MissedCell, SampleMoments};
use super::samples::{LISTED, Run, Samples, listed_by_map, runs};
use super::view::Maps;
use crate::numeric::Real;
use crate::{Control, Error};

/// Columns that are looked through together: what is noted down of them meanwhile stays small beside the samples.
const COLUMNS: usize = 128;
/// Columns that are looked at in one go: most blocks are clean.
const BLOCK: usize = 16;

/// A frame that is among the moments.
struct Frame {
    number: usize,
    cell: u32,
    weight: f64,
    /// Position about the centre of the cell.
    at: [f64; 2],
}

impl Maps<'_> {
    /// Where in their cells the samples stand that [`MapsMut::add_points`](super::MapsMut::add_points) adds to these maps;
    /// arguments as there.
    ///
    /// `positions` are map indices `[x, y]` of the frames, `(2, n_frames)`, as the telescope stood before they were
    /// rounded. `added` is what became of the samples when they were added: nothing is looked for that is known not to be
    /// there. If channels have map indices of their own, nothing is known afterwards.
    ///
    /// # Errors
    /// Those of `add_points`; [`Error::Shape`] if there is not one position for each frame; [`Error::Element`] if one is
    /// more than a cell from the map index; [`Error::Cancelled`].
    pub fn sample_moments<T: Real, F: Flags>(
        &self,
        samples: &Samples<'_, T, F>,
        pixels: Option<&[usize]>,
        positions: ArrayView2<'_, f64>,
        added: Added,
        control: &Control,
    ) -> Result<SampleMoments, Error> {
        let grid = self.grid();
        let channels = samples.check()?;
        let listed = listed_by_map(pixels, channels.len(), self.n_pixels(), LISTED)?;
        let mut shared = CellMoments::new(grid);
        shared.add_frames(grid, samples, positions)?;
        let mut found = SampleMoments::new(self.n_pixels(), grid.n_cells());
        if !samples.is_index_shared() {
            return Ok(found);
        }
        // G_c^2 / v_c, 0 for maps that get nothing.
        let mut factors: Vec<f64> = (listed.iter())
            .map(|k| {
                let factor = k.map_or(0.0, |k| {
                    samples.source_gains[channels[k]].powi(2) / samples.channel_variance[k]
                });
                if factor.is_finite() && factor > 0.0 { factor } else { 0.0 }
            })
            .collect();
        let of_map =
            |(k, factor): (&Option<usize>, &f64)| k.filter(|_| *factor > 0.0).map(|k| channels[k]);
        let fed: Vec<Option<usize>> = listed.iter().zip(&factors).map(of_map).collect();
        let mut n_on_map = 0;
        let mut frames = Vec::new();
        for number in 0..samples.dim().0 {
            let Some(factors) = samples.frame(number) else { continue };
            let [x, y] = [0, 1].map(|axis| samples.map_indices[[axis, number, 0]]);
            let Some(cell) = grid.cell(x, y) else { continue };
            n_on_map += 1;
            let at = [positions[[0, number]] - x as f64, positions[[1, number]] - y as f64];
            if let Some(&found) = at.iter().find(|x| x.abs() > 1.0) {
                let (name, must_be) = ("map_positions", "no more than a cell off the map index");
                return Err(Error::Element { name, position: number, found, must_be });
            }
            if at.iter().all(|x| x.is_finite()) {
                let weight = factors.weight * factors.gain * factors.gain;
                frames.push(Frame { number, cell: cell as u32, weight, at });
            }
        }
        let mut missed = Vec::new();
        if added.n_samples < n_on_map * fed.iter().flatten().count() {
            let looks_at_data = added.n_skipped > 0;
            let parts: Result<Vec<_>, Error> = runs(&fed, COLUMNS)
                .into_par_iter()
                .map(|run| {
                    control.check()?;
                    Ok(missed_in(samples, &frames, &run, looks_at_data, &factors))
                })
                .collect();
            missed = parts?.into_iter().flatten().collect();
        }
        for (map, cells) in missed {
            match cells {
                Missed::Some(cells) => found.add_missed(map, cells),
                Missed::All => factors[map] = 0.0,
            }
        }
        found.add_layer(&std::sync::Arc::new(shared), factors);
        Ok(found)
    }
}

/// What a map misses of the frames.
enum Missed {
    Some(Vec<MissedCell>),
    All,
}

/// Looks through the columns of a run; the maps come with what they miss.
fn missed_in<T: Real, F: Flags>(
    samples: &Samples<'_, T, F>,
    frames: &[Frame],
    run: &Run,
    looks_at_data: bool,
    factors: &[f64],
) -> Vec<(usize, Missed)> {
    let exclude = F::from_mask(samples.exclude_sample_flag);
    let columns = Slice::from(run.first..run.first + run.width());
    let flags = samples.sample_flags.slice_axis(Axis(1), columns);
    let data = samples.frame_data.slice_axis(Axis(1), columns);
    // Places of frames, for each column; those that no map takes are looked at in passing.
    let mut left_out: Vec<Vec<u32>> = vec![Vec::new(); run.width()];
    for (place, frame) in frames.iter().enumerate() {
        let (flags, data) = (flags.row(frame.number), data.row(frame.number));
        let mut look_at = |columns: Range<usize>| {
            for column in columns {
                let is_finite = !looks_at_data || data[column].to_f64().is_finite();
                if flags[column].has_any(exclude) || !is_finite {
                    left_out[column].push(place as u32);
                }
            }
        };
        let in_a_row = flags.as_slice().filter(|_| !looks_at_data).unwrap_or_default();
        let (blocks, _) = in_a_row.as_chunks::<BLOCK>();
        for (block, flags) in blocks.iter().enumerate() {
            if F::any_of(flags).has_any(exclude) {
                look_at(block * BLOCK..(block + 1) * BLOCK);
            }
        }
        look_at(blocks.len() * BLOCK..run.width());
    }
    let maps = run.maps.iter().map(|&(column, map)| (map, std::mem::take(&mut left_out[column])));
    maps.filter(|(_, left_out)| !left_out.is_empty())
        .map(|(map, mut left_out)| {
            if left_out.len() == frames.len() {
                return (map, Missed::All);
            }
            left_out.sort_by_key(|&place| frames[place as usize].cell);
            let cells =
                left_out.chunk_by(|&a, &b| frames[a as usize].cell == frames[b as usize].cell);
            let cells = cells.map(|places| {
                let (mut weight, mut first, mut second) = (0.0, [0.0; 2], [0.0; 3]);
                for &place in places {
                    let Frame { weight: w, at: [x, y], .. } = frames[place as usize];
                    weight += w;
                    first = [first[0] + w * x, first[1] + w * y];
                    second = [second[0] + w * x * x, second[1] + w * x * y, second[2] + w * y * y];
                }
                MissedCell {
                    weight: weight * factors[map],
                    cell: frames[places[0] as usize].cell,
                    first: first.map(|sum| (sum / weight) as f32),
                    second: second.map(|sum| (sum / weight) as f32),
                }
            });
            (map, Missed::Some(cells.collect()))
        })
        .collect()
}
