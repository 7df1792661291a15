//! Rows on their way here: the server sends, a thread decodes, and the engine takes.

use super::{
    bad,
    block::{Block, Rows},
    columns::Wanted,
    decode,
    failure::to,
    snapshot::Snapshot,
};
use crate::{
    address::Address,
    interrupt::{Interrupt, end_statement},
    link::Db,
};
use arrow::{
    array::{BooleanArray, RecordBatch, RecordBatchOptions},
    compute::filter_record_batch,
};
use floodmark_connect::{Batch, Stop};
use floodmark_core::{Column, Error, Result, Schema};
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};
use tokio_postgres::CancelToken;

/// Batches that wait to be taken.
const AHEAD: usize = 4;

/// What is read.
pub(crate) struct Reading {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) address: Address,
    pub(crate) wanted: Vec<Wanted>,
    /// The statement whose rows are copied.
    pub(crate) select: String,
    pub(crate) skip: u64,
    pub(crate) stop: Stop,
}

/// Batches as they come. Dropped before the end it ends the statement.
pub(crate) struct Incoming {
    batches: Option<Receiver<Result<Batch>>>,
    thread: Option<JoinHandle<()>>,
    cancel: CancelToken,
    address: Address,
    stop: Stop,
}

impl Reading {
    pub(crate) fn start(self) -> Result<Incoming> {
        let db = self.snapshot.take(&self.address)?;
        let (cancel, address, stop) = (db.cancel(), self.address.clone(), self.stop.clone());
        let (send, batches) = sync_channel(AHEAD);
        let thread = std::thread::spawn(move || {
            let snapshot = Arc::clone(&self.snapshot);
            match self.run(&db, &send) {
                Ok(true) => snapshot.give_back(db),
                Ok(false) => {}
                Err(error) => {
                    let _ = send.send(Err(error));
                }
            }
        });
        Ok(Incoming { batches: Some(batches), thread: Some(thread), cancel, address, stop })
    }

    /// Reads to the end; `false` where nobody wants more.
    fn run(&self, db: &Db, send: &SyncSender<Result<Batch>>) -> Result<bool> {
        let _watch = Interrupt::start(&self.address, db.cancel(), &self.stop);
        let sql = format!("COPY ({}) TO STDOUT (FORMAT binary)", self.select);
        let mut rows = Rows::new(db.stream_out(&sql).map_err(to("read the rows"))?, self.wanted.len());
        let mut passed = 0;
        while let Some(block) = rows.next()? {
            let first_row = passed + 1;
            passed += block.rows as u64;
            if passed <= self.skip {
                continue;
            }
            let batch = batch(block, &self.wanted, first_row)?;
            let ahead = self.skip.saturating_sub(first_row - 1);
            let batch = if ahead > 0 { without(batch, ahead) } else { batch };
            if send.send(Ok(batch)).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Iterator for Incoming {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if let Err(stopped) = self.stop.check() {
            self.batches = None;
            return self.thread.as_ref().map(|_| Err(stopped));
        }
        match self.batches.as_ref()?.recv() {
            Ok(Ok(batch)) => Some(Ok(batch)),
            Ok(Err(error)) => {
                self.batches = None;
                Some(Err(self.stop.check().err().unwrap_or(error)))
            }
            Err(_) => {
                self.batches = None;
                let ended = self.thread.take().is_none_or(|thread| thread.join().is_ok());
                (!ended).then(|| Err(Error::internal("the reading thread panicked")))
            }
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // Nobody listens from here on, and the statement ends: so does the thread, whichever it waits for.
        self.batches = None;
        if !thread.is_finished() {
            end_statement(&self.address, &self.cancel);
        }
        let _ = thread.join();
    }
}

fn batch(block: &Block, wanted: &[Wanted], first_row: u64) -> Result<Batch> {
    let (mut arrays, mut lost) = (Vec::with_capacity(wanted.len()), Vec::new());
    let mut rows_lost = Vec::new();
    for (at, column) in wanted.iter().enumerate() {
        arrays.push(decode::column(block, at, column, &mut rows_lost)?);
        lost.extend(rows_lost.drain(..).map(|row| (row, at)));
    }
    let schema = Schema { columns: wanted.iter().map(|w| Column::new(&w.name, w.data_type)).collect() };
    let options = RecordBatchOptions::new().with_row_count(Some(block.rows));
    let mut rows = RecordBatch::try_new_with_options(schema.to_arrow(), arrays, &options)?;
    let mut bad = Vec::new();
    if !lost.is_empty() {
        // By row, the first column that does not fit.
        lost.sort_unstable();
        lost.dedup_by_key(|(row, _)| *row);
        let mut keep = vec![true; block.rows];
        for (row, at) in lost {
            keep[row] = false;
            bad.push(bad::row(block, wanted, row, at, first_row + row as u64));
        }
        rows = filter_record_batch(&rows, &BooleanArray::from(keep))?;
    }
    Ok(Batch { rows, bad, first_row, covered: block.rows as u64 })
}

/// The batch without its first rows.
fn without(mut batch: Batch, ahead: u64) -> Batch {
    let first_row = batch.first_row + ahead;
    let before = batch.bad.len();
    batch.bad.retain(|bad| bad.row >= first_row);
    let good = ahead as usize - (before - batch.bad.len());
    batch.rows = batch.rows.slice(good, batch.rows.num_rows() - good);
    Batch { first_row, covered: batch.covered - ahead, ..batch }
}
