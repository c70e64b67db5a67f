//! What a fit knows of itself: where each spline comes from, how well it fits, and how uncertain it is.

use std::ops::Range;

use crate::numeric::normal::{Band, Factor, Inverse, multiply};

/// Where the spline of a column comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Fitted to the window around this column.
    Fitted,
    /// Fitted to it, with fewer knots, after the first attempt had failed.
    Retried,
    /// Taken over from another column, because the fit of this one failed.
    Reused,
    /// Fitted, but the points of the window leave gaps in the slice that only the smoothness of the spline bridges.
    Extrapolated,
}

/// Why a column has no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It has too few good pixels.
    TooFewPixels,
    /// The fit failed, and there was no other spline to take over.
    NoFit,
}

/// One fit: how good, and how uncertain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FitRecord {
    /// Columns whose pixels were fitted; none if these are of another exposure ([`super::rescale`]).
    pub window: Range<usize>,
    /// Points that were used.
    pub n_points: usize,
    /// Points that were rejected as outliers.
    pub n_rejected: usize,
    /// Sum of squared residuals in units of the error, per degree of freedom; NaN without errors.
    pub chi2: f64,
    /// Lowest and highest residual of a point that is kept, in units of the column's flux.
    pub limits: (f64, f64),
    /// Matrix of the normal equations.
    pub information: Band,
    /// Weight times variance times weight, summed over the points, for each component of the variance. Empty for the
    /// first component (that of the error) of a fit weighted with it: its matrix is [`FitRecord::information`].
    pub noise: Vec<Band>,
}

impl FitRecord {
    /// Covariance of the coefficients that comes from one component of the variance, whole; `None` if the points do
    /// not determine them, or there is no such component.
    #[must_use]
    pub fn covariance(&self, component: usize) -> Option<Vec<Vec<f64>>> {
        let inverse = Factor::new(&self.information)?.inverse();
        let noise = self.noise.get(component)?;
        let n = inverse.len();
        if noise.is_empty() {
            return Some((0..n).map(|i| inverse.row(i).to_vec()).collect());
        }
        Some((0..n).map(|i| sandwich(&inverse, noise, inverse.row(i))).collect())
    }
}

/// The inverse times the noise matrix times a vector that the inverse has been applied to.
pub(crate) fn sandwich(inverse: &Inverse, noise: &Band, applied: &[f64]) -> Vec<f64> {
    let between = multiply(noise, applied);
    (0..inverse.len())
        .map(|i| inverse.row(i).iter().zip(&between).map(|(a, b)| a * b).sum())
        .collect()
}

/// One column with a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColumnRecord {
    /// Where its spline comes from.
    pub origin: Origin,
    /// The column that the spline was fitted for.
    pub from: usize,
    /// What the flux of the column was divided by in the fit.
    pub norm: f64,
}

/// The record of one region.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegionRecord {
    /// Whether points were weighted with the inverse of their variance.
    pub is_weighted: bool,
    /// One for each spline.
    pub fits: Vec<FitRecord>,
    /// One for each column with a trace, in the same order.
    pub columns: Vec<ColumnRecord>,
    /// Columns of the region without a trace, and why.
    pub absent: Vec<(usize, Absence)>,
}
