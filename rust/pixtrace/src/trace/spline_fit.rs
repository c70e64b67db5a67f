//! Fit of one spline to the sorted points of a window, with the rejection of gaps and outliers.

use std::marker::PhantomData;

use super::spacing::Spacings;
use crate::Error;
use crate::numeric::bspline::ORDER;
use crate::numeric::lsq::{SplineFitter, remove_at};
use crate::numeric::sequence::arange;
use crate::numeric::{BSpline, Real};

/// A spacing this many clipped standard deviations above the clipped mean is not trusted.
const WIDE_SPACING_SIGMA: f64 = 5.0;
/// A rejection that would leave less than this share of the points is not carried out.
const SMALLEST_SHARE: f64 = 0.8;
/// Limits that nothing lies beyond.
const EVERYTHING: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

/// Rules by which points are kept from a fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RejectionParams {
    /// Reject residuals this many standard deviations below zero.
    pub sigma_low: f64,
    /// Reject residuals this many standard deviations above zero.
    pub sigma_high: f64,
    /// Rounds of fitting; one less of rejection.
    pub n_rounds: usize,
    /// Refuse the fit if ten points are further from their neighbours than this many knot spacings.
    pub space_ratio: f64,
}

impl Default for RejectionParams {
    fn default() -> Self {
        Self { sigma_low: 2.5, sigma_high: 2.5, n_rounds: 3, space_ratio: 1.2 }
    }
}

/// Workspace for one fit after another.
#[derive(Debug)]
pub(crate) struct WindowFitter<T> {
    rules: RejectionParams,
    spacings: Spacings,
    solver: SplineFitter,
    x: Vec<f64>,
    y: Vec<f64>,
    residuals: Vec<f64>,
    rejected: Vec<usize>,
    /// Numbers of the points that are in the fit, if anybody wants to know.
    kept: Option<Vec<u32>>,
    /// Lowest and highest residual that was kept in the last rejection.
    limits: (f64, f64),
    precision: PhantomData<T>,
}

impl<T: Real> WindowFitter<T> {
    pub(crate) fn new(rules: RejectionParams) -> Self {
        Self {
            rules,
            spacings: Spacings::default(),
            solver: SplineFitter::default(),
            x: Vec::new(),
            y: Vec::new(),
            residuals: Vec::new(),
            rejected: Vec::new(),
            kept: None,
            limits: EVERYTHING,
            precision: PhantomData,
        }
    }

    /// The same, and [`WindowFitter::kept`] is known after each fit.
    pub(crate) fn keeping_track(rules: RejectionParams) -> Self {
        Self { kept: Some(Vec::new()), ..Self::new(rules) }
    }

    /// Numbers of the points that the last fit was made with.
    pub(crate) fn kept(&self) -> &[u32] {
        self.kept.as_deref().unwrap_or_default()
    }

    /// The values that the last fit was made with.
    pub(crate) fn values(&self) -> &[f64] {
        &self.y
    }

    /// The normal equations of the last fit.
    pub(crate) fn solver(&mut self) -> &mut SplineFitter {
        &mut self.solver
    }

    /// Lowest and highest residual of a point that the last rejection has kept.
    pub(crate) fn limits(&self) -> (f64, f64) {
        self.limits
    }

    /// Fits a spline of about `n_intervals` intervals to points with rising `x`.
    ///
    /// `Ok(None)` if the points have gaps wider than the knots allow, or do not determine a spline.
    ///
    /// # Errors
    /// [`Error::Unfittable`] for fewer than ten points.
    pub(crate) fn fit(
        &mut self,
        x: &[f64],
        y: &[f64],
        n_intervals: usize,
    ) -> Result<Option<BSpline>, Error> {
        self.spacings.set(x);
        let Some(tenth_largest) = self.spacings.tenth_largest() else {
            return Err(Error::Unfittable { reason: "fewer than ten points" });
        };
        self.select(x, y);
        let (Some(&low), Some(&high)) = (self.x.first(), self.x.last()) else { return Ok(None) };
        // Fewer points than knot spacings cannot determine a spline, and laying the knots would take long.
        if self.x.len() < n_intervals {
            return Ok(None);
        }
        let knot_spacing = T::narrow(T::narrow(high - low) / n_intervals as f64);
        if tenth_largest > T::narrow(self.rules.space_ratio * knot_spacing) {
            return Ok(None);
        }
        Ok(self.fit_rounds(n_intervals))
    }

    /// Leaves out the points that stand far from their lower neighbour.
    fn select(&mut self, x: &[f64], y: &[f64]) {
        let typical = self.spacings.clipped();
        let limit = if typical.std.is_finite() {
            typical.mean + WIDE_SPACING_SIGMA * typical.std
        } else {
            f64::INFINITY
        };
        let in_order = &self.spacings.in_order;
        self.x.clear();
        self.y.clear();
        self.limits = EVERYTHING;
        if let Some(kept) = &mut self.kept {
            kept.clear();
            kept.extend((0_u32..).zip(in_order).filter(|&(_, &s)| s <= limit).map(|(i, _)| i));
        }
        let mut begin = 0;
        for (i, &spacing) in in_order.iter().enumerate() {
            if spacing > limit {
                self.x.extend_from_slice(&x[begin..i]);
                self.y.extend_from_slice(&y[begin..i]);
                begin = i + 1;
            }
        }
        self.x.extend_from_slice(&x[begin..]);
        self.y.extend_from_slice(&y[begin..]);
    }

