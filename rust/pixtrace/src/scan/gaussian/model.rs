//! The normal equations of a Gaussian on a level, on the cells of one map.

use super::beam::{
    AMPLITUDE, CROSS, DIFFERENCE, LEVEL, MEAN, N, Parameters, X, Y, beam, distance_squared,
    eigenvalues, scattered_beam, variances,
};
use super::sky::{Bounds, Point, Sky};
use crate::numeric::levenberg::{Normal, Problem};

/// Number of cells that are worked on side by side.
pub(super) const CHUNK: usize = 64;

/// Cells side by side, to which the beam reaches; the last ones have no weight and fill up the chunk.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) x: [f64; CHUNK],
    pub(super) y: [f64; CHUNK],
    pub(super) value: [f64; CHUNK],
    pub(super) weight: [f64; CHUNK],
    scatter: [[f64; CHUNK]; 3],
}

impl Chunk {
    pub(super) const EMPTY: Self = Self {
        x: [0.0; CHUNK],
        y: [0.0; CHUNK],
        value: [0.0; CHUNK],
        weight: [0.0; CHUNK],
        scatter: [[0.0; CHUNK]; 3],
    };
}

/// Sums over the cells to which the beam does not reach: their model is the level alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FarSums {
    pub(super) weight: f64,
    pub(super) value: f64,
    pub(super) square: f64,
}

/// The normal equations of cells near and far.
pub(super) fn normal(
    p: &Parameters,
    near: &[Chunk],
    has_scatter: bool,
    far: FarSums,
    bounds: &Bounds,
) -> Option<Normal<N>> {
    if !bounds.allow(p) {
        return None;
    }
    let mut sums = Normal::EMPTY;
    for chunk in near {
        add_near(&mut sums, p, chunk, has_scatter);
    }
    let FarSums { weight, value, square } = far;
    sums.matrix[LEVEL][LEVEL] += weight;
    sums.gradient[LEVEL] += value - p[LEVEL] * weight;
    sums.chi2 += (square - p[LEVEL] * (2.0 * value - p[LEVEL] * weight)).max(0.0);
    for parameter in (0..N).filter(|&i| bounds.is_held[i]) {
        sums.hold(parameter);
    }
    Some(sums)
}

/// The ellipse that was taken to be all that the beam reaches.
#[derive(Clone, Copy, Debug)]
struct Reach {
    about: Parameters,
    /// In standard deviations.
    radius: f64,
}

/// A Gaussian on a level, fitted to one map.
#[derive(Debug)]
pub(super) struct GaussianProblem<'a> {
    sky: &'a Sky<'a>,
    bounds: Bounds,
    reach: Reach,
    near: Vec<Chunk>,
    far: FarSums,
}

/// A cell beyond this many standard deviations holds nothing of a source, even without noise.
const FARTHEST: f64 = 8.0;
/// A cell nearer than this is always looked at.
const NEAREST: f64 = 4.0;
/// Where the beam falls below this fraction of the noise of the best cell, the level is all there is.
const NEGLIGIBLE: f64 = 3e-3;
/// As many cells more on each side spare the choice of others after every small step.
const MARGIN: f64 = 0.6;
/// Looking at so many times the cells that need it is not worth the time of choosing others.
const WASTE: f64 = 2.0;

impl<'a> GaussianProblem<'a> {
    pub(super) fn new(sky: &'a Sky<'a>, bounds: Bounds, start: &Parameters) -> Self {
        let reach = Reach { about: *start, radius: 0.0 };
        let mut problem = Self { sky, bounds, reach, near: Vec::new(), far: FarSums::default() };
        problem.look_about(start);
        problem
    }

    /// Sum of weight times the square of values about the reference level, over all cells.
    pub(super) fn sum_of_squares(&self) -> f64 {
        let near = self.near.iter().flat_map(|chunk| chunk.value.iter().zip(&chunk.weight));
        self.far.square + near.map(|(value, weight)| weight * value * value).sum::<f64>()
    }

    /// How far the beam reaches, in standard deviations.
    fn radius(&self, p: &Parameters) -> f64 {
        let significance = p[AMPLITUDE].abs() * self.sky.highest_weight.sqrt();
        let radius = (2.0 * (significance / NEGLIGIBLE).max(1.0).ln()).sqrt();
        // The mean position of the samples may lie half a cell from its centre.
        let half_cell = if self.sky.cells.has_scatter() { 0.5 } else { 0.0 };
        radius.clamp(NEAREST, FARTHEST) + half_cell * self.cells_across(p)
    }

    /// The longer side of a cell in units of the narrower standard deviation.
    fn cells_across(&self, p: &Parameters) -> f64 {
        let [x, y] = self.sky.cells.grid.resolution();
        eigenvalues(p)[1].sqrt() * x.max(y)
    }

