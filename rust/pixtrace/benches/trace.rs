//! The fit and its uses on one simulated slice, `cargo bench`. Each benchmark checks its answer first.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use pixtrace::Control;
use pixtrace::trace::{
    Exposure, FitParams, LinearParams, OversampleParams, Thresholds, fit_all_regions,
    linear_oversample, oversample, trace_image,
};
use rayon::ThreadPoolBuilder;

const N_ROWS: usize = 24;

/// Alpha of a slice with the tilt of a MIRI slice: about ten columns per pixel.
fn alpha(n_columns: usize, factor: f64) -> Array2<f64> {
    let n_fine = (N_ROWS as f64 * factor) as usize;
    Array2::from_shape_fn((n_fine, n_columns), |(m, x)| {
        let row = (m as f64 + 0.5) / factor - 0.5;
        0.2 * (row - 11.7 + 0.003 * x as f64 + 0.4 * (0.01 * x as f64).sin())
    })
}

fn benches(criterion: &mut Criterion) {
    let pool = ThreadPoolBuilder::new().num_threads(1).build().expect("one thread can be started");
    let params =
        FitParams { n_intervals: Some(36), require_ngood: Some(8), ..FitParams::default() };
    let mut group = criterion.benchmark_group("one slice, one thread");
    for n_columns in [256, 512, 1024] {
        let (native, fine) = (alpha(n_columns, 1.0), alpha(n_columns, 2.0));
        let truth = |a: f64| (500.0 * (-0.5 * (a / 0.2).powi(2)).exp() + 20.0) as f32;
        let (flux, labels) = (native.mapv(truth), Array2::from_elem(native.dim(), 110));
        let exposure = Exposure::new(flux.view(), None, native.view(), labels.view())
            .expect("the shapes agree");
        let control = Control::default();
        let fit = || {
            let fitted = pool
                .install(|| fit_all_regions(&exposure, &Thresholds::default(), &params, &control));
            fitted.expect("the parameters are in range")
        };

        let model = fit();
        assert_eq!(model.regions[&110].columns.len(), n_columns);
        let image = trace_image::<f32>(&model, labels.view(), native.view(), 0.1, 3.0, &control)
            .expect("as above");
        let known = image.full_trace.iter().zip(&flux).filter(|(trace, _)| trace.is_finite());
        assert!(known.clone().count() > (N_ROWS - 4) * n_columns);
        assert!(known.clone().all(|(trace, flux)| (trace - flux).abs() < 5.0));

        group.throughput(Throughput::Elements(n_columns as u64));
        group.bench_function(BenchmarkId::new("fit", n_columns), |bench| bench.iter(fit));
        group.bench_function(BenchmarkId::new("oversample", n_columns), |bench| {
            let params = OversampleParams::default();
            bench.iter(|| {
                pool.install(|| {
                    oversample::<f32, f64>(&exposure, &model, fine.view(), &params, &control)
                })
                .expect("as above")
            });
        });
        group.bench_function(BenchmarkId::new("linear_oversample", n_columns), |bench| {
            let params = LinearParams::default();
            bench.iter(|| {
                pool.install(|| {
                    linear_oversample::<f32, f32>(flux.view(), labels.view(), &params, &control)
                })
                .expect("as above")
            });
        });
        group.bench_function(BenchmarkId::new("trace_image", n_columns), |bench| {
            bench.iter(|| {
                pool.install(|| {
                    trace_image::<f32>(&model, labels.view(), native.view(), 0.1, 3.0, &control)
                })
                .expect("as above")
            });
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
