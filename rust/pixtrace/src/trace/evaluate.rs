//! A model at any points: wherever someone wants to know it, not only at pixels.

use std::collections::HashMap;
use std::ops::Range;

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::compact::CompactRanges;
use super::exposure::Exposure;
use super::functional::Functional;
use super::known::{Cache, Known};
use super::model::{ColumnTrace, TraceModel};
use super::model_error::ModelError;
use super::propagate::{Residual, check_record};
use super::traced::TracedRegion;
use crate::numeric::Real;
use crate::numeric::normal::basis_at;
use crate::{Control, Error};

/// Points of one task.
const POINTS_AT_A_TIME: usize = 4096;

/// Where a model is to be evaluated; the three agree in length.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// Coordinate along the slice.
    pub alpha: &'a [f64],
    /// Label of the region.
    pub region: &'a [i32],
    /// Column of the image; it may lie outside.
    pub column: &'a [i64],
}

impl Points<'_> {
    fn check(&self) -> Result<(), Error> {
        for (name, found) in [("region", self.region.len()), ("column", self.column.len())] {
            if found != self.alpha.len() {
                return Err(Error::LengthMismatch { name, found, expected: self.alpha.len() });
            }
        }
        Ok(())
    }
}

/// A model at points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvaluatedPoints {
    /// Flux; NaN where there is no model.
    pub flux: Vec<f64>,
    /// Its variance, from the square of the error and from each component given.
    pub variances: Vec<Vec<f64>>,
}

/// Evaluates a model at points: scale times spline within the bounds of the column's trace, NaN elsewhere.
///
/// A point beyond the bounds by no more than the precision of an `f32` counts as lying on them, because they are those of
/// coordinates that have been rounded.
///
/// # Errors
/// [`Error::LengthMismatch`] and [`Error::Cancelled`].
pub fn evaluate(
    model: &TraceModel,
    points: Points<'_>,
    control: &Control,
) -> Result<Vec<f64>, Error> {
    points.check()?;
    let columns: HashMap<i32, HashMap<usize, &ColumnTrace>> =
        model.regions.iter().map(|(&label, trace)| (label, trace.by_column())).collect();
    control.expect(points.alpha.len());
    let value = |i: usize| {
        let column = usize::try_from(points.column[i]).ok()?;
        let trace = columns.get(&points.region[i])?.get(&column)?;
        let spline = model.regions.get(&points.region[i])?.splines.get(trace.spline)?;
        Some(trace.scale * spline.eval(within(trace, points.alpha[i])?))
    };
    let mut flux = vec![f64::NAN; points.alpha.len()];
    flux.par_chunks_mut(POINTS_AT_A_TIME).enumerate().for_each(|(chunk, out)| {
        if control.check().is_ok() {
            for (i, flux) in out.iter_mut().enumerate() {
                *flux = value(chunk * POINTS_AT_A_TIME + i).unwrap_or(f64::NAN);
            }
            control.advance(out.len());
        }
    });
    control.check()?;
    Ok(flux)
}

