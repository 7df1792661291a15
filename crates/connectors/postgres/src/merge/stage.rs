//! Temporary tables, which rows go through on their way, and rows that are sent as they come.

use super::{Incoming, Job};
use crate::{codec, ddl, failure::to, link::Db};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{DataType, Result};
use floodmark_merge::{cell, incoming::Run, slots::types};

/// A temporary table with our own types.
pub(super) struct Stage {
    /// As it stands in SQL.
    pub(super) name: String,
}

impl Stage {
    /// Makes it anew. It goes with the transaction.
    pub(super) fn make(db: &Db, name: &str, columns: &[(&str, String)]) -> Result<Stage> {
        let parts: Vec<String> = columns.iter().map(|(n, declared)| format!("{} {declared}", ddl::quote(n))).collect();
        let sql = format!(
            "DROP TABLE IF EXISTS pg_temp.{name}; CREATE TEMPORARY TABLE {name} ({}) ON COMMIT DROP",
            parts.join(", ")
        );
        crash::at(Point::Temporary, || db.execute_batch(&sql).map_err(to("make a temporary table")))?;
        Ok(Stage { name: format!("pg_temp.{name}") })
    }

    /// Tells the server how many rows there are: it would guess, and read whole tables for a few keys.
    pub(super) fn analyze(&self, db: &Db) -> Result<()> {
        let sql = format!("ANALYZE {}", self.name);
        crash::at(Point::Temporary, || db.execute_batch(&sql).map_err(to("look at a temporary table")))
    }
}

/// The columns of a batch as a temporary table has them.
pub(super) fn declared<'a>(columns: impl IntoIterator<Item = (&'a str, DataType)>) -> Vec<(&'a str, String)> {
    columns.into_iter().map(|(name, t)| (name, codec::declared(t))).collect()
}

/// Sends every batch into a temporary table: its columns, whether a row marks a delete, and its place in the source, from
/// 1. Returns the number of rows.
pub(super) fn fill(job: &Job<'_>, stage: &Stage, incoming: &mut Incoming<'_>) -> Result<u64> {
    let mut place = 0i64;
    let mut run = Run::new(incoming);
    while let Some(schema) = run.begin()? {
        let names = schema.fields().iter().map(|f| f.name().as_str());
        let columns = ddl::list(names.chain([PLACE, DELETE]));
        let sql = format!("COPY {} ({columns}) FROM STDIN (FORMAT binary)", stage.name);
        crash::at(Point::Temporary, || {
            job.db.copy_in(&sql, |writer| {
                while let Some(batch) = run.next()? {
                    let cells = cell::columns(&batch.rows, &types(job.schema(), &batch)?, &codec::HOLDS)?;
                    for row in 0..batch.rows.num_rows() {
                        place += 1;
                        let out = writer.row(cells.len() + 2)?;
                        cells.iter().try_for_each(|cell| cell.put(row, out))?;
                        let delete = batch.delete.as_ref().is_some_and(|d| d.value(row));
                        crate::tuples::put(out, Some(&place.to_be_bytes()));
                        crate::tuples::put(out, Some(&[u8::from(delete)]));
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
