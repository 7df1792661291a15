//! DuckDB's C interface, made safe: the one module that calls it.
//!
//! Rows cross in DuckDB's own vectors, a chunk of at most some thousand at a time: out of them into Arrow's arrays, and the
//! other way. Every pointer lives in a type that gives it back when it is dropped, and what DuckDB says of a failure is taken
//! along as text.
#![expect(unsafe_code, reason = "a C interface")]

mod database;
mod failure;
mod feed;
mod statement;
mod value;
mod vectors;

pub(crate) use database::{Connection, Database};
pub(crate) use failure::{Failure, Kind};
pub(crate) use feed::{Feed, Feeder};
pub(crate) use statement::Rows;
pub(crate) use value::{Listed, Parameter};

use std::ffi::{CStr, CString, c_char};

type Result<T, E = Failure> = std::result::Result<T, E>;

/// DuckDB's text as ours.
///
/// # Safety
/// `text` is NULL, or ends with a zero byte.
unsafe fn text(text: *const c_char) -> String {
    match text.is_null() {
        true => "DuckDB gave no reason".to_owned(),
        // SAFETY: as above.
        false => unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned(),
    }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Failure::of(Kind::Other, "a statement, name or setting holds the character U+0000"))
}
