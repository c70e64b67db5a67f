//! What must hold for any exposure, tested through the public interface.

use ndarray::{Array2, s};
use pixtrace::numeric::BSpline;
use pixtrace::trace::{
    Exposure, FineGrid, FitParams, LinearParams, OversampleParams, OversampledPlanes,
    RejectionParams, Thresholds, TraceModel, fit_all_regions, fit_spline, linear_oversample,
    oversample, trace_image,
};
use pixtrace::{Control, Error};
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

/// A made-up exposure: two slices, one above the other, with a star each.
#[derive(Clone, Debug)]
struct Scene {
    flux: Array2<f64>,
    alpha: Array2<f64>,
    region_map: Array2<i32>,
}

impl Scene {
    fn exposure(&self) -> Exposure<'_, f64> {
        Exposure::new(self.flux.view(), None, self.alpha.view(), self.region_map.view()).unwrap()
    }

    /// Alpha on a grid `factor` times finer.
    fn alpha_fine(&self, factor: f64) -> Array2<f64> {
        let grid = FineGrid::new(self.flux.nrows(), factor, false).unwrap();
        let control = Control::default();
        pixtrace::trace::alpha_on_grid(self.alpha.view(), self.region_map.view(), &grid, &control)
            .unwrap()
    }
}

prop_compose! {
    fn scenes()(
        height in 14..24_usize,
        n_columns in 20..60_usize,
        tilt in -0.05..0.05_f64,
        width in 0.7..2.0_f64,
        centre in -2.0..2.0_f64,
        brightness in 10.0..1000.0_f64,
        holes in prop::collection::vec((0..48_usize, 0..60_usize), 0..12),
    ) -> Scene {
        let n_rows = 2 * height;
        let alpha = Array2::from_shape_fn((n_rows, n_columns), |(y, x)| {
            (y % height) as f64 - height as f64 / 2.0 + tilt * x as f64
        });
        let region_map = Array2::from_shape_fn((n_rows, n_columns), |(y, _)| if y < height { 1 } else { 2 });
        let mut flux = alpha.mapv(|a: f64| brightness * (-0.5 * ((a - centre) / width).powi(2)).exp() + 3.0);
        for (y, x) in holes {
            if let Some(pixel) = flux.get_mut((y, x)) {
                *pixel = f64::NAN;
            }
        }
        Scene { flux, alpha, region_map }
    }
}

fn params() -> FitParams {
    FitParams {
        half_window: 15,
        n_intervals: Some(20),
        require_ngood: Some(6),
        ..FitParams::default()
    }
}

fn fit(scene: &Scene) -> TraceModel {
    fit_all_regions(&scene.exposure(), &Thresholds::default(), &params(), &Control::default())
        .unwrap()
}

fn refine(scene: &Scene, model: &TraceModel, factor: f64) -> OversampledPlanes<f64> {
    let params = OversampleParams { factor, require_ngood: 3, ..OversampleParams::default() };
    let alpha = scene.alpha_fine(factor);
    oversample(&scene.exposure(), model, alpha.view(), &params, &Control::default()).unwrap()
}

