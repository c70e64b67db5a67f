//! Gaussian fits against the truth: errors as small as the data allow, and as large as reported.
//!
//! The standard deviation of 2000 pulls is known to 0.016, their mean to 0.022.
#![allow(clippy::float_cmp, reason = "exact numbers are compared")]

use pixtrace::Control;
use pixtrace::numeric::cholesky::Cholesky;
use pixtrace::scan::gaussian::{flags, parameter};
use pixtrace::scan::{
    BeamShape, CellMoments, GaussianFit, GaussianFitParams, Grid, MapStack, SampleMoments,
};

/// A generator of its own (`SplitMix64`), so that the test is the same everywhere.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Truth, in the order of [`parameter`].
type Truth = [f64; 7];

fn model(truth: &Truth, [x, y]: [f64; 2]) -> f64 {
    let (sin, cos) = truth[parameter::ANGLE].to_radians().sin_cos();
    let (x, y) = (x - truth[parameter::X], y - truth[parameter::Y]);
    let along = (x * cos + y * sin) / truth[parameter::FWHM_MAJOR];
    let across = (y * cos - x * sin) / truth[parameter::FWHM_MINOR];
    let beam = (-4.0 * std::f64::consts::LN_2 * (along * along + across * across)).exp();
    truth[parameter::LEVEL] + truth[parameter::AMPLITUDE] * beam
}

/// Smallest possible standard deviation of `x` and `y` for samples of equal noise at `points`.
fn cramer_rao(truth: &Truth, points: &[[f64; 2]], noise: f64) -> [f64; 2] {
    let mut matrix = [[0.0; 7]; 7];
    let is_round = truth[parameter::FWHM_MAJOR] == truth[parameter::FWHM_MINOR];
    for &point in points {
        let mut slopes = [0.0; 7];
        for (i, slope) in slopes.iter_mut().enumerate() {
            let step = 1e-4;
            let (mut low, mut high) = (*truth, *truth);
            low[i] -= step;
            high[i] += step;
            *slope = (model(&high, point) - model(&low, point)) / (2.0 * step * noise);
        }
        for i in 0..7 {
            for j in 0..7 {
                matrix[i][j] += slopes[i] * slopes[j];
            }
        }
    }
    if is_round {
        matrix[parameter::ANGLE] = [0.0; 7];
        for row in &mut matrix {
            row[parameter::ANGLE] = 0.0;
        }
        matrix[parameter::ANGLE][parameter::ANGLE] = 1.0;
    }
    let covariance = Cholesky::new(&matrix, 0.0).unwrap().inverse();
    [covariance[0][0].sqrt(), covariance[1][1].sqrt()]
}

fn mean_and_std(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, variance.sqrt())
}

/// Checks every pull, and the errors of the position in units of the bound.
fn check(fits: &[GaussianFit], truths: &[Truth], bounds: &[[f64; 2]], fitted: &[usize]) {
    let mut pulls = vec![Vec::new(); 7];
    let mut errors = [Vec::new(), Vec::new()];
    for ((fit, truth), bound) in fits.iter().zip(truths).zip(bounds) {
        assert!(fit.is_good(), "{:?} {fit:?}", flags::names(fit.flags));
        let found = [
            fit.position[0],
            fit.position[1],
            fit.amplitude,
            fit.fwhm[0],
            fit.fwhm[1],
            fit.angle,
            fit.level,
        ];
        for &i in fitted {
            let mut difference = found[i] - truth[i];
            if i == parameter::ANGLE {
                // Angles that differ by half a turn are the same.
                difference -= 180.0 * (difference / 180.0).round();
            }
            pulls[i].push(difference / fit.error(i));
        }
        for axis in 0..2 {
            errors[axis].push((found[axis] - truth[axis]) / bound[axis]);
        }
    }
    for &i in fitted {
        let (mean, std) = mean_and_std(&pulls[i]);
        println!("pull of parameter {i}: mean {mean:.3}, std {std:.3}");
    }
    for errors in &errors {
        println!("position over bound: {:?}", mean_and_std(errors));
    }
    for &i in fitted {
        let (mean, std) = mean_and_std(&pulls[i]);
        assert!((std - 1.0).abs() < 0.05, "pulls of parameter {i} have a std of {std}");
        assert!(mean.abs() < 0.1, "pulls of parameter {i} have a mean of {mean}");
    }
    for errors in &errors {
        let (mean, std) = mean_and_std(errors);
        assert!(std < 1.1 && mean.abs() < 0.1, "position over bound: {mean} +/- {std}");
    }
    let per_cell: Vec<f64> =
        fits.iter().map(|fit| fit.chi2 / fit.degrees_of_freedom as f64).collect();
    let (mean, _) = mean_and_std(&per_cell);
    assert!((mean - 1.0).abs() < 0.01, "chi2 per degree of freedom: {mean}");
}

