//! Rows of the model: a name and a value, nothing typed, nothing clever.

use crate::cell::Cell;
use std::collections::BTreeMap;

/// A value. The order is the version rule's: NULL before everything, numbers by size, and dates and timestamps, which are
/// text in one fixed form, by that text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Null,
    Int(i64),
    Text(String),
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Value::Text(text.to_owned())
    }

    /// As a case and a database have it.
    pub(super) fn cell(&self) -> Cell {
        match self {
            Value::Null => Cell::Null,
            Value::Int(v) => Cell::Int(*v),
            Value::Text(v) => Cell::Text(v.clone()),
        }
    }

    /// As a result's `watermark` has it.
    pub(super) fn plain(&self) -> String {
        match self {
            Value::Null => "none".to_owned(),
            Value::Int(v) => v.to_string(),
            Value::Text(v) => v.clone(),
        }
    }

    fn csv(&self) -> String {
        match self {
            Value::Null => String::new(),
            Value::Int(v) => v.to_string(),
            Value::Text(v) if v.is_empty() || v.contains([',', '"', '\n', '\r']) => {
                format!("\"{}\"", v.replace('"', "\"\""))
            }
            Value::Text(v) => v.clone(),
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Int(v) => (*v).into(),
            Value::Text(v) => v.as_str().into(),
        }
    }
}

/// A row by column. A column that is not there was absent from the file, which is not the same as NULL.
pub(super) type Row = BTreeMap<&'static str, Value>;

/// What a row holds in a column; NULL where it has none.
pub(super) fn get(row: &Row, column: &str) -> Value {
    row.get(column).cloned().unwrap_or(Value::Null)
}

/// Whether two rows have equal content: a column one of them lacks is NULL in the table.
pub(super) fn same(a: &Row, b: &Row) -> bool {
    a.keys().chain(b.keys()).all(|column| get(a, column) == get(b, column))
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Jsonl,
}

/// A file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) format: Format,
    /// In the order in which they stand in the file.
    pub(super) columns: Vec<&'static str>,
    /// Each has all of `columns`.
    pub(super) rows: Vec<Row>,
}

impl Content {
    /// The file's text.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        if self.format == Format::Csv {
            out.push_str(&self.columns.join(","));
            out.push('\n');
        }
        for row in &self.rows {
            match self.format {
                Format::Csv => {
                    let cells: Vec<String> = self.columns.iter().map(|c| get(row, c).csv()).collect();
                    out.push_str(&cells.join(","));
                }
                Format::Jsonl => {
                    let cells = self.columns.iter().map(|c| ((*c).to_owned(), get(row, c).json()));
                    let object: serde_json::Map<String, serde_json::Value> = cells.collect();
                    out.push_str(&serde_json::Value::Object(object).to_string());
                }
            }
            out.push('\n');
        }
        out
    }

    /// Whether this is `earlier` with rows added at its end.
    pub(super) fn continues(&self, earlier: &Content) -> bool {
        self.format == earlier.format && self.columns == earlier.columns && self.rows.starts_with(&earlier.rows)
    }
}
