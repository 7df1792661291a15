//! Single values, and types.

use super::{Failure, Kind, Result};
use arrow::datatypes::{DataType as ArrowType, TimeUnit};
use libduckdb_sys as ffi;

/// What a statement is given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parameter {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    /// Microseconds from 1970-01-01 in UTC.
    Instant(i64),
    /// Values of one kind.
    List(Listed, Vec<Parameter>),
}

/// Of which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    Bool,
    Int,
    Text,
    Bytes,
    Instant,
}

/// A value as DuckDB has it.
pub(super) struct Value(pub(super) ffi::duckdb_value);

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: it was created, and is used no more.
        unsafe { ffi::duckdb_destroy_value(&mut self.0) }
    }
}

/// A type as DuckDB has it.
pub(super) struct Type(pub(super) ffi::duckdb_logical_type);

impl Drop for Type {
    fn drop(&mut self) {
        // SAFETY: it was created, and is used no more.
        unsafe { ffi::duckdb_destroy_logical_type(&mut self.0) }
    }
}

impl Type {
    pub(super) fn of(id: ffi::duckdb_type) -> Type {
        // SAFETY: any number is taken.
        Type(unsafe { ffi::duckdb_create_logical_type(id) })
    }

    pub(super) fn id(&self) -> ffi::duckdb_type {
        // SAFETY: the type is there.
        unsafe { ffi::duckdb_get_type_id(self.0) }
    }

    /// The type of a vector that Arrow's values of this type are put into.
    pub(super) fn for_arrow(of: &ArrowType) -> Result<Type> {
        Ok(match of {
            ArrowType::Boolean => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_BOOLEAN),
            ArrowType::Int64 => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT),
            // SAFETY: precision and scale are those of an Arrow decimal of 128 bits, which DuckDB's are, too.
            ArrowType::Decimal128(p, s) => Type(unsafe { ffi::duckdb_create_decimal_type(*p, s.unsigned_abs()) }),
            ArrowType::Float64 => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_DOUBLE),
            ArrowType::Utf8 => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR),
            ArrowType::Binary => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_BLOB),
            ArrowType::Date32 => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_DATE),
            ArrowType::Time64(TimeUnit::Nanosecond) => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIME),
            ArrowType::Timestamp(_, None) => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP),
            ArrowType::Timestamp(_, Some(_)) => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_TZ),
            other => return Err(Failure::of(Kind::Other, format!("no vector takes values of Arrow's type {other}"))),
        })
    }
}

impl Parameter {
    pub(super) fn value(&self) -> Result<Value> {
        // SAFETY: pointers are to slices that outlive the call, with their lengths; DuckDB copies what they hold.
        let value = unsafe {
            match self {
                Parameter::Null => ffi::duckdb_create_null_value(),
                Parameter::Bool(value) => ffi::duckdb_create_bool(*value),
                Parameter::Int(value) => ffi::duckdb_create_int64(*value),
                Parameter::Text(text) => ffi::duckdb_create_varchar_length(text.as_ptr().cast(), text.len() as u64),
                Parameter::Bytes(bytes) => ffi::duckdb_create_blob(bytes.as_ptr(), bytes.len() as u64),
                Parameter::Instant(micros) => {
                    ffi::duckdb_create_timestamp_tz(ffi::duckdb_timestamp { micros: *micros })
                }
                Parameter::List(listed, parts) => {
                    let of = Type::of(match listed {
                        Listed::Bool => ffi::DUCKDB_TYPE_DUCKDB_TYPE_BOOLEAN,
                        Listed::Int => ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT,
                        Listed::Text => ffi::DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR,
                        Listed::Bytes => ffi::DUCKDB_TYPE_DUCKDB_TYPE_BLOB,
                        Listed::Instant => ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_TZ,
                    });
                    let values = parts.iter().map(Parameter::value).collect::<Result<Vec<Value>>>()?;
                    let mut raw: Vec<ffi::duckdb_value> = values.iter().map(|value| value.0).collect();
                    ffi::duckdb_create_list_value(of.0, raw.as_mut_ptr(), raw.len() as u64)
                }
            }
        };
        match value.is_null() {
            true => Err(Failure::of(Kind::Conversion, "DuckDB does not take a value")),
            false => Ok(Value(value)),
        }
    }
}
