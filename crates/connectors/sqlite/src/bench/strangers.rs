//! Rows that have no other of their key, neither in the table nor among themselves: there is nothing to decide, and they go
//! where the table is as they came.

use super::Elsewhere;
use crate::merge::{Batches, Outcome, any_tombstone};
use arrow::{
    array::{BooleanArray, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use floodmark_connect::LoadPlan;
use floodmark_core::{
    Result, Schema as Columns,
    pipeline::{Deletes, Load, Pipeline},
};
use rusqlite::Connection;
use std::sync::Arc;

/// Whether this load may have some. A history has columns that are its own; and what was deleted is remembered, and may be newer
/// than what comes.
pub(super) fn possible(db: &Connection, plan: &LoadPlan<'_>) -> Result<bool> {
    let pipeline = plan.target.pipeline;
    if pipeline.key.is_empty() || matches!(pipeline.load, Load::Append | Load::Scd2) {
        return Ok(false);
    }
    Ok(!any_tombstone(db, plan)?)
}

/// Adds them to the table.
pub(super) fn add(
    plan: &LoadPlan<'_>,
    schema: &Columns,
    elsewhere: &mut dyn Elsewhere,
    incoming: &mut dyn Batches,
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    while let Some(batch) = incoming.next()? {
        outcome.counts.inserted += batch.rows.num_rows() as u64;
        elsewhere.add(&unmarked(batch.rows, plan.target.pipeline)?, schema, false)?;
    }
    Ok(outcome)
}

/// With the mark of a soft delete, which they do not have.
fn unmarked(rows: RecordBatch, pipeline: &Pipeline) -> Result<RecordBatch> {
    if pipeline.deletes != Deletes::Soft {
        return Ok(rows);
    }
    let schema = rows.schema();
    let mark = Arc::new(Field::new("is_deleted", DataType::Boolean, true));
    let fields: Vec<_> = schema.fields().iter().cloned().chain([mark]).collect();
    let none = Arc::new(BooleanArray::from(vec![false; rows.num_rows()]));
    let columns = rows.columns().iter().cloned().chain([none as _]).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
