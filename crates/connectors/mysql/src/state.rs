//! The `_floodmark_*` tables: their format, and reading and writing them. Nothing here begins or ends a transaction.

use crate::{
    boundary::Boundary,
    ddl::Name,
    failure::{code, to},
    intervals,
    link::{Db, Owned},
    literal::{self, optional, text},
    receipts,
};
use chrono::{DateTime, NaiveDateTime, Utc};
use floodmark_connect::{
    crash::{self, Point},
    kept, refusal,
};
use floodmark_core::{
    DataType, Error, Result, Value,
    pipeline::{Load, Pipeline},
    state::{Commit, FORMAT, FileEntry, Mark, State},
};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// Tables of format 1, by their names without the prefix. They live in the database that the URL names. What may be longer
/// than a key can be (files, keys) is found by its hash, `id`.
pub(crate) const TABLES: [(&str, &str); 13] = [
    (
        "state",
        "pipeline varchar(255) PRIMARY KEY, token bigint NOT NULL, `table` longtext, `schema` longtext, source_schema longtext,
         watermark_column longtext, watermark_type longtext, watermark longtext, pending longtext, updated_at datetime(6),
         settings longtext",
    ),
    (
        "runs",
        "run varchar(64) PRIMARY KEY, pipeline varchar(255) NOT NULL, status varchar(64) NOT NULL, `load` varchar(64) NOT NULL,
         started_at datetime(6) NOT NULL, finished_at datetime(6),
         `read` bigint, transformed bigint, skipped bigint, rejected bigint, superseded bigint, stale bigint,
         unchanged bigint, inserted bigint, updated bigint, deleted bigint, delete_noop bigint, removed bigint,
         watermark_column longtext, watermark_before longtext, watermark_after longtext, error longtext, KEY (pipeline)",
    ),
    (
        "files",
        "pipeline varchar(255) NOT NULL, id binary(16) NOT NULL, file longtext NOT NULL, size bigint NOT NULL,
         modified bigint NOT NULL, hash varchar(32) NOT NULL, `rows` bigint NOT NULL, complete tinyint(1) NOT NULL,
         lineage longtext, PRIMARY KEY (pipeline, id)",
    ),
    ("lineage", "id bigint AUTO_INCREMENT PRIMARY KEY, pipeline varchar(255) NOT NULL, hashes longblob NOT NULL, KEY (pipeline)"),
    (
        "boundary",
        "pipeline varchar(255) NOT NULL, id bigint NOT NULL, file longtext NOT NULL, hash binary(16) NOT NULL,
         PRIMARY KEY (pipeline, id)",
    ),
    (
        "rejects",
        "id bigint AUTO_INCREMENT PRIMARY KEY, pipeline varchar(255) NOT NULL, run varchar(64) NOT NULL, file longtext NOT NULL,
         line bigint NOT NULL, `column` longtext, reason longtext NOT NULL, raw longtext NOT NULL,
         doubtful tinyint(1) NOT NULL DEFAULT 0, KEY (pipeline)",
    ),
    (
        "tombstones",
        "pipeline varchar(255) NOT NULL, id binary(16) NOT NULL, `key` longtext NOT NULL, version longtext,
         PRIMARY KEY (pipeline, id)",
    ),
    (
        "kept",
        "pipeline varchar(255) NOT NULL, id binary(16) NOT NULL, `key` longtext NOT NULL, `column` varchar(64) NOT NULL,
         version longtext, PRIMARY KEY (pipeline, id, `column`)",
    ),
    (
        "moments",
        "pipeline varchar(255) NOT NULL, id binary(16) NOT NULL, `key` longtext NOT NULL, `at` varchar(64) NOT NULL,
         deleted tinyint(1) NOT NULL, PRIMARY KEY (pipeline, id, `at`)",
    ),
    ("swaps", "pipeline varchar(255) PRIMARY KEY, `database` varchar(64) NOT NULL, `table` varchar(64) NOT NULL"),
    (
        "intervals",
        "pipeline varchar(255) NOT NULL, id binary(16) NOT NULL, `column` longtext NOT NULL, type longtext NOT NULL,
         `from` longtext NOT NULL, until longtext NOT NULL, run varchar(64) NOT NULL, `rows` bigint NOT NULL, highest longtext,
         settled tinyint(1) NOT NULL, loaded_at datetime(6) NOT NULL, PRIMARY KEY (pipeline, id)",
    ),
    ("beside", "pipeline varchar(255) PRIMARY KEY, token bigint NOT NULL"),
    (LAST, "run varchar(64) PRIMARY KEY, pipeline varchar(255) NOT NULL, commits longtext NOT NULL, KEY (pipeline)"),
];

