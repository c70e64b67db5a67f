//! Where the peak of a map seems to be.

use super::sky::Sky;

/// A peak is not moved by more than this many cells.
const LARGEST_SHIFT: f64 = 0.5;

/// Map index `[x, y]` of the cell of highest absolute S/N, refined by a parabola through its neighbours along each axis.
pub(super) fn highest(sky: &Sky<'_>) -> Option<[f64; 2]> {
    let mut best: Option<(f64, usize)> = None;
    for (cell, significance) in sky.significance.iter().enumerate() {
        let size = significance.abs();
        if sky.is_valid(cell) && best.is_none_or(|(highest, _)| size > highest) {
            best = Some((size, cell));
        }
    }
    let (_, cell) = best?;
    let [n_y, n_x] = sky.grid.shape();
    let index = sky.index(cell);
    let (steps, sides) = ([1, n_x], [n_x, n_y]);
    Some([0, 1].map(|axis| {
        let centre = index[axis] as f64;
        let is_inside = index[axis] > 0 && index[axis] + 1 < sides[axis];
        let neighbours = is_inside.then(|| [cell - steps[axis], cell + steps[axis]]);
        let Some(neighbours) = neighbours.filter(|n| n.iter().all(|&cell| sky.is_valid(cell)))
        else {
            return centre;
        };
        let [before, behind] = neighbours.map(|cell| sky.significance[cell]);
        let shift = 0.5 * (before - behind) / (before - 2.0 * sky.significance[cell] + behind);
        if shift.abs() <= LARGEST_SHIFT { centre + shift } else { centre }
    }))
}

/// Mean map index `[x, y]` of all valid cells, with their absolute S/N for weights.
pub(super) fn centroid(sky: &Sky<'_>) -> Option<[f64; 2]> {
    let (mut sum, mut moments) = (0.0, [0.0; 2]);
    for (cell, significance) in sky.significance.iter().enumerate() {
        let weight = significance.abs();
        let index = sky.index(cell);
        sum += weight;
        moments = [0, 1].map(|axis| moments[axis] + weight * index[axis] as f64);
    }
    (sum > 0.0).then(|| moments.map(|moment| moment / sum))
}
