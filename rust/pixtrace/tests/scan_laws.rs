//! What must hold for maps of any timestreams, tested through the public interface.

mod streams;

use ndarray::{Array1, Array2, Array3, Axis, s};
use pixtrace::scan::{
    CellMoments, DISCARD, MASK, MapStack, SyncInput, WeightedSamples, sample_points,
};
use pixtrace::{Control, Error};
use proptest::prelude::*;
use streams::{
    BLANK, DT, Random, Stream, all_close, close, close_maps, end, merge, models, same_maps, stream,
    streams, synced, with_threads,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn adding_is_what_the_definition_says(stream in streams(true)) {
        let (stack, added) = stream.maps();
        let ([data, weight, exposure], n_skipped) = stream.naive();
        prop_assert!(all_close(stack.data(), &data));
        prop_assert!(all_close(stack.weight(), &weight));
        prop_assert_eq!(stack.exposure(), exposure.view());
        let expected = exposure.mapv(|time: f64| if time > 0.0 { 0 } else { DISCARD });
        prop_assert_eq!(stack.flag(), expected.view());
        prop_assert_eq!(added.n_skipped, n_skipped);
        prop_assert_eq!(added.n_samples, stream.wanted().len() - n_skipped);
        prop_assert_eq!((exposure.sum() / DT) as usize, added.n_samples);
    }

    #[test]
    fn the_order_of_frames_does_not_matter(stream in streams(true), seed in any::<u64>()) {
        let mut random = Random(seed);
        let mut order: Vec<usize> = (0..stream.data.nrows()).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, random.below(i + 1));
        }
        let ((mixed, one), (straight, other)) = (stream.frames(&order).maps(), stream.maps());
        prop_assert!(close_maps(&mixed, &straight));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn halves_add_up(stream in streams(true), share in 0.0..1.0_f64) {
        let n = stream.data.nrows();
        let cut = (share * n as f64) as usize;
        let parts = [(0..cut).collect::<Vec<_>>(), (cut..n).collect()].map(|part| stream.frames(&part));
        let (mut whole, added) = stream.maps();
        let (mut first, one) = parts[0].maps();
        let (mut second, other) = parts[1].maps();
        prop_assert_eq!(one + other, added);
        let mut after = first.clone();
        parts[1].add_to(&mut after);
        prop_assert!(close_maps(&after, &whole));
        let mut merged = first.clone();
        merge(&mut merged, &second);
        prop_assert!(close_maps(&merged, &whole));
        // Means are made sums again before they are added to.
        end(&mut first);
        end(&mut second);
        parts[1].add_to(&mut after);
        merge(&mut first, &second);
        prop_assert!(close_maps(&first, &whole));
        end(&mut first);
        end(&mut whole);
        prop_assert!(close_maps(&first, &whole));
        let once = first.clone();
        end(&mut first);
        prop_assert!(same_maps(&first, &once));
    }

    #[test]
    fn channels_in_another_order_give_the_maps_in_that_order(stream in streams(true), seed in any::<u64>()) {
        let mut random = Random(seed);
        let mut order: Vec<usize> = (0..stream.n_maps()).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, random.below(i + 1));
        }
        let mixed = Stream {
            channels: stream.channels.select(Axis(0), &order),
            variance: stream.variance.select(Axis(0), &order),
            ..stream.clone()
        };
        let ((mixed_maps, _), (straight, _)) = (mixed.maps(), stream.maps());
        for (i, &k) in order.iter().enumerate() {
            let (one, other) = (mixed_maps.data(), straight.data());
            prop_assert_eq!(one.index_axis(Axis(0), i), other.index_axis(Axis(0), k));
            let (one, other) = (mixed_maps.weight(), straight.weight());
            prop_assert_eq!(one.index_axis(Axis(0), i), other.index_axis(Axis(0), k));
        }
        let mut stack = MapStack::new(stream.n_maps(), stream.grid);
        let samples = mixed.samples(mixed.data.view(), mixed.flags.view());
        stack.maps_mut().add_points(&samples, Some(&order), DT, &Control::default()).unwrap();
        prop_assert!(same_maps(&stack, &straight));
    }

    #[test]
    fn threads_types_and_layouts_change_not_a_bit(stream in streams(true), n_threads in 1..9_usize) {
        let (expected, added) = stream.maps();
        let (again, same) = with_threads(n_threads, || stream.maps());
        prop_assert!(same_maps(&again, &expected));
        prop_assert_eq!(same, added);
        let single = stream.data.mapv(|x| x as f32);
        let (short, byte) = (stream.flags.mapv(|x| x as i32), stream.flags.mapv(|x| x as u8));
        let mut turned = Array2::zeros((stream.data.ncols(), stream.data.nrows()));
        turned.assign(&stream.data.t());
        let mut wide = Array2::zeros((2 * stream.data.nrows(), 3 * stream.data.ncols()));
        wide.slice_mut(s![..;2, ..;3]).assign(&stream.data);
        let control = Control::default();
        let mut stacks = [(); 4].map(|()| MapStack::new(stream.n_maps(), stream.grid));
        let [one, two, three, four] = &mut stacks;
        one.maps_mut().add_points(&stream.samples(single.view(), byte.view()), None, DT, &control).unwrap();
        two.maps_mut().add_points(&stream.samples(single.view(), short.view()), None, DT, &control).unwrap();
        three.maps_mut().add_points(&stream.samples(turned.t(), byte.view()), None, DT, &control).unwrap();
        let strided = wide.slice(s![..;2, ..;3]);
        four.maps_mut().add_points(&stream.samples(strided, short.view()), None, DT, &control).unwrap();
        for stack in &stacks {
            prop_assert!(same_maps(stack, &expected));
        }
    }

    #[test]
    fn an_index_for_each_channel_is_as_good_as_one_for_all(stream in streams(true), seed in any::<u64>()) {
        prop_assume!(stream.indices.dim().2 == 1);
        let shape = (2, stream.data.nrows(), stream.data.ncols());
        let wide = Stream { indices: stream.indices.broadcast(shape).unwrap().to_owned(), ..stream.clone() };
        prop_assert!(close_maps(&wide.maps().0, &stream.maps().0));
        let mut stack = models(&stream, seed);
        let (one, other) = (synced(&wide, &mut stack, None), synced(&stream, &mut stack, None));
        prop_assert!(one.0.iter().zip(&other.0).all(|(a, b)| a.to_bits() == b.to_bits()));
        prop_assert_eq!(one.1, other.1);
    }

    #[test]
    fn adding_is_spelling_out_and_accumulating(mut stream in streams(true)) {
        // Spelled out, a negative weight over a negative variance would be as good as any.
        stream.frame_weights.mapv_inplace(|weight| weight.max(0.0));
        let control = Control::default();
        let points = sample_points(&stream.samples(stream.data.view(), stream.flags.view()), &control).unwrap();
        let samples = WeightedSamples {
            data: points.data.view(),
            gains: points.gains.view(),
            weights: points.weights.view(),
            indices: points.indices.view(),
        };
        let mut stack = MapStack::new(stream.n_maps(), stream.grid);
        stack.maps_mut().accumulate(&samples, None, DT, &control).unwrap();
        prop_assert!(close_maps(&stack, &stream.maps().0));
    }

    #[test]
    fn subtracting_is_what_the_definition_says(stream in streams(true), seed in any::<u64>(), has_base in any::<bool>()) {
        let mut stack = models(&stream, seed);
        let mut random = Random(seed ^ 1);
        let base = has_base.then(|| {
            stack.data().mapv(|_| { let x = random.uniform(); random.spoilt(x, 0.1, &[f64::NAN]) })
        });
        let (data, flags) = synced(&stream, &mut stack, base.as_ref());
        let (mut expected, mut expected_flags) = (stream.data.clone(), stream.flags.clone());
        for f in (0..stream.data.nrows()).filter(|&f| stream.valid[f]) {
            for (map, &c) in stream.channels.iter().enumerate() {
                let c = c as usize;
                let Some((y, x)) = stream.cell(f, c) else { continue };
                let at = [map, y, x];
                let (value, weight, flag) = (stack.data()[at], stack.weight()[at], stack.flag()[at]);
                if value.is_nan() || flag & DISCARD != 0 || weight.is_infinite() || weight <= 0.0 {
                    continue;
                }
                let prior = base.as_ref().map_or(0.0, |base| base[at]);
                let prior = if prior.is_nan() { 0.0 } else { prior };
                let model = stream.source_gains[c] * value - 0.5 * stream.source_gains[c] * prior;
                let gain = stream.frame_gains[f];
                if gain > 0.0 && gain.is_finite() && model.is_finite() {
                    expected[[f, c]] -= gain * model;
                }
                let blank = if flag & MASK != 0 { BLANK } else { 0 };
                expected_flags[[f, c]] = (expected_flags[[f, c]] & !BLANK) | blank;
            }
        }
        let same = data.iter().zip(&expected).all(|(a, b)| close(*a, *b) || a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
        prop_assert!(same);
        prop_assert_eq!(&flags, &expected_flags);
        for n_threads in [1, 3] {
            let again = with_threads(n_threads, || synced(&stream, &mut stack.clone(), base.as_ref()));
            prop_assert!(again.0.iter().zip(&data).all(|(a, b)| a.to_bits() == b.to_bits()));
            prop_assert_eq!(&again.1, &flags);
        }
    }

    #[test]
    fn a_map_without_noise_leaves_nothing(stream in streams(false), seed in any::<u64>()) {
        let mut random = Random(seed);
        let [n_y, n_x] = stream.grid.shape();
        let sky = Array3::from_shape_simple_fn((stream.data.ncols(), n_y, n_x), || random.uniform() - 0.5);
        let mut stream = stream;
        let mut data = Array2::zeros(stream.data.raw_dim());
        for &c in &stream.channels {
            for f in 0..stream.data.nrows() {
                let (y, x) = stream.cell(f, c as usize).unwrap();
                let at = [c as usize, y, x];
                data[[f, c as usize]] = stream.frame_gains[f] * stream.source_gains[c as usize] * sky[at];
            }
        }
        stream.data = data;
        let (mut stack, _) = stream.maps();
        end(&mut stack);
        let (left, flags) = synced(&stream, &mut stack, None);
        prop_assert!(left.iter().all(|x| x.abs() < 1e-12));
        prop_assert!(flags.iter().all(|&flag| flag == 0));
    }

    #[test]
    fn moments_are_those_of_the_frames(stream in streams(false), seed in any::<u64>()) {
        prop_assume!(stream.indices.dim().2 == 1);
        let mut random = Random(seed);
        let n = stream.data.nrows();
        let within = Array2::from_shape_simple_fn((2, n), || random.uniform() - 0.5);
        let positions = stream.indices.slice(s![.., .., 0]).mapv(|i| i as f64) + &within;
        let mut moments = CellMoments::new(&stream.grid);
        let samples = stream.samples(stream.data.view(), stream.flags.view());
        moments.add_frames(&stream.grid, &samples, positions.view()).unwrap();
        let [n_y, n_x] = stream.grid.shape();
        let mut expected = vec![[0.0; 6]; n_y * n_x];
        for f in 0..n {
            let cell = stream.grid.cell(stream.indices[[0, f, 0]], stream.indices[[1, f, 0]]).unwrap();
            let weight = stream.frame_weights[f] * stream.frame_gains[f].powi(2);
            let (x, y) = (within[[0, f]], within[[1, f]]);
            for (sum, term) in expected[cell].iter_mut().zip([1.0, x, y, x * x, x * y, y * y]) {
                *sum += weight * term;
            }
        }
        for (cell, expected) in expected.iter().enumerate() {
            let ([x, y], [xx, xy, yy]) = (moments.first[cell], moments.second[cell]);
            prop_assert!(all_close(&[moments.weight[cell], x, y, xx, xy, yy], expected));
        }
    }
}

