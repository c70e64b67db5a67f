//! The model, and its normal equations on the cells of one map.

use crate::numeric::levenberg::{Normal, Problem};
use crate::scan::{CellMoments, Grid};

/// Number of parameters, held ones included.
pub(super) const N: usize = 7;
/// Parameters of the fit: position (2), amplitude, level about [`Sky::reference_level`], and the inverse covariance
/// `[[mean + difference, cross], [cross, mean - difference]]` of the beam.
///
/// In these, a round beam is nothing special: difference and cross are zero, and chi2 is smooth about them.
pub(super) type Parameters = [f64; N];
pub(super) const X: usize = 0;
pub(super) const Y: usize = 1;
pub(super) const AMPLITUDE: usize = 2;
pub(super) const LEVEL: usize = 3;
pub(super) const MEAN: usize = 4;
pub(super) const DIFFERENCE: usize = 5;
pub(super) const CROSS: usize = 6;

/// FWHM of a Gaussian of unit standard deviation, `2 sqrt(2 ln 2)`.
pub(super) const FWHM: f64 = 2.354_820_045_030_949_3;

/// Where the samples of one cell stand, offset and scatter in the unit of the grid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    mean: [f64; 2],
    covariance: [f64; 3],
}

/// Positions of the cells of all maps.
#[derive(Debug)]
pub(super) struct Cells {
    pub(super) grid: Grid,
    points: Option<Vec<Point>>,
}

impl Cells {
    pub(super) fn new(grid: &Grid, moments: Option<&CellMoments>) -> Self {
        let [x, y] = grid.resolution();
        let n_x = grid.shape()[1];
        let points = moments.map(|moments| {
            let point = |cell: usize| {
                let scatter = moments.scatter(cell);
                let index = [(cell % n_x) as f64, (cell / n_x) as f64];
                let mean = grid.offset_of([0, 1].map(|i| index[i] + scatter.mean[i]));
                let [xx, xy, yy] = scatter.covariance;
                Point { mean, covariance: [xx * x * x, xy * x * y, yy * y * y] }
            };
            (0..grid.n_cells()).map(point).collect()
        });
        Self { grid: *grid, points }
    }
}

/// Cells `x[0]..x[1]`, `y[0]..y[1]` of a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Window {
    x: [usize; 2],
    y: [usize; 2],
}

impl Window {
    fn area(self) -> usize {
        (self.x[1] - self.x[0]) * (self.y[1] - self.y[0])
    }

    fn contains(self, other: Self) -> bool {
        self.x[0] <= other.x[0]
            && self.x[1] >= other.x[1]
            && self.y[0] <= other.y[0]
            && self.y[1] >= other.y[1]
    }
}

/// Sums over the cells to which the beam does not reach: their model is the level alone.
#[derive(Clone, Copy, Debug, Default)]
struct FarSums {
    weight: f64,
    value: f64,
    square: f64,
}

/// One map as the fit sees it: no weight where there is no data.
#[derive(Debug)]
pub(super) struct Sky<'a> {
    pub(super) cells: &'a Cells,
    /// Value less `reference_level`; anything finite where the weight is zero.
    pub(super) value: &'a [f64],
    pub(super) weight: &'a [f64],
    /// Taken off all values, so that sums of squares lose no digits to it.
    pub(super) reference_level: f64,
    /// The largest weight.
    pub(super) highest_weight: f64,
}

/// What may be fitted, and how far it may go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Parameters that stay where they are.
    pub(super) is_held: [bool; N],
    /// Smallest and largest standard deviation of the beam.
    pub(super) sigma: [f64; 2],
    /// Smallest and largest position, `[x, y]` each.
    pub(super) position: [[f64; 2]; 2],
}

impl Bounds {
    /// Number of parameters that are fitted.
    pub(super) fn n_free(&self) -> usize {
        self.is_held.iter().filter(|held| !**held).count()
    }

    fn allow(&self, p: &Parameters) -> bool {
        let [low, high] = eigenvalues(p);
        let is_inside = |i: usize| p[i] >= self.position[0][i] && p[i] <= self.position[1][i];
        let (narrow, wide) = (self.sigma[0], self.sigma[1]);
        low * wide * wide >= 1.0 && high * narrow * narrow <= 1.0 && is_inside(0) && is_inside(1)
    }
}

