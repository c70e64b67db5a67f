//! Timestreams of all sorts, what the definitions make of them, and what can be done with them.

use ndarray::{Array1, Array2, Array3, ArrayView2, Axis};
use pixtrace::Control;
use pixtrace::numeric::Real;
use pixtrace::scan::{
    Added, Content, DISCARD, Flags, Grid, MASK, MapStack, OtherMaps, Samples, SyncInput,
};
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

pub(crate) const EXCLUDED: i64 = 0b0110;
pub(crate) const BLANK: i64 = 0b1000;
/// Exact, so that sums of it are.
pub(crate) const DT: f64 = 0.25;

/// Timestreams that own their arrays.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) grid: Grid,
    pub(crate) data: Array2<f64>,
    pub(crate) frame_gains: Array1<f64>,
    pub(crate) frame_weights: Array1<f64>,
    pub(crate) source_gains: Array1<f64>,
    pub(crate) variance: Array1<f64>,
    pub(crate) valid: Array1<bool>,
    pub(crate) indices: Array3<i64>,
    pub(crate) channels: Array1<i64>,
    pub(crate) flags: Array2<i64>,
}

impl Stream {
    pub(crate) fn n_maps(&self) -> usize {
        self.channels.len()
    }

    pub(crate) fn samples<'a, T: Real, F: Flags>(
        &'a self,
        data: ArrayView2<'a, T>,
        flags: ArrayView2<'a, F>,
    ) -> Samples<'a, T, F> {
        Samples {
            frame_data: data,
            frame_gains: self.frame_gains.view(),
            frame_weights: self.frame_weights.view(),
            source_gains: self.source_gains.view(),
            channel_variance: self.variance.view(),
            valid_frames: self.valid.view(),
            map_indices: self.indices.view(),
            channel_indices: self.channels.view(),
            sample_flags: flags,
            exclude_sample_flag: EXCLUDED,
        }
    }

    pub(crate) fn add_to(&self, stack: &mut MapStack) -> Added {
        let samples = self.samples(self.data.view(), self.flags.view());
        stack.maps_mut().add_points(&samples, None, DT, &Control::default()).unwrap()
    }

    pub(crate) fn maps(&self) -> (MapStack, Added) {
        let mut stack = MapStack::new(self.n_maps(), self.grid);
        let added = self.add_to(&mut stack);
        (stack, added)
    }

    /// The frames of some numbers, in that order.
    pub(crate) fn frames(&self, chosen: &[usize]) -> Self {
        Self {
            data: self.data.select(Axis(0), chosen),
            frame_gains: self.frame_gains.select(Axis(0), chosen),
            frame_weights: self.frame_weights.select(Axis(0), chosen),
            valid: self.valid.select(Axis(0), chosen),
            indices: self.indices.select(Axis(1), chosen),
            flags: self.flags.select(Axis(0), chosen),
            ..self.clone()
        }
    }

    /// Cell of a sample, if it is on the map.
    pub(crate) fn cell(&self, frame: usize, channel: usize) -> Option<(usize, usize)> {
        let column = if self.indices.dim().2 == 1 { 0 } else { channel };
        let (x, y) = (self.indices[[0, frame, column]], self.indices[[1, frame, column]]);
        let [n_y, n_x] = self.grid.shape();
        let is_inside = (0..n_x as i64).contains(&x) && (0..n_y as i64).contains(&y);
        is_inside.then_some((y as usize, x as usize))
    }

    /// The samples that count if they and their gains are finite, one by one: `(map, cell, frame, channel)`.
    pub(crate) fn wanted(&self) -> Vec<(usize, (usize, usize), usize, usize)> {
        let mut wanted = Vec::new();
        for f in 0..self.data.nrows() {
            let (gain, weight) = (self.frame_gains[f], self.frame_weights[f]);
            let is_used = gain != 0.0 && weight > 0.0 && weight.is_finite();
            if !(self.valid[f] && is_used) {
                continue;
            }
            for (map, &channel) in self.channels.iter().enumerate() {
                let c = channel as usize;
                let (gain, variance) = (self.source_gains[c], self.variance[map]);
                let is_good = gain != 0.0 && variance > 0.0;
                if let Some(cell) = self.cell(f, c)
                    && is_good
                    && self.flags[[f, c]] & EXCLUDED == 0
                {
                    wanted.push((map, cell, f, c));
                }
            }
        }
        wanted
    }

    /// Data, weight and exposure, and how many samples or gains of theirs were not finite, by definition.
    pub(crate) fn naive(&self) -> ([Array3<f64>; 3], usize) {
        let [n_y, n_x] = self.grid.shape();
        let mut planes = [(); 3].map(|()| Array3::zeros((self.n_maps(), n_y, n_x)));
        let mut n_skipped = 0;
        for (map, (y, x), f, c) in self.wanted() {
            let value = self.data[[f, c]];
            let gain = self.frame_gains[f] * self.source_gains[c];
            if !(value.is_finite() && gain.is_finite()) {
                n_skipped += 1;
                continue;
            }
            let weight = self.frame_weights[f] / self.variance[map];
            planes[0][[map, y, x]] += weight * gain * value;
            planes[1][[map, y, x]] += weight * gain * gain;
            planes[2][[map, y, x]] += DT;
        }
        (planes, n_skipped)
    }
}

