//! Timestreams cleaned, and sources fitted to them.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use pixtrace::scan::clean::{
    CleanInput, Cleaned, CleaningParams, SampleBits, channel_flags, clean,
};
use pixtrace::scan::gaussian::{flags, parameter};
use pixtrace::scan::{BeamShape, GaussianFit, GaussianFitParams, StreamInput, fit_streams};
use pixtrace::{Control, Error};
use proptest::prelude::*;

const BITS: SampleBits = SampleBits { spike: 4, jump: 32, blank: 2, bad: 1 };

/// Numbers that are as good as Gaussian noise of unit deviation, always the same for a seed.
fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..n).map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0).collect()
}

/// Channels with noise, a common signal of ten times the noise, and levels.
struct Scan {
    data: Array2<f64>,
    flags: Array2<u8>,
    groups: Array1<i64>,
    valid: Array1<bool>,
    gains: Vec<f64>,
}

impl Scan {
    fn new(n_frames: usize, n_channels: usize, seed: u64) -> Self {
        let common = noise(n_frames, seed + 1000);
        let groups: Array1<i64> = (0..n_channels as i64).map(|c| c % 3).collect();
        let group_signals: Vec<Vec<f64>> =
            (0..3).map(|k| noise(n_frames, seed + 2000 + k)).collect();
        let gains: Vec<f64> =
            (0..n_channels).map(|c| 0.8 + 0.4 * (c as f64 * 0.7).fract()).collect();
        let mut data = Array2::zeros((n_frames, n_channels));
        for (c, mut column) in data.axis_iter_mut(Axis(1)).enumerate() {
            let group = &group_signals[c % 3];
            for (f, (x, noise)) in
                column.iter_mut().zip(noise(n_frames, seed + c as u64)).enumerate()
            {
                let drift = 500.0 + 30.0 * (f as f64 / 700.0 + c as f64).sin();
                *x = noise + gains[c] * 10.0 * common[f] + 3.0 * group[f] + drift;
            }
        }
        let (flags, valid) = (Array2::zeros(data.dim()), Array1::from_elem(n_frames, true));
        Self { data, flags, groups, valid, gains }
    }

    fn clean(&mut self, params: &CleaningParams) -> Result<Cleaned, Error> {
        let ones = Array1::ones(self.data.ncols());
        let input = CleanInput {
            frame_data: self.data.view_mut(),
            sample_flags: self.flags.view_mut(),
            bits: BITS,
            channel_gains: ones.view(),
            channel_groups: vec![self.groups.view()],
            valid_frames: self.valid.view(),
            dt: 0.01,
        };
        clean(input, params, &Control::default())
    }

