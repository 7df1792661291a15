//! SQLite, looked at by its own library.

use super::look::{Destination, Look, Sums};
use crate::{
    cell::Cell,
    dump::{execute, join, query, quote},
    outcome::COUNTS,
};
use std::path::Path;

const FILE: &str = "out.db";

/// A database file in the project.
#[derive(Debug, Clone, Copy)]
pub struct Sqlite;

impl Destination for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn url(&self) -> String {
        format!("sqlite:///{FILE}")
    }

    fn execute(&self, project: &Path, sql: &str) -> Result<(), String> {
        execute(&project.join(FILE), sql)
    }

    fn look(&self, project: &Path) -> Result<Look, String> {
        let database = project.join(FILE);
        let mut look = Look::default();
        if !database.exists() {
            return Ok(look);
        }
        let checked = query(&database, "PRAGMA integrity_check")?.lines();
        if checked != ["ok"] {
            return Err(format!("the database is damaged: {checked:?}"));
        }
        let schema = query(&database, "SELECT type, name, sql FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*'")?;
        look.content.insert("schema".into(), schema.lines());
        for row in query(&database, "SELECT name FROM sqlite_schema WHERE type = 'table'")?.rows {
            let [Cell::Text(name)] = row.as_slice() else { continue };
            let mut rows = query(&database, &format!("SELECT * FROM {}", quote(name)))?;
            if name == "_floodmark_runs" {
                for row in &rows.rows {
                    let receipt: Sums = rows
                        .columns
                        .iter()
                        .zip(row)
                        .filter(|(column, _)| COUNTS.contains(&column.as_str()) && *column != "transformed")
                        .map(|(column, cell)| (column.clone(), if let Cell::Int(n) = cell { *n } else { 0 }))
                        .collect();
                    look.receipts.insert(row[0].to_string(), receipt);
                }
                continue;
            }
            for row in &mut rows.rows {
                for (column, cell) in rows.columns.iter().zip(row) {
                    let own = name.starts_with("_floodmark_")
                        && ["token", "updated_at", "run", "id"].contains(&column.as_str());
                    if own || is_now(cell) {
                        *cell = Cell::Text("(now)".into());
                    }
                }
            }
            let mut lines = rows.rows.iter().map(|row| join(row)).collect::<Vec<_>>();
            lines.sort();
            look.content.insert(name.clone(), lines);
        }
        Ok(look)
    }
}

/// Whether a cell is the moment of a run: a history without versions holds it. Scenarios live in 2024.
fn is_now(cell: &Cell) -> bool {
    let Cell::Text(text) = cell else { return false };
    let year = text.get(..4).and_then(|y| y.parse::<u32>().ok());
    text.len() >= 19 && text.as_bytes().get(4) == Some(&b'-') && year.is_some_and(|y| y > 2024)
}
