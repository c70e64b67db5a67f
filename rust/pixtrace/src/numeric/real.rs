//! The two floating-point types that data come in, and rounding to them.

/// A floating-point type of the input data: `f32` or `f64`.
///
/// All arithmetic is carried out in `f64`. Where the reference rounds to the precision of the flux (knots, column
/// sums, alpha, residuals), [`Real::narrow`] rounds after each operation. For `+ - * /` and square roots of two `f32`
/// numbers that gives exactly what `f32` arithmetic would: 53 bits are more than 2 * 24 + 2, so the second rounding
/// cannot change the result of the first (Figueroa 1995, SIGNUM Newsletter 30, 21).
pub trait Real:
    Copy + PartialOrd + Send + Sync + std::fmt::Debug + private::Sealed + 'static
{
    /// Rounds to this type's precision.
    #[must_use]
    fn narrow(value: f64) -> f64;
    /// Converts to `f64`, exactly.
    #[must_use]
    fn to_f64(self) -> f64;
    /// Converts from `f64`, rounding to nearest.
    #[must_use]
    fn from_f64(value: f64) -> Self;
}

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Real for f32 {
    #[inline]
    fn narrow(value: f64) -> f64 {
        f64::from(value as f32)
    }
    #[inline]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
}

impl Real for f64 {
    #[inline]
    fn narrow(value: f64) -> f64 {
        value
    }
    #[inline]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline]
    fn from_f64(value: f64) -> Self {
        value
    }
}