/// The table that is made after all others: some came into use later than the first ones.
const LAST: &str = "commits";

/// The lock of who makes the state tables of a database first; the others wait, and find them made. Its name counts on the
/// whole server.
fn making(db: &Db) -> String {
    format!("floodmark state {:032x}", xxh3_128(db.server.database.as_bytes()))
}

/// The place of a text that is too long for a key.
pub(crate) fn id(text: &str) -> String {
    literal::bytes(&xxh3_128(text.as_bytes()).to_be_bytes())
}

/// Whether one of the state tables is there, by its name without the prefix.
pub(crate) fn there(db: &Db, table: &str) -> Result<bool> {
    match db.query(&format!("SELECT 1 FROM _floodmark_{table} LIMIT 0")) {
        Ok(_) => Ok(true),
        Err(failure) if failure.code() == code::NO_SUCH_TABLE => Ok(false),
        Err(failure) => Err(to("read the state")(failure)),
    }
}

/// Whether the state tables are there; an error when a newer Floodmark wrote them.
pub(crate) fn present(db: &Db) -> Result<bool> {
    let format = match db.query_opt("SELECT format FROM _floodmark_meta") {
        Ok(row) => row.and_then(|row| row.number::<i64>(0)),
        Err(failure) if failure.code() == code::NO_SUCH_TABLE => return Ok(false),
        Err(failure) => return Err(to("read the state")(failure)),
    };
    match format {
        // The format is written last: a run died while it made the tables.
        None => Ok(false),
        format => kept::check_format(format).map(|()| true),
    }
}

/// Creates the state tables where they are missing. Each is made alone, and found made where a run died behind it; the
/// format, which says that all are there, comes last.
pub(crate) fn create(db: &Db) -> Result<()> {
    if present(db)? && there(db, LAST)? {
        return Ok(());
    }
    let fail = to("create the state tables");
    let making = text(&making(db));
    db.query(&format!("SELECT GET_LOCK({making}, 60)")).map_err(&fail)?;
    let made = make(db, "CREATE TABLE IF NOT EXISTS", &mut |_| Ok(true)).and_then(|()| {
        let sql = format!("INSERT IGNORE INTO _floodmark_meta VALUES (1, {FORMAT})");
        crash::at(Point::CreateState, || db.execute(&sql).map_err(&fail))
    });
    db.query(&format!("SELECT RELEASE_LOCK({making})")).map_err(&fail)?;
    made.map(|_| ())
}

/// Makes those that are missing as tables that go with the connection, for a rehearsal.
pub(crate) fn create_temporary(db: &Db) -> Result<()> {
    let present = present(db)?;
    if present && there(db, LAST)? {
        return Ok(());
    }
    make(db, "CREATE TEMPORARY TABLE", &mut |table| there(db, table).map(|there| !there))?;
    if present {
        return Ok(());
    }
    let sql = format!("INSERT IGNORE INTO _floodmark_meta VALUES (1, {FORMAT})");
    crash::at(Point::Temporary, || db.execute(&sql).map_err(to("create the state tables")))?;
    Ok(())
}

