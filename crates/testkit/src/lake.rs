//! What a lake of Delta tables holds, read by the protocol's own words and by nothing of the program: the log's lines say which
//! files are the table. Asked by SQL, in a copy that is made for each question.

use crate::{
    cell::Cell,
    dump::{self, Dump, Rows, quote},
    outcome::COUNTS,
};
use arrow::array::RecordBatch;
use floodmark_core::{DataType, Value};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rusqlite::{Connection, types::Value as Stored};
use serde_json::Value as Json;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
};

/// A folder of the project that is a lake.
#[derive(Debug, Clone)]
pub(crate) struct Lake {
    pub(crate) folder: String,
}

impl Lake {
    pub(crate) fn new(folder: &str) -> Lake {
        Lake { folder: folder.to_owned() }
    }

    pub(crate) fn query(&self, root: &Path, sql: &str) -> Result<Rows, String> {
        self.copied(root)?.query(sql)
    }

    /// All of it as it is now.
    pub(crate) fn copied(&self, root: &Path) -> Result<Copy, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        self.copy(root, &folder.path().join(COPY))?;
        Ok(Copy { folder })
    }

    /// Tables by name, with their columns and types.
    pub(crate) fn shapes(&self, root: &Path) -> Result<Dump, String> {
        let shape = |table: &Table| table.columns.iter().map(|(name, of)| format!("{name} {of}")).collect();
        Ok(self.tables(root)?.iter().map(|(name, table)| (name.clone(), shape(table))).collect())
    }

    pub(crate) fn columns(&self, root: &Path, table: &str) -> Result<Vec<String>, String> {
        let tables = self.tables(root)?;
        Ok(tables
            .get(table)
            .map(|table| table.columns.iter().map(|(name, _)| name.clone()).collect())
            .unwrap_or_default())
    }

    pub(crate) fn dump(&self, root: &Path) -> Result<Dump, String> {
        let mut out = Dump::new();
        for (name, table) in self.tables(root)? {
            let columns: Vec<String> = table.columns.iter().map(|(name, _)| name.clone()).collect();
            let mut rows = Vec::new();
            table.each(|row| {
                rows.push(row.iter().map(|value| Cell::from(rusqlite::types::ValueRef::from(value))).collect());
                Ok(())
            })?;
            let rows = Rows { columns, rows };
            let mut lines = vec![rows.columns.join(" | ")];
            lines.extend(rows.lines());
            out.insert(name, lines);
        }
        Ok(out)
    }

    /// Tables and the states of their pipelines, in a database of SQLite.
    fn copy(&self, root: &Path, file: &Path) -> Result<(), String> {
        let fail = |e: rusqlite::Error| e.to_string();
        let tables = self.tables(root)?;
        let db = Connection::open(file).map_err(fail)?;
        for (name, table) in &tables {
            let columns: Vec<String> = table.columns.iter().map(|(name, _)| quote(name)).collect();
            db.execute_batch(&format!("CREATE TABLE {} ({})", quote(name), columns.join(", "))).map_err(fail)?;
            let marks = vec!["?"; columns.len()].join(", ");
            let mut insert = db.prepare(&format!("INSERT INTO {} VALUES ({marks})", quote(name))).map_err(fail)?;
            table.each(|row| insert.execute(rusqlite::params_from_iter(row)).map(|_| ()).map_err(fail))?;
        }
        for state in tables.values().flat_map(|table| &table.states) {
            let kept = state.display().to_string();
            db.execute("ATTACH ?1 AS kept", [kept]).map_err(fail)?;
            let names: Vec<String> = db
                .prepare("SELECT name FROM kept.sqlite_schema WHERE type = 'table' AND name GLOB '_floodmark_*'")
                .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
                .map_err(fail)?;
            for name in names {
                let name = quote(&name);
                let make = format!("CREATE TABLE IF NOT EXISTS {name} AS SELECT * FROM kept.{name} WHERE 0");
                db.execute_batch(&format!("{make}; INSERT INTO {name} SELECT * FROM kept.{name}")).map_err(fail)?;
            }
            db.execute_batch("DETACH kept").map_err(fail)?;
        }
        self.notes(root, &db)
    }

    /// Runs that wrote nothing are beside the state until the next one has them.
    fn notes(&self, root: &Path, db: &Connection) -> Result<(), String> {
        let fail = |e: rusqlite::Error| e.to_string();
        let made = format!(
            "CREATE TABLE IF NOT EXISTS _floodmark_rejects (pipeline, run, file, line, \"column\", reason, raw);
             CREATE TABLE IF NOT EXISTS _floodmark_runs (run, pipeline, status, load, started_at, finished_at, {}, error)",
            COUNTS.join(", ")
        );
        db.execute_batch(&made).map_err(fail)?;
        let Ok(pipelines) = fs::read_dir(root.join(&self.folder).join("_floodmark/pipelines")) else { return Ok(()) };
        for pipeline in pipelines {
            let runs = pipeline.map_err(|e| e.to_string())?.path().join("runs");
            let Ok(runs) = fs::read_dir(runs) else { continue };
            for run in runs {
                let text = fs::read_to_string(run.map_err(|e| e.to_string())?.path()).map_err(|e| e.to_string())?;
                let run: Json = serde_json::from_str(&text).map_err(|e| e.to_string())?;
                let words = ["run", "pipeline", "status", "load", "started_at", "finished_at", "error"];
                let mut values: Vec<Stored> = words.iter().map(|name| stored(&run[*name])).collect();
                values.extend(COUNTS.iter().map(|name| stored(&run["counts"][*name])));
                let names = [&words[..], COUNTS].concat().join(", ");
                let marks = vec!["?"; values.len()].join(", ");
                db.execute("DELETE FROM _floodmark_runs WHERE run = ?1", [&values[0]]).map_err(fail)?;
                db.execute(
                    &format!("INSERT INTO _floodmark_runs ({names}) VALUES ({marks})"),
                    rusqlite::params_from_iter(&values),
                )
                .map_err(fail)?;
            }
        }
        Ok(())
    }

    fn tables(&self, root: &Path) -> Result<BTreeMap<String, Table>, String> {
        let lake = root.join(&self.folder);
        let mut out = BTreeMap::new();
        let Ok(folders) = fs::read_dir(&lake) else { return Ok(out) };
        for folder in folders {
            let folder = folder.map_err(|e| e.to_string())?.path();
            if folder.join("_delta_log").is_dir() {
                let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                out.insert(name, Table::read(&lake, folder)?);
            }
        }
        Ok(out)
    }
}

