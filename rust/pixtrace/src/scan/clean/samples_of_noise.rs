//! Noise and a source for tests.

/// Numbers that are as good as Gaussian noise of unit deviation, always the same for a seed.
pub(super) fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..n).map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0).collect()
}

/// A source that passes by every 200 samples, with a full width of 20 and this height.
pub(super) fn source(n: usize, height: f64) -> impl Iterator<Item = f64> {
    (0..n).map(move |i| {
        let from = (i % 200) as f64 - 100.0;
        height * (-0.5 * (from / 8.5).powi(2)).exp()
    })
}
