//! The noise of a channel, at the pace of the source.
//!
//! The difference of the means of neighbouring stretches of `m` samples, in units of what white noise would give it, has
//! the variance of a sample at frequencies about `1 / (2.7 m)`: as `m` goes up, drifts come in. For white noise and a
//! power of 1/f it is `a + b m`. Where a source passes through the full width of a beam in `m` samples, this is the variance
//! that counts for its position.

use super::column::{Column, State, scale};
use crate::numeric::cholesky::Cholesky;

/// Differences beyond this many robust standard deviations are no noise.
const CLIP: f64 = 4.5;
/// Fewest differences from which a variance is taken.
const FEWEST: usize = 16;

/// About as many differences are enough.
const MOST: usize = 16_384;

/// Space that is used again and again.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    sums: Vec<(f64, u32)>,
    differences: Vec<f64>,
    buffer: Vec<f64>,
}

/// Variance of a sample for a source that passes in `m_source` samples; NaN if there are too few samples.
pub(super) fn variance(column: &Column, m_source: f64, space: &mut Workspace) -> f64 {
    let Workspace { sums, differences, buffer } = space;
    sums.clear();
    let mut sum = (0.0, 0);
    sums.push(sum);
    for (&x, &state) in column.x.iter().zip(&column.state) {
        if state == State::Used {
            sum = (sum.0 + x, sum.1 + 1);
        }
        sums.push(sum);
    }
    let n = column.x.len();
    // Normal equations of a + b m.
    let mut matrix = [[0.0; 2]; 2];
    let (mut right, mut n_scales) = ([0.0; 2], 0);
    let mut m = 1;
    while m as f64 <= m_source.max(1.0) && 2 * m <= n {
        differences.clear();
        let complete = (0.5 / m as f64).sqrt();
        for i in (0..=n - 2 * m).step_by((m / 2).max(n / MOST).max(1)) {
            let (from, middle, to) = (sums[i], sums[i + m], sums[i + 2 * m]);
            let (n_before, n_after) = (middle.1 - from.1, to.1 - middle.1);
            if n_before.min(n_after) as usize >= m.div_ceil(2) {
                if n_before as usize == m && n_after as usize == m {
                    differences.push((to.0 - 2.0 * middle.0 + from.0) * complete);
                    continue;
                }
                let (n_before, n_after) = (f64::from(n_before), f64::from(n_after));
                let step = (to.0 - middle.0) / n_after - (middle.0 - from.0) / n_before;
                differences.push(step / (1.0 / n_before + 1.0 / n_after).sqrt());
            }
        }
        if differences.len() >= FEWEST {
            let limit = CLIP * scale(differences.iter().copied(), differences.len(), buffer);
            let (mut square, mut count) = (0.0, 0_u32);
            for difference in differences.iter().filter(|difference| difference.abs() <= limit) {
                square += difference * difference;
                count += 1;
            }
            let (value, length) = (square / f64::from(count), m as f64);
            // Independent differences over the square of what is measured.
            let weight = n as f64 / length / (value * value).max(f64::MIN_POSITIVE);
            matrix[0][0] += weight;
            matrix[1][0] += weight * length;
            matrix[1][1] += weight * length * length;
            right[0] += weight * value;
            right[1] += weight * length * value;
            n_scales += 1;
        }
        m *= 2;
    }
    if n_scales == 0 {
        return f64::NAN;
    }
    let mean = right[0] / matrix[0][0];
    match Cholesky::new(&matrix, 0.0).filter(|_| n_scales > 1) {
        Some(factored) => {
            let [a, b] = factored.solve(&right);
            // Noise does not fall towards low frequencies, but for what was taken for a drift.
            if b > 0.0 { (a + b * m_source).max(mean) } else { mean }
        }
        None => mean,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples_of_noise::noise;
    use super::*;

    fn column(x: Vec<f64>) -> Column {
        Column { state: vec![State::Used; x.len()], x }
    }

    #[test]
    fn white_noise_has_its_own_variance() {
        let mean = (1..=20)
            .map(|seed| {
                let mut column = column(noise(5000, seed));
                for i in (0..5000).step_by(50) {
                    column.x[i] = 1e3;
                    if i % 100 == 0 {
                        column.state[i] = State::Spike;
                    }
                }
                variance(&column, 20.0, &mut Workspace::default())
            })
            .sum::<f64>()
            / 20.0;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
    }

    #[test]
    fn slow_noise_counts_at_the_pace_of_the_source() {
        // A random walk that grows by 0.1 in each sample.
        let mut level = 0.0;
        let steps = noise(20_000, 7);
        let x = noise(20_000, 3).into_iter().zip(steps).map(|(x, step)| {
            level += 0.1 * step;
            x + level
        });
        let column = column(x.collect());
        let fast = variance(&column, 1.0, &mut Workspace::default());
        let slow = variance(&column, 16.0, &mut Workspace::default());
        assert!((fast - 1.0).abs() < 0.05, "{fast}");
        // Means of m samples of the walk differ by 0.01 (2 m^2 + 1) / (3 m), times m / 2 for a sample.
        let expected = 1.0 + 0.01 * (2.0 * 256.0 + 1.0) / 6.0;
        assert!(slow > 1.3 && slow < 1.1 * expected, "{slow} {expected}");
    }

    #[test]
    fn nothing_has_no_noise() {
        assert!(variance(&column(vec![]), 4.0, &mut Workspace::default()).is_nan());
    }
}