proptest! {
    #[test]
    fn every_map_knows_where_its_own_samples_stand(stream in streams(true), seed in any::<u64>()) {
        prop_assume!(stream.indices.dim().2 == 1);
        let mut random = Random(seed);
        let n = stream.data.nrows();
        let within = Array2::from_shape_simple_fn((2, n), || random.uniform() - 0.5);
        let positions = stream.indices.slice(s![.., .., 0]).mapv(|i| i as f64) + &within;
        let (stack, added) = stream.maps();
        let samples = stream.samples(stream.data.view(), stream.flags.view());
        let control = Control::default();
        let moments =
            stack.maps().sample_moments(&samples, None, positions.view(), added, &control).unwrap();
        // With data of its own for each sample, the mean of x is what the map says.
        let x = Array2::from_shape_fn(stream.data.dim(), |(f, c)| {
            let value = within[[0, f]] * stream.frame_gains[f] * stream.source_gains[c];
            if stream.data[[f, c]].is_finite() { value } else { f64::NAN }
        });
        let mut means = MapStack::new(stack.records().len(), stream.grid);
        let samples = stream.samples(x.view(), stream.flags.view());
        means.maps_mut().add_points(&samples, None, 1.0, &control).unwrap();
        means.maps_mut().end_accumulation(None, &control).unwrap();
        for ((map, iy, ix), mean) in means.data().indexed_iter() {
            let cell = iy * means.data().dim().2 + ix;
            if means.weight()[[map, iy, ix]] > 0.0 {
                let found = moments.scatter(map, cell).mean[0];
                prop_assert!((found - mean).abs() < 1e-5, "{map} {cell}: {found} {mean}");
            }
        }
    }
}

