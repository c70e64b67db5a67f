//! Convolution of images with Gaussians, exact to rounding: two passes of a one-dimensional kernel.

/// One half of a Gaussian kernel, from its centre outwards: `exp(-k^2 / (2 sigma^2))` for `k` = 0, 1, ..., `n`.
///
/// The unit of `sigma` is the distance of two samples. The height is 1; with [`Kernel::scaled`] it is another.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel(Vec<f64>);

impl Kernel {
    /// Samples as far as `half_size` from the centre.
    #[must_use]
    pub fn gaussian(sigma: f64, half_size: usize) -> Self {
        Self((0..=half_size).map(|k| (-0.5 * (k as f64 / sigma).powi(2)).exp()).collect())
    }

    /// The same shape, of height `height`.
    #[must_use]
    pub fn scaled(mut self, height: f64) -> Self {
        self.0.iter_mut().for_each(|sample| *sample *= height);
        self
    }

    /// Sum over all samples, those of both sides.
    #[must_use]
    pub fn sum(&self) -> f64 {
        let tail: f64 = self.0.iter().skip(1).rev().sum();
        self.0.first().copied().unwrap_or(0.0) + 2.0 * tail
    }

    /// The centre, and of one side the samples that a signal of `n` samples can feel.
    fn reaching(&self, n: usize) -> (f64, &[f64]) {
        let centre = self.0.first().copied().unwrap_or(0.0);
        (centre, self.0.get(1..self.0.len().min(n)).unwrap_or_default())
    }
}

/// Memory for [`convolve`], to be used again and again.
#[derive(Clone, Debug, Default)]
pub struct Passes(Vec<f64>);

/// Cells that are summed up together: as many as the registers of any machine hold.
const BLOCK: usize = 16;

/// Convolves an image of rows of `n_x` cells with the product of the kernels along `[x, y]`; beyond the edges is zero.
///
/// NaN and infinities spread over all that the kernels reach.
///
/// # Panics
/// If `n_x` is 0.
pub fn convolve(
    image: &mut [f64],
    n_x: usize,
    [along_x, along_y]: [&Kernel; 2],
    passes: &mut Passes,
) {
    along_rows(image, n_x, along_x, &mut passes.0);
    across_rows(image, n_x, along_y, &mut passes.0);
}

/// Each row, with zeros beyond its ends.
fn along_rows(image: &mut [f64], n_x: usize, kernel: &Kernel, padded: &mut Vec<f64>) {
    let (centre, side) = kernel.reaching(n_x);
    let half = side.len();
    padded.clear();
    padded.resize(half + n_x.next_multiple_of(BLOCK) + half, 0.0);
    for row in image.chunks_exact_mut(n_x) {
        padded[half..half + n_x].copy_from_slice(row);
        for (at, cells) in (half..).step_by(BLOCK).zip(row.chunks_mut(BLOCK)) {
            let mut sums = block(padded, at).map(|cell| centre * cell);
            for (k, &sample) in (1..).zip(side) {
                add_pair(&mut sums, sample, block(padded, at - k), block(padded, at + k));
            }
            cells.copy_from_slice(&sums[..cells.len()]);
        }
    }
}

/// Each column, with zeros beyond its ends.
fn across_rows(image: &mut [f64], n_x: usize, kernel: &Kernel, copy: &mut Vec<f64>) {
    let n_y = image.len() / n_x;
    let (centre, side) = kernel.reaching(n_y);
    let stride = n_x.next_multiple_of(BLOCK);
    copy.clear();
    for row in image.chunks_exact(n_x) {
        copy.extend_from_slice(row);
        copy.resize(copy.len().next_multiple_of(stride), 0.0);
    }
    for (y, row) in image.chunks_exact_mut(n_x).enumerate() {
        let (n_above, n_below) = (y.min(side.len()), (n_y - 1 - y).min(side.len()));
        let n_pairs = n_above.min(n_below);
        for (start, cells) in row.chunks_mut(BLOCK).enumerate() {
            let rows = |y: usize| block(copy, y * stride + start * BLOCK);
            let mut sums = rows(y).map(|cell| centre * cell);
            for (k, &sample) in (1..).zip(&side[..n_pairs]) {
                add_pair(&mut sums, sample, rows(y - k), rows(y + k));
            }
            for k in n_pairs + 1..=n_above {
                add(&mut sums, side[k - 1], rows(y - k));
            }
            for k in n_pairs + 1..=n_below {
                add(&mut sums, side[k - 1], rows(y + k));
            }
            cells.copy_from_slice(&sums[..cells.len()]);
        }
    }
}

/// The cells from `at` on.
#[inline]
fn block(cells: &[f64], at: usize) -> &[f64; BLOCK] {
    static NOTHING: [f64; BLOCK] = [0.0; BLOCK];
    // Never nothing: the callers have padded the cells. Said this way it costs no jump to a panic.
    cells.get(at..).and_then(<[f64]>::first_chunk).unwrap_or(&NOTHING)
}

#[inline]
fn add_pair(sums: &mut [f64; BLOCK], sample: f64, one: &[f64; BLOCK], other: &[f64; BLOCK]) {
    for i in 0..BLOCK {
        sums[i] += sample * (one[i] + other[i]);
    }
}

#[inline]
fn add(sums: &mut [f64; BLOCK], sample: f64, one: &[f64; BLOCK]) {
    for i in 0..BLOCK {
        sums[i] += sample * one[i];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: every cell with every other one.
    fn slowly(image: &[f64], n_x: usize, [along_x, along_y]: [&Kernel; 2]) -> Vec<f64> {
        let at = |kernel: &Kernel, k: usize| kernel.0.get(k).copied().unwrap_or(0.0);
        let cells =
            || image.iter().enumerate().map(|(cell, &value)| (cell % n_x, cell / n_x, value));
        let sum = |(x, y, _)| {
            let term = |(i, j, value): (usize, usize, f64)| {
                value * at(along_x, i.abs_diff(x)) * at(along_y, j.abs_diff(y))
            };
            cells().map(term).sum()
        };
        cells().map(sum).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            (n_x, image) in (1..40_usize, 1..30_usize).prop_flat_map(|(n_x, n_y)| {
                (Just(n_x), prop::collection::vec(-1e3..1e3_f64, n_x * n_y))
            }),
            sigmas in (0.1..9.0_f64, 0.1..9.0_f64),
            half_sizes in (0..50_usize, 0..50_usize),
        ) {
            let along_x = Kernel::gaussian(sigmas.0, half_sizes.0);
            let along_y = Kernel::gaussian(sigmas.1, half_sizes.1).scaled(0.5);
            let expected = slowly(&image, n_x, [&along_x, &along_y]);
            let mut convolved = image.clone();
            convolve(&mut convolved, n_x, [&along_x, &along_y], &mut Passes::default());
            let scale = 1e3 * along_x.sum() * along_y.sum();
            for (found, expected) in convolved.iter().zip(&expected) {
                prop_assert!((found - expected).abs() <= 1e-13 * scale, "{found} {expected}");
            }
        }
    }

    #[test]
    fn a_wide_kernel_sums_to_its_integral() {
        let sum = Kernel::gaussian(4.0, 40).sum();
        assert!((sum - 4.0 * std::f64::consts::TAU.sqrt()).abs() < 1e-12);
    }
}
