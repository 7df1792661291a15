//! One exact, typed value: a watermark, a version, a key in a message.

use crate::{
    error::{Error, Result},
    text,
    types::DataType,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Scalar, new_null_array},
    datatypes as dt,
};
use std::{cmp::Ordering, fmt, sync::Arc};

/// A value of one column. Timestamps are nanoseconds since the epoch, whatever the column's unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// boolean.
    Bool(bool),
    /// bigint.
    Int(i64),
    /// Unscaled digits and scale.
    Decimal(i128, u8),
    /// double.
    Double(f64),
    /// text or json.
    Text(String),
    /// bytes.
    Bytes(Vec<u8>),
    /// Days since the epoch.
    Date(i32),
    /// Nanoseconds since midnight.
    Time(i64),
    /// Nanoseconds since the epoch, no zone.
    Timestamp(i128),
    /// Nanoseconds since the epoch, UTC.
    TimestampTz(i128),
}

impl Value {
    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Reads the text form of a value of that type (as `Display` writes it, or as a person would in `start:`).
    pub fn parse(text: &str, data_type: DataType) -> Option<Value> {
        let bytes = text.as_bytes();
        Some(match data_type {
            DataType::Bool => Value::Bool(text::parse_bool(bytes)?),
            DataType::BigInt => Value::Int(text::parse_i64(bytes)?),
            DataType::Decimal(p, s) => Value::Decimal(text::parse_decimal(bytes, p, s)?, s),
            DataType::Double => Value::Double(text.parse().ok()?),
            DataType::Text | DataType::Json => Value::Text(text.to_owned()),
            DataType::Bytes => Value::Bytes(parse_hex(text)?),
            DataType::Date => Value::Date(text::parse_stored_date(bytes)?),
            DataType::Time => Value::Time(text::parse_time(bytes)?.0),
            DataType::Timestamp { .. } | DataType::TimestampTz { .. } => {
                let nanos = match text::parse_stored_date(bytes) {
                    Some(days) => i128::from(days) * 86_400_000_000_000,
                    None => {
                        let read = text::parse_stored_timestamp(bytes)?;
                        if read.zoned && matches!(data_type, DataType::Timestamp { .. }) {
                            return None;
                        }
                        read.nanos
                    }
                };
                if matches!(data_type, DataType::Timestamp { .. }) {
                    Value::Timestamp(nanos)
                } else {
                    Value::TimestampTz(nanos)
                }
            }
        })
    }

    /// The value at `row` of a column that travels as `DataType::to_arrow` says.
    pub fn from_array(array: &dyn Array, row: usize, data_type: DataType) -> Result<Value> {
        if array.is_null(row) {
            return Ok(Value::Null);
        }
        if *array.data_type() != data_type.to_arrow() {
            return Err(Error::internal(format!("a {data_type} column travels as {}", array.data_type())));
        }
        Ok(match data_type {
            DataType::Bool => Value::Bool(array.as_boolean().value(row)),
            DataType::BigInt => Value::Int(array.as_primitive::<dt::Int64Type>().value(row)),
            DataType::Decimal(_, s) => Value::Decimal(array.as_primitive::<dt::Decimal128Type>().value(row), s),
            DataType::Double => Value::Double(array.as_primitive::<dt::Float64Type>().value(row)),
            DataType::Text | DataType::Json => Value::Text(array.as_string::<i32>().value(row).to_owned()),
            DataType::Bytes => Value::Bytes(array.as_binary::<i32>().value(row).to_vec()),
            DataType::Date => Value::Date(array.as_primitive::<dt::Date32Type>().value(row)),
            DataType::Time => Value::Time(array.as_primitive::<dt::Time64NanosecondType>().value(row)),
            DataType::Timestamp { nanos } => Value::Timestamp(timestamp_nanos(array, row, nanos)),
            DataType::TimestampTz { nanos } => Value::TimestampTz(timestamp_nanos(array, row, nanos)),
        })
    }

    /// A one-row array of it, to compare columns with.
    pub fn to_scalar(&self, data_type: DataType) -> Result<Scalar<ArrayRef>> {
        let array: ArrayRef = match (self, data_type) {
            (Value::Null, _) => new_null_array(&data_type.to_arrow(), 1),
            (Value::Bool(v), DataType::Bool) => Arc::new(arrow::array::BooleanArray::from(vec![*v])),
            (Value::Int(v), DataType::BigInt) => Arc::new(arrow::array::Int64Array::from(vec![*v])),
            (Value::Decimal(v, s), DataType::Decimal(p, s2)) if *s == s2 => {
                Arc::new(arrow::array::Decimal128Array::from(vec![*v]).with_precision_and_scale(p, s2 as i8)?)
            }
            (Value::Double(v), DataType::Double) => Arc::new(arrow::array::Float64Array::from(vec![*v])),
            (Value::Text(v), DataType::Text | DataType::Json) => {
                Arc::new(arrow::array::StringArray::from(vec![v.as_str()]))
            }
            (Value::Bytes(v), DataType::Bytes) => Arc::new(arrow::array::BinaryArray::from(vec![v.as_slice()])),
            (Value::Date(v), DataType::Date) => Arc::new(arrow::array::Date32Array::from(vec![*v])),
            (Value::Time(v), DataType::Time) => Arc::new(arrow::array::Time64NanosecondArray::from(vec![*v])),
            (Value::Timestamp(v), DataType::Timestamp { nanos }) => timestamp_array(*v, nanos, None)?,
            (Value::TimestampTz(v), DataType::TimestampTz { nanos }) => timestamp_array(*v, nanos, Some("UTC"))?,
            _ => return Err(Error::internal(format!("{self:?} is not of type {data_type}"))),
        };
        Ok(Scalar::new(array))
    }