    /// Collects the cells to which the beam reaches, and a few more; sums up all others.
    fn look_about(&mut self, p: &Parameters) {
        let radius = self.radius(p) + MARGIN * self.cells_across(p);
        self.reach = Reach { about: *p, radius };
        let grid = &self.sky.cells.grid;
        let ([n_y, n_x], resolution) = (grid.shape(), grid.resolution());
        let centre = grid.index_of([p[X], p[Y]]);
        let half = variances(p)[1].sqrt() * radius / resolution[1];
        let (along, cross) = (p[MEAN] + p[DIFFERENCE], p[CROSS]);
        let mut far = FarSums::default();
        let mut near = Gathered { chunks: &mut self.near, n: 0 };
        near.chunks.clear();
        for row in 0..n_y {
            let cells = row * n_x..(row + 1) * n_x;
            let y = (row as f64 - centre[1]) * resolution[1];
            let mut columns = 0..0;
            if (row as f64 - centre[1]).abs() <= half {
                // The ellipse along this row: along x^2 + 2 cross x y + across y^2 = radius^2.
                let across = p[MEAN] - p[DIFFERENCE];
                let root = (cross * y).powi(2) - along * (across * y * y - radius * radius);
                let width = root.max(0.0).sqrt() / along;
                let middle = -cross * y / along;
                let [first, end] = [middle - width, middle + width]
                    .map(|x| x / resolution[0] + centre[0])
                    .map(|index| index.clamp(-0.5, n_x as f64 - 0.5));
                // Both lie between 0 and n_x: the conversion holds them.
                columns = first.ceil() as usize..(end.floor() + 1.0) as usize;
            }
            let (first, end) = (cells.start + columns.start, cells.start + columns.end);
            add_far(&mut far, self.sky, cells.start..first);
            add_far(&mut far, self.sky, end..cells.end);
            for cell in first..end {
                if self.sky.weight[cell] > 0.0 {
                    near.push(self.sky, cell);
                }
            }
        }
        self.far = far;
    }

    /// Tells whether the cells that were collected are those that the beam reaches, and not many more.
    fn sees(&self, p: &Parameters) -> bool {
        let (old, needed) = (&self.reach.about, self.radius(p));
        // The largest and the smallest ratio of the distances, in the old beam's and in the new one's deviations, are
        // the roots of the eigenvalues of (new inverse covariance)^-1 (old inverse covariance).
        let determinant = |p: &Parameters| {
            let [low, high] = eigenvalues(p);
            low * high
        };
        let half_trace =
            (p[MEAN] * old[MEAN] - p[DIFFERENCE] * old[DIFFERENCE] - p[CROSS] * old[CROSS])
                / determinant(p);
        let product = determinant(old) / determinant(p);
        let largest = half_trace + (half_trace * half_trace - product).max(0.0).sqrt();
        let shift = distance_squared(old, [p[X] - old[X], p[Y] - old[Y]]).sqrt();
        let is_inside = largest.sqrt() * needed + shift <= self.reach.radius;
        let waste = (self.reach.radius / needed).powi(2) / product.sqrt();
        is_inside && (waste <= WASTE || self.near.len() <= 1)
    }
}

/// Chunks that are being filled.
struct Gathered<'a> {
    chunks: &'a mut Vec<Chunk>,
    n: usize,
}

impl Gathered<'_> {
    fn push(&mut self, sky: &Sky<'_>, cell: usize) {
        let lane = self.n % CHUNK;
        if lane == 0 {
            self.chunks.push(Chunk::EMPTY);
        }
        self.n += 1;
        let Some(chunk) = self.chunks.last_mut() else { return };
        let Point { mean: [x, y], scatter } = sky.cells.point(sky.map, cell);
        (chunk.x[lane], chunk.y[lane]) = (x, y);
        chunk.value[lane] = sky.value[cell] - sky.reference_level;
        chunk.weight[lane] = sky.weight[cell];
        for (plane, element) in chunk.scatter.iter_mut().zip(scatter) {
            plane[lane] = element;
        }
    }
}

fn add_far(far: &mut FarSums, sky: &Sky<'_>, cells: std::ops::Range<usize>) {
    // Eight sums side by side keep the adders busy; their order is fixed.
    let (mut weights, mut values, mut squares) = ([0.0; 8], [0.0; 8], [0.0; 8]);
    let (value, weight) = (&sky.value[cells.clone()], &sky.weight[cells]);
    let (value, last_values) = value.as_chunks::<8>();
    let (weight, last_weights) = weight.as_chunks::<8>();
    for (value, weight) in value.iter().zip(weight) {
        for lane in 0..8 {
            let value = value[lane] - sky.reference_level;
            let product = weight[lane] * value;
            weights[lane] += weight[lane];
            values[lane] += product;
            squares[lane] += product * value;
        }
    }
    for (value, weight) in last_values.iter().zip(last_weights) {
        let value = value - sky.reference_level;
        weights[0] += weight;
        values[0] += weight * value;
        squares[0] += weight * value * value;
    }
    far.weight += weights.iter().sum::<f64>();
    far.value += values.iter().sum::<f64>();
    far.square += squares.iter().sum::<f64>();
}

