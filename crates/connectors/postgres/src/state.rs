//! The `_floodmark_*` tables: their format, and reading and writing them. Nothing here begins or ends a transaction.

use crate::{boundary::Boundary, ddl::Name, failure::to, intervals, link::Db, receipts};
use chrono::{DateTime, Utc};
use floodmark_connect::{
    crash::{self, Point},
    kept, refusal,
};
use floodmark_core::{
    Code, DataType, Error, Result, Value,
    pipeline::{Load, Pipeline},
    state::{Commit, FORMAT, FileEntry, State},
};
use std::sync::Arc;
use tokio_postgres::Row;

/// Tables of format 1. They live where the user's own tables would be made.
const TABLES: &str = r#"
CREATE TABLE _floodmark_meta (format bigint NOT NULL);
CREATE TABLE _floodmark_state (
  pipeline text PRIMARY KEY, token bigint NOT NULL, "table" text, schema text, source_schema text,
  watermark_column text, watermark_type text, watermark text, pending text, updated_at timestamptz, settings text
);
CREATE TABLE _floodmark_runs (
  run text PRIMARY KEY, pipeline text NOT NULL, status text NOT NULL, load text NOT NULL,
  started_at timestamptz NOT NULL, finished_at timestamptz,
  read bigint, transformed bigint, skipped bigint, rejected bigint, superseded bigint, stale bigint,
  unchanged bigint, inserted bigint, updated bigint, deleted bigint, delete_noop bigint, removed bigint,
  watermark_column text, watermark_before text, watermark_after text, error text
);
CREATE TABLE _floodmark_files (
  pipeline text NOT NULL, file text NOT NULL, size bigint NOT NULL, modified bigint NOT NULL, hash text NOT NULL,
  rows bigint NOT NULL, complete boolean NOT NULL, lineage text, PRIMARY KEY (pipeline, file)
);
CREATE TABLE _floodmark_lineage (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, pipeline text NOT NULL, hashes bytea NOT NULL
);
CREATE TABLE _floodmark_boundary (
  pipeline text NOT NULL, id bigint NOT NULL, file text NOT NULL, hash bytea NOT NULL, PRIMARY KEY (pipeline, id)
);
CREATE TABLE _floodmark_rejects (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, pipeline text NOT NULL, run text NOT NULL, file text NOT NULL,
  line bigint NOT NULL, "column" text, reason text NOT NULL, raw text NOT NULL, doubtful boolean NOT NULL DEFAULT false
);
CREATE TABLE _floodmark_tombstones (
  pipeline text NOT NULL, key text NOT NULL, version text, PRIMARY KEY (pipeline, key)
);
CREATE TABLE _floodmark_kept (
  pipeline text NOT NULL, key text NOT NULL, "column" text NOT NULL, version text, PRIMARY KEY (pipeline, key, "column")
);
CREATE TABLE _floodmark_moments (
  pipeline text NOT NULL, key text NOT NULL, at text NOT NULL, deleted boolean NOT NULL, PRIMARY KEY (pipeline, key, at)
);
"#;

/// Tables that came after the others: a database may have those and not these.
const LATER: &str = r#"
CREATE TABLE IF NOT EXISTS _floodmark_intervals (
  pipeline text NOT NULL, "column" text NOT NULL, type text NOT NULL, "from" text NOT NULL, until text NOT NULL,
  run text NOT NULL, rows bigint NOT NULL, highest text, settled boolean NOT NULL, loaded_at timestamptz NOT NULL,
  PRIMARY KEY (pipeline, "column", "from", until)
);
CREATE TABLE IF NOT EXISTS _floodmark_beside (pipeline text PRIMARY KEY, token bigint NOT NULL);
CREATE TABLE IF NOT EXISTS _floodmark_commits (run text PRIMARY KEY, pipeline text NOT NULL, commits text NOT NULL);
"#;

/// The one that came into use last: where it is, all are.
const NEWEST: &str = "commits";

/// Finds a pipeline's runs. It came after all tables.
const INDEX: &str =
    "CREATE INDEX IF NOT EXISTS _floodmark_runs_by_pipeline ON _floodmark_runs (pipeline, started_at, run)";

/// Whether the newest table is there, and the index, or this user cannot make one: the run ledger is somebody else's.
const WHOLE: &str = "SELECT EXISTS (SELECT FROM pg_class WHERE relname = $1 AND pg_table_is_visible(oid))
    AND NOT EXISTS (
      SELECT FROM pg_class t WHERE t.relname = '_floodmark_runs' AND pg_table_is_visible(t.oid)
        AND pg_has_role(t.relowner, 'USAGE')
        AND NOT EXISTS (SELECT FROM pg_class i WHERE i.relname = '_floodmark_runs_by_pipeline'
          AND i.relnamespace = t.relnamespace))";

/// Those that hold a pipeline's rows, by their names without the prefix, and whether the server counts their rows.
pub(crate) const OF_PIPELINES: [(&str, bool); 12] = [
    ("state", false),
    ("runs", false),
    ("files", false),
    ("lineage", true),
    ("boundary", false),
    ("rejects", true),
    ("tombstones", false),
    ("kept", false),
    ("moments", false),
    ("intervals", false),
    ("beside", false),
    (NEWEST, false),
];

