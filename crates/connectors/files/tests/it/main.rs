//! Files as the engine sees them: slices, survey, read.

mod bad_input;
mod columnar;
mod csv;
mod json;
mod packed;
mod same_rows;
mod support;
