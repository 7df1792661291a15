//! The tables and views there are.

use super::{connect, open_as};
use crate::{failure::unreadable, link::Db, raw::Failure};
use floodmark_connect::Stop;
use floodmark_core::{
    Result,
    catalog::{Catalog, Listed},
    url::ConnectionUrl,
};

/// What can be read of a database by its name.
///
/// # Errors
/// As for a source: where there is no such file, or it is no database.
pub fn catalog(url: &ConnectionUrl) -> Result<Catalog> {
    let (path, settings) = open_as(url)?;
    let look = || Ok(Catalog { tables: tables(&connect(&path, &settings, &Stop::default())?)?, case_sensitive: false });
    look().map_err(|error: floodmark_core::Error| error.in_file(path.clone()).or_state("nothing was written"))
}

pub(super) fn tables(db: &Db) -> Result<Vec<Listed>> {
    let rows = db
        .query(
            "SELECT t.schema, t.name, t.own, coalesce(to_json(k.constraint_column_names)::VARCHAR, '[]') FROM (
               SELECT schema_name AS schema, table_name AS name, true AS own FROM duckdb_tables()
               WHERE database_name = current_database() AND NOT internal
               UNION ALL SELECT schema_name, view_name, false FROM duckdb_views()
               WHERE database_name = current_database() AND NOT internal
             ) t LEFT JOIN duckdb_constraints() k ON k.database_name = current_database() AND k.schema_name = t.schema
               AND k.table_name = t.name AND k.constraint_type = 'PRIMARY KEY'
             WHERE NOT starts_with(t.name, '_floodmark_') ORDER BY t.schema, t.name",
            &[],
        )
        .map_err(unreadable)?;
    let listed = |row: &crate::link::Row| -> Result<Listed, Failure> {
        let (schema, key): (String, String) = (row.try_get(0)?, row.try_get(3)?);
        let bare = schema == "main";
        let key = serde_json::from_str(&key).unwrap_or_default();
        Ok(Listed { schema: Some(schema), name: row.try_get(1)?, bare, own: row.try_get(2)?, key })
    };
    rows.iter().map(listed).collect::<Result<_, _>>().map_err(unreadable)
}
