//! How a caller watches and stops a long call.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::Error;

/// A line to a running call: how far it is, and a way to stop it.
///
/// Share it between the thread that works and the one that watches; all methods take `&self`.
#[derive(Debug, Default)]
pub struct Control {
    cancelled: AtomicBool,
    done: AtomicUsize,
    total: AtomicUsize,
}

impl Control {
    /// Asks the running call to end soon with [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Units of work done, and units known of so far (columns, in all functions of this crate).
    pub fn progress(&self) -> (usize, usize) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    /// Announces `n` more units of work.
    pub(crate) fn expect(&self, n: usize) {
        self.total.fetch_add(n, Ordering::Relaxed);
    }

    /// Records `n` units as done.
    pub(crate) fn advance(&self, n: usize) {
        self.done.fetch_add(n, Ordering::Relaxed);
    }

    /// Fails once [`Control::cancel`] was called.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}
