//! Splines as polynomials, for those that are evaluated again and again.

use super::bspline::{BSpline, DEGREE, LocalBasis, ORDER};

/// A cubic spline, one polynomial between any two knots.
///
/// Values and slopes are those of the [`BSpline`] but for rounding, and take no divisions.
#[derive(Clone, Debug)]
pub(crate) struct PiecewiseCubic {
    /// Where each piece but the first begins; the first and the last one go on beyond the ends.
    breaks: Vec<f64>,
    pieces: Vec<Piece>,
}

/// A polynomial in `(x - centre) * scale`.
#[derive(Clone, Copy, Debug)]
struct Piece {
    centre: f64,
    scale: f64,
    q: [f64; ORDER],
}

impl From<&BSpline> for PiecewiseCubic {
    fn from(spline: &BSpline) -> Self {
        let (t, c) = (spline.knots(), spline.coefficients());
        let (mut breaks, mut pieces) = (Vec::new(), Vec::new());
        for j in (DEGREE..c.len()).filter(|&j| t[j] < t[j + 1]) {
            let around = (t[j - 2..].first_chunk(), c[j - DEGREE..].first_chunk());
            if let (Some(knots), Some(coefficients)) = around {
                let basis = LocalBasis::new(knots);
                let q = basis.polynomial(coefficients);
                breaks.push(t[j]);
                pieces.push(Piece { centre: basis.centre, scale: basis.scale, q });
            }
        }
        breaks.remove(0);
        Self { breaks, pieces }
    }
}

impl PiecewiseCubic {
    /// Value and first derivative at `x`; NaN at NaN.
    ///
    /// `near` is the piece to look at first, and becomes that of `x`: neighbours mostly lie in the same one.
    #[inline]
    pub(crate) fn eval_with_slope(&self, x: f64, near: &mut usize) -> (f64, f64) {
        while *near > 0 && self.breaks[*near - 1] > x {
            *near -= 1;
        }
        while *near < self.breaks.len() && self.breaks[*near] <= x {
            *near += 1;
        }
        let Piece { centre, scale, q } = self.pieces[*near];
        let v = (x - centre) * scale;
        let value = q[0] + v * (q[1] + v * (q[2] + v * q[3]));
        (value, scale * (q[1] + v * (2.0 * q[2] + v * (3.0 * q[3]))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_spline(
            steps in prop::collection::vec(prop_oneof![Just(0.0), 0.1..2.0_f64], 4..20),
            c in prop::collection::vec(-5.0..5.0_f64, 24),
            places in prop::collection::vec(-0.3..1.3_f64, 1..30),
        ) {
            // Four equal knots inside would make a jump.
            prop_assume!(steps.windows(3).all(|w| w.iter().sum::<f64>() > 0.0));
            let mut knots = vec![0.0; 4];
            for step in steps.iter().chain(&[1.0, 0.0, 0.0, 0.0]) {
                knots.push(knots[knots.len() - 1] + step);
            }
            let n = knots.len() - ORDER;
            prop_assume!(n <= c.len());
            let end = knots[n];
            let spline = BSpline::new(knots, c[..n].to_vec()).unwrap();
            let (cubic, mut near) = (PiecewiseCubic::from(&spline), 0);
            for place in places {
                let (x, size) = (place * end, 1e3 * (1.0 + end).powi(3));
                let (value, slope) = cubic.eval_with_slope(x, &mut near);
                let (expected, its_slope) = spline.eval_with_slope(x);
                let most = 1e-12 * size * expected.abs().max(its_slope.abs()).max(5.0);
                prop_assert!((value - expected).abs() < most, "{value} {expected}");
                prop_assert!((slope - its_slope).abs() < 100.0 * most, "{slope} {its_slope}");
            }
            let nothing = cubic.eval_with_slope(f64::NAN, &mut near);
            prop_assert!(nothing.0.is_nan() && nothing.1.is_nan());
        }
    }
}
