//! The contracts between the engine and its connectors. A connector never knows the engine.
//!
//! Calls block: a load is one long pipeline of few threads, and back-pressure is a bounded channel or a pull. A
//! connector whose driver is asynchronous owns its runtime.

pub mod ahead;
pub mod aside;
pub mod books;
pub mod boundary;
pub mod cells;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod crash;
pub mod destination;
pub mod digests;
pub mod kept;
pub mod refusal;
pub mod rehearsal;
pub mod source;
mod stop;
pub mod store;

pub use destination::{Capabilities, Chunk, Destination, LoadPlan, Session, ShapedBatch, Target};
pub use rehearsal::{Differences, Rehearsal, RowChange, Sample};
pub use source::{BadRow, Batch, Batches, Files, Range, ReadPlan, Slice, Source, Survey, SurveyRequest};
pub use stop::Stop;
