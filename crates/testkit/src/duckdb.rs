//! What a DuckDB database holds, as text that can be compared.

use crate::{
    cell::Cell,
    dump::{Dump, Rows, quote},
};
use floodmark_core::Value;
use floodmark_duckdb::outside;
use std::path::Path;

/// A file, by its name in the project.
#[derive(Debug, Clone)]
pub(crate) struct Duckdb {
    pub(crate) file: String,
}

impl Duckdb {
    pub(crate) fn new(file: &str) -> Duckdb {
        Duckdb { file: file.to_owned() }
    }

    pub(crate) fn query(&self, root: &Path, sql: &str) -> Result<Rows, String> {
        let rows = outside::query(&root.join(&self.file), &readable(sql)).map_err(|e| format!("{sql}: {e}"))?;
        let cells = |row: Vec<Value>| row.into_iter().map(cell).collect();
        Ok(Rows { columns: rows.columns, rows: rows.rows.into_iter().map(cells).collect() })
    }

    pub(crate) fn execute(&self, root: &Path, sql: &str) -> Result<(), String> {
        execute_on_duckdb(&root.join(&self.file), sql)
    }

    /// Names of a table's columns in order; none where there is no such table.
    pub(crate) fn columns(&self, root: &Path, table: &str) -> Result<Vec<String>, String> {
        if !root.join(&self.file).exists() {
            return Ok(Vec::new());
        }
        let sql =
            format!("SELECT column_name FROM duckdb_columns() WHERE table_name = '{table}' ORDER BY column_index");
        Ok(self.query(root, &sql)?.rows.iter().flatten().map(Cell::to_string).collect())
    }

    pub(crate) fn dump(&self, root: &Path) -> Result<Dump, String> {
        let mut out = Dump::new();
        if !root.join(&self.file).exists() {
            return Ok(out);
        }
        for name in self.tables(root)?.into_iter().filter(|name| !name.starts_with("_floodmark_")) {
            let rows = self.query(root, &format!("SELECT * FROM {}", quote(&name)))?;
            let mut lines = vec![rows.columns.join(" | ")];
            lines.extend(rows.lines());
            out.insert(name, lines);
        }
        Ok(out)
    }

    /// Names of all tables.
    pub(crate) fn tables(&self, root: &Path) -> Result<Vec<String>, String> {
        let names = self.query(root, "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'")?;
        let text = |cell: Cell| if let Cell::Text(name) = cell { name } else { String::new() };
        Ok(names.rows.into_iter().flatten().map(text).collect())
    }
}

/// Runs statements on a DuckDB file, as somebody else would.
pub fn execute_on_duckdb(file: &Path, sql: &str) -> Result<(), String> {
    outside::execute(file, &readable(sql)).map_err(|e| format!("{sql}: {e}"))
}

/// Statements as DuckDB reads them: to it `at` is a word of its own, as in `AT TIME ZONE`.
fn readable(sql: &str) -> String {
    let mut out = String::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '\'' | '"' => rest[1..].find(first).map_or(rest.len(), |at| at + 2),
            c if c.is_alphanumeric() || c == '_' => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        let (word, after) = rest.split_at(end);
        let zone = after.trim_start().to_ascii_lowercase().starts_with("time zone");
        out.push_str(if word.eq_ignore_ascii_case("at") && !zone { "\"at\"" } else { word });
        rest = after;
    }
    out
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(value),
        Value::Int(value) => Cell::Int(value),
        Value::Double(value) => Cell::Real(value),
        Value::Bytes(value) => Cell::Bytes(value),
        other => Cell::Text(other.to_string()),
    }
}
