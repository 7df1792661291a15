//! State outside a run.

use crate::{
    MysqlDestination,
    boundary::{self, Boundary, Kept},
    failure::to,
    intervals,
    link::{Db, Step},
    literal::{optional, text},
    lock::{Lock, Name, Turn},
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
pub(crate) struct MysqlLedger {
    pub(crate) db: Db,
    pub(crate) destination: MysqlDestination,
}

impl Books for MysqlLedger {
    type Db = Db;

    fn db(&self) -> &Db {
        &self.db
    }

    fn change<T>(&self, pipeline: &str, work: impl FnOnce(&Db) -> Result<T>) -> Result<T> {
        let db = self.destination.connect()?;
        let lock = Lock::acquire(&db, Name::Pipeline(pipeline), None, Some(Duration::ZERO), &Stop::default())?;
        let done = (|| {
            state::create(&db)?;
            // A load beside runs needs no lock of the pipeline.
            let _turn = Turn::take(&db, pipeline, &Stop::default())?;
            let step = Step::begin(&db, false)?;
            let out = work(&db)?;
            crash::at(Point::ChangeCommit, || step.commit().map_err(to("change the state")))?;
            Ok(out)
        })();
        lock.release(&db);
        done
    }

    fn present(db: &Db) -> Result<bool> {
        state::present(db)
    }

    fn pipelines(db: &Db) -> Result<Vec<String>> {
        let rows = db.query("SELECT pipeline FROM _floodmark_state ORDER BY pipeline").map_err(to("read the state"))?;
        Ok(rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect())
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
        let mine = format!("WHERE pipeline = {}", text(pipeline));
        let mut out = Vec::new();
        let parse = |key: &str| -> Result<Vec<String>> {
            serde_json::from_str(key).map_err(|e| floodmark_connect::kept::damaged("the key", key).cause(e))
        };
        for (table, columns) in
            [("tombstones", "version, NULL"), ("kept", "version, `column`"), ("moments", "`at`, deleted")]
        {
            let sql = format!("SELECT `key`, {columns} FROM _floodmark_{table} {mine}");
            for row in &db.query(&sql).map_err(&fail)? {
                let what = match (table, row.text(2)) {
                    ("kept", Some(column)) => Remembered::Kept(column.to_owned()),
                    ("moments", Some("1")) => Remembered::Deleted,
                    ("moments", _) => Remembered::Seen,
                    _ => Remembered::Tombstone,
                };
                out.push(Memory {
                    what,
                    key: parse(row.text(0).unwrap_or_default())?,
                    version: row.text(1).map(str::to_owned),
                });
            }
        }
        let sql = format!("SELECT file, LOWER(HEX(hash)) FROM _floodmark_boundary {mine}");
        for row in &db.query(&sql).map_err(&fail)? {
            let key = [0, 1].map(|at| row.text(at).unwrap_or_default().to_owned()).to_vec();
            floodmark_connect::boundary::parse(&key)?;
            out.push(Memory { what: Remembered::Boundary, key, version: None });
        }
        // As their texts are ordered in every destination.
        let place = |m: &Memory| {
            let (what, column) = match &m.what {
                Remembered::Boundary => ("boundary", None),
                Remembered::Deleted => ("deleted", None),
                Remembered::Kept(column) => ("kept", Some(column.clone())),
                Remembered::Seen => ("seen", None),
                Remembered::Tombstone => ("tombstone", None),
            };
            (serde_json::Value::from(m.key.clone()).to_string(), what, column, m.version.clone())
        };
        out.sort_by_cached_key(place);
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
            let place = format!("{}, {}, {}", text(pipeline), state::id(&key), text(&key));
            let version = optional(version.as_deref());
            let sql = match what {
                Remembered::Tombstone => format!("INSERT INTO _floodmark_tombstones VALUES ({place}, {version})"),
                Remembered::Kept(column) => {
                    format!("INSERT INTO _floodmark_kept VALUES ({place}, {}, {version})", text(column))
                }
                Remembered::Seen | Remembered::Deleted | Remembered::Boundary => format!(
                    "INSERT INTO _floodmark_moments VALUES ({place}, {version}, {})",
                    u8::from(*what == Remembered::Deleted)
                ),
            };
            crash::at(Point::Tombstone, || db.execute(&sql).map_err(&fail))?;
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