/// `wanted`: which of the tables.
fn make(db: &Db, create: &str, wanted: &mut dyn FnMut(&str) -> Result<bool>) -> Result<()> {
    let kind = format!("ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE {}", db.server.exact());
    let meta = ("meta", "id bigint PRIMARY KEY, format bigint NOT NULL");
    for (table, columns) in [meta].iter().chain(&TABLES) {
        if !wanted(table)? {
            continue;
        }
        let sql = format!("{create} _floodmark_{table} ({columns}) {kind}");
        crash::at(Point::CreateState, || db.execute(&sql).map_err(to("create the state tables")))?;
    }
    Ok(())
}

/// Raises the fencing token and returns it.
pub(crate) fn raise_token(db: &Db, pipeline: &str) -> Result<i64> {
    let fail = to("raise the fencing token");
    let sql = format!(
        "INSERT INTO _floodmark_state (pipeline, token) VALUES ({}, 1) ON DUPLICATE KEY UPDATE token = token + 1",
        text(pipeline)
    );
    crash::at(Point::RaiseToken, || db.execute(&sql).map_err(&fail))?;
    token(db, pipeline)?.ok_or_else(|| Error::internal("the state was not there after its token was raised"))
}

/// The newest token there is.
pub(crate) fn token(db: &Db, pipeline: &str) -> Result<Option<i64>> {
    let sql = format!("SELECT token FROM _floodmark_state WHERE pipeline = {}", text(pipeline));
    Ok(db.query_opt(&sql).map_err(to("read the fencing token"))?.and_then(|row| row.number(0)))
}

/// A moment as it is kept.
pub(crate) fn moment(at: DateTime<Utc>) -> String {
    format!("'{}'", at.format("%Y-%m-%d %H:%M:%S%.6f"))
}

/// The same read back.
pub(crate) fn parse_moment(text: &str) -> Option<DateTime<Utc>> {
    Some(NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?.and_utc())
}

/// A pipeline's state; `None` where there is none.
pub(crate) fn read(db: &Db, pipeline: &str) -> Result<Option<State>> {
    let fail = to("read the state");
    let sql = format!(
        "SELECT token, `table`, `schema`, watermark_column, watermark_type, watermark, pending, updated_at, source_schema,
                settings
         FROM _floodmark_state WHERE pipeline = {}",
        text(pipeline)
    );
    let Some(row) = db.query_opt(&sql).map_err(&fail)? else { return Ok(None) };
    let text = |at: usize| row.text(at).map(str::to_owned);
    let mut state = State {
        token: row.number(0).ok_or_else(|| kept::damaged("the token", row.text(0).unwrap_or("NULL")))?,
        // A pipeline that has not loaded yet has neither; an import writes them empty.
        table: text(1).filter(|table| !table.is_empty()),
        schema: kept::schema(text(2))?.filter(|schema| !schema.columns.is_empty()),
        source_schema: kept::schema(text(8))?,
        settings: kept::settings(text(9))?,
        watermark: kept::mark(text(3), text(4), text(5))?,
        pending: kept::mark(text(3), text(4), text(6))?,
        updated_at: row.text(7).and_then(parse_moment),
        ..State::default()
    };
    let sql = format!(
        "SELECT file, size, modified, hash, `rows`, complete, lineage FROM _floodmark_files WHERE pipeline = {}",
        literal::text(pipeline)
    );
    for row in &db.query(&sql).map_err(&fail)? {
        let (name, entry) = file_entry(row)?;
        Arc::make_mut(&mut state.files).insert(name, entry);
    }
    Ok(Some(state))
}

fn file_entry(row: &Owned) -> Result<(String, FileEntry)> {
    let name = row.text(0).unwrap_or_default();
    let broken = || kept::damaged("the entry of the file", name);
    let entry = FileEntry {
        size: row.number::<i64>(1).ok_or_else(broken)? as u64,
        modified: row.number(2).ok_or_else(broken)?,
        hash: kept::hash(row.text(3).unwrap_or_default())?,
        rows: row.number::<i64>(4).ok_or_else(broken)? as u64,
        complete: row.number(5) == Some(1),
        lineage: row.text(6).map(kept::lineage).transpose()?,
    };
    Ok((name.to_owned(), entry))
}

