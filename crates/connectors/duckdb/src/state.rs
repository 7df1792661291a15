//! The `_floodmark_*` tables: their format, and reading and writing them. Nothing here begins or ends a transaction.

use crate::{
    boundary::Boundary,
    ddl::Name,
    failure::to,
    intervals,
    link::{Db, List, Row},
    raw::Failure,
    receipts,
};
use chrono::{DateTime, Utc};
use floodmark_connect::{
    crash::{self, Point},
    kept, refusal,
};
use floodmark_core::{
    DataType, Error, Result, Value,
    pipeline::{Load, Pipeline},
    state::{Commit, FORMAT, FileEntry, State},
};
use std::sync::Arc;

/// Tables of format 1. They live in the schema `main`. None has an index: what one would hold apart is written by one transaction
/// after the other, which looks first; and one is kept in memory as a whole.
const TABLES: &str = r#"
CREATE TABLE _floodmark_meta (format BIGINT NOT NULL);
CREATE TABLE _floodmark_state (
  pipeline VARCHAR NOT NULL, token BIGINT NOT NULL, "table" VARCHAR, schema VARCHAR, source_schema VARCHAR,
  watermark_column VARCHAR, watermark_type VARCHAR, watermark VARCHAR, pending VARCHAR, updated_at TIMESTAMPTZ,
  settings VARCHAR
);
CREATE TABLE _floodmark_runs (
  run VARCHAR NOT NULL, pipeline VARCHAR NOT NULL, status VARCHAR NOT NULL, load VARCHAR NOT NULL,
  started_at TIMESTAMPTZ NOT NULL, finished_at TIMESTAMPTZ,
  read BIGINT, transformed BIGINT, skipped BIGINT, rejected BIGINT, superseded BIGINT, stale BIGINT,
  unchanged BIGINT, inserted BIGINT, updated BIGINT, deleted BIGINT, delete_noop BIGINT, removed BIGINT,
  watermark_column VARCHAR, watermark_before VARCHAR, watermark_after VARCHAR, error VARCHAR
);
CREATE TABLE _floodmark_files (
  pipeline VARCHAR NOT NULL, file VARCHAR NOT NULL, size BIGINT NOT NULL, modified BIGINT NOT NULL, hash VARCHAR NOT NULL,
  rows BIGINT NOT NULL, complete BOOLEAN NOT NULL, lineage VARCHAR
);
CREATE SEQUENCE _floodmark_lineage_ids;
CREATE TABLE _floodmark_lineage (
  id BIGINT NOT NULL DEFAULT nextval('_floodmark_lineage_ids'), pipeline VARCHAR NOT NULL, hashes BLOB NOT NULL
);
CREATE TABLE _floodmark_boundary (
  pipeline VARCHAR NOT NULL, id BIGINT NOT NULL, file VARCHAR NOT NULL, hash BLOB NOT NULL
);
CREATE SEQUENCE _floodmark_rejects_ids;
CREATE TABLE _floodmark_rejects (
  id BIGINT NOT NULL DEFAULT nextval('_floodmark_rejects_ids'), pipeline VARCHAR NOT NULL, run VARCHAR NOT NULL,
  file VARCHAR NOT NULL, line BIGINT NOT NULL, "column" VARCHAR, reason VARCHAR NOT NULL, raw VARCHAR NOT NULL,
  doubtful BOOLEAN NOT NULL DEFAULT false
);
CREATE TABLE _floodmark_tombstones (pipeline VARCHAR NOT NULL, key VARCHAR NOT NULL, version VARCHAR);
CREATE TABLE _floodmark_kept (pipeline VARCHAR NOT NULL, key VARCHAR NOT NULL, "column" VARCHAR NOT NULL, version VARCHAR);
CREATE TABLE _floodmark_moments (pipeline VARCHAR NOT NULL, key VARCHAR NOT NULL, "at" VARCHAR NOT NULL, deleted BOOLEAN NOT NULL);
CREATE TABLE _floodmark_intervals (
  pipeline VARCHAR NOT NULL, "column" VARCHAR NOT NULL, type VARCHAR NOT NULL, "from" VARCHAR NOT NULL,
  until VARCHAR NOT NULL, run VARCHAR NOT NULL, rows BIGINT NOT NULL, highest VARCHAR, settled BOOLEAN NOT NULL,
  loaded_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE _floodmark_commits (run VARCHAR NOT NULL, pipeline VARCHAR NOT NULL, commits VARCHAR NOT NULL);
CREATE TABLE _floodmark_beside (pipeline VARCHAR NOT NULL, token BIGINT NOT NULL);
CREATE TABLE _floodmark_keys (schema VARCHAR NOT NULL, "table" VARCHAR NOT NULL, key VARCHAR NOT NULL);
"#;

/// Whether one of the state tables is there, by its name without the prefix.
pub(crate) fn there(db: &Db, table: &str) -> Result<bool> {
    db.query_one(
        "SELECT count(*) > 0 FROM duckdb_tables()
         WHERE database_name = current_database() AND schema_name = 'main' AND table_name = $1",
        &[&format!("_floodmark_{table}")],
    )
    .and_then(|row| row.try_get(0))
    .map_err(to("read the database"))
}

/// Whether the state tables are there; an error when a newer Floodmark wrote them.
pub(crate) fn present(db: &Db) -> Result<bool> {
    if !there(db, "meta")? {
        return Ok(false);
    }
    let format: Option<i64> = db
        .query_opt("SELECT format FROM _floodmark_meta", &[])
        .and_then(|row| row.map(|r| r.try_get(0)).transpose())
        .map_err(to("read the state"))?;
    kept::check_format(format).map(|()| true)
}

/// Creates the state tables where they are missing.
pub(crate) fn create(db: &Db) -> Result<()> {
    if present(db)? {
        return Ok(());
    }
    let fail = to("create the state tables");
    crash::at(Point::CreateState, || db.execute_batch(TABLES).map_err(&fail))?;
    let format = "INSERT INTO _floodmark_meta VALUES ($1)";
    crash::at(Point::CreateState, || db.execute(format, &[&FORMAT]).map_err(&fail))?;
    Ok(())
}

/// Raises the fencing token and returns it.
pub(crate) fn raise_token(db: &Db, pipeline: &str) -> Result<i64> {
    crash::at(Point::RaiseToken, || raise(db, "_floodmark_state", pipeline))
}

/// The same in either of the tables that hold one.
pub(crate) fn raise(db: &Db, table: &str, pipeline: &str) -> Result<i64> {
    let fail = to("raise the fencing token");
    let one = |sql: String| db.query_opt(&sql, &[&pipeline]).and_then(|row| row.map(|r| r.try_get(0)).transpose());
    let raised =
        one(format!("UPDATE {table} SET token = token + 1 WHERE pipeline = $1 RETURNING token")).map_err(&fail)?;
    match raised {
        Some(token) => Ok(token),
        None => one(format!("INSERT INTO {table} (pipeline, token) VALUES ($1, 1) RETURNING token"))
            .map_err(&fail)?
            .ok_or_else(|| Error::internal("a token was not written")),
    }
}

/// The newest token there is.
pub(crate) fn token(db: &Db, pipeline: &str) -> Result<Option<i64>> {
    db.query_opt("SELECT token FROM _floodmark_state WHERE pipeline = $1", &[&pipeline])
        .and_then(|row| row.map(|r| r.try_get(0)).transpose())
        .map_err(to("read the fencing token"))
}

/// A pipeline's state; `None` where there is none.
pub(crate) fn read(db: &Db, pipeline: &str) -> Result<Option<State>> {
    let fail = to("read the state");
    let row = db
        .query_opt(
            "SELECT token, \"table\", schema, watermark_column, watermark_type, watermark, pending, updated_at,
                    source_schema, settings
             FROM _floodmark_state WHERE pipeline = $1",
            &[&pipeline],
        )
        .map_err(&fail)?;
    let Some(row) = row else { return Ok(None) };
    let text = |at: usize| -> Result<Option<String>> { row.try_get(at).map_err(&fail) };
    let (column, data_type) = (text(3)?, text(4)?);
    let mut state = State {
        token: row.try_get(0).map_err(&fail)?,
        // A pipeline that has not loaded yet has neither; an import writes them empty.
        table: text(1)?.filter(|table| !table.is_empty()),
        schema: kept::schema(text(2)?)?.filter(|schema| !schema.columns.is_empty()),
        source_schema: kept::schema(text(8)?)?,
        settings: kept::settings(text(9)?)?,
        watermark: kept::mark(column.clone(), data_type.clone(), text(5)?)?,
        pending: kept::mark(column, data_type, text(6)?)?,
        updated_at: row.try_get::<Option<DateTime<Utc>>>(7).map_err(&fail)?,
        ..State::default()
    };
    let files = db
        .query(
            "SELECT file, size, modified, hash, rows, complete, lineage FROM _floodmark_files WHERE pipeline = $1",
            &[&pipeline],
        )
        .map_err(&fail)?;
    for row in &files {
        let (name, entry) = file_entry(row)?;
        Arc::make_mut(&mut state.files).insert(name, entry);
    }
    Ok(Some(state))
}

fn file_entry(row: &Row) -> Result<(String, FileEntry)> {
    type Columns = (String, i64, i64, String, i64, bool, Option<String>);
    let get = || -> Result<Columns, Failure> {
        Ok((
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(4)?,
            row.try_get(5)?,
            row.try_get(6)?,
        ))
    };
    let (name, size, modified, hash, rows, complete, lineage) = get().map_err(to("read the file ledger"))?;
    let lineage = lineage.as_deref().map(kept::lineage).transpose()?;
    let entry =
        FileEntry { size: size as u64, modified, hash: kept::hash(&hash)?, rows: rows as u64, complete, lineage };
    Ok((name, entry))
}

/// The rows of `_floodmark_lineage` that the file ledger names.
pub(crate) fn lineage_ids(db: &Db, pipeline: &str) -> Result<Vec<i64>> {
    let fail = to("read the file ledger");
    let rows = db
        .query("SELECT lineage FROM _floodmark_files WHERE pipeline = $1 AND lineage IS NOT NULL", &[&pipeline])
        .map_err(&fail)?;
    let mut ids = Vec::new();
    for row in &rows {
        let text: String = row.try_get(0).map_err(&fail)?;
        let lineage = kept::lineage(&text)?;
        ids.extend(lineage.ranges.iter().flat_map(|(first, last)| *first..=*last));
    }
    Ok(ids)
}

/// Writes everything a commit holds.
pub(crate) fn write(
    db: &Db,
    pipeline: &str,
    table: &str,
    token: i64,
    commit: &Commit,
    boundary: Boundary<'_>,
) -> Result<()> {
    write_position(db, pipeline, table, token, commit, boundary)?;
    receipts::forget_rejects(db, pipeline, commit)?;
    intervals::write(db, pipeline, commit)?;
    receipts::write_run(db, &commit.run)
}

/// Writes where a pipeline stands. The fence is in the statement: with an older token no row matches.
pub(crate) fn write_position(
    db: &Db,
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
            "UPDATE _floodmark_state SET \"table\" = $3, schema = $4, watermark_column = $5, watermark_type = $6,
               watermark = $7, pending = $8, updated_at = $9, source_schema = $10, settings = $11
             WHERE pipeline = $1 AND token = $2",
            &[
                &pipeline,
                &token,
                &table,
                &schema,
                &mark.map(|m| m.column.clone()),
                &mark.map(|m| m.data_type.to_string()),
                &commit.watermark.as_ref().map(|m| m.value.to_string()),
                &commit.pending.as_ref().map(|m| m.value.to_string()),
                &commit.run.finished_at.unwrap_or(commit.run.started_at),
                &source_schema,
                &settings,
            ],
        )
        .map_err(&fail)
    })?;
    if changed != 1 {
        return Err(refusal::fenced(pipeline));
    }
    let files: Vec<(&str, &FileEntry)> = commit.files.iter().map(|(name, entry)| (name.as_str(), entry)).collect();
    write_files(db, pipeline, &files)?;
    boundary.finish(&commit.boundary)
}

