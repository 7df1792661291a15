//! How Floodmark's values live in PostgreSQL. Their bytes are those of [`floodmark_merge::cell`].

use floodmark_core::DataType;
use floodmark_merge::cell::Holds;
pub(crate) use floodmark_merge::cell::{day, from_numeric, moment, numeric_text, settled, shown};

/// What the server takes: days from 4714-11-24 BC on, and before the years 5874898 and 294277.
pub(crate) static HOLDS: Holds = Holds {
    server: "PostgreSQL",
    zero_character: false,
    nan: true,
    days: -2_440_588..=2_145_042_905,
    micros: -210_866_803_200_000_000..=i64::MAX,
    instants: -210_866_803_200_000_000..=i64::MAX,
};

/// The type a column is made with. It keeps every value exactly: `json` its very text, which `jsonb` would not.
pub fn declared(data_type: DataType) -> String {
    match data_type {
        DataType::Bool => "boolean".into(),
        DataType::BigInt => "bigint".into(),
        DataType::Decimal(p, s) => format!("numeric({p},{s})"),
        DataType::Double => "double precision".into(),
        DataType::Text => "text".into(),
        DataType::Bytes => "bytea".into(),
        DataType::Date => "date".into(),
        DataType::Time => "time".into(),
        // Nanoseconds are taken where they are whole microseconds, and refused where not: none is lost.
        DataType::Timestamp { .. } => "timestamp".into(),
        DataType::TimestampTz { .. } => "timestamptz".into(),
        DataType::Json => "json".into(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