fn grid() -> Grid {
    Grid::new([36, 40], [2.0, 2.5], [19.3, 17.8]).unwrap()
}

/// Maps with noise in each cell, uneven weights and holes. Shapes are `[major, minor, angle]`.
fn noisy_maps(n: usize, shape: [f64; 3], seed: u64) -> (MapStack, Vec<Truth>, Vec<[f64; 2]>) {
    let (grid, mut random) = (grid(), Random(seed));
    let mut stack = MapStack::new(n, grid);
    let (mut truths, mut bounds) = (Vec::new(), Vec::new());
    let mut maps = stack.maps_mut();
    for map in maps.maps() {
        let truth = [
            random.between(-10.0, 10.0),
            random.between(-8.0, 8.0),
            random.between(20.0, 40.0),
            shape[0],
            shape[1],
            shape[2],
            random.between(-5.0, 5.0),
        ];
        let mut points = Vec::new();
        for cell in 0..grid.n_cells() {
            if random.uniform() < 0.1 {
                continue;
            }
            // One to four samples, each of unit noise.
            let n_samples = (random.between(1.0, 5.0)).floor();
            let at = grid.offset_of([(cell % 40) as f64, (cell / 40) as f64]);
            map.data[cell] = model(&truth, at) + random.normal() / n_samples.sqrt();
            map.weight[cell] = n_samples;
            map.flag[cell] = 0;
            points.extend(std::iter::repeat_n(at, n_samples as usize));
        }
        // The bound moves little from map to map: every tenth is worked out in full, scaled to the amplitude.
        if truths.len() % 10 == 0 {
            bounds.push(cramer_rao(&truth, &points, 1.0).map(|bound| bound * truth[2]));
        } else {
            bounds.push(bounds[bounds.len() - 1]);
        }
        truths.push(truth);
    }
    for (bound, truth) in bounds.iter_mut().zip(&truths) {
        *bound = bound.map(|b| b / truth[2]);
    }
    (stack, truths, bounds)
}

const ALL: [usize; 7] = [0, 1, 2, 3, 4, 5, 6];
const WITHOUT_ANGLE: [usize; 6] = [0, 1, 2, 3, 4, 6];

#[test]
fn elliptical_beams() {
    let (stack, truths, bounds) = noisy_maps(2000, [14.0, 10.0, 35.0], 1);
    let fits = stack
        .maps()
        .fit_gaussians(None, &GaussianFitParams::default(), None, &Control::default())
        .unwrap();
    assert!(fits.iter().all(|fit| fit.flags & flags::ROUND == 0));
    check(&fits, &truths, &bounds, &ALL);
}

#[test]
fn round_beams() {
    let (stack, truths, bounds) = noisy_maps(2000, [12.0, 12.0, 0.0], 2);
    let fits = stack
        .maps()
        .fit_gaussians(None, &GaussianFitParams::default(), None, &Control::default())
        .unwrap();
    let n_round = fits.iter().filter(|fit| fit.flags & flags::ROUND != 0).count();
    println!("{n_round} of {} are seen to be round", fits.len());
    // Two in a thousand exceed 3.5 sigma in two dimensions by chance.
    assert!(n_round > 1985);
    for fit in fits.iter().filter(|fit| fit.flags & flags::ROUND != 0) {
        assert!(fit.fwhm[0] == fit.fwhm[1] && fit.error(parameter::ANGLE) == f64::INFINITY);
    }
    check(&fits, &truths, &bounds, &WITHOUT_ANGLE);
}

