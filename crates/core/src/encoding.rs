//! The row encoding: a text of a row's cells that is the same in every database where the rows are the same, and that a
//! database can make in its own SQL, so that tables are compared by hashes and rows stay where they are.
//!
//! Version 1, as [docs/reference/row-encoding.md](../../../docs/reference/row-encoding.md) has it. Cells stand one behind
//! the other, a NULL as `-`, every other as the number of bytes of its text, `:` and that text. Of which form the texts are
//! is settled for a pair of columns beforehand ([`Form::of`]); it is no part of the encoding.
//!
//! What is compared by its encoding must never be taken for equal where it is not. A database that writes some value in
//! another way than here only costs time: rows whose hashes differ are fetched and compared here.

use crate::{
    error::{Error, Result},
    text,
    types::DataType,
    value::Value,
};
use arrow::{
    array::{Array, AsArray},
    datatypes as dt,
};
use md5::{Digest as _, Md5};
use xxhash_rust::xxh3::xxh3_64;

/// How the values of a pair of columns are written so that they can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// A number in decimal digits, without an exponent and without zeros at the end of its fraction: 1 and 1.00 are equal,
    /// true is 1. A double is the shortest number that reads back as it; zero has no sign.
    Number,
    /// UTF-8.
    Text,
    /// Hexadecimal digits in lower case.
    Bytes,
    /// Date and time without a zone; a date is its midnight.
    Moment,
    /// Date and time in UTC.
    Instant,
    /// A time of day.
    Time,
}

impl Form {
    /// In which form values of the two types are compared; `None` where no value of the one is equal to one of the other.
    pub fn of(a: DataType, b: DataType) -> Option<Form> {
        use DataType::{BigInt, Bool, Bytes, Date, Decimal, Double, Json, Text, Time, Timestamp, TimestampTz};
        Some(match (a, b) {
            (Bool | BigInt | Decimal(..) | Double, Bool | BigInt | Decimal(..) | Double) => Form::Number,
            (Bytes, Bytes) => Form::Bytes,
            (Bytes, _) | (_, Bytes) => return None,
            (Text | Json, _) | (_, Text | Json) => Form::Text,
            (Date | Timestamp { .. }, Date | Timestamp { .. }) => Form::Moment,
            (TimestampTz { .. }, TimestampTz { .. }) => Form::Instant,
            (Time, Time) => Form::Time,
            _ => return None,
        })
    }
}

/// Appends the cell of a value. The value must be of a type that has this form.
pub fn put(value: &Value, out: &mut Vec<u8>, scratch: &mut String) {
    scratch.clear();
    let bytes = match value {
        Value::Null => return out.push(b'-'),
        Value::Bool(v) => if *v { "1" } else { "0" }.as_bytes(),
        Value::Text(v) => v.as_bytes(),
        Value::Bytes(v) => return put_hex(v, out),
        Value::Int(v) => number(i128::from(*v), 0, scratch),
        Value::Decimal(v, s) => number(*v, *s, scratch),
        Value::Double(v) => double(*v, scratch),
        Value::Date(v) => moment(i128::from(*v) * DAY, scratch),
        Value::Time(v) => {
            text::format_time(*v, scratch);
            scratch.as_bytes()
        }
        Value::Timestamp(v) | Value::TimestampTz(v) => moment(*v, scratch),
    };
    put_bytes(bytes, out);
}

/// The same of a cell of a column that travels as [`DataType::to_arrow`] says. Text is taken for what the database wrote of
/// a value of this form.
pub fn put_cell(
    array: &dyn Array,
    row: usize,
    data_type: DataType,
    form: Form,
    out: &mut Vec<u8>,
    scratch: &mut String,
) -> Result<()> {
    if array.is_null(row) {
        out.push(b'-');
        return Ok(());
    }
    scratch.clear();
    // Copies are saved of what is most of a table's bytes.
    match data_type {
        DataType::Text | DataType::Json if *array.data_type() == dt::DataType::Utf8 => {
            let text = array.as_string::<i32>().value(row);
            match form {
                Form::Text => put_bytes(text.as_bytes(), out),
                _ => put_bytes(normal(text, form, scratch), out),
            }
        }
        DataType::Bytes if *array.data_type() == dt::DataType::Binary => {
            put_hex(array.as_binary::<i32>().value(row), out);
        }
        _ => put(&Value::from_array(array, row, data_type)?, out, scratch),
    }
    Ok(())
}

