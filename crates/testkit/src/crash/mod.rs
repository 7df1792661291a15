//! Kills the real program at every named point of a run, and compares what is left with the unbroken run.
//!
//! A [`Scenario`] is a pipeline and the stages of its life: files change, a command runs. For each stage the unbroken
//! run is traced first, which gives the points it meets. Then, for each of them, a copy of the project is run and
//! killed there, run again to its end, and [looked at](Look): tables, state and the sum of the receipts must be those
//! of the unbroken run. So a new point is covered by being named, and a new destination by one [`Destination`].

#[cfg(feature = "lake")]
mod delta;
#[cfg(feature = "duckdb")]
mod duckdb;
mod look;
mod matrix;
mod mysql;
mod pick;
mod postgres;
mod scenario;
mod signal;
mod sqlite;
mod stage;

#[cfg(feature = "lake")]
pub use delta::Delta;
#[cfg(feature = "duckdb")]
pub use duckdb::Duckdb;
pub use look::{Database, Destination, Look, Sums, written};
pub use matrix::{Breakage, Report, run};
pub use mysql::Mysql;
pub use pick::Depth;
pub use postgres::Postgres;
pub use scenario::{Again, Scenario, Stage};
pub use signal::{await_stopped, send};
pub use sqlite::Sqlite;
pub use stage::Program;