/// How many rows of the state one statement writes: few enough that its parameters stay small.
const AT_ONCE: usize = 20_000;

/// Two pipelines that load one table undo each other's work, and neither notices.
pub(crate) fn refuse_shared(db: &Db, pipeline: &str, table: &str, name: &Name) -> Result<()> {
    let fail = to("read the state");
    let others = db
        .query(
            "SELECT pipeline, \"table\" FROM _floodmark_state WHERE pipeline <> $1 AND \"table\" <> '' ORDER BY pipeline",
            &[&pipeline],
        )
        .map_err(&fail)?;
    let mut other = None;
    for row in &others {
        let (theirs, written): (String, String) =
            row.try_get(0).and_then(|p| Ok((p, row.try_get(1)?))).map_err(&fail)?;
        // The same table may be written with its schema and without.
        if written == table || (written.ends_with(&name.table) && Name::resolve(db, &written)? == *name) {
            other = Some(theirs);
            break;
        }
    }
    let Some(other) = other else { return Ok(()) };
    let files: Vec<String> = db
        .query("SELECT file FROM _floodmark_files WHERE pipeline = $1 ORDER BY file LIMIT 2", &[&other])
        .and_then(|rows| rows.iter().map(|r| r.try_get(0)).collect())
        .map_err(to("read the file ledger"))?;
    Err(refusal::shared(pipeline, table, &other, &files))
}