/// The rows of `_floodmark_lineage` that the file ledger names.
pub(crate) fn lineage_ids(db: &Db, pipeline: &str) -> Result<Vec<i64>> {
    let sql = format!(
        "SELECT lineage FROM _floodmark_files WHERE pipeline = {} AND lineage IS NOT NULL",
        self::text(pipeline)
    );
    let mut ids = Vec::new();
    for row in &db.query(&sql).map_err(to("read the file ledger"))? {
        let lineage = kept::lineage(row.text(0).unwrap_or_default())?;
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
    let json =
        |schema| serde_json::to_string(schema).map_err(|e| Error::internal("a schema has no JSON form").cause(e));
    let source_schema = commit.source_schema.as_ref().map(json).transpose()?;
    let settings = commit.settings.as_ref().map(serde_json::to_string).transpose();
    let settings = settings.map_err(|e| Error::internal("settings have no JSON form").cause(e))?;
    let at = commit.watermark.as_ref().or(commit.pending.as_ref());
    let value = |mark: &Option<Mark>| optional(mark.as_ref().map(|m| m.value.to_string()).as_deref());
    let sql = format!(
        "UPDATE _floodmark_state SET `table` = {}, `schema` = {}, watermark_column = {}, watermark_type = {},
           watermark = {}, pending = {}, updated_at = {}, source_schema = {}, settings = {}
         WHERE pipeline = {} AND token = {token}",
        text(table),
        text(&json(&commit.schema)?),
        optional(at.map(|m| m.column.as_str())),
        optional(at.map(|m| m.data_type.to_string()).as_deref()),
        value(&commit.watermark),
        value(&commit.pending),
        moment(commit.run.finished_at.unwrap_or(commit.run.started_at)),
        optional(source_schema.as_deref()),
        optional(settings.as_deref()),
        text(pipeline),
    );
    let changed = crash::at(Point::WritePosition, || db.execute(&sql).map_err(to("write the state")))?;
    if changed.rows != 1 {
        return Err(refusal::fenced(pipeline));
    }
    let files: Vec<(&str, &FileEntry)> = commit.files.iter().map(|(name, entry)| (name.as_str(), entry)).collect();
    write_files(db, pipeline, &files)?;
    boundary.finish(&commit.boundary)
}

/// Two pipelines that load one table undo each other's work, and neither notices.
pub(crate) fn refuse_shared(db: &Db, pipeline: &str, table: &str, name: &Name) -> Result<()> {
    let fail = to("read the state");
    let sql = format!(
        "SELECT pipeline, `table` FROM _floodmark_state WHERE pipeline <> {} AND `table` <> '' ORDER BY pipeline",
        text(pipeline)
    );
    let mut other = None;
    for row in &db.query(&sql).map_err(&fail)? {
        let (theirs, written) = (row.text(0).unwrap_or_default(), row.text(1).unwrap_or_default());
        // The same table may be written with its database and without.
        if written == table || Name::resolve(db, written)? == *name {
            other = Some(theirs.to_owned());
            break;
        }
    }
    let Some(other) = other else { return Ok(()) };
    let sql = format!("SELECT file FROM _floodmark_files WHERE pipeline = {} ORDER BY file LIMIT 2", text(&other));
    let files = db.query(&sql).map_err(&fail)?;
    let files: Vec<String> = files.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect();
    Err(refusal::shared(pipeline, table, &other, &files))
}

/// A strategy that does not know the rows an earlier one left would double or lose them.
pub(crate) fn refuse_other_load(db: &Db, pipeline: &str, load: Load) -> Result<()> {
    let sql = format!(
        "SELECT `load` FROM _floodmark_runs WHERE pipeline = {} AND (status = 'ok' OR `read` > 0) AND `load` <> 'repair'
         ORDER BY started_at DESC, run DESC LIMIT 1",
        text(pipeline)
    );
    let before = db.query_opt(&sql).map_err(to("read the run ledger"))?;
    refusal::other_load(before.as_ref().and_then(|row| row.text(0)), load)
}

/// Writes files' entries in the place of earlier ones.
pub(crate) fn write_files(db: &Db, pipeline: &str, files: &[(&str, &FileEntry)]) -> Result<()> {
    let values = files.iter().map(|(name, e)| {
        format!(
            "({}, {}, {}, {}, {}, '{:032x}', {}, {}, {})",
            text(pipeline),
            id(name),
            text(name),
            e.size as i64,
            e.modified,
            e.hash,
            e.rows,
            u8::from(e.complete),
            optional(e.lineage.as_ref().map(kept::lineage_text).as_deref())
        )
    });
    crash::at(Point::WriteFile, || {
        db.with_values("REPLACE INTO _floodmark_files VALUES ", values, "").map_err(to("write the file ledger"))
    })?;
    Ok(())
}

/// Takes a file's entry out.
pub(crate) fn remove_file(db: &Db, pipeline: &str, name: &str) -> Result<()> {
    let sql = format!("DELETE FROM _floodmark_files WHERE pipeline = {} AND id = {}", text(pipeline), id(name));
    crash::at(Point::WriteFile, || db.execute(&sql).map_err(to("write the file ledger")))?;
    Ok(())
}

/// What is remembered of keys follows a key column, or the version, to its wider type: `5` is found as `5.00` from then
/// on. Done once more it changes nothing.
pub(crate) fn widen_memories(db: &Db, pipeline: &Pipeline, column: &str, to_type: DataType) -> Result<()> {
    let fail = to("rewrite what is remembered of keys");
    let wider = |text: &str| {
        Value::parse(text, to_type).map(|v| v.to_string()).ok_or_else(|| kept::damaged("the remembered value", text))
    };
    let rewrite = |table: &str, field: &str, change: &dyn Fn(&str) -> Result<String>| -> Result<()> {
        let mine = format!("pipeline = {}", text(&pipeline.name));
        let all = format!("SELECT DISTINCT `{field}` FROM _floodmark_{table} WHERE {mine} AND `{field}` IS NOT NULL");
        for row in &db.query(&all).map_err(&fail)? {
            let old = row.text(0).unwrap_or_default();
            let new = change(old)?;
            if new == old {
                continue;
            }
            let place = if field == "key" { format!(", id = {}", id(&new)) } else { String::new() };
            let sql = format!(
                "UPDATE _floodmark_{table} SET `{field}` = {}{place} WHERE {mine} AND `{field}` = {}",
                text(&new),
                text(old)
            );
            crash::at(Point::Rekey, || db.execute(&sql).map_err(&fail))?;
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
        let sql = format!("DELETE FROM _floodmark_{table} WHERE pipeline = {}", text(pipeline));
        crash::at(Point::Forget, || db.execute(&sql).map_err(to("reset the state")))?;
    }
    forget_position(db, pipeline)
}

/// Forgets where a pipeline stands. Tombstones stay: what was deleted must not come back because a position moved (P5). So do
/// receipts of intervals, whose rows are there wherever the position is.
pub(crate) fn forget_position(db: &Db, pipeline: &str) -> Result<()> {
    let fail = to("reset the state");
    for table in ["files", "boundary"] {
        let sql = format!("DELETE FROM _floodmark_{table} WHERE pipeline = {}", text(pipeline));
        crash::at(Point::ForgetPosition, || db.execute(&sql).map_err(&fail))?;
    }
    let sql = format!(
        "UPDATE _floodmark_state SET `table` = NULL, `schema` = NULL, source_schema = NULL, watermark_column = NULL,
           watermark_type = NULL, watermark = NULL, pending = NULL, updated_at = NULL, settings = NULL
         WHERE pipeline = {}",
        text(pipeline)
    );
    crash::at(Point::ForgetPosition, || db.execute(&sql).map_err(&fail))?;
    Ok(())
}
