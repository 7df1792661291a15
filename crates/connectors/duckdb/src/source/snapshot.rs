//! The transaction that a survey opened, for the reads that follow.
//!
//! DuckDB hands what a transaction sees to no other connection. Where this process itself writes to the file, reads that go on at
//! the same time therefore take turns at one, so that all of them see the same rows. With the last of them it goes, unless it
//! is to last. A read that comes later begins another one.

use crate::link::Db;
use floodmark_connect::Stop;
use floodmark_core::Result;
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How often a stop is looked for while another read has its turn.
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    turns: Mutex<Turns>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct Turns {
    /// `None` while a read has it, and where there is none.
    db: Option<Db>,
    /// Reads that have it or want it.
    reads: usize,
    /// It stays when nobody reads.
    lasting: bool,
}

impl Snapshot {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.0.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `lasting`: it stays until it is dropped, whoever reads.
    pub(super) fn new(db: Db, lasting: bool) -> Self {
        let snapshot = Snapshot::default();
        *snapshot.turns() = Turns { db: Some(db), reads: 0, lasting };
        snapshot
    }

    /// Looks at it, where no read has it.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Db) -> T) -> Option<T> {
        self.turns().db.as_ref().map(look)
    }

    /// A read of it; `begin` makes one where there is none.
    pub(super) fn read(&self, begin: impl FnOnce() -> Result<Db>) -> Result<Read> {
        let mut turns = self.turns();
        if turns.db.is_none() && turns.reads == 0 {
            turns.db = Some(begin()?);
        }
        turns.reads += 1;
        Ok(Read { snapshot: self.clone(), db: None })
    }
}

/// One read. Its turn ends when it is dropped.
#[derive(Debug)]
pub(super) struct Read {
    snapshot: Snapshot,
    db: Option<Db>,
}

impl Read {
    /// Waits for its turn.
    pub(super) fn turn(&mut self, stop: &Stop) -> Result<&Db> {
        let mut turns = self.snapshot.turns();
        let db = loop {
            if let Some(db) = self.db.take().or_else(|| turns.db.take()) {
                break db;
            }
            stop.check()?;
            let waited = self.snapshot.0.returned.wait_timeout(turns, POLL);
            turns = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(turns);
        Ok(self.db.insert(db))
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        let mut turns = self.snapshot.turns();
        turns.reads -= 1;
        if let Some(db) = self.db.take() {
            turns.db = Some(db);
        }
        if turns.reads == 0 && !turns.lasting {
            turns.db = None;
        }
        self.snapshot.0.returned.notify_all();
    }
}
