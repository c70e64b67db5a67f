//! The profile of a source in one column: its integral, the level below it, and what both are made of.

use crate::numeric::bspline::ORDER;
use crate::numeric::normal::basis_at;

/// Nodes of the Gauss-Legendre rule with two points, which is exact for cubics, in units of half an interval.
const NODE: f64 = 0.577_350_269_189_625_8;
/// A side of the source with less than so many pixels says nothing about the background.
const FEWEST: f64 = 2.0;

/// The pixels of a column: alpha, NaN for those without a model, and how much of each is the source's.
#[derive(Clone, Debug)]
pub(super) struct Pixels<'a> {
    pub(super) rows: &'a [u32],
    pub(super) alpha: &'a [f64],
    /// The spline at each pixel, NaN where there is none.
    pub(super) fit: &'a [f64],
    /// The four basis functions at each.
    pub(super) basis: &'a [(usize, [f64; ORDER])],
    /// Knots of the spline, and where it is valid.
    pub(super) knots: &'a [f64],
    pub(super) bounds: (f64, f64),
}

impl Pixels<'_> {
    fn nothing(&self) -> Sum {
        Sum { of_basis: vec![0.0; self.knots.len() - ORDER], value: 0.0 }
    }

    /// Where the spline is valid and the column has no pixels: below, and above. A slice that ends with the light of the
    /// detector has columns with a part of it only.
    fn gaps(&self, widths: &[f64], range: (f64, f64)) -> [(f64, f64); 2] {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (j, fit) in self.fit.iter().enumerate() {
            if fit.is_finite() {
                low = low.min(self.alpha[j] - 0.5 * widths[j]);
                high = high.max(self.alpha[j] + 0.5 * widths[j]);
            }
        }
        let ends = (self.bounds.0.max(range.0), self.bounds.1.min(range.1));
        [(ends.0, low.min(ends.1)), (high.max(ends.0), ends.1)]
    }

    /// The integral over a range, of the basis functions and of the spline with coefficients `c`.
    fn integral(&self, (low, high): (f64, f64), c: &[f64]) -> Sum {
        let mut sum = self.nothing();
        let first = self.knots.partition_point(|&knot| knot <= low);
        let last = self.knots.partition_point(|&knot| knot < high).max(first);
        let mut from = low;
        for to in self.knots[first..last].iter().copied().chain([high]) {
            let (middle, half) = (from.midpoint(to), 0.5 * (to - from));
            from = to;
            for node in [-NODE, NODE] {
                let (first, basis) = basis_at(self.knots, middle + half * node);
                for (l, b) in basis.iter().enumerate() {
                    sum.of_basis[first + l] += half * b;
                    sum.value += half * b * c[first + l];
                }
            }
        }
        sum
    }

    /// Half the distance between the neighbours of each pixel; `usual` where it has none.
    fn widths(&self, usual: f64) -> Vec<f64> {
        let step = |i: usize, j: usize| {
            let is_next = j < self.rows.len() && self.rows[j] == self.rows[i] + 1;
            let step = if is_next { (self.alpha[j] - self.alpha[i]).abs() } else { f64::NAN };
            (step > 0.0).then_some(step)
        };
        let width = |j: usize| match (j.checked_sub(1).and_then(|i| step(i, j)), step(j, j + 1)) {
            (Some(a), Some(b)) => 0.5 * (a + b),
            (Some(a), None) | (None, Some(a)) => a,
            (None, None) => usual,
        };
        (0..self.alpha.len()).map(width).collect()
    }

    /// The sum of the basis functions at all pixels, each taken so often; and that of the spline.
    fn gather(&self, weights: &[f64]) -> Sum {
        let mut sum = self.nothing();
        for (j, &weight) in weights.iter().enumerate() {
            if weight != 0.0 {
                let (first, basis) = self.basis[j];
                for (l, b) in basis.iter().enumerate() {
                    sum.of_basis[first + l] += weight * b;
                }
                sum.value += weight * self.fit[j];
            }
        }
        sum
    }
}

