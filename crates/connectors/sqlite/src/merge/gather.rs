//! Rows in the order of their keys: neighbours in the table are met together, so that each of its pages is read and
//! written once however the source is ordered.

use super::Batches;
use crate::bind::Cells;
use arrow::{
    array::{Array, BooleanArray, RecordBatch},
    compute::{concat, concat_batches},
};
use floodmark_connect::ShapedBatch;
use floodmark_core::Result;

/// Bytes put together before they are sorted: enough for the rows of an everyday delta, few enough to bound memory.
const BYTES: usize = 8 << 20;

/// Joins small batches of the same columns into larger ones.
pub(super) struct Gather<'a> {
    inner: &'a mut dyn Batches,
    next: Option<ShapedBatch>,
}

impl<'a> Gather<'a> {
    pub(super) fn new(inner: &'a mut dyn Batches) -> Self {
        Gather { inner, next: None }
    }

    pub(super) fn complete(&self) -> bool {
        self.inner.complete()
    }

    /// The next batch as it comes.
    pub(super) fn pass(&mut self) -> Result<Option<ShapedBatch>> {
        self.inner.next()
    }

    /// The next batches as one.
    pub(super) fn next(&mut self) -> Result<Option<ShapedBatch>> {
        let mut parts = Vec::new();
        let mut bytes = 0;
        loop {
            let batch = match self.next.take() {
                Some(batch) => batch,
                None => match self.inner.next()? {
                    Some(batch) => batch,
                    None => break,
                },
            };
            let size = batch.rows.get_array_memory_size();
            let fits = |first: &ShapedBatch| {
                bytes + size <= BYTES
                    && first.rows.schema() == batch.rows.schema()
                    && first.delete.is_some() == batch.delete.is_some()
            };
            if !parts.first().is_none_or(fits) {
                self.next = Some(batch);
                break;
            }
            bytes += size;
            parts.push(batch);
        }
        if parts.len() < 2 {
            return Ok(parts.pop());
        }
        let slice = parts[0].slice;
        let rows = concat_batches(&parts[0].rows.schema(), parts.iter().map(|b| &b.rows))?;
        let deletes: Vec<&dyn Array> =
            parts.iter().filter_map(|b| b.delete.as_ref()).map(|d| d as &dyn Array).collect();
        let delete = match deletes.is_empty() {
            true => None,
            false => Some(BooleanArray::from(concat(&deletes)?.to_data())),
        };
        Ok(Some(ShapedBatch { rows, delete, slice }))
    }
}

/// The batch's rows by key; rows of one key stay in the order of the source.
pub(super) fn by_key(rows: &RecordBatch, cells: &[Cells<'_>], key: &[usize]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    order.sort_by(|a, b| {
        let (a, b) = (*a as usize, *b as usize);
        key.iter().map(|at| cells[*at].order(a, b)).find(|o| o.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
    order
}
