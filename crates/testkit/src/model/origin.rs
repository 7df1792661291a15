//! The table that is the source, as each database has it.

use super::{
    row::{Content, Row, Value, get},
    settings::{AXIS, Axis, Settings, TABLE},
};
use crate::{dump, store::Store};
use std::path::Path;

/// Whose SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
    Mysql,
}

impl Dialect {
    pub(super) fn of(store: &Store) -> Self {
        match store {
            Store::Sqlite(_) => Dialect::Sqlite,
            // What goes into a lake is read from a file.
            #[cfg(feature = "lake")]
            Store::Delta(_) => Dialect::Sqlite,
            // As far as it is spoken here, DuckDB's is PostgreSQL's.
            #[cfg(feature = "duckdb")]
            Store::Duckdb(_) => Dialect::Postgres,
            Store::Postgres(_) => Dialect::Postgres,
            Store::Mysql(_) => Dialect::Mysql,
        }
    }
}

/// What kind of source a table or file is, by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A table of a SQLite file.
    Sqlite,
    /// A table of a DuckDB file.
    #[cfg(feature = "duckdb")]
    Duckdb,
    /// A table on a PostgreSQL server.
    Postgres,
    /// A table on a MariaDB.
    Mysql,
    /// Some CSV files.
    Csv,
    /// Some Parquet files.
    Parquet,
}

impl Origin {
    const ALL: &[Origin] = &[
        Origin::Sqlite,
        Origin::Postgres,
        Origin::Mysql,
        Origin::Csv,
        Origin::Parquet,
        #[cfg(feature = "duckdb")]
        Origin::Duckdb,
    ];

    /// The one of a seed: each in its turn.
    pub fn of(seed: u64) -> Origin {
        Origin::ALL[(seed % Origin::ALL.len() as u64) as usize]
    }

    /// Whether it is files.
    pub(super) fn files(self) -> bool {
        matches!(self, Origin::Csv | Origin::Parquet)
    }
}

/// Puts these rows in the place of those that the source holds.
pub(super) fn write(store: &Store, root: &Path, settings: &Settings, content: &Content) -> Result<(), String> {
    let sql = statements(Dialect::of(store), settings, content).join(";\n");
    match store {
        Store::Sqlite(_) => dump::execute(&root.join("source.db"), &sql),
        #[cfg(feature = "lake")]
        Store::Delta(_) => store.execute_on_source(root, &sql),
        #[cfg(feature = "duckdb")]
        Store::Duckdb(_) => store.execute_on_source(root, &sql),
        Store::Postgres(_) | Store::Mysql(_) => store.execute(root, &sql),
    }
}

/// The statements that do so.
pub(super) fn statements(dialect: Dialect, settings: &Settings, content: &Content) -> Vec<String> {
    let columns: Vec<String> =
        content.columns.iter().map(|c| format!("{c} {}", declared(dialect, settings, c))).collect();
    let mut out =
        vec![format!("DROP TABLE IF EXISTS {TABLE}"), format!("CREATE TABLE {TABLE} ({})", columns.join(", "))];
    if dialect == Dialect::Mysql && settings.axis == Axis::Zoned {
        out.insert(0, "SET time_zone = '+00:00'".to_owned());
    }
    let tuple = |row: &Row| {
        let cells: Vec<String> = content.columns.iter().map(|c| literal(dialect, c, &get(row, c))).collect();
        format!("({})", cells.join(", "))
    };
    let tuples: Vec<String> = content.rows.iter().map(tuple).collect();
    if !tuples.is_empty() {
        out.push(format!("INSERT INTO {TABLE} VALUES {}", tuples.join(", ")));
    }
    out
}

fn declared(dialect: Dialect, settings: &Settings, column: &str) -> &'static str {
    match (settings.type_of(column), dialect) {
        ("text", _) => "varchar(40)",
        ("timestamp", Dialect::Mysql) => "datetime(6)",
        // Without the word it would hold no NULL.
        ("timestamptz", Dialect::Mysql) => "timestamp(6) NULL",
        (other, _) => other,
    }
}

fn literal(dialect: Dialect, column: &str, value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => {
            // The session's zone is UTC, and its literals have none.
            let bare = (dialect == Dialect::Mysql && column == AXIS).then(|| text.strip_suffix("+00:00")).flatten();
            format!("'{}'", bare.unwrap_or(text).replace('\'', "''"))
        }
    }
}