/// Something linear in the coefficients of the spline: what it takes of each, and what it is.
#[derive(Clone, Debug)]
pub(super) struct Sum {
    pub(super) of_basis: Vec<f64>,
    pub(super) value: f64,
}

impl Sum {
    fn add(&mut self, other: &Sum, factor: f64) {
        for (a, b) in self.of_basis.iter_mut().zip(&other.of_basis) {
            *a += factor * b;
        }
        self.value += factor * other.value;
    }
}

/// Background on one side of the source: its mean, and where that holds.
#[derive(Clone, Debug)]
struct Side {
    alpha: f64,
    mean: Sum,
}

/// The profile of the source.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    /// How much of each pixel belongs to the source, from zero to one.
    pub(super) share: Vec<f64>,
    /// Integral of the spline less its level over the source, in pixels.
    pub(super) sum: Sum,
    /// Mean alpha of the source.
    pub(super) centre: f64,
    /// What of it lies where the column has no pixels.
    pub(super) beyond: f64,
    range: (f64, f64),
    /// Below, and above; none if no level is taken off.
    sides: Vec<Side>,
    n: usize,
}

impl Profile {
    /// `usual` is the usual width of a pixel. Where the flux is an amount per pixel, each pixel counts once; otherwise as
    /// often as it is wider than usual. `None` if nothing is left of the source, or of what lies beyond.
    ///
    /// `c` are the coefficients of the spline.
    pub(super) fn new(
        pixels: &Pixels<'_>,
        c: &[f64],
        source: Option<(f64, f64)>,
        usual: f64,
        is_density: bool,
    ) -> Option<Self> {
        let range = source.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        let widths = pixels.widths(usual);
        let share: Vec<f64> = (0..widths.len())
            .map(|j| {
                if !pixels.fit[j].is_finite() {
                    return 0.0;
                }
                let (alpha, half) = (pixels.alpha[j], 0.5 * widths[j]);
                let inside = range.1.min(alpha + half) - range.0.max(alpha - half);
                (inside / widths[j]).clamp(0.0, 1.0)
            })
            .collect();
        let weight = |j: usize| if is_density { share[j] } else { share[j] * widths[j] / usual };
        let weights: Vec<f64> = (0..share.len()).map(weight).collect();
        let mut total: f64 = weights.iter().sum();
        if total.is_nan() || total <= 0.0 {
            return None;
        }
        let moment = |weights: &[f64]| -> f64 {
            let seen = weights.iter().zip(pixels.alpha).filter(|(w, _)| **w != 0.0);
            seen.map(|(w, alpha)| w * alpha).sum()
        };
        let (mut sum, mut first_moment) = (pixels.gather(&weights), moment(&weights));
        let gaps = pixels.gaps(&widths, range).map(|gap| {
            let length = (gap.1 - gap.0).max(0.0) / usual;
            let inside = if length > 0.0 { pixels.integral(gap, c) } else { pixels.nothing() };
            sum.add(&inside, 1.0 / usual);
            total += length;
            let middle = if length > 0.0 { gap.0.midpoint(gap.1) } else { 0.0 };
            first_moment += length * middle;
            (middle, length, inside.value / usual)
        });
        let centre = first_moment / total;
        let (sides, beyond, n) = (Vec::new(), 0.0, sum.of_basis.len());
        let mut profile = Self { share, sum, centre, beyond, range, sides, n };
        profile.beyond = gaps.iter().map(|(_, _, light)| light.max(0.0)).sum();
        if source.is_none() {
            return Some(profile);
        }
        for is_below in [true, false] {
            let weights: Vec<f64> = (0..widths.len())
                .map(|j| {
                    let is_here =
                        pixels.fit[j].is_finite() && (pixels.alpha[j] < centre) == is_below;
                    if is_here { 1.0 - profile.share[j] } else { 0.0 }
                })
                .collect();
            let total: f64 = weights.iter().sum();
            if total >= FEWEST {
                let weights: Vec<f64> = weights.iter().map(|w| w / total).collect();
                let (alpha, mean) = (moment(&weights), pixels.gather(&weights));
                profile.sides.push(Side { alpha, mean });
            }
        }
        if profile.sides.is_empty() {
            return None;
        }
        let level = profile.level(centre);
        profile.sum.add(&level, -total);
        let above = |&(middle, length, light): &(f64, f64, f64)| {
            (light - length * profile.level_value(middle)).max(0.0)
        };
        profile.beyond = gaps.iter().map(above).sum();
        Some(profile)
    }

