//! Linear interpolation along a column, from those of its pixels that are there.

/// Stands for no pixel.
const NONE: u32 = u32::MAX;

/// A value that is interpolated, and what it takes of which pixels of the column.
pub(super) type Interpolated = (f64, [(usize, f64); 2]);

/// Values of the native pixels of a column, for fine pixels between them.
///
/// Between which pixels of the column a fine pixel lies is the same for every integration; which of them are there is not.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// By pixel of the column; NaN where it is missing.
    values: Vec<f64>,
    /// By the number of pixels up to a position: the last of them that is there, and the first one behind it.
    neighbours: Vec<(u32, u32)>,
    n_known: usize,
}

impl Line {
    /// Takes the values of another column.
    pub(super) fn set(&mut self, values: impl Iterator<Item = f64>) {
        self.values.clear();
        self.values.extend(values);
        self.neighbours.clear();
        self.n_known = 0;
        let mut last = NONE;
        for (i, value) in self.values.iter().enumerate() {
            self.neighbours.push((last, NONE));
            if !value.is_nan() {
                self.n_known += 1;
                last = i as u32;
            }
        }
        self.neighbours.push((last, NONE));
        let mut next = NONE;
        for (i, value) in self.values.iter().enumerate().rev() {
            if !value.is_nan() {
                next = i as u32;
            }
            self.neighbours[i].1 = next;
        }
    }

    /// Number of pixels that are there.
    pub(super) fn n_known(&self) -> usize {
        self.n_known
    }

    /// Value at a position that has so many pixels of the column, whose rows these are, up to it. `None` without pixels.
    pub(super) fn at(&self, n_before: usize, position: f64, rows: &[u32]) -> Option<Interpolated> {
        let alone =
            |i: u32| Some((self.values[i as usize], [(i as usize, 1.0), (i as usize, 0.0)]));
        let (here, there) = match self.neighbours[n_before] {
            (NONE, NONE) => return None,
            (NONE, only) | (only, NONE) => return alone(only),
            (here, there) => (here as usize, there as usize),
        };
        let (row, value) = (f64::from(rows[here]), self.values[here]);
        let (width, rise) = (rows[there] - rows[here], self.values[there] - value);
        // As the plain interpolation has it, to the last digit; divisions are slow, and mostly there is no gap.
        let over_width = |x: f64| if width == 1 { x } else { x / f64::from(width) };
        let (share, slope) = (over_width(position - row), over_width(rise));
        Some((slope * (position - row) + value, [(here, 1.0 - share), (there, share)]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::fine_column;
    use super::*;

    proptest! {
        /// As the interpolation that single images have, whatever is missing.
        #[test]
        fn it_is_the_interpolation_of_images(
            pixels in prop::collection::vec((1..4_u32, prop::option::of(-9.0..9.0_f64)), 1..12),
            n_fine in 1..40_usize,
        ) {
            let mut rows: Vec<u32> = Vec::new();
            for (step, _) in &pixels {
                rows.push(rows.last().unwrap_or(&0) + step);
            }
            let mut line = Line::default();
            line.set(pixels.iter().map(|(_, value)| value.unwrap_or(f64::NAN)));
            let known = pixels.iter().zip(&rows).enumerate();
            let mut other = fine_column::Line::new(
                known.filter_map(|(i, ((_, v), row))| Some((i, f64::from(*row), (*v)?))),
            );
            prop_assert_eq!(line.n_known(), pixels.iter().filter(|(_, v)| v.is_some()).count());
            for m in 0..n_fine {
                let position = 20.0 * m as f64 / n_fine as f64;
                let n_before = rows.iter().filter(|row| f64::from(**row) <= position).count();
                let (found, expected) = (line.at(n_before, position, &rows), other.at(position));
                prop_assert_eq!(found.map(|f| f.0), expected.map(|e| e.0));
                let weights = |all: [(usize, f64); 2]| {
                    let used = all.into_iter().filter(|(_, w)| *w != 0.0);
                    used.collect::<Vec<_>>()
                };
                prop_assert_eq!(found.map(|f| weights(f.1)), expected.map(|e| weights(e.1)));
            }
        }
    }
}
