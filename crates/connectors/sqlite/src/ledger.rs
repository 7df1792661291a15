//! State outside a run.

use crate::{
    SqliteDestination,
    boundary::{self, Boundary, Kept},
    failure::to,
    lock::Name,
    state,
};
use chrono::{DateTime, Utc};
use floodmark_connect::{
    Stop,
    books::Books,
    boundary::Rows,
    crash::{self, Point},
    destination::{KeptReject, RejectQuery, RunQuery},
};
use floodmark_core::{
    Result,
    state::{Commit, IntervalEntry, Memory, Remembered, RunRecord, State},
};
use rusqlite::{Connection, TransactionBehavior};
use std::time::Duration;

/// Reads through its own connection; every change takes the pipeline's lock.
pub(crate) struct SqliteLedger {
    pub(crate) db: Connection,
    /// `None`: the database is a scratch one, that nobody else comes to.
    pub(crate) destination: Option<SqliteDestination>,
}

impl Books for SqliteLedger {
    type Db = Connection;

    fn db(&self) -> &Connection {
        &self.db
    }

    fn change<T>(&self, pipeline: &str, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let fail = to("change the state");
        let Some(destination) = &self.destination else {
            let tx = self.db.unchecked_transaction().map_err(&fail)?;
            state::create(&tx)?;
            let out = work(&tx)?;
            crash::at(Point::Temporary, || tx.commit().map_err(&fail))?;
            return Ok(out);
        };
        let holder = format!("a change of its state (process {})", std::process::id());
        let _lock = destination.lock(Name::Pipeline(pipeline), &holder, Some(Duration::ZERO), &Stop::default())?;
        let mut db = destination.connect_for_change()?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&fail)?;
        state::create(&tx)?;
        let out = work(&tx)?;
        crash::at(Point::ChangeCommit, || tx.commit().map_err(&fail))?;
        // The reading connection beside this one keeps the log from being written back on closing, and a copy of the
        // database file alone would miss the change. A reader elsewhere may stand in the way; then the log stays.
        crash::at(Point::Checkpoint, || db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(fail))?;
        Ok(out)
    }

    fn present(db: &Connection) -> Result<bool> {
        state::present(db)
    }

    fn pipelines(db: &Connection) -> Result<Vec<String>> {
        db.prepare("SELECT pipeline FROM _floodmark_state ORDER BY pipeline")
            .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
            .map_err(to("read the state"))
    }

    fn read(db: &Connection, pipeline: &str) -> Result<Option<State>> {
        state::read(db, pipeline)
    }

    fn raise_token(db: &Connection, pipeline: &str) -> Result<i64> {
        state::raise_token(db, pipeline)
    }

    fn forget(db: &Connection, pipeline: &str) -> Result<()> {
        state::forget(db, pipeline)
    }

    fn forget_position(db: &Connection, pipeline: &str) -> Result<()> {
        state::forget_position(db, pipeline)
    }

    fn write_position(db: &Connection, pipeline: &str, table: &str, token: i64, commit: &Commit) -> Result<()> {
        state::write_position(db, pipeline, table, token, commit, Boundary::new(Kept { db, pipeline })?)
    }

    fn intervals(db: &Connection, pipeline: &str) -> Result<Vec<IntervalEntry>> {
        state::intervals(db, pipeline)
    }

    fn put_intervals(db: &Connection, pipeline: &str, intervals: &[IntervalEntry]) -> Result<()> {
        state::put_intervals(db, pipeline, intervals)
    }

    fn prune_runs(db: &Connection, pipeline: &str, before: DateTime<Utc>, keep: usize) -> Result<u64> {
        state::prune_runs(db, pipeline, before, keep)
    }

    fn memories(db: &Connection, pipeline: &str) -> Result<Vec<Memory>> {
        let fail = to("read what is remembered of keys");
        let mut select = db
            .prepare(
                "SELECT 'tombstone', NULL, key, version FROM _floodmark_tombstones WHERE pipeline = ?1
                 UNION ALL SELECT 'kept', \"column\", key, version FROM _floodmark_kept WHERE pipeline = ?1
                 UNION ALL SELECT iif(deleted, 'deleted', 'seen'), NULL, key, at FROM _floodmark_moments WHERE pipeline = ?1
                 UNION ALL SELECT 'boundary', NULL, json_array(file, lower(hex(hash))), NULL
                   FROM _floodmark_boundary WHERE pipeline = ?1
                 ORDER BY 3, 1, 2, 4",
            )
            .map_err(&fail)?;
        let mut rows = select.query([pipeline]).map_err(&fail)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(&fail)? {
            let (what, column, key, version): (String, Option<String>, String, Option<String>) =
                row.try_into().map_err(&fail)?;
            let key: Vec<String> =
                serde_json::from_str(&key).map_err(|e| floodmark_connect::kept::damaged("the key", &key).cause(e))?;
            let what = match (what.as_str(), column) {
                ("kept", Some(column)) => Remembered::Kept(column),
                ("seen", _) => Remembered::Seen,
                ("deleted", _) => Remembered::Deleted,
                ("boundary", _) => floodmark_connect::boundary::parse(&key).map(|_| Remembered::Boundary)?,
                _ => Remembered::Tombstone,
            };
            out.push(Memory { what, key, version });
        }
        Ok(out)
    }

    fn at_watermark(db: &Connection, pipeline: &str, take: &mut dyn FnMut(u128)) -> Result<()> {
        boundary::each(db, pipeline, take)
    }

    fn put_memories(db: &Connection, pipeline: &str, memories: &[Memory]) -> Result<()> {
        let fail = to("write what is remembered of keys");
        Kept { db, pipeline }.import(memories)?;
        for Memory { what, key, version } in memories.iter().filter(|memory| memory.what != Remembered::Boundary) {
            // The form in which a load writes them.
            let key = serde_json::Value::from(key.clone()).to_string();
            crash::at(Point::Tombstone, || {
                match what {
                    Remembered::Tombstone => db.execute(
                        "INSERT INTO _floodmark_tombstones VALUES (?1, ?2, ?3)",
                        rusqlite::params![pipeline, key, version],
                    ),
                    Remembered::Kept(column) => db.execute(
                        "INSERT INTO _floodmark_kept VALUES (?1, ?2, ?3, ?4)",
                        rusqlite::params![pipeline, key, column, version],
                    ),
                    Remembered::Seen | Remembered::Deleted | Remembered::Boundary => db.execute(
                        "INSERT INTO _floodmark_moments VALUES (?1, ?2, ?3, ?4)",
                        rusqlite::params![pipeline, key, version, *what == Remembered::Deleted],
                    ),
                }
                .map_err(&fail)
            })?;
        }
        Ok(())
    }

    fn runs(db: &Connection, query: &RunQuery<'_>) -> Result<Vec<RunRecord>> {
        state::runs(db, query)
    }

    fn rejects(db: &Connection, query: &RejectQuery<'_>) -> Result<Vec<KeptReject>> {
        state::rejects(db, query)
    }

    fn count_rejects(db: &Connection, pipeline: &str) -> Result<u64> {
        state::count_rejects(db, pipeline)
    }

    fn drop_rejects(db: &Connection, pipeline: &str, ids: &[i64]) -> Result<u64> {
        state::drop_rejects(db, pipeline, ids)
    }
}
