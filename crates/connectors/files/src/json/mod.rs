//! JSON Lines and JSON arrays of objects. Numbers keep their printed digits.

mod array;
mod parse;

pub(crate) use array::Elements;
pub(crate) use parse::{JsonParser, MAX_COLUMNS};
