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

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;
    use crate::scan::DISCARD;
    use crate::scan::sample_planes::Planes;

    /// The measure of a spike of height 1 in a flat map: eight neighbours of weights 4 x 1 and 4 x 1/2.
    const MEASURE: f64 = 0.925_820_099_772_551_5;

    #[test]
    fn a_lone_cell_is_emptied() {
        let mut planes = Planes::flat([9, 9], 2.0);
        planes.data[40] = 12.0;
        planes.weight[40] = 9.0;
        let mut space = DespikeSpace::default();
        assert_eq!(despike(&mut planes.map(), 10.0 * MEASURE + 1e-9, &mut space), 0);
        assert_eq!(despike(&mut planes.map(), 10.0 * MEASURE - 1e-9, &mut space), 1);
        assert_eq!((planes.data[40], planes.weight[40], planes.flag[40]), (0.0, 0.0, DISCARD));
        assert_eq!(despike(&mut planes.map(), 0.1, &mut space), 0, "the rest is flat");
    }

    #[test]
    fn cells_are_judged_before_any_is_emptied() {
        let mut planes = Planes::flat([9, 9], 0.0);
        planes.data[40] = 10.0;
        // At a low level its eight neighbours differ from theirs, too.
        assert_eq!(despike(&mut planes.map(), 0.5, &mut DespikeSpace::default()), 9);
    }

    #[test]
    fn holes_do_not_count_and_loners_stay() {
        let mut planes = Planes::flat([1, 5], 0.0);
        (planes.data[0], planes.data[3]) = (50.0, 3.0);
        planes.hole(1);
        planes.data[1] = 1e9;
        let mut space = DespikeSpace::default();
        // Cell 3 has two neighbours: 3 (2 / 3)^1/2 = 2.45; cell 0 has none.
        assert_eq!(despike(&mut planes.map(), 2.5, &mut space), 0);
        assert_eq!(despike(&mut planes.map(), 2.4, &mut space), 1);
        assert_eq!((planes.data[0], planes.flag[3]), (50.0, DISCARD));
    }
}
