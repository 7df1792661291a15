//! Loads that are not kept: chunks are savepoints of one transaction, which ends with its connection.
//!
//! They go into the database itself where Floodmark has loaded it before: it is in WAL mode then, so that its file is not
//! touched before a commit, and has lock files. Any other database is copied into a temporary one, and one that is not
//! there yet is empty. A temporary database is a file without a name, which is gone with its process.

use crate::{
    SqliteDestination, copy, destination,
    failure::to,
    lock::{self, Lock, Name},
    session::{SqliteSession, turn},
    state,
    touched::Touched,
};
use floodmark_connect::{Rehearsal, Sample, Stop};
use floodmark_core::{Code, Error, Result, pipeline::Pipeline};
use rusqlite::{Connection, Savepoint, Transaction};
use std::ops::Deref;

/// A chunk's own transaction, or its part of a rehearsal's.
pub(crate) enum Step<'db> {
    Alone(Transaction<'db>),
    Within(Savepoint<'db>),
}

impl Step<'_> {
    pub(crate) fn commit(self) -> rusqlite::Result<()> {
        match self {
            Step::Alone(transaction) => transaction.commit(),
            Step::Within(savepoint) => savepoint.commit(),
        }
    }
}

impl Deref for Step<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Step::Alone(transaction) => transaction,
            Step::Within(savepoint) => savepoint,
        }
    }
}

/// What a session that keeps nothing knows beside.
#[derive(Default)]
pub(crate) struct Rehearsed {
    /// In the database itself, where others want to write too.
    in_place: bool,
    begun: bool,
    touched: Option<Touched>,
    _writer: Option<Lock>,
}

impl Rehearsed {
    /// From the first load on, notes which rows of the table change.
    pub(crate) fn watch(&mut self, db: &Connection, pipeline: &Pipeline) -> Result<()> {
        if self.touched.is_none() {
            self.touched = Some(Touched::watch(db, pipeline)?);
        }
        Ok(())
    }
}

impl SqliteSession {
    /// A session that keeps nothing. It reads the state and begins no transaction: a survey may take long.
    pub(crate) fn rehearse(destination: SqliteDestination, pipeline: &str, stop: &Stop) -> Result<Self> {
        let (db, in_place) = connect(&destination, stop)?;
        let state = match state::present(&db)? {
            true => state::read(&db, pipeline)?.unwrap_or_default(),
            false => Default::default(),
        };
        Ok(SqliteSession {
            destination,
            db,
            _lock: None,
            pipeline: pipeline.to_owned(),
            state,
            was_empty: None,
            stop: stop.clone(),
            beside: None,
            rehearsed: Some(Rehearsed { in_place, ..Rehearsed::default() }),
            elsewhere: None,
        })
    }

    /// Begins the transaction of which every chunk is a part, with what opening a session would have written.
    pub(crate) fn begin_rehearsal(&mut self) -> Result<()> {
        let Some(rehearsed) = self.rehearsed.as_mut().filter(|r| !r.begun) else { return Ok(()) };
        if rehearsed.in_place {
            rehearsed._writer = turn(&self.destination, &self.pipeline, &self.stop)?;
        }
        self.db.execute_batch("BEGIN IMMEDIATE").map_err(to("begin a write transaction"))?;
        rehearsed.begun = true;
        state::create(&self.db)?;
        let found = state::read(&self.db, &self.pipeline)?.unwrap_or_default();
        if found != self.state {
            return Err(Error::new(Code::Busy, format!("a run of pipeline {:?} came in between", self.pipeline))
                .state("nothing was written; the other run goes on")
                .help("once more, and the plan begins where that run leaves off"));
        }
        self.state.token = state::raise_token(&self.db, &self.pipeline)?;
        Ok(())
    }
}

impl Rehearsal for SqliteSession {
    fn samples(&self, limit: usize) -> Result<Vec<Sample>> {
        match self.rehearsed.as_ref().and_then(|r| r.touched.as_ref()) {
            Some(touched) if limit > 0 => touched.samples(&self.db, limit),
            _ => Ok(Vec::new()),
        }
    }
}

/// The database, a copy, or an empty one; and whether it is the database itself.
fn connect(destination: &SqliteDestination, stop: &Stop) -> Result<(Connection, bool)> {
    if destination.path().is_none_or(|path| !path.exists()) {
        return Ok((temporary()?, false));
    }
    let db = destination.connect_for_rehearsal()?;
    let mode: String =
        db.query_row("PRAGMA journal_mode", [], |r| r.get(0)).map_err(to("read the database's journal mode"))?;
    let known = destination.true_path()?.is_some_and(|path| lock::path(&lock::folder(&path), Name::Writer).exists());
    if mode == "wal" && known {
        return Ok((db, true));
    }
    let mut copy = temporary()?;
    copy::pages(&db, &mut copy, stop)?;
    Ok((copy, false))
}

fn temporary() -> Result<Connection> {
    let fail = to("make a temporary database");
    let db = Connection::open("").map_err(&fail)?;
    destination::bounds(&db).map_err(fail)?;
    Ok(db)
}
