//! The one door for heavy work: off the interpreter, on a pool of threads, with progress and Ctrl-C.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pixtrace::{Control, Error};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{BoundaryError, BoundaryResult, ParameterError};

/// How often the calling thread looks for Ctrl-C and reports progress.
const TICK: Duration = Duration::from_millis(50);
/// More threads than this are a mistake.
const MAX_THREADS: usize = 1024;

/// Pools by process and number of threads, those used last at the end. The process counts because the threads of a pool
/// do not survive a fork: the child would wait for them for ever.
static POOLS: Mutex<Vec<Pool>> = Mutex::new(Vec::new());

/// Process, number of threads, and the pool.
type Pool = ((u32, usize), Arc<ThreadPool>);

/// Pools kept for the next call.
const MAX_POOLS: usize = 4;

/// How many threads to use, and whom to tell about progress.
#[derive(Default)]
pub(crate) struct Settings<'py> {
    pub(crate) n_threads: Option<usize>,
    /// Called as `progress(done, total)`.
    pub(crate) progress: Option<Bound<'py, PyAny>>,
}

/// Carries out `work` on a pool while the interpreter is free for other threads.
///
/// The calling thread wakes now and then: it reports progress, and asks the work to stop after Ctrl-C or an exception
/// of the progress function, which it then passes on.
pub(crate) fn run<R: Send>(
    py: Python<'_>,
    settings: &Settings<'_>,
    work: impl FnOnce(&Control) -> Result<R, Error> + Send,
) -> BoundaryResult<R> {
    let pool = pool(settings.n_threads)?;
    let control = Control::default();
    let mut raised: Option<PyErr> = None;
    let outcome = std::thread::scope(|scope| {
        let (sender, mut receiver) = channel();
        let control = &control;
        scope.spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| pool.install(|| work(control))));
            // The receiver waits until this arrives.
            let _ = sender.send(outcome);
        });
        loop {
            // The receiver goes along and comes back, because it cannot be shared between threads.
            let (returned, message) = py.detach(move || {
                let message = receiver.recv_timeout(TICK);
                (receiver, message)
            });
            receiver = returned;
            match message {
                Err(RecvTimeoutError::Timeout) if raised.is_none() => {
                    raised = py.check_signals().and_then(|()| report(settings, control)).err();
                    if raised.is_some() {
                        control.cancel();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break None,
                Ok(outcome) => break Some(outcome),
            }
        }
    });
    if let Some(raised) = raised {
        return Err(raised.into());
    }
    match outcome {
        Some(Ok(result)) => {
            let result = result?;
            report(settings, &control)?;
            Ok(result)
        }
        Some(Err(_)) | None => {
            Err(BoundaryError::internal("the computation broke off unexpectedly"))
        }
    }
}

/// Carries out work of milliseconds on the calling thread, while the interpreter is free for others.
pub(crate) fn run_here<R: Send>(py: Python<'_>, work: impl FnOnce() -> R + Send) -> R {
    py.detach(work)
}

fn report(settings: &Settings<'_>, control: &Control) -> PyResult<()> {
    match &settings.progress {
        Some(progress) => progress.call1(control.progress()).map(drop),
        None => Ok(()),
    }
}

/// The pool with this many threads; by default as many as the machine has, or as `RAYON_NUM_THREADS` says.
fn pool(n_threads: Option<usize>) -> BoundaryResult<Arc<ThreadPool>> {
    if n_threads.is_some_and(|n| n == 0 || n > MAX_THREADS) {
        let found = n_threads.unwrap_or_default();
        let text = format!(
            "`n_threads` = {found}; it must be from 1 to {MAX_THREADS}, or None for all cores"
        );
        return Err(ParameterError::new_err(text).into());
    }
    // Zero asks rayon for its default.
    let key = (std::process::id(), n_threads.unwrap_or(0));
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if pools.iter().any(|((process, _), _)| *process != key.0) {
        // Left over from before a fork: their threads are not there to be joined.
        std::mem::forget(std::mem::take(&mut *pools));
    }
    if let Some(place) = pools.iter().position(|(found, _)| *found == key) {
        let found = pools.remove(place);
        let pool = Arc::clone(&found.1);
        pools.push(found);
        return Ok(pool);
    }
    if pools.len() == MAX_POOLS {
        pools.remove(0);
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(key.1)
        .build()
        .map_err(|error| BoundaryError::internal(&format!("cannot start threads: {error}")))?;
    let pool = Arc::new(pool);
    pools.push((key, Arc::clone(&pool)));
    Ok(pool)
}
