//! What a SQLite database holds, as text that can be compared.

use crate::cell::Cell;
use rusqlite::{Connection, OpenFlags};
use std::{collections::BTreeMap, path::Path};

/// Column names and rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows {
    /// Names, in table order.
    pub(crate) columns: Vec<String>,
    /// Rows, in the query's order.
    pub(crate) rows: Vec<Vec<Cell>>,
}

impl Rows {
    /// One line a row, sorted: equal for equal content, whatever the order of arrival.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.rows.iter().map(|row| join(row)).collect();
        lines.sort();
        lines
    }
}

/// Cells of a row with bars between them.
pub(crate) fn join(row: &[Cell]) -> String {
    row.iter().map(Cell::to_string).collect::<Vec<_>>().join(" | ")
}

/// Every table of the user's (not the `_floodmark_*` ones), by name: header and sorted rows.
pub type Dump = BTreeMap<String, Vec<String>>;

/// Dumps a database; one that does not exist is empty.
pub fn dump(database: &Path) -> Result<Dump, String> {
    if !database.exists() {
        return Ok(Dump::new());
    }
    let names = query(
        database,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '_floodmark_*'",
    )?;
    let mut out = Dump::new();
    for row in names.rows {
        let [Cell::Text(name)] = row.as_slice() else { continue };
        let rows = query(database, &format!("SELECT * FROM {}", quote(name)))?;
        let mut lines = vec![rows.columns.join(" | ")];
        lines.extend(rows.lines());
        out.insert(name.clone(), lines);
    }
    Ok(out)
}

/// Rows of a query.
pub(crate) fn query(database: &Path, sql: &str) -> Result<Rows, String> {
    let run = || -> rusqlite::Result<Rows> {
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let mut statement = connection.prepare(sql)?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let width = columns.len();
        let rows = statement
            .query_map([], |row| (0..width).map(|i| row.get_ref(i).map(Cell::from)).collect())?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Rows { columns, rows })
    };
    run().map_err(|e| format!("{sql}: {e}"))
}

/// Statements, by hand.
pub(crate) fn execute(database: &Path, sql: &str) -> Result<(), String> {
    let run = || Connection::open(database)?.execute_batch(sql);
    run().map_err(|e: rusqlite::Error| format!("{sql}: {e}"))
}

/// A name in SQL.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
