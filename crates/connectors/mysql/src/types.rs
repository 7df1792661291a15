//! Which types there are here, for the page that sets them beside those of other databases.

use crate::codec;
use floodmark_core::DataType;

/// The type a column of ours is made with, on MariaDB and where it is part of no key.
pub fn declared(data_type: DataType) -> String {
    codec::declared(data_type, "utf8mb4_nopad_bin", None)
}

/// Types of a column that is read, and ours for each.
pub const READ: &[(&str, DataType)] = &[
    ("tinyint(1)", DataType::BigInt),
    ("tinyint unsigned", DataType::BigInt),
    ("smallint", DataType::BigInt),
    ("mediumint", DataType::BigInt),
    ("int unsigned", DataType::BigInt),
    ("bigint", DataType::BigInt),
    ("bigint unsigned", DataType::Decimal(20, 0)),
    ("decimal(12,2)", DataType::Decimal(12, 2)),
    ("float", DataType::Double),
    ("double", DataType::Double),
    ("bit(1)", DataType::Bool),
    ("bit(8)", DataType::BigInt),
    ("year", DataType::BigInt),
    ("date", DataType::Date),
    ("time(6)", DataType::Time),
    ("datetime(6)", DataType::Timestamp { nanos: false }),
    ("timestamp(6) NULL", DataType::TimestampTz { nanos: false }),
    ("char(5)", DataType::Text),
    ("varchar(20)", DataType::Text),
    ("longtext", DataType::Text),
    ("enum('a','b')", DataType::Text),
    ("set('a','b')", DataType::Text),
    ("json", DataType::Json),
    ("binary(2)", DataType::Bytes),
    ("varbinary(20)", DataType::Bytes),
    ("longblob", DataType::Bytes),
    ("point", DataType::Bytes),
];