/// Eigenvalues of the inverse covariance, the smaller one first.
pub(super) fn eigenvalues(p: &Parameters) -> [f64; 2] {
    let r = p[DIFFERENCE].hypot(p[CROSS]);
    [p[MEAN] - r, p[MEAN] + r]
}

/// A Gaussian on a level, fitted to one map.
#[derive(Debug)]
pub(super) struct GaussianProblem<'a> {
    sky: &'a Sky<'a>,
    bounds: Bounds,
    window: Window,
    far: FarSums,
}

/// A cell beyond this many standard deviations holds nothing of a source, even without noise.
const FARTHEST: f64 = 8.0;
/// A cell nearer than this is always looked at.
const NEAREST: f64 = 3.5;
/// Where the beam falls below this fraction of the noise of the best cell, the level is all there is.
const NEGLIGIBLE: f64 = 1e-3;

impl<'a> GaussianProblem<'a> {
    pub(super) fn new(sky: &'a Sky<'a>, bounds: Bounds, start: &Parameters) -> Self {
        let mut problem = Self { sky, bounds, window: Window::default(), far: FarSums::default() };
        problem.look_at(problem.window_for(start, 1));
        problem
    }

    /// The cells to which the beam reaches, and `margin` more on each side.
    fn window_for(&self, p: &Parameters, margin: usize) -> Window {
        let significance = p[AMPLITUDE].abs() * self.sky.highest_weight.sqrt();
        let reach = (2.0 * (significance / NEGLIGIBLE).max(1.0).ln()).sqrt();
        let reach = reach.clamp(NEAREST, FARTHEST);
        let determinant = p[MEAN].powi(2) - p[DIFFERENCE].powi(2) - p[CROSS].powi(2);
        let variance =
            [p[MEAN] - p[DIFFERENCE], p[MEAN] + p[DIFFERENCE]].map(|inverse| inverse / determinant);
        let grid = &self.sky.cells.grid;
        let centre = grid.index_of([p[X], p[Y]]);
        let side = |axis: usize| {
            let n = grid.shape()[1 - axis] as f64;
            // Samples of a cell may stand half a cell from its centre.
            let half = reach * variance[axis].sqrt() / grid.resolution()[axis] + 0.5;
            let half = half + margin as f64;
            // Both lie between 0 and n: the conversion holds them.
            [
                (centre[axis] - half).ceil().clamp(0.0, n) as usize,
                ((centre[axis] + half).floor() + 1.0).clamp(0.0, n) as usize,
            ]
        };
        Window { x: side(0), y: side(1) }
    }

    fn look_at(&mut self, window: Window) {
        self.window = window;
        let [n_y, n_x] = self.sky.cells.grid.shape();
        let mut far = FarSums::default();
        let mut add = |cells: std::ops::Range<usize>| {
            let part = far_sums(&self.sky.value[cells.clone()], &self.sky.weight[cells]);
            far.weight += part.weight;
            far.value += part.value;
            far.square += part.square;
        };
        for row in 0..n_y {
            let cells = row * n_x..(row + 1) * n_x;
            if (window.y[0]..window.y[1]).contains(&row) {
                add(cells.start..cells.start + window.x[0]);
                add(cells.start + window.x[1]..cells.end);
            } else {
                add(cells);
            }
        }
        self.far = far;
    }

    /// Sums over the cells to which the beam reaches.
    fn near(&self, p: &Parameters) -> Normal<N> {
        let grid = &self.sky.cells.grid;
        let n_x = grid.shape()[1];
        let mut sums = Normal::EMPTY;
        for row in self.window.y[0]..self.window.y[1] {
            for column in self.window.x[0]..self.window.x[1] {
                let cell = row * n_x + column;
                let weight = self.sky.weight[cell];
                if weight == 0.0 {
                    continue;
                }
                let (shape, slopes) = match &self.sky.cells.points {
                    None => beam(p, grid.offset_of([column as f64, row as f64])),
                    Some(points) => scattered_beam(p, &points[cell]),
                };
                add_cell(&mut sums, p, weight, self.sky.value[cell], shape, slopes);
            }
        }
        sums
    }
}

