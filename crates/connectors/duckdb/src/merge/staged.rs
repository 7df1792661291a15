//! The rows of a chunk in a temporary table: as they came, and handed out again.

use super::{
    Incoming, Job,
    stage::{DELETE, PLACE, Stage},
};
use crate::{codec, failure::to};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::{DataType as ArrowType, Field, Int64Type, Schema, SchemaRef},
};
use floodmark_connect::{
    ShapedBatch,
    crash::{self, Point},
};
use floodmark_core::{DataType, Error, Result};
use floodmark_merge::{
    incoming::Run,
    slots::{Layout, type_of, types},
};
use std::sync::Arc;

/// Bytes of rows that are handed out at once, about: each time the whole table is looked through for their keys.
const BYTES: usize = 16 << 20;

/// Which of the rows that are handed out come together.
const PART: &str = "_floodmark_part";

/// Where a row stands among the others of its table: in the order in which they were put there.
pub(super) const ROW: &str = super::look::ROW;

pub(super) struct Staged {
    pub(super) stage: Stage,
    pub(super) layout: Layout,
    /// Of each of the layout's columns, whether the rows have it.
    pub(super) came: Vec<bool>,
    /// With marks of deletes.
    pub(super) marks: bool,
    pub(super) rows: u64,
    /// The key is one whole number, and each row's is above that of the one before: none comes twice.
    pub(super) rising: bool,
    highest: Option<i64>,
    schema: SchemaRef,
}

impl Staged {
    /// Takes the rows of the chunk for as long as they have the same columns, beginning with `first`, which was taken before.
    /// Returns a batch of others that was taken as well. `whole`: as [`Layout::new`] has it.
    pub(super) fn take(
        job: &Job<'_>,
        whole: bool,
        first: Option<ShapedBatch>,
        incoming: &mut Incoming<'_>,
    ) -> Result<(Option<Staged>, Option<ShapedBatch>)> {
        let mut staged: Option<Staged> = None;
        if let Some(batch) = first {
            let new = staged.insert(Staged::make(job, whole, &batch.rows.schema())?);
            let mut batch = Some(batch);
            new.fill(job, || Ok(batch.take()))?;
        }
        let mut run = Run::new(incoming);
        while let Some(schema) = run.begin()? {
            let staged = match &mut staged {
                Some(staged) if staged.schema.fields() != schema.fields() => break,
                Some(staged) => staged,
                None => staged.insert(Staged::make(job, whole, &schema)?),
            };
            staged.fill(job, || run.next())?;
        }
        Ok((staged, run.rest()))
    }

    fn make(job: &Job<'_>, whole: bool, schema: &SchemaRef) -> Result<Staged> {
        let pipeline = job.plan.target.pipeline;
        let none = ShapedBatch { rows: RecordBatch::new_empty(schema.clone()), delete: None, slice: 0 };
        let layout = Layout::new(pipeline, job.schema(), &none, whole)?;
        let came = layout.names.iter().map(|name| schema.index_of(name).is_ok()).collect();
        let marks = pipeline.delete_when.is_some();
        let names = schema.fields().iter().map(|f| Ok((f.name().as_str(), type_of(job.schema(), f.name())?)));
        let mut columns = names.collect::<Result<Vec<_>>>()?;
        columns.extend(marks.then_some((DELETE, DataType::Bool)));
        let stage = Stage::make(job.db, "_floodmark_stage", &columns)?;
        let rising = pipeline.key.len() == 1;
        Ok(Staged { stage, layout, came, marks, rows: 0, rising, highest: None, schema: schema.clone() })
    }

