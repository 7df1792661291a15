//! A transaction without rows: it makes or changes the table, or moves the watermark.

use floodmark_connect::{Chunk, ShapedBatch, destination::Transaction};
use floodmark_core::{
    Counts, Error, Result,
    state::{Commit, Lineage},
};

/// What is written is known before.
pub(super) struct Still {
    pub(super) commit: Option<Commit>,
}

impl Chunk for Still {
    fn next(&mut self, _: &mut dyn Transaction) -> Result<Option<ShapedBatch>> {
        Ok(None)
    }

    /// That no row comes says nothing of those that are there.
    fn complete(&self) -> bool {
        false
    }

    fn seal(&mut self, _: Counts, _: Vec<(usize, Lineage)>) -> Result<Commit> {
        self.commit.take().ok_or_else(|| Error::internal("a transaction was sealed twice"))
    }
}