    /// Order within one type; NULL sorts before everything. Values of two types do not compare.
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        use Value::*;
        Some(match (self, other) {
            (Null, Null) => Ordering::Equal,
            (Null, _) => Ordering::Less,
            (_, Null) => Ordering::Greater,
            (Bool(a), Bool(b)) => a.cmp(b),
            (Int(a), Int(b)) => a.cmp(b),
            (Double(a), Double(b)) => a.total_cmp(b),
            (Text(a), Text(b)) => a.cmp(b),
            (Bytes(a), Bytes(b)) => a.cmp(b),
            (Date(a), Date(b)) => a.cmp(b),
            (Time(a), Time(b)) => a.cmp(b),
            (Timestamp(a), Timestamp(b)) | (TimestampTz(a), TimestampTz(b)) => a.cmp(b),
            (Decimal(..) | Int(_), Decimal(..) | Int(_)) => compare_decimals(self.decimal()?, other.decimal()?),
            (Date(a), Timestamp(b)) => (i128::from(*a) * 86_400_000_000_000).cmp(b),
            (Timestamp(a), Date(b)) => a.cmp(&(i128::from(*b) * 86_400_000_000_000)),
            _ => return None,
        })
    }

    fn decimal(&self) -> Option<(i128, u8)> {
        match self {
            Value::Int(v) => Some((i128::from(*v), 0)),
            Value::Decimal(v, s) => Some((*v, *s)),
            _ => None,
        }
    }
}

fn compare_decimals((a, sa): (i128, u8), (b, sb): (i128, u8)) -> Ordering {
    let power = |s: u8| 10i128.pow(u32::from(s));
    // Whole parts first: bringing both to one scale could overflow.
    (a.div_euclid(power(sa)).cmp(&b.div_euclid(power(sb)))).then_with(|| {
        let scale = sa.max(sb);
        (a.rem_euclid(power(sa)) * power(scale - sa)).cmp(&(b.rem_euclid(power(sb)) * power(scale - sb)))
    })
}

fn timestamp_nanos(array: &dyn Array, row: usize, nanos: bool) -> i128 {
    if nanos {
        i128::from(array.as_primitive::<dt::TimestampNanosecondType>().value(row))
    } else {
        i128::from(array.as_primitive::<dt::TimestampMicrosecondType>().value(row)) * 1000
    }
}

/// The largest unit value at or below `nanos`, so that a finer bound never skips a row.
fn timestamp_array(nanos_value: i128, nanos: bool, zone: Option<&str>) -> Result<ArrayRef> {
    let value = if nanos { nanos_value } else { nanos_value.div_euclid(1000) };
    let value = i64::try_from(value).map_err(|_| Error::internal("a timestamp beyond the range of its column"))?;
    Ok(if nanos {
        Arc::new(arrow::array::TimestampNanosecondArray::from(vec![value]).with_timezone_opt(zone))
    } else {
        Arc::new(arrow::array::TimestampMicrosecondArray::from(vec![value]).with_timezone_opt(zone))
    })
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    // `from_str_radix` would take a plus sign.
    if !bytes.len().is_multiple_of(2) || !bytes.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    bytes.chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        match self {
            Value::Null => out.push_str("NULL"),
            Value::Bool(v) => return write!(f, "{v}"),
            Value::Int(v) => return write!(f, "{v}"),
            Value::Decimal(v, s) => text::format_decimal(*v, *s, &mut out),
            Value::Double(v) => text::format_f64(*v, &mut out),
            Value::Text(v) => return f.write_str(v),
            Value::Bytes(v) => {
                use fmt::Write;
                v.iter().try_for_each(|b| write!(out, "{b:02x}"))?;
            }
            Value::Date(v) => text::format_date(*v, &mut out),
            Value::Time(v) => text::format_time(*v, &mut out),
            Value::Timestamp(v) => text::format_timestamp(*v, false, &mut out),
            Value::TimestampTz(v) => text::format_timestamp(*v, true, &mut out),
        }
        f.write_str(&out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_compare_across_scales() {
        assert_eq!(Value::Decimal(10, 1).compare(&Value::Int(1)), Some(Ordering::Equal));
        assert_eq!(Value::Decimal(-15, 1).compare(&Value::Int(-1)), Some(Ordering::Less));
        assert_eq!(Value::Decimal(i128::MAX, 0).compare(&Value::Decimal(1, 38)), Some(Ordering::Greater));
    }

    proptest! {
        #[test]
        fn text_form_reads_back(n: i64, micros in -62_135_596_800_000_000i64..253_402_300_799_000_000, d: f64) {
            for (value, t) in [
                (Value::Int(n), DataType::BigInt),
                (Value::Timestamp(i128::from(micros) * 1000), DataType::Timestamp { nanos: false }),
                (Value::TimestampTz(i128::from(micros) * 1000), DataType::TimestampTz { nanos: false }),
                (Value::Decimal(i128::from(n), 5), DataType::Decimal(38, 5)),
            ] {
                prop_assert_eq!(Value::parse(&value.to_string(), t), Some(value));
            }
            if !d.is_nan() {
                prop_assert_eq!(Value::parse(&Value::Double(d).to_string(), DataType::Double), Some(Value::Double(d)));
            }
        }

        #[test]
        fn a_scalar_holds_the_same_value(micros in -62_135_596_800_000_000i64..253_402_300_799_000_000) {
            let t = DataType::TimestampTz { nanos: false };
            let value = Value::TimestampTz(i128::from(micros) * 1000);
            let scalar = value.to_scalar(t).unwrap();
            prop_assert_eq!(Value::from_array(arrow::array::Datum::get(&scalar).0, 0, t).unwrap(), value);
        }
    }
}
