//! Operations on whole maps, `cargo bench --bench scan_maps`; one thread. Each benchmark checks its answer first.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array3;
use pixtrace::Control;
use pixtrace::scan::{FilterKind, FilterParams, Grid, MapRecord, MapsMut, Sign};
use rayon::ThreadPoolBuilder;

const N_PIXELS: usize = 16;
const SIDE: usize = 100;
/// Level of the simulated maps.
const LEVEL: f64 = 0.3;

/// Planes of maps with a level and noise of one in units of their weights, and a hole in every tenth cell.
struct Stack {
    grid: Grid,
    data: Array3<f64>,
    weight: Array3<f64>,
    exposure: Array3<f64>,
    flag: Array3<u8>,
    records: Vec<MapRecord>,
}

impl Stack {
    fn new() -> Self {
        let mut state = 42_u64;
        let mut next = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let shape = (N_PIXELS, SIDE, SIDE);
        let grid = Grid::new([SIDE; 2], [2.0; 2], [49.5; 2]).expect("a grid");
        let weight = Array3::from_shape_simple_fn(shape, || (10.0 * next()).floor());
        let data = weight.mapv(|weight: f64| {
            let noise: f64 = (0..12).map(|_| next()).sum::<f64>() - 6.0;
            if weight > 0.0 { LEVEL + noise / weight.sqrt() } else { 0.0 }
        });
        Self {
            grid,
            flag: weight.mapv(|weight| u8::from(weight == 0.0)),
            exposure: weight.mapv(|weight| 0.005 * weight),
            data,
            weight,
            records: vec![MapRecord::new(&grid); N_PIXELS],
        }
    }

    fn maps(&mut self) -> MapsMut<'_> {
        MapsMut::new(
            self.grid,
            self.data.view_mut(),
            self.weight.view_mut(),
            self.exposure.view_mut(),
            self.flag.view_mut(),
            &mut self.records,
        )
        .expect("the planes agree")
    }
}

fn benches(criterion: &mut Criterion) {
    // This very thread: waking another one takes as long as the quicker ones of these.
    let pool = ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    let pool = pool.build().expect("no thread is started");
    let control = Control::default();
    let mut stack = Stack::new();
    let n_valid = stack.weight.iter().filter(|&&weight| weight > 0.0).count();
    let counts = stack.maps().count_valid(None, &control).expect("all maps");
    assert_eq!(counts.iter().sum::<usize>(), n_valid);
    for robust in [true, false] {
        let levels = Stack::new().maps().level(None, robust, &control).expect("means");
        assert!(levels.iter().all(|level| (level - LEVEL).abs() < 0.03));
    }
    stack.maps().level(None, true, &control).expect("means");
    let factors = stack.maps().reweight(None, true, &control).expect("means");
    assert!(factors.iter().all(|factor| (factor - 1.0).abs() < 0.1));

    let mut group = criterion.benchmark_group("maps of 100 x 100, one thread");
    group.throughput(Throughput::Elements((N_PIXELS * SIDE * SIDE) as u64));
    let mut run = |name: &str, work: &(dyn Fn(&mut MapsMut<'_>) + Sync)| {
        group.bench_function(name, |bench| {
            bench.iter(|| pool.install(|| work(black_box(&mut stack.maps()))));
        });
    };
    run("count_valid", &|maps| drop(maps.count_valid(None, &control)));
    run("level, robust", &|maps| drop(maps.level(None, true, &control)));
    run("level, mean", &|maps| drop(maps.level(None, false, &control)));
    run("reweight, robust", &|maps| drop(maps.reweight(None, true, &control)));
    run("reweight, mean", &|maps| drop(maps.reweight(None, false, &control)));
    run("update_mask", &|maps| {
        drop(maps.update_mask(None, Some(3.0), 2, Sign::Positive, &control));
    });
    run("despike, nothing found", &|maps| drop(maps.despike(None, 1e9, &control)));
    for fwhm in [6.0, 10.0, 18.0] {
        run(&format!("smooth_to, {} cells", fwhm / 2.0), &|maps| {
            // Forget the beam of the round before, or there would be nothing to do.
            let beam = 1.878_874_557;
            maps.records.iter_mut().for_each(|record| record.smoothing_fwhm = beam);
            let beams = maps.smooth_to(None, fwhm, &control).expect("means");
            assert!((beams[0] - fwhm).abs() < 1e-3);
            maps.records.iter_mut().for_each(|record| record.smoothing_fwhm = beam);
        });
    }
    let params = FilterParams { fwhm: 60.0, blank: None, kind: FilterKind::Convolution };
    run("filter, 30 cells", &|maps| drop(maps.filter(None, &params, &control)));
}

criterion_group!(all, benches);
criterion_main!(all);
