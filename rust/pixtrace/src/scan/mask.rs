//! The mask: which cells of a map are on the source.

use super::clip::check_number;
use super::sign::Sign;
use super::stack::{MASK, MapMut, MapsMut};
use crate::{Control, Error};

/// Number of valid cells in the 3 x 3 cells around each cell, itself included if it is valid.
#[must_use]
pub fn neighbours(map: &MapMut<'_>) -> Vec<u8> {
    let mut counts = Vec::new();
    count_neighbours(map, &mut MaskSpace::default(), &mut counts);
    counts
}

/// Memory for [`update_mask`], to be used again and again.
#[derive(Clone, Debug, Default)]
pub struct MaskSpace {
    triples: Vec<u8>,
    counts: Vec<u8>,
    row: Vec<u8>,
}

fn count_neighbours(map: &MapMut<'_>, space: &mut MaskSpace, counts: &mut Vec<u8>) {
    let [n_y, n_x] = map.grid.shape();
    let MaskSpace { triples, row, .. } = space;
    triples.clear();
    // First along each row, with one empty cell at either end, then across rows.
    for y in 0..n_y {
        row.clear();
        row.push(0);
        row.extend((y * n_x..(y + 1) * n_x).map(|cell| u8::from(map.is_valid(cell))));
        row.push(0);
        triples.extend(row.windows(3).map(|three| three.iter().sum::<u8>()));
    }
    counts.clear();
    counts.extend_from_slice(triples);
    for (sums, above) in counts[n_x..].iter_mut().zip(&*triples) {
        *sums += above;
    }
    for (sums, below) in counts.iter_mut().zip(&triples[n_x..]) {
        *sums += below;
    }
}

/// Sets [`MASK`] on the cells that are on a source, takes it off all others, and returns how many are masked.
///
/// Masked is a valid cell with at least `min_neighbors` valid cells among the nine around it, itself included, whose
/// `S/N = data weight^1/2` reaches `level` (or falls below `-level`, as `sign` says). Without a level the significance
/// does not matter.
pub fn update_mask(
    map: &mut MapMut<'_>,
    level: Option<f64>,
    min_neighbors: usize,
    sign: Sign,
    space: &mut MaskSpace,
) -> usize {
    let mut counts = std::mem::take(&mut space.counts);
    count_neighbours(map, space, &mut counts);
    let mut n_masked = 0;
    for (cell, &count) in counts.iter().enumerate() {
        let significance = map.data[cell] * map.weight[cell].sqrt();
        let masked = map.is_valid(cell)
            && usize::from(count) >= min_neighbors
            && level.is_none_or(|level| sign.is_reached(significance, level));
        n_masked += usize::from(masked);
        map.flag[cell] = (map.flag[cell] & !MASK) | if masked { MASK } else { 0 };
    }
    space.counts = counts;
    n_masked
}

impl MapsMut<'_> {
    /// [`update_mask`] of all maps, or of those of the numbers `pixels`: the numbers of masked cells, in this order.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a level of NaN, [`Error::NotNormalised`] if there is a level and a map holds sums; else
    /// as [`MapsMut::for_some_maps`].
    pub fn update_mask(
        &mut self,
        pixels: Option<&[usize]>,
        level: Option<f64>,
        min_neighbors: usize,
        sign: Sign,
        control: &Control,
    ) -> Result<Vec<usize>, Error> {
        if let Some(level) = level {
            check_number("level", level)?;
            self.require_means(pixels)?;
        }
        self.for_some_maps(pixels, control, MaskSpace::default, |space, _, mut map| {
            update_mask(&mut map, level, min_neighbors, sign, space)
        })
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;
    use crate::scan::DISCARD;
    use crate::scan::sample_planes::Planes;

    #[test]
    fn neighbours_are_counted_with_the_cell_itself() {
        let mut planes = Planes::flat([3, 4], 1.0);
        planes.hole(5);
        assert_eq!(neighbours(&planes.map()), [3, 5, 5, 4, 5, 8, 8, 6, 3, 5, 5, 4]);
        assert_eq!(neighbours(&Planes::flat([1, 1], 1.0).map()), [1]);
        assert_eq!(neighbours(&Planes::flat([1, 3], 1.0).map()), [2, 3, 2]);
        assert_eq!(neighbours(&Planes::flat([3, 1], 1.0).map()), [2, 3, 2]);
    }

    #[test]
    fn bright_cells_with_company_are_masked() {
        let mut planes = Planes::flat([3, 5], 0.0);
        for cell in [2, 4, 7, 12, 14] {
            planes.hole(cell);
        }
        planes.data[9] = 9.0;
        (planes.data[0], planes.data[1], planes.data[5]) = (5.0, -5.0, 6.0);
        planes.flag[10] = MASK;
        planes.flag[4] |= MASK;
        let mut masked = |level, min_neighbors, sign| {
            let n = update_mask(
                &mut planes.map(),
                level,
                min_neighbors,
                sign,
                &mut MaskSpace::default(),
            );
            let cells: Vec<usize> = (0..15).filter(|&cell| planes.flag[cell] & MASK != 0).collect();
            assert_eq!(n, cells.len());
            assert_eq!(planes.flag[4], DISCARD, "a hole is never masked");
            cells
        };
        assert_eq!(masked(Some(5.0), 2, Sign::Positive), [0, 5, 9]);
        assert_eq!(masked(Some(5.0), 4, Sign::Positive), [0, 5, 9]);
        assert_eq!(masked(Some(5.0), 5, Sign::Positive), [5]);
        assert_eq!(masked(Some(5.0), 1, Sign::Negative), [] as [usize; 0]);
        assert_eq!(masked(Some(4.9), 1, Sign::Negative), [1]);
        assert_eq!(masked(Some(5.0), 1, Sign::Both), [0, 5, 9]);
        assert_eq!(masked(None, 0, Sign::Positive), [0, 1, 3, 5, 6, 8, 9, 10, 11, 13]);
    }
}
