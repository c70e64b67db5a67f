//! Spectra of several slices, each with its share of the light of one source, made into one.
//!
//! A slice `r` holds a share `f_r` of the light that changes slowly with wavelength. With the shares known, every slice is
//! a measurement `F_r / f_r` of the whole, and their weighted mean is
//!
//! ```text
//! F = sum(f_r F_r / V_r) / sum(f_r^2 / V_r),      var F = 1 / sum(f_r^2 / V_r):
//! ```
//!
//! Horne's extraction once more, across the slices. The shares are sums of the spectra themselves over a stretch of
//! wavelength; their noise, one over the number of columns of the stretch of that of the flux, is neglected.

use crate::Error;
use crate::numeric::stats::median_of_many;

/// A slice takes part if its flux, all columns together, is this many times its error: otherwise its share would be
/// noise.
const SIGNIFICANT: f64 = 3.0;
/// A column this close to a wavelength, in steps of the grid, has that wavelength.
const SAME: f64 = 1e-3;

/// The spectrum of one slice: vectors of one length, in any order of wavelength.
#[derive(Clone, Copy, Debug)]
pub struct SliceSpectrum<'a> {
    /// Wavelength; an element that is not finite is left out.
    pub wavelength: &'a [f64],
    /// Flux; NaN where nothing was measured.
    pub flux: &'a [f64],
    /// Its variance.
    pub variance: &'a [f64],
    /// What of the variance is independent from column to column; see [`super::RegionSpectrum::noise`].
    pub noise: &'a [f64],
}

/// The spectrum of all slices together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CombinedSpectrum {
    /// Rising wavelengths: those of the slice with the most signal.
    pub wavelength: Vec<f64>,
    /// Flux of the source in all slices that took part.
    pub flux: Vec<f64>,
    /// Its variance.
    pub variance: Vec<f64>,
    /// Share of the light in the slices that were measured at this wavelength.
    pub fraction: Vec<f64>,
    /// Sum over the slices of squared deviations in units of the error, per degree of freedom; NaN for a single slice.
    pub chi2: Vec<f64>,
    /// Which of the slices took part.
    pub is_used: Vec<bool>,
}

