//! Rows on their way here: the server sends, threads decode, and the engine takes.

use super::{
    bad,
    block::{Block, Rows},
    columns::Wanted,
    decode,
    failure::to,
    parts::{Parts, Select},
    queue::{self, Queue},
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
    sync::{Arc, OnceLock, Weak},
    thread::JoinHandle,
};
use tokio_postgres::CancelToken;

/// Batches that wait to be taken: of one reader, and of each one more.
const AHEAD: usize = 4;
const MORE: usize = 3;

type Reader = queue::Reader<Parts, Batch>;
type Turn<'r> = queue::Turn<'r, Parts, Batch>;

/// What is read.
pub(crate) struct Reading {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) address: Address,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) select: Select,
    /// So many sessions at most.
    pub(crate) readers: usize,
    pub(crate) skip: u64,
    pub(crate) stop: Stop,
}

/// Batches as they come. Dropped before the end it ends the statements.
pub(crate) struct Incoming {
    reading: Arc<Reading>,
    queue: Arc<Queue<Parts, Batch>>,
    /// None once the end has come, or an error.
    sessions: Vec<Session>,
    /// Rows that were taken.
    passed: u64,
}

/// A session that reads, on a thread of its own.
struct Session {
    thread: JoinHandle<()>,
    /// What ends its statement, once it is connected.
    cancel: Arc<OnceLock<CancelToken>>,
}

impl Reading {
    pub(crate) fn start(self) -> Result<Incoming> {
        let db = self.snapshot.take(&self.address)?;
        let snapshot = &self.snapshot;
        let parts = if self.readers > 1 { Parts::of(&db, snapshot, &self.select)? } else { None };
        let parts = parts.unwrap_or_else(|| Parts::whole(&snapshot.found, self.select.clone()));
        let readers = parts.employ(self.readers).max(1);
        let queue = Arc::new(Queue::new(parts, AHEAD + MORE * (readers - 1)));
        let reading = Arc::new(self);
        let mut sessions = vec![Session::first(&reading, queue.reader(), db)?];
        // Fewer do the same work.
        sessions.extend((1..readers).map_while(|_| Session::another(&reading, queue.reader()).ok()));
        Ok(Incoming { reading, queue, sessions, passed: 0 })
    }

    /// Reads by one session, as long as there are parts and somebody wants them; whether it is whole then.
    fn session(&self, reader: &Reader, db: &Db) -> bool {
        let _watch = Interrupt::start(&self.address, db.cancel(), &self.stop);
        let mut block = Block::new(self.wanted.len());
        while let Some((part, turn)) = reader.begin() {
            match self.part(db, &part, &turn, &mut block) {
                Ok(true) => turn.end(),
                Ok(false) => return false,
                Err(error) => {
                    turn.fail(error);
                    return false;
                }
            }
        }
        reader.is_done()
    }

    /// Reads one part; `false` where nobody wants more.
    fn part(&self, db: &Db, part: &str, turn: &Turn<'_>, block: &mut Block) -> Result<bool> {
        let sql = format!("COPY ({part}) TO STDOUT (FORMAT binary)");
        let mut rows = Rows::new(db.stream_out(&sql).map_err(to("read the rows"))?, block);
        while let Some(block) = rows.next()? {
            if !turn.bring(batch(block, &self.wanted)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Session {
    /// The one that is connected. The snapshot is its own.
    fn first(reading: &Arc<Reading>, reader: Reader, db: Db) -> Result<Session> {
        let cancel = Arc::new(OnceLock::from(db.cancel()));
        let reading = Arc::clone(reading);
        let read = move || {
            if reading.session(&reader, &db) {
                reading.snapshot.give_back(db);
            }
        };
        Ok(Session { thread: spawn(read)?, cancel })
    }

    /// One more. It connects while others read, and is left out where it cannot: they come to the parts it would have taken.
    /// Until then it holds on to nothing that others wait for.
    fn another(reading: &Arc<Reading>, reader: Reader) -> Result<Session> {
        let statement = reading.select.from(&reading.snapshot.found.from, &[]);
        let invitation = reading.snapshot.invite(&reading.address, &statement);
        let cancel = Arc::new(OnceLock::new());
        let (reading, own) = (Arc::downgrade(reading), Arc::clone(&cancel));
        let read = move || match invitation.connect() {
            Ok(db) => {
                let _ = own.set(db.cancel());
                if let Some(reading) = Weak::upgrade(&reading) {
                    reading.session(&reader, &db);
                }
            }
            Err(error) => tracing::info!(%error, "a table is read by one session less"),
        };
        Ok(Session { thread: spawn(read)?, cancel })
    }

    /// Waits for its end. One that is still connecting ends by itself: it finds nothing left to do.
    fn join(self) {
        if self.cancel.get().is_some() {
            // Its panic was reported as an error already.
            let _ = self.thread.join();
        }
    }
}

fn spawn(read: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name("floodmark-read".into());
    thread.spawn(read).map_err(|error| Error::internal("no thread can be started").cause(error))
}

impl Incoming {
    fn step(&mut self) -> Result<Option<Batch>> {
        let skip = self.reading.skip;
        loop {
            self.reading.stop.check()?;
            let taken = self.queue.take().transpose();
            let Some(batch) = taken.map_err(|error| self.reading.stop.check().err().unwrap_or(error))? else {
                return Ok(None);
            };
            let before = self.passed;
            self.passed += batch.covered;
            if self.passed > skip {
                let batch = behind(batch, before);
                return Ok(Some(if before < skip { without(batch, skip - before) } else { batch }));
            }
        }
    }

    /// Ends all statements: nobody wants more.
    fn break_off(&mut self) {
        self.queue.close();
        for session in &self.sessions {
            if let Some(cancel) = session.cancel.get().filter(|_| !session.thread.is_finished()) {
                end_statement(&self.reading.address, cancel);
            }
        }
        self.sessions.drain(..).for_each(Session::join);
    }
}

impl Iterator for Incoming {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.sessions.is_empty() {
            return None;
        }
        let step = self.step().transpose();
        match &step {
            Some(Ok(_)) => {}
            Some(Err(_)) => self.break_off(),
            None => self.sessions.drain(..).for_each(Session::join),
        }
        step
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.break_off();
    }
}

/// The rows of a block, counted from its first one.
fn batch(block: &Block, wanted: &[Wanted]) -> Result<Batch> {
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
            bad.push(bad::row(block, wanted, row, at, row as u64 + 1));
        }
        rows = filter_record_batch(&rows, &BooleanArray::from(keep))?;
    }
    Ok(Batch { rows, bad, first_row: 1, covered: block.rows as u64, left_out: 0 })
}

/// The batch with so many rows before it.
fn behind(mut batch: Batch, before: u64) -> Batch {
    batch.first_row += before;
    batch.bad.iter_mut().for_each(|bad| bad.row += before);
    batch
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
