//! Lakes: folders of tables, each a log that says which Parquet files are the table, here or in an object store.
//!
//! The log (`log`) and the data files (`data`) know nothing of each other's insides: what a file holds is told by a
//! [`DataFile`], and a change of a table by a [`Change`], which one put of a log entry makes true as a whole. See
//! `docs/internals/lakes.md`.

mod ahead;
mod copy;
mod data;
mod destination;
mod failure;
mod find;
mod keeper;
mod lake;
mod ledger;
mod log;
mod notes;
mod patches;
mod publish;
mod rehearsal;
mod rows;
mod session;
mod source;
mod store;

pub use data::{Bounds, DataFile, Layout, Writer};
pub use destination::LakeDestination;
pub use lake::{Lake, Table};
pub use log::{Change, Operation, Outcome, Reads, Snapshot, must_rewrite};
pub use source::{LakeSource, VERSION, catalog};