/// Combines the spectra of slices that share the light of a source.
///
/// Slices are interpolated linearly to the wavelengths of the one with the most signal. The shares at a wavelength are
/// those of the fluxes of the `2 half_window + 1` nearest ones at which every slice was measured. Slices whose flux is not
/// significant take no part; if none is, the spectrum is empty.
///
/// # Errors
/// [`Error::LengthMismatch`] if the vectors of a slice differ in length.
///
/// ```
/// use pixtrace::trace::{SliceSpectrum, combine_slices};
///
/// let wavelength: Vec<f64> = (0..40).map(|i| 5.0 + 0.01 * f64::from(i)).collect();
/// let (most, rest) = (vec![70.0; 40], vec![30.0; 40]);
/// let variance = vec![1.0; 40];
/// let noise = &variance;
/// let slice = |flux| SliceSpectrum { wavelength: &wavelength, flux, variance: &variance, noise };
/// let all = combine_slices(&[slice(&most), slice(&rest)], 10)?;
/// assert!((all.flux[7] - 100.0).abs() < 1e-9);
/// assert!((all.variance[7] - 1.0 / (0.7_f64.powi(2) + 0.3_f64.powi(2))).abs() < 1e-9);
/// # Ok::<(), pixtrace::Error>(())
/// ```
pub fn combine_slices(
    slices: &[SliceSpectrum<'_>],
    half_window: usize,
) -> Result<CombinedSpectrum, Error> {
    for slice in slices {
        let expected = slice.wavelength.len();
        let lengths = [
            ("flux", slice.flux.len()),
            ("variance", slice.variance.len()),
            ("noise", slice.noise.len()),
        ];
        for (name, found) in lengths {
            if found != expected {
                return Err(Error::LengthMismatch { name, found, expected });
            }
        }
    }
    let signal: Vec<f64> = slices.iter().map(signal_to_noise).collect();
    let is_used: Vec<bool> = signal.iter().map(|&snr| snr > SIGNIFICANT).collect();
    let best = (0..slices.len())
        .filter(|&r| is_used[r])
        .max_by(|&a, &b| signal[a].total_cmp(&signal[b]).then(b.cmp(&a)));
    let Some(best) = best else {
        return Ok(CombinedSpectrum { is_used, ..CombinedSpectrum::default() });
    };
    let mut grid: Vec<f64> =
        slices[best].wavelength.iter().copied().filter(|w| w.is_finite()).collect();
    grid.sort_by(f64::total_cmp);
    grid.dedup();
    let used: Vec<Vec<(f64, f64)>> = slices
        .iter()
        .zip(&is_used)
        .filter(|(_, is_used)| **is_used)
        .map(|(slice, _)| on_grid(slice, &grid))
        .collect();
    let shares = Shares::new(&used, grid.len());
    let mut out = CombinedSpectrum { wavelength: grid, is_used, ..CombinedSpectrum::default() };
    for g in 0..out.wavelength.len() {
        let shares = shares.around(g, half_window);
        let (mut above, mut below, mut fraction, mut n) = (0.0, 0.0, 0.0, 0_u32);
        let seen = || {
            let all = used.iter().zip(&shares).map(|(slice, &share)| (slice[g], share));
            all.filter(|((flux, variance), _)| flux.is_finite() && *variance > 0.0)
        };
        for ((flux, variance), share) in seen() {
            above += share * flux / variance;
            below += share * share / variance;
            fraction += share;
            n += 1;
        }
        let flux = above / below;
        let square = |((f, v), share): ((f64, f64), f64)| (f - share * flux).powi(2) / v;
        let degrees = f64::from(n) - 1.0;
        let chi2 = seen().map(square).sum::<f64>() / degrees;
        let is_measured = below > 0.0;
        out.flux.push(if is_measured { flux } else { f64::NAN });
        out.variance.push(if is_measured { 1.0 / below } else { f64::NAN });
        out.fraction.push(fraction);
        out.chi2.push(if is_measured && degrees > 0.0 { chi2 } else { f64::NAN });
    }
    Ok(out)
}

/// The median flux of a slice over its error: what columns share of theirs does not become less the more there are.
fn signal_to_noise(slice: &SliceSpectrum<'_>) -> f64 {
    let is_seen = |&i: &usize| {
        slice.wavelength[i].is_finite() && slice.flux[i].is_finite() && slice.variance[i] > 0.0
    };
    let seen: Vec<usize> = (0..slice.wavelength.len()).filter(is_seen).collect();
    if seen.is_empty() {
        return 0.0;
    }
    let median = |value: &dyn Fn(usize) -> f64| {
        let mut values: Vec<f64> = seen.iter().map(|&i| value(i)).collect();
        median_of_many(&mut values, &mut Vec::new())
    };
    let shared = median(&|i| (slice.variance[i] - slice.noise[i]).max(0.0));
    let own = median(&|i| slice.noise[i]) / seen.len() as f64;
    median(&|i| slice.flux[i]) / (shared + own).sqrt()
}

/// Flux and variance of a slice, interpolated linearly between neighbouring columns that were measured; NaN elsewhere.
fn on_grid(slice: &SliceSpectrum<'_>, grid: &[f64]) -> Vec<(f64, f64)> {
    const NOTHING: (f64, f64) = (f64::NAN, f64::NAN);
    let mut order: Vec<usize> =
        (0..slice.wavelength.len()).filter(|&i| slice.wavelength[i].is_finite()).collect();
    order.sort_by(|&a, &b| slice.wavelength[a].total_cmp(&slice.wavelength[b]));
    let mut next = 0;
    let step = match grid {
        [first, .., last] => (last - first) / (grid.len() - 1) as f64,
        _ => 0.0,
    };
    grid.iter()
        .map(|&at| {
            // On a column of its own, no neighbour is asked.
            while next < order.len() && slice.wavelength[order[next]] < at - SAME * step {
                next += 1;
            }
            let Some(&right) = order.get(next) else { return NOTHING };
            let of = |i: usize| (slice.flux[i], slice.variance[i]);
            if slice.wavelength[right] <= at + SAME * step {
                return of(right);
            }
            let Some(&left) = next.checked_sub(1).and_then(|before| order.get(before)) else {
                return NOTHING;
            };
            let (a, b) = (slice.wavelength[left], slice.wavelength[right]);
            let share = (at - a) / (b - a);
            let ((f, v), (g, w)) = (of(left), of(right));
            (f + share * (g - f), (1.0 - share).powi(2) * v + share.powi(2) * w)
        })
        .collect()
}

/// Running sums of the fluxes of slices, where all of them were measured.
struct Shares {
    /// Number of such wavelengths before each.
    n_before: Vec<usize>,
    /// Sums over them, by number of such wavelengths and slice.
    sums: Vec<Vec<f64>>,
}

impl Shares {
    fn new(slices: &[Vec<(f64, f64)>], n: usize) -> Self {
        let mut shares =
            Self { n_before: Vec::with_capacity(n), sums: vec![vec![0.0; slices.len()]] };
        for g in 0..n {
            shares.n_before.push(shares.sums.len() - 1);
            if slices.iter().all(|slice| slice[g].0.is_finite()) {
                let last = &shares.sums[shares.sums.len() - 1];
                let next = last.iter().zip(slices).map(|(sum, slice)| sum + slice[g].0).collect();
                shares.sums.push(next);
            }
        }
        shares
    }

    /// Share of each slice at a wavelength; equal ones if there is none at which all were measured, or no light.
    fn around(&self, g: usize, half_window: usize) -> Vec<f64> {
        let n = self.sums.len() - 1;
        let width = (2 * half_window + 1).min(n);
        let first = self.n_before[g].saturating_sub(half_window).min(n - width);
        let (low, high) = (&self.sums[first], &self.sums[first + width]);
        let light: Vec<f64> = high.iter().zip(low).map(|(a, b)| (a - b).max(0.0)).collect();
        let total: f64 = light.iter().sum();
        if total > 0.0 {
            light.into_iter().map(|l| l / total).collect()
        } else {
            vec![1.0 / light.len() as f64; light.len()]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wavelengths(n: u32, step: f64, shift: f64) -> Vec<f64> {
        (0..n).map(|i| 5.0 + step * (f64::from(i) + shift)).collect()
    }

    #[test]
    fn slices_that_run_backwards_or_lie_between_agree() {
        let (own, other) = (wavelengths(100, 0.01, 0.0), wavelengths(110, 0.01, -3.3));
        let backwards: Vec<f64> = other.iter().rev().copied().collect();
        let spectrum = |w: &[f64], share: f64| -> Vec<f64> {
            w.iter().map(|w| share * (100.0 + 20.0 * w)).collect()
        };
        let (a, b) = (spectrum(&own, 0.8), spectrum(&backwards, 0.2));
        let (v, w) = (vec![1.0; 100], vec![4.0; 110]);
        let slices = [
            SliceSpectrum { wavelength: &own, flux: &a, variance: &v, noise: &v },
            SliceSpectrum { wavelength: &backwards, flux: &b, variance: &w, noise: &w },
        ];
        let all = combine_slices(&slices, 5).unwrap();
        assert_eq!(all.wavelength, own);
        for (w, (f, chi2)) in own.iter().zip(all.flux.iter().zip(&all.chi2)) {
            assert!((f - (100.0 + 20.0 * w)).abs() < 1e-9);
            assert!(*chi2 < 1e-12);
        }
        // Halfway between two columns, two variances are averaged.
        let expected = 1.0 / (0.8_f64.powi(2) + 0.2_f64.powi(2) / (4.0 * (0.49 + 0.09)));
        assert!((all.variance[50] - expected).abs() < 1e-9);
    }

    #[test]
    fn what_a_slice_has_not_measured_the_others_tell() {
        let w = wavelengths(60, 0.01, 0.0);
        let (mut a, b, none) = (vec![60.0; 60], vec![40.0; 60], vec![0.0; 60]);
        a[30] = f64::NAN;
        let v = vec![1.0; 60];
        let slice = |flux| SliceSpectrum { wavelength: &w, flux, variance: &v, noise: &v };
        let all = combine_slices(&[slice(&a), slice(&b), slice(&none)], 4).unwrap();
        assert_eq!(all.is_used, [true, true, false]);
        assert!(all.flux.iter().all(|f| (f - 100.0).abs() < 1e-9));
        assert!((all.fraction[30] - 0.4).abs() < 1e-12);
        assert!((all.variance[30] - 1.0 / 0.16).abs() < 1e-9);
        assert!((all.fraction[29] - 1.0).abs() < 1e-12);
        assert!(all.chi2[30].is_nan());
    }

    #[test]
    fn a_slice_whose_columns_share_their_error_is_no_source() {
        let (w, much, little) = (wavelengths(400, 0.01, 0.0), vec![100.0; 400], vec![2.0; 400]);
        let (variance, noise) = (vec![4.0; 400], vec![1.0; 400]);
        let slice =
            |flux, noise| SliceSpectrum { wavelength: &w, flux, variance: &variance, noise };
        let found = |noise| {
            combine_slices(&[slice(&much, &variance), slice(&little, noise)], 9).unwrap().is_used
        };
        assert_eq!(found(&noise), [true, false]);
        assert_eq!(found(&variance), [true, true]);
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(combine_slices(&[], 3).unwrap(), CombinedSpectrum::default());
        let (w, nan) = (wavelengths(4, 0.1, 0.0), vec![f64::NAN; 4]);
        let slice = SliceSpectrum { wavelength: &w, flux: &nan, variance: &nan, noise: &nan };
        let all = combine_slices(&[slice], 3).unwrap();
        assert!(all.flux.is_empty() && all.is_used == [false]);
        let short = SliceSpectrum { variance: &w[..2], ..slice };
        assert!(combine_slices(&[short], 3).is_err());
    }
}
