//! Rows on their way into a server, over a connection that can do one thing at a time.

use arrow::datatypes::SchemaRef;
use floodmark_connect::{Chunk, ShapedBatch, destination::Transaction};
use floodmark_core::{
    Result,
    pipeline::{Load, Pipeline},
    state::{BoundaryChange, Reject},
};
use std::collections::VecDeque;

/// What is kept beside the table, as far as rows on their way need it.
pub trait Beside {
    /// Which of these rows at the watermark an earlier run loaded, asked for one after the other.
    fn loaded(&mut self, file: Option<&str>, hashes: &[u128]) -> Result<Vec<bool>>;

    /// Writes what became of the rows at the watermark.
    fn change(&mut self, change: &BoundaryChange) -> Result<()>;

    /// Writes rows that were set aside. The connection is free.
    fn keep(&mut self, rejects: &[Reject]) -> Result<()>;
}

/// Bytes of rows set aside that wait while others are on their way.
const REJECTS: usize = 4 << 20;

/// Where rows are set aside until the connection is free to keep them.
pub struct Desk<B> {
    /// Where they go then.
    pub beside: B,
    rejects: Vec<Reject>,
    bytes: usize,
}

impl<B: Beside> Desk<B> {
    /// Nothing is set aside yet.
    pub fn new(beside: B) -> Self {
        Desk { beside, rejects: Vec::new(), bytes: 0 }
    }

    /// Whether so many rows were set aside that the connection must be freed for them.
    fn is_full(&self) -> bool {
        self.bytes > REJECTS
    }

    /// Writes the rows that were set aside. The connection is free.
    pub fn write(&mut self) -> Result<()> {
        self.bytes = 0;
        self.beside.keep(&std::mem::take(&mut self.rejects))
    }
}

impl<B: Beside> Transaction for Desk<B> {
    fn keep(&mut self, reject: Reject) -> Result<()> {
        self.bytes += reject.raw.len() + reject.reason.len();
        self.rejects.push(reject);
        Ok(())
    }

    fn loaded(&mut self, file: Option<&str>, hashes: &[u128]) -> Result<Vec<bool>> {
        self.beside.loaded(file, hashes)
    }

    fn boundary(&mut self, change: &BoundaryChange) -> Result<()> {
        self.beside.change(change)
    }
}

/// The rows of a chunk.
pub struct Incoming<'a, B> {
    /// Where they come from.
    pub chunk: &'a mut dyn Chunk,
    /// What they need of the transaction.
    pub desk: Desk<B>,
    /// On their way they ask what is in the database: they can be taken only while the connection is free.
    asks: bool,
}

impl<'a, B: Beside> Incoming<'a, B> {
    /// None of them is taken yet.
    pub fn new(pipeline: &Pipeline, chunk: &'a mut dyn Chunk, beside: B) -> Self {
        let asks = pipeline.load == Load::Append && pipeline.watermark.is_some();
        Incoming { chunk, desk: Desk::new(beside), asks }
    }

    /// The next batch.
    #[expect(clippy::should_implement_trait, reason = "what comes is a result of an option: `?` and then a pattern")]
    pub fn next(&mut self) -> Result<Option<ShapedBatch>> {
        self.chunk.next(&mut self.desk)
    }
}

/// Bytes taken ahead where rows ask the database on their way.
const AHEAD: usize = 16 << 20;

/// Batches of the same columns, as many as come one after the other. `None` once there are no more at all.
pub struct Run<'i, 'a, B> {
    incoming: &'i mut Incoming<'a, B>,
    next: VecDeque<ShapedBatch>,
    schema: Option<SchemaRef>,
    /// The caller wants the connection back.
    pub full: bool,
}

impl<'i, 'a, B: Beside> Run<'i, 'a, B> {
    /// Nothing is taken yet.
    pub fn new(incoming: &'i mut Incoming<'a, B>) -> Self {
        Run { incoming, next: VecDeque::new(), schema: None, full: false }
    }

    /// Begins with the next batches: their columns, in the order in which they come. Between two such calls the connection
    /// is free.
    pub fn begin(&mut self) -> Result<Option<SchemaRef>> {
        self.incoming.desk.write()?;
        self.full = false;
        let mut bytes = 0;
        while self.next.is_empty() || (self.incoming.asks && bytes < AHEAD) {
            let Some(batch) = self.incoming.next()? else { break };
            bytes += batch.rows.get_array_memory_size();
            self.next.push_back(batch);
        }
        self.schema = self.next.front().map(|batch| batch.rows.schema());
        Ok(self.schema.clone())
    }

    /// The next batch of these columns.
    #[expect(clippy::should_implement_trait, reason = "what comes is a result of an option: `?` and then a pattern")]
    pub fn next(&mut self) -> Result<Option<ShapedBatch>> {
        if self.full || self.incoming.desk.is_full() {
            return Ok(None);
        }
        if self.next.is_empty() && !self.incoming.asks {
            self.next.extend(self.incoming.next()?);
        }
        let schema = self.schema.as_ref();
        let fits = |batch: &mut ShapedBatch| schema.is_some_and(|s| s.fields() == batch.rows.schema_ref().fields());
        Ok(self.next.pop_front_if(fits))
    }

    /// What was taken and not handed out.
    pub fn rest(mut self) -> Option<ShapedBatch> {
        self.next.pop_front()
    }
}
