//! Single values of a row-wise source into Arrow columns of the planned types. What does not fit exactly is not converted
//! but said to be a misfit.

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder,
    Int64Builder, StringBuilder, Time64NanosecondBuilder, TimestampMicrosecondBuilder, TimestampNanosecondBuilder,
};
use floodmark_core::{DataType, Error, text};
use std::sync::Arc;

/// A value as a driver gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Real(f64),
    /// Text, which may be no UTF-8, or the text form of any other type.
    Text(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// A column that is being filled.
#[derive(Debug)]
pub struct ColumnBuilder {
    builder: Builder,
    scratch: String,
}

#[derive(Debug)]
enum Builder {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Decimal(Decimal128Builder, u8, u8),
    Double(Float64Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64NanosecondBuilder),
    Micros(TimestampMicrosecondBuilder, bool),
    Nanos(TimestampNanosecondBuilder, bool),
}

impl ColumnBuilder {
    /// An empty column of the type.
    ///
    /// # Errors
    /// Never, as long as a decimal has at most 38 digits.
    pub fn new(data_type: DataType) -> Result<Self, Error> {
        let builder = match data_type {
            DataType::Bool => Builder::Bool(BooleanBuilder::new()),
            DataType::BigInt => Builder::Int(Int64Builder::new()),
            DataType::Decimal(p, s) => {
                let builder = Decimal128Builder::new().with_precision_and_scale(p, s as i8)?;
                Builder::Decimal(builder, p, s)
            }
            DataType::Double => Builder::Double(Float64Builder::new()),
            DataType::Text | DataType::Json => Builder::Text(StringBuilder::new()),
            DataType::Bytes => Builder::Bytes(BinaryBuilder::new()),
            DataType::Date => Builder::Date(Date32Builder::new()),
            DataType::Time => Builder::Time(Time64NanosecondBuilder::new()),
            DataType::Timestamp { nanos: false } => Builder::Micros(TimestampMicrosecondBuilder::new(), false),
            DataType::TimestampTz { nanos: false } => {
                Builder::Micros(TimestampMicrosecondBuilder::new().with_timezone("UTC"), true)
            }
            DataType::Timestamp { nanos: true } => Builder::Nanos(TimestampNanosecondBuilder::new(), false),
            DataType::TimestampTz { nanos: true } => {
                Builder::Nanos(TimestampNanosecondBuilder::new().with_timezone("UTC"), true)
            }
        };
        Ok(ColumnBuilder { builder, scratch: String::new() })
    }

    /// Appends a value; `false` where it does not fit exactly, and nothing is appended.
    pub fn append(&mut self, cell: Cell<'_>) -> bool {
        self.put(cell).is_some()
    }

    fn put(&mut self, cell: Cell<'_>) -> Option<()> {
        if cell == Cell::Null {
            self.append_null();
            return Some(());
        }
        let scratch = &mut self.scratch;
        match &mut self.builder {
            Builder::Bool(b) => b.append_value(match cell {
                Cell::Int(0) => false,
                Cell::Int(1) => true,
                Cell::Text(t) => text::parse_bool(t)?,
                _ => return None,
            }),
            Builder::Int(b) => b.append_value(match cell {
                Cell::Int(v) => v,
                Cell::Real(v) => whole(v)?,
                Cell::Text(t) => text::parse_i64(t)?,
                _ => return None,
            }),
            Builder::Decimal(b, p, s) => b.append_value(match cell {
                Cell::Text(t) => text::parse_decimal(t, *p, *s)?,
                number => text::parse_decimal(written(number, scratch)?, *p, *s)?,
            }),
            Builder::Double(b) => b.append_value(match cell {
                Cell::Real(v) => v,
                Cell::Int(v) => exact(v)?,
                Cell::Text(t) => text::parse_f64_exact(t)?,
                _ => return None,
            }),
            Builder::Text(b) => b.append_value(match cell {
                Cell::Text(t) => std::str::from_utf8(t).ok()?,
                number => std::str::from_utf8(written(number, scratch)?).ok()?,
            }),
            Builder::Bytes(b) => match cell {
                Cell::Bytes(v) => b.append_value(v),
                _ => return None,
            },
            Builder::Date(b) => b.append_value(text::parse_stored_date(chars(cell)?)?),
            Builder::Time(b) => b.append_value(text::parse_time(chars(cell)?)?.0),
            Builder::Micros(b, zoned) => {
                let nanos = moment(chars(cell)?, *zoned)?;
                b.append_value((nanos % 1000 == 0).then(|| i64::try_from(nanos / 1000).ok()).flatten()?);
            }
            Builder::Nanos(b, zoned) => b.append_value(i64::try_from(moment(chars(cell)?, *zoned)?).ok()?),
        }
        Some(())
    }

    /// Appends NULL.
    pub fn append_null(&mut self) {
        match &mut self.builder {
            Builder::Bool(b) => b.append_null(),
            Builder::Int(b) => b.append_null(),
            Builder::Decimal(b, ..) => b.append_null(),
            Builder::Double(b) => b.append_null(),
            Builder::Text(b) => b.append_null(),
            Builder::Bytes(b) => b.append_null(),
            Builder::Date(b) => b.append_null(),
            Builder::Time(b) => b.append_null(),
            Builder::Micros(b, _) => b.append_null(),
            Builder::Nanos(b, _) => b.append_null(),
        }
    }

    /// The column so far; the next value begins another one.
    pub fn finish(&mut self) -> ArrayRef {
        let builder: &mut dyn ArrayBuilder = match &mut self.builder {
            Builder::Bool(b) => b,
            Builder::Int(b) => b,
            Builder::Decimal(b, ..) => b,
            Builder::Double(b) => b,
            Builder::Text(b) => b,
            Builder::Bytes(b) => b,
            Builder::Date(b) => b,
            Builder::Time(b) => b,
            Builder::Micros(b, _) => b,
            Builder::Nanos(b, _) => b,
        };
        Arc::new(builder.finish())
    }
}

fn chars(cell: Cell<'_>) -> Option<&[u8]> {
    match cell {
        Cell::Text(text) => Some(text),
        _ => None,
    }
}

/// A number as text that reads back as the same number.
fn written<'a>(cell: Cell<'_>, scratch: &'a mut String) -> Option<&'a [u8]> {
    use std::fmt::Write;
    scratch.clear();
    match cell {
        Cell::Int(v) => write!(scratch, "{v}").ok()?,
        Cell::Real(v) => text::format_f64(v, scratch),
        _ => return None,
    }
    Some(scratch.as_bytes())
}

fn whole(v: f64) -> Option<i64> {
    // 2^63 is a double, and no 64-bit integer.
    (v.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&v)).then_some(v as i64)
}

