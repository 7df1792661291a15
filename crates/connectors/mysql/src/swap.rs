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
    literal::text,
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Code, Error, Result};

/// The new table, and the old one once it is out of the way.
fn beside(db: &Db, name: &Name, pipeline: &str) -> (Name, Name) {
    let owner = ddl::owner(db, pipeline);
    (name.beside(format!("_floodmark_new_{owner}")), name.beside(format!("_floodmark_old_{owner}")))
}

/// Makes the new table, empty.
pub(crate) fn begin(db: &Db, name: &Name, shape: &Shape<'_>) -> Result<Name> {
    refuse_belongings(db, name)?;
    let (new, _) = beside(db, name, &shape.pipeline.name);
    ddl::refuse(shape, &ddl::key_columns(shape.pipeline))?;
    drop_table(db, &new)?;
    ddl::create(db, &new, shape)?;
    keep_indexes(db, name, &new)?;
    Ok(new)
}

/// What the new table would not have, and nobody asked to lose: each is a reason to refuse, with what to do.
fn refuse_belongings(db: &Db, name: &Name) -> Result<()> {
    let (database, table) = (text(&name.database), text(&name.table));
    let found = db
        .query_opt(&format!(
            "SELECT 'trigger', trigger_name FROM information_schema.triggers
             WHERE event_object_schema = {database} AND event_object_table = {table}
             UNION ALL SELECT LOWER(constraint_type), constraint_name FROM information_schema.table_constraints
             WHERE table_schema = {database} AND table_name = {table} AND constraint_type IN ('FOREIGN KEY', 'CHECK')
             UNION ALL SELECT 'generated column', column_name FROM information_schema.columns
             WHERE table_schema = {database} AND table_name = {table} AND generation_expression <> '' LIMIT 1"
        ))
        .map_err(to("read what belongs to the table"))?;
    if let Some(row) = found {
        let (kind, what) = (row.text(0).unwrap_or_default(), row.text(1).unwrap_or_default());
        return Err(made_anew(name, &format!("its {kind} {what:?} would go with the old one"))
            .help(format!("drop the {kind}, and make it again afterwards")));
    }
    let found = db
        .query_opt(&format!(
            "SELECT table_name, constraint_name FROM information_schema.key_column_usage
             WHERE referenced_table_schema = {database} AND referenced_table_name = {table} LIMIT 1"
        ))
        .map_err(to("read who refers to the table"))?;
    let Some(row) = found else { return Ok(()) };
    let (other, what) = (row.text(0).unwrap_or_default(), row.text(1).unwrap_or_default());
    Err(made_anew(name, &format!("the foreign key {what:?} of table {other:?} refers to the old one"))
        .help("drop that foreign key, and make it again afterwards"))
}

fn made_anew(name: &Name, why: &str) -> Error {
    Error::new(Code::TableShape, format!("table {:?} is to be made anew, and {why}", name.table))
        .state("nothing was written, and the table is as it was")
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
            let (new, _) = beside(db, name, pipeline);
            if ddl::table(db, &new)?.is_some() {
                drop_table(db, &new)?;
            }
        }
        return Ok(());
    };
    let part = |at: usize| row.text(at).unwrap_or_default().to_owned();
    let name = Name { database: part(0), table: part(1) };
    let (new, old) = beside(db, &name, pipeline);
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

/// A new table that holds the rows and is not in its place yet: only a run may put it there.
pub(crate) fn refuse_unfinished(db: &Db, pipeline: &str) -> Result<()> {
    let sql = format!("SELECT 1 FROM _floodmark_swaps WHERE pipeline = {}", text(pipeline));
    match db.query_opt(&sql).map_err(to("look for a new table"))? {
        None => Ok(()),
        Some(_) => Err(Error::new(
            Code::DestinationBusy,
            format!("a full refresh of pipeline {pipeline:?} was broken off when its new table was to take the old one's place"),
        )
        .state("nothing was written")
        .help(format!("`floodmark run {pipeline}` puts the new table there"))),
    }
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
         WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND table_comment LIKE '{}%({})'",
        ddl::MADE,
        ddl::owner(db, pipeline)
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
