//! Plays projects against the real `floodmark` binary and compares what the tables hold with what they should.
//!
//! A *case* is a text file (`docs/reference/cases.md` tells its form): files to write, runs with the outcome they must
//! have, tables with the rows they must hold. This crate knows nothing of the engine: it sees what a user sees.

pub mod case;
mod cell;
mod compare;
pub mod crash;
#[cfg(feature = "duckdb")]
mod duckdb;
mod dump;
#[cfg(feature = "lake")]
mod lake;
pub mod model;
pub mod mysql;
pub mod objects;
pub mod outcome;
mod plan;
pub mod play;
#[cfg(target_os = "linux")]
pub mod pooler;
mod program;
mod project;
#[cfg(target_os = "linux")]
pub mod proxy;
#[cfg(target_os = "linux")]
pub mod server;
mod store;
pub mod suite;

#[cfg(feature = "duckdb")]
pub use duckdb::execute_on_duckdb;
pub use dump::{Dump, dump};
pub use mysql::Mysql;
pub use play::{Failure, Style, play};
pub use program::floodmark;
pub use project::{copy_tree, scratch};
pub use store::{Destination, Postgres};
