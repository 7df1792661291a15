//! Rows on their way into a server, over a connection that can do one thing at a time.

use arrow::datatypes::SchemaRef;
use floodmark_connect::{Chunk, ShapedBatch, destination::Transaction};
use floodmark_core::Result;
use std::collections::VecDeque;

/// What the rows need of the transaction.
pub trait Desk: Transaction {
    /// Whether so many rows were set aside that the connection must be freed for them.
    fn is_full(&self) -> bool;

    /// Writes the rows that were set aside. The connection is free.
    fn write(&mut self) -> Result<()>;
}

/// The rows of a chunk.
pub struct Incoming<'a, D> {
    /// Where they come from.
    pub chunk: &'a mut dyn Chunk,
    /// What they need of the transaction.
    pub desk: D,
    /// On their way they ask what is in the database: they can be taken only while the connection is free.
    pub asks: bool,
}

impl<D: Desk> Incoming<'_, D> {
    /// The next batch.
    #[expect(clippy::should_implement_trait, reason = "what comes is a result of an option: `?` and then a pattern")]
    pub fn next(&mut self) -> Result<Option<ShapedBatch>> {
        self.chunk.next(&mut self.desk)
    }
}

/// Bytes taken ahead where rows ask the database on their way.
const AHEAD: usize = 16 << 20;

/// Batches of the same columns, as many as come one after the other. `None` once there are no more at all.
pub struct Run<'i, 'a, D> {
    incoming: &'i mut Incoming<'a, D>,
    next: VecDeque<ShapedBatch>,
    schema: Option<SchemaRef>,
    /// The caller wants the connection back.
    pub full: bool,
}

impl<'i, 'a, D: Desk> Run<'i, 'a, D> {
    /// Nothing is taken yet.
    pub fn new(incoming: &'i mut Incoming<'a, D>) -> Self {
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
