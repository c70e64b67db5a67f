//! The sorted points of a window of columns, moved along from column to column.
//!
//! The windows of neighbouring columns share all but two of their hundred columns, so the points stay sorted and only
//! those of the columns that leave and enter are moved.

use std::ops::Range;

use super::region::RegionPixels;

/// Points of a region that can enter a fit, sorted by alpha within each column.
#[derive(Debug)]
pub(crate) struct SortedColumns {
    columns: Range<usize>,
    first: Vec<usize>,
    alpha: Vec<f64>,
    /// Flux over the sum of its column.
    share: Vec<f64>,
    /// Number of the pixel of each point in its region.
    pixel: Vec<u32>,
}

impl SortedColumns {
    /// Divides by the sums and sorts; points that are not finite are left out.
    pub(crate) fn new(pixels: &RegionPixels, sums: &[f64], narrow: impl Fn(f64) -> f64) -> Self {
        let mut first = vec![0];
        let (mut alpha, mut share, mut pixel) = (Vec::new(), Vec::new(), Vec::new());
        let mut points: Vec<(f64, f64, u32)> = Vec::new();
        for (column, &sum) in pixels.columns.clone().zip(sums) {
            points.clear();
            points.extend(pixels.column(column).filter_map(|i| {
                let point = (pixels.alpha[i], narrow(pixels.flux[i] / sum), i as u32);
                (point.0.is_finite() && point.1.is_finite()).then_some(point)
            }));
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            alpha.extend(points.iter().map(|p| p.0));
            share.extend(points.iter().map(|p| p.1));
            pixel.extend(points.iter().map(|p| p.2));
            first.push(alpha.len());
        }
        Self { columns: pixels.columns.clone(), first, alpha, share, pixel }
    }

    /// Numbers of the points in the columns of the image from `columns.start` to `columns.end`.
    fn points(&self, columns: &Range<usize>) -> Range<usize> {
        let clamp = |x: usize| {
            self.first[x.clamp(self.columns.start, self.columns.end) - self.columns.start]
        };
        clamp(columns.start)..clamp(columns.end.max(columns.start))
    }
}

/// The points of a range of columns in order of alpha (points with the same alpha: in order of their columns).
#[derive(Debug)]
pub(crate) struct Window<'a> {
    source: &'a SortedColumns,
    columns: Range<usize>,
    order: Vec<u32>,
    alpha: Vec<f64>,
    share: Vec<f64>,
    /// Where the points move to, and what then is thrown away.
    spare: (Vec<u32>, Vec<f64>, Vec<f64>),
    changes: Vec<(f64, u32, bool)>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(source: &'a SortedColumns) -> Self {
        Self {
            source,
            columns: 0..0,
            order: Vec::new(),
            alpha: Vec::new(),
            share: Vec::new(),
            spare: (Vec::new(), Vec::new(), Vec::new()),
            changes: Vec::new(),
        }
    }

    /// Moves the window; cheap if it moves by a few columns.
    pub(crate) fn move_to(&mut self, columns: Range<usize>) {
        let old = self.source.points(&self.columns);
        let new = self.source.points(&columns);
        self.columns = columns;
        let kept = old.start.max(new.start)..old.end.min(new.end);
        if 4 * kept.len() < new.len() || kept.is_empty() {
            self.sort(new);
        } else {
            self.merge(
                [old.start..kept.start, kept.end..old.end],
                [new.start..kept.start, kept.end..new.end],
            );
        }
    }

    fn sort(&mut self, points: Range<usize>) {
        let alpha = &self.source.alpha;
        self.order.clear();
        self.order.extend(points.map(|i| i as u32));
        self.order.sort_unstable_by(|&a, &b| {
            alpha[a as usize].total_cmp(&alpha[b as usize]).then(a.cmp(&b))
        });
        self.alpha.clear();
        self.alpha.extend(self.order.iter().map(|&i| alpha[i as usize]));
        self.share.clear();
        self.share.extend(self.order.iter().map(|&i| self.source.share[i as usize]));
    }

    /// Takes points out and puts others in, copying what lies between in whole stretches.
    fn merge(&mut self, leaving: [Range<usize>; 2], entering: [Range<usize>; 2]) {
        let Self { source, order, alpha, share, spare, changes, .. } = self;
        changes.clear();
        for (ranges, is_entering) in [(leaving, false), (entering, true)] {
            let points = ranges.into_iter().flatten();
            changes.extend(points.map(|i| (source.alpha[i], i as u32, is_entering)));
        }
        changes.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (new_order, new_alpha, new_share) = spare;
        new_order.clear();
        new_alpha.clear();
        new_share.clear();
        let mut at = 0;
        for &(value, point, is_entering) in changes.iter() {
            // Changes rise, so the next place is not far: look in steps that double before halving the interval.
            let mut step = 1;
            let before = |i: usize| alpha[i].total_cmp(&value).then(order[i].cmp(&point)).is_lt();
            let mut low = at;
            while low + step <= alpha.len() && before(low + step - 1) {
                low += step;
                step *= 2;
            }
            let mut high = (low + step).min(alpha.len());
            while low < high {
                let middle = low.midpoint(high);
                if before(middle) { low = middle + 1 } else { high = middle }
            }
            new_order.extend_from_slice(&order[at..low]);
            new_alpha.extend_from_slice(&alpha[at..low]);
            new_share.extend_from_slice(&share[at..low]);
            if is_entering {
                new_order.push(point);
                new_alpha.push(value);
                new_share.push(source.share[point as usize]);
                at = low;
            } else {
                at = low + 1;
            }
        }
        new_order.extend_from_slice(&order[at..]);
        new_alpha.extend_from_slice(&alpha[at..]);
        new_share.extend_from_slice(&share[at..]);
        std::mem::swap(order, new_order);
        std::mem::swap(alpha, new_alpha);
        std::mem::swap(share, new_share);
    }

    /// Alpha of the points, rising.
    pub(crate) fn alpha(&self) -> &[f64] {
        &self.alpha
    }

    /// Number, in the region, of the pixel of a point.
    pub(crate) fn pixel(&self, point: u32) -> usize {
        self.source.pixel[self.order[point as usize] as usize] as usize
    }

    /// Their share of the flux of their column.
    pub(crate) fn share(&self) -> &[f64] {
        &self.share
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn columns(alpha: Vec<Vec<f64>>) -> SortedColumns {
        let mut first = vec![0];
        let mut flat = Vec::new();
        for mut column in alpha {
            column.sort_by(f64::total_cmp);
            flat.extend(column);
            first.push(flat.len());
        }
        let share = (0..flat.len()).map(|i| i as f64).collect();
        let pixel = (0..flat.len() as u32).collect();
        SortedColumns { columns: 3..first.len() + 2, first, alpha: flat, share, pixel }
    }

    proptest! {
        #[test]
        fn moving_gives_what_sorting_gives(
            alpha in prop::collection::vec(prop::collection::vec((-20..20_i32).prop_map(f64::from), 0..6), 1..40),
            stops in prop::collection::vec((0..50_usize, 0..20_usize), 1..20),
        ) {
            let source = columns(alpha);
            let mut moved = Window::new(&source);
            for (start, width) in stops {
                moved.move_to(start..start + width);
                let mut fresh = Window::new(&source);
                fresh.sort(source.points(&(start..start + width)));
                prop_assert_eq!(&moved.alpha, &fresh.alpha);
                prop_assert_eq!(&moved.share, &fresh.share);
                prop_assert_eq!(&moved.order, &fresh.order);
            }
        }
    }
}