const DAY: i128 = 86_400_000_000_000;

/// What a database wrote of a value, in the way in which it is written here; what is no such value stays as it is.
fn normal<'s>(text: &str, form: Form, scratch: &'s mut String) -> &'s [u8] {
    let text = match form {
        Form::Instant => text.strip_suffix(":00").filter(|t| t.ends_with("+00")).unwrap_or(text),
        _ => text,
    };
    let text = if form == Form::Instant { text.strip_suffix("+00").unwrap_or(text) } else { text };
    scratch.push_str(text);
    let fraction = text.split_once('.').is_some_and(|(_, behind)| behind.bytes().all(|b| b.is_ascii_digit()));
    if fraction && matches!(form, Form::Number | Form::Moment | Form::Instant | Form::Time) {
        let kept = text.trim_end_matches('0').trim_end_matches('.').len();
        scratch.truncate(kept);
    }
    match (form, scratch.as_str()) {
        (Form::Number, "-0") => scratch.replace_range(.., "0"),
        (Form::Moment, date) if date.len() == 10 && text::parse_date(date.as_bytes()).is_some() => {
            scratch.push_str(" 00:00:00");
        }
        _ => {}
    }
    scratch.as_bytes()
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), length);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.push(b':');
}

fn put_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    put_length(bytes.len() * 2, out);
    out.extend(bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]));
}

fn number(unscaled: i128, scale: u8, scratch: &mut String) -> &[u8] {
    text::format_decimal(unscaled, scale, scratch);
    if scale > 0 {
        let kept = scratch.trim_end_matches('0').trim_end_matches('.').len();
        scratch.truncate(kept);
        if scratch == "-0" {
            scratch.remove(0);
        }
    }
    scratch.as_bytes()
}

fn double(value: f64, scratch: &mut String) -> &[u8] {
    use std::fmt::Write;
    // Writing to a String cannot fail.
    let _ = match value {
        v if v.is_nan() => write!(scratch, "NaN"),
        v if v.is_infinite() => write!(scratch, "{}Infinity", if v < 0.0 { "-" } else { "" }),
        0.0 => write!(scratch, "0"),
        v => write!(scratch, "{v}"),
    };
    scratch.as_bytes()
}

fn moment(nanos: i128, scratch: &mut String) -> &[u8] {
    text::format_timestamp(nanos, false, scratch);
    scratch.as_bytes()
}

/// How an encoded row becomes a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// The first 64 bits of its MD5, which every database has.
    Md5,
    /// XXH3, where both rows are encoded here.
    Here,
}

impl Hash {
    /// The hash of an encoded row.
    pub fn of(self, row: &[u8]) -> u64 {
        match self {
            Hash::Here => xxh3_64(row),
            Hash::Md5 => {
                let digest = Md5::digest(row);
                digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
            }
        }
    }
}

/// The rows of a part of a table in two numbers: equal where the rows are, in whatever order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many there are.
    pub rows: u64,
    /// The sum of their hashes modulo 2^64.
    pub sum: u64,
}

