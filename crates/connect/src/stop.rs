//! A request to stop, seen by every thread of a run.

use floodmark_core::{Code, Error, Result};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Set once by a signal handler (or a caller's cancel); checked between batches.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// The flag a signal handler stores the signal's number in.
    pub fn flag(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.0)
    }

    /// An error once a signal has come.
    pub fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => {
                Err(Error::new(Code::Interrupted, format!("interrupted by signal {signal}")).signal(signal as i32))
            }
        }
    }
}
