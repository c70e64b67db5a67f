//! What must hold for the operations on the maps of a stack, tested through the public interface.

use ndarray::{Array3, Axis, s};
use pixtrace::scan::{Content, DISCARD, FilterKind, FilterParams, Grid, MapRecord, MapsMut, Sign};
use pixtrace::{Control, Error};
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

/// A stack that owns its planes.
#[derive(Clone, Debug, PartialEq)]
struct Stack {
    grid: Grid,
    data: Array3<f64>,
    weight: Array3<f64>,
    exposure: Array3<f64>,
    flag: Array3<u8>,
    records: Vec<MapRecord>,
}

impl Stack {
    fn maps(&mut self) -> MapsMut<'_> {
        MapsMut::new(
            self.grid,
            self.data.view_mut(),
            self.weight.view_mut(),
            self.exposure.view_mut(),
            self.flag.view_mut(),
            &mut self.records,
        )
        .unwrap()
    }

    /// The maps of the numbers `order`.
    fn select(&self, order: &[usize]) -> Self {
        Self {
            grid: self.grid,
            data: self.data.select(Axis(0), order),
            weight: self.weight.select(Axis(0), order),
            exposure: self.exposure.select(Axis(0), order),
            flag: self.flag.select(Axis(0), order),
            records: order.iter().map(|&pixel| self.records[pixel]).collect(),
        }
    }

    /// The bits of all planes, NaN comparable.
    fn bits(&self) -> (Vec<u64>, Vec<u8>, String) {
        let planes = self.data.iter().chain(&self.weight).chain(&self.exposure);
        let bits = planes.map(|value| value.to_bits()).collect();
        (bits, self.flag.iter().copied().collect(), format!("{:?}", self.records))
    }
}

prop_compose! {
    /// Maps with holes of all kinds.
    fn stacks()(
        (n_pixels, n_y, n_x) in (1..6_usize, 1..24_usize, 1..24_usize),
        seed in 1..u64::MAX,
    ) -> Stack {
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let shape = (n_pixels, n_y, n_x);
        let grid = Grid::new([n_y, n_x], [2.0, 3.0], [0.5, 0.5]).unwrap();
        let mut stack = Stack {
            grid,
            data: Array3::from_shape_simple_fn(shape, || 20.0 * next() * next() - 5.0),
            weight: Array3::from_shape_simple_fn(shape, || 0.1 + 9.0 * next()),
            exposure: Array3::from_shape_simple_fn(shape, || 0.1 * next()),
            flag: Array3::zeros(shape),
            records: vec![MapRecord::new(&grid); n_pixels],
        };
        for cell in 0..n_pixels * n_y * n_x {
            let kind = next();
            if kind < 0.05 {
                stack.data.as_slice_mut().unwrap()[cell] = f64::NAN;
            } else if kind < 0.1 {
                stack.weight.as_slice_mut().unwrap()[cell] = 0.0;
            } else if kind < 0.15 {
                stack.flag.as_slice_mut().unwrap()[cell] = DISCARD;
            }
        }
        stack
    }
}

