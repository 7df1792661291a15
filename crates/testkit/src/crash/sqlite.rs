//! SQLite, looked at by its own library.

use super::look::{Database, Destination, Look, settled};
use crate::{
    cell::Cell,
    dump::{execute, query, quote},
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

    fn make(&self) -> Result<Box<dyn Database>, String> {
        Ok(Box::new(Sqlite))
    }
}

impl Database for Sqlite {
    fn url(&self) -> String {
        format!("sqlite:///{FILE}")
    }

    /// It is a file of the project.
    fn copy(&self) -> Result<Box<dyn Database>, String> {
        Ok(Box::new(Sqlite))
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
            settled(&mut look, name, &mut rows);
        }
        Ok(look)
    }
}
