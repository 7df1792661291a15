//! Temporary tables, which rows go through on their way. Making and dropping one commits nothing.

use super::{Incoming, Job};
use crate::{codec, codec::Taken, failure::to, link::Db, literal, rows::Inlet};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{DataType, Result};
use floodmark_merge::{cell, incoming::Run, slots::types};

/// A temporary table.
pub(super) struct Stage {
    /// As it stands in SQL.
    pub(super) name: String,
    columns: Vec<Taken>,
}

/// A column of one: how values get in, and its type.
pub(super) struct Column {
    taken: Taken,
    declared: String,
}

impl Column {
    /// One of our own.
    pub(super) fn own(name: &str, data_type: DataType) -> Column {
        Column { taken: Taken::new(name, data_type), declared: codec::declared(data_type, "", None) }
    }

    /// One that holds and compares the same as the table's.
    pub(super) fn of(job: &Job<'_>, name: &str, data_type: DataType) -> Column {
        match job.table.get(name) {
            Some(found) => Column { taken: Taken { name: name.to_owned(), ..found.taken() }, declared: found.like() },
            None => {
                let declared = codec::declared(data_type, job.db.server.exact(), None);
                Column { taken: Taken::new(name, data_type), declared }
            }
        }
    }
}

impl Stage {
    /// Makes it anew. `index`: the columns it is looked up by.
    pub(super) fn make(db: &Db, name: &str, columns: Vec<Column>, index: &[&str]) -> Result<Stage> {
        let mut parts: Vec<String> =
            columns.iter().map(|c| format!("{} {} NULL", literal::name(&c.taken.name), c.declared)).collect();
        if !index.is_empty() {
            parts.push(format!("KEY ({})", crate::ddl::list(index.iter().copied())));
        }
        Stage::drop(db, name)?;
        let sql = format!("CREATE TEMPORARY TABLE {name} ({}) ENGINE = InnoDB", parts.join(", "));
        crash::at(Point::Temporary, || db.execute(&sql).map_err(to("make a temporary table")))?;
        Ok(Stage { name: name.to_owned(), columns: columns.into_iter().map(|c| c.taken).collect() })
    }

    /// A temporary table of what a query finds. `definition`: more of it, in parentheses.
    pub(super) fn derive(db: &Db, name: &str, definition: &str, query: &str) -> Result<Stage> {
        Stage::drop(db, name)?;
        let sql = format!("CREATE TEMPORARY TABLE {name} {definition} ENGINE = InnoDB AS {query}");
        crash::at(Point::Temporary, || db.execute(&sql).map_err(to("make a temporary table")))?;
        Ok(Stage { name: name.to_owned(), columns: Vec::new() })
    }

    fn drop(db: &Db, name: &str) -> Result<()> {
        let sql = format!("DROP TEMPORARY TABLE IF EXISTS {name}");
        crash::at(Point::Temporary, || db.execute(&sql).map_err(to("make a temporary table")))?;
        Ok(())
    }

    /// What takes rows of all its columns.
    pub(super) fn inlet(&self) -> Inlet {
        Inlet { table: self.name.clone(), columns: self.columns.clone() }
    }

    /// What takes rows of some of its columns.
    pub(super) fn inlet_of(&self, names: &[&str]) -> Inlet {
        let named = |name: &&str| self.columns.iter().find(|c| c.name == **name).cloned();
        Inlet { table: self.name.clone(), columns: names.iter().filter_map(named).collect() }
    }
}

/// What is noted of each row that is sent into a temporary table: called with the row's cells before it is sent; numbers it
/// gives go into its last columns.
pub(super) type Note<'n> = &'n mut dyn FnMut(&[cell::Cells<'_>], usize) -> Result<Vec<i64>>;

/// Sends every batch into a temporary table: its columns, its place in the source, from 1, whether a row marks a delete,
/// and what `note` gives into `noted`. Returns the number of rows.
pub(super) fn fill(
    job: &Job<'_>,
    stage: &Stage,
    incoming: &mut Incoming<'_>,
    noted: &[&str],
    note: Note<'_>,
) -> Result<u64> {
    let mut place = 0i64;
    let mut run = Run::new(incoming);
    while let Some(schema) = run.begin()? {
        let mut names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        names.extend([PLACE, DELETE]);
        names.extend(noted);
        let inlet = stage.inlet_of(&names);
        crash::at(Point::Temporary, || {
            job.db.copy_in(&inlet, |writer| {
                while let Some(batch) = run.next()? {
                    let cells = cell::columns(&batch.rows, &types(job.schema(), &batch)?, &codec::HOLDS)?;
                    let mut bytes = Vec::new();
                    for row in 0..batch.rows.num_rows() {
                        place += 1;
                        for cell in &cells {
                            bytes.clear();
                            cell.put(row, &mut bytes)?;
                            writer.cell((!cell.is_null(row)).then_some(&bytes[4..]))?;
                        }
                        writer.number(place)?;
                        let delete = batch.delete.as_ref().is_some_and(|d| d.value(row));
                        writer.cell(Some(&[u8::from(delete)]))?;
                        for number in note(&cells, row)? {
                            writer.number(number)?;
                        }
                        writer.end()?;
                    }
                }
                Ok(())
            })
        })?;
    }
    Ok(place as u64)
}

/// The columns of a temporary table beside the rows' own, which can have no such names.
pub(super) const PLACE: &str = "_floodmark_place";
pub(super) const DELETE: &str = "_floodmark_delete";
