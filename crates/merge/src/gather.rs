//! Small batches put together: the server is asked once for many keys.

use crate::incoming::{Beside, Incoming};
use arrow::{
    array::{Array, BooleanArray},
    compute::{concat, concat_batches},
};
use floodmark_connect::ShapedBatch;
use floodmark_core::Result;

/// Bytes put together: enough for the rows of an everyday delta, few enough to bound memory.
const BYTES: usize = 16 << 20;

/// Joins small batches of the same columns into larger ones.
pub struct Gather<'i, 'a, B> {
    inner: &'i mut Incoming<'a, B>,
    next: Option<ShapedBatch>,
}

impl<'i, 'a, B: Beside> Gather<'i, 'a, B> {
    /// `next` was taken already.
    pub fn new(inner: &'i mut Incoming<'a, B>, next: Option<ShapedBatch>) -> Self {
        Gather { inner, next }
    }

    /// The next batches as one. The connection is free then, and what was set aside on the way is kept.
    #[expect(clippy::should_implement_trait, reason = "what comes is a result of an option: `?` and then a pattern")]
    pub fn next(&mut self) -> Result<Option<ShapedBatch>> {
        let batch = self.gather()?;
        self.inner.desk.write()?;
        Ok(batch)
    }

    fn gather(&mut self) -> Result<Option<ShapedBatch>> {
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