#[test]
fn round_and_fixed_beams_that_are_known_to_be() {
    let (stack, truths, bounds) = noisy_maps(2000, [12.0, 12.0, 0.0], 3);
    let round = GaussianFitParams { shape: BeamShape::Round, ..Default::default() };
    let fits = stack.maps().fit_gaussians(None, &round, None, &Control::default()).unwrap();
    check(&fits, &truths, &bounds, &WITHOUT_ANGLE);
    let (stack, truths, bounds) = noisy_maps(2000, [14.0, 10.0, -50.0], 4);
    let shape = BeamShape::Fixed { fwhm: [14.0, 10.0], angle: -50.0 };
    let fixed = GaussianFitParams { shape, ..Default::default() };
    let fits = stack.maps().fit_gaussians(None, &fixed, None, &Control::default()).unwrap();
    check(&fits, &truths, &bounds, &[0, 1, 2, 6]);
    assert!(fits.iter().all(|fit| fit.error(parameter::FWHM_MAJOR) == 0.0));
}

/// Maps of samples with a noise of 1 and a source of 100, binned as they come.
fn binned(n: usize, shape: [f64; 3], fwhm_in_cells: f64, [rows, samples]: [i32; 2]) -> Binned {
    let side = 24;
    let cell = shape[0] / fwhm_in_cells;
    let half = 0.5 * (side - 1) as f64;
    let grid = Grid::new([side, side], [cell; 2], [half; 2]).unwrap();
    let mut random = Random(5);
    // Rows of a scan, with a spacing that the cells do not know of.
    let mut positions: Vec<[f64; 2]> = Vec::new();
    for row in 0..rows {
        for sample in 0..samples {
            let x = -11.4
                + 22.8 * (f64::from(sample) + random.between(-0.2, 0.2)) / f64::from(samples - 1);
            let y =
                -11.4 + 22.8 * (f64::from(row) + random.between(-0.2, 0.2)) / f64::from(rows - 1);
            positions.push([x * cell, y * cell]);
        }
    }
    let cells: Vec<usize> = (positions.iter())
        .map(|&position| {
            let [x, y] = grid.index_of(position);
            grid.cell(x.round() as i64, y.round() as i64).unwrap()
        })
        .collect();
    let mut moments = CellMoments::new(&grid);
    for (&cell, &position) in cells.iter().zip(&positions) {
        let [x, y] = grid.index_of(position);
        moments.add(cell, 1.0, [x - x.round(), y - y.round()]);
    }
    let mut stack = MapStack::new(n, grid);
    let mut maps = stack.maps_mut();
    let (mut truths, mut bounds) = (Vec::new(), Vec::new());
    let (mut truth, mut bound) = ([0.0; 7], [0.0; 2]);
    for (k, map) in maps.maps().into_iter().enumerate() {
        if k % 20 == 0 {
            let position = [0, 1].map(|_| random.between(-4.0, 4.0) * cell);
            truth = [position[0], position[1], 100.0, shape[0], shape[1], shape[2], 3.0];
            bound = cramer_rao(&truth, &positions, 1.0);
        }
        for (&cell, &position) in cells.iter().zip(&positions) {
            map.data[cell] += model(&truth, position) + random.normal();
            map.weight[cell] += 1.0;
            map.flag[cell] = 0;
        }
        for (data, weight) in map.data.iter_mut().zip(map.weight.iter()) {
            *data /= weight.max(1.0);
        }
        truths.push(truth);
        bounds.push(bound);
    }
    Binned { stack, moments: SampleMoments::shared(moments, n), truths, bounds }
}