    fn fill(&mut self, job: &Job<'_>, mut next: impl FnMut() -> Result<Option<ShapedBatch>>) -> Result<()> {
        let (marks, rising, highest) = (self.marks, &mut self.rising, &mut self.highest);
        let key = &self.layout.names[0];
        self.rows += self.stage.send(job.db, |writer| {
            while let Some(batch) = next()? {
                *rising = *rising && rises(&batch.rows, key, highest);
                codec::refuse(job.db, &batch.rows, &types(job.schema(), &batch)?)?;
                writer.batch(&if marks { marked(&batch)? } else { batch.rows })?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Hands out the rows for which a condition on `s` holds, in the order in which they came. The connection is free
    /// meanwhile.
    pub(super) fn each(
        &self,
        job: &Job<'_>,
        condition: &str,
        mut take: impl FnMut(ShapedBatch) -> Result<()>,
    ) -> Result<()> {
        let names: Vec<&str> = self.schema.fields().iter().map(|f| f.name().as_str()).collect();
        let listed = crate::ddl::list(names.iter().copied().chain(self.marks.then_some(DELETE)));
        let sql = format!(
            "CREATE OR REPLACE TEMPORARY TABLE _floodmark_apart AS
             SELECT row_number() OVER so_far AS {PLACE}, (sum({}) OVER so_far)::BIGINT // {BYTES} AS {PART}, s.* FROM {} s
             WHERE {condition} WINDOW so_far AS (ORDER BY s.{ROW})",
            self.size(),
            self.stage.name
        );
        let fail = to("read rows that were staged");
        crash::at(Point::Temporary, || job.db.execute_batch(&sql).map_err(&fail))?;
        let ends = format!("SELECT max({PLACE}) FROM temp.main._floodmark_apart GROUP BY {PART} ORDER BY 1");
        let ends = job.db.query(&ends, &[]).map_err(&fail)?;
        let mut from = 0;
        for end in &ends {
            let until: i64 = end.try_get(0).map_err(&fail)?;
            let sql = format!(
                "SELECT {listed} FROM temp.main._floodmark_apart WHERE {PLACE} > {from} AND {PLACE} <= {until} ORDER BY {PLACE}"
            );
            let parts = job.db.batches(&sql).map_err(&fail)?;
            if let Some(first) = parts.first() {
                take(self.shaped(&concat_batches(&first.schema(), &parts)?)?)?;
            }
            from = until;
        }
        Ok(())
    }

    /// How many bytes a row takes, about, in SQL.
    fn size(&self) -> String {
        let of = |field: &Arc<Field>| {
            let name = format!("s.{}", crate::ddl::quote(field.name()));
            match field.data_type() {
                ArrowType::Utf8 => format!(" + coalesce(strlen({name}), 0)"),
                ArrowType::Binary => format!(" + coalesce(octet_length({name}), 0)"),
                _ => String::new(),
            }
        };
        let fields = self.schema.fields();
        format!("{}{}", 16 * (fields.len() + 1), fields.iter().map(of).collect::<String>())
    }

    /// Rows of the temporary table as they came.
    fn shaped(&self, rows: &RecordBatch) -> Result<ShapedBatch> {
        let fields = self.schema.fields();
        // A column of nanoseconds waits as microseconds, which was looked at before.
        let columns = fields.iter().zip(rows.columns()).map(|(field, array)| cast(array, field.data_type()));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        let delete = rows.columns().get(fields.len()).and_then(|marks| marks.as_boolean_opt()).cloned();
        Ok(ShapedBatch { rows: RecordBatch::try_new(self.schema.clone(), columns)?, delete, slice: 0 })
    }

    /// A column's place in the layout, for one that the rows have.
    pub(super) fn place(&self, name: &str) -> Result<usize> {
        let place = self.layout.place(name).filter(|at| self.came[*at]);
        place.ok_or_else(|| Error::internal(format!("a batch without its column {name:?}")))
    }
}

/// Whether a column is a whole number that rises from row to row, from `highest` on.
fn rises(rows: &RecordBatch, column: &str, highest: &mut Option<i64>) -> bool {
    let numbers = rows.column_by_name(column).and_then(|array| array.as_primitive_opt::<Int64Type>());
    numbers.is_some_and(|numbers| {
        numbers.null_count() == 0
            && numbers.values().iter().all(|n| highest.replace(*n).is_none_or(|before| before < *n))
    })
}

/// The rows with their marks of deletes, of which there may be none.
fn marked(batch: &ShapedBatch) -> Result<RecordBatch> {
    let rows = &batch.rows;
    let mut fields: Vec<_> = rows.schema_ref().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(DELETE, ArrowType::Boolean, true)));
    let none = || BooleanArray::from(vec![false; rows.num_rows()]);
    let marks: ArrayRef = Arc::new(batch.delete.clone().unwrap_or_else(none));
    let columns = rows.columns().iter().cloned().chain([marks]).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
