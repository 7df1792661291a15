//! The rows of a repair's transaction.

use super::rows::Rows;
use crate::{
    load::logical,
    shape::{Origin, Shaper},
};
use arrow::array::{BooleanArray, RecordBatch};
use floodmark_connect::{
    Chunk, ShapedBatch,
    crash::{self, Point},
    destination::Transaction,
};
use floodmark_core::{
    Counts, Error, Result,
    clock::SharedClock,
    commits::Committed,
    event::{Event, Observer},
    pipeline::Pipeline,
    state::{BoundaryChange, Commit, Lineage, RunRecord, State},
};

/// Keys that go, then rows that come.
pub(super) struct Stream<'r> {
    /// As the rows are merged.
    pub(super) pipeline: &'r Pipeline,
    /// The table's keys of rows that go.
    pub(super) deletes: Vec<RecordBatch>,
    pub(super) rows: Option<Rows<'r>>,
    pub(super) shaper: Shaper<'r>,
    pub(super) state: &'r State,
    pub(super) record: RunRecord,
    /// No transaction follows.
    pub(super) last: bool,
    /// Of this transaction.
    pub(super) counts: Counts,
    pub(super) observer: &'r dyn Observer,
    pub(super) clock: SharedClock,
}

impl Stream<'_> {
    fn pull(&mut self, transaction: &mut dyn Transaction) -> Result<Option<ShapedBatch>> {
        if let Some(rows) = self.deletes.pop() {
            self.counts.read += rows.num_rows() as u64;
            let delete = Some(BooleanArray::from(vec![true; rows.num_rows()]));
            return Ok(Some(ShapedBatch { rows, delete, slice: 0 }));
        }
        let Some(rows) = &mut self.rows else { return Ok(None) };
        while let Some((read, rows)) = rows.next()? {
            self.counts.read += read;
            self.counts.skipped += read - rows.num_rows() as u64;
            let read = self.record.counts.read + self.counts.read;
            self.observer.observe(&Event::Progress { pipeline: self.pipeline.name.clone(), rows: read });
            if rows.num_rows() == 0 {
                continue;
            }
            let origin = Origin { slice: "", known: true, heals: false, row_of: &|_| 0 };
            let shaped = self.shaper.shape(rows, &origin, transaction)?;
            // What a run would set aside was set aside when it was found out what the table should hold.
            if let Some(misfit) = shaped.misfits.into_iter().next() {
                return Err(misfit.error);
            }
            let rows = shaped.rows;
            let delete = self.pipeline.delete_when.is_some().then(|| BooleanArray::from(vec![false; rows.num_rows()]));
            return Ok(Some(ShapedBatch { rows, delete, slice: 0 }));
        }
        Ok(None)
    }
}

impl Chunk for Stream<'_> {
    fn next(&mut self, transaction: &mut dyn Transaction) -> Result<Option<ShapedBatch>> {
        let batch = self.pull(transaction)?;
        if batch.is_some() {
            crash::reached(Point::MidChunk)?;
        }
        Ok(batch)
    }

    /// What goes is named.
    fn complete(&self) -> bool {
        false
    }

    fn seal(&mut self, counts: Counts, _: Vec<(usize, Lineage)>) -> Result<Commit> {
        let mut sum = counts;
        sum.add(&self.counts);
        sum.check()?;
        crash::reached(Point::Sealed)?;
        self.record.counts.add(&sum);
        self.record.status = if self.last { "ok" } else { "partial" }.into();
        let now = self.clock.now().max(logical(self.record.started_at, self.state));
        self.record.finished_at = Some(now);
        self.record.commits.push(Committed {
            commits: 1,
            at: now,
            counts: sum,
            watermark: self.state.watermark.as_ref().map(|mark| mark.value.to_string()),
            bytes: None,
            // Rows are those of parts that differ, whichever slice they are in.
            slices: Vec::new(),
        });
        let schema = self.state.schema.clone().ok_or_else(|| Error::internal("a repair of what was never loaded"))?;
        self.observer.observe(&Event::Sealed { pipeline: self.pipeline.name.clone() });
        Ok(Commit {
            schema,
            source_schema: self.state.source_schema.clone(),
            watermark: self.state.watermark.clone(),
            pending: self.state.pending.clone(),
            boundary: BoundaryChange::default(),
            files: Vec::new(),
            reread: Vec::new(),
            skimmed: Vec::new(),
            replayed: Vec::new(),
            settings: self.state.settings.clone(),
            intervals: Vec::new(),
            absorbed: Vec::new(),
            run: self.record.clone(),
        })
    }
}