/// Adds the cells of a chunk to the normal equations.
fn add_near(sums: &mut Normal<N>, p: &Parameters, chunk: &Chunk, has_scatter: bool) {
    let mut derivatives = [[1.0; CHUNK]; N];
    let mut residual = [0.0; CHUNK];
    let mut set = |lane: usize, (shape, slopes): (f64, [f64; 5])| {
        residual[lane] = chunk.value[lane] - p[LEVEL] - p[AMPLITUDE] * shape;
        derivatives[AMPLITUDE][lane] = shape;
        for (parameter, slope) in [X, Y, MEAN, DIFFERENCE, CROSS].into_iter().zip(slopes) {
            derivatives[parameter][lane] = p[AMPLITUDE] * slope;
        }
    };
    for lane in 0..CHUNK {
        let at = [chunk.x[lane], chunk.y[lane]];
        if has_scatter {
            let scatter = [chunk.scatter[0][lane], chunk.scatter[1][lane], chunk.scatter[2][lane]];
            set(lane, scattered_beam(p, at, scatter));
        } else {
            set(lane, beam(p, at));
        }
    }
    let mut weighted = [0.0; CHUNK];
    for i in 0..N {
        for lane in 0..CHUNK {
            weighted[lane] = chunk.weight[lane] * derivatives[i][lane];
        }
        for (sum, other) in sums.matrix[i].iter_mut().zip(&derivatives).take(i + 1) {
            *sum += dot(&weighted, other);
        }
        sums.gradient[i] += dot(&weighted, &residual);
    }
    for lane in 0..CHUNK {
        weighted[lane] = chunk.weight[lane] * residual[lane];
    }
    sums.chi2 += dot(&weighted, &residual);
}

fn dot(a: &[f64; CHUNK], b: &[f64; CHUNK]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, _) = a.as_chunks::<8>();
    let (b, _) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

impl Problem<N> for GaussianProblem<'_> {
    fn normal(&mut self, p: &Parameters) -> Option<Normal<N>> {
        normal(p, &self.near, self.sky.cells.has_scatter(), self.far, &self.bounds)
    }

    fn moved(&mut self, p: &Parameters) -> Option<Normal<N>> {
        if self.sees(p) {
            return None;
        }
        self.look_about(p);
        self.normal(p)
    }
}

#[cfg(test)]
mod tests {
    use super::super::beam::FWHM;
    use super::super::sky::Cells;
    use super::*;
    use crate::scan::Grid;
    use proptest::prelude::*;

    /// All cells, one by one.
    fn slowly(sky: &Sky<'_>, p: &Parameters) -> Normal<N> {
        let mut sums = Normal::EMPTY;
        let n_x = sky.cells.grid.shape()[1];
        for (cell, (&value, &weight)) in sky.value.iter().zip(sky.weight).enumerate() {
            let at = sky.cells.grid.offset_of([(cell % n_x) as f64, (cell / n_x) as f64]);
            let (shape, slopes) = beam(p, at);
            let [x, y, mean, difference, cross] = slopes.map(|slope| p[AMPLITUDE] * slope);
            let derivative = [x, y, shape, 1.0, mean, difference, cross];
            let residual = value - p[LEVEL] - p[AMPLITUDE] * shape;
            for i in 0..N {
                for (sum, other) in sums.matrix[i].iter_mut().zip(derivative) {
                    *sum += weight * derivative[i] * other;
                }
                sums.gradient[i] += weight * derivative[i] * residual;
            }
            sums.chi2 += weight * residual * residual;
        }
        sums
    }

    proptest! {
        #[test]
        fn far_cells_need_only_the_level(
            position in (-30.0..30.0_f64, -20.0..20.0_f64), fwhm in 4.0..12.0_f64,
            amplitude in -50.0..50.0_f64, ellipse in (-0.5..0.5_f64, -0.5..0.5_f64),
            start in (-2.0..2.0_f64, -2.0..2.0_f64, 0.6..1.6_f64, -0.3..0.3_f64),
        ) {
            let grid = Grid::new([41, 53], [2.0, 1.5], [26.0, 20.0]).unwrap();
            let cells = Cells::new(&grid, None);
            let wave = |cell: usize, k: f64| (cell as f64 * k).sin();
            let value: Vec<f64> = (0..grid.n_cells()).map(|cell| wave(cell, 1.3)).collect();
            let weight: Vec<f64> =
                (0..grid.n_cells()).map(|cell| (wave(cell, 0.7) + 0.6).max(0.0)).collect();
            let sky = Sky {
                cells: &cells, map: 0, value: &value, weight: &weight,
                reference_level: 0.0, highest_weight: 1.6,
            };
            let inverse = (FWHM / fwhm).powi(2);
            let (x, y) = position;
            let p = [x, y, amplitude, 0.3, inverse, ellipse.0 * inverse, ellipse.1 * inverse];
            let bounds = Bounds {
                is_held: [false; N], sigma: [0.01, 100.0], position: [[-100.0; 2], [100.0; 2]],
            };
            // From a start nearby, as in a fit.
            let wide = inverse * start.2;
            let near = [x + start.0, y + start.1, amplitude, 0.0, wide, start.3 * wide, 0.0];
            let mut problem = GaussianProblem::new(&sky, bounds, &near);
            problem.moved(&p);
            let normal = problem.normal(&p).unwrap();
            let expected = slowly(&sky, &p);
            // What is left out is below a few thousandths of the noise of a cell.
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