impl Digest {
    /// Takes a row in.
    pub fn add(&mut self, hash: u64) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// From the numbers that a database gives: a sum may be of numbers with a sign, and have more digits.
    ///
    /// # Errors
    /// A defect, where they are no whole numbers.
    pub fn read(rows: u64, sum: &str) -> Result<Digest> {
        let sum: i128 = sum.parse().map_err(|e| Error::internal(format!("{sum:?} is no sum of hashes")).cause(e))?;
        Ok(Digest { rows, sum: sum.rem_euclid(1 << 64) as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(value: Value) -> String {
        let (mut out, mut scratch) = (Vec::new(), String::new());
        put(&value, &mut out, &mut scratch);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn equal_values_are_one_text() {
        for (value, expected) in [
            (Value::Null, "-"),
            (Value::Text(String::new()), "0:"),
            (Value::Text("-".into()), "1:-"),
            (Value::Text("é".into()), "2:é"),
            (Value::Bool(true), "1:1"),
            (Value::Int(-7), "2:-7"),
            (Value::Decimal(-700, 2), "2:-7"),
            (Value::Decimal(-5, 1), "4:-0.5"),
            (Value::Decimal(0, 3), "1:0"),
            (Value::Double(-0.0), "1:0"),
            (Value::Double(7.0), "1:7"),
            (Value::Double(0.1), "3:0.1"),
            (Value::Double(1e-7), "9:0.0000001"),
            (Value::Double(1e21), "22:1000000000000000000000"),
            (Value::Double(f64::NAN), "3:NaN"),
            (Value::Double(f64::NEG_INFINITY), "9:-Infinity"),
            (Value::Bytes(vec![0, 255]), "4:00ff"),
            (Value::Date(0), "19:1970-01-01 00:00:00"),
            (Value::Timestamp(0), "19:1970-01-01 00:00:00"),
            (Value::TimestampTz(1_500_000_000), "21:1970-01-01 00:00:01.5"),
            (Value::Time(1_000), "15:00:00:00.000001"),
        ] {
            assert_eq!(cell(value.clone()), expected, "{value:?}");
        }
    }

    #[test]
    fn cells_of_columns_are_those_of_values() {
        let values = [Value::Decimal(110, 2), Value::Null, Value::Decimal(0, 2)];
        for value in values {
            let array = value.to_scalar(DataType::Decimal(9, 2)).unwrap().into_inner();
            let (mut out, mut scratch) = (Vec::new(), String::new());
            put_cell(&array, 0, DataType::Decimal(9, 2), Form::Number, &mut out, &mut scratch).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), cell(value));
        }
    }

    #[test]
    fn what_a_database_writes_is_what_is_written_here() {
        for (form, text, expected) in [
            (Form::Number, "1.50", "1.5"),
            (Form::Number, "100", "100"),
            (Form::Number, "-0.00", "0"),
            (Form::Number, "NaN", "NaN"),
            (Form::Number, "1.x0", "1.x0"),
            (Form::Moment, "2024-01-01", "2024-01-01 00:00:00"),
            (Form::Moment, "2024-01-01 10:00:00.250000", "2024-01-01 10:00:00.25"),
            (Form::Moment, "infinity", "infinity"),
            (Form::Instant, "2024-01-01 10:00:00+00", "2024-01-01 10:00:00"),
            (Form::Instant, "2024-01-01 10:00:00.50+00:00", "2024-01-01 10:00:00.5"),
            (Form::Time, "24:00:00.000000", "24:00:00"),
            (Form::Bytes, "1.00", "1.00"),
        ] {
            assert_eq!(normal(text, form, &mut String::new()), expected.as_bytes(), "{form:?} {text}");
        }
    }

    #[test]
    fn types_are_compared_where_values_can_be_equal() {
        use DataType as T;
        assert_eq!(Form::of(T::Bool, T::BigInt), Some(Form::Number));
        assert_eq!(Form::of(T::Decimal(9, 2), T::Double), Some(Form::Number));
        assert_eq!(Form::of(T::Date, T::Timestamp { nanos: true }), Some(Form::Moment));
        assert_eq!(Form::of(T::Text, T::Json), Some(Form::Text));
        assert_eq!(Form::of(T::BigInt, T::Text), Some(Form::Text));
        assert_eq!(Form::of(T::Bytes, T::Text), None);
        assert_eq!(Form::of(T::Timestamp { nanos: false }, T::TimestampTz { nanos: false }), None);
        assert_eq!(Form::of(T::Time, T::Date), None);
    }

    #[test]
    fn sums_of_all_signs_are_one_number() {
        let mut digest = Digest::default();
        digest.add(u64::MAX);
        digest.add(3);
        assert_eq!(Digest::read(2, "2").unwrap(), digest);
        assert_eq!(Digest::read(2, &(u128::from(u64::MAX) + 3).to_string()).unwrap(), digest);
        assert_eq!(Digest::read(1, "-1").unwrap().sum, u64::MAX);
        assert!(Digest::read(1, "x").is_err());
        assert_eq!(Hash::Md5.of(b""), 0xd41d_8cd9_8f00_b204);
    }
}
