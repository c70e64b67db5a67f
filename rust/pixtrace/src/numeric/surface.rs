//! A spline surface through the values of a regular grid, with knots where the values need them.
//!
//! This is the surface spline of Dierckx (Curve and Surface Fitting with Splines, 1993, chapter 9) without smoothing, for
//! points that fill a rectangle. It starts from a polynomial; as long as the surface does not pass through all values, a
//! knot is put into the interval, along either axis, in which the squares of the residuals add up to most, at the mean
//! position of the points there with these squares as weights.
//!
//! On a full rectangle the least-squares problem of a tensor product is one problem for each axis: coefficients are
//! `P_y Z P_x^T` with the pseudo-inverses of the two collocation matrices, and the surface passes through all values
//! exactly if both of these have as many independent rows as there are points.

use super::pseudo_inverse::{Matrix, pseudo_inverse};

/// The highest degree along an axis.
pub const MAX_DEGREE: usize = 5;
/// A knot this much nearer to one end of its interval than to the other is not added.
const LOPSIDED: f64 = 10.0;
/// Relative rounding of the surface.
const ROUNDING: f64 = 1e-13;

/// One axis of the grid, with points at 0, 1, 2, ...
#[derive(Clone, Debug)]
struct Axis {
    degree: usize,
    n_points: usize,
    /// All knots, those at the ends `degree + 1` times.
    knots: Vec<f64>,
    collocation: Matrix,
    inverse: Matrix,
    rank: usize,
}

impl Axis {
    fn new(n_points: usize, degree: usize) -> Self {
        let last = (n_points - 1) as f64;
        let mut knots = vec![0.0; degree + 1];
        knots.resize(2 * (degree + 1), last);
        let mut axis = Self {
            degree,
            n_points,
            knots,
            collocation: Matrix::default(),
            inverse: Matrix::default(),
            rank: 0,
        };
        axis.update();
        axis
    }

    fn n_coefficients(&self) -> usize {
        self.knots.len() - self.degree - 1
    }

    fn update(&mut self) {
        let mut collocation = Matrix::zeros(self.n_points, self.n_coefficients());
        for point in 0..self.n_points {
            let row = self.basis(point as f64);
            let n = row.len();
            collocation.elements[point * n..][..n].copy_from_slice(&row);
        }
        (self.inverse, self.rank) = pseudo_inverse(&collocation);
        self.collocation = collocation;
    }

    /// Number of the interval between knots in which `x` lies, `degree` for the first one.
    fn interval(&self, x: f64) -> usize {
        let last = self.n_coefficients() - 1;
        (self.degree..last).find(|&i| x < self.knots[i + 1]).unwrap_or(last)
    }

    /// All B-splines at `x`.
    fn basis(&self, x: f64) -> Vec<f64> {
        let (k, t) = (self.degree, &self.knots);
        let interval = self.interval(x);
        let mut all = vec![0.0; self.n_coefficients()];
        // The B-splines of degree d that are not zero at x, from those of degree d - 1.
        all[interval] = 1.0;
        for d in 1..=k {
            for i in interval - d..=interval {
                let rise =
                    if i > interval - d { all[i] * ratio(x - t[i], t[i + d] - t[i]) } else { 0.0 };
                let fall = if i < interval {
                    all[i + 1] * ratio(t[i + d + 1] - x, t[i + d + 1] - t[i + 1])
                } else {
                    0.0
                };
                all[i] = rise + fall;
            }
        }
        all
    }