    fn fit_rounds(&mut self, n_intervals: usize) -> Option<BSpline> {
        let n_at_first = self.x.len();
        let mut ends = (f64::NAN, f64::NAN);
        let mut knots = Vec::new();
        let mut best = None;
        for round in 1..=self.rules.n_rounds {
            if self.x.len() < ORDER {
                break;
            }
            let new_ends = (self.x[0], self.x[self.x.len() - 1]);
            // Where the ends stay the knots do, and the solver has dropped the outliers already.
            if new_ends != ends {
                ends = new_ends;
                let Some(t) = knot_sequence::<T>(ends, n_intervals) else { break };
                knots = t;
                self.solver.set_points(&knots, &self.x, &self.y);
            }
            let Some(coefficients) = self.solver.solve(&knots, &self.x, &self.y) else { break };
            best = Some(coefficients.to_vec()).map(|c| (knots.clone(), c));
            if round == self.rules.n_rounds || !self.reject(n_at_first) {
                break;
            }
        }
        best.and_then(|(t, c)| BSpline::new(t, c).ok())
    }

    /// Drops the outliers of the fit as it stands; false if there are none, or too many.
    fn reject(&mut self, n_at_first: usize) -> bool {
        self.solver.residuals(&self.y, &mut self.residuals);
        let n = self.residuals.len() as f64;
        let (sum, squares) = sum_and_squares(&self.residuals);
        let rms = (squares / n - (sum / n).powi(2)).max(0.0).sqrt();
        let (low, high) = (-self.rules.sigma_low * rms, self.rules.sigma_high * rms);
        self.rejected.clear();
        let outliers = self.residuals.iter().enumerate().filter(|&(_, &r)| r < low || r > high);
        self.rejected.extend(outliers.map(|(i, _)| i));
        let n_kept = self.residuals.len() - self.rejected.len();
        if self.rejected.is_empty() || (n_kept as f64) < SMALLEST_SHARE * n_at_first as f64 {
            return false;
        }
        self.limits = (low, high);
        self.solver.drop_points(&self.rejected, &self.y);
        if let Some(kept) = &mut self.kept {
            remove_at(kept, self.rejected.iter().copied());
        }
        remove_at(&mut self.x, self.rejected.iter().copied());
        remove_at(&mut self.y, self.rejected.iter().copied());
        true
    }
}

/// Sum and sum of squares, summed in eight interleaved parts.
fn sum_and_squares(values: &[f64]) -> (f64, f64) {
    let (chunks, rest) = values.as_chunks::<8>();
    let (mut sum, mut squares) = ([0.0; 8], [0.0; 8]);
    for chunk in chunks {
        for lane in 0..8 {
            sum[lane] += chunk[lane];
            squares[lane] += chunk[lane] * chunk[lane];
        }
    }
    for (lane, &value) in rest.iter().enumerate() {
        sum[lane] += value;
        squares[lane] += value * value;
    }
    (sum.iter().sum(), squares.iter().sum())
}

/// Knots for points between these ends: interior knots one spacing apart, from half a spacing inside, in the precision
/// of `T`, and each end four times. `None` if the ends are too close together for that.
///
/// In exact arithmetic there are `n_intervals - 1` interior knots; rounding may add one.
fn knot_sequence<T: Real>((low, high): (f64, f64), n_intervals: usize) -> Option<Vec<f64>> {
    let step = T::narrow(T::narrow(high - low) / n_intervals as f64);
    if step <= 0.0 || step.is_nan() {
        return None;
    }
    let half = T::narrow(step / 2.0);
    let interior =
        arange::<T>(T::narrow(low + half), T::narrow(high - half), step, n_intervals + 2);
    let mut knots = vec![low; ORDER];
    knots.extend(interior);
    knots.extend([high; ORDER]);
    knots.is_sorted().then_some(knots)
}

/// Fits a cubic B-spline to points in rising order of `x`, in the precision of `T`, with rejection of outliers.
///
/// Points that are not finite are left out, and so are those far from their lower neighbour (the lowest one counts its
/// distance to zero). Knots stand `range / n_intervals` apart. `Ok(None)` if the points have gaps or do not determine
/// a spline.
///
/// # Errors
/// [`Error::LengthMismatch`], [`Error::Parameter`] for `n_intervals = 0`, and [`Error::Unfittable`] for fewer than ten
/// points.
pub fn fit_spline<T: Real>(
    x: &[T],
    y: &[T],
    n_intervals: usize,
    rules: &RejectionParams,
) -> Result<Option<BSpline>, Error> {
    if x.len() != y.len() {
        return Err(Error::LengthMismatch { name: "y", found: y.len(), expected: x.len() });
    }
    if n_intervals == 0 {
        return Err(Error::Parameter { name: "n_intervals", value: 0.0, must_be: "at least 1" });
    }
    let mut points: Vec<(f64, f64)> = x
        .iter()
        .zip(y)
        .map(|(x, y)| (x.to_f64(), y.to_f64()))
        .filter(|(x, y)| x.is_finite() && y.is_finite())
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (x, y): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
    WindowFitter::<T>::new(*rules).fit(&x, &y, n_intervals)
}
