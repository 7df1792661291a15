//! PostgreSQL as a source and destination.
//!
//! As a destination, one transaction holds a chunk's rows and everything that is remembered of them. Rows get in by `COPY` in binary form:
//! straight into a table that held none, else beside what the server looked up for their keys, by the rule in
//! `floodmark_core::merge`, and as set statements over what differs.

mod address;
mod adopt;
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
mod interrupt;
mod intervals;
mod ledger;
mod link;
mod lock;
mod merge;
mod passfile;
mod receipts;
mod rehearsal;
mod session;
mod source;
mod state;
mod tls;
mod touched;
mod tuples;

pub mod types;

pub use destination::PostgresDestination;
pub use source::{PostgresSource, catalog, filtered};
