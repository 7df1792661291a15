//! The tables and views there are.

use super::{failure::to, snapshot};
use crate::{address::Address, link::Db};
use floodmark_core::{
    Result,
    catalog::{Catalog, Listed},
    url::ConnectionUrl,
};
use std::collections::HashMap;

const TABLES: &str = "
    SELECT table_schema, table_name, table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') FROM information_schema.tables
    WHERE table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
      AND table_name NOT LIKE '\\_floodmark\\_%' AND table_type <> 'TEMPORARY'";

/// A column that `SELECT *` does not show is not read, and a key with it is none.
const KEYS: &str = "
    SELECT s.table_schema, s.table_name, s.column_name FROM information_schema.statistics s
    WHERE s.index_name = 'PRIMARY' AND s.table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
      AND NOT EXISTS (SELECT 1 FROM information_schema.statistics o JOIN information_schema.columns c
        ON c.table_schema = o.table_schema AND c.table_name = o.table_name AND c.column_name = o.column_name
        WHERE o.table_schema = s.table_schema AND o.table_name = s.table_name AND o.index_name = 'PRIMARY'
          AND c.extra LIKE '%INVISIBLE%')
    ORDER BY s.table_schema, s.table_name, s.seq_in_index";

/// What can be read on a server by its name. The server shows a table to those alone who may do something with it.
///
/// # Errors
/// As for a source: where the server cannot be reached, or lets nobody in.
pub fn catalog(url: &ConnectionUrl) -> Result<Catalog> {
    let address = Address::parse(url, &|name| std::env::var(name).ok())?;
    let look = || {
        let db = snapshot::connect(&address)?;
        Ok(Catalog { tables: tables(&db)?, case_sensitive: db.server.case_sensitive })
    };
    look().map_err(|error: floodmark_core::Error| error.or_state("nothing was written"))
}

fn tables(db: &Db) -> Result<Vec<Listed>> {
    let list = to("list its tables");
    let mut keys: HashMap<(String, String), Vec<String>> = HashMap::new();
    for row in db.query(KEYS).map_err(&list)? {
        let [schema, table, column] = [0, 1, 2].map(|at| row.text(at).unwrap_or_default().to_owned());
        keys.entry((schema, table)).or_default().push(column);
    }
    let rows = db.query(TABLES).map_err(&list)?;
    let listed = rows.iter().map(|row| {
        let [schema, name] = [0, 1].map(|at| row.text(at).unwrap_or_default().to_owned());
        let key = keys.remove(&(schema.clone(), name.clone())).unwrap_or_default();
        Listed { bare: schema == db.server.database, own: row.number(2) == Some(1), schema: Some(schema), name, key }
    });
    let mut tables: Vec<Listed> = listed.collect();
    tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    Ok(tables)
}