type Operation = fn(&mut MapsMut<'_>, Option<&[usize]>, &Control) -> Result<String, Error>;

fn filter(fwhm: f64, blank: Option<f64>, kind: FilterKind) -> FilterParams {
    FilterParams { fwhm, blank, kind }
}

/// Every operation on the maps, with the numbers it returns as text.
const OPERATIONS: [(&str, Operation); 16] = [
    ("level", |m, p, c| Ok(format!("{:?}", m.level(p, true, c)?))),
    ("level, mean", |m, p, c| Ok(format!("{:?}", m.level(p, false, c)?))),
    ("reweight", |m, p, c| Ok(format!("{:?}", m.reweight(p, true, c)?))),
    ("reweight, mean", |m, p, c| Ok(format!("{:?}", m.reweight(p, false, c)?))),
    ("chi2", |m, p, c| Ok(format!("{:?}", m.chi2(p, true, c)?))),
    ("variance", |m, p, c| Ok(format!("{:?}", m.significance_variance(p, true, c)?))),
    ("smooth_to", |m, p, c| Ok(format!("{:?}", m.smooth_to(p, 9.0, c)?))),
    ("despike", |m, p, c| Ok(format!("{:?}", m.despike(p, 4.0, c)?))),
    ("filter", |m, p, c| {
        m.filter(p, &filter(20.0, Some(4.0), FilterKind::Convolution), c)?;
        Ok(format!("{:?}", m.correct_filtering(p, 6.0, c)?))
    }),
    ("filter, fft", |m, p, c| {
        m.filter(p, &filter(20.0, None, FilterKind::Fft), c)?;
        Ok(format!("{:?}", m.correct_filtering(p, 6.0, c)?))
    }),
    ("clip_exposure", |m, p, c| Ok(format!("{:?}", m.clip_exposure(p, 0.3, c)?))),
    ("clip_noise", |m, p, c| Ok(format!("{:?}", m.clip_noise(p, 2.0, c)?))),
    ("clip_significance", |m, p, c| {
        Ok(format!("{:?}", m.clip_significance(p, 1.0, Sign::Both, c)?))
    }),
    ("clip_redundancy", |m, p, c| Ok(format!("{:?}", m.clip_redundancy(p, 0.02, c)?))),
    ("mem_correct", |m, p, c| Ok(format!("{:?}", m.mem_correct(p, 0.2, c)?))),
    ("update_mask", |m, p, c| {
        Ok(format!("{:?}", m.update_mask(p, Some(1.0), 2, Sign::Positive, c)?))
    }),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_number_of_threads_changes_nothing(stack in stacks()) {
        let control = Control::default();
        let pools = [1, 3].map(|n| ThreadPoolBuilder::new().num_threads(n).build().unwrap());
        for (name, operation) in OPERATIONS {
            let [one, three] = pools.each_ref().map(|pool| {
                let mut stack = stack.clone();
                let result = pool.install(|| operation(&mut stack.maps(), None, &control));
                (stack.bits(), result)
            });
            prop_assert!(one == three, "{name}");
        }
    }

    #[test]
    fn maps_do_not_know_of_each_other(stack in stacks()) {
        let control = Control::default();
        let reversed: Vec<usize> = (0..stack.records.len()).rev().collect();
        for (name, operation) in OPERATIONS {
            let mut turned = stack.select(&reversed);
            let mut straight = stack.clone();
            let one = operation(&mut turned.maps(), None, &control);
            let other = operation(&mut straight.maps(), Some(&reversed), &control);
            prop_assert!(one == other, "{name}");
            prop_assert!(turned.bits() == straight.select(&reversed).bits(), "{name}");
        }
    }

    #[test]
    fn other_maps_are_left_alone(stack in stacks()) {
        let control = Control::default();
        for (name, operation) in OPERATIONS {
            let mut changed = stack.clone();
            operation(&mut changed.maps(), Some(&[0]), &control).unwrap();
            let others: Vec<usize> = (1..stack.records.len()).collect();
            prop_assert!(changed.select(&others).bits() == stack.select(&others).bits(), "{name}");
        }
    }

    #[test]
    fn the_statistics_follow_scale_and_offset(stack in stacks(), scale in 0.1..10.0_f64) {
        let control = Control::default();
        let levels = stack.clone().maps().level(None, true, &control).unwrap();
        let mut moved = stack.clone();
        moved.data.mapv_inplace(|value| scale * value + 3.0);
        for (one, other) in levels.iter().zip(moved.maps().level(None, true, &control).unwrap()) {
            let expected = scale * one + 3.0;
            prop_assert!(one.is_nan() && other.is_nan() || (other - expected).abs() < 1e-9);
        }
        let chi2 = stack.clone().maps().chi2(None, true, &control).unwrap();
        let mut scaled = stack.clone();
        scaled.weight.mapv_inplace(|value| scale * value);
        for (one, other) in chi2.iter().zip(scaled.maps().chi2(None, true, &control).unwrap()) {
            prop_assert!(one.is_nan() && other.is_nan() || (other - scale * one).abs() <= 1e-9 * other);
        }
    }

    #[test]
    fn smoothing_keeps_to_the_range_of_the_data(mut stack in stacks()) {
        let control = Control::default();
        let before = stack.clone();
        let n_valid = stack.maps().count_valid(None, &control).unwrap();
        stack.maps().smooth_to(None, 9.0, &control).unwrap();
        prop_assert_eq!(stack.maps().count_valid(None, &control).unwrap(), n_valid);
        for (pixel, after) in stack.data.outer_iter().enumerate() {
            let before = before.data.slice(s![pixel, .., ..]);
            let low = before.iter().fold(0.0_f64, |a, &b| a.min(b));
            let high = before.iter().fold(0.0_f64, |a, &b| a.max(b));
            prop_assert!(after.iter().all(|&v| v >= low - 1e-9 && v <= high + 1e-9));
        }
    }
}

fn two_maps() -> Stack {
    let grid = Grid::new([3, 4], [2.0; 2], [0.5; 2]).unwrap();
    Stack {
        grid,
        data: Array3::ones((2, 3, 4)),
        weight: Array3::ones((2, 3, 4)),
        exposure: Array3::ones((2, 3, 4)),
        flag: Array3::zeros((2, 3, 4)),
        records: vec![MapRecord::new(&grid); 2],
    }
}

#[test]
fn maps_that_do_not_exist_are_refused_before_anything_is_done() {
    let control = Control::default();
    for (name, operation) in OPERATIONS {
        let mut stack = two_maps();
        let error = operation(&mut stack.maps(), Some(&[1, 2]), &control).unwrap_err();
        let expected = Error::Index { name: "pixels", position: 1, found: 2, n: 2 };
        assert_eq!(error, expected, "{name}");
        let error = operation(&mut stack.maps(), Some(&[1, 0, 1]), &control).unwrap_err();
        let expected = Error::Duplicate { name: "pixels", position: 2, found: 1 };
        assert_eq!(error, expected, "{name}");
        assert_eq!(stack.bits(), two_maps().bits(), "{name}");
        assert!(operation(&mut stack.maps(), Some(&[]), &control).is_ok(), "{name}");
        assert_eq!(stack.bits(), two_maps().bits(), "{name}");
    }
}

#[test]
fn sums_are_not_taken_for_means() {
    let control = Control::default();
    let works_on_sums = ["clip_exposure", "clip_noise", "clip_redundancy"];
    for (name, operation) in OPERATIONS {
        let mut stack = two_maps();
        stack.records[1].content = Content::Sums;
        let result = operation(&mut stack.maps(), None, &control);
        if works_on_sums.contains(&name) {
            assert!(result.is_ok(), "{name}");
        } else {
            assert_eq!(result, Err(Error::NotNormalised { pixel: 1 }), "{name}");
            assert_eq!(stack.data, two_maps().data, "{name}");
            assert!(operation(&mut stack.maps(), Some(&[0]), &control).is_ok(), "{name}");
        }
    }
    let mut stack = two_maps();
    stack.records[1].content = Content::Sums;
    assert_eq!(stack.maps().count_valid(None, &control), Ok(vec![12, 12]));
    assert!(stack.maps().update_mask(None, None, 2, Sign::Positive, &control).is_ok());
}

#[test]
fn parameters_that_are_not_numbers_are_refused() {
    let (mut stack, control, nan) = (two_maps(), Control::default(), f64::NAN);
    let mut maps = stack.maps();
    let is_refused = |result: Result<(), Error>| matches!(result, Err(Error::Parameter { .. }));
    assert!(is_refused(maps.smooth_to(None, nan, &control).map(drop)));
    assert!(is_refused(maps.despike(None, nan, &control).map(drop)));
    assert!(is_refused(maps.clip_exposure(None, nan, &control).map(drop)));
    assert!(is_refused(maps.clip_noise(None, nan, &control).map(drop)));
    assert!(is_refused(maps.clip_redundancy(None, nan, &control).map(drop)));
    assert!(is_refused(maps.clip_significance(None, nan, Sign::Both, &control).map(drop)));
    assert!(is_refused(maps.mem_correct(None, f64::INFINITY, &control)));
    assert!(is_refused(maps.update_mask(None, Some(nan), 2, Sign::Both, &control).map(drop)));
    assert!(is_refused(maps.filter(None, &filter(1.0, None, FilterKind::Fft), &control)));
    assert!(is_refused(maps.correct_filtering(None, nan, &control).map(drop)));
    assert_eq!(stack.bits(), two_maps().bits());
}

#[test]
fn a_call_can_be_stopped() {
    let (mut stack, control) = (two_maps(), Control::default());
    control.cancel();
    assert_eq!(stack.maps().level(None, true, &control), Err(Error::Cancelled));
    assert_eq!(stack.bits(), two_maps().bits());
}
