//! Extraction and evaluation through the public API: what is put in comes out, and the variances are right.

use ndarray::{Array2, Axis};
use pixtrace::Control;
use pixtrace::trace::{
    Exposure, ExtractParams, FitParams, Points, RejectionParams, RobustParams, Thresholds,
    TraceModel, evaluate, evaluate_with_errors, extract, fit_all_regions_recorded, fit_robust,
};

const N_Y: usize = 26;
const N_X: usize = 70;
/// The column that derivatives are taken in.
const COLUMN: usize = 30;

struct Slit {
    alpha: Array2<f64>,
    flux: Array2<f64>,
    error: Array2<f64>,
    labels: Array2<i32>,
}

/// Flux of the source in a column.
fn spectrum(x: usize) -> f64 {
    500.0 * (1.0 + 0.3 * (x as f64 / 15.0).sin())
}

/// A source of unit width with a spectrum, on a background that is as bright as it likes in each column.
fn slit(background: impl Fn(usize) -> f64) -> Slit {
    let alpha = Array2::from_shape_fn((N_Y, N_X), |(y, x)| y as f64 - 12.3 + 0.03 * x as f64);
    let norm = (2.0 * std::f64::consts::PI).sqrt();
    let flux = Array2::from_shape_fn((N_Y, N_X), |(y, x)| {
        spectrum(x) * (-0.5 * alpha[(y, x)].powi(2)).exp() / norm + background(x)
    });
    let error = flux.mapv(|f| (1.0 + 0.05 * f).sqrt());
    Slit { alpha, flux, error, labels: Array2::from_elem((N_Y, N_X), 1) }
}

impl Slit {
    fn exposure(&self) -> Exposure<'_, f64> {
        Exposure::new(
            self.flux.view(),
            Some(self.error.view()),
            self.alpha.view(),
            self.labels.view(),
        )
        .unwrap()
    }

    fn robust(&self) -> TraceModel {
        fit_robust(&self.exposure(), &[], &RobustParams::default(), &Control::default()).unwrap()
    }

    /// Without rejections, so that the flux is linear in the pixels.
    fn reference(&self) -> TraceModel {
        let params = FitParams {
            n_intervals: Some(30),
            require_ngood: Some(8),
            half_window: 20,
            columns: Some(vec![COLUMN]),
            rejection: RejectionParams {
                sigma_low: 99.0,
                sigma_high: 99.0,
                ..RejectionParams::default()
            },
            ..FitParams::default()
        };
        fit_all_regions_recorded(
            &self.exposure(),
            &[],
            &Thresholds::default(),
            &params,
            &Control::default(),
        )
        .unwrap()
    }
}

#[test]
fn the_flux_of_a_source_comes_out() {
    let scene = slit(|_| 0.0);
    let model = scene.robust();
    let params = ExtractParams { planes: true, ..ExtractParams::default() };
    let found = extract(&scene.exposure(), None, &model, &params, &Control::default()).unwrap();
    let region = &found.regions[&1];
    assert_eq!(region.columns, 0..N_X);
    for x in 0..N_X {
        assert!((region.flux[x] / spectrum(x) - 1.0).abs() < 2e-3, "{x}");
        assert!((region.fraction[x] - 1.0).abs() < 1e-3);
        assert!(region.background[x].is_nan() && region.wavelength[x].is_nan());
        // What is left of a column sums up to nothing, weighted as it was extracted.
        let source = found.source.index_axis(Axis(1), x);
        let rest: f64 = (0..N_Y)
            .filter(|&y| source[y].is_finite())
            .map(|y| source[y] * (scene.flux[(y, x)] - source[y]) / scene.error[(y, x)].powi(2))
            .sum();
        assert!(rest.abs() < 1e-6 * spectrum(x));
    }
}

#[test]
fn a_background_of_its_own_in_every_column_is_told_apart() {
    let background = |x: usize| 20.0 + 15.0 * ((x * x) as f64).sin();
    let scene = slit(background);
    let model = scene.robust();
    let params = ExtractParams { source: Some((-5.0, 5.0)), ..ExtractParams::default() };
    let wavelength = Array2::from_shape_fn((N_Y, N_X), |(_, x)| 5.0 + 0.001 * x as f64);
    let exposure = scene.exposure();
    let found =
        extract(&exposure, Some(wavelength.view()), &model, &params, &Control::default()).unwrap();
    let region = &found.regions[&1];
    for x in 0..N_X {
        assert!((region.flux[x] / spectrum(x) - 1.0).abs() < 1.5e-2, "{x}: {}", region.flux[x]);
        assert!((region.background[x] / background(x) - 1.0).abs() < 0.05, "{x}");
        assert!((region.wavelength[x] - (5.0 + 0.001 * x as f64)).abs() < 1e-12);
    }
    assert_eq!(found.source.nrows(), 0);
}

