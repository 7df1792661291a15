//! The log: what a table is, and the one put that changes it. It is Delta's, or (`dataset`) a manifest of our own.

mod actions;
mod commit;
mod dataset;
mod fields;
mod since;
mod snapshot;
mod stats;
mod support;
mod tidy;
mod vacuum;

pub use commit::{Change, Operation, Outcome, Reads};
pub use fields::must_rewrite;
pub(crate) use fields::{check_partitions, narrow_name, stored_alike};
pub use snapshot::Snapshot;
