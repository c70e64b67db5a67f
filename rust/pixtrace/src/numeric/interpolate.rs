//! Linear interpolation.

/// Piecewise linear function through points with rising abscissae, constant beyond the ends.
///
/// Made for queries that rise as well: each [`LinearInterpolator::at`] starts where the last one ended.
#[derive(Debug)]
pub struct LinearInterpolator<'a> {
    x: &'a [f64],
    y: &'a [f64],
    segment: usize,
}

impl<'a> LinearInterpolator<'a> {
    /// Takes the points; `None` if there are none, or if the lengths differ.
    #[must_use]
    pub fn new(x: &'a [f64], y: &'a [f64]) -> Option<Self> {
        (!x.is_empty() && x.len() == y.len()).then_some(Self { x, y, segment: 0 })
    }

    /// Value at `at`; queries must not fall.
    pub fn at(&mut self, at: f64) -> f64 {
        let (x, y) = (self.x, self.y);
        let last = x.len() - 1;
        if at <= x[0] {
            return y[0];
        }
        if at >= x[last] {
            return y[last];
        }
        while x[self.segment + 1] <= at {
            self.segment += 1;
        }
        let j = self.segment;
        let slope = (y[j + 1] - y[j]) / (x[j + 1] - x[j]);
        slope * (at - x[j]) + y[j]
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;

    #[test]
    fn interpolates_and_holds_the_ends() {
        let mut line = LinearInterpolator::new(&[1.0, 2.0, 5.0], &[10.0, 20.0, -10.0]).unwrap();
        let values: Vec<f64> =
            [0.0, 1.0, 1.5, 2.0, 3.0, 5.0, 9.0].iter().map(|&x| line.at(x)).collect();
        assert_eq!(values, [10.0, 10.0, 15.0, 20.0, 10.0, -10.0, -10.0]);
        assert!(LinearInterpolator::new(&[], &[]).is_none());
    }
}
