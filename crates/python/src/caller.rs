//! The thread that called: it has Python's code and its signals.
//!
//! What a program hands over is asked for there, and not on the run's own thread: an object may belong to its thread (a
//! connection of `sqlite3` does), and a Ctrl-C is raised there.

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use floodmark_connect::Stop;
use floodmark_core::Error;
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
    thread,
    time::Duration,
};

/// How long Ctrl-C may go unseen.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
/// What a run is stopped by, whatever stopped it: SIGINT.
pub(crate) const SIGINT: usize = 2;

type Job = Box<dyn FnOnce(Python<'_>) + Send>;

/// A way to the thread that called.
#[derive(Clone)]
pub(crate) struct Caller {
    jobs: Sender<Job>,
    stop: Stop,
}

impl Caller {
    /// Has something done there, and waits for it.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(Python<'_>) -> PyResult<T> + Send + 'static,
    ) -> PyResult<T> {
        let (answer, answered) = bounded(1);
        let job: Job = Box::new(move |py| {
            // Who asked waits for it.
            let _ = answer.send(work(py));
        });
        let gone = || PyRuntimeError::new_err("the caller is gone");
        self.jobs.send(job).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }

    /// Ends the work as Ctrl-C would.
    pub(crate) fn stop(&self) {
        self.stop.flag().store(SIGINT, Ordering::Relaxed);
    }

    /// The error of work that was ended; `None` while it goes on.
    pub(crate) fn stopped(&self) -> Option<Error> {
        self.stop.check().err()
    }
}

/// Does `work` on another thread, and meanwhile what it asks for. What a signal raised here stops the work, and comes back
/// with what it returned.
pub(crate) fn beside<T: Send>(
    py: Python<'_>,
    stop: &Stop,
    work: impl FnOnce(&Caller) -> T + Send,
) -> PyResult<(T, Option<PyErr>)> {
    let (jobs, asked): (Sender<Job>, Receiver<Job>) = unbounded();
    let caller = Caller { jobs, stop: stop.clone() };
    thread::scope(|scope| {
        let worker = scope.spawn(move || work(&caller));
        let mut raised = None;
        loop {
            match py.detach(|| asked.recv_timeout(LOOK)) {
                // What panics here would leave the run waiting for Python, and Python for the run: who asked is told instead.
                Ok(job) => drop(catch_unwind(AssertUnwindSafe(|| job(py)))),
                Err(RecvTimeoutError::Timeout) if worker.is_finished() => break,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if let Err(error) = py.check_signals() {
                stop.flag().store(SIGINT, Ordering::Relaxed);
                raised.get_or_insert(error);
            }
        }
        let done = py.detach(|| worker.join());
        Ok((done.map_err(|_| PyRuntimeError::new_err("Floodmark has a defect: its run panicked"))?, raised))
    })
}
