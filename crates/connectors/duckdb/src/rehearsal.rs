//! Loads that are not kept: all chunks are one transaction, which ends with its connection.
//!
//! DuckDB has no savepoints: after a load that failed nothing more can be rehearsed.

use crate::{
    ddl::{self, Name, Table},
    differences,
    failure::to,
    link::Db,
    lock::Lock,
    session::DuckdbSession,
    state,
};
use floodmark_connect::{
    Rehearsal, Sample, Stop,
    crash::{self, Point},
};
use floodmark_core::{Code, Error, Result, pipeline::Pipeline};
use std::path::PathBuf;

/// A copy of the table as it was.
const BEFORE: &str = "_floodmark_before";

/// What a session that keeps nothing knows beside.
#[derive(Default)]
pub(crate) struct Rehearsed {
    begun: bool,
    failed: bool,
    /// Nobody else writes meanwhile.
    turn: Option<Lock>,
    /// The table, for whom, and what it was before; nothing where it was not there.
    watched: Option<(Name, Pipeline, Option<Table>)>,
    /// The file that was not there: what is rehearsed is rehearsed in memory.
    absent: Option<PathBuf>,
}

impl Rehearsed {
    /// From the first load on, keeps the table as it was.
    pub(crate) fn watch(&mut self, db: &Db, pipeline: &Pipeline, name: &Name) -> Result<()> {
        if self.watched.is_none() {
            let found = ddl::table(db, name)?;
            if found.is_some() {
                let sql = format!("CREATE OR REPLACE TEMPORARY TABLE {BEFORE} AS SELECT * FROM {name}");
                crash::at(Point::Temporary, || db.execute_batch(&sql).map_err(to("copy the table for the rehearsal")))?;
            }
            self.watched = Some((name.clone(), pipeline.clone(), found));
        }
        Ok(())
    }

    /// Takes everything back, after a load that failed.
    pub(crate) fn fail(&mut self, db: &Db) {
        self.failed = true;
        self.watched = None;
        // One that DuckDB has ended itself is gone already.
        let _ = db.execute_batch("ROLLBACK");
        self.turn = None;
    }
}

impl DuckdbSession {
    /// A session that keeps nothing. It reads the state and begins no transaction: a survey may take long. `absent`: the
    /// database's file, where it is not there.
    pub(crate) fn rehearse(db: Db, absent: Option<PathBuf>, pipeline: &str, stop: &Stop) -> Result<Self> {
        let state = match state::present(&db)? {
            true => state::read(&db, pipeline)?.unwrap_or_default(),
            false => Default::default(),
        };
        Ok(DuckdbSession {
            db,
            _lock: None,
            pipeline: pipeline.to_owned(),
            state,
            fresh: None,
            stop: stop.clone(),
            beside: None,
            rehearsed: Some(Rehearsed { absent, ..Rehearsed::default() }),
        })
    }

    /// Begins the transaction of which every chunk is a part, with what opening a session would have written.
    pub(crate) fn begin_rehearsal(&mut self) -> Result<()> {
        let Some(rehearsed) = &self.rehearsed else { return Ok(()) };
        if rehearsed.failed {
            return Err(Error::internal("a load after one that failed cannot be rehearsed"));
        }
        if rehearsed.begun {
            return Ok(());
        }
        let came = rehearsed.absent.as_ref().is_some_and(|file| file.exists());
        let turn = self.turn()?;
        self.db.execute_batch("BEGIN TRANSACTION").map_err(to("begin a write transaction"))?;
        state::create(&self.db)?;
        let found = state::read(&self.db, &self.pipeline)?.unwrap_or_default();
        if came || found != self.state {
            let _ = self.db.execute_batch("ROLLBACK");
            return Err(Error::new(Code::Busy, format!("a run of pipeline {:?} came in between", self.pipeline))
                .state("nothing was written; the other run goes on")
                .help("once more, and the plan begins where that run leaves off"));
        }
        self.state.token = state::raise_token(&self.db, &self.pipeline)?;
        if let Some(rehearsed) = &mut self.rehearsed {
            (rehearsed.begun, rehearsed.turn) = (true, Some(turn));
        }
        Ok(())
    }
}

impl Rehearsal for DuckdbSession {
    fn samples(&self, limit: usize) -> Result<Vec<Sample>> {
        let Some((name, pipeline, before)) = self.rehearsed.as_ref().and_then(|r| r.watched.as_ref()) else {
            return Ok(Vec::new());
        };
        let Some(now) = ddl::table(&self.db, name)?.filter(|_| limit > 0) else { return Ok(Vec::new()) };
        let copy = format!("temp.main.{BEFORE}");
        differences::since(&self.db, before.as_ref().map(|table| (copy.as_str(), table)), (name, &now), pipeline, limit)
    }
}