/// Evaluates a model at points, with its variances, which come from those of the pixels of an exposure.
///
/// The model must have been fitted to this exposure, or have been scaled to it ([`super::rescale`]). Where the fit has
/// left a record, the variances are those of spline and scale, and to the first comes, for a weighted fit, the square of
/// what the model may be wrong by (see `model_error.rs`); where it has not, those of the scale alone.
///
/// # Errors
/// [`Error::LengthMismatch`], [`Error::ShapeMismatch`], [`Error::NoRecord`] for a record without these components,
/// [`Error::NoErrors`] and [`Error::Cancelled`].
pub fn evaluate_with_errors<T: Real>(
    exposure: &Exposure<'_, T>,
    variances: &[ArrayView2<'_, T>],
    model: &TraceModel,
    points: Points<'_>,
    control: &Control,
) -> Result<EvaluatedPoints, Error> {
    let map = exposure.regions();
    for variance in variances {
        map.check_shape("variance", variance.dim(), map.dim().0)?;
    }
    let Some(error) = exposure.error() else { return Err(Error::NoErrors) };
    let n_components = 1 + variances.len();
    for (&region, trace) in &model.regions {
        if trace.record.is_some() {
            check_record(region, trace, n_components)?;
        }
    }
    let flux = evaluate(model, points, control)?;
    let traced = TracedRegion::all(map, model, exposure.alpha(), Some(exposure.flux()), control)?;
    let known: HashMap<i32, (Known<'_>, Option<(ModelError, f64)>)> = traced
        .into_par_iter()
        .map(|region| {
            let (label, everywhere) = (region.label, CompactRanges::everywhere());
            let known = Known::new(exposure, error, variances, region, everywhere, Residual::Whole);
            let model_error = ModelError::new(&known);
            let with_pitch = model_error.map(|e| (e, known.region.pixels.native_dalpha::<f64>()));
            (label, (known, with_pitch))
        })
        .collect();
    control.check()?;
    // Points of one column together: they share all that is costly.
    let mut order: Vec<usize> = (0..flux.len()).filter(|&i| flux[i].is_finite()).collect();
    order.sort_by_key(|&i| (points.region[i], points.column[i]));
    let found: Vec<Vec<(usize, Vec<f64>)>> = groups(&order, points)
        .into_par_iter()
        .map(|group| {
            let places = &order[group];
            match known.get(&points.region[places[0]]) {
                Some((known, model_error)) if control.check().is_ok() => {
                    column_variances(known, model_error.as_ref(), places, points, n_components)
                }
                _ => Vec::new(),
            }
        })
        .collect();
    control.check()?;
    let mut out = vec![vec![f64::NAN; flux.len()]; n_components];
    for (i, values) in found.into_iter().flatten() {
        for (plane, value) in out.iter_mut().zip(values) {
            plane[i] = value;
        }
    }
    Ok(EvaluatedPoints { flux, variances: out })
}

/// Stretches of points that lie in the same column of the same region.
fn groups(order: &[usize], points: Points<'_>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut first = 0;
    let key = |i: usize| (points.region[order[i]], points.column[order[i]]);
    for i in 1..=order.len() {
        if i == order.len() || key(i) != key(first) {
            found.push(first..i);
            first = i;
        }
    }
    found
}

/// Variances, by component, of the model at points of one column; `model_error` comes with the distance of pixels.
fn column_variances(
    known: &Known<'_>,
    model_error: Option<&(ModelError, f64)>,
    places: &[usize],
    points: Points<'_>,
    n_components: usize,
) -> Vec<(usize, Vec<f64>)> {
    let column = usize::try_from(points.column[places[0]]).unwrap_or(usize::MAX);
    let Some((trace, spline)) =
        known.region.column(column).and_then(|t| Some((t, known.region.spline(t)?)))
    else {
        return Vec::new();
    };
    let mut cache = Cache::default();
    let terms = known.terms(column, trace, &mut cache);
    let of_scale: Vec<f64> = match &terms {
        Some(_) => Vec::new(),
        None if known.region.record().is_some() => return Vec::new(),
        None => {
            let kappa = known.scale_kappa(column, false);
            (0..n_components).map(|k| known.variance_of(column, k, &kappa)).collect()
        }
    };
    places
        .iter()
        .filter_map(|&i| {
            let alpha = within(trace, points.alpha[i])?;
            let profile = spline.eval(alpha);
            let Some(terms) = &terms else {
                return Some((i, of_scale.iter().map(|v| profile * profile * v).collect()));
            };
            let at = |alpha: f64| {
                let mut functional = Functional::whole(profile, Vec::new());
                functional.at = Some(basis_at(spline.knots(), alpha));
                functional
            };
            let mut functional = at(alpha);
            functional.add(basis_at(spline.knots(), alpha), 1.0);
            let mut variances: Vec<f64> =
                (0..n_components).map(|k| terms.variance(k, &functional)).collect();
            if let Some((model_error, pitch)) = model_error {
                // As on a grid of native pixels: the mean over one to either side.
                let around = [alpha - pitch, alpha, alpha + pitch];
                let pixels: Vec<(usize, Functional)> =
                    around.into_iter().map(at).enumerate().collect();
                let squares = model_error.squares(column, terms, spline.coefficients(), &pixels, 1);
                variances[0] += squares[1];
            }
            Some((i, variances))
        })
        .collect()
}

/// Alpha within the bounds of a trace, or on them if it lies beyond by a rounding; `None` otherwise.
fn within(trace: &ColumnTrace, alpha: f64) -> Option<f64> {
    let (low, high) = trace.bounds;
    let rounding = f64::from(f32::EPSILON) * low.abs().max(high.abs());
    (low - rounding <= alpha && alpha <= high + rounding).then(|| alpha.clamp(low, high))
}
