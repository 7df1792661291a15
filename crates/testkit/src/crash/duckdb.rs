//! DuckDB, looked at by its own library.

use super::look::{Database, Destination, Look, settled};
use crate::{
    cell::Cell,
    duckdb::Duckdb as File,
    dump::{Rows, quote},
};
use std::path::Path;

const FILE: &str = "out.duckdb";

/// A database file in the project.
#[derive(Debug, Clone, Copy)]
pub struct Duckdb;

impl Destination for Duckdb {
    fn name(&self) -> &'static str {
        "duckdb"
    }

    fn make(&self) -> Result<Box<dyn Database>, String> {
        Ok(Box::new(Duckdb))
    }
}

/// Which numbers a sequence gave is not equal: those of what was rolled back are gone. They stand at the end of a file's
/// lineage.
fn without_numbers(table: &str, rows: &mut Rows) {
    let lineage = rows.columns.iter().position(|c| table == "_floodmark_files" && c == "lineage");
    for row in &mut rows.rows {
        let Some(Cell::Text(text)) = lineage.map(|at| &mut row[at]) else { continue };
        text.truncate(text.rfind(':').unwrap_or(text.len()));
    }
}

impl Database for Duckdb {
    fn url(&self) -> String {
        format!("duckdb:///{FILE}")
    }

    /// It is a file of the project.
    fn copy(&self) -> Result<Box<dyn Database>, String> {
        Ok(Box::new(Duckdb))
    }

    fn execute(&self, project: &Path, sql: &str) -> Result<(), String> {
        File::new(FILE).execute(project, sql)
    }

    /// Every block of a table that is read is checked by DuckDB against its checksum.
    fn look(&self, project: &Path) -> Result<Look, String> {
        let file = File::new(FILE);
        let mut look = Look::default();
        if !project.join(FILE).exists() {
            return Ok(look);
        }
        let schema = "SELECT sql FROM duckdb_tables() UNION ALL SELECT sql FROM duckdb_indexes() ORDER BY 1";
        look.content.insert("schema".into(), file.query(project, schema)?.lines());
        for name in file.tables(project)? {
            let mut rows = file.query(project, &format!("SELECT * FROM {}", quote(&name)))?;
            without_numbers(&name, &mut rows);
            settled(&mut look, &name, &mut rows);
        }
        Ok(look)
    }
}
