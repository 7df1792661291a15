//! The tables and views there are.

use super::{failure::to, snapshot};
use crate::{address::Address, link::Db};
use floodmark_core::{
    Result,
    catalog::{Catalog, Listed},
    url::ConnectionUrl,
};

/// Tables, plain and partitioned, are tables in their own right; views, foreign tables and partitions are not. The columns
/// that a primary key merely includes are no part of the key.
const TABLES: &str = "
    SELECT n.nspname::text, c.relname::text, pg_table_is_visible(c.oid), c.relkind IN ('r', 'p') AND NOT c.relispartition,
           ARRAY(SELECT a.attname::text
                 FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
                 WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts
                 ORDER BY k.place)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
      AND c.relname NOT LIKE '\\_floodmark\\_%'
    ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

/// Whether a range of a column is found by an index: one of the table's leads with it, and holds every row.
pub(crate) fn leads(db: &Db, table: &str, column: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM pg_index i
                 JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                 WHERE i.indrelid = $1::text::regclass AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree'
                   AND a.attname::text = $2)";
    db.query_one(sql, &[&table, &column]).and_then(|row| row.try_get(0)).map_err(to("find an index of the column"))
}

/// What can be read of a database by its name. A table that the user may not read is among them: to leave it out without a
/// word would look as if it had been loaded.
///
/// # Errors
/// As for a source: where the server cannot be reached, or lets nobody in.
pub fn catalog(url: &ConnectionUrl) -> Result<Catalog> {
    let address = Address::parse(url, &|name| std::env::var(name).ok())?;
    let look = || {
        let db = snapshot::connect(&address)?;
        let read = to("list its tables");
        let rows = db.query(TABLES, &[]).map_err(&read)?;
        let listed = |row: &tokio_postgres::Row| -> Result<Listed, tokio_postgres::Error> {
            Ok(Listed {
                schema: Some(row.try_get(0)?),
                name: row.try_get(1)?,
                bare: row.try_get(2)?,
                own: row.try_get(3)?,
                key: row.try_get(4)?,
            })
        };
        let tables = rows.iter().map(listed).collect::<Result<_, _>>().map_err(&read)?;
        Ok(Catalog { tables, case_sensitive: true })
    };
    look().map_err(|error: floodmark_core::Error| error.or_state("nothing was written"))
}
