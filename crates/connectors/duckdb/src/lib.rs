//! DuckDB as a source and destination.
//!
//! As a destination, one transaction holds a chunk's rows and everything that is remembered of them. Rows get in by chunks of
//! columns: straight into a table that held none, else beside what the table holds for their keys, by the rule in
//! `floodmark_core::merge`, and as set statements over what differs.

mod adopt;
mod aside;
mod belongings;
mod beside;
mod boundary;
mod codec;
mod commits;
mod copy;
mod ddl;
mod destination;
mod differences;
mod failure;
mod file;
mod instance;
mod interrupt;
mod intervals;
mod ledger;
mod link;
mod literal;
mod lock;
mod merge;
mod raw;
mod receipts;
mod rehearsal;
mod session;
mod settings;
mod source;
mod state;
mod tuples;

#[cfg(feature = "outside")]
pub mod outside;
pub mod types;

pub use destination::DuckdbDestination;
pub use source::{DuckdbSource, catalog, filtered};
