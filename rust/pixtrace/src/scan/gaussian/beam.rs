//! The parameters of the fit, and the beam with its derivatives by them.

use crate::numeric::exponential::exp_negative;

/// Number of parameters, held ones included.
pub(super) const N: usize = 7;
/// Parameters of the fit: position (2), amplitude, level about [`Sky::reference_level`](super::model::Sky), and the inverse
/// covariance `[[mean + difference, cross], [cross, mean - difference]]` of the beam.
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

/// Eigenvalues of the inverse covariance, the smaller one first.
pub(super) fn eigenvalues(p: &Parameters) -> [f64; 2] {
    let r = p[DIFFERENCE].hypot(p[CROSS]);
    [p[MEAN] - r, p[MEAN] + r]
}

/// Variances of the beam along x and y.
pub(super) fn variances(p: &Parameters) -> [f64; 2] {
    let [low, high] = eigenvalues(p);
    [p[MEAN] - p[DIFFERENCE], p[MEAN] + p[DIFFERENCE]].map(|inverse| inverse / (low * high))
}

/// Square of the distance `[x, y]` from the centre, in standard deviations of the beam.
pub(super) fn distance_squared(p: &Parameters, [x, y]: [f64; 2]) -> f64 {
    p[MEAN] * (x * x + y * y) + p[DIFFERENCE] * (x * x - y * y) + 2.0 * p[CROSS] * x * y
}

/// The beam of unit height at a point, and its derivatives by x, y, mean, difference and cross.
#[inline]
pub(super) fn beam(p: &Parameters, at: [f64; 2]) -> (f64, [f64; 5]) {
    let (x, y) = (at[0] - p[X], at[1] - p[Y]);
    let u = (p[MEAN] + p[DIFFERENCE]) * x + p[CROSS] * y;
    let v = p[CROSS] * x + (p[MEAN] - p[DIFFERENCE]) * y;
    let g = exp_negative(0.5 * (u * x + v * y));
    (g, [g * u, g * v, -0.5 * g * (x * x + y * y), -0.5 * g * (x * x - y * y), -g * x * y])
}

/// Mean fourth power of the samples' positions in a cell along one axis, over the square of their variance, over 4!.
///
/// The ratio is 1 for two samples, 1.5 for three, 1.8 for very many that stand anywhere in the cell. What is known is the
/// variance; 1.5 will do for a term that is small.
const FOURTH: f64 = 1.5 / 24.0;

/// The mean of the beam over samples with a mean position and a scatter `[x x, x y, y y]`; derivatives as in [`beam`].
///
/// With `g` the Gaussian and `C` the covariance of the positions this is `g + 1/2 (g_xx C_xx + 2 g_xy C_xy + g_yy C_yy)`,
/// and the terms of fourth order for samples that stand anywhere in the cell. All derivatives of `g` are `g` times
/// polynomials, so that it is `g * k`; the derivatives by the parameters are those of the product.
#[inline]
pub(super) fn scattered_beam(
    p: &Parameters,
    mean: [f64; 2],
    [xx, xy, yy]: [f64; 3],
) -> (f64, [f64; 5]) {
    let (x, y) = (mean[0] - p[X], mean[1] - p[Y]);
    let (a, b, c) = (p[MEAN] + p[DIFFERENCE], p[CROSS], p[MEAN] - p[DIFFERENCE]);
    let (u, v) = (a * x + b * y, b * x + c * y);
    let g = exp_negative(0.5 * (u * x + v * y));
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

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    type Point = ([f64; 2], [f64; 3]);

    /// The derivative from differences of fourth order.
    fn derivative(p: &Parameters, &(mean, scatter): &Point, parameter: usize) -> f64 {
        let step = if parameter < 2 { 1e-4 } else { 1e-6 };
        let at = |sign: f64| {
            let mut moved = *p;
            moved[parameter] += sign * step;
            scattered_beam(&moved, mean, scatter).0
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
            let scatter = [scatter.0, scatter.1 * (scatter.0 * scatter.2).sqrt(), scatter.2];
            let (_, slopes) = scattered_beam(&p, mean, scatter);
            for (slope, parameter) in slopes.into_iter().zip([X, Y, MEAN, DIFFERENCE, CROSS]) {
                let expected = derivative(&p, &(mean, scatter), parameter);
                assert_relative_eq!(slope, expected, epsilon = 1e-7, max_relative = 1e-7);
            }
        }

        #[test]
        fn without_scatter_it_is_the_plain_beam(
            mean in prop::array::uniform2(-4.0..4.0_f64), d in -0.1..0.1_f64, e in -0.1..0.1_f64,
        ) {
            let p = [0.3, -0.2, 1.0, 0.0, 0.2, d, e];
            let (plain, plain_slopes) = beam(&p, mean);
            let (shape, slopes) = scattered_beam(&p, mean, [0.0; 3]);
            assert_relative_eq!(plain, shape, max_relative = 1e-14);
            for (plain, slope) in plain_slopes.into_iter().zip(slopes) {
                assert_relative_eq!(plain, slope, epsilon = 1e-14);
            }
        }
    }

    #[test]
    fn the_mean_over_scattered_samples_is_right() {
        // Samples on a square of 0.4 sigma: the mean of the beam over them, beside the model.
        let p = [0.0, 0.0, 1.0, 0.0, 1.0, 0.2, 0.1];
        let mean = [0.7, -0.4];
        let offsets: Vec<[f64; 2]> = [-0.2, -0.1, 0.0, 0.1, 0.2]
            .iter()
            .flat_map(|&x| [-0.2, 0.0, 0.2].map(|y| [x, y]))
            .collect();
        let n = offsets.len() as f64;
        let moment = |f: &dyn Fn([f64; 2]) -> f64| offsets.iter().map(|&o| f(o)).sum::<f64>() / n;
        let scatter = [moment(&|[x, _]| x * x), moment(&|[x, y]| x * y), moment(&|[_, y]| y * y)];
        let exact = moment(&|[x, y]| beam(&p, [mean[0] + x, mean[1] + y]).0);
        let (corrected, _) = scattered_beam(&p, mean, scatter);
        let (centre, _) = beam(&p, mean);
        assert!((corrected - exact).abs() < 0.002 * (centre - exact).abs());
    }
}