const COPY: &str = "copy.db";

/// A lake as it was, in a database of SQLite.
pub(crate) struct Copy {
    folder: tempfile::TempDir,
}

impl Copy {
    pub(crate) fn query(&self, sql: &str) -> Result<Rows, String> {
        dump::query(&self.folder.path().join(COPY), sql)
    }

    pub(crate) fn tables(&self) -> Result<Vec<String>, String> {
        let names = self.query("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
        Ok(names.rows.iter().flatten().map(Cell::to_string).collect())
    }
}

/// A table as its log has it.
struct Table {
    folder: PathBuf,
    columns: Vec<(String, DataType)>,
    files: Vec<String>,
    /// The files of the states that the log names.
    states: Vec<PathBuf>,
}

impl Table {
    fn read(lake: &Path, folder: PathBuf) -> Result<Table, String> {
        let mut entries: Vec<PathBuf> = fs::read_dir(folder.join("_delta_log"))
            .map_err(|e| e.to_string())?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .collect();
        entries.sort();
        let mut table = Table { folder, columns: Vec::new(), files: Vec::new(), states: Vec::new() };
        let mut numbers = BTreeMap::new();
        for (version, entry) in entries.iter().enumerate() {
            if entry.file_stem().is_none_or(|stem| stem.to_string_lossy() != format!("{version:020}")) {
                return Err(format!("the log lacks an entry before {}", entry.display()));
            }
            let text = fs::read_to_string(entry).map_err(|e| e.to_string())?;
            for line in text.lines() {
                let action: Json = serde_json::from_str(line).map_err(|e| format!("{}: {e}", entry.display()))?;
                table.apply(&action, &mut numbers)?;
            }
        }
        for (application, number) in numbers {
            if let Some(pipeline) = application.strip_prefix("floodmark:") {
                let place =
                    lake.join("_floodmark/pipelines").join(escaped(pipeline)).join(format!("state/{number}.db"));
                table.states.push(place);
            }
        }
        Ok(table)
    }

