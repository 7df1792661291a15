//! State outside a run.

use crate::{
    PostgresDestination,
    boundary::{self, Boundary},
    failure::to,
    link::{Db, Step},
    lock::Lock,
    receipts, state,
};
use floodmark_connect::{
    Stop,
    crash::{self, Point},
    destination::{KeptReject, Ledger, StateChange},
};
use floodmark_core::{
    Code, Error, Result,
    state::{BoundaryChange, Commit, Memory, Remembered, RunRecord, State},
};
use std::time::Duration;

/// Reads through its own connection; every change takes the pipeline's lock.
pub(crate) struct PostgresLedger {
    pub(crate) db: Db,
    pub(crate) destination: PostgresDestination,
}

impl PostgresLedger {
    fn change<T>(&self, pipeline: &str, work: impl FnOnce(&Db) -> Result<T>) -> Result<T> {
        let db = self.destination.connect()?;
        let lock = Lock::acquire(&db, pipeline, None, Some(Duration::ZERO), &Stop::default())?;
        let done = (|| {
            let step = Step::begin(&db, false)?;
            state::create(&db)?;
            let out = work(&db)?;
            crash::at(Point::ChangeCommit, || step.commit().map_err(to("change the state")))?;
            Ok(out)
        })();
        lock.release(&db);
        done
    }
}

impl Ledger for PostgresLedger {
    fn pipelines(&self) -> Result<Vec<String>> {
        if !state::present(&self.db)? {
            return Ok(Vec::new());
        }
        self.db
            .query("SELECT pipeline FROM _floodmark_state ORDER BY pipeline COLLATE \"C\"", &[])
            .and_then(|rows| rows.iter().map(|r| r.try_get(0)).collect())
            .map_err(to("read the state"))
    }

    fn state(&self, pipeline: &str) -> Result<Option<State>> {
        if !state::present(&self.db)? {
            return Ok(None);
        }
        state::read(&self.db, pipeline)
    }

    fn memories(&self, pipeline: &str) -> Result<Vec<Memory>> {
        if !state::present(&self.db)? {
            return Ok(Vec::new());
        }
        memories(&self.db, pipeline)
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
                StateChange::Import { state, memories } => {
                    state::forget(db, pipeline)?;
                    write(db, pipeline, token, state)?;
                    put_memories(db, pipeline, memories)
                }
            }
        })
    }

    fn runs(&self, pipeline: Option<&str>, limit: usize) -> Result<Vec<RunRecord>> {
        if !state::present(&self.db)? {
            return Ok(Vec::new());
        }
        receipts::runs(&self.db, pipeline, None, limit)
    }

    fn runs_like(&self, id: &str, limit: usize) -> Result<Vec<RunRecord>> {
        if !state::present(&self.db)? {
            return Ok(Vec::new());
        }
        receipts::runs(&self.db, None, Some(id), limit)
    }

    fn rejects(&self, pipeline: Option<&str>) -> Result<Vec<KeptReject>> {
        if !state::present(&self.db)? {
            return Ok(Vec::new());
        }
        receipts::rejects(&self.db, pipeline)
    }

    fn drop_rejects(&mut self, pipeline: &str, ids: &[i64]) -> Result<u64> {
        self.change(pipeline, |db| receipts::drop_rejects(db, pipeline, ids))
    }
}

/// Writes a state where none is.
fn write(db: &Db, pipeline: &str, token: i64, new: &State) -> Result<()> {
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
        settings: new.settings.clone(),
        watermark: new.watermark.clone(),
        pending: new.pending.clone(),
        boundary: BoundaryChange { anew: true, added: Vec::new() },
        files: new.files.iter().map(|(n, f)| (n.clone(), f.clone())).collect(),
        reread: Vec::new(),
        skimmed: Vec::new(),
        replayed: Vec::new(),
        run,
    };
    let boundary = Boundary::new(db, pipeline)?;
    state::write_position(db, pipeline, new.table.as_deref().unwrap_or_default(), token, &commit, boundary)
}

fn memories(db: &Db, pipeline: &str) -> Result<Vec<Memory>> {
    let fail = to("read what is remembered of keys");
    let rows = db
        .query(
            "SELECT what, \"column\", key, version FROM (
               SELECT 'tombstone' AS what, NULL AS \"column\", key, version FROM _floodmark_tombstones WHERE pipeline = $1
               UNION ALL SELECT 'kept', \"column\", key, version FROM _floodmark_kept WHERE pipeline = $1
               UNION ALL SELECT CASE WHEN deleted THEN 'deleted' ELSE 'seen' END, NULL, key, at
                 FROM _floodmark_moments WHERE pipeline = $1
               UNION ALL SELECT 'boundary', NULL, jsonb_build_array(file, encode(hash, 'hex'))::text, NULL
                 FROM _floodmark_boundary WHERE pipeline = $1
             ) m ORDER BY key COLLATE \"C\", what, \"column\" COLLATE \"C\", version COLLATE \"C\"",
            &[&pipeline],
        )
        .map_err(&fail)?;
    let mut out = Vec::new();
    for row in &rows {
        let get = || -> Result<(String, Option<String>, String, Option<String>), tokio_postgres::Error> {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
        };
        let (what, column, key, version) = get().map_err(&fail)?;
        let key: Vec<String> =
            serde_json::from_str(&key).map_err(|e| floodmark_connect::kept::damaged("the key", &key).cause(e))?;
        let what = match (what.as_str(), column) {
            ("kept", Some(column)) => Remembered::Kept(column),
            ("boundary", _) => boundary::parse(&key).map(|_| Remembered::Boundary)?,
            ("seen", _) => Remembered::Seen,
            ("deleted", _) => Remembered::Deleted,
            _ => Remembered::Tombstone,
        };
        out.push(Memory { what, key, version });
    }
    Ok(out)
}

fn put_memories(db: &Db, pipeline: &str, memories: &[Memory]) -> Result<()> {
    let fail = to("write what is remembered of keys");
    for Memory { what, key, version } in memories {
        if *what == Remembered::Boundary {
            boundary::import(db, pipeline, key)?;
            continue;
        }
        // The form in which a load writes them.
        let key = serde_json::Value::from(key.clone()).to_string();
        crash::at(Point::Tombstone, || {
            match what {
                Remembered::Tombstone => {
                    db.execute("INSERT INTO _floodmark_tombstones VALUES ($1, $2, $3)", &[&pipeline, &key, version])
                }
                Remembered::Kept(column) => db.execute(
                    "INSERT INTO _floodmark_kept VALUES ($1, $2, $3, $4)",
                    &[&pipeline, &key, column, version],
                ),
                Remembered::Seen | Remembered::Deleted | Remembered::Boundary => db.execute(
                    "INSERT INTO _floodmark_moments VALUES ($1, $2, $3, $4)",
                    &[&pipeline, &key, version, &(*what == Remembered::Deleted)],
                ),
            }
            .map_err(&fail)
        })?;
    }
    Ok(())
}
