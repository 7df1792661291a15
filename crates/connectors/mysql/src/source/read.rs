//! Rows on their way here: the server sends, a thread fills columns, and the engine takes.

use super::{bad, cells, columns::Wanted, failure::failed, snapshot::Snapshot};
use crate::{
    address::Address,
    failure::Failure,
    interrupt::{Interrupt, end_statement},
    link::{Db, Rows},
    wire::Row,
};
use arrow::{
    array::{BooleanArray, RecordBatch, RecordBatchOptions},
    compute::filter_record_batch,
};
use floodmark_connect::{
    BadRow, Batch, Stop,
    cells::{Cell, ColumnBuilder},
};
use floodmark_core::{Column, Error, Result, Schema};
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Rows of a batch, and bytes after which it ends early.
const ROWS: usize = 16_384;
const BYTES: usize = 8 << 20;
/// Batches that wait to be taken.
const AHEAD: usize = 2;
/// How long rows that nobody wants are read, until the server has heard that it may stop.
const DRAIN: Duration = Duration::from_secs(10);

/// What is read.
pub(crate) struct Reading {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) address: Address,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) select: String,
    pub(crate) skip: u64,
    pub(crate) stop: Stop,
}

/// Batches as they come. Dropped before the end it ends the statement.
pub(crate) struct Incoming {
    batches: Option<Receiver<Result<Batch>>>,
    /// It gives the connection back where that is whole.
    thread: Option<JoinHandle<Option<Db>>>,
    snapshot: Arc<Snapshot>,
    /// The connection's number.
    id: u64,
    address: Address,
    stop: Stop,
}

impl Reading {
    pub(crate) fn start(self) -> Result<Incoming> {
        let db = self.snapshot.take(&self.stop)?;
        let (id, address, stop) = (db.server.id, self.address.clone(), self.stop.clone());
        let (send, batches) = sync_channel(AHEAD);
        let snapshot = Arc::clone(&self.snapshot);
        let thread = std::thread::spawn(move || match self.run(&db, &send) {
            Ok(whole) => whole.then_some(db),
            Err(error) => {
                // Nobody listens any more where the run has ended.
                let _ = send.send(Err(error));
                None
            }
        });
        Ok(Incoming { batches: Some(batches), thread: Some(thread), snapshot, id, address, stop })
    }

    /// Reads to the end; whether the connection can be used again.
    fn run(&self, db: &Db, send: &SyncSender<Result<Batch>>) -> Result<bool> {
        let watch = Interrupt::start(&self.address, db.server.id, &self.stop);
        // What the server says of a statement ends that alone, be it before its first row.
        let ended = |doing: &str, failure: Failure| {
            let whole = matches!(failure, Failure::Server { .. });
            let _ = send.send(Err(failed(doing, failure)));
            whole
        };
        let mut rows = match db.stream(&self.select) {
            Ok(rows) => rows,
            Err(failure) => return Ok(ended("read the rows", failure)),
        };
        let mut filling = Filling::new(&self.wanted, self.skip + 1)?;
        let mut passed = 0;
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(failure) => return Ok(ended("send its rows", failure)),
            };
            passed += 1;
            if passed <= self.skip {
                continue;
            }
            filling.take(row, &self.wanted);
            if filling.is_full() && send.send(Ok(filling.batch(&self.wanted)?)).is_err() {
                drop(watch);
                return Ok(drained(rows));
            }
        }
        if filling.covered() > 0 {
            let _ = send.send(Ok(filling.batch(&self.wanted)?));
        }
        Ok(true)
    }
}

/// Passes over the rows until the statement ends, which it is told to; whether it did in time.
fn drained(mut rows: Rows<'_>) -> bool {
    let since = Instant::now();
    loop {
        match rows.next() {
            Ok(Some(_)) if since.elapsed() < DRAIN => {}
            Ok(None) | Err(Failure::Server { .. }) => return true,
            _ => return false,
        }
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
                let ended = self.thread.take()?.join();
                let panicked = ended.is_err();
                self.snapshot.give_back(ended.ok().flatten());
                panicked.then(|| Err(Error::internal("the reading thread panicked")))
            }
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // Nobody listens from here on, and the statement ends: so does the thread, whichever it waits for.
        self.batches = None;
        let ended = !thread.is_finished();
        if ended {
            end_statement(&self.address, self.id);
        }
        let db = thread.join().ok().flatten();
        // Where the statement was over by itself, its end may befall the next one.
        let is_whole = |db: &Db| !ended || db.execute("DO 0").is_ok() || db.execute("DO 0").is_ok();
        self.snapshot.give_back(db.filter(is_whole));
    }
}

/// A batch that is being filled.
struct Filling {
    columns: Vec<ColumnBuilder>,
    good: Vec<bool>,
    bad: Vec<BadRow>,
    bytes: usize,
    /// The number of its first row, from 1.
    first: u64,
    scratch: Vec<u8>,
}

impl Filling {
    fn new(wanted: &[Wanted], first: u64) -> Result<Self> {
        let columns = wanted.iter().map(|w| ColumnBuilder::new(w.data_type)).collect::<Result<_>>()?;
        Ok(Filling { columns, good: Vec::new(), bad: Vec::new(), bytes: 0, first, scratch: Vec::new() })
    }

    fn covered(&self) -> usize {
        self.good.len()
    }

    fn is_full(&self) -> bool {
        self.covered() >= ROWS || self.bytes >= BYTES
    }

    fn take(&mut self, row: Row<'_>, wanted: &[Wanted]) {
        let mut misfit = None;
        for (at, (column, wanted)) in self.columns.iter_mut().zip(wanted).enumerate() {
            let cell = match row.get(at) {
                None => Some(Cell::Null),
                Some(bytes) => {
                    self.bytes += bytes.len();
                    cells::read(wanted, bytes, &mut self.scratch)
                }
            };
            if !cell.is_some_and(|cell| column.append(cell)) {
                column.append_null();
                misfit.get_or_insert(at);
            }
        }
        if let Some(at) = misfit {
            self.bad.push(bad::row(row, wanted, at, self.first + self.covered() as u64));
        }
        self.good.push(misfit.is_none());
    }

    /// What there is so far; the next row begins another one.
    fn batch(&mut self, wanted: &[Wanted]) -> Result<Batch> {
        let covered = self.covered();
        let schema = Schema { columns: wanted.iter().map(|w| Column::new(&w.name, w.data_type)).collect() };
        let arrays = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(covered));
        let mut rows = RecordBatch::try_new_with_options(schema.to_arrow(), arrays, &options)?;
        let good = std::mem::take(&mut self.good);
        if !self.bad.is_empty() {
            rows = filter_record_batch(&rows, &BooleanArray::from(good))?;
        }
        let batch = Batch {
            rows,
            bad: std::mem::take(&mut self.bad),
            first_row: self.first,
            covered: covered as u64,
            left_out: 0,
        };
        self.first += covered as u64;
        self.bytes = 0;
        Ok(batch)
    }
}
