//! The Delta log: what a table is, and the one put that changes it.

mod actions;
mod commit;
mod fields;
mod snapshot;
mod stats;
mod support;
mod tidy;
mod vacuum;

pub use commit::{Change, Operation, Outcome, Reads};
pub use fields::must_rewrite;
pub use snapshot::Snapshot;
pub use tidy::Tidied;
