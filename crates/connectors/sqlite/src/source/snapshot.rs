//! The transaction that a survey opened, for the reads that follow.
//!
//! SQLite hands what a transaction sees to no other connection. Reads that go on at the same time therefore take turns at one,
//! so that all of them see the same rows. With the last of them it goes, unless it is to last: it would keep others from
//! writing, or the log from being written back. A read that comes later begins another one.

use super::unreadable;
use floodmark_connect::Stop;
use floodmark_core::Result;
use rusqlite::Connection;
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How often a stop is looked for while another read has its turn.
const POLL: Duration = Duration::from_millis(50);

/// How many steps of its machine SQLite takes between two looks for a stop, which are some milliseconds.
const STEPS: i32 = 100_000;

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
    db: Option<Connection>,
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
    pub(super) fn new(db: Connection, lasting: bool) -> Self {
        let snapshot = Snapshot::default();
        *snapshot.turns() = Turns { db: Some(db), reads: 0, lasting };
        snapshot
    }

    /// Looks at it, where no read has it.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Connection) -> T) -> Option<T> {
        self.turns().db.as_ref().map(look)
    }

    /// A read of it; `begin` makes one where there is none.
    pub(super) fn read(&self, begin: impl FnOnce() -> Result<Connection>) -> Result<Read> {
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
    db: Option<Connection>,
}

impl Read {
    /// Waits for its turn. A stop ends its statements, also one that sorts all its rows before it gives the first.
    pub(super) fn turn(&mut self, stop: &Stop) -> Result<&Connection> {
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
        let (db, stop) = (self.db.insert(db), stop.clone());
        db.progress_handler(STEPS, Some(move || stop.check().is_err())).map_err(unreadable)?;
        Ok(db)
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        let mut turns = self.snapshot.turns();
        turns.reads -= 1;
        if let Some(mut db) = self.db.take() {
            // The next read has its own stop.
            let _ = db.progress_handler(0, None::<fn() -> bool>);
            turns.db = Some(db);
        }
        if turns.reads == 0 && !turns.lasting {
            turns.db = None;
        }
        self.snapshot.0.returned.notify_all();
    }
}
