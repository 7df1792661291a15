//! A cell as the server writes it, as one that columns of the planned types take. What does not fit exactly is not
//! converted.

use super::columns::{Kind, Wanted};
use floodmark_connect::cells::Cell;
use floodmark_core::DataType;
use std::io::Write;

/// `None`: it is not of that type. `scratch` is overwritten.
pub(crate) fn read<'a>(wanted: &Wanted, bytes: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<Cell<'a>> {
    use DataType as T;
    Some(match (wanted.kind, wanted.data_type) {
        (Kind::Int { .. }, T::Bool) => Cell::Int(floodmark_core::text::parse_i64(unfilled(bytes))?),
        (Kind::Int { filled: true } | Kind::Decimal { filled: true }, T::BigInt | T::Decimal(..) | T::Double) => {
            Cell::Text(whole(wanted.data_type, unfilled(bytes)))
        }
        (Kind::Decimal { .. }, into) => Cell::Text(whole(into, bytes)),
        (Kind::Real { single: false }, T::Text) => Cell::Text(bytes),
        (Kind::Real { single }, into) => real(double(bytes)?, single, into, scratch),
        (Kind::Bits, T::Bytes) | (Kind::Bytes | Kind::Shape | Kind::Text, T::Bytes) => Cell::Bytes(bytes),
        (Kind::Bits, _) => bits(bytes, scratch)?,
        (Kind::Local, T::Date) => Cell::Text(day(bytes)),
        (Kind::Moment, _) if bytes.starts_with(b"0000-00-00") => Cell::Text(bytes),
        (Kind::Moment, _) => {
            scratch.clear();
            scratch.extend_from_slice(bytes);
            scratch.extend_from_slice(b"+00:00");
            Cell::Text(scratch)
        }
        (Kind::Text | Kind::Bytes, T::Json) => {
            serde_json::from_slice::<serde::de::IgnoredAny>(bytes).ok()?;
            Cell::Text(bytes)
        }
        _ => Cell::Text(bytes),
    })
}

/// Without the zeros that fill a number up.
fn unfilled(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|b| **b == b'0').count();
    let digits = bytes.get(zeros).is_some_and(u8::is_ascii_digit);
    if digits { &bytes[zeros..] } else { &bytes[zeros.saturating_sub(1)..] }
}

/// As a whole number, where that is asked for and there is no fraction.
fn whole(into: DataType, bytes: &[u8]) -> &[u8] {
    if into != DataType::BigInt {
        return bytes;
    }
    match bytes.iter().position(|b| *b == b'.') {
        Some(point) if bytes[point + 1..].iter().all(|b| *b == b'0') => &bytes[..point],
        _ => bytes,
    }
}

/// The server writes as many digits as tell a double from every other.
fn double(bytes: &[u8]) -> Option<f64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// One of 32 bits has a shorter text than the double that equals it.
fn real(value: f64, single: bool, into: DataType, scratch: &mut Vec<u8>) -> Cell<'_> {
    if !single || matches!(into, DataType::Double | DataType::BigInt) {
        return Cell::Real(value);
    }
    scratch.clear();
    // Writing to a Vec cannot fail.
    let _ = write!(scratch, "{}", value as f32);
    Cell::Text(scratch)
}

fn bits<'a>(bytes: &[u8], scratch: &'a mut Vec<u8>) -> Option<Cell<'a>> {
    let mut wide = [0; 8];
    wide.get_mut(8usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    let number = u64::from_be_bytes(wide);
    Some(match i64::try_from(number) {
        Ok(number) => Cell::Int(number),
        Err(_) => {
            scratch.clear();
            let _ = write!(scratch, "{number}");
            Cell::Text(scratch)
        }
    })
}

/// The day of a midnight.
fn day(bytes: &[u8]) -> &[u8] {
    match bytes.split_at_checked(10) {
        Some((day, rest)) if rest.iter().all(|b| matches!(b, b' ' | b'0' | b':' | b'.')) => day,
        _ => bytes,
    }
}

