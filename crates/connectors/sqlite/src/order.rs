//! The order of values. SQLite's own is that of what is stored, which for many types is text: decimals, and moments that other
//! programs write in several ways. What SQLite's order can leave out it leaves out, by an index where there is one; what is
//! exact is asked of functions.

use crate::{codec, failure::to};
use floodmark_connect::cells::{Cell, ColumnBuilder};
use floodmark_core::{DataType, Result, Value, interval::Interval};
use rusqlite::{
    Connection,
    functions::FunctionFlags,
    types::{Value as Stored, ValueRef},
};

/// The function that says whether a stored value lies in an interval.
pub(crate) const WITHIN: &str = "_floodmark_within";
/// The function that gives bytes in the order of values; NULL for what is no value of the type.
pub(crate) const RANK: &str = "_floodmark_rank";

/// Makes [`WITHIN`] known to a connection, for a column of that type.
pub(crate) fn within(db: &Connection, data_type: DataType, interval: Interval) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    db.create_scalar_function(WITHIN, 1, flags, move |call| {
        let value = codec::decode(call.get_raw(0), data_type);
        Ok(value.is_some_and(|value| interval.holds(&value)))
    })
    .map_err(to("make a function known"))
}

/// Makes [`RANK`] known to a connection, for values that are read as that type.
pub(crate) fn rank(db: &Connection, data_type: DataType) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    db.create_scalar_function(RANK, 1, flags, move |call| {
        Ok(read(call.get_raw(0), data_type).and_then(|value| to_bytes(&value)))
    })
}

/// A value as a source gives it.
fn read(stored: ValueRef<'_>, data_type: DataType) -> Option<Value> {
    let mut column = ColumnBuilder::new(data_type).ok()?;
    column.append(cell(stored)).then(|| Value::from_array(&column.finish(), 0, data_type).ok())?
}

/// A stored value as one of a source.
pub(crate) fn cell(value: ValueRef<'_>) -> Cell<'_> {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(v) => Cell::Int(v),
        ValueRef::Real(v) => Cell::Real(v),
        ValueRef::Text(v) => Cell::Text(v),
        ValueRef::Blob(v) => Cell::Bytes(v),
    }
}

fn to_bytes(value: &Value) -> Option<Vec<u8>> {
    let number = match value {
        Value::Null => return None,
        Value::Text(v) => return Some(v.clone().into_bytes()),
        Value::Bytes(v) => return Some(v.clone()),
        Value::Double(v) => {
            let bits = v.to_bits();
            let sign = 1 << 63;
            return Some(if bits & sign == 0 { bits | sign } else { !bits }.to_be_bytes().to_vec());
        }
        Value::Bool(v) => i128::from(*v),
        Value::Int(v) | Value::Time(v) => i128::from(*v),
        Value::Date(v) => i128::from(*v),
        Value::Decimal(v, _) | Value::Timestamp(v) | Value::TimestampTz(v) => *v,
    };
    Some((number as u128 ^ 1 << 127).to_be_bytes().to_vec())
}

/// The value of a rank.
pub(crate) fn from_bytes(bytes: &[u8], data_type: DataType) -> Option<Value> {
    let number = || Some((u128::from_be_bytes(bytes.try_into().ok()?) ^ 1 << 127) as i128);
    Some(match data_type {
        DataType::Text | DataType::Json => Value::Text(String::from_utf8(bytes.to_vec()).ok()?),
        DataType::Bytes => Value::Bytes(bytes.to_vec()),
        DataType::Double => {
            let bits = u64::from_be_bytes(bytes.try_into().ok()?);
            let sign = 1 << 63;
            Value::Double(f64::from_bits(if bits & sign == 0 { !bits } else { bits & !sign }))
        }
        DataType::Bool => Value::Bool(number()? != 0),
        DataType::BigInt => Value::Int(number()?.try_into().ok()?),
        DataType::Time => Value::Time(number()?.try_into().ok()?),
        DataType::Date => Value::Date(number()?.try_into().ok()?),
        DataType::Decimal(_, scale) => Value::Decimal(number()?, scale),
        DataType::Timestamp { .. } => Value::Timestamp(number()?),
        DataType::TimestampTz { .. } => Value::TimestampTz(number()?),
    })
}

/// Whether SQLite orders a column that was declared to be of a type as that type's values.
pub(crate) fn is_own(data_type: DataType) -> bool {
    matches!(data_type, DataType::BigInt | DataType::Double | DataType::Text)
}

/// A condition in SQL, with its parameters from the first on.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    pub(crate) sql: String,
    pub(crate) parameters: Vec<Stored>,
}

/// What holds for every value from one to before another, and for as few others as SQLite's own order allows; `None` where it
/// allows nothing. `name`: the column, quoted; `data_type`: as which it was declared; `foreign`: what is stored as something
/// else counts where it can be read as a value of the type.
pub(crate) fn roughly(
    name: &str,
    data_type: DataType,
    from: Option<&Value>,
    before: Option<&Value>,
    foreign: bool,
) -> Option<Condition> {
    // Texts compare byte by byte, whatever the column's own collation. All that SQLite has order days and numbers in the same
    // way; and with a collation beside an OR no index serves.
    let collation = if data_type == DataType::Text { " COLLATE BINARY" } else { "" };
    let ends = [(">=", from.and_then(|v| bound(v, data_type, -1))), ("<", before.and_then(|v| bound(v, data_type, 2)))];
    let (mut parts, mut parameters) = (Vec::new(), Vec::new());
    for (operator, end) in ends {
        let Some(end) = end else { continue };
        parameters.push(end);
        parts.push(format!("{name} {operator} ?{}{collation}", parameters.len()));
    }
    let mut sql = parts.join(" AND ");
    let least = match data_type {
        // Numbers come before every text.
        DataType::Text if foreign => Some("''"),
        // A year of more than four digits begins with a sign.
        DataType::Date | DataType::Timestamp { .. } | DataType::TimestampTz { .. } => Some("'0'"),
        _ => None,
    };
    if let Some(least) = least.filter(|_| from.is_some()) {
        sql = format!("({sql}) OR {name} < {least}");
    }
    (!parts.is_empty()).then_some(Condition { sql, parameters })
}

