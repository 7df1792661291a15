//! State outside a run.

use crate::{
    MysqlDestination,
    boundary::{self, Boundary},
    failure::to,
    link::{Db, Step},
    literal::{optional, text},
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
pub(crate) struct MysqlLedger {
    pub(crate) db: Db,
    pub(crate) destination: MysqlDestination,
}

impl MysqlLedger {
    fn change<T>(&self, pipeline: &str, work: impl FnOnce(&Db) -> Result<T>) -> Result<T> {
        let db = self.destination.connect()?;
        let lock = Lock::acquire(&db, pipeline, Some(Duration::ZERO), &Stop::default())?;
        let done = (|| {
            state::create(&db)?;
            let step = Step::begin(&db, false)?;
            let out = work(&db)?;
            crash::at(Point::ChangeCommit, || step.commit().map_err(to("change the state")))?;
            Ok(out)
        })();
        lock.release(&db);
        done
    }
}

impl Ledger for MysqlLedger {
    fn pipelines(&self) -> Result<Vec<String>> {
        if !state::present(&self.db)? {
            return Ok(Vec::new());
        }
        let rows =
            self.db.query("SELECT pipeline FROM _floodmark_state ORDER BY pipeline").map_err(to("read the state"))?;
        Ok(rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect())
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
        boundary::parse(&key)?;
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

fn put_memories(db: &Db, pipeline: &str, memories: &[Memory]) -> Result<()> {
    let fail = to("write what is remembered of keys");
    for Memory { what, key, version } in memories {
        if *what == Remembered::Boundary {
            boundary::import(db, pipeline, key)?;
            continue;
        }
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
