//! Cells that stand alone out of their surroundings.

use super::clip::check_number;
use super::stack::{MapMut, MapsMut};
use crate::{Control, Error};

/// Memory for [`despike`], to be used again and again: data and validity with an empty border, one cell wide.
#[derive(Clone, Debug, Default)]
pub struct DespikeSpace {
    data: Vec<f64>,
    valid: Vec<f64>,
}

/// Weights of the neighbours, one over the square of their distance in cells: along an axis, and over a corner.
const NEAR: f64 = 1.0;
const FAR: f64 = 0.5;

/// Empties every valid cell that differs from its neighbours by more than `level`, and returns how many these were.
///
/// With `d` the mean of the valid ones of the eight cells around a cell, weighted by `1 / r^2`, and `m` the sum of these
/// weights, the measure is `|data - d| (m / (1 + m))^1/2`: were all cells equally noisy, its standard deviation would
/// be about the noise of a cell. As in the reference it does not look at the weights of the map, so that `level` is in
/// the unit of the data; give a multiple of the noise. A cell without valid neighbours stays. All cells are judged
/// before any is emptied.
pub fn despike(map: &mut MapMut<'_>, level: f64, space: &mut DespikeSpace) -> usize {
    let [n_y, n_x] = map.grid.shape();
    let width = n_x + 2;
    let DespikeSpace { data, valid } = space;
    for plane in [&mut *data, &mut *valid] {
        plane.clear();
        plane.resize(width * (n_y + 2), 0.0);
    }
    for cell in 0..map.data.len() {
        if map.is_valid(cell) {
            let at = (cell / n_x + 1) * width + cell % n_x + 1;
            (data[at], valid[at]) = (map.data[cell], 1.0);
        }
    }
    let around = |plane: &[f64], at: usize| {
        let (above, below) = (at - width, at + width);
        let near = (plane[at - 1] + plane[at + 1]) + (plane[above] + plane[below]);
        let corners = (plane[above - 1] + plane[above + 1]) + (plane[below - 1] + plane[below + 1]);
        NEAR * near + FAR * corners
    };
    let mut n_spikes = 0;
    for cell in 0..map.data.len() {
        let at = (cell / n_x + 1) * width + cell % n_x + 1;
        let m = around(valid, at);
        if valid[at] > 0.0 && m > 0.0 {
            let difference = (data[at] - around(data, at) / m).abs();
            if difference * (m / (1.0 + m)).sqrt() > level {
                n_spikes += 1;
                map.discard(cell);
            }
        }
    }
    n_spikes
}

impl MapsMut<'_> {
    /// [`despike`] of all maps, or of those of the numbers `pixels`: the numbers of spikes, in this order.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a level of NaN, [`Error::NotNormalised`] if a map holds sums; else as
    /// [`MapsMut::for_some_maps`].
    pub fn despike(
        &mut self,
        pixels: Option<&[usize]>,
        level: f64,
        control: &Control,
    ) -> Result<Vec<usize>, Error> {
        check_number("level", level)?;
        self.require_means(pixels)?;
        self.for_some_maps(pixels, control, DespikeSpace::default, |space, _, mut map| {
            despike(&mut map, level, space)
        })
    }
}