/// Who makes the state tables of a database first; the others wait, and find them made.
const MAKING: &str = "SELECT pg_advisory_xact_lock(hashtextextended('floodmark: state tables', 0))";

/// Whether one of the state tables is there, by its name without the prefix.
pub(crate) fn there(db: &Db, table: &str) -> Result<bool> {
    db.query_one(
        // Not to_regclass: what it once found missing it finds missing to the end of the transaction.
        "SELECT EXISTS (SELECT FROM pg_class WHERE relname = $1 AND pg_table_is_visible(oid))",
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

/// Whether this user may make the state tables.
pub(crate) fn may_create(db: &Db) -> Result<()> {
    let sql = "SELECT s::text, has_schema_privilege(s, 'CREATE') FROM (SELECT current_schema() AS s) AS first";
    let row = db.query_one(sql, &[]).map_err(to("read the database"))?;
    let (schema, may): (Option<String>, Option<bool>) =
        row.try_get(0).and_then(|schema| Ok((schema, row.try_get(1)?))).map_err(to("read the database"))?;
    let error = match (schema, may) {
        (Some(_), Some(true)) => return Ok(()),
        (Some(schema), _) => {
            Error::new(Code::DestinationOpen, format!("the user may not make tables in the schema {schema:?}"))
                .help(format!(
                    "the state lives there: have its owner run GRANT CREATE ON SCHEMA \"{schema}\" TO the user"
                ))
                .help("or put another schema first in the user's search_path")
        }
        (None, _) => Error::new(Code::DestinationOpen, "no schema of the user's search_path is there")
            .help("the state lives in the first one: create it with CREATE SCHEMA, or set another search_path"),
    };
    Err(error.state("nothing was written"))
}

/// Creates the state tables where they are missing.
pub(crate) fn create(db: &Db) -> Result<()> {
    let fail = to("create the state tables");
    let whole = || -> Result<bool> {
        let newest = format!("_floodmark_{NEWEST}");
        Ok(present(db)? && db.query_one(WHOLE, &[&newest]).and_then(|row| row.try_get(0)).map_err(&fail)?)
    };
    if whole()? {
        return Ok(());
    }
    db.query(MAKING, &[]).map_err(&fail)?;
    if whole()? {
        return Ok(());
    }
    if !present(db)? {
        crash::at(Point::CreateState, || db.execute_batch(TABLES).map_err(&fail))?;
        let format = "INSERT INTO _floodmark_meta VALUES ($1)";
        crash::at(Point::CreateState, || db.execute(format, &[&FORMAT]).map_err(&fail))?;
    }
    crash::at(Point::CreateState, || db.execute_batch(LATER).map_err(&fail))?;
    if whole()? {
        return Ok(());
    }
    crash::at(Point::CreateState, || db.execute_batch(INDEX).map_err(&fail))
}

/// Raises the fencing token and returns it.
pub(crate) fn raise_token(db: &Db, pipeline: &str) -> Result<i64> {
    crash::at(Point::RaiseToken, || {
        db.query_one(
            "INSERT INTO _floodmark_state AS s (pipeline, token) VALUES ($1, 1)
             ON CONFLICT (pipeline) DO UPDATE SET token = s.token + 1 RETURNING token",
            &[&pipeline],
        )
        .and_then(|row| row.try_get(0))
        .map_err(to("raise the fencing token"))
    })
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
        updated_at: row.try_get::<_, Option<DateTime<Utc>>>(7).map_err(&fail)?,
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
    let get = || -> Result<Columns, tokio_postgres::Error> {
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

/// Which writing of a pipeline's state is the one that stands: each has a transaction of its own.
pub(crate) fn writing(db: &Db, pipeline: &str) -> Result<Option<String>> {
    db.query_opt("SELECT xmin::text FROM _floodmark_state WHERE pipeline = $1", &[&pipeline])
        .and_then(|row| row.map(|r| r.try_get(0)).transpose())
        .map_err(to("read the state"))
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
                &mark.map(|m| &m.column),
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
                "INSERT INTO _floodmark_files SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::text[],
                   $6::bigint[], $7::boolean[], $8::text[])
                 ON CONFLICT (pipeline, file) DO UPDATE SET size = excluded.size, modified = excluded.modified,
                   hash = excluded.hash, rows = excluded.rows, complete = excluded.complete, lineage = excluded.lineage",
                &[
                    &pipeline,
                    &names,
                    &number(&|e| e.size as i64),
                    &number(&|e| e.modified),
                    &hashes,
                    &number(&|e| e.rows as i64),
                    &complete,
                    &lineage,
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
            "UPDATE _floodmark_{table} m SET {field} = w.new FROM unnest($2::text[], $3::text[]) w(old, new)
             WHERE m.pipeline = $1 AND m.{field} = w.old"
        );
        if !old.is_empty() {
            crash::at(Point::Rekey, || db.execute(&sql, &[&pipeline.name, &old, &new]).map_err(&fail))?;
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
