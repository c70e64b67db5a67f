//! Evenly spaced numbers, in the precision of the data.

use super::Real;

/// Numbers from `start` in steps of `step` up to, and without, `stop`; all three are of the precision of `T`.
///
/// The count is `ceil((stop - start) / step)`, each operation rounded to `T`. The first two numbers are `start` and
/// `start + step`, rounded to `T`; the others go on with the distance between these two, in `f64`. So rounding may add
/// a number close to `stop`. A count that is not positive, not finite, or above `max_len` gives nothing.
#[must_use]
pub fn arange<T: Real>(start: f64, stop: f64, step: f64, max_len: usize) -> Vec<f64> {
    let count = T::narrow(T::narrow(stop - start) / step).ceil();
    if !(count > 0.0 && count <= max_len as f64) {
        return Vec::new();
    }
    let delta = T::narrow(start + step) - start;
    (0..count as usize).map(|j| start + j as f64 * delta).collect()
}

/// `n + 1` edges of `n` equal bins from `first` to `last`, in the precision of `T`.
#[must_use]
pub fn bin_edges<T: Real>(first: f64, last: f64, n: usize) -> Vec<f64> {
    let step = T::narrow(T::narrow(last - first) / n as f64);
    (0..=n)
        .map(|j| if j == n { last } else { T::narrow(first + T::narrow(j as f64 * step)) })
        .collect()
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_makes_no_sense_gives_nothing() {
        assert!(arange::<f64>(0.0, 1.0, 0.0, 100).is_empty());
        assert!(arange::<f64>(0.0, 1.0, -1.0, 100).is_empty());
        assert!(arange::<f64>(0.0, f64::NAN, 0.1, 100).is_empty());
        assert!(arange::<f64>(0.0, 1.0, 1e-9, 100).is_empty());
        assert_eq!(arange::<f64>(0.0, 1.0, 0.5, 100), [0.0, 0.5]);
    }

    #[test]
    fn the_step_is_rounded_once_and_for_all() {
        let (start, step) = (0.1_f32, 0.3_f32);
        let numbers = arange::<f32>(start.into(), 10.0, step.into(), 100);
        assert_eq!(numbers.len(), 33);
        assert_eq!(numbers[1], f64::from(start + step));
        assert_eq!(
            numbers[32],
            f64::from(start) + 32.0 * (f64::from(start + step) - f64::from(start))
        );
    }

    #[test]
    fn edges_end_where_they_should() {
        let edges = bin_edges::<f32>(-0.7, f64::from(0.7_f32), 7);
        assert_eq!(edges.len(), 8);
        assert_eq!(edges[7], f64::from(0.7_f32));
    }
}
