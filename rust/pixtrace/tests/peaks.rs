//! Peaks by the methods of the reference, on maps with a known source.

use pixtrace::scan::{Content, Grid, MapStack, PeakMethod, PeakParams, PeakSource};
use pixtrace::{Control, Error};
use proptest::prelude::*;

const SHAPE: [usize; 2] = [40, 44];

fn grid() -> Grid {
    Grid::new(SHAPE, [2.0, 2.0], [21.5, 19.5]).unwrap()
}

/// A round source of 12 and a height of 10 on a level of 3, with a little noise that is no noise.
fn stack(position: [f64; 2], hole: impl Fn(usize, usize) -> bool) -> MapStack {
    let grid = grid();
    let mut stack = MapStack::new(1, grid);
    let mut maps = stack.maps_mut();
    for map in maps.maps() {
        for cell in 0..grid.n_cells() {
            let (column, row) = (cell % SHAPE[1], cell / SHAPE[1]);
            if hole(column, row) {
                continue;
            }
            let [x, y] = grid.offset_of([column as f64, row as f64]);
            let square = (x - position[0]).powi(2) + (y - position[1]).powi(2);
            let ripple = 0.02 * (12.9898 * x + 78.233 * y).sin();
            map.data[cell] =
                3.0 + 10.0 * (-4.0 * std::f64::consts::LN_2 * square / 144.0).exp() + ripple;
            map.weight[cell] = 100.0;
            map.flag[cell] = 0;
        }
    }
    stack
}

fn find(stack: &MapStack, params: &PeakParams) -> Result<Option<PeakSource>, Error> {
    stack.maps().find_peaks(params, None, &Control::default()).map(|mut peaks| peaks.remove(0))
}

fn no_hole(_: usize, _: usize) -> bool {
    false
}

#[test]
fn every_method_finds_the_source() {
    let stack = stack([5.3, -3.1], no_hole);
    for (method, has_fit, error) in [
        (PeakMethod::Peak, true, 0.02),
        (PeakMethod::Peak, false, 0.1),
        (PeakMethod::Position, false, 0.1),
        (PeakMethod::Centroid, true, 0.02),
    ] {
        let params = PeakParams { method, has_fit, beam_fwhm: 8.0, ..PeakParams::default() };
        let peak = find(&stack, &params).unwrap().unwrap();
        let distance = (peak.position[0] - 5.3).hypot(peak.position[1] + 3.1);
        assert!(distance < error, "{method:?} {has_fit} {peak:?}");
        assert!((peak.peak - 10.0).abs() < 0.2 && (peak.peak_weight - 100.0).abs() < 1e-6);
        // The circle stops before it has seen all of the source.
        let expected = (144.0 - 2.0 * 2.0 / 1.133_09_f64).sqrt();
        assert!((peak.fwhm / expected - 1.0).abs() < 0.05, "{peak:?}");
        assert!(peak.elongation < 0.1);
        assert_eq!(peak.radius.is_nan(), has_fit);
    }
}

#[test]
fn what_is_no_peak_is_none() {
    let empty = MapStack::new(1, grid());
    assert_eq!(find(&empty, &PeakParams::default()), Ok(None));
    let stack = stack([0.3, 0.4], no_hole);
    let strict = PeakParams { significance: 101.0, ..PeakParams::default() };
    assert_eq!(find(&stack, &strict), Ok(None));
    let lenient = PeakParams { significance: 99.0, ..PeakParams::default() };
    assert!(find(&stack, &lenient).unwrap().is_some());
}

#[test]
fn holes_beside_the_peak_do_no_harm() {
    let whole = stack([0.7, -0.6], no_hole);
    let params = PeakParams { has_fit: false, ..PeakParams::default() };
    let expected = find(&whole, &params).unwrap().unwrap();
    let torn = stack([0.7, -0.6], |x, y| (x * 7 + y * 3) % 11 == 0 && (x, y) != (22, 19));
    let found = find(&torn, &params).unwrap().unwrap();
    assert!((found.peak - expected.peak).abs() < 0.3, "{found:?}");
    assert!((found.peak_weight - 100.0).abs() < 1e-3, "{found:?}");
}

#[test]
fn near_the_edge_the_degree_falls_or_the_call_fails() {
    let grid = grid();
    let corner = grid.offset_of([0.8, 0.7]);
    let stack = stack(corner, no_hole);
    let params = PeakParams { degree: 5, ..PeakParams::default() };
    let peak = find(&stack, &params).unwrap().unwrap();
    assert!((peak.peak - 10.0).abs() < 0.5, "{peak:?}");
    // A map of two columns has nothing to fit a surface of degree 5 to.
    let narrow = Grid::new([30, 2], [2.0, 2.0], [0.3, 14.2]).unwrap();
    let mut stack = MapStack::new(1, narrow);
    let mut maps = stack.maps_mut();
    for map in maps.maps() {
        for cell in 0..narrow.n_cells() {
            map.data[cell] = 1.0 + cell as f64;
            map.weight[cell] = 1.0;
            map.flag[cell] = 0;
        }
    }
    let fixed = PeakParams {
        degree: 5,
        reduce_degrees: false,
        has_fit: false,
        method: PeakMethod::Centroid,
        ..PeakParams::default()
    };
    assert!(matches!(find(&stack, &fixed), Err(Error::Unfittable { .. })));
    assert!(find(&stack, &PeakParams { reduce_degrees: true, ..fixed }).is_ok());
}

#[test]
fn sums_count_as_the_means_they_stand_for() {
    let means = stack([2.2, 4.1], no_hole);
    let mut sums = means.clone();
    let mut maps = sums.maps_mut();
    for map in maps.maps() {
        for (data, weight) in map.data.iter_mut().zip(map.weight.iter()) {
            *data *= weight;
        }
        map.record.content = Content::Sums;
    }
    let params = PeakParams::default();
    let (found, expected) =
        (find(&sums, &params).unwrap().unwrap(), find(&means, &params).unwrap().unwrap());
    assert!((found.position[0] - expected.position[0]).abs() < 1e-6);
    assert!((found.peak - expected.peak).abs() < 1e-6);
}

#[test]
fn parameters_without_sense_are_refused() {
    let stack = stack([0.0, 0.0], no_hole);
    for bad in [
        PeakParams { degree: 6, ..PeakParams::default() },
        PeakParams { significance: f64::NAN, ..PeakParams::default() },
        PeakParams { beam_fwhm: -1.0, ..PeakParams::default() },
    ] {
        assert!(matches!(find(&stack, &bad), Err(Error::Parameter { .. })));
    }
    let control = Control::default();
    let params = PeakParams::default();
    assert!(stack.maps().find_peaks(&params, Some(&[1]), &control).is_err());
    control.cancel();
    assert_eq!(stack.maps().find_peaks(&params, None, &control), Err(Error::Cancelled));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_fit_finds_the_source_wherever_it_is(
        x in -30.0..30.0_f64, y in -25.0..25.0_f64, degree in 0..6_usize,
    ) {
        let params = PeakParams { degree, beam_fwhm: 10.0, ..PeakParams::default() };
        let peak = find(&stack([x, y], no_hole), &params).unwrap().unwrap();
        prop_assert!((peak.position[0] - x).hypot(peak.position[1] - y) < 0.03, "{peak:?}");
        prop_assert!((peak.fwhm.hypot(2.0 / 1.064_467) - 12.0).abs() < 0.1, "{peak:?}");
    }
}
