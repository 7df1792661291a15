//! The rules of Floodmark: what a load means, with no input or output of its own.
//!
//! Everything here is a pure function of its arguments, so that the promises can be tested by properties.

pub mod accounting;
pub mod catalog;
pub mod clock;
pub mod commits;
pub mod coverage;
pub mod encoding;
pub mod error;
pub mod event;
pub mod fingerprint;
pub mod history;
pub mod infer;
pub mod interval;
pub mod merge;
pub mod outlet;
pub mod pipeline;
pub mod reshaping;
pub mod schema;
pub mod state;
pub mod text;
pub mod types;
pub mod url;
pub mod value;
pub mod watermark;
pub mod wording;

pub use accounting::Counts;
pub use error::{Code, Error, Result};
pub use schema::{Column, Schema};
pub use types::DataType;
pub use value::Value;
