//! Values as they stand in SQL, and where those lie that DuckDB does not hold.

use crate::{codec::HOLDS, ddl};
use floodmark_core::Value;

/// Where a value lies among those that DuckDB holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    First,
    At(String),
    Last,
}

fn bytes(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("\\x{byte:02X}")).collect();
    format!("'{digits}'::BLOB")
}

/// A text, which may hold any character.
fn text(text: &str) -> String {
    let parts: Vec<String> = text.split('\0').map(ddl::literal).collect();
    format!("({})", parts.join(" || chr(0) || "))
}

/// Where a value lies.
pub(crate) fn place(value: &Value) -> Option<End> {
    let (lies, held) = match value {
        Value::Date(days) => (i128::from(*days), [i128::from(*HOLDS.days.start()), i128::from(*HOLDS.days.end())]),
        Value::Timestamp(nanos) | Value::TimestampTz(nanos) => {
            (micros(*nanos), [i128::from(*HOLDS.micros.start()), i128::from(*HOLDS.micros.end())])
        }
        _ => return literal(value).map(End::At),
    };
    Some(match lies {
        lies if lies < held[0] => End::First,
        lies if lies > held[1] => End::Last,
        _ => End::At(literal(value)?),
    })
}

/// A value as DuckDB reads it, if it is one that DuckDB holds. Moments are made of numbers, as not every one of them has a text
/// that would be read.
pub(crate) fn literal(value: &Value) -> Option<String> {
    let typed = |text: String, of: &str| Some(format!("{}::{of}", ddl::literal(&text)));
    match value {
        Value::Bool(_) => typed(value.to_string(), "BOOLEAN"),
        Value::Int(_) => typed(value.to_string(), "BIGINT"),
        Value::Decimal(_, scale) => typed(value.to_string(), &format!("DECIMAL(38,{scale})")),
        Value::Double(_) => typed(value.to_string(), "DOUBLE"),
        Value::Text(value) => Some(text(value)),
        Value::Bytes(value) => Some(bytes(value)),
        Value::Date(days) => Some(format!("('1970-01-01'::DATE + ({days})::INTEGER)")),
        Value::Time(nanos) => typed(time(micros(i128::from(*nanos))), "TIME"),
        Value::Timestamp(nanos) => Some(format!("make_timestamp({})", i64::try_from(micros(*nanos)).ok()?)),
        Value::TimestampTz(nanos) => {
            Some(format!("make_timestamp({})::TIMESTAMP WITH TIME ZONE", i64::try_from(micros(*nanos)).ok()?))
        }
        Value::Null => None,
    }
}

/// The first whole microsecond that is not before: DuckDB holds no others.
fn micros(nanos: i128) -> i128 {
    -(-nanos).div_euclid(1000)
}

fn time(micros: i128) -> String {
    let seconds = micros / 1_000_000;
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, micros % 1_000_000)
}