struct Binned {
    stack: MapStack,
    moments: SampleMoments,
    truths: Vec<Truth>,
    bounds: Vec<[f64; 2]>,
}

#[test]
fn maps_binned_from_timestreams() {
    // Five samples in a cell, or two.
    for (shape, fwhm_in_cells, scan, fitted) in [
        ([14.0, 10.0, 35.0], 5.0, [53, 61], &ALL[..]),
        ([12.0, 12.0, 0.0], 5.0, [31, 41], &WITHOUT_ANGLE[..]),
        ([13.0, 11.0, -20.0], 4.0, [53, 61], &ALL[..]),
    ] {
        let Binned { stack, moments, truths, bounds } = binned(2000, shape, fwhm_in_cells, scan);
        let params =
            GaussianFitParams { beam_fwhm: Some(1.3 * shape[0]), ..GaussianFitParams::default() };
        let fit = |moments| {
            stack.maps().fit_gaussians(moments, &params, None, &Control::default()).unwrap()
        };
        check(&fit(Some(&moments)), &truths, &bounds, fitted);
        // Without the moments the cells' centres stand in for the samples, and the position pays for it.
        let errors: Vec<f64> = (fit(None).iter().zip(&truths).zip(&bounds))
            .map(|((fit, truth), bound)| (fit.position[0] - truth[0]) / bound[0])
            .collect();
        assert!(mean_and_std(&errors).1 > 1.2, "{:?}", mean_and_std(&errors));
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (mut stack, ..) = noisy_maps(40, [14.0, 10.0, 35.0], 6);
    let maps = stack.maps_mut();
    let fits = |n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let params = GaussianFitParams::default();
            maps.fit_gaussians(None, &params, Some(&[3, 1, 39, 3]), &Control::default()).unwrap()
        })
    };
    // As text: what is not a number is equal there, and all others only if all their bits are.
    let [one, three] = [1, 3].map(|n_threads| format!("{:?}", fits(n_threads)));
    assert_eq!(one, three);
    let fits = fits(1);
    assert_eq!(format!("{:?}", fits[0]), format!("{:?}", fits[3]));
}

/// Fits one map whose cells come from a function of the column and the row: value and weight.
fn fit_map(cell: impl Fn(f64, f64) -> (f64, f64), params: &GaussianFitParams) -> GaussianFit {
    let grid = Grid::new([30, 30], [2.0; 2], [14.5; 2]).unwrap();
    let mut stack = MapStack::new(1, grid);
    let mut maps = stack.maps_mut();
    for map in maps.maps() {
        for i in 0..grid.n_cells() {
            (map.data[i], map.weight[i]) = cell((i % 30) as f64, (i / 30) as f64);
            map.flag[i] = 0;
        }
    }
    maps.fit_gaussians(None, params, None, &Control::default()).unwrap().remove(0)
}

fn source(x: f64, y: f64) -> f64 {
    let truth = [4.0, -3.0, 50.0, 12.0, 9.0, 60.0, 2.0];
    model(&truth, [(x - 14.5) * 2.0, (y - 14.5) * 2.0])
}

