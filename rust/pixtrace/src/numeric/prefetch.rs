//! A word to the processor about what will be read next.

/// Bytes that come into the cache together.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Asks for a slice to be brought into the cache; the result of the program does not depend on it.
///
/// Worth it where pieces of a few hundred bytes are read in an order that the processor cannot guess.
#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(
    unsafe_code,
    reason = "there is no safe prefetch in stable Rust; without it `MapsMut::add_points` takes 1.3 times as long \
              (2624 pixels x 20 000 frames, one thread)"
)]
pub(crate) fn prefetch<A>(slice: &[A]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    let start = slice.as_ptr().cast::<i8>();
    for at in (0..size_of_val(slice)).step_by(LINE) {
        // SAFETY: a prefetch is a hint. It reads nothing into the program and never faults, whatever the address; these
        // addresses lie inside of a borrowed slice anyway. Every x86-64 processor has the instruction (SSE).
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(at)) };
    }
}

/// Elsewhere the processor finds its way alone.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn prefetch<A>(_: &[A]) {}