    fn apply(&mut self, action: &Json, numbers: &mut BTreeMap<String, i64>) -> Result<(), String> {
        let path = |action: &Json| action["path"].as_str().unwrap_or_default().to_owned();
        if let Some(add) = action.get("add") {
            self.files.push(path(add));
        } else if let Some(remove) = action.get("remove") {
            let gone = path(remove);
            let at =
                self.files.iter().position(|file| *file == gone).ok_or(format!("{gone} goes and was not there"))?;
            self.files.remove(at);
        } else if let Some(schema) = action.get("metaData").and_then(|meta| meta["schemaString"].as_str()) {
            let schema: Json = serde_json::from_str(schema).map_err(|e| e.to_string())?;
            let fields = schema["fields"].as_array().ok_or("a schema without fields")?;
            self.columns = fields.iter().map(column).collect::<Result<_, String>>()?;
        } else if let Some(txn) = action.get("txn") {
            let number = txn["version"].as_i64().ok_or("a transaction without a version")?;
            let before = numbers.insert(txn["appId"].as_str().unwrap_or_default().to_owned(), number);
            if before.is_some_and(|before| before >= number) {
                return Err(format!("the state {number} came after {before:?}"));
            }
        }
        Ok(())
    }

    fn each(&self, mut take: impl FnMut(&[Stored]) -> Result<(), String>) -> Result<(), String> {
        for name in &self.files {
            let file = File::open(self.folder.join(name)).map_err(|e| format!("{name}: {e}"))?;
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(file).and_then(|b| b.build()).map_err(|e| e.to_string())?;
            for batch in reader {
                let batch = batch.map_err(|e| e.to_string())?;
                for row in 0..batch.num_rows() {
                    let cells = self.columns.iter().map(|(name, data_type)| cell(&batch, name, *data_type, row));
                    take(&cells.collect::<Result<Vec<_>, String>>()?)?;
                }
            }
        }
        Ok(())
    }
}

fn column(field: &Json) -> Result<(String, DataType), String> {
    let name = field["name"].as_str().ok_or("a field without a name")?.to_owned();
    let written = field["type"].as_str().ok_or(format!("column {name:?} has a type of parts"))?;
    let data_type = match (field["metadata"]["floodmark.type"].as_str(), written) {
        (Some("json"), "string") => DataType::Json,
        (Some("time"), "string") => DataType::Time,
        (_, "string") => DataType::Text,
        (_, "boolean") => DataType::Bool,
        (_, "long") => DataType::BigInt,
        (_, "double") => DataType::Double,
        (_, "binary") => DataType::Bytes,
        (_, "date") => DataType::Date,
        (_, "timestamp") => DataType::TimestampTz { nanos: false },
        (_, "timestamp_ntz") => DataType::Timestamp { nanos: false },
        (_, other) => DataType::parse(other).ok_or(format!("column {name:?} is of an unknown type {other:?}"))?,
    };
    Ok((name, data_type))
}

/// A cell as SQLite would hold it.
fn cell(batch: &RecordBatch, name: &str, data_type: DataType, row: usize) -> Result<Stored, String> {
    let Some(array) = batch.column_by_name(name) else { return Ok(Stored::Null) };
    // A time is kept as its text.
    let kept = if data_type == DataType::Time { DataType::Text } else { data_type };
    let wanted = kept.to_arrow();
    let array = match array.data_type() == &wanted {
        true => array.clone(),
        false => return Err(format!("column {name:?} is {} in a file, and {data_type} in the log", array.data_type())),
    };
    Ok(match Value::from_array(&array, row, kept).map_err(|e| e.to_string())? {
        Value::Null => Stored::Null,
        Value::Bool(value) => Stored::Integer(i64::from(value)),
        Value::Int(value) => Stored::Integer(value),
        Value::Double(value) if value.is_nan() => Stored::Text("NaN".to_owned()),
        Value::Double(value) => Stored::Real(value),
        Value::Bytes(value) => Stored::Blob(value),
        other => Stored::Text(other.to_string()),
    })
}

fn stored(value: &Json) -> Stored {
    match value {
        Json::String(text) => Stored::Text(text.clone()),
        number => number.as_i64().map_or(Stored::Null, Stored::Integer),
    }
}

/// The name of a pipeline's folder.
fn escaped(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
