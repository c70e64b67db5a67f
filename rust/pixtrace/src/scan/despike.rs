//! Cells that stand alone out of their surroundings.

use super::stack::{MapMut, MapsMut, is_valid};
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
///
/// # Errors
/// [`Error::Parameter`] unless `level` is 0 or positive; nothing has happened then.
pub fn despike(map: &mut MapMut<'_>, level: f64, space: &mut DespikeSpace) -> Result<usize, Error> {
    check_level(level)?;
    let n_x = map.grid.shape()[1];
    let DespikeSpace { data, valid } = space;
    copy_with_border(map, data, valid);
    let mut n_spikes = 0;
    for cell in 0..map.data.len() {
        let (x, y) = (cell % n_x, cell / n_x);
        if is_spike(data, valid, y * (n_x + 2) + x, n_x + 2, level) {
            n_spikes += 1;
            map.discard(cell);
        }
    }
    Ok(n_spikes)
}

/// Copies the valid data of a map, and 1 for each such cell, with a border of zeros.
fn copy_with_border(map: &MapMut<'_>, data: &mut Vec<f64>, valid: &mut Vec<f64>) {
    let [n_y, n_x] = map.grid.shape();
    for plane in [&mut *data, &mut *valid] {
        plane.clear();
        plane.resize((n_x + 2) * (n_y + 2), 0.0);
    }
    let rows = data.chunks_exact_mut(n_x + 2).zip(valid.chunks_exact_mut(n_x + 2)).skip(1);
    for (y, (data, valid)) in rows.take(n_y).enumerate() {
        let row = y * n_x..(y + 1) * n_x;
        let cells = map.data[row.clone()].iter().zip(&map.weight[row.clone()]).zip(&map.flag[row]);
        for (((&value, &weight), &flag), (data, valid)) in
            cells.zip(data[1..].iter_mut().zip(&mut valid[1..]))
        {
            let counts = is_valid(value, weight, flag);
            *data = if counts { value } else { 0.0 };
            *valid = if counts { 1.0 } else { 0.0 };
        }
    }
}

/// Judges the cell in the middle of nine, of which `corner` is the first, in planes of rows of `width`.
#[inline]
fn is_spike(data: &[f64], valid: &[f64], corner: usize, width: usize, level: f64) -> bool {
    let [above, here, below] = [0, 1, 2].map(|row| corner + row * width);
    let sum = |plane: &[f64]| {
        let (a, h, b) =
            (&plane[above..above + 3], &plane[here..here + 3], &plane[below..below + 3]);
        NEAR * ((h[0] + h[2]) + (a[1] + b[1])) + FAR * ((a[0] + a[2]) + (b[0] + b[2]))
    };
    let m = sum(valid);
    // |d - sum / m| (m / (1 + m))^1/2 > level, without a division or a root.
    let difference = data[here + 1] * m - sum(data);
    valid[here + 1] > 0.0 && difference * difference > level * level * m * (1.0 + m)
}

fn check_level(level: f64) -> Result<(), Error> {
    if level >= 0.0 {
        return Ok(());
    }
    Err(Error::Parameter { name: "level", value: level, must_be: "0 or positive" })
}

impl MapsMut<'_> {
    /// [`despike`] of all maps, or of those of the numbers `pixels`: the numbers of spikes, in this order.
    ///
    /// # Errors
    /// [`Error::Parameter`] as there, [`Error::NotNormalised`] if a map holds sums; else as
    /// [`MapsMut::for_some_maps`].
    pub fn despike(
        &mut self,
        pixels: Option<&[usize]>,
        level: f64,
        control: &Control,
    ) -> Result<Vec<usize>, Error> {
        check_level(level)?;
        self.require_means(pixels)?;
        let work =
            |space: &mut DespikeSpace, _, mut map: MapMut<'_>| despike(&mut map, level, space);
        self.for_some_maps(pixels, control, DespikeSpace::default, work)?.into_iter().collect()
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
        assert_eq!(despike(&mut planes.map(), 10.0 * MEASURE + 1e-9, &mut space), Ok(0));
        assert_eq!(despike(&mut planes.map(), 10.0 * MEASURE - 1e-9, &mut space), Ok(1));
        assert_eq!((planes.data[40], planes.weight[40], planes.flag[40]), (0.0, 0.0, DISCARD));
        assert_eq!(despike(&mut planes.map(), 0.1, &mut space), Ok(0), "the rest is flat");
    }

    #[test]
    fn cells_are_judged_before_any_is_emptied() {
        let mut planes = Planes::flat([9, 9], 0.0);
        planes.data[40] = 10.0;
        // At a low level its eight neighbours differ from theirs, too.
        assert_eq!(despike(&mut planes.map(), 0.5, &mut DespikeSpace::default()), Ok(9));
    }

    #[test]
    fn holes_do_not_count_and_loners_stay() {
        let mut planes = Planes::flat([1, 5], 0.0);
        (planes.data[0], planes.data[3]) = (50.0, 3.0);
        assert!(despike(&mut planes.map(), -1.0, &mut DespikeSpace::default()).is_err());
        planes.hole(1);
        planes.data[1] = 1e9;
        let mut space = DespikeSpace::default();
        // Cell 3 has two neighbours: 3 (2 / 3)^1/2 = 2.45; cell 0 has none.
        assert_eq!(despike(&mut planes.map(), 2.5, &mut space), Ok(0));
        assert_eq!(despike(&mut planes.map(), 2.4, &mut space), Ok(1));
        assert_eq!((planes.data[0], planes.flag[3]), (50.0, DISCARD));
    }
}