#[test]
fn without_noise_the_truth_comes_back() {
    for weight in [1.0, 1e-12, 1e20] {
        let fit = fit_map(|x, y| (source(x, y), weight), &GaussianFitParams::default());
        // The significance of the amplitude is all that depends on the weight.
        assert_eq!(fit.flags & !(flags::NOT_SIGNIFICANT | flags::ROUND), 0);
        if weight >= 1.0 {
            let found = [fit.position[0], fit.position[1], fit.amplitude, fit.fwhm[0], fit.fwhm[1]];
            for (found, truth) in found.into_iter().zip([4.0, -3.0, 50.0, 12.0, 9.0]) {
                assert!((found - truth).abs() < 2e-5 * truth.abs(), "{found} {truth}");
            }
            assert!((fit.angle - 60.0).abs() < 1e-3 && (fit.level - 2.0).abs() < 1e-4);
        }
    }
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let params = GaussianFitParams::default();
    let nothing = fit_map(|_, _| (f64::NAN, 1.0), &params);
    assert_eq!(nothing.flags, flags::NO_DATA);
    assert!(nothing.has_failed() && nothing.position[0].is_nan());
    let few = fit_map(|x, y| (source(x, y), f64::from(u8::from(x == 16.0 && y < 7.0))), &params);
    assert_eq!((few.flags, few.n_cells), (flags::TOO_FEW_CELLS, 7));
    // One row does not tell the width across it.
    let row = fit_map(|x, y| (source(x, y), f64::from(u8::from(y == 13.0))), &params);
    assert!(row.has_failed() && row.flags & (flags::DEGENERATE | flags::NOT_CONVERGED) != 0);
    // The beam fell into a hole.
    let hole = |x: f64, y: f64| f64::from(u8::from((x - 16.5).hypot(y - 13.0) > 2.5));
    let fit = fit_map(|x, y| (source(x, y), hole(x, y)), &params);
    assert!(fit.flags & flags::FEW_CELLS_IN_BEAM != 0, "{fit:?}");
    let flat = fit_map(|_, _| (1.0, 1.0), &params);
    assert!(!flat.is_good());
    // The source is half over the edge.
    let edge = fit_map(|x, y| (source(x + 15.5, y), 1.0), &params);
    assert!(edge.flags & flags::AT_EDGE != 0 && !edge.has_failed(), "{edge:?}");
    let beyond = fit_map(|x, y| (source(x + 18.5, y), 1.0), &params);
    assert!(beyond.flags & flags::OUTSIDE != 0, "{beyond:?}");
    let upside_down = fit_map(|x, y| (-source(x, y), 1.0), &params);
    assert!(!upside_down.is_good(), "{upside_down:?}");
    let negative = GaussianFitParams { sign: pixtrace::scan::Sign::Negative, ..params.clone() };
    let found = fit_map(|x, y| (-source(x, y), 1.0), &negative);
    assert!(found.is_good() && (found.amplitude + 50.0).abs() < 1e-3);
    let infinite =
        fit_map(|x, y| (if x == 16.0 { f64::INFINITY } else { source(x, y) }, 1.0), &params);
    assert!(infinite.is_good() && infinite.n_cells == 870);
}

#[test]
fn parameters_without_sense_are_refused() {
    let stack = MapStack::new(2, grid());
    let control = Control::default();
    let fit = |params: &GaussianFitParams, pixels: Option<&[usize]>| {
        stack.maps().fit_gaussians(None, params, pixels, &control)
    };
    let good = GaussianFitParams::default();
    assert_eq!(fit(&good, None).unwrap().len(), 2);
    assert_eq!(fit(&good, Some(&[])).unwrap().len(), 0);
    assert!(fit(&good, Some(&[2])).is_err());
    for bad in [
        GaussianFitParams { beam_fwhm: Some(0.0), ..good.clone() },
        GaussianFitParams { region: Some(f64::NAN), ..good.clone() },
        GaussianFitParams { significance: -1.0, ..good.clone() },
        GaussianFitParams { starts: Some(vec![[0.0; 2]]), ..good.clone() },
        GaussianFitParams { starts: Some(vec![[0.0; 2], [f64::INFINITY, 0.0]]), ..good.clone() },
        GaussianFitParams {
            shape: BeamShape::Fixed { fwhm: [3.0, -1.0], angle: 0.0 },
            ..good.clone()
        },
    ] {
        assert!(fit(&bad, None).is_err(), "{bad:?}");
    }
    for other in [SampleMoments::new(2, 4), SampleMoments::new(1, grid().n_cells())] {
        assert!(stack.maps().fit_gaussians(Some(&other), &good, None, &control).is_err());
    }
    control.cancel();
    assert_eq!(fit(&good, None), Err(pixtrace::Error::Cancelled));
}
