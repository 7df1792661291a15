//! The run: plan → extract → shape → load → record, over any source and destination.

pub mod registry;
mod run;

pub use floodmark_connect::Stop;
pub use run::{Engine, Outcome, RunOptions, Status};