/// A generator of its own, so that a case is told by few numbers.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }

    /// The value itself, or with some probability one of others.
    pub(crate) fn spoilt<A: Copy>(&mut self, value: A, share: f64, others: &[A]) -> A {
        if self.uniform() < share { others[self.below(others.len())] } else { value }
    }
}

prop_compose! {
    pub(crate) fn streams(is_spoilt: bool)(
        (n_frames, n_channels) in (0..50_usize, 0..45_usize),
        (n_y, n_x) in (1..16_usize, 1..16_usize),
        is_shared in any::<bool>(),
        listed in 0.0..1.0_f64,
        seed in any::<u64>(),
    ) -> Stream {
        stream(&mut Random(seed), [n_frames, n_channels], [n_y, n_x], is_shared, listed, is_spoilt)
    }
}

pub(crate) fn stream(
    random: &mut Random,
    [n_frames, n_channels]: [usize; 2],
    shape: [usize; 2],
    is_shared: bool,
    listed: f64,
    is_spoilt: bool,
) -> Stream {
    let share = if is_spoilt { 0.1 } else { 0.0 };
    let mut channels: Vec<i64> = (0..n_channels as i64).collect();
    for i in (1..n_channels).rev() {
        channels.swap(i, random.below(i + 1));
    }
    channels.truncate((listed * (n_channels + 1) as f64) as usize);
    let mut number = |low: f64, high: f64, others: &[f64]| {
        let value = low + (high - low) * random.uniform();
        random.spoilt(value, share, others)
    };
    let bad = [0.0, f64::NAN, -1.0, f64::INFINITY];
    let not_finite = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let data = Array2::from_shape_simple_fn((n_frames, n_channels), || {
        f64::from(number(-3.0, 3.0, &not_finite) as f32)
    });
    let frame_gains = Array1::from_shape_simple_fn(n_frames, || number(0.5, 1.5, &bad));
    let frame_weights = Array1::from_shape_simple_fn(n_frames, || number(0.5, 1.5, &bad));
    let source_gains = Array1::from_shape_simple_fn(n_channels, || number(0.5, 1.5, &bad));
    let variance = Array1::from_shape_simple_fn(channels.len(), || number(0.5, 2.0, &bad[..3]));
    let valid = Array1::from_shape_simple_fn(n_frames, || random.spoilt(true, share, &[false]));
    let n_columns = if is_shared { 1 } else { n_channels };
    let indices = Array3::from_shape_fn((2, n_frames, n_columns), |(axis, _, _)| {
        let n = shape[1 - axis];
        let at = random.below(n) as i64;
        random.spoilt(at, share, &[-1, n as i64, i64::MAX, i64::MIN, 1 << 32, at - (1 << 62)])
    });
    let flags = Array2::from_shape_simple_fn((n_frames, n_channels), || {
        random.spoilt(0, 2.0 * share, &[1, 0b0010, 0b0100, 0b1001, 0b1010])
    });
    Stream {
        grid: Grid::new(shape, [2.0, 3.0], [1.5, 2.0]).unwrap(),
        data,
        frame_gains,
        frame_weights,
        source_gains,
        variance,
        valid,
        indices,
        channels: channels.into(),
        flags,
    }
}