    /// Whether alpha lies within the source.
    pub(super) fn contains(&self, alpha: f64) -> bool {
        self.range.0 <= alpha && alpha <= self.range.1
    }

    /// The level at an alpha: on the straight line through the means of both sides, or that of the only one. Zero if none
    /// is taken off.
    pub(super) fn level(&self, alpha: f64) -> Sum {
        let mut level = Sum { of_basis: vec![0.0; self.n], value: 0.0 };
        for (weight, side) in self.weights_at(alpha).into_iter().zip(&self.sides) {
            level.add(&side.mean, weight);
        }
        level
    }

    /// The value of the level alone.
    pub(super) fn level_value(&self, alpha: f64) -> f64 {
        let weights = self.weights_at(alpha);
        weights.into_iter().zip(&self.sides).map(|(weight, side)| weight * side.mean.value).sum()
    }

    fn weights_at(&self, alpha: f64) -> [f64; 2] {
        match &self.sides[..] {
            [below, above] => {
                let share = (alpha - below.alpha) / (above.alpha - below.alpha);
                [1.0 - share, share]
            }
            _ => [1.0, 0.0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::BSpline;
    use crate::numeric::normal::{basis_at, uniform_knots};

    /// A spline that bends, with slope and level beyond, and 30 pixels numbered against alpha.
    struct Column {
        spline: BSpline,
        rows: Vec<u32>,
        alpha: Vec<f64>,
        fit: Vec<f64>,
        basis: Vec<(usize, [f64; ORDER])>,
    }

    fn column(bump: f64, slope: f64) -> Column {
        let knots = uniform_knots(-8.0, 8.0, 32);
        let c: Vec<f64> = (0..knots.len() - ORDER)
            .map(|i| {
                // Greville abscissae: a straight line comes out as one.
                let x = (knots[i + 1] + knots[i + 2] + knots[i + 3]) / 3.0;
                2.0 + slope * x + bump * (-0.5 * (x - 0.3).powi(2)).exp()
            })
            .collect();
        let spline = BSpline::new(knots, c).unwrap();
        let alpha: Vec<f64> =
            (0..30).map(|i| 7.4 - 0.5 * f64::from(i) * (1.0 + 1e-3 * f64::from(i))).collect();
        let fit = alpha.iter().map(|&a| spline.eval(a)).collect();
        let basis = alpha.iter().map(|&a| basis_at(spline.knots(), a)).collect();
        Column { rows: (3..33).collect(), alpha, fit, basis, spline }
    }

    impl Column {
        fn pixels(&self) -> Pixels<'_> {
            self.pixels_within((self.alpha[self.alpha.len() - 1], self.alpha[0]))
        }

        fn pixels_within(&self, bounds: (f64, f64)) -> Pixels<'_> {
            Pixels {
                rows: &self.rows,
                alpha: &self.alpha,
                fit: &self.fit,
                basis: &self.basis,
                knots: self.spline.knots(),
                bounds,
            }
        }

        fn profile(&self, source: Option<(f64, f64)>, is_density: bool) -> Option<Profile> {
            Profile::new(&self.pixels(), self.spline.coefficients(), source, 0.5, is_density)
        }

        fn value(&self, sum: &Sum) -> f64 {
            sum.of_basis.iter().zip(self.spline.coefficients()).map(|(a, b)| a * b).sum()
        }
    }

    #[test]
    fn all_of_a_slice_is_the_sum_of_its_pixels() {
        let column = column(9.0, 0.1);
        let profile = column.profile(None, true).unwrap();
        assert!((profile.sum.value - column.fit.iter().sum::<f64>()).abs() < 1e-12);
        assert!((column.value(&profile.sum) - profile.sum.value).abs() < 1e-10);
        assert!(profile.level_value(0.0).abs() < 1e-15);
        // Of a surface brightness it is the integral over alpha.
        let profile = column.profile(None, false).unwrap();
        let n = 100_000;
        let (low, high) = (column.alpha[29] - 0.27, column.alpha[0] + 0.25);
        let step = (high - low) / f64::from(n);
        let integral: f64 = (0..n)
            .map(|i| low + step * (f64::from(i) + 0.5))
            .map(|alpha| step / 0.5 * column.spline.eval(alpha))
            .sum();
        assert!((profile.sum.value / integral - 1.0).abs() < 2e-3);
    }

    #[test]
    fn a_sloping_background_is_no_source() {
        for source in [(-3.0, 3.3), (-4.12, 1.0), (-1.0, 5.9)] {
            for is_density in [true, false] {
                let flat = column(0.0, 0.1);
                let profile = flat.profile(Some(source), is_density).unwrap();
                assert!(profile.sum.value.abs() < 1e-10, "{}", profile.sum.value);
                assert!((profile.level_value(0.3) - 2.03).abs() < 1e-10);
                assert!((flat.value(&profile.level(0.3)) - 2.03).abs() < 1e-10);
                assert!(profile.centre > source.0 && profile.centre < source.1);
            }
        }
        let column = column(9.0, 0.1);
        let profile = column.profile(Some((-4.0, 4.6)), false).unwrap();
        let other = column.profile(Some((-4.1, 4.7)), false).unwrap();
        assert!((profile.sum.value / (9.0 * 2.5066 / 0.5) - 1.0).abs() < 0.02);
        assert!((profile.sum.value - other.sum.value).abs() < 0.02);
    }

    #[test]
    fn without_pixels_there_is_no_profile() {
        let column = column(9.0, 0.0);
        assert!(column.profile(Some((20.0, 30.0)), true).is_none());
        assert!(column.profile(Some((-7.5, 7.5)), true).is_none());
        // One side is enough.
        assert!(column.profile(Some((-1.0, 9.0)), true).is_some());
        assert!(!column.profile(None, true).unwrap().contains(f64::NAN));
        let (pixels, fit) = (column.pixels(), vec![f64::NAN; 30]);
        let c = column.spline.coefficients();
        assert!(Profile::new(&Pixels { fit: &fit, ..pixels }, c, None, 0.5, true).is_none());
    }

    #[test]
    fn what_lies_where_a_column_has_no_pixels_counts() {
        let mut column = column(9.0, 0.1);
        let whole = column.profile(Some((-4.0, 4.6)), true).unwrap();
        assert!(whole.beyond.abs() < 1e-12);
        let bounds = column.pixels().bounds;
        for values in [&mut column.alpha, &mut column.fit] {
            values.truncate(15);
        }
        column.rows.truncate(15);
        column.basis.truncate(15);
        // Half of it is left, with the background above.
        let pixels = column.pixels_within(bounds);
        let c = column.spline.coefficients();
        let half = Profile::new(&pixels, c, Some((-4.0, 4.6)), 0.5, true).unwrap();
        assert!(half.beyond > 0.2 * whole.sum.value);
        assert!((column.value(&half.sum) - half.sum.value).abs() < 1e-9);
        let level = half.level_value(0.0) - whole.level_value(0.0);
        let missing = half.sum.value + 8.6 / 0.5 * level - whole.sum.value;
        assert!(missing.abs() < 0.05 * whole.sum.value, "{missing}");
    }
}
