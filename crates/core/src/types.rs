//! The column types of Floodmark and which of them widen into which without loss.

use arrow::datatypes::{DataType as Arrow, TimeUnit};
use std::{fmt, sync::Arc};

/// The type of a column, the same in files, state and every database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// true or false.
    Bool,
    /// A 64-bit integer.
    BigInt,
    /// An exact decimal of at most 38 digits: precision, scale.
    Decimal(u8, u8),
    /// A 64-bit binary floating-point number.
    Double,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Bytes,
    /// A calendar day.
    Date,
    /// A time of day, in nanoseconds.
    Time,
    /// Date and time without zone; microseconds, or nanoseconds where `nanos`.
    Timestamp {
        /// Nanoseconds instead of microseconds.
        nanos: bool,
    },
    /// An instant, kept in UTC.
    TimestampTz {
        /// Nanoseconds instead of microseconds.
        nanos: bool,
    },
    /// A JSON object or array, kept as its text.
    Json,
}

/// The names a person may write for a type, best spelling first.
pub const TYPE_NAMES: &[&str] = &[
    "boolean",
    "bigint",
    "decimal(p,s)",
    "double",
    "text",
    "bytes",
    "date",
    "time",
    "timestamp",
    "timestamp_ns",
    "timestamptz",
    "timestamptz_ns",
    "json",
];

impl DataType {
    /// Reads a type name as written in `columns:` or in the state.
    pub fn parse(name: &str) -> Option<DataType> {
        let name = name.trim().to_ascii_lowercase();
        Some(match name.as_str() {
            "boolean" | "bool" => DataType::Bool,
            "bigint" | "int" | "integer" | "smallint" | "int64" => DataType::BigInt,
            "double" | "float" | "real" | "float64" => DataType::Double,
            "text" | "string" | "varchar" => DataType::Text,
            "bytes" | "blob" | "bytea" | "binary" => DataType::Bytes,
            "date" => DataType::Date,
            "time" => DataType::Time,
            "timestamp" | "datetime" => DataType::Timestamp { nanos: false },
            "timestamp_ns" => DataType::Timestamp { nanos: true },
            "timestamptz" => DataType::TimestampTz { nanos: false },
            "timestamptz_ns" => DataType::TimestampTz { nanos: true },
            "json" | "jsonb" => DataType::Json,
            "decimal" | "numeric" => DataType::Decimal(38, 9),
            _ => {
                let args = name.strip_prefix("decimal").or_else(|| name.strip_prefix("numeric"))?;
                let args = args.trim().strip_prefix('(')?.strip_suffix(')')?;
                let (p, s) = args.split_once(',').unwrap_or((args, "0"));
                let (p, s) = (p.trim().parse().ok()?, s.trim().parse().ok()?);
                if !(1..=38).contains(&p) || s > p {
                    return None;
                }
                DataType::Decimal(p, s)
            }
        })
    }

