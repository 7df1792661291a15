//! SQLite as a destination and as a source.
//!
//! One write transaction holds a chunk's rows and everything that is remembered of them. Rows are looked up and written
//! through prepared statements, one key at a time, by the rule in `floodmark_core::merge`.

mod adopt;
pub mod bench;
mod beside;
mod bind;
mod boundary;
mod codec;
mod commits;
mod copy;
mod ddl;
mod destination;
mod differences;
mod failure;
mod ledger;
pub mod lock;
mod merge;
mod order;
mod rehearsal;
mod session;
mod source;
mod state;
mod touched;
mod writeback;

pub mod types;

pub use destination::SqliteDestination;
pub use source::{SqliteSource, catalog, filtered};
