//! Time and ids, injected so that tests can hold them still.

use chrono::{DateTime, Utc};
use std::sync::Arc;

/// Where "now" and new ids come from.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> DateTime<Utc>;
    /// A new run id, sortable by time (UUID v7).
    fn run_id(&self) -> String;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn run_id(&self) -> String {
        uuid::Uuid::now_v7().to_string()
    }
}

/// A clock that stands: what has no time of its own gets the same in every run. Ids are new ones still.
#[derive(Debug, Clone, Copy)]
pub struct Standing(pub DateTime<Utc>);

impl Clock for Standing {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }

    fn run_id(&self) -> String {
        SystemClock.run_id()
    }
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;