    /// The Arrow type its columns travel in.
    pub fn to_arrow(self) -> Arrow {
        let unit = |nanos| if nanos { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
        match self {
            DataType::Bool => Arrow::Boolean,
            DataType::BigInt => Arrow::Int64,
            DataType::Decimal(p, s) => Arrow::Decimal128(p, s as i8),
            DataType::Double => Arrow::Float64,
            DataType::Text | DataType::Json => Arrow::Utf8,
            DataType::Bytes => Arrow::Binary,
            DataType::Date => Arrow::Date32,
            DataType::Time => Arrow::Time64(TimeUnit::Nanosecond),
            DataType::Timestamp { nanos } => Arrow::Timestamp(unit(nanos), None),
            DataType::TimestampTz { nanos } => Arrow::Timestamp(unit(nanos), Some(Arc::from("UTC"))),
        }
    }

    /// The type that holds every value of an Arrow type exactly, or `None` where there is none.
    pub fn from_arrow(arrow: &Arrow) -> Option<DataType> {
        Some(match arrow {
            Arrow::Boolean => DataType::Bool,
            Arrow::Int8 | Arrow::Int16 | Arrow::Int32 | Arrow::Int64 | Arrow::UInt8 | Arrow::UInt16 | Arrow::UInt32 => {
                DataType::BigInt
            }
            Arrow::UInt64 => DataType::Decimal(20, 0),
            Arrow::Float16 | Arrow::Float32 | Arrow::Float64 => DataType::Double,
            Arrow::Decimal32(p, s) | Arrow::Decimal64(p, s) | Arrow::Decimal128(p, s) if *s >= 0 => {
                DataType::Decimal(*p, *s as u8)
            }
            Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View | Arrow::Null => DataType::Text,
            Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView | Arrow::FixedSizeBinary(_) => DataType::Bytes,
            Arrow::Date32 | Arrow::Date64 => DataType::Date,
            Arrow::Time32(_) | Arrow::Time64(_) => DataType::Time,
            Arrow::Timestamp(unit, zone) => {
                let nanos = *unit == TimeUnit::Nanosecond;
                if zone.is_some() { DataType::TimestampTz { nanos } } else { DataType::Timestamp { nanos } }
            }
            Arrow::Dictionary(_, value) => return DataType::from_arrow(value),
            Arrow::List(_) | Arrow::LargeList(_) | Arrow::FixedSizeList(..) | Arrow::Struct(_) | Arrow::Map(..) => {
                DataType::Json
            }
            _ => return None,
        })
    }

    /// The type both `self` (pinned) and `new` (arriving) fit into without loss, or `None`.
    ///
    /// `bigint → decimal`, a wider decimal, `date → timestamp`, micro- to nanoseconds; anything into text only when
    /// text is what is pinned.
    pub fn widen(self, new: DataType) -> Option<DataType> {
        use DataType::*;
        Some(match (self, new) {
            (a, b) if a == b => a,
            (Text, _) => Text,
            (Decimal(p, s), BigInt) => return decimal_of(p.saturating_sub(s).max(19), s),
            (BigInt, Decimal(p, s)) => return decimal_of(p.saturating_sub(s).max(19), s),
            (Decimal(p1, s1), Decimal(p2, s2)) => return decimal_of((p1 - s1).max(p2 - s2), s1.max(s2)),
            (Date, t @ Timestamp { .. }) | (t @ Timestamp { .. }, Date) => t,
            (Timestamp { .. }, Timestamp { .. }) => Timestamp { nanos: true },
            (TimestampTz { .. }, TimestampTz { .. }) => TimestampTz { nanos: true },
            _ => return None,
        })
    }
}

fn decimal_of(integer_digits: u8, scale: u8) -> Option<DataType> {
    let precision = integer_digits.checked_add(scale)?;
    (precision <= 38).then_some(DataType::Decimal(precision, scale))
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DataType::Bool => "boolean",
            DataType::BigInt => "bigint",
            DataType::Decimal(p, s) => return write!(f, "decimal({p},{s})"),
            DataType::Double => "double",
            DataType::Text => "text",
            DataType::Bytes => "bytes",
            DataType::Date => "date",
            DataType::Time => "time",
            DataType::Timestamp { nanos: false } => "timestamp",
            DataType::Timestamp { nanos: true } => "timestamp_ns",
            DataType::TimestampTz { nanos: false } => "timestamptz",
            DataType::TimestampTz { nanos: true } => "timestamptz_ns",
            DataType::Json => "json",
        })
    }
}

impl serde::Serialize for DataType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for DataType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        DataType::parse(&name).ok_or_else(|| serde::de::Error::custom(format!("unknown column type {name:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
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
            assert_eq!(DataType::parse(&t.to_string()), Some(t));
        }
        assert_eq!(DataType::parse("decimal(40,2)"), None);
    }

    #[test]
    fn widening_never_loses() {
        assert_eq!(DataType::BigInt.widen(DataType::Decimal(4, 2)), Some(DataType::Decimal(21, 2)));
        assert_eq!(DataType::BigInt.widen(DataType::Double), None);
        assert_eq!(DataType::BigInt.widen(DataType::Text), None);
        assert_eq!(DataType::Text.widen(DataType::BigInt), Some(DataType::Text));
        assert_eq!(DataType::Decimal(38, 0).widen(DataType::Decimal(38, 2)), None);
    }
}
