//! Which types there are here, for the page that sets them beside those of other databases.

pub use crate::codec::declared;
use floodmark_core::DataType;

/// Types of a column that is read, and ours for each.
pub const READ: &[(&str, DataType)] = &[
    ("INTEGER", DataType::BigInt),
    ("REAL", DataType::Double),
    ("TEXT", DataType::Text),
    ("BLOB", DataType::Bytes),
    ("BOOLEAN", DataType::Bool),
    ("DECIMAL(12,2)", DataType::Decimal(12, 2)),
    ("VARCHAR(20)", DataType::Text),
    ("UUID", DataType::Text),
    ("DATE", DataType::Date),
    ("TIME", DataType::Time),
    ("DATETIME", DataType::Timestamp { nanos: false }),
    ("TIMESTAMP", DataType::Timestamp { nanos: false }),
    ("TIMESTAMP WITH TIME ZONE", DataType::TimestampTz { nanos: false }),
    ("JSON", DataType::Json),
];
