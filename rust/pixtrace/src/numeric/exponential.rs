//! The exponential function without branches or tables, for loops over many numbers.

/// Adding this rounds to whole numbers, which then stand in the lowest bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// One over the factorials from 12 down.
const TAYLOR: [f64; 13] = {
    let mut terms = [1.0; 13];
    let (mut factorial, mut n) = (1.0, 0);
    while n < 13 {
        if n > 0 {
            factorial *= n as f64;
        }
        terms[12 - n] = 1.0 / factorial;
        n += 1;
    }
    terms
};
/// Beyond this the result is as good as zero.
const FARTHEST: f64 = 700.0;

/// `exp(-x)` for `x` from zero on, to a few parts in 10^16 times `1 + x`; below 10^-304 it no longer falls.
///
/// A loop over it becomes vector instructions, which a call of the function of the standard library does not. `exp(-x)` is
/// taken apart into a power of two and `exp(r)` with `r` no larger than half of ln 2, whose series ends after twelve terms.
#[inline]
#[must_use]
pub fn exp_negative(x: f64) -> f64 {
    let t = -(if x < FARTHEST { x } else { FARTHEST }) * std::f64::consts::LOG2_E;
    let shifted = t + ROUND;
    let r = (t - (shifted - ROUND)) * std::f64::consts::LN_2;
    let mut sum = TAYLOR[0];
    for term in &TAYLOR[1..] {
        sum = sum * r + term;
    }
    // The lowest bits of `shifted` are the exponent; what is above them is shifted out.
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    sum * power
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_exponential(x in 0.0..690.0_f64) {
            let exact = (-x).exp();
            prop_assert!((exp_negative(x) - exact).abs() <= 4e-16 * (1.0 + x) * exact);
        }
    }

    #[test]
    fn ends_of_the_range() {
        assert!((exp_negative(0.0) - 1.0).abs() < 1e-16);
        assert!(exp_negative(1e300) < 1e-300 && exp_negative(f64::INFINITY) >= 0.0);
    }
}
