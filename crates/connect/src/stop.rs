//! A request to stop, seen by every thread of a run.

use floodmark_core::{Code, Error, Result};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// Set once by a signal handler (or a caller's cancel); checked between batches.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    signal: Arc<AtomicUsize>,
    /// Of each part of the work that this is in, whether it is over.
    over: Vec<Arc<AtomicBool>>,
}

impl Stop {
    /// The flag a signal handler stores the signal's number in.
    pub fn flag(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.signal)
    }

    /// One for a part of the work, which [`Stop::end`] stops alone.
    #[must_use]
    pub fn part(&self) -> Stop {
        let over = self.over.iter().cloned().chain([Arc::default()]).collect();
        Stop { signal: Arc::clone(&self.signal), over }
    }

    /// Stops the part of the work that this was made for: nobody needs the rest of it.
    pub fn end(&self) {
        if let Some(over) = self.over.last() {
            over.store(true, Ordering::Relaxed);
        }
    }

    /// An error once a signal has come.
    pub fn check(&self) -> Result<()> {
        match self.signal.load(Ordering::Relaxed) {
            0 if self.over.iter().any(|over| over.load(Ordering::Relaxed)) => {
                Err(Error::new(Code::Interrupted, "nobody needs the rest of it"))
            }
            0 => Ok(()),
            signal => {
                Err(Error::new(Code::Interrupted, format!("interrupted by signal {signal}")).signal(signal as i32))
            }
        }
    }
}