/// A strategy that does not know the rows an earlier one left would double or lose them.
pub(crate) fn refuse_other_load(db: &Db, pipeline: &str, load: Load) -> Result<()> {
    let before: Option<String> = db
        .query_opt(
            "SELECT load FROM _floodmark_runs WHERE pipeline = $1 AND (status = 'ok' OR read > 0) AND load <> 'repair'
             ORDER BY started_at DESC, run DESC LIMIT 1",
            &[&pipeline],
        )
        .and_then(|row| row.map(|r| r.try_get(0)).transpose())
        .map_err(to("read the run ledger"))?;
    refusal::other_load(before.as_deref(), load)
}

/// Writes files' entries in the place of earlier ones.
pub(crate) fn write_files(db: &Db, pipeline: &str, files: &[(&str, &FileEntry)]) -> Result<()> {
    for part in files.chunks(AT_ONCE) {
        let names: Vec<&str> = part.iter().map(|(name, _)| *name).collect();
        let number = |of: &dyn Fn(&FileEntry) -> i64| -> Vec<i64> { part.iter().map(|(_, e)| of(e)).collect() };
        let hashes: Vec<String> = part.iter().map(|(_, e)| format!("{:032x}", e.hash)).collect();
        let complete: Vec<bool> = part.iter().map(|(_, e)| e.complete).collect();
        let lineage: Vec<Option<String>> =
            part.iter().map(|(_, e)| e.lineage.as_ref().map(kept::lineage_text)).collect();
        crash::at(Point::WriteFile, || {
            db.execute(
                "DELETE FROM _floodmark_files WHERE pipeline = $1 AND file IN (SELECT unnest($2::text[]))",
                &[&pipeline, &List(&names)],
            )
            .map_err(to("write the file ledger"))
        })?;
        crash::at(Point::WriteFile, || {
            db.execute(
                "INSERT INTO _floodmark_files SELECT $1, unnest($2::text[]), unnest($3::bigint[]), unnest($4::bigint[]),
                   unnest($5::text[]), unnest($6::bigint[]), unnest($7::boolean[]), unnest($8::text[])",
                &[
                    &pipeline,
                    &List(&names),
                    &List(&number(&|e| e.size as i64)),
                    &List(&number(&|e| e.modified)),
                    &List(&hashes),
                    &List(&number(&|e| e.rows as i64)),
                    &List(&complete),
                    &List(&lineage),
                ],
            )
            .map_err(to("write the file ledger"))
        })?;
    }
    Ok(())
}

