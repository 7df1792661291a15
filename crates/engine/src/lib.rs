//! The run: plan → extract → shape → load → record, over any source and destination.

mod attempt;
mod backfill;
mod by_file;
mod cast;
pub mod diff;
mod extract;
pub mod inspect;
mod load;
mod names;
pub mod neighbours;
mod plan;
mod preview;
pub mod prove;
mod reach;
pub mod registry;
mod repair;
mod run;
mod shape;
pub mod verify;

pub use backfill::{BackfillOptions, Backfilled, Coverage};
pub use floodmark_connect::Stop;
pub use preview::{FileToRead, Preview, Previewed, Why};
pub use repair::{Extras, Intent, RepairOptions, Repaired};
pub use run::{Engine, Outcome, Replay, RunOptions, Status};