fn far_sums(values: &[f64], weights: &[f64]) -> FarSums {
    // Four sums side by side keep the adders busy; their order is fixed.
    let mut parts = [FarSums::default(); 4];
    for (values, weights) in values.chunks(4).zip(weights.chunks(4)) {
        for ((part, value), weight) in parts.iter_mut().zip(values).zip(weights) {
            let product = weight * value;
            part.weight += weight;
            part.value += product;
            part.square += product * value;
        }
    }
    parts.iter().fold(FarSums::default(), |sum, part| FarSums {
        weight: sum.weight + part.weight,
        value: sum.value + part.value,
        square: sum.square + part.square,
    })
}

/// The beam of unit height at a point, and its derivatives by x, y, mean, difference and cross.
#[inline]
fn beam(p: &Parameters, at: [f64; 2]) -> (f64, [f64; 5]) {
    let (x, y) = (at[0] - p[X], at[1] - p[Y]);
    let u = (p[MEAN] + p[DIFFERENCE]) * x + p[CROSS] * y;
    let v = p[CROSS] * x + (p[MEAN] - p[DIFFERENCE]) * y;
    let g = (-0.5 * (u * x + v * y)).exp();
    (g, [g * u, g * v, -0.5 * g * (x * x + y * y), -0.5 * g * (x * x - y * y), -g * x * y])
}

/// Mean fourth power of the samples' positions in a cell along one axis, over the square of their variance, over 4!.
///
/// The ratio is 1 for two samples, 1.5 for three, 1.8 for very many that stand anywhere in the cell. What is known is the
/// variance; 1.5 will do for a term that is small.
const FOURTH: f64 = 1.5 / 24.0;

/// The mean of the beam over samples with some scatter, and its derivatives as in [`beam`].
///
/// With `g` the Gaussian and `C` the covariance of the positions this is `g + 1/2 (g_xx C_xx + 2 g_xy C_xy + g_yy C_yy)`,
/// and the terms of fourth order for samples that stand anywhere in the cell. All derivatives of `g` are `g` times
/// polynomials, so that it is `g * k`; the derivatives by the parameters are those of the product.
#[inline]
fn scattered_beam(p: &Parameters, at: &Point) -> (f64, [f64; 5]) {
    let (x, y) = (at.mean[0] - p[X], at.mean[1] - p[Y]);
    let [xx, xy, yy] = at.covariance;
    let (a, b, c) = (p[MEAN] + p[DIFFERENCE], p[CROSS], p[MEAN] - p[DIFFERENCE]);
    let (u, v) = (a * x + b * y, b * x + c * y);
    let g = (-0.5 * (u * x + v * y)).exp();
    let (u2, v2, uv) = (u * u, v * v, u * v);
    let (x4, y4, x2y2) = (FOURTH * xx * xx, FOURTH * yy * yy, 0.25 * xx * yy);
    let k = 1.0
        + 0.5 * ((u2 - a) * xx + (v2 - c) * yy)
        + (uv - b) * xy
        + x4 * (u2 * (u2 - 6.0 * a) + 3.0 * a * a)
        + y4 * (v2 * (v2 - 6.0 * c) + 3.0 * c * c)
        + x2y2 * ((u2 - a) * (v2 - c) - 4.0 * b * uv + 2.0 * b * b);
    // Derivatives of k by u and v; on the position it depends through these alone.
    let by_u =
        u * xx + v * xy + x4 * 4.0 * u * (u2 - 3.0 * a) + x2y2 * (2.0 * u * (v2 - c) - 4.0 * b * v);
    let by_v =
        u * xy + v * yy + y4 * 4.0 * v * (v2 - 3.0 * c) + x2y2 * (2.0 * v * (u2 - a) - 4.0 * b * u);
    let (k_x, k_y) = (a * by_u + b * by_v, b * by_u + c * by_v);
    let by_a = -0.5 * x * x * k + x * by_u - 0.5 * xx - 6.0 * x4 * (u2 - a) - x2y2 * (v2 - c);
    let by_b = -x * y * k + y * by_u + x * by_v - xy - 4.0 * x2y2 * (uv - b);
    let by_c = -0.5 * y * y * k + y * by_v - 0.5 * yy - 6.0 * y4 * (v2 - c) - x2y2 * (u2 - a);
    (g * k, [g * (u * k - k_x), g * (v * k - k_y), g * (by_a + by_c), g * (by_a - by_c), g * by_b])
}