/// Takes a file's entry out.
pub(crate) fn remove_file(db: &Db, pipeline: &str, name: &str) -> Result<()> {
    crash::at(Point::WriteFile, || {
        db.execute("DELETE FROM _floodmark_files WHERE pipeline = $1 AND file = $2", &[&pipeline, &name])
            .map_err(to("write the file ledger"))
    })?;
    Ok(())
}

/// What is remembered of keys follows a key column, or the version, to its wider type: `5` is found as `5.00` from then
/// on.
pub(crate) fn widen_memories(db: &Db, pipeline: &Pipeline, column: &str, to_type: DataType) -> Result<()> {
    let fail = to("rewrite what is remembered of keys");
    let wider = |text: &str| {
        Value::parse(text, to_type).map(|v| v.to_string()).ok_or_else(|| kept::damaged("the remembered value", text))
    };
    let rewrite = |table: &str, field: &str, change: &dyn Fn(&str) -> Result<String>| -> Result<()> {
        let all =
            format!("SELECT DISTINCT {field} FROM _floodmark_{table} WHERE pipeline = $1 AND {field} IS NOT NULL");
        let texts: Vec<String> = db
            .query(&all, &[&pipeline.name])
            .and_then(|rows| rows.iter().map(|r| r.try_get(0)).collect())
            .map_err(&fail)?;
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for text in texts {
            let changed = change(&text)?;
            if changed != text {
                old.push(text);
                new.push(changed);
            }
        }
        let sql = format!(
            "UPDATE _floodmark_{table} m SET {field} = w.new FROM (SELECT unnest($2::text[]) AS old, unnest($3::text[]) AS new) w
             WHERE m.pipeline = $1 AND m.{field} = w.old"
        );
        if !old.is_empty() {
            crash::at(Point::Rekey, || db.execute(&sql, &[&pipeline.name, &List(&old), &List(&new)]).map_err(&fail))?;
        }
        Ok(())
    };
    for (table, version) in [("tombstones", "version"), ("kept", "version"), ("moments", "\"at\"")] {
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
pub(crate) fn forget(db: &Db, pipeline: &str) -> Result<()> {
    for table in ["tombstones", "kept", "moments", "lineage", "intervals"] {
        crash::at(Point::Forget, || {
            db.execute(&format!("DELETE FROM _floodmark_{table} WHERE pipeline = $1"), &[&pipeline])
                .map_err(to("reset the state"))
        })?;
    }
    forget_position(db, pipeline)
}

/// Forgets where a pipeline stands. Tombstones stay: what was deleted must not come back because a position moved (P5). So do
/// receipts of intervals, whose rows are there wherever the position is.
pub(crate) fn forget_position(db: &Db, pipeline: &str) -> Result<()> {
    let fail = to("reset the state");
    for table in ["files", "boundary"] {
        crash::at(Point::ForgetPosition, || {
            db.execute(&format!("DELETE FROM _floodmark_{table} WHERE pipeline = $1"), &[&pipeline]).map_err(&fail)
        })?;
    }
    crash::at(Point::ForgetPosition, || {
        db.execute(
            "UPDATE _floodmark_state SET \"table\" = NULL, schema = NULL, source_schema = NULL,
               watermark_column = NULL, watermark_type = NULL, watermark = NULL, pending = NULL, updated_at = NULL,
               settings = NULL
             WHERE pipeline = $1",
            &[&pipeline],
        )
        .map_err(&fail)
    })?;
    Ok(())
}

/// Notes that rows of a table are told apart by these columns, in the place of what was noted of it.
pub(crate) fn note_key(db: &Db, name: &Name, key: &[&str]) -> Result<()> {
    forget_key(db, name)?;
    let text = key_text(key);
    crash::at(Point::Index, || {
        db.execute("INSERT INTO _floodmark_keys VALUES ($1, $2, $3)", &[&name.schema, &name.table, &text])
            .map_err(to("note the table's key"))
    })?;
    Ok(())
}

/// Forgets it: the table goes.
pub(crate) fn forget_key(db: &Db, name: &Name) -> Result<()> {
    crash::at(Point::Index, || {
        db.execute(
            "DELETE FROM _floodmark_keys WHERE lower(schema) = lower($1) AND lower(\"table\") = lower($2)",
            &[&name.schema, &name.table],
        )
        .map_err(to("note the table's key"))
    })?;
    Ok(())
}

/// Whether that is noted of it.
pub(crate) fn has_key(db: &Db, name: &Name, key: &[&str]) -> Result<bool> {
    if !there(db, "keys")? {
        return Ok(false);
    }
    db.query_one(
        "SELECT count(*) > 0 FROM _floodmark_keys
         WHERE lower(schema) = lower($1) AND lower(\"table\") = lower($2) AND key = $3",
        &[&name.schema, &name.table, &key_text(key)],
    )
    .and_then(|row| row.try_get(0))
    .map_err(to("read the table's key"))
}

/// The columns in one order, whatever theirs.
fn key_text(key: &[&str]) -> String {
    let mut columns: Vec<String> = key.iter().map(|column| column.to_lowercase()).collect();
    columns.sort_unstable();
    serde_json::Value::from(columns).to_string()
}
