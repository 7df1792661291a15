//! A table in the place of another: what `--full-refresh` does where the old table has another shape than the new one.
//!
//! Dropping and creating commit by themselves, so they cannot be part of a load. The new table is made beside the old one
//! and filled by the load's transaction, which also writes down the intention to swap. After the commit both are renamed by
//! one statement, which no reader sees half of; then the old one goes, and the intention with it. Whoever opens the pipeline
//! next finishes an intention that is still there. Without one, a table beside is what a dead run left, and goes.

use crate::{
    ddl::{self, Name, Shape},
    failure::to,
    link::Db,
    literal::{self, text},
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Code, Error, Result};
use xxhash_rust::xxh3::xxh3_64;

/// The new table, and the old one once it is out of the way.
fn beside(name: &Name, pipeline: &str) -> (Name, Name) {
    let hash = xxh3_64(pipeline.as_bytes());
    (name.beside(format!("_floodmark_new_{hash:016x}")), name.beside(format!("_floodmark_old_{hash:016x}")))
}

/// Makes the new table, empty.
pub(crate) fn begin(db: &Db, name: &Name, shape: &Shape<'_>) -> Result<Name> {
    refuse_triggers(db, name)?;
    let (new, _) = beside(name, &shape.pipeline.name);
    ddl::refuse(shape, &ddl::key_columns(shape.pipeline))?;
    drop_table(db, &new)?;
    ddl::create(db, &new, shape)?;
    keep_indexes(db, name, &new)?;
    Ok(new)
}

/// A trigger stays with the table it was made for, and would go with it.
fn refuse_triggers(db: &Db, name: &Name) -> Result<()> {
    let sql = format!(
        "SELECT trigger_name FROM information_schema.triggers WHERE event_object_schema = {} AND event_object_table = {} LIMIT 1",
        text(&name.database),
        text(&name.table)
    );
    let Some(row) = db.query_opt(&sql).map_err(to("read the table's triggers"))? else { return Ok(()) };
    let trigger = row.text(0).unwrap_or_default();
    Err(Error::new(
        Code::TableShape,
        format!("table {:?} is to be made anew, and its trigger {trigger:?} would go with the old one", name.table),
    )
    .state("nothing was written, and the table is as it was")
    .help(format!("drop it, and make it again afterwards: DROP TRIGGER {}", literal::name(trigger))))
}

/// Makes the old table's indexes on the new one, beside its key: those that the new one's columns allow.
fn keep_indexes(db: &Db, name: &Name, new: &Name) -> Result<()> {
    let row = db.query_one(&format!("SHOW CREATE TABLE {name}")).map_err(to("read the table's indexes"))?;
    let there = db.query_one(&format!("SHOW CREATE TABLE {new}")).map_err(to("read the table's indexes"))?;
    let there = there.text(1).unwrap_or_default().to_owned();
    let kinds = ["KEY ", "UNIQUE KEY ", "FULLTEXT KEY ", "SPATIAL KEY "];
    for line in row.text(1).unwrap_or_default().lines() {
        let line = line.trim().trim_end_matches(',');
        let columns = line.split_once('(').map_or("", |(_, columns)| columns);
        if !kinds.iter().any(|kind| line.starts_with(kind)) || there.contains(&format!("({columns}")) {
            continue;
        }
        let sql = format!("ALTER TABLE {new} ADD {line}");
        crash::at(Point::Index, || {
            db.execute(&sql).map_err(|cause| {
                Error::new(Code::TableShape, format!("an index of table {:?} does not fit the new one", name.table))
                    .state("nothing was written, and the table is as it was")
                    .help(format!("drop it if it is not needed any more: {line}"))
                    .cause(to("make it again")(cause))
            })
        })?;
    }
    Ok(())
}

/// Notes the intention, in the load's transaction.
pub(crate) fn intend(db: &Db, pipeline: &str, name: &Name) -> Result<()> {
    let sql = format!(
        "REPLACE INTO _floodmark_swaps VALUES ({}, {}, {})",
        text(pipeline),
        text(&name.database),
        text(&name.table)
    );
    crash::at(Point::WritePosition, || db.execute(&sql).map_err(to("note the new table")))?;
    Ok(())
}

/// Finishes what was intended, and takes away what dead runs left beside.
pub(crate) fn finish(db: &Db, pipeline: &str, table: Option<&Name>) -> Result<()> {
    let sql = format!("SELECT `database`, `table` FROM _floodmark_swaps WHERE pipeline = {}", text(pipeline));
    let Some(row) = db.query_opt(&sql).map_err(to("look for a new table"))? else {
        let home = Name { database: db.server.database.clone(), table: String::new() };
        for name in [Some(&home), table].into_iter().flatten() {
            let (new, _) = beside(name, pipeline);
            if ddl::table(db, &new)?.is_some() {
                drop_table(db, &new)?;
            }
        }
        return Ok(());
    };
    let part = |at: usize| row.text(at).unwrap_or_default().to_owned();
    let name = Name { database: part(0), table: part(1) };
    let (new, old) = beside(&name, pipeline);
    if ddl::table(db, &new)?.is_some() {
        let sql = match ddl::table(db, &name)? {
            Some(_) => format!("RENAME TABLE {name} TO {old}, {new} TO {name}"),
            None => format!("RENAME TABLE {new} TO {name}"),
        };
        crash::at(Point::DropTable, || db.execute(&sql).map_err(to("put the new table in the old one's place")))?;
    }
    drop_table(db, &old)?;
    let sql = format!("DELETE FROM _floodmark_swaps WHERE pipeline = {}", text(pipeline));
    crash::at(Point::DropTable, || db.execute(&sql).map_err(to("note that the new table is in its place")))?;
    Ok(())
}

fn drop_table(db: &Db, name: &Name) -> Result<()> {
    let sql = format!("DROP TABLE IF EXISTS {name}");
    crash::at(Point::DropTable, || db.execute(&sql).map_err(to("drop a table of an earlier run")))?;
    Ok(())
}

/// Drops empty tables that a run of this pipeline made and died before it loaded anything into them: their columns may not
/// be those that the next run finds.
pub(crate) fn sweep(db: &Db, pipeline: &str) -> Result<()> {
    let sql = format!(
        "SELECT table_schema, table_name FROM information_schema.tables
         WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND table_comment = {}",
        text(&ddl::mark(pipeline))
    );
    for row in &db.query(&sql).map_err(to("look for tables of earlier runs"))? {
        let part = |at: usize| row.text(at).unwrap_or_default().to_owned();
        let name = Name { database: part(0), table: part(1) };
        drop_if_empty(db, &name)?;
    }
    Ok(())
}

/// Drops a table that was made here and holds nothing.
pub(crate) fn drop_if_empty(db: &Db, name: &Name) -> Result<()> {
    if crate::merge::is_empty(db, name)? { drop_table(db, name) } else { Ok(()) }
}