fn exact(v: i64) -> Option<f64> {
    let double = v as f64;
    (whole(double) == Some(v)).then_some(double)
}

/// Nanoseconds since the epoch; a date alone is its midnight where no zone is expected.
fn moment(text: &[u8], zoned: bool) -> Option<i128> {
    match text::parse_stored_timestamp(text) {
        Some(read) => (read.zoned == zoned).then_some(read.nanos),
        None if zoned => None,
        None => Some(i128::from(text::parse_stored_date(text)?) * 86_400_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;
    use floodmark_core::Value;

    fn read(data_type: DataType, cell: Cell<'_>) -> Option<Value> {
        let mut column = ColumnBuilder::new(data_type).unwrap();
        column.append(cell).then(|| Value::from_array(&column.finish(), 0, data_type).unwrap())
    }

    #[test]
    fn what_fits_exactly_is_taken_and_nothing_else() {
        assert_eq!(read(DataType::BigInt, Cell::Real(3.0)), Some(Value::Int(3)));
        assert_eq!(read(DataType::BigInt, Cell::Real(3.5)), None);
        assert_eq!(read(DataType::BigInt, Cell::Real(9.3e18)), None);
        assert_eq!(read(DataType::BigInt, Cell::Text(b"007")), None);
        assert_eq!(read(DataType::Double, Cell::Int(9_007_199_254_740_993)), None);
        assert_eq!(read(DataType::Double, Cell::Int(i64::MAX)), None);
        assert_eq!(read(DataType::Decimal(5, 2), Cell::Real(1.1)), Some(Value::Decimal(110, 2)));
        assert_eq!(read(DataType::Decimal(5, 2), Cell::Real(1.125)), None);
        assert_eq!(read(DataType::Bool, Cell::Int(2)), None);
        assert_eq!(read(DataType::Text, Cell::Int(-5)), Some(Value::Text("-5".into())));
        assert_eq!(read(DataType::Text, Cell::Text(b"\xff")), None);
        assert_eq!(read(DataType::Bytes, Cell::Text(b"x")), None);
        let zoned = DataType::TimestampTz { nanos: false };
        assert_eq!(read(zoned, Cell::Text(b"2024-01-01 00:00:00")), None);
        assert_eq!(read(zoned, Cell::Text(b"1970-01-01T02:00:00+02:00")), Some(Value::TimestampTz(0)));
        assert_eq!(read(DataType::Timestamp { nanos: false }, Cell::Text(b"1970-01-01")), Some(Value::Timestamp(0)));
        assert_eq!(read(DataType::Date, Cell::Int(19_000)), None);
    }

    #[test]
    fn a_misfit_leaves_the_column_as_it_was() {
        let mut column = ColumnBuilder::new(DataType::BigInt).unwrap();
        assert!(column.append(Cell::Int(1)) && !column.append(Cell::Text(b"x")) && column.append(Cell::Null));
        let array = column.finish();
        assert_eq!((array.len(), array.null_count()), (2, 1));
    }
}
