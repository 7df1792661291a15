//! Arrow columns bound to statement parameters, compared with stored values, and encoded for hashes, with no allocation
//! for each row.

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray,
        types::{
            Date32Type, Decimal128Type, Float64Type, Int64Type, Time64NanosecondType, TimestampMicrosecondType,
            TimestampNanosecondType,
        },
    },
    buffer::NullBuffer,
};
use floodmark_core::{DataType, Error, Result, Value, text};
use rusqlite::{Statement, types::ValueRef};

/// A column of a batch, downcast once.
pub(crate) struct Cells<'a> {
    values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
    pub(crate) data_type: DataType,
}

enum Values<'a> {
    Bool(&'a BooleanArray),
    Int(&'a PrimitiveArray<Int64Type>),
    Decimal(&'a PrimitiveArray<Decimal128Type>, u8),
    Double(&'a PrimitiveArray<Float64Type>),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64NanosecondType>),
    Micros(&'a PrimitiveArray<TimestampMicrosecondType>, bool),
    Nanos(&'a PrimitiveArray<TimestampNanosecondType>, bool),
}

/// The columns of a batch with their types.
pub(crate) fn columns<'a>(batch: &'a RecordBatch, types: &[DataType]) -> Result<Vec<Cells<'a>>> {
    batch.columns().iter().zip(types).map(|(array, t)| Cells::new(array, *t)).collect()
}

impl<'a> Cells<'a> {
    pub(crate) fn new(array: &'a ArrayRef, data_type: DataType) -> Result<Self> {
        if *array.data_type() != data_type.to_arrow() {
            return Err(Error::internal(format!("a {data_type} column arrived as {}", array.data_type())));
        }
        let values = match data_type {
            DataType::Bool => Values::Bool(array.as_boolean()),
            DataType::BigInt => Values::Int(array.as_primitive()),
            DataType::Decimal(_, s) => Values::Decimal(array.as_primitive(), s),
            DataType::Double => Values::Double(array.as_primitive()),
            DataType::Text | DataType::Json => Values::Text(array.as_string()),
            DataType::Bytes => Values::Bytes(array.as_binary()),
            DataType::Date => Values::Date(array.as_primitive()),
            DataType::Time => Values::Time(array.as_primitive()),
            DataType::Timestamp { nanos: false } => Values::Micros(array.as_primitive(), false),
            DataType::TimestampTz { nanos: false } => Values::Micros(array.as_primitive(), true),
            DataType::Timestamp { nanos: true } => Values::Nanos(array.as_primitive(), false),
            DataType::TimestampTz { nanos: true } => Values::Nanos(array.as_primitive(), true),
        };
        Ok(Cells { values, nulls: array.nulls(), data_type })
    }

    #[inline]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|n| n.is_null(row))
    }

    pub(crate) fn has_nulls(&self) -> bool {
        self.nulls.is_some_and(|n| n.null_count() > 0)
    }

    /// The value as SQLite stores it; `scratch` holds the text of types that have no storage class of their own.
    #[inline]
    pub(crate) fn stored<'s>(&'s self, row: usize, scratch: &'s mut String) -> ValueRef<'s> {
        if self.is_null(row) {
            return ValueRef::Null;
        }
        scratch.clear();
        match &self.values {
            Values::Int(a) => return ValueRef::Integer(a.value(row)),
            Values::Text(a) => return ValueRef::Text(a.value(row).as_bytes()),
            // SQLite keeps a REAL without fraction as an integer, which has no negative zero. Taking the sign off here
            // makes what is compared and hashed equal to what is stored.
            // NaN, which SQLite takes for NULL, comes only where rows of a table are merged that is none of SQLite's.
            Values::Double(a) if a.value(row).is_nan() => return ValueRef::Text(b"NaN"),
            Values::Double(a) => return ValueRef::Real(a.value(row) + 0.0),
            Values::Bool(a) => return ValueRef::Integer(i64::from(a.value(row))),
            Values::Bytes(a) => return ValueRef::Blob(a.value(row)),
            Values::Date(a) => text::format_date(a.value(row), scratch),
            Values::Decimal(a, s) => text::format_decimal(a.value(row), *s, scratch),
            Values::Time(a) => text::format_time(a.value(row), scratch),
            Values::Micros(a, zoned) => text::format_timestamp(i128::from(a.value(row)) * 1000, *zoned, scratch),
            Values::Nanos(a, zoned) => text::format_timestamp(i128::from(a.value(row)), *zoned, scratch),
        }
        ValueRef::Text(scratch.as_bytes())
    }

    /// A value that is equal where the stored ones are, made with no text where the type has another form.
    #[inline]
    pub(crate) fn plain<'s>(&'s self, row: usize, scratch: &'s mut String) -> ValueRef<'s> {
        if self.is_null(row) {
            return ValueRef::Null;
        }
        ValueRef::Integer(match &self.values {
            Values::Date(a) => i64::from(a.value(row)),
            Values::Time(a) => a.value(row),
            Values::Micros(a, _) => a.value(row),
            Values::Nanos(a, _) => a.value(row),
            _ => return self.stored(row, scratch),
        })
    }

    /// Binds the value to parameter `at` (from 1).
    #[inline]
    pub(crate) fn bind(
        &self,
        statement: &mut Statement<'_>,
        at: usize,
        row: usize,
        scratch: &mut String,
    ) -> rusqlite::Result<()> {
        let value = self.stored(row, scratch);
        statement.raw_bind_parameter(at, rusqlite::types::ToSqlOutput::Borrowed(value))
    }

    /// Whether the table holds the same value, by meaning where the bytes differ (another program may write
    /// `2024-01-01T00:00` for a timestamp).
    #[inline]
    pub(crate) fn same(&self, row: usize, stored: ValueRef<'_>, scratch: &mut String) -> bool {
        let mine = self.stored(row, scratch);
        if mine == stored {
            return true;
        }
        match (mine, stored) {
            (ValueRef::Null, _) | (_, ValueRef::Null) | (ValueRef::Integer(_), ValueRef::Integer(_)) => false,
            (ValueRef::Text(_), ValueRef::Text(_)) if matches!(self.data_type, DataType::Text | DataType::Json) => {
                false
            }
            _ => match (crate::codec::decode(mine, self.data_type), crate::codec::decode(stored, self.data_type)) {
                (Some(a), Some(b)) => a.compare(&b) == Some(std::cmp::Ordering::Equal),
                _ => false,
            },
        }
    }

    /// How the incoming value compares with a stored one; NULL is older than everything. `None`: what is stored is not
    /// of this column's type.
    #[inline]
    pub(crate) fn compare(&self, row: usize, stored: ValueRef<'_>, scratch: &mut String) -> Option<std::cmp::Ordering> {
        let mine = self.stored(row, scratch);
        match (mine, stored) {
            (ValueRef::Integer(a), ValueRef::Integer(b)) => Some(a.cmp(&b)),
            (a, b) if a == b => Some(std::cmp::Ordering::Equal),
            (a, b) => crate::codec::decode(a, self.data_type)?.compare(&crate::codec::decode(b, self.data_type)?),
        }
    }

    /// The order of two of its rows, as SQLite's indexes have it.
    #[inline]
    pub(crate) fn order(&self, a: usize, b: usize) -> std::cmp::Ordering {
        match &self.values {
            Values::Int(v) => v.value(a).cmp(&v.value(b)),
            Values::Text(v) => v.value(a).cmp(v.value(b)),
            // Zero is one key, whatever its sign: its rows stay in the order of the source.
            Values::Double(v) => (v.value(a) + 0.0).total_cmp(&(v.value(b) + 0.0)),
            Values::Bool(v) => v.value(a).cmp(&v.value(b)),
            Values::Bytes(v) => v.value(a).cmp(v.value(b)),
            Values::Date(v) => v.value(a).cmp(&v.value(b)),
            Values::Decimal(v, _) => v.value(a).cmp(&v.value(b)),
            Values::Time(v) => v.value(a).cmp(&v.value(b)),
            Values::Micros(v, _) => v.value(a).cmp(&v.value(b)),
            Values::Nanos(v, _) => v.value(a).cmp(&v.value(b)),
        }
    }

    /// The typed value.
    pub(crate) fn value(&self, row: usize) -> Value {
        let mut scratch = String::new();
        crate::codec::decode(self.stored(row, &mut scratch), self.data_type).unwrap_or(Value::Null)
    }

    /// Whether the row holds NaN, which SQLite would turn into NULL.
    #[inline]
    pub(crate) fn is_nan(&self, row: usize) -> bool {
        matches!(&self.values, Values::Double(a) if a.value(row).is_nan()) && !self.is_null(row)
    }
}

/// Appends a stored value to bytes that are hashed: storage class, length, content.
pub(crate) fn encode(stored: ValueRef<'_>, out: &mut Vec<u8>) {
    match stored {
        ValueRef::Null => out.push(0),
        ValueRef::Integer(v) => {
            out.push(1);
            out.extend_from_slice(&v.to_le_bytes());
        }
        ValueRef::Real(v) => {
            out.push(2);
            out.extend_from_slice(&v.to_le_bytes());
        }
        ValueRef::Text(v) | ValueRef::Blob(v) => {
            out.push(if matches!(stored, ValueRef::Text(_)) { 3 } else { 4 });
            out.extend_from_slice(&(v.len() as u64).to_le_bytes());
            out.extend_from_slice(v);
        }
    }
}
