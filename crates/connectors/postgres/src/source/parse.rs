//! Values the server wrote as text, for types that do not have the binary form of ours.

use super::decode::Cells;
use arrow::{
    array::{
        ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, Time64NanosecondArray, TimestampMicrosecondArray,
        TimestampNanosecondArray,
    },
    datatypes::{TimestampMicrosecondType, TimestampNanosecondType},
};
use floodmark_core::{DataType, Result, text};
use std::sync::Arc;

/// Reads a text as a person would write a value of the type; all of it, and nothing rounded.
pub(super) fn column(cells: Cells<'_, '_>, data_type: DataType) -> Result<ArrayRef> {
    Ok(match data_type {
        DataType::Text => cells.texts(Some)?,
        DataType::Json => cells.texts(|b| serde_json::from_slice::<serde::de::IgnoredAny>(b).is_ok().then_some(b))?,
        DataType::Bytes => cells.binaries(Some)?,
        DataType::Bool => cells.booleans(text::parse_bool),
        DataType::BigInt => cells.numbers(text::parse_i64, Int64Array::new),
        DataType::Double => cells.numbers(text::parse_f64_exact, Float64Array::new),
        DataType::Decimal(p, s) => cells.decimals(p, s, |b| text::parse_decimal(b, p, s))?,
        DataType::Date => cells.numbers(text::parse_date, Date32Array::new),
        DataType::Time => cells.numbers(|b| Some(text::parse_time(b)?.0), Time64NanosecondArray::new),
        DataType::Timestamp { nanos: false } => cells.numbers(|b| micros(b, false), TimestampMicrosecondArray::new),
        DataType::Timestamp { nanos: true } => cells.numbers(|b| nanos(b, false), TimestampNanosecondArray::new),
        DataType::TimestampTz { nanos: false } => {
            let array = cells.numbers(|b| micros(b, true), TimestampMicrosecondArray::new);
            Arc::new(array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("UTC"))
        }
        DataType::TimestampTz { nanos: true } => {
            let array = cells.numbers(|b| nanos(b, true), TimestampNanosecondArray::new);
            Arc::new(array.as_primitive::<TimestampNanosecondType>().clone().with_timezone("UTC"))
        }
    })
}

/// A moment that says its zone where one is asked for, and has none where not.
fn moment(bytes: &[u8], zoned: bool) -> Option<i128> {
    let read = text::parse_timestamp(bytes).filter(|read| read.zoned == zoned);
    let day = || text::parse_date(bytes).filter(|_| !zoned).map(|days| i128::from(days) * 86_400_000_000_000);
    read.map(|read| read.nanos).or_else(day)
}

fn nanos(bytes: &[u8], zoned: bool) -> Option<i64> {
    i64::try_from(moment(bytes, zoned)?).ok()
}

fn micros(bytes: &[u8], zoned: bool) -> Option<i64> {
    let nanos = moment(bytes, zoned)?;
    (nanos % 1000 == 0).then(|| i64::try_from(nanos / 1000).ok()).flatten()
}
