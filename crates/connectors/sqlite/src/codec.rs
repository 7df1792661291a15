//! How Floodmark's values live in SQLite: booleans as 0 and 1, decimals, dates and times as text that sorts as they do.

use floodmark_core::{DataType, Value, text};
use rusqlite::types::ValueRef;

/// The declared type of a column. Its affinity (SQLite, "Datatypes", 3.1) must keep what is bound exactly: a declared
/// `DECIMAL` would turn `1.10` into a double, so it is `DECIMAL_TEXT`.
pub fn declared(data_type: DataType) -> String {
    match data_type {
        DataType::Bool => "BOOLEAN".into(),
        DataType::BigInt => "INTEGER".into(),
        DataType::Decimal(p, s) => format!("DECIMAL_TEXT({p},{s})"),
        DataType::Double => "REAL".into(),
        DataType::Text => "TEXT".into(),
        DataType::Bytes => "BLOB".into(),
        DataType::Date => "DATE".into(),
        DataType::Time => "TIME".into(),
        DataType::Timestamp { nanos: false } => "TIMESTAMP".into(),
        DataType::Timestamp { nanos: true } => "TIMESTAMP_NS".into(),
        DataType::TimestampTz { nanos: false } => "TIMESTAMPTZ".into(),
        DataType::TimestampTz { nanos: true } => "TIMESTAMPTZ_NS".into(),
        DataType::Json => "JSON_TEXT".into(),
    }
}

/// The type of a column somebody else declared, by SQLite's own affinity rules where the name says no more.
pub(crate) fn from_declared(declared: &str) -> DataType {
    let name = declared.trim().to_ascii_uppercase();
    if let Some(args) = name.strip_prefix("DECIMAL_TEXT") {
        return DataType::parse(&format!("decimal{args}")).unwrap_or(DataType::Text);
    }
    match name.as_str() {
        "BOOLEAN" | "BOOL" => DataType::Bool,
        "DATE" => DataType::Date,
        "TIME" => DataType::Time,
        "TIMESTAMP" | "DATETIME" => DataType::Timestamp { nanos: false },
        "TIMESTAMP_NS" => DataType::Timestamp { nanos: true },
        "TIMESTAMPTZ" => DataType::TimestampTz { nanos: false },
        "TIMESTAMPTZ_NS" => DataType::TimestampTz { nanos: true },
        "JSON_TEXT" => DataType::Json,
        n if n.contains("INT") => DataType::BigInt,
        n if ["CHAR", "CLOB", "TEXT"].iter().any(|t| n.contains(t)) => DataType::Text,
        n if n.contains("BLOB") => DataType::Bytes,
        n if ["REAL", "FLOA", "DOUB"].iter().any(|t| n.contains(t)) => DataType::Double,
        "" => DataType::Text,
        _ => DataType::Double,
    }
}

/// A stored value as one of ours; `None` where the two do not go together (somebody else wrote it).
pub(crate) fn decode(stored: ValueRef<'_>, data_type: DataType) -> Option<Value> {
    Some(match (stored, data_type) {
        (ValueRef::Null, _) => Value::Null,
        (ValueRef::Integer(v), DataType::BigInt) => Value::Int(v),
        (ValueRef::Integer(v), DataType::Bool) => Value::Bool(v != 0),
        (ValueRef::Integer(v), DataType::Double) => Value::Double(v as f64),
        (ValueRef::Real(v), DataType::Double) => Value::Double(v),
        (ValueRef::Integer(v), DataType::Decimal(p, s)) => {
            Value::Decimal(text::parse_decimal(v.to_string().as_bytes(), p, s)?, s)
        }
        (ValueRef::Blob(v), DataType::Bytes) => Value::Bytes(v.to_vec()),
        (ValueRef::Text(v), _) => Value::parse(std::str::from_utf8(v).ok()?, data_type)?,
        _ => return None,
    })
}

/// A stored value by what it is, where nothing is known of its column.
pub(crate) fn decode_as_stored(stored: ValueRef<'_>) -> Value {
    match stored {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(v) => Value::Int(v),
        ValueRef::Real(v) => Value::Double(v),
        ValueRef::Text(v) => Value::Text(String::from_utf8_lossy(v).into_owned()),
        ValueRef::Blob(v) => Value::Bytes(v.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_read_back() {
        for t in [
            DataType::Bool,
            DataType::BigInt,
            DataType::Decimal(10, 2),
            DataType::Double,
            DataType::Text,
            DataType::Bytes,
            DataType::Date,
            DataType::Time,
            DataType::Timestamp { nanos: true },
            DataType::TimestampTz { nanos: false },
            DataType::Json,
        ] {
            assert_eq!(from_declared(&declared(t)), t);
        }
        assert_eq!(from_declared("VARCHAR(20)"), DataType::Text);
        assert_eq!(from_declared("bigint"), DataType::BigInt);
    }
}