#[test]
fn variances_are_those_of_the_numerical_derivative() {
    // Every pixel of the window is moved by itself, and everything done anew.
    let column = COLUMN;
    for source in [None, Some((-4.5, 4.5))] {
        let mut scene = slit(|_| 6.0);
        let params = ExtractParams {
            source,
            reject_outliers: false,
            planes: true,
            ..ExtractParams::default()
        };
        let rows = [4, 11, 12, 15];
        let measure = |scene: &Slit| -> Vec<f64> {
            let exposure = scene.exposure();
            let model = scene.reference();
            let found = extract(&exposure, None, &model, &params, &Control::default()).unwrap();
            let region = &found.regions[&1];
            let rest = rows.iter().map(|&y| scene.flux[(y, column)] - found.source[(y, column)]);
            [region.flux[column], region.background[column]].into_iter().chain(rest).collect()
        };
        let exposure = scene.exposure();
        let model = scene.reference();
        let found = extract(&exposure, None, &model, &params, &Control::default()).unwrap();
        let region = &found.regions[&1];
        let expected: Vec<f64> = [region.variance[column], region.background_variance[column]]
            .into_iter()
            .chain(rows.iter().map(|&y| found.variance[(y, column)]))
            .collect();
        let before = measure(&scene);
        let mut sums = vec![0.0; before.len()];
        for y in 0..N_Y {
            for x in column - 20..column + 20 {
                let step = 1e-4 * scene.error[(y, x)];
                scene.flux[(y, x)] += step;
                for (sum, (a, b)) in sums.iter_mut().zip(measure(&scene).iter().zip(&before)) {
                    *sum += ((a - b) / 1e-4).powi(2);
                }
                scene.flux[(y, x)] -= step;
            }
        }
        for (sum, expected) in sums.iter().zip(&expected).filter(|(_, e)| e.is_finite()) {
            // To the noise of the sums of the columns, which is neglected.
            assert!((sum / expected - 1.0).abs() < 0.05, "{source:?}: {sums:?} {expected:?}");
        }
        // No background in the one case, and a row beyond the source in the other.
        assert_eq!(expected.iter().filter(|e| e.is_finite()).count(), 5);
    }
}

#[test]
fn without_a_record_the_profile_counts_as_known() {
    let scene = slit(|_| 0.0);
    let mut model = scene.robust();
    let exposure = scene.exposure();
    let control = Control::default();
    let with = extract(&exposure, None, &model, &ExtractParams::default(), &control).unwrap();
    for trace in model.regions.values_mut() {
        trace.record = None;
    }
    assert!(extract(&exposure, None, &model, &ExtractParams::default(), &control).is_err());
    let params = ExtractParams { profile_errors: false, ..ExtractParams::default() };
    let without = extract(&exposure, None, &model, &params, &control).unwrap();
    for (a, b) in with.regions[&1].variance.iter().zip(&without.regions[&1].variance) {
        assert!(*b > 0.0 && a / b > 0.9 && a / b < 2.0, "{a} {b}");
    }
}

#[test]
fn a_model_is_evaluated_where_it_is_known() {
    let scene = slit(|_| 3.0);
    let model = scene.robust();
    let (exposure, control) = (scene.exposure(), Control::default());
    let points = Points {
        alpha: &[0.0, 0.0, 100.0, f64::NAN, 0.0, 0.0, 0.5],
        region: &[1, 2, 1, 1, 1, 1, 1],
        column: &[10, 10, 10, 10, -1, 700, 3],
    };
    let found = evaluate_with_errors(&exposure, &[], &model, points, &control).unwrap();
    let known: Vec<bool> = found.flux.iter().map(|f| f.is_finite()).collect();
    assert_eq!(known, [true, false, false, false, false, false, true]);
    let norm = (2.0 * std::f64::consts::PI).sqrt();
    assert!((found.flux[0] / (spectrum(10) / norm + 3.0) - 1.0).abs() < 5e-3);
    for (flux, variance) in found.flux.iter().zip(&found.variances[0]) {
        assert_eq!(flux.is_finite(), variance.is_finite());
    }
    // Less than the error of a pixel, because the window has many.
    assert!(found.variances[0][0] < scene.error[(12, 10)].powi(2));
    assert!(evaluate(&model, Points { column: &[1], ..points }, &control).is_err());
}
