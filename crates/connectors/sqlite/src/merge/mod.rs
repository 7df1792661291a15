//! How rows get in, by load strategy. All of it runs inside the load's transaction.

mod append;
mod gather;
mod history;
mod kept;
mod keyed;
mod moments;
mod part;
mod seen;
mod statements;
mod tombstones;
mod window;

pub(crate) use append::{add_lineage, known as known_lineage, rowid_name};

use crate::{ddl, failure::to};
use floodmark_connect::{
    LoadPlan, ShapedBatch,
    crash::{self, Point},
    destination::Within,
};
use floodmark_core::{
    Counts, DataType, Error, Result, Schema,
    pipeline::{Load, Pipeline},
    state::Lineage,
};
use rusqlite::Connection;
use tombstones::Tombstones;

/// Batches to merge.
pub(crate) trait Batches {
    fn next(&mut self) -> Result<Option<ShapedBatch>>;

    /// See `Chunk::complete`; asked after the last batch.
    fn complete(&self) -> bool;
}

/// What became of them.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    pub(crate) lineage: Vec<(usize, Lineage)>,
}

/// Merges all batches into the plan's table. `was_empty`: it held no row when the run began.
pub(crate) fn run(db: &Connection, plan: &LoadPlan<'_>, was_empty: bool, batches: &mut dyn Batches) -> Result<Outcome> {
    let pipeline = plan.target.pipeline;
    let keyed = !pipeline.key.is_empty();
    match (pipeline.load, &plan.within) {
        (Load::Append, Some(within)) if within.whole => part::replace(db, plan, within, batches),
        (Load::Append, Some(within)) => part::add(db, plan, within, batches),
        (Load::Append, None) => append::run(db, plan, batches),
        (Load::Overwrite, Some(within)) if !keyed => part::replace(db, plan, within, batches),
        (Load::Overwrite, None) if !keyed => {
            let removed = count(db, &pipeline.destination.table)?;
            let sql = format!("DELETE FROM {}", ddl::quote(&pipeline.destination.table));
            crash::at(Point::EmptyTable, || db.execute_batch(&sql).map_err(to("empty the table")))?;
            let mut outcome = append::run(db, plan, batches)?;
            outcome.counts.removed = removed;
            Ok(outcome)
        }
        (Load::DeleteInsert, Some(within)) if !keyed && is_window(pipeline, within) => {
            part::replace(db, plan, within, batches)
        }
        (Load::DeleteInsert, _) if !keyed => window::run(db, plan, batches),
        (Load::Scd2, _) => history::run(db, plan, batches),
        (Load::Upsert | Load::InsertOnly | Load::Overwrite | Load::DeleteInsert, _) => {
            keyed::run(db, plan, was_empty, batches)
        }
    }
}

/// Whether the part is what the pipeline replaces as a whole. Along any other column windows are replaced as ever.
fn is_window(pipeline: &Pipeline, within: &Within) -> bool {
    pipeline.window.len() == 1 && pipeline.window[0] == within.column
}

/// Whether the table holds no row.
pub(crate) fn is_empty(db: &Connection, table: &str) -> Result<bool> {
    db.query_row(&format!("SELECT NOT EXISTS (SELECT 1 FROM {})", ddl::quote(table)), [], |r| r.get(0))
        .map_err(to("read the table"))
}

/// How many rows the table holds.
pub(crate) fn count(db: &Connection, table: &str) -> Result<u64> {
    db.query_row(&format!("SELECT count(*) FROM {}", ddl::quote(table)), [], |r| r.get::<_, i64>(0))
        .map(|n| n as u64)
        .map_err(to("count the table's rows"))
}

/// The target's types of a batch's columns, in the batch's order.
fn types(batch: &ShapedBatch, schema: &Schema) -> Result<Vec<DataType>> {
    batch
        .rows
        .schema()
        .fields()
        .iter()
        .map(|f| {
            schema
                .get(f.name())
                .map(|c| c.data_type)
                .ok_or_else(|| Error::internal(format!("column {:?} is not in the target", f.name())))
        })
        .collect()
}

/// Whether a row may be older than what was deleted.
pub(crate) fn any_tombstone(db: &Connection, plan: &LoadPlan<'_>) -> Result<bool> {
    let version = plan.target.version;
    version.map_or(Ok(false), |version| Ok(Tombstones::new(db, &plan.target.pipeline.name, version)?.any()))
}

/// `INSERT INTO t (columns) VALUES (?, …)`
pub(crate) fn insert_sql(table: &str, columns: &[&str]) -> String {
    let marks = vec!["?"; columns.len()].join(", ");
    format!("INSERT INTO {} ({}) VALUES ({marks})", ddl::quote(table), ddl::list(columns.iter().copied()))
}
