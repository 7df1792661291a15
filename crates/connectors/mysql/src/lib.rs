//! MySQL and MariaDB as a source and destination.
//!
//! As a destination, one transaction holds a chunk's rows and everything that is remembered of them. Rows get in by
//! `LOAD DATA LOCAL`: straight into a table that held none, else beside what the server looked up for their keys, by the
//! rule in `floodmark_core::merge`, and as set statements over what differs. These servers commit whenever a table is made
//! or changed; how a load is whole all the same stands in `ddl` and `swap`.

mod address;
mod adopt;
mod beside;
mod boundary;
mod codec;
mod commits;
mod copy;
mod ddl;
mod destination;
mod differences;
mod failure;
mod greet;
mod interrupt;
mod intervals;
mod ledger;
mod link;
mod literal;
mod lock;
mod merge;
mod packets;
mod receipts;
mod rehearsal;
mod rows;
mod session;
mod source;
mod state;
mod swap;
mod tls;
mod wire;

pub mod types;

pub use destination::MysqlDestination;
pub use source::{MysqlSource, catalog, filtered};
