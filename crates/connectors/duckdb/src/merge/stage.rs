//! Temporary tables, which rows go through on their way, and rows that are sent as they come.

use super::{Incoming, Job};
use crate::{
    codec, ddl,
    failure::to,
    link::{Db, Into},
    tuples::{self, Writer},
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{DataType, Result};
use floodmark_merge::{
    cell,
    incoming::Run,
    slots::{type_of, types},
};

/// A temporary table with our own types.
pub(super) struct Stage {
    /// As it stands in SQL.
    pub(super) name: String,
    table: String,
    columns: Vec<(String, DataType)>,
}

impl Stage {
    /// Makes it anew. It goes with its connection, or with the next one of that name.
    pub(super) fn make(db: &Db, name: &str, columns: &[(&str, DataType)]) -> Result<Stage> {
        let parts: Vec<String> =
            columns.iter().map(|(n, t)| format!("{} {}", ddl::quote(n), codec::staged(*t))).collect();
        let sql = format!("CREATE OR REPLACE TEMPORARY TABLE {name} ({})", parts.join(", "));
        crash::at(Point::Temporary, || db.execute_batch(&sql).map_err(to("make a temporary table")))?;
        let columns = columns.iter().map(|(name, t)| ((*name).to_owned(), *t)).collect();
        Ok(Stage { name: format!("temp.main.{name}"), table: name.to_owned(), columns })
    }

    /// One that a query made.
    pub(super) fn made(name: &str) -> Stage {
        Stage { name: format!("temp.main.{name}"), table: name.to_owned(), columns: Vec::new() }
    }

    /// Sends rows into it: all of its columns.
    pub(super) fn send(&self, db: &Db, feed: impl FnOnce(&mut Writer) -> Result<()>) -> Result<u64> {
        let columns: Vec<(&str, DataType)> = self.columns.iter().map(|(name, t)| (name.as_str(), *t)).collect();
        crash::at(Point::Temporary, || db.copy_in(&Into::Temporary(&self.table), &columns, feed))
    }
}

/// Sends every batch into a temporary table: its columns, whether a row marks a delete, and its place in the source, from
/// 1. Returns the number of rows.
pub(super) fn fill(job: &Job<'_>, stage: &Stage, incoming: &mut Incoming<'_>) -> Result<u64> {
    let mut place = 0i64;
    let mut run = Run::new(incoming);
    while let Some(schema) = run.begin()? {
        let names = schema.fields().iter().map(|f| Ok((f.name().as_str(), type_of(job.schema(), f.name())?)));
        let mut columns = names.collect::<Result<Vec<_>>>()?;
        columns.extend([(PLACE, DataType::BigInt), (DELETE, DataType::Bool)]);
        crash::at(Point::Temporary, || {
            job.db.copy_in(&Into::Temporary(&stage.table), &columns, |writer| {
                while let Some(batch) = run.next()? {
                    let types = types(job.schema(), &batch)?;
                    codec::refuse(job.db, &batch.rows, &types)?;
                    let cells = cell::columns(&batch.rows, &types, &codec::HOLDS)?;
                    for row in 0..batch.rows.num_rows() {
                        place += 1;
                        let out = writer.row(cells.len() + 2)?;
                        cells.iter().try_for_each(|cell| cell.put(row, out))?;
                        let delete = batch.delete.as_ref().is_some_and(|d| d.value(row));
                        tuples::put(out, Some(&place.to_be_bytes()));
                        tuples::put(out, Some(&[u8::from(delete)]));
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
