//! What DuckDB says of a failure, taken along as text.

use libduckdb_sys as ffi;
use std::fmt;

/// What DuckDB said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

/// Of what kind that was, as far as it makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Conversion,
    Constraint,
    Catalog,
    Dependency,
    Transaction,
    Interrupt,
    Io,
    Memory,
    Permission,
    Serialization,
    /// A setting that it is to be opened with has a value that it does not take.
    Setting,
    /// DuckDB gave the database up: nothing can be done with this object any more.
    Fatal,
    Other,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    pub(crate) fn of(kind: Kind, message: impl Into<String>) -> Failure {
        let mut message: String = message.into();
        // Where in its program DuckDB noticed is of no use to whom this is told.
        if let Some(end) = message.find("\n\nStack Trace:") {
            message.truncate(end);
        }
        Failure { kind, message }
    }

    pub(super) fn new(code: ffi::duckdb_error_type, message: String) -> Failure {
        let kind = match code {
            ffi::duckdb_error_type_DUCKDB_ERROR_CONVERSION | ffi::duckdb_error_type_DUCKDB_ERROR_OUT_OF_RANGE => {
                Kind::Conversion
            }
            ffi::duckdb_error_type_DUCKDB_ERROR_CONSTRAINT => Kind::Constraint,
            ffi::duckdb_error_type_DUCKDB_ERROR_CATALOG => Kind::Catalog,
            ffi::duckdb_error_type_DUCKDB_ERROR_DEPENDENCY => Kind::Dependency,
            ffi::duckdb_error_type_DUCKDB_ERROR_TRANSACTION => Kind::Transaction,
            ffi::duckdb_error_type_DUCKDB_ERROR_INTERRUPT => Kind::Interrupt,
            ffi::duckdb_error_type_DUCKDB_ERROR_IO => Kind::Io,
            ffi::duckdb_error_type_DUCKDB_ERROR_OUT_OF_MEMORY => Kind::Memory,
            ffi::duckdb_error_type_DUCKDB_ERROR_PERMISSION => Kind::Permission,
            ffi::duckdb_error_type_DUCKDB_ERROR_SERIALIZATION => Kind::Serialization,
            ffi::duckdb_error_type_DUCKDB_ERROR_FATAL | ffi::duckdb_error_type_DUCKDB_ERROR_INTERNAL => Kind::Fatal,
            _ => Kind::Other,
        };
        Failure::of(kind, message)
    }

    /// Of what kind it is where DuckDB gives the message alone, which begins with it.
    pub(super) fn told(message: String) -> Failure {
        let kind = match message.split_once(" Error:").map_or("", |(kind, _)| kind) {
            "Conversion" | "Out of Range" => Kind::Conversion,
            "Constraint" => Kind::Constraint,
            "Dependency" => Kind::Dependency,
            "TransactionContext" => Kind::Transaction,
            "INTERRUPT" => Kind::Interrupt,
            "IO" => Kind::Io,
            "Out of Memory" => Kind::Memory,
            "Permission" => Kind::Permission,
            "Serialization" => Kind::Serialization,
            "FATAL" | "INTERNAL" => Kind::Fatal,
            _ => Kind::Catalog,
        };
        Failure::of(kind, message)
    }
}
