//! State outside a run.

use crate::{SqliteDestination, failure::to, state};
use floodmark_connect::{
    Stop,
    destination::{KeptReject, Ledger, StateChange},
};
use floodmark_core::{
    Code, Error, Result,
    state::{Commit, RunRecord, State, Tombstone},
};
use rusqlite::{Connection, TransactionBehavior};
use std::time::Duration;

/// Reads through its own connection; every change takes the pipeline's lock.
pub(crate) struct SqliteLedger {
    pub(crate) db: Connection,
    pub(crate) destination: SqliteDestination,
}

impl SqliteLedger {
    fn change<T>(&self, pipeline: &str, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let holder = format!("a change of its state (process {})", std::process::id());
        let _lock = self.destination.lock(pipeline, &holder, Some(Duration::ZERO), &Stop::default())?;
        let mut db = self.destination.connect_for_change()?;
        let fail = to("change the state");
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&fail)?;
        state::create(&tx)?;
        let out = work(&tx)?;
        tx.commit().map_err(&fail)?;
        // The reading connection beside this one keeps the log from being written back on closing, and a copy of the
        // database file alone would miss the change. A reader elsewhere may stand in the way; then the log stays.
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(fail)?;
        Ok(out)
    }
}

impl Ledger for SqliteLedger {
    fn pipelines(&self) -> Result<Vec<String>> {
        if !state::present(&self.db)? {
            return Ok(Vec::new());
        }
        self.db
            .prepare("SELECT pipeline FROM _floodmark_state ORDER BY pipeline")
            .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
            .map_err(to("read the state"))
    }

    fn state(&self, pipeline: &str) -> Result<Option<State>> {
        if !state::present(&self.db)? {
            return Ok(None);
        }
        state::read(&self.db, pipeline)
    }

    fn tombstones(&self, pipeline: &str) -> Result<Vec<Tombstone>> {
        if !state::present(&self.db)? {
            return Ok(Vec::new());
        }
        tombstones(&self.db, pipeline)
    }

    fn change_state(&mut self, pipeline: &str, change: StateChange<'_>) -> Result<()> {
        self.change(pipeline, |db| {
            if let StateChange::Move { seen, .. } = change {
                let now = state::read(db, pipeline)?.map(|now| State { token: seen.token, ..now });
                if now.as_ref() != Some(seen) {
                    return Err(Error::new(Code::Busy, format!("pipeline {pipeline:?} ran in the meantime"))
                        .state("nothing was changed")
                        .help("look at `floodmark state show` and decide again"));
                }
            }
            let token = state::raise_token(db, pipeline)?;
            match change {
                StateChange::Forget => state::forget(db, pipeline),
                StateChange::Move { to, .. } => {
                    state::forget_position(db, pipeline)?;
                    write(db, pipeline, token, to)
                }
                StateChange::Import { state, tombstones } => {
                    state::forget(db, pipeline)?;
                    write(db, pipeline, token, state)?;
                    put_tombstones(db, pipeline, tombstones)
                }
            }
        })
    }

    fn runs(&self, pipeline: Option<&str>, limit: usize) -> Result<Vec<RunRecord>> {
        if !state::present(&self.db)? {
            return Ok(Vec::new());
        }
        state::runs(&self.db, pipeline, None, limit)
    }

    fn run(&self, id: &str) -> Result<Option<RunRecord>> {
        if !state::present(&self.db)? {
            return Ok(None);
        }
        Ok(state::runs(&self.db, None, Some(id), 1)?.pop())
    }

    fn rejects(&self, pipeline: Option<&str>) -> Result<Vec<KeptReject>> {
        if !state::present(&self.db)? {
            return Ok(Vec::new());
        }
        state::rejects(&self.db, pipeline)
    }

    fn drop_rejects(&mut self, pipeline: &str, ids: &[i64]) -> Result<u64> {
        self.change(pipeline, |db| {
            let mut dropped = 0;
            let mut statement = db
                .prepare("DELETE FROM _floodmark_rejects WHERE pipeline = ?1 AND id = ?2")
                .map_err(to("drop rejects"))?;
            for id in ids {
                dropped += statement.execute(rusqlite::params![pipeline, id]).map_err(to("drop rejects"))? as u64;
            }
            Ok(dropped)
        })
    }
}

/// Writes a state where none is.
fn write(db: &Connection, pipeline: &str, token: i64, new: &State) -> Result<()> {
    let now = chrono::Utc::now();
    let run = RunRecord {
        run: String::new(),
        pipeline: pipeline.to_owned(),
        status: "state".into(),
        load: String::new(),
        started_at: now,
        finished_at: Some(now),
        counts: floodmark_core::Counts::default(),
        watermark: None,
        error: None,
    };
    let commit = Commit {
        schema: new.schema.clone().unwrap_or_default(),
        source_schema: new.source_schema.clone(),
        watermark: new.watermark.clone(),
        pending: new.pending.clone(),
        boundary: Some(new.boundary.clone()),
        files: new.files.iter().map(|(n, f)| (n.clone(), f.clone())).collect(),
        reread: Vec::new(),
        rejects: Vec::new(),
        run,
    };
    state::write_position(db, pipeline, new.table.as_deref().unwrap_or_default(), token, &commit)
}

fn tombstones(db: &Connection, pipeline: &str) -> Result<Vec<Tombstone>> {
    let fail = to("read the tombstones");
    let mut select =
        db.prepare("SELECT key, version FROM _floodmark_tombstones WHERE pipeline = ?1 ORDER BY key").map_err(&fail)?;
    let mut rows = select.query([pipeline]).map_err(&fail)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next().map_err(&fail)? {
        let (key, version): (String, Option<String>) = row.try_into().map_err(&fail)?;
        let key = serde_json::from_str(&key).map_err(|e| {
            Error::new(Code::StateDamaged, format!("the state holds the tombstone {key:?}"))
                .state("nothing was written")
                .cause(e)
        })?;
        out.push(Tombstone { key, version });
    }
    Ok(out)
}

fn put_tombstones(db: &Connection, pipeline: &str, tombstones: &[Tombstone]) -> Result<()> {
    let fail = to("write the tombstones");
    let mut insert = db.prepare("INSERT INTO _floodmark_tombstones VALUES (?1, ?2, ?3)").map_err(&fail)?;
    for tombstone in tombstones {
        // The form in which a load writes them.
        let key = serde_json::Value::from(tombstone.key.clone()).to_string();
        insert.execute(rusqlite::params![pipeline, key, tombstone.version]).map_err(&fail)?;
    }
    Ok(())
}