#[inline]
fn add_cell(
    sums: &mut Normal<N>,
    p: &Parameters,
    weight: f64,
    value: f64,
    shape: f64,
    slopes: [f64; 5],
) {
    let [x, y, mean, difference, cross] = slopes.map(|slope| p[AMPLITUDE] * slope);
    let derivative = [x, y, shape, 1.0, mean, difference, cross];
    let residual = value - p[LEVEL] - p[AMPLITUDE] * shape;
    for i in 0..N {
        let weighted = weight * derivative[i];
        for j in 0..=i {
            sums.matrix[i][j] += weighted * derivative[j];
        }
        sums.gradient[i] += weighted * residual;
    }
    sums.chi2 += weight * residual * residual;
}

impl Problem<N> for GaussianProblem<'_> {
    fn normal(&mut self, p: &Parameters) -> Option<Normal<N>> {
        if !self.bounds.allow(p) {
            return None;
        }
        let mut sums = self.near(p);
        let FarSums { weight, value, square } = self.far;
        sums.matrix[LEVEL][LEVEL] += weight;
        sums.gradient[LEVEL] += value - p[LEVEL] * weight;
        sums.chi2 += (square - p[LEVEL] * (2.0 * value - p[LEVEL] * weight)).max(0.0);
        for parameter in (0..N).filter(|&i| self.bounds.is_held[i]) {
            sums.hold(parameter);
        }
        Some(sums)
    }

    fn moved(&mut self, p: &Parameters) -> Option<Normal<N>> {
        let needed = self.window_for(p, 0);
        if self.window.contains(needed) && self.window.area() <= 2 * needed.area().max(64) {
            return None;
        }
        self.look_at(self.window_for(p, 1));
        self.normal(p)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    /// The derivative from differences of fourth order.
    fn derivative(p: &Parameters, point: &Point, parameter: usize) -> f64 {
        let step = if parameter < 2 { 1e-4 } else { 1e-6 };
        let at = |sign: f64| {
            let mut moved = *p;
            moved[parameter] += sign * step;
            scattered_beam(&moved, point).0
        };
        (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * step)
    }

    proptest! {
        #[test]
        fn the_derivatives_are_those_of_the_model(
            centre in prop::array::uniform2(-3.0..3.0_f64),
            beam_parameters in (0.05..0.4_f64, -0.5..0.5_f64, -0.5..0.5_f64),
            mean in prop::array::uniform2(-4.0..4.0_f64),
            scatter in (0.0..0.3_f64, -1.0..1.0_f64, 0.0..0.3_f64),
        ) {
            let (m, d, e) = beam_parameters;
            let p = [centre[0], centre[1], 1.0, 0.0, m, m * d, m * e];
            let covariance = [scatter.0, scatter.1 * (scatter.0 * scatter.2).sqrt(), scatter.2];
            let point = Point { mean, covariance };
            let (_, slopes) = scattered_beam(&p, &point);
            for (slope, parameter) in slopes.into_iter().zip([X, Y, MEAN, DIFFERENCE, CROSS]) {
                assert_relative_eq!(
                    slope, derivative(&p, &point, parameter), epsilon = 1e-7, max_relative = 1e-7
                );
            }
        }

        #[test]
        fn without_scatter_it_is_the_plain_beam(
            mean in prop::array::uniform2(-4.0..4.0_f64), d in -0.1..0.1_f64, e in -0.1..0.1_f64,
        ) {
            let p = [0.3, -0.2, 1.0, 0.0, 0.2, d, e];
            let (plain, plain_slopes) = beam(&p, mean);
            let (shape, slopes) = scattered_beam(&p, &Point { mean, covariance: [0.0; 3] });
            assert_relative_eq!(plain, shape, max_relative = 1e-14);
            for (plain, slope) in plain_slopes.into_iter().zip(slopes) {
                assert_relative_eq!(plain, slope, epsilon = 1e-14);
            }
        }
    }

    #[test]
    fn the_mean_over_scattered_samples_is_right() {
        // Samples on a square of 0.5 sigma: the mean of the beam over them, beside the model.
        let p = [0.0, 0.0, 1.0, 0.0, 1.0, 0.2, 0.1];
        let mean = [0.7, -0.4];
        let offsets: Vec<[f64; 2]> = [-0.2, -0.1, 0.0, 0.1, 0.2]
            .iter()
            .flat_map(|&x| [-0.2, 0.0, 0.2].map(|y| [x, y]))
            .collect();
        let n = offsets.len() as f64;
        let moment = |f: &dyn Fn([f64; 2]) -> f64| offsets.iter().map(|&o| f(o)).sum::<f64>() / n;
        let covariance =
            [moment(&|[x, _]| x * x), moment(&|[x, y]| x * y), moment(&|[_, y]| y * y)];
        let exact = moment(&|[x, y]| beam(&p, [mean[0] + x, mean[1] + y]).0);
        let (corrected, _) = scattered_beam(&p, &Point { mean, covariance });
        let (centre, _) = beam(&p, mean);
        assert!((corrected - exact).abs() < 0.002 * (centre - exact).abs());
    }

    /// All cells, each with its own exponential.
    fn slowly(sky: &Sky<'_>, p: &Parameters) -> Normal<N> {
        let mut sums = Normal::EMPTY;
        let n_x = sky.cells.grid.shape()[1];
        for (cell, (&value, &weight)) in sky.value.iter().zip(sky.weight).enumerate() {
            let at = sky.cells.grid.offset_of([(cell % n_x) as f64, (cell / n_x) as f64]);
            let (shape, slopes) = beam(p, at);
            add_cell(&mut sums, p, weight, value, shape, slopes);
        }
        sums
    }

    proptest! {
        #[test]
        fn far_cells_need_no_exponential(
            x in -30.0..30.0_f64, y in -20.0..20.0_f64, fwhm in 4.0..12.0_f64, amplitude in -50.0..50.0_f64,
        ) {
            let grid = Grid::new([41, 53], [2.0, 1.5], [26.0, 20.0]).unwrap();
            let cells = Cells::new(&grid, None);
            let wave = |cell: usize, k: f64| (cell as f64 * k).sin();
            let value: Vec<f64> = (0..grid.n_cells()).map(|cell| wave(cell, 1.3)).collect();
            let weight: Vec<f64> =
                (0..grid.n_cells()).map(|cell| (wave(cell, 0.7) + 0.6).max(0.0)).collect();
            let sky = Sky {
                cells: &cells, value: &value, weight: &weight,
                reference_level: 0.0, highest_weight: 1.6,
            };
            let inverse = (FWHM / fwhm).powi(2);
            let p = [x, y, amplitude, 0.3, inverse, 0.2 * inverse, -0.1 * inverse];
            let bounds = Bounds {
                is_held: [false; N], sigma: [0.01, 100.0], position: [[-100.0; 2], [100.0; 2]],
            };
            let normal = GaussianProblem::new(&sky, bounds, &p).normal(&p).unwrap();
            let expected = slowly(&sky, &p);
            // What is left out is below a thousandth of the noise of a cell.
            prop_assert!((normal.chi2 - expected.chi2).abs() < 0.3);
            for i in 0..N {
                let error = expected.matrix[i][i].sqrt();
                prop_assert!((normal.gradient[i] - expected.gradient[i]).abs() < 0.02 * error);
                for j in 0..=i {
                    let scale = error * expected.matrix[j][j].sqrt();
                    prop_assert!((normal.matrix[i][j] - expected.matrix[i][j]).abs() < 0.01 * scale);
                }
            }
        }
    }
}
