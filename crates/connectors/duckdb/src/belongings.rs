//! What goes when a table is dropped, and is made again with the new one: its indexes. Those of constraints go.

use crate::{
    ddl::{Name, quote},
    failure::to,
    link::{Db, Row},
    raw::Failure,
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Code, Error, Result};

/// An index, and the statement that makes it.
pub(crate) struct Belonging {
    name: String,
    sql: String,
}

/// Those of a table.
pub(crate) fn of(db: &Db, name: &Name) -> Result<Vec<Belonging>> {
    let index =
        |row: &Row| -> Result<Belonging, Failure> { Ok(Belonging { name: row.try_get(0)?, sql: row.try_get(1)? }) };
    db.query(
        "SELECT index_name, sql FROM duckdb_indexes()
         WHERE database_name = current_database() AND schema_name = $1 AND table_name = $2 AND sql IS NOT NULL",
        &[&name.schema, &name.table],
    )
    .and_then(|rows| rows.iter().map(index).collect())
    .map_err(to("read the table's indexes"))
}

/// Makes them again.
pub(crate) fn restore(db: &Db, name: &Name, lost: &[Belonging]) -> Result<()> {
    for index in lost {
        crash::at(Point::Index, || {
            db.execute_batch(&index.sql).map_err(|cause| {
                Error::new(
                    Code::TableShape,
                    format!("index {:?} of table {:?} does not fit the new one", index.name, name.table),
                )
                .state("nothing was written, and the table is as it was")
                .help(format!("if it is not needed any more: DROP INDEX {}", quote(&index.name)))
                .cause(to("make it again")(cause))
            })
        })?;
    }
    Ok(())
}
