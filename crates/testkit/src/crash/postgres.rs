//! PostgreSQL, looked at by its own driver.

use super::look::{Database, Destination, Look, settled};
use crate::{
    cell::Cell,
    dump::{Rows, quote},
    store,
    store::query,
};
use std::path::Path;

/// Databases on the tests' server, one for each project.
#[derive(Debug, Clone, Copy)]
pub struct Postgres;

impl Destination for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn make(&self) -> Result<Box<dyn Database>, String> {
        Ok(Box::new(store::Postgres::empty()?))
    }
}

/// Columns and indexes of every table.
const SCHEMA: &str = "
    SELECT 'column', c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull::text
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT 'index', tablename::text, indexname::text, indexdef, '' FROM pg_indexes WHERE schemaname = 'public'";

/// Which numbers a sequence gave is not equal: those of what was rolled back are gone. They stand at the end of a file's
/// lineage.
fn without_numbers(table: &str, rows: &mut Rows) {
    let lineage = rows.columns.iter().position(|c| table == "_floodmark_files" && c == "lineage");
    for row in &mut rows.rows {
        let Some(Cell::Text(text)) = lineage.map(|at| &mut row[at]) else { continue };
        text.truncate(text.rfind(':').unwrap_or(text.len()));
    }
}

impl Database for store::Postgres {
    fn url(&self) -> String {
        self.url().to_owned()
    }

    fn copy(&self) -> Result<Box<dyn Database>, String> {
        Ok(Box::new(self.again()?))
    }

    fn execute(&self, _: &Path, sql: &str) -> Result<(), String> {
        self.connect()?.batch_execute(sql).map_err(|e| format!("{sql}: {e}"))
    }

    fn look(&self, _: &Path) -> Result<Look, String> {
        let mut client = self.connect()?;
        let mut look = Look::default();
        let mut schema = query(&mut client, SCHEMA)?.lines();
        schema.sort();
        look.content.insert("schema".into(), schema);
        let names = query(
            &mut client,
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')",
        )?;
        for row in names.rows {
            let [Cell::Text(name)] = row.as_slice() else { continue };
            let mut rows = query(&mut client, &format!("SELECT * FROM public.{}", quote(name)))?;
            without_numbers(name, &mut rows);
            settled(&mut look, name, &mut rows);
        }
        Ok(look)
    }
}