    fn std(&self, c: usize) -> f64 {
        let used = self.data.column(c).into_iter().zip(self.flags.column(c));
        let squares: Vec<f64> = used.filter(|(_, f)| **f == 0).map(|(x, _)| x * x).collect();
        (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
    }
}

#[test]
fn what_is_left_is_the_noise() {
    let mut scan = Scan::new(3000, 60, 1);
    let cleaned = scan.clean(&CleaningParams::default()).unwrap();
    for c in 0..60 {
        // The mean of twenty channels of a group takes a part of the noise along.
        assert!((scan.std(c) - 0.98).abs() < 0.09, "{c}: {}", scan.std(c));
        assert!((cleaned.channel_variance[c].sqrt() - 0.97).abs() < 0.25);
        assert!((cleaned.mode_gains[[c, 0]] / scan.gains[c] - 1.0).abs() < 0.05);
        assert!((cleaned.mode_gains[[c, 1]] - 1.0).abs() < 0.1);
        assert_eq!(cleaned.channel_flag[c], 0);
        assert!((cleaned.channel_weight[c] * cleaned.channel_variance[c] - 1.0).abs() < 1e-12);
    }
    let mean = cleaned.channel_variance.iter().map(|v| v.sqrt()).sum::<f64>() / 60.0;
    assert!((mean - 0.97).abs() < 0.06, "{mean}");
}

#[test]
fn bad_channels_are_known_by_what_is_wrong_with_them() {
    let mut scan = Scan::new(3000, 60, 7);
    scan.data.column_mut(3).fill(17.0);
    scan.data.column_mut(4).fill(f64::NAN);
    let alone: Array1<f64> = noise(3000, 555).into();
    scan.data.column_mut(11).assign(&alone);
    scan.data.column_mut(20).mapv_inplace(|x| x * 1.5);
    scan.data.column_mut(20).scaled_add(30.0, &Array1::from(noise(3000, 77)));
    let wave: Array1<f64> = (0..3000).map(|f| 40.0 * (0.4 * f64::from(f)).sin()).collect();
    scan.data.column_mut(31).scaled_add(1.0, &wave);
    for f in (0..3000).step_by(6) {
        scan.data[[f, 40]] += 500.0;
    }
    let cleaned = scan.clean(&CleaningParams::default()).unwrap();
    for (c, flag) in cleaned.channel_flag.iter().enumerate() {
        let expected = match c {
            3 | 4 => channel_flags::DEAD,
            11 => channel_flags::BLIND,
            20 => channel_flags::SENSITIVITY,
            31 => channel_flags::OSCILLATING,
            40 => channel_flags::SPIKY,
            _ => 0,
        };
        assert_eq!(flag & expected, expected, "{c}: {flag}");
        assert_eq!(*flag == 0, expected == 0, "{c}: {flag}");
        assert_eq!(cleaned.channel_weight[c] > 0.0, expected == 0);
    }
    assert!(scan.data.column(4).iter().all(|x| x.is_nan()));
}

#[test]
fn without_a_common_signal_nothing_is_removed_and_nobody_is_blind() {
    let mut scan = Scan::new(2000, 40, 3);
    for (c, mut column) in scan.data.axis_iter_mut(Axis(1)).enumerate() {
        column.assign(&Array1::from(noise(2000, 900 + c as u64)));
    }
    let cleaned = scan.clean(&CleaningParams::default()).unwrap();
    assert!(cleaned.mode_gains.iter().all(|gain| gain.is_nan()));
    assert!(cleaned.channel_flag.iter().all(|flag| *flag == 0));
}

#[test]
fn frames_that_are_not_valid_take_no_part() {
    let mut scan = Scan::new(1500, 24, 5);
    scan.valid.slice_mut(s![700..800]).fill(false);
    scan.data.slice_mut(s![700..800, ..]).fill(1e9);
    scan.data[[750, 3]] = f64::NAN;
    scan.flags[[760, 3]] = 4;
    let before = scan.data.clone();
    scan.clean(&CleaningParams::default()).unwrap();
    for f in 700..800 {
        assert!((0..24).all(|c| scan.data[[f, c]].to_bits() == before[[f, c]].to_bits()));
    }
    assert_eq!(scan.flags[[760, 3]], 4);
    assert!((0..24).all(|c| {
        let left = scan.data.slice(s![..700, c]);
        (left.iter().map(|x| x * x).sum::<f64>() / 700.0).sqrt() < 1.1
    }));
}

#[test]
fn a_source_that_is_marked_is_left_alone() {
    let mut scan = Scan::new(4000, 40, 9);
    let mut blank = scan.data.clone();
    for c in 0..40 {
        for f in 0..4000 {
            let from = ((f + 10 * c) % 400) as f64 - 200.0;
            let source = 200.0 * (-0.5 * (from / 6.0).powi(2)).exp();
            blank[[f, c]] = source;
            scan.data[[f, c]] += source;
            if source > 0.01 {
                scan.flags[[f, c]] |= 2;
            }
        }
    }
    let cleaned = scan.clean(&CleaningParams::default()).unwrap();
    assert_eq!(cleaned.n_jumps, [0; 40]);
    for c in 0..40 {
        let (mut product, mut square) = (0.0, 0.0);
        for f in 0..4000 {
            product += scan.data[[f, c]] * blank[[f, c]];
            square += blank[[f, c]].powi(2);
        }
        assert!((product / square - 1.0).abs() < 0.01, "{c}: {}", product / square);
    }
}

#[test]
fn threads_and_layout_change_no_bit() {
    let reference = {
        let mut scan = Scan::new(1200, 50, 11);
        let cleaned = scan.clean(&CleaningParams::default()).unwrap();
        (scan.data, scan.flags, cleaned)
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    pool.install(|| {
        let mut scan = Scan::new(1200, 50, 11);
        let by_column = Array2::from_shape_fn((50, 1200), |(c, f)| scan.data[[f, c]]);
        scan.data = by_column.reversed_axes();
        let cleaned = scan.clean(&CleaningParams::default()).unwrap();
        assert_eq!((scan.data.view(), scan.flags.view()), (reference.0.view(), reference.1.view()));
        assert_eq!(cleaned, reference.2);
    });
}

#[test]
fn mistakes_are_told_and_change_nothing() {
    let mut scan = Scan::new(100, 5, 1);
    let before = scan.data.clone();
    for params in [
        CleaningParams { drift_time: 0.0, ..Default::default() },
        CleaningParams { source_time: f64::NAN, ..Default::default() },
        CleaningParams { despike_level: Some(-1.0), ..Default::default() },
        CleaningParams { jump_level: Some(0.0), ..Default::default() },
        CleaningParams { n_rounds: 0, ..Default::default() },
        CleaningParams { noise_limits: [2.0, 1.0], ..Default::default() },
        CleaningParams { blind_limit: 2.0, ..Default::default() },
        CleaningParams { spike_limit: -0.5, ..Default::default() },
    ] {
        assert!(matches!(scan.clean(&params), Err(Error::Parameter { .. })));
    }
    scan.groups = Array1::zeros(4);
    assert!(matches!(scan.clean(&CleaningParams::default()), Err(Error::Shape { .. })));
    assert_eq!(scan.data, before);
    for (n_frames, n_channels) in [(0, 0), (0, 3), (3, 0), (1, 1), (2, 40)] {
        let mut small = Scan::new(n_frames, n_channels, 1);
        let cleaned = small.clean(&CleaningParams::default()).unwrap();
        assert!(cleaned.channel_flag.iter().all(|flag| *flag == channel_flags::DEAD));
    }
}

/// Lines across a source, with an offset of each frame.
fn raster() -> Array2<f64> {
    Array2::from_shape_fn((2, 8000), |(axis, f)| {
        let (line, step) = ((f / 200) as f64, (f % 200) as f64);
        if axis == 0 { 0.5 * step - 50.0 } else { 2.0 * line - 40.0 }
    })
}

fn model(truth: &[f64; 7], [x, y]: [f64; 2]) -> f64 {
    let (sin, cos) = truth[5].to_radians().sin_cos();
    let (x, y) = (x - truth[0], y - truth[1]);
    let (u, v) = ((x * cos + y * sin) / truth[3], (y * cos - x * sin) / truth[4]);
    truth[6] + truth[2] * (-4.0 * std::f64::consts::LN_2 * (u * u + v * v)).exp()
}

fn fit(
    data: ArrayView2<'_, f64>,
    offsets: &Array2<f64>,
    starts: &Array2<f64>,
    params: &GaussianFitParams,
) -> Vec<GaussianFit> {
    let (n_frames, n_channels) = data.dim();
    let flags = Array2::<u8>::zeros(data.dim());
    let (gains, weights) = (Array1::from_elem(n_frames, -2.0), Array1::ones(n_frames));
    let valid = Array1::from_elem(n_frames, true);
    let (indices, source) =
        ((0..n_channels as i64).collect::<Array1<i64>>(), Array1::from_elem(n_channels, 0.5));
    let variance = Array1::ones(n_channels);
    let input = StreamInput {
        frame_data: data,
        sample_flags: flags.view(),
        exclude_sample_flag: 4,
        frame_gains: gains.view(),
        frame_weights: weights.view(),
        valid_frames: valid.view(),
        offsets: offsets.view(),
        channel_indices: indices.view(),
        source_gains: source.view(),
        channel_variance: variance.view(),
        starts: starts.view(),
    };
    fit_streams(&input, params, &Control::default()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_source_without_noise_is_found_exactly(
        x in -20.0..20.0_f64, y in -15.0..15.0_f64, amplitude in 5.0..500.0_f64, minor in 6.0..10.0_f64,
        ratio in 1.2..1.6_f64, angle in -80.0..80.0_f64, level in -5.0..5.0_f64, away in -3.0..3.0_f64,
    ) {
        let (offsets, truth) = (raster(), [x, y, amplitude, minor * ratio, minor, angle, level]);
        let data = Array2::from_shape_fn((8000, 1), |(f, _)| {
            -model(&truth, [offsets[[0, f]], offsets[[1, f]]])
        });
        let starts = ndarray::array![
            [x + away, y - away, 0.8 * amplitude, minor, 1.1 * minor, 0.0, 0.0]
        ];
        let found = &fit(data.view(), &offsets, &starts, &GaussianFitParams::default())[0];
        prop_assert!(found.is_good(), "{:?}", flags::names(found.flags));
        let numbers = [
            found.position[0], found.position[1], found.amplitude, found.fwhm[0], found.fwhm[1],
            found.angle, found.level,
        ];
        for (found, truth) in numbers.iter().zip(truth) {
            prop_assert!((found - truth).abs() < 1e-6 * (1.0 + truth.abs()), "{numbers:?}");
        }
    }
}

/// Fits to noise in which a sample remembers some part of the one before; what they found, and the truth.
fn fits_to_noise(memory: f64) -> (Vec<GaussianFit>, [f64; 7]) {
    let (offsets, truth) = (raster(), [3.0, -4.0, 20.0, 11.0, 8.0, 30.0, 1.0]);
    let mut data = Array2::zeros((8000, 200));
    for (c, mut column) in data.axis_iter_mut(Axis(1)).enumerate() {
        let mut last = 0.0;
        for (f, (x, noise)) in column.iter_mut().zip(noise(8000, 631 + c as u64)).enumerate() {
            last = memory * last + (1.0 - memory * memory).sqrt() * noise;
            *x = last - model(&truth, [offsets[[0, f]], offsets[[1, f]]]);
        }
    }
    let starts = Array2::from_shape_fn((200, 7), |(_, i)| truth[i]);
    (fit(data.view(), &offsets, &starts, &GaussianFitParams::default()), truth)
}

#[test]
fn residuals_tell_the_errors_of_noise_that_lasts() {
    for memory in [0.0, 0.8] {
        let (fits, truth) = fits_to_noise(memory);
        for number in [parameter::X, parameter::Y, parameter::AMPLITUDE, parameter::LEVEL] {
            let mean = |of: &dyn Fn(&GaussianFit) -> f64| fits.iter().map(of).sum::<f64>() / 200.0;
            let scatter = mean(&|fit| fit.scatter[number]);
            let square = mean(&|fit| {
                let [x, y] = fit.position;
                let value = [x, y, fit.amplitude, 0.0, 0.0, 0.0, fit.level][number];
                ((value - truth[number]) / fit.error(number)).powi(2)
            });
            // The deviation of 200 pulls is good to five per cent.
            let pull = (square / scatter).sqrt();
            assert!((pull - 1.0).abs() < 0.16, "{memory} {number}: {pull} {scatter}");
            let is_known = if memory > 0.0 { scatter > 2.0 } else { (scatter - 1.0).abs() < 0.1 };
            assert!(is_known, "{memory} {number}: {scatter}");
        }
    }
}

#[test]
fn a_few_passages_tell_nothing() {
    let (offsets, truth) = (raster(), [3.0, -30.0, 20.0, 11.0, 8.0, 30.0, 1.0]);
    let data = Array2::from_shape_fn((1600, 1), |(f, _)| {
        -model(&truth, [offsets[[0, f]], offsets[[1, f]]]) + noise(1, f as u64)[0]
    });
    let starts = Array2::from_shape_fn((1, 7), |(_, i)| truth[i]);
    let offsets = offsets.slice(s![.., ..1600]).to_owned();
    let found = &fit(data.view(), &offsets, &starts, &GaussianFitParams::default())[0];
    assert!(!found.has_failed() && found.scatter.iter().all(|x| x.is_nan()));
}

#[test]
fn errors_are_as_large_as_they_say() {
    let (offsets, truth) = (raster(), [3.0, -4.0, 20.0, 11.0, 8.0, 30.0, 1.0]);
    let n = 200;
    let mut data = Array2::zeros((8000, n));
    for (c, mut column) in data.axis_iter_mut(Axis(1)).enumerate() {
        for (f, (x, noise)) in column.iter_mut().zip(noise(8000, 31 + c as u64)).enumerate() {
            *x = -model(&truth, [offsets[[0, f]], offsets[[1, f]]]) + noise;
        }
    }
    let starts =
        Array2::from_shape_fn((n, 7), |(_, i)| truth[i] + [0.5, 0.5, 1.0, 1.0, 1.0, 5.0, 0.0][i]);
    let fits = fit(data.view(), &offsets, &starts, &GaussianFitParams::default());
    for number in 0..7 {
        let pull = |fit: &GaussianFit| {
            let value = [
                fit.position[0],
                fit.position[1],
                fit.amplitude,
                fit.fwhm[0],
                fit.fwhm[1],
                fit.angle,
                fit.level,
            ][number];
            (value - truth[number]) / fit.error(number)
        };
        let square = fits.iter().map(|fit| pull(fit).powi(2)).sum::<f64>() / n as f64;
        // The deviation of 200 pulls is good to five per cent.
        assert!((square.sqrt() - 1.0).abs() < 0.16, "{number}: {}", square.sqrt());
    }
    let mean_chi2 =
        fits.iter().map(|fit| fit.chi2 / fit.degrees_of_freedom as f64).sum::<f64>() / n as f64;
    assert!((mean_chi2 - 1.0).abs() < 0.01);
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let offsets = raster();
    let mut data = Array2::<f64>::zeros((8000, 5));
    for (c, mut column) in data.axis_iter_mut(Axis(1)).enumerate() {
        column.assign(&Array1::from(noise(8000, 3 + c as u64)));
    }
    data.column_mut(0).fill(f64::NAN);
    data.slice_mut(s![4.., 1]).fill(f64::NAN);
    let mut starts = Array2::from_shape_fn((5, 7), |(_, i)| [0.0, 0.0, 5.0, 8.0, 8.0, 0.0, 0.0][i]);
    starts[[2, parameter::X]] = f64::NAN;
    let params = GaussianFitParams { shape: BeamShape::Round, ..Default::default() };
    let fits = fit(data.view(), &offsets, &starts, &params);
    assert_eq!(fits[0].flags, flags::NO_DATA);
    assert_eq!(fits[1].flags, flags::TOO_FEW_CELLS);
    assert_eq!(fits[2].flags, flags::NOT_CONVERGED);
    for fit in &fits[3..] {
        assert!(!fit.is_good());
    }
}
