//! The `_floodmark_*` tables: their format, and reading and writing them. Nothing here begins or ends a transaction.

use crate::{
    boundary::Boundary,
    commits,
    failure::{failed, to},
};
use chrono::{DateTime, SecondsFormat, Utc};
use floodmark_connect::{
    crash::{self, Point},
    destination::{KeptReject, RejectQuery, RunQuery},
    kept, refusal,
};
use floodmark_core::{
    Code, Counts, DataType, Error, Result, Value,
    commits::Commits,
    interval::Interval,
    pipeline::{Load, Pipeline},
    state::{Commit, FORMAT, FileEntry, IntervalEntry, Reject, RunRecord, State, WatermarkMove},
};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use std::{collections::HashSet, sync::Arc};

/// Tables of format 1.
const TABLES: &str = r#"
CREATE TABLE IF NOT EXISTS _floodmark_meta (format INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS _floodmark_state (
  pipeline TEXT PRIMARY KEY, token INTEGER NOT NULL, "table" TEXT, schema TEXT, source_schema TEXT,
  watermark_column TEXT, watermark_type TEXT, watermark TEXT, pending TEXT, updated_at TEXT, settings TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _floodmark_runs (
  run TEXT PRIMARY KEY, pipeline TEXT NOT NULL, status TEXT NOT NULL, load TEXT NOT NULL,
  started_at TEXT NOT NULL, finished_at TEXT,
  read INTEGER, transformed INTEGER, skipped INTEGER, rejected INTEGER, superseded INTEGER, stale INTEGER,
  unchanged INTEGER, inserted INTEGER, updated INTEGER, deleted INTEGER, delete_noop INTEGER, removed INTEGER,
  watermark_column TEXT, watermark_before TEXT, watermark_after TEXT, error TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _floodmark_files (
  pipeline TEXT NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL, hash TEXT NOT NULL,
  rows INTEGER NOT NULL, complete INTEGER NOT NULL, lineage TEXT, PRIMARY KEY (pipeline, file)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _floodmark_boundary (
  pipeline TEXT NOT NULL, id INTEGER NOT NULL, file TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (pipeline, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _floodmark_rejects (
  id INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, run TEXT NOT NULL, file TEXT NOT NULL, line INTEGER NOT NULL,
  "column" TEXT, reason TEXT NOT NULL, raw TEXT NOT NULL, doubtful INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS _floodmark_tombstones (
  pipeline TEXT NOT NULL, key TEXT NOT NULL, version TEXT, PRIMARY KEY (pipeline, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _floodmark_kept (
  pipeline TEXT NOT NULL, key TEXT NOT NULL, "column" TEXT NOT NULL, version TEXT, PRIMARY KEY (pipeline, key, "column")
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _floodmark_moments (
  pipeline TEXT NOT NULL, key TEXT NOT NULL, at TEXT NOT NULL, deleted INTEGER NOT NULL, PRIMARY KEY (pipeline, key, at)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _floodmark_intervals (
  pipeline TEXT NOT NULL, "column" TEXT NOT NULL, type TEXT NOT NULL, "from" TEXT NOT NULL, until TEXT NOT NULL,
  run TEXT NOT NULL, rows INTEGER NOT NULL, highest TEXT, settled INTEGER NOT NULL, loaded_at TEXT NOT NULL,
  PRIMARY KEY (pipeline, "column", "from", until)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _floodmark_beside (pipeline TEXT PRIMARY KEY, token INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _floodmark_commits (
  run TEXT PRIMARY KEY, pipeline TEXT NOT NULL, commits TEXT NOT NULL
) WITHOUT ROWID;
"#;

/// Their indexes.
const INDEXES: &str = "
CREATE INDEX IF NOT EXISTS _floodmark_runs_by_pipeline ON _floodmark_runs (pipeline, started_at, run);
CREATE INDEX IF NOT EXISTS _floodmark_runs_by_time ON _floodmark_runs (started_at, run);
CREATE INDEX IF NOT EXISTS _floodmark_rejects_by_pipeline ON _floodmark_rejects (pipeline);
";

/// What came into use last: where it is, all else is.
const NEWEST: &str = "_floodmark_rejects_by_pipeline";

/// Whether the state tables are there; an error when a newer Floodmark wrote them.
pub(crate) fn present(db: &Connection) -> Result<bool> {
    if !there(db, "_floodmark_meta")? {
        return Ok(false);
    }
    let format: Option<i64> = db
        .query_row("SELECT format FROM _floodmark_meta", [], |r| r.get(0))
        .optional()
        .map_err(|e| failed("read the state", e))?;
    kept::check_format(format).map(|()| true)
}

/// Whether a table, or an index, is there.
pub(crate) fn there(db: &Connection, table: &str) -> Result<bool> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)", [table], |r| r.get(0))
        .map_err(to("read the database"))
}

/// Creates the state tables where they are missing; some came after the first of them.
pub(crate) fn create(db: &Connection) -> Result<()> {
    let present = present(db)?;
    if present && there(db, NEWEST)? {
        return Ok(());
    }
    let fail = to("create the state tables");
    crash::at(Point::CreateState, || db.execute_batch(TABLES).map_err(&fail))?;
    crash::at(Point::CreateState, || db.execute_batch(INDEXES).map_err(&fail))?;
    if !present {
        let format = "INSERT INTO _floodmark_meta VALUES (?1)";
        crash::at(Point::CreateState, || db.execute(format, [FORMAT]).map_err(&fail))?;
    }
    Ok(())
}

/// Raises the fencing token and returns it.
pub(crate) fn raise_token(db: &Connection, pipeline: &str) -> Result<i64> {
    crash::at(Point::RaiseToken, || {
        db.query_row(
            "INSERT INTO _floodmark_state (pipeline, token) VALUES (?1, 1)
             ON CONFLICT (pipeline) DO UPDATE SET token = token + 1 RETURNING token",
            [pipeline],
            |r| r.get(0),
        )
        .map_err(to("raise the fencing token"))
    })
}

/// A pipeline's state; `None` where there is none.
pub(crate) fn read(db: &Connection, pipeline: &str) -> Result<Option<State>> {
    type Text = Option<String>;
    type Columns = (i64, Text, Text, Text, Text, Text, Text, Text, (Text, Text));
    let row: Option<Columns> = db
        .query_row(
            "SELECT token, \"table\", schema, watermark_column, watermark_type, watermark, pending, updated_at,
                    source_schema, settings
             FROM _floodmark_state WHERE pipeline = ?1",
            [pipeline],
            |r| {
                Ok((
                    r.get(0)?,
                    r.get(1)?,
                    r.get(2)?,
                    r.get(3)?,
                    r.get(4)?,
                    r.get(5)?,
                    r.get(6)?,
                    r.get(7)?,
                    (r.get(8)?, r.get(9)?),
                ))
            },
        )
        .optional()
        .map_err(to("read the state"))?;
    let Some((token, table, schema, column, data_type, watermark, pending, updated_at, (source_schema, settings))) =
        row
    else {
        return Ok(None);
    };
    let mut state = State {
        token,
        // A pipeline that has not loaded yet has neither; an import writes them empty.
        table: table.filter(|table| !table.is_empty()),
        schema: kept::schema(schema)?.filter(|schema| !schema.columns.is_empty()),
        source_schema: kept::schema(source_schema)?,
        settings: kept::settings(settings)?,
        watermark: kept::mark(column.clone(), data_type.clone(), watermark)?,
        pending: kept::mark(column, data_type, pending)?,
        updated_at: updated_at.and_then(|t| DateTime::parse_from_rfc3339(&t).ok()).map(|t| t.with_timezone(&Utc)),
        ..State::default()
    };
    let fail = to("read the state");
    let mut files = db
        .prepare("SELECT file, size, modified, hash, rows, complete, lineage FROM _floodmark_files WHERE pipeline = ?1")
        .map_err(&fail)?;
    let mut rows = files.query([pipeline]).map_err(&fail)?;
    while let Some(row) = rows.next().map_err(&fail)? {
        let (name, entry) = file_entry(row)?;
        Arc::make_mut(&mut state.files).insert(name, entry);
    }
    Ok(Some(state))
}

fn file_entry(row: &Row<'_>) -> Result<(String, FileEntry)> {
    let fail = to("read the file ledger");
    type Columns = (String, i64, i64, String, i64, bool, Option<String>);
    let columns: rusqlite::Result<Columns> = row.try_into();
    let (name, size, modified, hash, rows, complete, lineage) = columns.map_err(fail)?;
    let lineage = lineage.as_deref().map(kept::lineage).transpose()?;
    let entry =
        FileEntry { size: size as u64, modified, hash: kept::hash(&hash)?, rows: rows as u64, complete, lineage };
    Ok((name, entry))
}

/// Writes everything a commit holds.
pub(crate) fn write(
    db: &Connection,
    pipeline: &str,
    table: &str,
    token: i64,
    commit: &Commit,
    boundary: Boundary<'_>,
) -> Result<()> {
    write_position(db, pipeline, table, token, commit, boundary)?;
    forget_rejects(db, pipeline, commit)?;
    write_intervals(db, pipeline, commit)?;
    write_run(db, &commit.run)
}

/// Writes where a pipeline stands. The fence is in the statement: with an older token no row matches.
pub(crate) fn write_position(
    db: &Connection,
    pipeline: &str,
    table: &str,
    token: i64,
    commit: &Commit,
    boundary: Boundary<'_>,
) -> Result<()> {
    let fail = to("write the state");
    let json =
        |schema| serde_json::to_string(schema).map_err(|e| Error::internal("a schema has no JSON form").cause(e));
    let source_schema = commit.source_schema.as_ref().map(json).transpose()?;
    let settings = commit.settings.as_ref().map(serde_json::to_string).transpose();
    let settings = settings.map_err(|e| Error::internal("settings have no JSON form").cause(e))?;
    let mark = commit.watermark.as_ref().or(commit.pending.as_ref());
    let schema = json(&commit.schema)?;
    let changed = crash::at(Point::WritePosition, || {
        db.execute(
            "UPDATE _floodmark_state SET \"table\" = ?3, schema = ?4, watermark_column = ?5, watermark_type = ?6,
               watermark = ?7, pending = ?8, updated_at = ?9, source_schema = ?10, settings = ?11
             WHERE pipeline = ?1 AND token = ?2",
            params![
                pipeline,
                token,
                table,
                schema,
                mark.map(|m| &m.column),
                mark.map(|m| m.data_type.to_string()),
                commit.watermark.as_ref().map(|m| m.value.to_string()),
                commit.pending.as_ref().map(|m| m.value.to_string()),
                timestamp(&commit.run.finished_at.unwrap_or(commit.run.started_at)),
                source_schema,
                settings,
            ],
        )
        .map_err(&fail)
    })?;
    if changed != 1 {
        return Err(refusal::fenced(pipeline));
    }
    for (name, entry) in &commit.files {
        write_file(db, pipeline, name, entry)?;
    }
    boundary.finish(&commit.boundary)
}

/// Keeps a row that a run set aside.
pub(crate) fn keep_reject(db: &Connection, pipeline: &str, run: &str, reject: &Reject) -> Result<()> {
    let Reject { slice, line, column, reason, raw } = reject;
    crash::at(Point::Rejects, || {
        db.prepare_cached(
            "INSERT INTO _floodmark_rejects (pipeline, run, file, line, \"column\", reason, raw)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .and_then(|mut s| s.execute(params![pipeline, run, slice, *line as i64, column, reason, raw]))
        .map_err(to("write the rejects"))
    })?;
    Ok(())
}

/// Slices that rejects are kept of.
pub(crate) fn rejected_slices(db: &Connection, pipeline: &str) -> Result<HashSet<String>> {
    db.prepare("SELECT DISTINCT file FROM _floodmark_rejects WHERE pipeline = ?1")
        .and_then(|mut s| s.query_map([pipeline], |r| r.get(0))?.collect())
        .map_err(to("read the rejects"))
}

/// Rejects that came anew with this run, or are no rejects any more.
pub(crate) fn forget_rejects(db: &Connection, pipeline: &str, commit: &Commit) -> Result<()> {
    if drop_rejects(db, pipeline, &commit.replayed)? != commit.replayed.len() as u64 {
        return Err(Error::new(
            Code::Busy,
            "some of the rejected rows were replayed, dropped or read again in the meantime",
        )
        .state("nothing was written")
        .help(format!("see what is left: floodmark rejects list {pipeline}")));
    }
    if commit.reread.is_empty() && commit.skimmed.is_empty() {
        return Ok(());
    }
    let run = &commit.run.run;
    let kept = rejected_slices(db, pipeline)?;
    let earlier = "WHERE pipeline = ?1 AND file = ?2 AND run <> ?3";
    let all = format!("DELETE FROM _floodmark_rejects {earlier}");
    let again = format!("{all} AND raw IN (SELECT raw FROM _floodmark_rejects WHERE pipeline = ?1 AND run = ?3)");
    let doubt = format!("UPDATE _floodmark_rejects SET doubtful = 1 {earlier}");
    for (slices, statements) in [(&commit.reread, &[&all][..]), (&commit.skimmed, &[&again, &doubt])] {
        for slice in slices.iter().filter(|s| kept.contains(*s)) {
            for sql in statements {
                crash::at(Point::Rejects, || {
                    db.execute(sql, [pipeline, slice, run]).map_err(to("drop the rejects of an earlier reading"))
                })?;
            }
        }
    }
    Ok(())
}

/// Drops rejects by number; returns how many there were.
pub(crate) fn drop_rejects(db: &Connection, pipeline: &str, ids: &[i64]) -> Result<u64> {
    let fail = to("drop rejects");
    let mut statement =
        db.prepare_cached("DELETE FROM _floodmark_rejects WHERE pipeline = ?1 AND id = ?2").map_err(&fail)?;
    let mut dropped = 0;
    for id in ids {
        dropped += crash::at(Point::Rejects, || statement.execute(params![pipeline, id]).map_err(&fail))? as u64;
    }
    Ok(dropped)
}

/// Two pipelines that load one table undo each other's work, and neither notices.
pub(crate) fn refuse_shared(db: &Connection, pipeline: &str, table: &str) -> Result<()> {
    let other: Option<String> = db
        .query_row(
            "SELECT pipeline FROM _floodmark_state WHERE \"table\" = ?1 COLLATE NOCASE AND pipeline <> ?2",
            [table, pipeline],
            |r| r.get(0),
        )
        .optional()
        .map_err(to("read the state"))?;
    let Some(other) = other else { return Ok(()) };
    let files: Vec<String> = db
        .prepare("SELECT file FROM _floodmark_files WHERE pipeline = ?1 ORDER BY file LIMIT 2")
        .and_then(|mut s| s.query_map([&other], |r| r.get(0))?.collect())
        .map_err(to("read the file ledger"))?;
    Err(refusal::shared(pipeline, table, &other, &files))
}

/// A strategy that does not know the rows an earlier one left would double or lose them.
pub(crate) fn refuse_other_load(db: &Connection, pipeline: &str, load: Load) -> Result<()> {
    let before: Option<String> = db
        .query_row(
            "SELECT load FROM _floodmark_runs WHERE pipeline = ?1 AND (status = 'ok' OR read > 0) AND load <> 'repair'
             ORDER BY started_at DESC, run DESC LIMIT 1",
            [pipeline],
            |r| r.get(0),
        )
        .optional()
        .map_err(to("read the run ledger"))?;
    refusal::other_load(before.as_deref(), load)
}

/// Writes a file's entry in the place of an earlier one.
pub(crate) fn write_file(db: &Connection, pipeline: &str, name: &str, entry: &FileEntry) -> Result<()> {
    crash::at(Point::WriteFile, || {
        db.prepare_cached("INSERT OR REPLACE INTO _floodmark_files VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")
            .and_then(|mut s| {
                s.execute(params![
                    pipeline,
                    name,
                    entry.size as i64,
                    entry.modified,
                    format!("{:032x}", entry.hash),
                    entry.rows as i64,
                    entry.complete,
                    entry.lineage.as_ref().map(kept::lineage_text)
                ])
            })
            .map_err(to("write the file ledger"))
    })?;
    Ok(())
}

/// Takes a file's entry out.
pub(crate) fn remove_file(db: &Connection, pipeline: &str, name: &str) -> Result<()> {
    crash::at(Point::WriteFile, || {
        db.execute("DELETE FROM _floodmark_files WHERE pipeline = ?1 AND file = ?2", [pipeline, name])
            .map_err(to("write the file ledger"))
    })?;
    Ok(())
}

/// Receipts of intervals, in no order.
pub(crate) fn intervals(db: &Connection, pipeline: &str) -> Result<Vec<IntervalEntry>> {
    // State tables that nobody has written to since they came into use do not have it yet.
    if !there(db, "_floodmark_intervals")? {
        return Ok(Vec::new());
    }
    let fail = to("read the receipts of intervals");
    let mut select = db
        .prepare(
            "SELECT \"column\", type, \"from\", until, run, rows, highest, settled, loaded_at FROM _floodmark_intervals
             WHERE pipeline = ?1",
        )
        .map_err(&fail)?;
    let mut rows = select.query([pipeline]).map_err(&fail)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next().map_err(&fail)? {
        type Columns = (String, String, String, String, String, i64, Option<String>, bool, String);
        let columns: rusqlite::Result<Columns> = row.try_into();
        let (column, type_name, from, until, run, rows, highest, settled, loaded_at) = columns.map_err(&fail)?;
        let (data_type, interval, highest) = kept::interval(&type_name, &from, &until, highest.as_deref())?;
        let loaded_at = DateTime::parse_from_rfc3339(&loaded_at).map_err(|_| kept::damaged("the time", &loaded_at))?;
        out.push(IntervalEntry {
            column,
            data_type,
            interval,
            run,
            rows: rows as u64,
            highest,
            settled,
            loaded_at: loaded_at.with_timezone(&Utc),
        });
    }
    Ok(out)
}

/// Writes the receipts of a commit's intervals, and takes those out that it absorbs.
pub(crate) fn write_intervals(db: &Connection, pipeline: &str, commit: &Commit) -> Result<()> {
    for (column, Interval { from, until }) in &commit.absorbed {
        crash::at(Point::WriteInterval, || {
            db.prepare_cached(
                "DELETE FROM _floodmark_intervals WHERE pipeline = ?1 AND \"column\" = ?2 AND \"from\" = ?3 AND until = ?4",
            )
            .and_then(|mut s| s.execute(params![pipeline, column, from.to_string(), until.to_string()]))
            .map_err(to("write the receipts of intervals"))
        })?;
    }
    put_intervals(db, pipeline, &commit.intervals)
}

/// Writes receipts in the place of earlier ones.
pub(crate) fn put_intervals(db: &Connection, pipeline: &str, intervals: &[IntervalEntry]) -> Result<()> {
    for entry in intervals {
        crash::at(Point::WriteInterval, || {
            db.prepare_cached(
                "INSERT OR REPLACE INTO _floodmark_intervals VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )
            .and_then(|mut s| {
                s.execute(params![
                    pipeline,
                    entry.column,
                    entry.data_type.to_string(),
                    entry.interval.from.to_string(),
                    entry.interval.until.to_string(),
                    entry.run,
                    entry.rows as i64,
                    entry.highest.as_ref().map(ToString::to_string),
                    entry.settled,
                    timestamp(&entry.loaded_at),
                ])
            })
            .map_err(to("write the receipts of intervals"))
        })?;
    }
    Ok(())
}

/// Drops old lines of the run ledger. The newest run that committed anything stays: it says how the table was loaded, and that
/// it was. So do lines of runs that never ended.
pub(crate) fn prune_runs(db: &Connection, pipeline: &str, before: DateTime<Utc>, keep: usize) -> Result<u64> {
    let newest = "SELECT run FROM _floodmark_runs WHERE pipeline = ?1";
    let order = "ORDER BY started_at DESC, run DESC LIMIT";
    let sql = format!(
        "DELETE FROM _floodmark_runs WHERE pipeline = ?1 AND finished_at IS NOT NULL AND started_at < ?2
           AND run NOT IN ({newest} {order} ?3)
           AND run IS NOT ({newest} AND (status = 'ok' OR read > 0) AND load <> 'repair' {order} 1)"
    );
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    let dropped = crash::at(Point::WriteRun, || {
        db.execute(&sql, params![pipeline, timestamp(&before), keep])
            .map(|n| n as u64)
            .map_err(to("drop lines of the run ledger"))
    })?;
    commits::prune(db, pipeline)?;
    Ok(dropped)
}

/// Writes a run's line in the place of an earlier one, with what its commits brought.
pub(crate) fn write_run(db: &Connection, run: &RunRecord) -> Result<()> {
    let c = &run.counts;
    let n = |v: u64| v as i64;
    let w = run.watermark.as_ref();
    crash::at(Point::WriteRun, || {
        db.prepare_cached(
            "INSERT OR REPLACE INTO _floodmark_runs VALUES
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
        )
        .and_then(|mut s| {
            s.execute(params![
                run.run,
                run.pipeline,
                run.status,
                run.load,
                timestamp(&run.started_at),
                run.finished_at.as_ref().map(timestamp),
                n(c.read),
                c.transformed.map(n),
                n(c.skipped),
                n(c.rejected),
                n(c.superseded),
                n(c.stale),
                n(c.unchanged),
                n(c.inserted),
                n(c.updated),
                n(c.deleted),
                n(c.delete_noop),
                n(c.removed),
                w.map(|w| &w.column),
                w.and_then(|w| w.before.as_ref()),
                w.and_then(|w| w.after.as_ref()),
                run.error
            ])
        })
        .map_err(to("write the run ledger"))
    })?;
    commits::write(db, run)
}

fn timestamp(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// What is remembered of keys follows a key column, or the version, to its wider type: `5` is found as `5.00` from then
/// on.
pub(crate) fn widen_memories(db: &Connection, pipeline: &Pipeline, column: &str, to_type: DataType) -> Result<()> {
    let fail = to("rewrite what is remembered of keys");
    let wider = |text: &str| {
        Value::parse(text, to_type).map(|v| v.to_string()).ok_or_else(|| kept::damaged("the remembered value", text))
    };
    let rewrite = |table: &str, field: &str, change: &dyn Fn(&str) -> Result<String>| -> Result<()> {
        let texts: Vec<String> = db
            .prepare(&format!(
                "SELECT DISTINCT {field} FROM _floodmark_{table} WHERE pipeline = ?1 AND {field} IS NOT NULL"
            ))
            .and_then(|mut s| s.query_map([&pipeline.name], |r| r.get(0))?.collect())
            .map_err(&fail)?;
        let mut update = db
            .prepare(&format!("UPDATE _floodmark_{table} SET {field} = ?3 WHERE pipeline = ?1 AND {field} = ?2"))
            .map_err(&fail)?;
        for text in texts {
            let new = change(&text)?;
            if new != text {
                crash::at(Point::Rekey, || update.execute([&pipeline.name, &text, &new]).map_err(&fail))?;
            }
        }
        Ok(())
    };
    for (table, version) in [("tombstones", "version"), ("kept", "version"), ("moments", "at")] {
        if let Some(at) = pipeline.key.iter().position(|k| k == column) {
            rewrite(table, "key", &|key| {
                let mut parts: Vec<String> =
                    serde_json::from_str(key).map_err(|e| kept::damaged("the key", key).cause(e))?;
                let part = parts.get_mut(at).ok_or_else(|| kept::damaged("the key", key))?;
                *part = wider(part)?;
                Ok(serde_json::Value::from(parts).to_string())
            })?;
        }
        if pipeline.version.as_deref() == Some(column) {
            rewrite(table, version, &wider)?;
        }
    }
    Ok(())
}

/// Forgets all of a pipeline but its token, runs and rejects.
pub(crate) fn forget(db: &Connection, pipeline: &str) -> Result<()> {
    for table in ["tombstones", "kept", "moments", "intervals"] {
        crash::at(Point::Forget, || {
            db.execute(&format!("DELETE FROM _floodmark_{table} WHERE pipeline = ?1"), [pipeline])
                .map_err(to("reset the state"))
        })?;
    }
    forget_position(db, pipeline)
}

/// Forgets the rejects of a pipeline.
pub(crate) fn forget_all_rejects(db: &Connection, pipeline: &str) -> Result<()> {
    crash::at(Point::Rejects, || {
        db.execute("DELETE FROM _floodmark_rejects WHERE pipeline = ?1", [pipeline]).map_err(to("forget the rejects"))
    })?;
    Ok(())
}

/// Forgets where a pipeline stands. Tombstones stay: what was deleted must not come back because a position moved (P5). So do
/// receipts of intervals, whose rows are there wherever the position is.
pub(crate) fn forget_position(db: &Connection, pipeline: &str) -> Result<()> {
    let fail = to("reset the state");
    for table in ["files", "boundary"] {
        crash::at(Point::ForgetPosition, || {
            db.execute(&format!("DELETE FROM _floodmark_{table} WHERE pipeline = ?1"), [pipeline]).map_err(&fail)
        })?;
    }
    crash::at(Point::ForgetPosition, || {
        db.execute(
            "UPDATE _floodmark_state SET \"table\" = NULL, schema = NULL, source_schema = NULL,
               watermark_column = NULL, watermark_type = NULL, watermark = NULL, pending = NULL, updated_at = NULL,
               settings = NULL
             WHERE pipeline = ?1",
            [pipeline],
        )
        .map_err(&fail)
    })?;
    Ok(())
}

const RUN_COLUMNS: &str = "run, pipeline, status, load, started_at, finished_at, read, transformed, skipped, rejected,
  superseded, stale, unchanged, inserted, updated, deleted, delete_noop, removed, watermark_column, watermark_before,
  watermark_after, error";

/// Runs, newest first.
pub(crate) fn runs(db: &Connection, query: &RunQuery<'_>) -> Result<Vec<RunRecord>> {
    let RunQuery { pipeline, status, id, before, limit } = *query;
    let before = before.map(|(began, run)| (timestamp(&began), run));
    // Only what is asked for is a condition: a ledger may have many runs, and an index finds those of a pipeline.
    let conditions = [
        (pipeline.is_some(), "pipeline = :pipeline"),
        (status.is_some(), "status = :status"),
        (id.is_some(), "run >= :id AND run < :id || char(1114111)"),
        (before.is_some(), "(started_at, run) < (:began, :run)"),
    ];
    let conditions: Vec<&str> = conditions.into_iter().filter(|(asked, _)| *asked).map(|(_, sql)| sql).collect();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (began, run) = before.map_or((None, None), |(began, run)| (Some(began), Some(run)));
    let values: [(&str, &dyn ToSql, bool); 6] = [
        (":pipeline", &pipeline, pipeline.is_some()),
        (":status", &status, status.is_some()),
        (":id", &id, id.is_some()),
        (":began", &began, began.is_some()),
        (":run", &run, run.is_some()),
        (":limit", &limit, true),
    ];
    let values: Vec<(&str, &dyn ToSql)> =
        values.into_iter().filter(|(.., asked)| *asked).map(|(name, value, _)| (name, value)).collect();
    let asked = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    let sql =
        format!("SELECT {RUN_COLUMNS} FROM _floodmark_runs {asked} ORDER BY started_at DESC, run DESC LIMIT :limit");
    let mut runs: Vec<RunRecord> = db
        .prepare_cached(&sql)
        .and_then(|mut s| s.query_map(values.as_slice(), run_record)?.collect())
        .map_err(to("read the run ledger"))?;
    commits::read(db, &mut runs)?;
    Ok(runs)
}

fn run_record(r: &Row<'_>) -> rusqlite::Result<RunRecord> {
    let time = |at: usize| -> rusqlite::Result<Option<DateTime<Utc>>> {
        let text: Option<String> = r.get(at)?;
        Ok(text.and_then(|t| DateTime::parse_from_rfc3339(&t).ok()).map(|t| t.with_timezone(&Utc)))
    };
    let n = |at: usize| -> rusqlite::Result<u64> { Ok(r.get::<_, Option<i64>>(at)?.unwrap_or(0) as u64) };
    let column: Option<String> = r.get(18)?;
    Ok(RunRecord {
        run: r.get(0)?,
        pipeline: r.get(1)?,
        status: r.get(2)?,
        load: r.get(3)?,
        started_at: time(4)?.unwrap_or_default(),
        finished_at: time(5)?,
        counts: Counts {
            read: n(6)?,
            transformed: r.get::<_, Option<i64>>(7)?.map(|v| v as u64),
            skipped: n(8)?,
            rejected: n(9)?,
            superseded: n(10)?,
            stale: n(11)?,
            unchanged: n(12)?,
            inserted: n(13)?,
            updated: n(14)?,
            deleted: n(15)?,
            delete_noop: n(16)?,
            removed: n(17)?,
        },
        watermark: match column {
            None => None,
            Some(column) => Some(WatermarkMove { column, before: r.get(19)?, after: r.get(20)? }),
        },
        error: r.get(21)?,
        commits: Commits::default(),
    })
}

/// Kept rejects, by number.
pub(crate) fn rejects(db: &Connection, query: &RejectQuery<'_>) -> Result<Vec<KeptReject>> {
    let of = if query.pipeline.is_some() { "pipeline = ?1" } else { "?1 IS NULL" };
    db.prepare(&format!(
        "SELECT id, pipeline, run, file, line, \"column\", reason, raw, doubtful FROM _floodmark_rejects
         WHERE {of} AND id > ?2 ORDER BY id LIMIT ?3"
    ))
    .and_then(|mut s| {
        s.query_map(params![query.pipeline, query.after, query.most()], |r| {
            Ok(KeptReject {
                id: r.get(0)?,
                pipeline: r.get(1)?,
                run: r.get(2)?,
                doubtful: r.get(8)?,
                reject: Reject {
                    slice: r.get(3)?,
                    line: r.get::<_, i64>(4)? as u64,
                    column: r.get(5)?,
                    reason: r.get(6)?,
                    raw: r.get(7)?,
                },
            })
        })?
        .collect()
    })
    .map_err(to("read the rejects"))
}

/// How many there are of a pipeline.
pub(crate) fn count_rejects(db: &Connection, pipeline: &str) -> Result<u64> {
    db.query_row("SELECT count(*) FROM _floodmark_rejects WHERE pipeline = ?1", [pipeline], |r| r.get::<_, i64>(0))
        .map(|n| n as u64)
        .map_err(to("read the rejects"))
}
