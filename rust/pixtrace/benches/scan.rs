//! Timestreams into maps and out of them, `cargo bench --bench scan`. Each benchmark checks its answer first.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::{Array1, Array2, Array3, ArrayView2};
use pixtrace::Control;
use pixtrace::numeric::Real;
use pixtrace::scan::{CellMoments, Flags, Grid, MapStack, Samples, SyncInput};
use rayon::{ThreadPool, ThreadPoolBuilder};

const N_CHANNELS: usize = 512;
const N_FRAMES: usize = 8000;
const SIDE: usize = 100;
const EXCLUDED: i64 = 1;
const DT: f64 = 0.25;

/// A scan to and fro over the map, with one flag in a hundred samples; every signal is the number of its channel.
struct Scan {
    grid: Grid,
    data: Array2<f64>,
    flags: Array2<i64>,
    ones: Array1<f64>,
    gains: Array1<f64>,
    valid: Array1<bool>,
    indices: Array3<i64>,
    positions: Array2<f64>,
    channels: Array1<i64>,
}

impl Scan {
    fn new() -> Self {
        let turn = |frame: usize, turns: f64| {
            let phase = frame as f64 / N_FRAMES as f64 * turns;
            ((phase.fract() - 0.5).abs() * 2.0 * (SIDE as f64 - 1e-6)) - 0.5
        };
        let positions =
            Array2::from_shape_fn((2, N_FRAMES), |(axis, frame)| turn(frame, [37.31, 52.77][axis]));
        let indices = Array3::from_shape_fn((2, N_FRAMES, 1), |(axis, frame, _)| {
            (positions[[axis, frame]] + 0.5).floor() as i64
        });
        Self {
            grid: Grid::new([SIDE; 2], [2.0; 2], [49.5; 2]).expect("a grid"),
            data: Array2::from_shape_fn((N_FRAMES, N_CHANNELS), |(_, channel)| channel as f64),
            flags: Array2::from_shape_fn((N_FRAMES, N_CHANNELS), |(frame, channel)| {
                i64::from((frame * 31 + channel * 17) % 101 == 0)
            }),
            ones: Array1::ones(N_FRAMES),
            gains: Array1::ones(N_CHANNELS),
            valid: Array1::from_elem(N_FRAMES, true),
            indices,
            positions,
            channels: (0..N_CHANNELS as i64).collect(),
        }
    }

    fn samples<'a, T: Real, F: Flags>(
        &'a self,
        data: ArrayView2<'a, T>,
        flags: ArrayView2<'a, F>,
    ) -> Samples<'a, T, F> {
        Samples {
            frame_data: data,
            frame_gains: self.ones.view(),
            frame_weights: self.ones.view(),
            source_gains: self.gains.view(),
            channel_variance: self.gains.view(),
            valid_frames: self.valid.view(),
            map_indices: self.indices.view(),
            channel_indices: self.channels.view(),
            sample_flags: flags,
            exclude_sample_flag: EXCLUDED,
        }
    }
}

fn pool(n_threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(n_threads).build().expect("threads")
}

/// Every valid cell of every map holds the number of its channel, and no flagged sample was counted.
fn check(stack: &MapStack, scan: &Scan, n_times: usize) {
    let n_good = scan.flags.iter().filter(|&&flag| flag == 0).count();
    assert_eq!((stack.exposure().sum() / DT).round() as usize, n_times * n_good);
    for (channel, (data, weight)) in
        stack.data().outer_iter().zip(stack.weight().outer_iter()).enumerate()
    {
        assert!(data.iter().zip(&weight).all(|(sum, n)| (sum - channel as f64 * n).abs() < 1e-6));
    }
}

fn benches(criterion: &mut Criterion) {
    let scan = Scan::new();
    let single = scan.data.mapv(|value| value as f32);
    let byte = scan.flags.mapv(|flag| flag as u8);
    let control = Control::default();
    let (mut double_maps, mut single_maps) =
        (MapStack::new(N_CHANNELS, scan.grid), MapStack::new(N_CHANNELS, scan.grid));
    let mut group = criterion.benchmark_group("512 channels x 8000 frames, 100 x 100 cells");
    group.sample_size(20).throughput(Throughput::Elements((N_CHANNELS * N_FRAMES) as u64));
    let (in_double, in_single) = (
        scan.samples(scan.data.view(), scan.flags.view()),
        scan.samples(single.view(), byte.view()),
    );
    double_maps.maps_mut().add_points(&in_double, None, DT, &control).expect("samples");
    single_maps.maps_mut().add_points(&in_single, None, DT, &control).expect("samples");
    check(&double_maps, &scan, 1);
    check(&single_maps, &scan, 1);
    for n_threads in [1, 2] {
        let pool = pool(n_threads);
        group.bench_function(format!("add_points, f64 + i64, {n_threads} threads"), |bench| {
            bench.iter(|| {
                let maps = &mut double_maps;
                pool.install(|| {
                    maps.maps_mut().add_points(black_box(&in_double), None, DT, &control)
                })
            });
        });
        group.bench_function(format!("add_points, f32 + u8, {n_threads} threads"), |bench| {
            bench.iter(|| {
                let maps = &mut single_maps;
                pool.install(|| {
                    maps.maps_mut().add_points(black_box(&in_single), None, DT, &control)
                })
            });
        });
    }
    group.bench_function("moments of the frames", |bench| {
        bench.iter(|| {
            let mut moments = CellMoments::new(&scan.grid);
            moments.add_frames(&scan.grid, &in_double, scan.positions.view())
        });
    });
    double_maps.maps_mut().end_accumulation(None, &control).expect("all maps");
    let (mut data, mut flags) = (scan.data.clone(), scan.flags.clone());
    let mut sync = |pool: &ThreadPool, data: &mut Array2<f64>, flags: &mut Array2<i64>| {
        let input = SyncInput {
            frame_data: data.view_mut(),
            frame_valid: scan.valid.view(),
            frame_gains: scan.ones.view(),
            channel_indices: scan.channels.view(),
            map_indices: scan.indices.view(),
            source_gains: scan.gains.view(),
            sync_gains: scan.gains.view(),
            sample_flags: flags.view_mut(),
            sample_blank_flag: 2,
        };
        pool.install(|| double_maps.maps_mut().sync(None, input, None, &control)).expect("means");
    };
    sync(&pool(1), &mut data, &mut flags);
    // Cells that only flagged samples fell on hold nothing, and nothing is subtracted there.
    let n_left =
        data.iter().zip(&flags).filter(|(value, flag)| value.abs() > 1e-9 && **flag == 0).count();
    assert_eq!(n_left, 0);
    for n_threads in [1, 2] {
        let pool = pool(n_threads);
        group.bench_function(format!("sync, f64 + i64, {n_threads} threads"), |bench| {
            bench.iter(|| sync(&pool, &mut data, &mut flags));
        });
    }
}

criterion_group!(all, benches);
criterion_main!(all);
