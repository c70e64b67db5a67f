//! Channels that oscillate: most of their power lies in one line of the spectrum.

use super::column::{Column, State};

/// Samples of a stretch whose spectrum is taken; a power of two.
const LENGTH: usize = 1024;
/// Shortest stretch.
const SHORTEST: usize = 128;
/// Stretches, spread over the scan.
const STRETCHES: usize = 16;
/// First frequency that is looked at, in cycles per stretch: below, there are drifts.
const FIRST: usize = 6;
/// Half the width of a line, with the window's.
const LINE: usize = 2;
/// How far to each side the background of a line is taken.
const AROUND: usize = 6;
/// A line is this many times as high as what is around it.
const CONTRAST: f64 = 8.0;

/// Space, window and turns that are used again and again.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    wave: Vec<[f64; 2]>,
    window: Vec<f64>,
    /// Sine and cosine of the turns through a full circle.
    turns: Vec<(f64, f64)>,
}

impl Workspace {
    fn prepare(&mut self, length: usize) {
        if self.window.len() == length {
            return;
        }
        let phase = |k: usize| std::f64::consts::TAU * k as f64 / length as f64;
        self.window = (0..length).map(|k| 1.0 - phase(k).cos()).collect();
        self.turns = (0..length / 2).map(|k| (-phase(k)).sin_cos()).collect();
        self.wave = vec![[0.0; 2]; length];
    }
}

/// Part of the power that lies in the highest line; zero if no line stands out.
pub(super) fn line_fraction(column: &Column, space: &mut Workspace) -> f64 {
    let n = column.x.len();
    let mut length = LENGTH;
    while length > n {
        length /= 2;
    }
    if length < SHORTEST {
        return 0.0;
    }
    let half = length / 2;
    // Two stretches at a time, as real and imaginary part.
    let n_pairs = (n / length).clamp(1, STRETCHES / 2);
    let mut power = vec![0.0; half];
    space.prepare(length);
    let Workspace { wave, window, turns } = space;
    for pair in 0..n_pairs {
        for part in 0..2 {
            let stretch = 2 * pair + part;
            let first = (n - length) * stretch / (2 * n_pairs - 1);
            let samples = column.x[first..].iter().zip(&column.state[first..]).zip(&*window);
            for (to, ((&x, &state), weight)) in wave.iter_mut().zip(samples) {
                to[part] = if state == State::Used { x * weight } else { 0.0 };
            }
        }
        transform(wave, turns);
        for (k, sum) in power.iter_mut().enumerate() {
            let ([a, b], [c, d]) = (wave[k], wave[(length - k) % length]);
            *sum += a * a + b * b + c * c + d * d;
        }
    }
    let mut peak = FIRST;
    for k in FIRST..half - AROUND {
        if power[k] > power[peak] {
            peak = k;
        }
    }
    let mean = |range: std::ops::Range<usize>| {
        let n = range.len() as f64;
        power[range].iter().sum::<f64>() / n
    };
    let below = mean(peak.saturating_sub(AROUND).max(1)..peak - LINE);
    let above = mean(peak + LINE + 1..(peak + AROUND + 1).min(half));
    if power[peak] <= CONTRAST * below.max(above) {
        return 0.0;
    }
    let line: f64 = power[peak - LINE..=peak + LINE].iter().sum();
    let all: f64 = power[1..].iter().sum();
    line / all
}

/// The discrete Fourier transform, in place; the number of elements is a power of two, twice that of turns.
fn transform(wave: &mut [[f64; 2]], turns: &[(f64, f64)]) {
    let n = wave.len();
    let mut reversed = 0;
    for k in 1..n {
        let mut bit = n >> 1;
        while reversed & bit != 0 {
            reversed ^= bit;
            bit >>= 1;
        }
        reversed |= bit;
        if k < reversed {
            wave.swap(k, reversed);
        }
    }
    let mut width = 2;
    while width <= n {
        for block in wave.chunks_exact_mut(width) {
            let (low, high) = block.split_at_mut(width / 2);
            let turns = turns.iter().step_by(n / width);
            for ((a, b), &(sine, cosine)) in low.iter_mut().zip(high).zip(turns) {
                let turned = [b[0] * cosine - b[1] * sine, b[0] * sine + b[1] * cosine];
                *b = [a[0] - turned[0], a[1] - turned[1]];
                *a = [a[0] + turned[0], a[1] + turned[1]];
            }
        }
        width *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples_of_noise::noise;
    use super::*;
    use approx::assert_relative_eq;

    fn column(x: Vec<f64>) -> Column {
        Column { state: vec![State::Used; x.len()], x }
    }

    #[test]
    fn the_transform_is_that_of_the_definition() {
        let values = noise(32, 5);
        let mut wave: Vec<[f64; 2]> = values.iter().map(|&x| [x, 0.0]).collect();
        let mut space = Workspace::default();
        space.prepare(32);
        transform(&mut wave, &space.turns);
        for (k, found) in wave.iter().enumerate() {
            let turn = |i: usize| -std::f64::consts::TAU * (k * i) as f64 / 32.0;
            let real: f64 = values.iter().enumerate().map(|(i, x)| x * turn(i).cos()).sum();
            let imaginary: f64 = values.iter().enumerate().map(|(i, x)| x * turn(i).sin()).sum();
            assert_relative_eq!(found[0], real, epsilon = 1e-12);
            assert_relative_eq!(found[1], imaginary, epsilon = 1e-12);
        }
    }

    #[test]
    fn a_sine_wave_is_a_line_and_noise_is_none() {
        let space = &mut Workspace::default();
        for n in [150, 1000, 5000] {
            let sine = (0..n).map(|i| 3.0 * (0.37 * i as f64).sin());
            let waving: Vec<f64> = noise(n, 4).into_iter().zip(sine).map(|(a, b)| a + b).collect();
            let found = line_fraction(&column(waving), space);
            assert!(found > 0.7 && found < 0.95, "{n} {found}");
            assert!(line_fraction(&column(noise(n, 4)), space) < 0.2);
        }
        let mut level = 0.0;
        let walk = noise(5000, 9).into_iter().map(|step| {
            level += step;
            level
        });
        assert!(line_fraction(&column(walk.collect()), space) < 0.2);
        assert!(line_fraction(&column(vec![1.0; 50]), space) == 0.0);
    }
}