/// More than a tile of cells and of channels, with gaps between those that are listed.
#[test]
fn many_channels_and_cells() {
    let mut random = Random(5);
    let stream = stream(&mut random, [400, 700], [30, 33], true, 0.6, true);
    let (stack, added) = stream.maps();
    let ([data, weight, exposure], n_skipped) = stream.naive();
    assert!(all_close(stack.data(), &data) && all_close(stack.weight(), &weight));
    assert_eq!(stack.exposure(), exposure.view());
    assert_eq!(added.n_skipped, n_skipped);
    for n_threads in [1, 2, 8] {
        assert!(same_maps(&with_threads(n_threads, || stream.maps()).0, &stack));
    }
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_added() {
    let good = stream(&mut Random(3), [6, 5], [4, 6], true, 1.0, false);
    let (expected, _) = good.maps();
    let wrong: Vec<Stream> = vec![
        Stream { frame_gains: Array1::ones(5), ..good.clone() },
        Stream { frame_weights: Array1::ones(7), ..good.clone() },
        Stream { source_gains: Array1::ones(4), ..good.clone() },
        Stream { variance: Array1::ones(4), ..good.clone() },
        Stream { valid: Array1::from_elem(0, true), ..good.clone() },
        Stream { indices: Array3::zeros((2, 6, 2)), ..good.clone() },
        Stream { indices: Array3::zeros((3, 6, 1)), ..good.clone() },
        Stream { flags: Array2::zeros((6, 4)), ..good.clone() },
        Stream { channels: vec![0, 1, 2, 3, 5].into(), ..good.clone() },
        Stream { channels: vec![0, 1, 2, 3, -1].into(), ..good.clone() },
        Stream { channels: vec![0, 1, 2, 3, 3].into(), ..good.clone() },
        Stream { channels: vec![0, 1, 2].into(), variance: Array1::ones(3), ..good.clone() },
    ];
    for stream in wrong {
        let mut stack = expected.clone();
        let samples = stream.samples(stream.data.view(), stream.flags.view());
        let found = stack.maps_mut().add_points(&samples, None, DT, &Control::default());
        assert!(
            matches!(
                found,
                Err(Error::Shape { .. } | Error::Index { .. } | Error::Duplicate { .. })
            ),
            "{found:?}"
        );
        assert!(same_maps(&stack, &expected));
    }
    let samples = good.samples(good.data.view(), good.flags.view());
    let mut stack = expected.clone();
    for dt in [f64::NAN, f64::INFINITY, -1.0] {
        let found = stack.maps_mut().add_points(&samples, None, dt, &Control::default());
        assert!(matches!(found, Err(Error::Parameter { name: "dt", .. })));
    }
    let cancelled = Control::default();
    cancelled.cancel();
    assert_eq!(stack.maps_mut().add_points(&samples, None, DT, &cancelled), Err(Error::Cancelled));
}

#[test]
fn wide_scans_lose_what_single_samples_do() {
    // Channels and cells of more than one tile, with whole blocks and rests of both.
    let shared = stream(&mut Random(5), [900, 300], [21, 22], true, 0.95, true);
    let shape = (2, shared.data.nrows(), shared.data.ncols());
    let indices = shared.indices.broadcast(shape).unwrap().to_owned();
    let single = Stream { indices, ..shared.clone() };
    let mut stack = models(&shared, 6);
    let base = stack.data().mapv(|value| 0.3 - value);
    for base in [None, Some(&base)] {
        let (one, other) = (synced(&shared, &mut stack, base), synced(&single, &mut stack, base));
        assert!(one.0.iter().zip(&other.0).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert_eq!(one.1, other.1);
        let n_changed =
            one.0.iter().zip(&shared.data).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        assert!(4 * n_changed > one.0.len());
        assert!(one.1.iter().any(|flag| flag & BLANK != 0));
    }
}

#[test]
fn sums_are_not_subtracted() {
    let stream = stream(&mut Random(3), [6, 5], [4, 6], true, 1.0, false);
    let (mut stack, _) = stream.maps();
    let (mut data, mut flags) = (stream.data.clone(), stream.flags.clone());
    let input = SyncInput {
        frame_data: data.view_mut(),
        frame_valid: stream.valid.view(),
        frame_gains: stream.frame_gains.view(),
        channel_indices: stream.channels.view(),
        map_indices: stream.indices.view(),
        source_gains: stream.source_gains.view(),
        sync_gains: stream.source_gains.view(),
        sample_flags: flags.view_mut(),
        sample_blank_flag: BLANK,
    };
    let found = stack.maps_mut().sync(None, input, None, &Control::default());
    assert_eq!(found, Err(Error::NotNormalised { pixel: 0 }));
    assert_eq!(data, stream.data);
}
