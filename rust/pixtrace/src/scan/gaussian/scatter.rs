//! What the residuals of a fit to samples say about its errors.
//!
//! Weights know the noise of a sample at the pace of the source. What cleaning leaves behind is more than that: a drift
//! or a common signal that is known from other samples only has an error where the source stands, and slow noise counts
//! more for some parameters than for others. All of it lasts for about a passage over the source, and differs from one to
//! the next. So the passages are compared: with `S_b` the sum of weight, derivative and residual over passage `b`, `H_b`
//! that of the normal equations and `H` their sum,
//!
//! ```text
//! C = sum over b of (H^-1 S_b) ((H - H_b)^-1 S_b)^T
//! ```
//!
//! is the covariance of the parameters, whatever the noise is like within a passage. For white noise its mean is `H^-1`:
//! the second factor, which is the fit without the passage, makes up for what the fit takes from the residuals.

use super::beam::{AMPLITUDE, CROSS, DIFFERENCE, LEVEL, MEAN, N, Parameters, X, Y, beam};
use super::sky::Bounds;
use super::stream::Stream;
use crate::numeric::cholesky::Cholesky;
use crate::numeric::levenberg::Normal;

/// A passage begins where the telescope comes nearer to the source than this many FWHM.
const PASSAGE: f64 = 1.5;
/// Fewest passages that can be compared.
const FEWEST: usize = 12;

/// The covariance of the parameters from the scatter of passages; `None` if there are too few of them.
///
/// `normal` are the normal equations at `p`, and `reach` how far, in FWHM, samples were compared with the beam.
pub(super) fn covariance(
    p: &Parameters,
    normal: &Normal<N>,
    stream: &Stream,
    reference_level: f64,
    fwhm: f64,
    reach: f64,
    bounds: &Bounds,
) -> Option<[[f64; N]; N]> {
    let whole = Cholesky::new(&normal.matrix, 0.0)?;
    let mut covariance = [[0.0; N]; N];
    let (mut passage, mut n_passages, mut was_near) = (Normal::EMPTY, 0_usize, true);
    let mut end = |passage: &mut Normal<N>| {
        for parameter in (0..N).filter(|&i| bounds.is_held[i]) {
            passage.hold(parameter);
            passage.matrix[parameter][parameter] = 0.0;
        }
        let mut others = normal.matrix;
        for (row, own) in others.iter_mut().zip(&passage.matrix) {
            row.iter_mut().zip(own).for_each(|(sum, own)| *sum -= own);
        }
        let left = whole.solve(&passage.gradient);
        let right = Cholesky::new(&others, 0.0)?.solve(&passage.gradient);
        for i in 0..N {
            for j in 0..N {
                covariance[i][j] += 0.5 * (left[i] * right[j] + left[j] * right[i]);
            }
        }
        *passage = Normal::EMPTY;
        Some(())
    };
    let (near, far) = ((PASSAGE * fwhm).powi(2), (reach * fwhm).powi(2));
    let Stream { x, y, value, weight } = stream;
    for (((&x, &y), value), &weight) in x.iter().zip(y).zip(value).zip(weight) {
        let squared = (x - p[X]).powi(2) + (y - p[Y]).powi(2);
        let is_near = squared < near;
        if is_near && !was_near {
            end(&mut passage)?;
            n_passages += 1;
        }
        was_near = is_near;
        let residual = value - reference_level - p[LEVEL];
        if squared > far {
            passage.matrix[LEVEL][LEVEL] += weight;
            passage.gradient[LEVEL] += weight * residual;
        } else {
            add(&mut passage, p, [x, y], residual, weight);
        }
    }
    end(&mut passage)?;
    (n_passages >= FEWEST).then_some(covariance)
}

fn add(sums: &mut Normal<N>, p: &Parameters, at: [f64; 2], residual: f64, weight: f64) {
    let (shape, slopes) = beam(p, at);
    let residual = residual - p[AMPLITUDE] * shape;
    let mut by = [1.0; N];
    by[AMPLITUDE] = shape;
    for (parameter, slope) in [X, Y, MEAN, DIFFERENCE, CROSS].into_iter().zip(slopes) {
        by[parameter] = p[AMPLITUDE] * slope;
    }
    for i in 0..N {
        let weighted = weight * by[i];
        for (sum, other) in sums.matrix[i].iter_mut().zip(&by).take(i + 1) {
            *sum += weighted * other;
        }
        sums.gradient[i] += weighted * residual;
    }
}
