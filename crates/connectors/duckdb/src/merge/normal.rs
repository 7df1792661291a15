//! Columns of types that are not ours (`UUID`, enumerations, lists): a value has one form in the table and perhaps
//! another in the source, and only DuckDB knows that `A0EE…` and `a0ee…` are one.

use super::{
    Job,
    stage::{PLACE, Stage},
};
use crate::{codec, ddl, ddl::Found, tuples};
use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use floodmark_connect::ShapedBatch;
use floodmark_core::{DataType, Error, Result};
use floodmark_merge::{cell::Cells, slots::type_of};
use std::sync::Arc;

/// The batch with such values as the table would hold them; nothing where it has no such column.
pub(super) fn normal(job: &Job<'_>, batch: &ShapedBatch) -> Result<Option<ShapedBatch>> {
    let schema = batch.rows.schema();
    let foreign: Vec<(usize, &Found)> = (schema.fields().iter().enumerate())
        .filter_map(|(n, field)| Some((n, job.table.get(field.name()).filter(|found| found.is_foreign())?)))
        .collect();
    if foreign.is_empty() {
        return Ok(None);
    }
    let mut columns = vec![(PLACE, DataType::BigInt)];
    columns.extend(foreign.iter().map(|(_, found)| (found.name.as_str(), DataType::Text)));
    let stage = Stage::make(job.db, "_floodmark_normal", &columns)?;
    let cells = (foreign.iter())
        .map(|(n, found)| {
            Cells::new(&found.name, &batch.rows.columns()[*n], type_of(job.schema(), &found.name)?, &codec::HOLDS)
        })
        .collect::<Result<Vec<_>>>()?;
    let rows = batch.rows.num_rows();
    stage.send(job.db, |writer| {
        for row in 0..rows {
            let out = writer.row(cells.len() + 1)?;
            tuples::put(out, Some(&(row as i64).to_be_bytes()));
            cells.iter().try_for_each(|cell| cell.put(row, out))?;
        }
        Ok(())
    })?;
    let texts: Vec<String> =
        foreign.iter().map(|(_, found)| format!("{}::VARCHAR", found.write(&ddl::quote(&found.name)))).collect();
    let sql = format!("SELECT {} FROM {} ORDER BY {PLACE}", texts.join(", "), stage.name);
    let mut builders: Vec<StringBuilder> = foreign.iter().map(|_| StringBuilder::new()).collect();
    job.db.copy_out(&sql, |row| {
        for (at, builder) in builders.iter_mut().enumerate() {
            let text = row.cell(at).map(std::str::from_utf8).transpose();
            builder.append_option(text.map_err(|e| Error::internal("a text that was read is not UTF-8").cause(e))?);
        }
        Ok(())
    })?;
    let mut arrays: Vec<ArrayRef> = batch.rows.columns().to_vec();
    for ((n, _), mut builder) in foreign.iter().zip(builders) {
        arrays[*n] = Arc::new(builder.finish());
    }
    let rows = RecordBatch::try_new(schema, arrays)?;
    Ok(Some(ShapedBatch { rows, delete: batch.delete.clone(), slice: batch.slice }))
}

/// A staged value in the form the table would hold it in, as one of ours.
pub(super) fn staged(found: &Found, value: &str) -> String {
    match found.is_foreign() {
        true => format!("({})::{}", found.write(value), codec::declared(found.data_type)),
        false => value.to_owned(),
    }
}