/// A value, or one that is surely beyond it, as SQLite compares it. A moment may be written in several ways, with and without
/// a T or a zone, which moves it by less than a day; all of them begin with the date. `days`: so far beyond.
fn bound(value: &Value, data_type: DataType, days: i32) -> Option<Stored> {
    Some(match (value, data_type) {
        (Value::Int(v), DataType::BigInt) => Stored::Integer(*v),
        (Value::Double(v), DataType::Double) => Stored::Real(*v),
        (Value::Text(v), DataType::Text) => Stored::Text(v.clone()),
        (
            Value::Date(_) | Value::Timestamp(_) | Value::TimestampTz(_),
            DataType::Date | DataType::Timestamp { .. } | DataType::TimestampTz { .. },
        ) => Stored::Text(day_beside(value, days)?),
        _ => return None,
    })
}

/// The day so many days behind a moment, where it is written with four digits.
fn day_beside(moment: &Value, days: i32) -> Option<String> {
    const DAY: i128 = 86_400_000_000_000;
    let day = match moment {
        Value::Date(day) => *day,
        Value::Timestamp(nanos) | Value::TimestampTz(nanos) => i32::try_from(nanos.div_euclid(DAY)).ok()?,
        _ => return None,
    };
    let text = Value::Date(day.checked_add(days)?).to_string();
    (text.len() == 10 && text.starts_with(|c: char| c.is_ascii_digit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_in_the_order_of_values_and_read_back() {
        let text = |text: &str, t| Value::parse(text, t).unwrap();
        let zoned = DataType::TimestampTz { nanos: true };
        let ordered: [(DataType, &[&str]); 7] = [
            (DataType::BigInt, &["-9223372036854775808", "-1", "0", "1", "9223372036854775807"]),
            (DataType::Decimal(38, 2), &["-100.50", "-99.99", "0.00", "9.00", "10.00"]),
            (DataType::Double, &["-inf", "-1.5", "-1e-300", "0", "1e-300", "2", "inf"]),
            (DataType::Text, &["", "A", "a", "aa", "ä"]),
            (DataType::Date, &["-0044-03-15", "1969-12-31", "1970-01-01", "+12024-01-01"]),
            (DataType::Time, &["00:00:00", "10:00:00", "10:00:00.5"]),
            (zoned, &["0001-01-01 00:00:00Z", "1970-01-01 00:00:00Z", "1970-01-01 00:00:00.000000001Z"]),
        ];
        for (data_type, texts) in ordered {
            let values: Vec<Value> = texts.iter().map(|t| text(t, data_type)).collect();
            let ranks: Vec<Vec<u8>> = values.iter().map(|v| to_bytes(v).unwrap()).collect();
            assert!(ranks.is_sorted(), "{data_type}");
            let back: Vec<Value> = ranks.iter().map(|r| from_bytes(r, data_type).unwrap()).collect();
            assert_eq!(back, values);
        }
    }

    #[test]
    fn what_is_left_out_is_beyond() {
        let day = |text: &str| Value::parse(text, DataType::Date).unwrap();
        let rough = |from, before| roughly("c", DataType::Date, Some(&day(from)), Some(&day(before)), false);
        let found = rough("2024-01-01", "2024-02-01").unwrap();
        assert_eq!(found.sql, "(c >= ?1 AND c < ?2) OR c < '0'");
        assert_eq!(found.parameters, [Stored::Text("2023-12-31".into()), Stored::Text("2024-02-03".into())]);
        assert!(rough("0000-01-01", "9999-12-31").is_none());
    }

    /// Rows in an interval are found without reading the others.
    #[test]
    fn an_index_serves() {
        let db = Connection::open_in_memory().unwrap();
        for (data_type, from, until) in [
            (DataType::BigInt, "1", "2"),
            (DataType::Double, "1.5", "2.5"),
            (DataType::Text, "a", "b"),
            (DataType::Date, "2024-01-01", "2024-01-02"),
            (DataType::TimestampTz { nanos: false }, "2024-01-01", "2024-01-02"),
        ] {
            let declared = codec::declared(data_type);
            db.execute_batch(&format!(
                "DROP TABLE IF EXISTS t; CREATE TABLE t (c {declared}, x); CREATE INDEX i ON t (c)"
            ))
            .unwrap();
            let value = |text| Value::parse(text, data_type).unwrap();
            let interval = Interval::new(value(from), value(until)).unwrap();
            within(&db, data_type, interval.clone()).unwrap();
            let rough = roughly("c", data_type, Some(&interval.from), Some(&interval.until), false).unwrap();
            let mut explain =
                db.prepare(&format!("EXPLAIN QUERY PLAN DELETE FROM t WHERE ({}) AND {WITHIN}(c)", rough.sql)).unwrap();
            let steps = explain.query_map(rusqlite::params_from_iter(&rough.parameters), |r| r.get(3)).unwrap();
            let steps: Vec<String> = steps.map(Result::unwrap).collect();
            assert!(steps.iter().any(|s| s.contains("INDEX i")), "{data_type}: {steps:?}");
            assert!(!steps.iter().any(|s| s.contains("SCAN")), "{data_type}: {steps:?}");
        }
    }
}
