//! State outside a run.

use crate::{
    boundary::{self, Boundary, Kept},
    destination::PATIENCE,
    failure::{to, uncommitted},
    intervals,
    link::{Db, Step},
    lock::{Lock, Name},
    raw::Failure,
    receipts, state,
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
use std::time::Duration;

/// Reads through its own connection; every change takes the pipeline's lock.
pub(crate) struct DuckdbLedger {
    pub(crate) db: Db,
}

impl Books for DuckdbLedger {
    type Db = Db;

    fn db(&self) -> &Db {
        &self.db
    }

    fn change<T>(&self, pipeline: &str, work: impl FnOnce(&Db) -> Result<T>) -> Result<T> {
        let db = Db::connect(&self.db.instance)?;
        let stop = Stop::default();
        let name = Name::Pipeline(pipeline.to_owned());
        let _lock = Lock::acquire(&db.instance, name, &db.holder(None), Some(Duration::ZERO), &stop)?;
        let _turn = Lock::acquire(&db.instance, Name::Writer, &db.holder(None), Some(PATIENCE), &stop)?;
        let step = Step::begin(&db, false)?;
        state::create(&db)?;
        let out = work(&db)?;
        crash::at(Point::ChangeCommit, || step.commit().map_err(uncommitted("change the state")))?;
        Ok(out)
    }

    fn present(db: &Db) -> Result<bool> {
        state::present(db)
    }

    fn pipelines(db: &Db) -> Result<Vec<String>> {
        db.query("SELECT pipeline FROM _floodmark_state ORDER BY pipeline", &[])
            .and_then(|rows| rows.iter().map(|r| r.try_get(0)).collect())
            .map_err(to("read the state"))
    }

    fn read(db: &Db, pipeline: &str) -> Result<Option<State>> {
        state::read(db, pipeline)
    }

    fn raise_token(db: &Db, pipeline: &str) -> Result<i64> {
        state::raise_token(db, pipeline)
    }

    fn forget(db: &Db, pipeline: &str) -> Result<()> {
        state::forget(db, pipeline)
    }

    fn forget_position(db: &Db, pipeline: &str) -> Result<()> {
        state::forget_position(db, pipeline)
    }

    fn write_position(db: &Db, pipeline: &str, table: &str, token: i64, commit: &Commit) -> Result<()> {
        state::write_position(db, pipeline, table, token, commit, Boundary::new(Kept { db, pipeline })?)
    }

    fn intervals(db: &Db, pipeline: &str) -> Result<Vec<IntervalEntry>> {
        intervals::read(db, pipeline, None)
    }

    fn put_intervals(db: &Db, pipeline: &str, intervals: &[IntervalEntry]) -> Result<()> {
        intervals::put(db, pipeline, intervals)
    }

    fn prune_runs(db: &Db, pipeline: &str, before: DateTime<Utc>, keep: usize) -> Result<u64> {
        receipts::prune_runs(db, pipeline, before, keep)
    }

    fn memories(db: &Db, pipeline: &str) -> Result<Vec<Memory>> {
        let fail = to("read what is remembered of keys");
        let rows = db
            .query(
                "SELECT what, \"column\", key, version FROM (
                   SELECT 'tombstone' AS what, NULL AS \"column\", key, version FROM _floodmark_tombstones WHERE pipeline = $1
                   UNION ALL SELECT 'kept', \"column\", key, version FROM _floodmark_kept WHERE pipeline = $1
                   UNION ALL SELECT CASE WHEN deleted THEN 'deleted' ELSE 'seen' END, NULL, key, \"at\"
                     FROM _floodmark_moments WHERE pipeline = $1
                   UNION ALL SELECT 'boundary', NULL, to_json([file, lower(hex(hash))])::text, NULL
                     FROM _floodmark_boundary WHERE pipeline = $1
                 ) m ORDER BY key NULLS LAST, what, \"column\" NULLS LAST, version NULLS LAST",
                &[&pipeline],
            )
            .map_err(&fail)?;
        let mut out = Vec::new();
        for row in &rows {
            let get = || -> Result<(String, Option<String>, String, Option<String>), Failure> {
                Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
            };
            let (what, column, key, version) = get().map_err(&fail)?;
            let key: Vec<String> =
                serde_json::from_str(&key).map_err(|e| floodmark_connect::kept::damaged("the key", &key).cause(e))?;
            let what = match (what.as_str(), column) {
                ("kept", Some(column)) => Remembered::Kept(column),
                ("boundary", _) => floodmark_connect::boundary::parse(&key).map(|_| Remembered::Boundary)?,
                ("seen", _) => Remembered::Seen,
                ("deleted", _) => Remembered::Deleted,
                _ => Remembered::Tombstone,
            };
            out.push(Memory { what, key, version });
        }
        Ok(out)
    }

    fn at_watermark(db: &Db, pipeline: &str, take: &mut dyn FnMut(u128)) -> Result<()> {
        boundary::each(db, pipeline, take)
    }

    fn put_memories(db: &Db, pipeline: &str, memories: &[Memory]) -> Result<()> {
        let fail = to("write what is remembered of keys");
        Kept { db, pipeline }.import(memories)?;
        for Memory { what, key, version } in memories.iter().filter(|memory| memory.what != Remembered::Boundary) {
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

    fn runs(db: &Db, query: &RunQuery<'_>) -> Result<Vec<RunRecord>> {
        receipts::runs(db, query)
    }

    fn rejects(db: &Db, query: &RejectQuery<'_>) -> Result<Vec<KeptReject>> {
        receipts::rejects(db, query)
    }

    fn count_rejects(db: &Db, pipeline: &str) -> Result<u64> {
        receipts::count_rejects(db, pipeline)
    }

    fn drop_rejects(db: &Db, pipeline: &str, ids: &[i64]) -> Result<u64> {
        receipts::drop_rejects(db, pipeline, ids)
    }
}
