//! Which types there are here, for the page that sets them beside those of other databases.

pub use crate::codec::declared;
use floodmark_core::DataType;

/// Types of a column that is read, and ours for each.
pub const READ: &[(&str, DataType)] = &[
    ("BOOLEAN", DataType::Bool),
    ("TINYINT", DataType::BigInt),
    ("INTEGER", DataType::BigInt),
    ("BIGINT", DataType::BigInt),
    ("UINTEGER", DataType::BigInt),
    ("UBIGINT", DataType::Decimal(20, 0)),
    ("HUGEINT", DataType::Decimal(38, 0)),
    ("DECIMAL(12,2)", DataType::Decimal(12, 2)),
    ("FLOAT", DataType::Double),
    ("DOUBLE", DataType::Double),
    ("VARCHAR", DataType::Text),
    ("UUID", DataType::Text),
    ("JSON", DataType::Json),
    ("BLOB", DataType::Bytes),
    ("BIT", DataType::Text),
    ("DATE", DataType::Date),
    ("TIME", DataType::Time),
    ("TIME WITH TIME ZONE", DataType::Text),
    ("TIMESTAMP_S", DataType::Timestamp { nanos: false }),
    ("TIMESTAMP_MS", DataType::Timestamp { nanos: false }),
    ("TIMESTAMP", DataType::Timestamp { nanos: false }),
    ("TIMESTAMP_NS", DataType::Timestamp { nanos: true }),
    ("TIMESTAMP WITH TIME ZONE", DataType::TimestampTz { nanos: false }),
    ("INTERVAL", DataType::Text),
    ("ENUM('a', 'b')", DataType::Text),
    ("INTEGER[]", DataType::Text),
    ("STRUCT(a INTEGER, b VARCHAR)", DataType::Text),
    ("MAP(VARCHAR, INTEGER)", DataType::Text),
];
