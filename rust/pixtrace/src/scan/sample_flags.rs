//! The integers that flags of samples come in.

/// Flags that are looked at together.
pub(crate) const FLAGS_TOGETHER: usize = 16;

/// An integer type that sample flags come in.
pub trait Flags: Copy + Send + Sync + private::Sealed + 'static {
    /// The bits of `mask` that this type can hold.
    fn from_mask(mask: i64) -> Self;
    /// Tells whether any bit of `mask` is set.
    fn has_any(self, mask: Self) -> bool;
    /// All bits that are set in any of some flags.
    fn any_of(flags: &[Self]) -> Self;
    /// Tells which of some flags have any bit of `mask`, with one bit for each.
    #[inline]
    fn which(flags: &[Self; FLAGS_TOGETHER], mask: Self) -> u32 {
        // None, most of the time.
        if !Self::any_of(flags).has_any(mask) {
            return 0;
        }
        let bit = |i: usize| u32::from(flags[i].has_any(mask)) << i;
        (0..FLAGS_TOGETHER).fold(0, |all, i| all | bit(i))
    }
    /// `(self & keep) | set`.
    #[must_use]
    fn keep_and_set(self, keep: Self, set: Self) -> Self;
}

mod private {
    pub trait Sealed {}
}

macro_rules! flags {
    ($($type:ty $(: $which:item)?),*) => {$(
        impl private::Sealed for $type {}
        impl Flags for $type {
            #[inline]
            fn from_mask(mask: i64) -> Self {
                mask as $type
            }
            #[inline]
            fn has_any(self, mask: Self) -> bool {
                self & mask != 0
            }
            #[inline]
            fn any_of(flags: &[Self]) -> Self {
                flags.iter().fold(0, |any, flag| any | flag)
            }
            #[inline]
            fn keep_and_set(self, keep: Self, set: Self) -> Self {
                (self & keep) | set
            }
            $($which)?
        }
    )*};
}
flags!(u8: fn which(flags: &[Self; FLAGS_TOGETHER], mask: Self) -> u32 {
    // Eight at a time: compilers do not find this.
    let (words, _) = flags.as_chunks::<8>();
    let mask = u64::from_ne_bytes([mask; 8]);
    let words = [words[0], words[1]].map(|word| u64::from_le_bytes(word) & mask);
    if words[0] | words[1] == 0 {
        return 0;
    }
    let bits = words.map(|word| {
        let high = (((word & !HIGH) + !HIGH) | word) & HIGH;
        (high >> 7).wrapping_mul(GATHER) >> 56
    });
    (bits[0] | bits[1] << 8) as u32
}, u16, u32, i32, i64);

/// The highest bit of each byte of a word.
const HIGH: u64 = 0x8080_8080_8080_8080;
/// Times this, a word with the lowest bit set in some of its bytes has these bits side by side in its highest byte.
const GATHER: u64 = 0x0102_0408_1020_4080;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_found_one_by_one() {
        fn check<F: Flags>() {
            for seed in 0..300_u64 {
                let byte = |i: u64| (seed * 16 + i).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
                let flags = std::array::from_fn(|i| match byte(i as u64) {
                    flag if flag % 3 == 0 => F::from_mask(flag as i64),
                    _ => F::from_mask(0),
                });
                for mask in [1, 6, 0x80, 0xff].map(F::from_mask) {
                    let found = F::which(&flags, mask);
                    for (i, flag) in flags.iter().enumerate() {
                        assert_eq!(found >> i & 1 == 1, flag.has_any(mask));
                    }
                    assert_eq!(found >> FLAGS_TOGETHER, 0);
                }
            }
        }
        check::<u8>();
        check::<u16>();
        check::<i64>();
    }
}