/// Equal in every bit, NaN included.
fn same_bits(a: &Array2<f64>, b: &Array2<f64>) -> bool {
    a.dim() == b.dim() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_basis_sums_to_one(mut inner in prop::collection::vec(0.01..9.99_f64, 0..12), x in 0.0..10.0_f64) {
        inner.sort_by(f64::total_cmp);
        let mut knots = vec![0.0; 4];
        knots.extend(inner);
        knots.extend([10.0; 4]);
        let ones = vec![1.0; knots.len() - 4];
        prop_assert!((BSpline::new(knots, ones).unwrap().eval(x) - 1.0).abs() < 1e-13);
    }

    #[test]
    fn a_cubic_returns_itself(
        c in prop::array::uniform4(-2.0..2.0_f64), n in 60..400_usize, n_intervals in 1..20_usize, offset in -5.0..5.0_f64
    ) {
        // Uneven points; a cubic is a spline on any knots.
        let x: Vec<f64> = (0..n).map(|i| { let u = i as f64 / n as f64; offset + 4.0 * u + 0.001 * (40.0 * u).sin() }).collect();
        let cubic = |x: f64| { let v = x - offset - 2.0; c[0] + v * (c[1] + v * (c[2] + v * c[3])) };
        let y: Vec<f64> = x.iter().map(|&x| cubic(x)).collect();
        let rules = RejectionParams { space_ratio: 10.0, n_rounds: 1, ..RejectionParams::default() };
        let spline = fit_spline(&x, &y, n_intervals, &rules).unwrap().unwrap();
        let (low, high) = spline.base_interval();
        for step in 0..=50 {
            let x = low + (high - low) * f64::from(step) / 50.0;
            prop_assert!((spline.eval(x) - cubic(x)).abs() < 1e-9, "{} at {}", spline.eval(x) - cubic(x), x);
        }
    }

    #[test]
    fn a_brighter_scene_gives_brighter_planes(scene in scenes(), exponent in -8..9_i32) {
        // A power of two scales without rounding, so that every decision on the way is the same.
        let k = 2.0_f64.powi(exponent);
        let bright = Scene { flux: scene.flux.mapv(|f| k * f), ..scene.clone() };
        let (dim, bright) = (refine(&scene, &fit(&scene), 2.0), refine(&bright, &fit(&bright), 2.0));
        for (dim, bright) in [
            (&dim.flux, &bright.flux),
            (&dim.trace_used, &bright.trace_used),
            (&dim.full_trace, &bright.full_trace),
            (&dim.linear_flux, &bright.linear_flux),
            (&dim.residual_flux, &bright.residual_flux),
        ] {
            prop_assert!(same_bits(&dim.mapv(|f| k * f), bright));
        }
    }

    #[test]
    fn regions_do_not_see_each_other(scene in scenes()) {
        let together = fit(&scene);
        for label in [1, 2] {
            let alone = Scene { region_map: scene.region_map.mapv(|l| if l == label { l } else { 0 }), ..scene.clone() };
            prop_assert_eq!(&fit(&alone).regions[&label], &together.regions[&label]);
        }
    }

    #[test]
    fn labels_are_only_names(scene in scenes()) {
        let exchanged = Scene { region_map: scene.region_map.mapv(|l| 90 - l), ..scene.clone() };
        let (one, other) = (fit(&scene), fit(&exchanged));
        prop_assert_eq!(&one.regions[&1], &other.regions[&89]);
        prop_assert_eq!(&one.regions[&2], &other.regions[&88]);
        // The search for compact sources takes its number of bins from the lowest label, as the reference does; so
        // here the order of the labels has to stay.
        let renamed = Scene { region_map: scene.region_map.mapv(|l| 40 * l), ..scene.clone() };
        let other = fit(&renamed);
        prop_assert!(same_bits(&refine(&scene, &one, 2.0).flux, &refine(&renamed, &other, 2.0).flux));
    }

    #[test]
    fn the_number_of_threads_changes_no_bit(scene in scenes()) {
        let on = |n: usize| {
            let pool = ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| { let model = fit(&scene); let planes = refine(&scene, &model, 3.0); (model, planes) })
        };
        let (model, planes) = on(1);
        for n in [2, 8] {
            let (other_model, other_planes) = on(n);
            prop_assert_eq!(&model, &other_model);
            prop_assert!(same_bits(&planes.flux, &other_planes.flux));
            prop_assert!(same_bits(&planes.residual_flux, &other_planes.residual_flux));
        }
    }

    #[test]
    fn the_layout_in_memory_changes_no_bit(scene in scenes()) {
        let fortran = Scene {
            flux: scene.flux.t().as_standard_layout().into_owned().reversed_axes(),
            alpha: scene.alpha.t().as_standard_layout().into_owned().reversed_axes(),
            region_map: scene.region_map.t().as_standard_layout().into_owned().reversed_axes(),
        };
        let (one, other) = (fit(&scene), fit(&fortran));
        prop_assert_eq!(&one, &other);
        prop_assert!(same_bits(&refine(&scene, &one, 2.0).flux, &refine(&fortran, &other, 2.0).flux));
    }

    #[test]
    fn factor_one_keeps_the_data(scene in scenes()) {
        // The model is used somewhere; its residual brings back what was measured, but for the ends of a slice.
        let planes = refine(&scene, &fit(&scene), 1.0);
        let height = scene.flux.nrows() / 2;
        for ((at, &fine), &native) in planes.flux.indexed_iter().zip(&scene.flux) {
            let is_inner = (1..height - 1).contains(&(at.0 % height));
            prop_assert!(!is_inner || fine.is_finite() || native.is_nan());
            if is_inner && native.is_finite() {
                prop_assert!((fine - native).abs() <= 1e-9 * native.abs(), "{} is not {} at {:?}", fine, native, at);
            }
        }
    }

    #[test]
    fn averaging_back_a_straight_line_gives_it_back(scene in scenes(), factor in 2..5_usize, slope in -3.0..3.0_f64) {
        let data = scene.alpha.mapv(|a| slope * a + 1.0);
        let params = LinearParams { factor: factor as f64, require_ngood: 3, ..LinearParams::default() };
        let fine: Array2<f64> =
            linear_oversample(data.view(), scene.region_map.view(), &params, &Control::default()).unwrap();
        let height = scene.flux.nrows() / 2;
        for y in (1..height - 1).chain(height + 1..2 * height - 1) {
            let mean = fine.slice(s![y * factor..(y + 1) * factor, ..]).mean_axis(ndarray::Axis(0)).unwrap();
            for (mean, expected) in mean.iter().zip(data.row(y)) {
                prop_assert!((mean - expected).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_smooth_profile_is_recovered(
        tilt in 0.02..0.05_f64, centre in -1.0..1.0_f64, width in 1.8..2.5_f64, brightness in 1.0..1e4_f64
    ) {
        // A star that lies well inside the slice, wide enough for knots 1.5 pixels apart. Without rejection, which in
        // data without noise takes what little the spline misses for outliers.
        let alpha = Array2::from_shape_fn((24, 50), |(y, x)| y as f64 - 12.0 + tilt * (x as f64 - 25.0));
        let flux = alpha.mapv(|a: f64| brightness * (-0.5 * ((a - centre) / width).powi(2)).exp());
        let scene = Scene { flux, alpha, region_map: Array2::ones((24, 50)) };
        let rejection = RejectionParams { n_rounds: 1, ..RejectionParams::default() };
        let params = FitParams { n_intervals: Some(16), rejection, ..params() };
        let control = Control::default();
        let model = fit_all_regions(&scene.exposure(), &Thresholds::default(), &params, &control).unwrap();
        prop_assert_eq!(model.regions[&1].columns.len(), 50);
        let (labels, alpha) = (scene.region_map.view(), scene.alpha.view());
        let image = trace_image::<f64>(&model, labels, alpha, 0.0, 3.0, &control).unwrap();
        for (fitted, truth) in image.full_trace.iter().zip(&scene.flux).filter(|(t, _)| t.is_finite()) {
            prop_assert!((fitted - truth).abs() < 0.02 * brightness, "{} for {}", fitted, truth);
        }
    }

    #[test]
    fn nothing_at_all_panics(
        pixels in prop::collection::vec(prop::sample::select(vec![
            f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, -1.0, 1e300, -1e300, 1e-310]), 60),
        alpha in prop::collection::vec(prop::sample::select(vec![
            f64::NAN, f64::INFINITY, 0.0, 1.0, 2.0, 3.0, -1.0, -2.0, 0.5, 1e30, 1e-30]), 60),
        labels in prop::collection::vec(-1..4_i32, 60),
        n_columns in prop::sample::select(vec![1_usize, 3, 5, 12, 60]),
        n_intervals in prop::option::of(1..40_usize),
        factor in 1.0..3.0_f64,
    ) {
        let shape = (60 / n_columns, n_columns);
        let scene = Scene {
            flux: Array2::from_shape_vec(shape, pixels).unwrap(),
            alpha: Array2::from_shape_vec(shape, alpha).unwrap(),
            region_map: Array2::from_shape_vec(shape, labels).unwrap(),
        };
        let params = FitParams { half_window: 4, n_intervals, require_ngood: Some(0), ..FitParams::default() };
        let snr = Thresholds { snr: Some(0.5), peak: None };
        for thresholds in [Thresholds::default(), snr] {
            let errors = scene.flux.mapv(f64::abs);
            let exposure =
                Exposure::new(scene.flux.view(), Some(errors.view()), scene.alpha.view(), scene.region_map.view()).unwrap();
            let model = fit_all_regions(&exposure, &thresholds, &params, &Control::default()).unwrap();
            let planes = refine(&scene, &model, factor);
            prop_assert_eq!(planes.flux.ncols(), n_columns);
        }
    }
}

#[test]
fn input_that_does_not_fit_is_refused() {
    let (plane, labels) = (Array2::<f64>::zeros((4, 5)), Array2::<i32>::zeros((4, 6)));
    let error = Exposure::new(plane.view(), None, plane.view(), labels.view()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`region_map` has shape [4, 6]; expected [4, 5], the shape that goes with `flux`"
    );

    let labels = Array2::<i32>::ones((4, 5));
    let exposure = Exposure::new(plane.view(), None, plane.view(), labels.view()).unwrap();
    let refused = |params: FitParams| {
        fit_all_regions(&exposure, &Thresholds::default(), &params, &Control::default())
            .unwrap_err()
    };
    assert!(matches!(
        refused(FitParams { columns: Some(vec![0, 5]), ..FitParams::default() }),
        Error::ColumnOutside { column: 5, n_columns: 5 }
    ));
    assert!(matches!(
        refused(FitParams { half_window: 0, ..FitParams::default() }),
        Error::Parameter { .. }
    ));
    let peaks = Thresholds { peak: Some([(2, 1.0)].into()), snr: None };
    let error =
        fit_all_regions(&exposure, &peaks, &FitParams::default(), &Control::default()).unwrap_err();
    assert_eq!(error, Error::MissingThreshold { region: 1 });
}

#[test]
fn a_call_stops_when_it_is_told_to() {
    let control = Control::default();
    control.cancel();
    let alpha = Array2::from_shape_fn((20, 300), |(y, _)| y as f64);
    let labels = Array2::<i32>::ones((20, 300));
    let exposure = Exposure::new(alpha.view(), None, alpha.view(), labels.view()).unwrap();
    let stopped =
        fit_all_regions(&exposure, &Thresholds::default(), &FitParams::default(), &control);
    assert_eq!(stopped.unwrap_err(), Error::Cancelled);
}
