//! The record of the reference's fit: unweighted, so that its covariance is not the inverse of its matrix.

use super::record::FitRecord;
use super::region::RegionPixels;
use super::spline_fit::WindowFitter;
use super::window::Window;
use crate::numeric::Real;

/// What records are made from: the variances of the points of a region.
pub(crate) struct Recorder {
    /// Variances of the shares (flux over the sum of the column), by component and pixel. What is unknown counts as free
    /// of noise.
    components: Vec<Vec<f64>>,
}

impl Recorder {
    /// `components` are variances of the flux of the pixels, the square of the error first; `sums` what each column was
    /// divided by.
    pub(crate) fn new(pixels: &RegionPixels, sums: &[f64], components: &[Vec<f64>]) -> Self {
        let scaled = |component: &Vec<f64>| {
            let mut values = component.clone();
            for (column, sum) in pixels.columns.clone().zip(sums) {
                for i in pixels.column(column) {
                    let share = values[i] / (sum * sum);
                    values[i] = if share.is_finite() && share > 0.0 { share } else { 0.0 };
                }
            }
            values
        };
        Self { components: components.iter().map(scaled).collect() }
    }

    /// Records the fit that was just made to a window.
    pub(crate) fn record<T: Real>(
        &self,
        fitter: &mut WindowFitter<T>,
        window: &Window<'_>,
        columns: std::ops::Range<usize>,
    ) -> FitRecord {
        let places: Vec<usize> = fitter.kept().iter().map(|&point| window.pixel(point)).collect();
        let weights =
            |component: &Vec<f64>| places.iter().map(|&i| component[i]).collect::<Vec<f64>>();
        let noise: Vec<Vec<f64>> = self.components.iter().map(weights).collect();
        let values = fitter.values().to_vec();
        let limits = fitter.limits();
        let solver = fitter.solver();
        let mut residuals = Vec::new();
        solver.residuals(&values, &mut residuals);
        let information = solver.normal_matrix();
        let degrees = residuals.len().saturating_sub(information.len()).max(1) as f64;
        let seen = residuals.iter().zip(&noise[0]).filter(|(_, v)| **v > 0.0);
        let chi2 = seen.clone().map(|(r, v)| r * r / v).sum::<f64>() / degrees;
        FitRecord {
            window: columns,
            n_points: residuals.len(),
            n_rejected: window.alpha().len() - residuals.len(),
            chi2: if seen.count() > 0 { chi2 } else { f64::NAN },
            limits,
            information,
            noise: noise.iter().map(|component| solver.weighted_matrix(component)).collect(),
        }
    }
}