pub(crate) fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-10 * (1.0 + b.abs())
}

pub(crate) fn all_close<'a>(
    a: impl IntoIterator<Item = &'a f64>,
    b: impl IntoIterator<Item = &'a f64>,
) -> bool {
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    let all = a.by_ref().zip(b.by_ref()).all(|(a, b)| close(*a, *b));
    all && a.next().is_none() && b.next().is_none()
}

pub(crate) fn close_maps(a: &MapStack, b: &MapStack) -> bool {
    all_close(a.data(), b.data())
        && all_close(a.weight(), b.weight())
        && all_close(a.exposure(), b.exposure())
        && a.flag() == b.flag()
}

/// Whether two stacks hold the same bits, but for their records.
pub(crate) fn same_maps(a: &MapStack, b: &MapStack) -> bool {
    let bits = |stack: &MapStack| -> Vec<u64> {
        let (data, weight, exposure) = (stack.data(), stack.weight(), stack.exposure());
        let all = data.iter().chain(&weight).chain(&exposure).map(|x| x.to_bits());
        all.collect()
    };
    bits(a) == bits(b) && a.flag() == b.flag()
}

fn others(stack: &MapStack) -> OtherMaps<'_> {
    OtherMaps {
        data: stack.data(),
        weight: stack.weight(),
        exposure: stack.exposure(),
        flag: stack.flag(),
        records: stack.records(),
    }
}

pub(crate) fn merge(to: &mut MapStack, from: &MapStack) {
    let pairs: Vec<_> = (0..from.records().len()).map(|i| (i, i)).collect();
    to.maps_mut().merge_accumulate(&others(from), &pairs, &Control::default()).unwrap();
}

pub(crate) fn end(stack: &mut MapStack) {
    stack.maps_mut().end_accumulation(None, &Control::default()).unwrap();
}

pub(crate) fn with_threads<R: Send>(n: usize, work: impl FnOnce() -> R + Send) -> R {
    ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(work)
}

/// Maps with holes, masks and means.
pub(crate) fn models(stream: &Stream, seed: u64) -> MapStack {
    let mut random = Random(seed);
    let mut stack = MapStack::new(stream.n_maps(), stream.grid);
    for map in stack.maps_mut().maps() {
        for cell in 0..map.data.len() {
            let value = random.uniform() - 0.5;
            map.data[cell] = random.spoilt(value, 0.05, &[f64::NAN]);
            let weight = 0.5 + random.uniform();
            map.weight[cell] = random.spoilt(weight, 0.1, &[0.0, f64::INFINITY]);
            map.exposure[cell] = 1.0;
            map.flag[cell] = random.spoilt(0, 0.3, &[DISCARD, MASK, MASK | DISCARD]);
        }
        map.record.content = Content::Means;
    }
    stack
}

pub(crate) fn synced(
    stream: &Stream,
    stack: &mut MapStack,
    base: Option<&Array3<f64>>,
) -> (Array2<f64>, Array2<i64>) {
    let (mut data, mut flags) = (stream.data.clone(), stream.flags.clone());
    let sync_gains = stream.source_gains.mapv(|gain| 0.5 * gain);
    let input = SyncInput {
        frame_data: data.view_mut(),
        frame_valid: stream.valid.view(),
        frame_gains: stream.frame_gains.view(),
        channel_indices: stream.channels.view(),
        map_indices: stream.indices.view(),
        source_gains: stream.source_gains.view(),
        sync_gains: sync_gains.view(),
        sample_flags: flags.view_mut(),
        sample_blank_flag: BLANK,
    };
    let base = base.map(|base| base.view());
    stack.maps_mut().sync(base, input, None, &Control::default()).unwrap();
    (data, flags)
}
