//! Rows that have no other of their key, neither in the table nor among themselves: there is nothing to decide, and they go
//! where the table is as they came.

use super::{Elsewhere, Values};
use crate::merge::{Batches, any_tombstone};
use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::{filter_record_batch, not},
    datatypes::{DataType, Field, Schema},
};
use floodmark_connect::{LoadPlan, ShapedBatch};
use floodmark_core::{
    Result, Schema as Columns,
    pipeline::{AbsentRows, Deletes, Load, Pipeline},
};
use rusqlite::Connection;
use std::sync::Arc;

/// Whether this load may have some. A history has columns that are its own; what was deleted is remembered, and may be newer than
/// what comes; and where rows of the table go because they did not come, all that came must be seen by the merge. `nothing`: the
/// table has no row.
pub(super) fn possible(db: &Connection, plan: &LoadPlan<'_>, nothing: bool) -> Result<bool> {
    let pipeline = plan.target.pipeline;
    let replaces = pipeline.load == Load::Overwrite
        || !pipeline.window.is_empty()
        || pipeline.absent_rows != AbsentRows::Keep
        || plan.within.is_some();
    let keyed = !pipeline.key.is_empty() && !matches!(pipeline.load, Load::Append | Load::Scd2);
    Ok(keyed && (nothing || !replaces) && !any_tombstone(db, plan)?)
}

/// Rows on their way to a merge, of which the strangers are added to the table. Each key comes once, and no row marks a delete.
pub(super) struct Parted<'a> {
    pub(super) incoming: &'a mut dyn Batches,
    /// The keys that the table has of those that come; a hash that is equal sends a stranger to the merge.
    pub(super) met: Values,
    pub(super) pipeline: &'a Pipeline,
    pub(super) schema: &'a Columns,
    pub(super) elsewhere: &'a mut dyn Elsewhere,
    /// How many were added.
    pub(super) rows: u64,
}

impl Batches for Parted<'_> {
    fn next(&mut self) -> Result<Option<ShapedBatch>> {
        while let Some(batch) = self.incoming.next()? {
            let mut met = vec![false; batch.rows.num_rows()];
            self.met.mark(&batch.rows, &mut met)?;
            let (any, all) = (met.contains(&true), !met.contains(&false));
            let met = BooleanArray::from(met);
            if !any {
                self.add(batch.rows)?;
            } else if all {
                return Ok(Some(batch));
            } else {
                self.add(filter_record_batch(&batch.rows, &not(&met)?)?)?;
                let rows = filter_record_batch(&batch.rows, &met)?;
                return Ok(Some(ShapedBatch { rows, delete: None, slice: batch.slice }));
            }
        }
        Ok(None)
    }

    fn complete(&self) -> bool {
        self.incoming.complete()
    }
}

impl Parted<'_> {
    fn add(&mut self, rows: RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        let rows = if self.pipeline.deletes == Deletes::Soft { unmarked(rows)? } else { rows };
        self.elsewhere.add(&rows, self.schema, false).map(|_| ())
    }
}

/// With the mark of a soft delete, which they do not have.
fn unmarked(rows: RecordBatch) -> Result<RecordBatch> {
    let schema = rows.schema();
    let mark = Arc::new(Field::new("is_deleted", DataType::Boolean, true));
    let fields: Vec<_> = schema.fields().iter().cloned().chain([mark]).collect();
    let none = Arc::new(BooleanArray::from(vec![false; rows.num_rows()]));
    let columns = rows.columns().iter().cloned().chain([none as _]).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