    /// Adds a knot within an interval, unless it stands too near to one of its ends.
    fn add(&mut self, interval: usize, knot: f64) -> bool {
        let below = knot - self.knots[interval];
        let above = self.knots[interval + 1] - knot;
        if above > LOPSIDED * below || below > LOPSIDED * above {
            return false;
        }
        self.knots.insert(interval + 1, knot);
        self.update();
        true
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Sums over the points in one interval of one axis.
#[derive(Clone, Copy, Debug, Default)]
struct Strip {
    square: f64,
    moment: f64,
}

/// Value at `at` (`[y, x]`, in points from the first one) of the surface through `values`, `shape` `[n_y, n_x]` in rows.
///
/// `degrees` are those along y and x. Beyond the grid the value at its edge is returned. `None` if there are fewer points
/// along an axis than its degree needs, a degree is above [`MAX_DEGREE`], or a value or a coordinate is not finite.
#[must_use]
pub fn interpolate(
    values: &[f64],
    shape: [usize; 2],
    degrees: [usize; 2],
    at: [f64; 2],
) -> Option<f64> {
    let is_possible = (0..2).all(|i| shape[i] > degrees[i] && degrees[i] <= MAX_DEGREE);
    let is_finite = values.iter().chain(&at).all(|number| number.is_finite());
    if !is_possible || !is_finite || values.len() != shape[0] * shape[1] {
        return None;
    }
    let mut axes = [Axis::new(shape[0], degrees[0]), Axis::new(shape[1], degrees[1])];
    let values = Matrix { n_rows: shape[0], n_columns: shape[1], elements: values.to_vec() };
    let n_values = values.elements.len();
    let most_knots = 3 * (n_values / 2).isqrt();
    let coefficients = loop {
        let [y, x] = &axes;
        let coefficients =
            y.inverse.times_transposed(&values.transposed()).times_transposed(&x.inverse);
        let passes_all = y.rank == y.n_points && x.rank == x.n_points;
        if passes_all || y.n_coefficients() * x.n_coefficients() > n_values {
            break coefficients;
        }
        let surface = (y.collocation.times_transposed(&coefficients.transposed()))
            .times_transposed(&x.collocation);
        let square: f64 = values.elements.iter().map(|value| value * value).sum();
        let residuals = values.elements.iter().zip(&surface.elements);
        let residual: f64 = residuals.map(|(value, found)| (value - found).powi(2)).sum();
        // What is left of a polynomial is rounding, and no place for knots.
        if residual <= ROUNDING * ROUNDING * square {
            break coefficients;
        }
        if !add_knot(&mut axes, &values, &surface, most_knots) {
            break coefficients;
        }
    };
    let [y, x] = [0, 1].map(|i| axes[i].basis(at[i].clamp(0.0, (shape[i] - 1) as f64)));
    let rows = y.iter().enumerate().map(|(row, weight)| {
        weight * coefficients.row(row).iter().zip(&x).map(|(c, b)| c * b).sum::<f64>()
    });
    Some(rows.sum())
}

/// Adds a knot where the residuals are largest, or where they are next to it if it cannot stand there.
fn add_knot(axes: &mut [Axis; 2], values: &Matrix, surface: &Matrix, most_knots: usize) -> bool {
    let mut strips = [0, 1].map(|i| vec![Strip::default(); axes[i].knots.len()]);
    let intervals = [0, 1]
        .map(|i| (0..axes[i].n_points).map(|p| axes[i].interval(p as f64)).collect::<Vec<_>>());
    for (i, (value, found)) in values.elements.iter().zip(&surface.elements).enumerate() {
        let point = [i / values.n_columns, i % values.n_columns];
        let square = (value - found).powi(2);
        for axis in 0..2 {
            let strip = &mut strips[axis][intervals[axis][point[axis]]];
            strip.square += square;
            strip.moment += square * point[axis] as f64;
        }
    }
    loop {
        let mut largest = (0.0, None);
        // The axis that is searched first wins a draw: x.
        for axis in [1, 0] {
            if axes[axis].knots.len() >= most_knots.max(2 * axes[axis].degree + 3) {
                continue;
            }
            for (interval, strip) in strips[axis].iter().enumerate() {
                if strip.square > largest.0 {
                    largest = (strip.square, Some((axis, interval)));
                }
            }
        }
        let (_, Some((axis, interval))) = largest else { return false };
        let Strip { square, moment } = std::mem::take(&mut strips[axis][interval]);
        if axes[axis].add(interval, moment / square) {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    #[test]
    fn polynomials_of_its_degree_come_back() {
        let polynomial = |y: f64, x: f64| 1.0 - 2.0 * x + 0.3 * y * y * x - 0.05 * x.powi(3) * y;
        let values: Vec<f64> =
            (0..9 * 8).map(|i| polynomial(f64::from(i / 8), f64::from(i % 8))).collect();
        for at in [[0.0, 0.0], [3.7, 2.2], [8.0, 6.9], [1.5, 7.0]] {
            let value = interpolate(&values, [9, 8], [3, 3], at).unwrap();
            assert_relative_eq!(value, polynomial(at[0], at[1]), max_relative = 1e-10);
        }
    }

    /// What FITPACK makes of the same values (scipy 1.17, `bisplrep` with `s=0` and `eps=1e-8`): shape, degree, and the
    /// values at x = 3.3, y = 4.6 and at x = `n_x` - 1.25, y = 0.4.
    #[expect(clippy::unreadable_literal, reason = "a table of numbers")]
    const FITPACK: [([usize; 2], usize, [f64; 2]); 18] = [
        ([9, 9], 1, [16.565962769, 1.585001688]),
        ([9, 9], 2, [16.356066752, 1.677777248]),
        ([9, 9], 3, [16.248260169, 1.941323432]),
        ([9, 9], 4, [16.473152807, 2.236253824]),
        ([9, 8], 1, [16.236747526, 2.848393797]),
        ([9, 8], 2, [16.790708503, 2.936131833]),
        ([9, 8], 3, [16.181689155, 2.939853681]),
        ([8, 9], 1, [15.896570925, 1.535056830]),
        ([8, 9], 2, [17.065167656, 1.653742646]),
        ([8, 9], 3, [16.449640442, 1.911209564]),
        ([7, 7], 1, [16.445426052, 4.358268770]),
        ([7, 7], 2, [16.685743384, 4.409665599]),
        ([7, 7], 3, [17.455688768, 4.225424355]),
        ([13, 13], 1, [16.885556478, 0.057378051]),
        ([13, 13], 2, [16.132579033, 0.420520899]),
        ([13, 13], 3, [16.334026548, 0.748185378]),
        ([13, 13], 4, [16.395363497, 2.263306479]),
        ([13, 13], 5, [16.964098504, 1.555949856]),
    ];

    #[test]
    fn knots_stand_where_fitpack_puts_them() {
        let value = |y: f64, x: f64| {
            let beam = 20.0 * (-((x - 4.2).powi(2) + (y - 3.7).powi(2)) / 9.0).exp();
            beam + (12.9898 * x + 78.233 * y + 1.0).sin()
        };
        for (shape, degree, expected) in FITPACK {
            let [n_y, n_x] = shape;
            let values: Vec<f64> =
                (0..n_y * n_x).map(|i| value((i / n_x) as f64, (i % n_x) as f64)).collect();
            // The first coordinate is x.
            let points = [[4.6, 3.3], [0.4, n_x as f64 - 1.25]];
            for (at, expected) in points.into_iter().zip(expected) {
                let found = interpolate(&values, shape, [degree; 2], at).unwrap();
                assert_relative_eq!(found, expected, max_relative = 1e-6);
            }
        }
    }

    #[test]
    fn what_cannot_be_interpolated() {
        let ones = [1.0; 12];
        assert_eq!(interpolate(&ones, [3, 4], [3, 3], [1.0, 1.0]), None);
        assert_eq!(interpolate(&ones, [3, 4], [2, 6], [1.0, 1.0]), None);
        assert_eq!(interpolate(&[f64::NAN; 12], [3, 4], [2, 3], [1.0, 1.0]), None);
        assert_eq!(interpolate(&ones, [3, 4], [2, 3], [f64::NAN, 1.0]), None);
        // Beyond the edge the edge goes on.
        let slope: Vec<f64> = (0..12).map(|i| f64::from(i % 4)).collect();
        assert_relative_eq!(interpolate(&slope, [3, 4], [1, 1], [5.0, 9.0]).unwrap(), 3.0);
        assert_relative_eq!(interpolate(&slope, [3, 4], [0, 0], [1.2, 1.9]).unwrap(), 2.0);
    }

    proptest! {
        #[test]
        fn it_passes_through_the_values(
            values in prop::collection::vec(-1.0..1.0_f64, 81), degree in 1..4_usize,
            point in (0..9_usize, 0..9_usize),
        ) {
            // Sometimes the knots cannot be placed so that it does: then it is nowhere far.
            let at = [point.0 as f64, point.1 as f64];
            let value = interpolate(&values, [9, 9], [degree; 2], at).unwrap();
            prop_assert!((value - values[point.0 * 9 + point.1]).abs() < 2.0);
        }

        #[test]
        fn it_is_linear_in_the_scale(
            values in prop::collection::vec(-1.0..1.0_f64, 49), scale in 0.1..10.0_f64,
            at in prop::array::uniform2(0.0..6.0_f64),
        ) {
            let scaled: Vec<f64> = values.iter().map(|value| value * scale).collect();
            let one = interpolate(&values, [7, 7], [3, 3], at).unwrap();
            let other = interpolate(&scaled, [7, 7], [3, 3], at).unwrap();
            prop_assert!((one * scale - other).abs() < 1e-6 * (1.0 + other.abs()) * scale);
        }
    }
}
