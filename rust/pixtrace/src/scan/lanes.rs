//! Passes over the valid cells of a map, several cells at a time.
//!
//! Cell `i` goes to partial sum `i % LANES`, whatever the machine: the compiler makes vectors of that, and the same
//! map gives the same bits.

use super::stack::{DISCARD, MapMut, is_valid};
use crate::numeric::prefetch::prefetch;

/// Cells that are treated together.
pub(super) const LANES: usize = 8;

/// All bits set for a valid cell, none for one that is not: [`super::is_valid`] in a form that vectors understand.
#[inline]
pub(super) fn valid_mask(data: f64, weight: f64, flag: u8) -> u64 {
    all_bits_if(is_valid(data, weight, 0)) & u64::from(flag & DISCARD).wrapping_sub(1)
}

#[inline]
pub(super) fn all_bits_if(condition: bool) -> u64 {
    u64::from(condition).wrapping_neg()
}

/// The value where all bits of `mask` are set, 0 where none is.
#[inline]
pub(super) fn masked(value: f64, mask: u64) -> f64 {
    f64::from_bits(value.to_bits() & mask)
}

/// Sums over the valid cells of what `terms` makes of data and weight; 1 makes their number.
#[inline]
pub(super) fn sum_valid<const N: usize>(
    map: &MapMut<'_>,
    terms: impl Fn(f64, f64) -> [f64; N],
) -> [f64; N] {
    let (data, last_data) = map.data.as_chunks::<LANES>();
    let (weight, last_weight) = map.weight.as_chunks::<LANES>();
    let (flag, last_flag) = map.flag.as_chunks::<LANES>();
    let mut sums = [[0.0; LANES]; N];
    for ((data, weight), flag) in data.iter().zip(weight).zip(flag) {
        let valid: [u64; LANES] = std::array::from_fn(|i| valid_mask(data[i], weight[i], flag[i]));
        let terms: [[f64; N]; LANES] = std::array::from_fn(|i| terms(data[i], weight[i]));
        for (k, sums) in sums.iter_mut().enumerate() {
            for i in 0..LANES {
                sums[i] += masked(terms[i][k], valid[i]);
            }
        }
    }
    let last = last_data.iter().zip(last_weight).zip(last_flag);
    for (i, ((&data, &weight), &flag)) in last.enumerate() {
        let valid = valid_mask(data, weight, flag);
        for (sums, term) in sums.iter_mut().zip(terms(data, weight)) {
            sums[i] += masked(term, valid);
        }
    }
    sums.map(|lanes| lanes.iter().sum())
}

/// Chunks of cells are asked for while the one so many places before them is looked at: processors guess what is read next,
/// but not far enough ahead where there is little to be done with it.
const AHEAD: usize = 32;

/// Number of the valid cells.
pub(super) fn count_valid(map: &MapMut<'_>) -> usize {
    let (data, last_data) = map.data.as_chunks::<LANES>();
    let (weight, last_weight) = map.weight.as_chunks::<LANES>();
    let (flag, last_flag) = map.flag.as_chunks::<LANES>();
    let mut counts = [0; LANES];
    let (all_data, all_weight) = (data, weight);
    for (chunk, ((data, weight), flag)) in data.iter().zip(weight).zip(flag).enumerate() {
        if let (Some(data), Some(weight)) =
            (all_data.get(chunk + AHEAD), all_weight.get(chunk + AHEAD))
        {
            prefetch(data);
            prefetch(weight);
        }
        // It takes long to make masks of flags, and most cells are not discarded.
        if u64::from_ne_bytes(flag.map(|flag| flag & DISCARD)) == 0 {
            for i in 0..LANES {
                counts[i] += valid_mask(data[i], weight[i], 0) & 1;
            }
        } else {
            for i in 0..LANES {
                counts[i] += valid_mask(data[i], weight[i], flag[i]) & 1;
            }
        }
    }
    let last = last_data.iter().zip(last_weight).zip(last_flag);
    let last = last.filter(|((data, weight), flag)| is_valid(**data, **weight, **flag)).count();
    counts.iter().sum::<u64>() as usize + last
}

/// Subtracts a number from the data of the valid cells.
pub(super) fn subtract_from_valid(map: &mut MapMut<'_>, level: f64) {
    let (data, last_data) = map.data.as_chunks_mut::<LANES>();
    let (weight, last_weight) = map.weight.as_chunks::<LANES>();
    let (flag, last_flag) = map.flag.as_chunks::<LANES>();
    for ((data, weight), flag) in data.iter_mut().zip(weight).zip(flag) {
        for i in 0..LANES {
            data[i] -= masked(level, valid_mask(data[i], weight[i], flag[i]));
        }
    }
    for ((data, &weight), &flag) in last_data.iter_mut().zip(last_weight).zip(last_flag) {
        *data -= masked(level, valid_mask(*data, weight, flag));
    }
}
