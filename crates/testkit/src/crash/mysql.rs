//! MariaDB, looked at by its own command line client.

use super::look::{Database, Destination, Look, settled};
use crate::{cell::Cell, dump::Rows, mysql};
use std::path::Path;

/// Databases on the tests' server, one for each project.
#[derive(Debug, Clone, Copy)]
pub struct Mysql;

impl Destination for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn make(&self) -> Result<Box<dyn Database>, String> {
        Ok(Box::new(mysql::Mysql::empty()?))
    }
}

/// Columns and indexes of every table.
const SCHEMA: &str = "
    SELECT 'column' AS kind, table_name AS of_table, column_name AS name, column_type AS type, is_nullable AS more
    FROM information_schema.columns WHERE table_schema = DATABASE()
    UNION ALL SELECT 'index', table_name, CONCAT(index_name, ' ', seq_in_index), column_name, non_unique
    FROM information_schema.statistics WHERE table_schema = DATABASE()";

/// Which numbers rows got is not equal: those of what was rolled back are gone. They stand at the end of a file's lineage.
fn without_numbers(table: &str, rows: &mut Rows) {
    let lineage = rows.columns.iter().position(|c| table == "_floodmark_files" && c == "lineage");
    for row in &mut rows.rows {
        let Some(Cell::Text(text)) = lineage.map(|at| &mut row[at]) else { continue };
        text.truncate(text.rfind(':').unwrap_or(text.len()));
    }
}

impl Database for mysql::Mysql {
    fn url(&self) -> String {
        self.url().to_owned()
    }

    fn copy(&self) -> Result<Box<dyn Database>, String> {
        Ok(Box::new(self.again()?))
    }

    fn execute(&self, _: &Path, sql: &str) -> Result<(), String> {
        self.execute(sql)
    }

    fn schema_commits(&self) -> bool {
        true
    }

    fn look(&self, _: &Path) -> Result<Look, String> {
        let mut look = Look::default();
        let mut schema = self.query(SCHEMA)?.lines();
        schema.sort();
        look.content.insert("schema".into(), schema);
        for (name, mut rows) in self.rows_of_tables("")? {
            without_numbers(&name, &mut rows);
            settled(&mut look, &name, &mut rows);
        }
        Ok(look)
    }
}
