//! CSV by RFC 4180, strictly, with PostgreSQL's rule for NULL: nothing at all is NULL, `""` is empty text.
//!
//! Written here rather than taken from a crate because these must be known of every cell: whether it was quoted, and
//! exactly which bytes of which line it stood in.

mod header;
mod marks;
mod parse;
mod split;

pub(crate) use header::{Header, check_options};
pub(crate) use parse::CsvParser;
pub(crate) use split::Quotes;
