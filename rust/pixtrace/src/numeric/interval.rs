//! What the points between two knots contribute to a least-squares fit of a cubic B-spline.
//!
//! Between two knots every basis function is a cubic polynomial, so all that the normal equations need of the points
//! there is the sums of the powers `v^0 .. v^6` and of `y v^0 .. y v^3` ([`Moments`]). One pass over the points gathers
//! these eleven sums.

use super::bspline::{LocalBasis, ORDER};

/// Sums over the points between two knots, with `v` from -1 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    /// Sum of `v^m`, `m` from 0 to 6.
    pub(super) power: [f64; 2 * ORDER - 1],
    /// Sum of `y v^m`, `m` from 0 to 3.
    pub(super) weighted: [f64; ORDER],
}

/// Number of points summed side by side; two fit the vector registers that every 64-bit machine has.
const LANES: usize = 2;

impl Moments {
    /// Takes one point out of the sums.
    #[inline]
    pub(super) fn subtract(&mut self, v: f64, y: f64) {
        let mut vm = 1.0;
        for total in &mut self.power {
            *total -= vm;
            vm *= v;
        }
        let mut yvm = y;
        for total in &mut self.weighted {
            *total -= yvm;
            yvm *= v;
        }
    }

    /// The sums over some points.
    #[inline]
    pub(super) fn gather(v: &[f64], y: &[f64]) -> Self {
        let mut power = [[0.0; LANES]; 2 * ORDER - 1];
        let mut weighted = [[0.0; LANES]; ORDER];
        let (v_pairs, v_rest) = v.as_chunks::<LANES>();
        let (y_pairs, y_rest) = y.as_chunks::<LANES>();
        for (v, y) in v_pairs.iter().zip(y_pairs) {
            for lane in 0..LANES {
                let (v1, y0) = (v[lane], y[lane]);
                let v2 = v1 * v1;
                let v3 = v2 * v1;
                power[1][lane] += v1;
                power[2][lane] += v2;
                power[3][lane] += v3;
                power[4][lane] += v2 * v2;
                power[5][lane] += v2 * v3;
                power[6][lane] += v3 * v3;
                weighted[0][lane] += y0;
                weighted[1][lane] += y0 * v1;
                weighted[2][lane] += y0 * v2;
                weighted[3][lane] += y0 * v3;
            }
        }
        let mut sums = Self {
            power: power.map(|s| s.iter().sum()),
            weighted: weighted.map(|s| s.iter().sum()),
        };
        for (&v, &y) in v_rest.iter().zip(y_rest) {
            let mut vm = v;
            for total in &mut sums.power[1..] {
                *total += vm;
                vm *= v;
            }
            let mut yvm = y;
            for total in &mut sums.weighted {
                *total += yvm;
                yvm *= v;
            }
        }
        sums.power[0] = v.len() as f64;
        sums
    }
}

/// The share of one interval in the normal equations: a symmetric 4 x 4 matrix and a right-hand side.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LocalEquations {
    pub(super) matrix: [[f64; ORDER]; ORDER],
    pub(super) rhs: [f64; ORDER],
}

/// Scalar product with the first four elements of `b`.
#[inline]
fn dot(a: &[f64; ORDER], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl LocalEquations {
    #[inline]
    pub(super) fn new(basis: &LocalBasis, sums: &Moments) -> Self {
        let p = &basis.coefficient;
        let mut equations = Self::default();
        if sums.power[0] == 0.0 {
            // No points: nothing to add, also where two knots fall together and the basis is not finite.
            return equations;
        }
        for i in 0..ORDER {
            // Sums of this function times each power: its row of the matrix is a mixture of them.
            let mut with_powers = [0.0; ORDER];
            for (m, with_power) in with_powers.iter_mut().enumerate() {
                *with_power = dot(&p[i], &sums.power[m..]);
            }
            equations.rhs[i] = dot(&p[i], &sums.weighted);
            for (element, other) in equations.matrix[i].iter_mut().zip(p).skip(i) {
                *element = dot(&with_powers, other);
            }
        }
        equations
    }
}

/// Adds the share of interval `j` to a banded matrix.
#[inline]
pub(super) fn add_local(matrix: &mut [[f64; ORDER]], j: usize, local: &LocalEquations) {
    for i in 0..ORDER {
        for l in i..ORDER {
            matrix[j + i][l - i] += local.matrix[i][l];
        }
    }
}
