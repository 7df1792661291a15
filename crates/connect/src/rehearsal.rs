//! Loads that are looked at and not kept, and tables that are compared.

use crate::Session;
use floodmark_core::{Result, Value};

/// A session whose loads are one transaction that is never committed. `load` may be called for chunk after chunk, and
/// each sees what the earlier ones did; `record` does nothing.
pub trait Rehearsal: Session {
    /// What all loads together made of the table: at most `limit` rows inserted, updated and removed each, in the
    /// order of the table. A row that was changed and changed back is none of them.
    fn samples(&self, limit: usize) -> Result<Vec<Sample>>;
}

/// One row before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The columns that identify it; empty where the table has no key.
    pub key: Vec<(String, Value)>,
    /// What became of it.
    pub change: RowChange,
}

/// What became of a row: its columns beside the key, in the table's order.
#[derive(Debug, Clone, PartialEq)]
pub enum RowChange {
    /// It was not there before.
    Inserted(Vec<(String, Value)>),
    /// Only the columns that differ: name, value before, value after.
    Updated(Vec<(String, Value, Value)>),
    /// It is not there any more.
    Removed(Vec<(String, Value)>),
}

/// How one table differs from another: what it would take to make the first into the second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Differences {
    /// Rows that are only in one of the two, or have other values. A content without a key counts as often as it is in
    /// one of them more than in the other.
    pub rows: u64,
    /// Those of them that are in both, and of which neither says it is newer: their versions are equal. 0 where the
    /// pipeline names no version.
    pub ties: u64,
    /// A few of them.
    pub samples: Vec<Sample>,
}
