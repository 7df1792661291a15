//! Loads that are not kept: chunks are savepoints of one transaction, which ends with its connection.

use crate::{
    PostgresDestination,
    ddl::{Name, Table},
    failure::to,
    link::Db,
    lock,
    session::PostgresSession,
    state,
    touched::Touched,
};
use floodmark_connect::{Rehearsal, Sample, Stop};
use floodmark_core::{Code, Error, Result, pipeline::Pipeline};

/// What a session that keeps nothing knows beside.
#[derive(Default)]
pub(crate) struct Rehearsed {
    pub(crate) begun: bool,
    pub(crate) touched: Option<Touched>,
}

impl Rehearsed {
    /// From the first load on, notes which rows of the table change.
    pub(crate) fn watch(&mut self, db: &Db, pipeline: &Pipeline, name: &Name, table: &Table) -> Result<()> {
        if self.touched.is_none() {
            self.touched = Some(Touched::watch(db, pipeline, name, table)?);
        }
        Ok(())
    }
}

impl PostgresSession {
    /// A session that keeps nothing. It reads the state and begins no transaction: a survey may take long.
    pub(crate) fn rehearse(destination: PostgresDestination, db: Db, pipeline: &str, stop: &Stop) -> Result<Self> {
        let state = match state::present(&db)? {
            true => state::read(&db, pipeline)?.unwrap_or_default(),
            false => Default::default(),
        };
        Ok(PostgresSession {
            destination,
            db,
            lock: None,
            pipeline: pipeline.to_owned(),
            state,
            fresh: None,
            stop: stop.clone(),
            beside: None,
            rehearsed: Some(Rehearsed::default()),
        })
    }

    /// Begins the transaction of which every chunk is a part, with what opening a session would have written.
    pub(crate) fn begin_rehearsal(&mut self) -> Result<()> {
        let Some(rehearsed) = self.rehearsed.as_mut().filter(|r| !r.begun) else { return Ok(()) };
        self.db.execute_batch("BEGIN ISOLATION LEVEL READ COMMITTED").map_err(to("begin a write transaction"))?;
        rehearsed.begun = true;
        // Before anything else is locked, so that nobody who has the turn waits for this one.
        lock::turn(&self.db, &self.pipeline)?;
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

impl Rehearsal for PostgresSession {
    fn samples(&self, limit: usize) -> Result<Vec<Sample>> {
        match self.rehearsed.as_ref().and_then(|r| r.touched.as_ref()) {
            Some(touched) if limit > 0 => touched.samples(&self.db, limit),
            _ => Ok(Vec::new()),
        }
    }
}
