//! Files as the engine sees them: slices, survey, read.

#![expect(clippy::unwrap_used, reason = "a helper that panics is a test that fails")]

mod bad_input;
mod columnar;
mod csv;
mod json;
mod packed;
mod pruned;
mod same_rows;
mod support;
