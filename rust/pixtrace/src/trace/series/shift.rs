//! How far the source of one integration stands from where the shared profile has it.

use super::fit::{IntegrationFit, Moved};
use super::profile::RegionProfile;

/// Steps of the least squares, which is linearised anew after each.
const MOST_STEPS: usize = 20;
/// Rounds of shift and rejection of outliers.
const MOST_ROUNDS: usize = 3;
/// A step is the last one if it is shorter than this many native pixels,
const SHORT: f64 = 1e-6;
/// or than this many errors of the shift.
const SHORT_IN_ERRORS: f64 = 1e-2;

/// Fits the shift of all columns of a region together, and the scales with it.
///
/// With `M(d)` the profile shifted by `d` and `g` its derivative by `d`, every column has its own scale `s = b / a`, `a = sum
/// w M^2`, `b = sum w M f`. With the scales eliminated, a step is
///
/// ```text
/// sum_x s (e - s c) / sum_x s^2 (q - c^2 / a),      c = sum w M g,   q = sum w g^2,   e = sum w g f.
/// ```
///
/// If the steps lead more than `most` native pixels away, or nowhere, the shift is NaN and the scales stay as they were.
pub(super) fn fit_shift(region: &RegionProfile, fit: &mut IntegrationFit, most: f64) {
    let mut template = Shifted::new(region);
    let mut shift = 0.0;
    for _ in 0..MOST_ROUNDS {
        let before = fit.is_used.clone();
        let found = converge(region, fit, &mut template, shift, most);
        let Some(found) = found else {
            fit.fit_columns(region, &region.template);
            (fit.shift, fit.shift_variance) = (f64::NAN, f64::NAN);
            return;
        };
        shift = found;
        fit.fit_columns(region, &template.value);
        if fit.is_used == before {
            break;
        }
    }
    add_errors(region, fit, &template);
    fit.shift = shift;
    fit.moved = Some(Moved { fit: template.fit, template: template.value, slope: template.slope });
}

/// The profile at some shift, and its derivative by the shift, at every pixel.
struct Shifted {
    fit: Vec<f64>,
    value: Vec<f64>,
    slope: Vec<f64>,
}

impl Shifted {
    fn new(region: &RegionProfile) -> Self {
        let n = region.template.len();
        Self { fit: vec![f64::NAN; n], value: vec![f64::NAN; n], slope: vec![0.0; n] }
    }

    /// Moves the splines; the residuals that all integrations share stay where they are.
    fn set(&mut self, region: &RegionProfile, shift: f64) {
        for (column, trace) in region.traces() {
            let Some(spline) = region.splines.get(trace.spline) else { continue };
            let mut near = 0;
            for i in region.pixels.column(column) {
                if region.fit[i].is_finite() {
                    let (value, slope) =
                        spline.eval_with_slope(region.pixels.alpha[i] - shift, &mut near);
                    self.fit[i] = value;
                    self.value[i] = trace.scale * value + region.residual[i];
                    self.slope[i] = -trace.scale * slope;
                }
            }
        }
    }
}

/// Sums over the pixels of a column.
#[derive(Clone, Copy, Default)]
struct Sums {
    a: f64,
    b: f64,
    c: f64,
    q: f64,
    e: f64,
}

impl Sums {
    fn of(region: &RegionProfile, fit: &IntegrationFit, at: &Shifted, column: usize) -> Self {
        let mut sums = Self::default();
        for i in region.pixels.column(column).filter(|&i| fit.is_used[i]) {
            let (w, m, g, f) = (region.weight[i], at.value[i], at.slope[i], fit.flux[i]);
            sums.a += w * m * m;
            sums.b += w * m * f;
            sums.c += w * m * g;
            sums.q += w * g * g;
            sums.e += w * g * f;
        }
        sums
    }

    fn scale(&self) -> Option<f64> {
        (self.a > 0.0).then(|| self.b / self.a)
    }

    /// What the column tells of the shift.
    fn information(&self, scale: f64) -> f64 {
        scale * scale * (self.q - self.c * self.c / self.a)
    }
}

/// Takes steps until they are short; `None` if they do not become so.
fn converge(
    region: &RegionProfile,
    fit: &IntegrationFit,
    template: &mut Shifted,
    start: f64,
    most: f64,
) -> Option<f64> {
    let mut shift = start;
    for _ in 0..MOST_STEPS {
        template.set(region, shift);
        let (mut rise, mut information) = (0.0, 0.0);
        for column in region.bounds.columns.clone() {
            let sums = Sums::of(region, fit, template, column);
            if let Some(scale) = sums.scale() {
                rise += scale * (sums.e - scale * sums.c);
                information += sums.information(scale);
            }
        }
        let step = rise / information;
        if !(information > 0.0 && step.is_finite()) {
            return None;
        }
        // The linearisation is good for a fraction of a pixel.
        let step = step.clamp(-0.5 * region.step, 0.5 * region.step);
        shift += step;
        if shift.abs() > most * region.step {
            return None;
        }
        if step.abs() <= (SHORT * region.step).max(SHORT_IN_ERRORS / information.sqrt()) {
            template.set(region, shift);
            return Some(shift);
        }
    }
    None
}

/// Works out the variance of the shift, and what it adds to those of the scales.
fn add_errors(region: &RegionProfile, fit: &mut IntegrationFit, at: &Shifted) {
    let columns = region.bounds.columns.clone();
    let sums: Vec<Sums> = columns.clone().map(|x| Sums::of(region, fit, at, x)).collect();
    let information: f64 =
        sums.iter().filter_map(|sums| Some(sums.information(sums.scale()?))).sum();
    let mut variance = 0.0;
    let mut together = vec![0.0; sums.len()];
    for ((column, sums), together) in columns.clone().zip(&sums).zip(&mut together) {
        let Some(scale) = sums.scale() else { continue };
        for i in region.pixels.column(column).filter(|&i| fit.is_used[i]) {
            let (w, m, square) = (region.weight[i], at.value[i], fit.sigma[i] * fit.sigma[i]);
            let in_shift = w * scale * (at.slope[i] - m * sums.c / sums.a) / information;
            variance += in_shift * in_shift * square;
            *together += in_shift * w * m / sums.a * square;
        }
    }
    fit.shift_variance = variance;
    for ((column, sums), together) in fit.columns.iter_mut().zip(&sums).zip(together) {
        if let Some(scale) = sums.scale() {
            let by_shift = -scale * sums.c / sums.a;
            column.variance += by_shift * (by_shift * variance + 2.0 * together);
            column.with_shift = by_shift * variance + together;
        }
    }
}
