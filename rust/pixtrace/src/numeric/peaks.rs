//! Local maxima of a histogram.

/// Indices of the local maxima of `values` that are at least `height` tall.
///
/// A maximum is strictly higher than its neighbours; a flat top counts once, at its middle (rounded down). The first
/// and the last value are never maxima. NaN is never one, nor next to one.
#[must_use]
#[expect(clippy::float_cmp, reason = "the values of a flat top are the same number")]
pub fn local_maxima(values: &[f64], height: f64) -> Vec<usize> {
    let mut found = Vec::new();
    let mut i = 1;
    while i + 1 < values.len() {
        if values[i - 1] < values[i] {
            let mut end = i;
            while end + 1 < values.len() && values[end + 1] == values[i] {
                end += 1;
            }
            if end + 1 < values.len() && values[end + 1] < values[i] && values[i] >= height {
                found.push(i.midpoint(end));
            }
            i = end;
        }
        i += 1;
    }
    found
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;

    #[test]
    fn plateaus_count_once_and_ends_never() {
        assert_eq!(local_maxima(&[9.0, 1.0, 5.0, 5.0, 5.0, 5.0, 2.0, 3.0, 1.0, 8.0], 2.5), [3, 7]);
        assert_eq!(local_maxima(&[0.0, 1.0, 1.0], 0.0), Vec::<usize>::new());
        assert_eq!(local_maxima(&[f64::NAN; 5], 0.2), Vec::<usize>::new());
        assert_eq!(local_maxima(&[], 0.2), Vec::<usize>::new());
    }
}