/// A cell for a person to read: as the server writes it, bytes in hexadecimal digits.
pub(crate) fn shown(wanted: &Wanted, bytes: &[u8]) -> String {
    let mut scratch = Vec::new();
    let text = match (wanted.kind, std::str::from_utf8(bytes)) {
        (Kind::Bits, _) => match bits(bytes, &mut scratch) {
            Some(Cell::Int(number)) => Some(number.to_string()),
            _ => String::from_utf8(scratch).ok(),
        },
        (Kind::Bytes | Kind::Shape, _) | (_, Err(_)) => None,
        (_, Ok(text)) => Some(text.to_owned()),
    };
    text.unwrap_or_else(|| {
        use std::fmt::Write;
        let mut out = "0x".to_owned();
        bytes.iter().for_each(|b| {
            let _ = write!(out, "{b:02x}");
        });
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodmark_connect::cells::ColumnBuilder;
    use floodmark_core::Value;

    fn value(kind: Kind, data_type: DataType, bytes: &[u8]) -> Option<String> {
        let wanted = Wanted { name: "c".into(), kind, data_type };
        let mut scratch = Vec::new();
        let cell = read(&wanted, bytes, &mut scratch)?;
        let mut column = ColumnBuilder::new(data_type).unwrap();
        column.append(cell).then(|| Value::from_array(&column.finish(), 0, data_type).unwrap().to_string())
    }

    #[test]
    fn what_is_exact_is_taken() {
        use DataType as T;
        const TS: T = T::Timestamp { nanos: false };
        const TZ: T = T::TimestampTz { nanos: false };
        let int = Kind::Int { filled: false };
        let filled = Kind::Int { filled: true };
        let decimal = Kind::Decimal { filled: false };
        let (single, wide) = (Kind::Real { single: true }, Kind::Real { single: false });
        for (kind, into, bytes, expected) in [
            (int, T::BigInt, &b"-5"[..], Some("-5")),
            (int, T::Bool, b"1", Some("true")),
            (int, T::Bool, b"2", None),
            (int, T::BigInt, b"18446744073709551615", None),
            (int, T::Decimal(20, 0), b"18446744073709551615", Some("18446744073709551615")),
            (filled, T::BigInt, b"00042", Some("42")),
            (filled, T::BigInt, b"0000", Some("0")),
            (filled, T::Text, b"00042", Some("00042")),
            (Kind::Decimal { filled: true }, T::Decimal(9, 2), b"0000.50", Some("0.50")),
            (decimal, T::BigInt, b"3.00", Some("3")),
            (decimal, T::BigInt, b"3.50", None),
            (decimal, T::Decimal(5, 1), b"3.50", Some("3.5")),
            (decimal, T::Decimal(5, 1), b"3.55", None),
            (single, T::Double, b"0.10000000149011612", Some("0.10000000149011612")),
            (single, T::Text, b"0.10000000149011612", Some("0.1")),
            (single, T::Decimal(9, 3), b"0.10000000149011612", Some("0.100")),
            (single, T::BigInt, b"16777216", Some("16777216")),
            (wide, T::Double, b"1.7976931348623157e308", Some("1.7976931348623157e308")),
            (wide, T::Text, b"1e22", Some("1e22")),
            (wide, T::BigInt, b"0.5", None),
            (Kind::Bits, T::Bool, b"\x01", Some("true")),
            (Kind::Bits, T::BigInt, b"\x01\xff", Some("511")),
            (Kind::Bits, T::Decimal(20, 0), b"\xff\xff\xff\xff\xff\xff\xff\xff", Some("18446744073709551615")),
            (Kind::Bits, T::Text, b"\xff\xff\xff\xff\xff\xff\xff\xff", Some("18446744073709551615")),
            (Kind::Bytes, T::Bytes, b"\x00\xff", Some("00ff")),
            (Kind::Bytes, T::Text, b"a", Some("a")),
            (Kind::Bytes, T::Text, b"\xff", None),
            (Kind::Text, T::Json, b"{\"a\":1}", Some("{\"a\":1}")),
            (Kind::Text, T::Json, b"{", None),
            (Kind::Date, T::Date, b"0000-00-00", None),
            (Kind::Date, T::Date, b"2024-00-00", None),
            (Kind::Date, T::Text, b"0000-00-00", Some("0000-00-00")),
            (Kind::Date, TS, b"2024-02-29", Some("2024-02-29 00:00:00")),
            (Kind::Time, T::Time, b"23:59:59.5", Some("23:59:59.5")),
            (Kind::Time, T::Time, b"24:00:00", None),
            (Kind::Time, T::Time, b"-01:00:00", None),
            (Kind::Time, T::Time, b"838:59:59", None),
            (Kind::Time, T::Text, b"-838:59:59", Some("-838:59:59")),
            (Kind::Local, TS, b"2024-01-01 10:00:00.25", Some("2024-01-01 10:00:00.25")),
            (Kind::Local, T::Date, b"2024-01-01 00:00:00.000", Some("2024-01-01")),
            (Kind::Local, T::Date, b"2024-01-01 10:00:00", None),
            (Kind::Moment, TZ, b"2024-01-01 10:00:00", Some("2024-01-01 10:00:00+00:00")),
            (Kind::Moment, T::Text, b"2024-01-01 10:00:00", Some("2024-01-01 10:00:00+00:00")),
            (Kind::Moment, TZ, b"0000-00-00 00:00:00", None),
            (Kind::Moment, T::Text, b"0000-00-00 00:00:00", Some("0000-00-00 00:00:00")),
        ] {
            assert_eq!(value(kind, into, bytes).as_deref(), expected, "{kind:?} as {into}: {bytes:?}");
        }
    }
}
