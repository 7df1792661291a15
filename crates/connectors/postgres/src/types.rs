//! Which types there are here, for the page that sets them beside those of other databases.

pub use crate::codec::declared;
use floodmark_core::DataType;

/// Types of a column that is read, and ours for each.
pub const READ: &[(&str, DataType)] = &[
    ("boolean", DataType::Bool),
    ("smallint", DataType::BigInt),
    ("integer", DataType::BigInt),
    ("bigint", DataType::BigInt),
    ("oid", DataType::BigInt),
    ("numeric(12,2)", DataType::Decimal(12, 2)),
    ("numeric", DataType::Decimal(38, 9)),
    ("real", DataType::Double),
    ("double precision", DataType::Double),
    ("text", DataType::Text),
    ("varchar(20)", DataType::Text),
    ("char(5)", DataType::Text),
    ("uuid", DataType::Text),
    ("json", DataType::Json),
    ("jsonb", DataType::Json),
    ("bytea", DataType::Bytes),
    ("date", DataType::Date),
    ("time", DataType::Time),
    ("timetz", DataType::Text),
    ("timestamp", DataType::Timestamp { nanos: false }),
    ("timestamptz", DataType::TimestampTz { nanos: false }),
    ("interval", DataType::Text),
    ("integer[]", DataType::Text),
    ("int4range", DataType::Text),
    ("inet", DataType::Text),
    ("bit(3)", DataType::Text),
    ("money", DataType::Text),
    ("xml", DataType::Text),
    ("point", DataType::Text),
];
