//! Cells as the server sends them into Arrow columns of the planned types. What does not fit exactly is not converted but
//! reported.

use super::{
    block::Block,
    columns::{Kind, Wanted},
    parse,
};
use crate::{
    codec::{day, from_numeric, moment},
    tuples::Cell,
};
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array, Float64Array,
        Int64Array, PrimitiveArray, StringArray, Time64NanosecondArray, TimestampMicrosecondArray,
        TimestampNanosecondArray,
    },
    buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::ArrowPrimitiveType,
};
use floodmark_core::{DataType, Error, Result, text};
use std::sync::Arc;

/// Nanoseconds of a day, and microseconds.
const DAY: i64 = 86_400_000_000_000;
const DAY_MICROS: i64 = DAY / 1000;

/// One column of a block. A cell that does not fit is NULL there, and its row is added to `lost`.
pub(crate) fn column(block: &Block, at: usize, wanted: &Wanted, lost: &mut Vec<usize>) -> Result<ArrayRef> {
    let cells = Cells { block, at, lost };
    match wanted.kind {
        Kind::Other => parse::column(cells, wanted.data_type),
        kind => natural(cells, kind, wanted.data_type),
    }
}

fn natural(cells: Cells<'_, '_>, kind: Kind, data_type: DataType) -> Result<ArrayRef> {
    use DataType as T;
    Ok(match (kind, data_type) {
        (Kind::Bool, T::Bool) => cells.booleans(|b| Some(b == [1])),
        (Kind::Int2, T::BigInt) => cells.numbers(|b| Some(i64::from(int2(b)?)), Int64Array::new),
        (Kind::Int4, T::BigInt) => cells.numbers(|b| Some(i64::from(int4(b)?)), Int64Array::new),
        (Kind::Int8, T::BigInt) => cells.numbers(int8, Int64Array::new),
        (Kind::Oid, T::BigInt) => cells.numbers(|b| Some(i64::from(int4(b)?.cast_unsigned())), Int64Array::new),
        (Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid, T::Decimal(p, s)) => {
            let factor = 10i128.pow(u32::from(s));
            cells.decimals(p, s, |b| whole(kind, b)?.checked_mul(factor))?
        }
        (Kind::Float4, T::Double) => {
            cells.numbers(|b| Some(f64::from(f32::from_bits(int4(b)?.cast_unsigned()))), Float64Array::new)
        }
        (Kind::Float8, T::Double) => {
            cells.numbers(|b| Some(f64::from_bits(int8(b)?.cast_unsigned())), Float64Array::new)
        }
        (Kind::Numeric, T::Decimal(p, s)) => cells.decimals(p, s, |b| from_numeric(b, s))?,
        (Kind::Numeric, T::BigInt) => cells.numbers(|b| i64::try_from(from_numeric(b, 0)?).ok(), Int64Array::new),
        (Kind::Text, T::Text) | (Kind::Json, T::Json) => cells.texts(Some)?,
        (Kind::Padded, T::Text) => cells.texts(|b| Some(unpadded(b)))?,
        (Kind::Jsonb, T::Json) => cells.texts(|b| b.strip_prefix(&[1]))?,
        (Kind::Bytes, T::Bytes) => cells.binaries(Some)?,
        (Kind::Uuid, T::Text) => cells.uuids()?,
        (Kind::Date, T::Date) => cells.numbers(day, Date32Array::new),
        (Kind::Date, T::Timestamp { .. }) => cells.moments(data_type, |b| i64::from(day(b)?).checked_mul(DAY_MICROS)),
        (Kind::Timestamp, T::Date) => {
            let whole = |micros: i64| (micros.rem_euclid(DAY_MICROS) == 0).then(|| micros.div_euclid(DAY_MICROS));
            cells.numbers(|b| i32::try_from(whole(moment(b)?)?).ok(), Date32Array::new)
        }
        (Kind::Timestamp, T::Timestamp { .. }) | (Kind::TimestampTz, T::TimestampTz { .. }) => {
            cells.moments(data_type, moment)
        }
        // 24:00:00 is the end of a day and no time of it.
        (Kind::Time, T::Time) => cells.numbers(
            |b| int8(b)?.checked_mul(1000).filter(|nanos| (0..DAY).contains(nanos)),
            Time64NanosecondArray::new,
        ),
        (kind, data_type) => return Err(Error::internal(format!("{kind:?} read as {data_type}"))),
    })
}

/// The cells of one column.
pub(super) struct Cells<'a, 'l> {
    block: &'a Block,
    at: usize,
    lost: &'l mut Vec<usize>,
}

impl<'a> Cells<'a, '_> {
    fn each(&self) -> impl Iterator<Item = (usize, Cell<'a>)> + use<'a> {
        self.block.column(self.at).enumerate()
    }

    pub(super) fn numbers<T: ArrowPrimitiveType<Native: Default>>(
        self,
        read: impl Fn(&[u8]) -> Option<T::Native>,
        make: impl FnOnce(ScalarBuffer<T::Native>, Option<NullBuffer>) -> PrimitiveArray<T>,
    ) -> ArrayRef {
        Arc::new(self.primitive(read, make))
    }

    fn primitive<T: ArrowPrimitiveType<Native: Default>>(
        self,
        read: impl Fn(&[u8]) -> Option<T::Native>,
        make: impl FnOnce(ScalarBuffer<T::Native>, Option<NullBuffer>) -> PrimitiveArray<T>,
    ) -> PrimitiveArray<T> {
        let rows = self.block.rows;
        let (mut values, mut valid) = (Vec::with_capacity(rows), BooleanBufferBuilder::new(rows));
        for (row, cell) in self.each() {
            let value = cell.and_then(&read);
            if value.is_none() && cell.is_some() {
                self.lost.push(row);
            }
            valid.append(value.is_some());
            values.push(value.unwrap_or_default());
        }
        make(values.into(), nulls(valid))
    }

    pub(super) fn decimals(self, p: u8, s: u8, read: impl Fn(&[u8]) -> Option<i128>) -> Result<ArrayRef> {
        let most = 10u128.pow(u32::from(p));
        let within = |b: &[u8]| read(b).filter(|value| value.unsigned_abs() < most);
        Ok(Arc::new(self.primitive(within, Decimal128Array::new).with_precision_and_scale(p, s as i8)?))
    }

    /// From microseconds since the epoch.
    fn moments(self, data_type: DataType, read: impl Fn(&[u8]) -> Option<i64>) -> ArrayRef {
        let nanos = |b: &[u8]| read(b)?.checked_mul(1000);
        match data_type {
            DataType::Timestamp { nanos: true } => self.numbers(nanos, TimestampNanosecondArray::new),
            DataType::TimestampTz { nanos: true } => {
                Arc::new(self.primitive(nanos, TimestampNanosecondArray::new).with_timezone("UTC"))
            }
            DataType::TimestampTz { nanos: false } => {
                Arc::new(self.primitive(read, TimestampMicrosecondArray::new).with_timezone("UTC"))
            }
            _ => self.numbers(read, TimestampMicrosecondArray::new),
        }
    }

    pub(super) fn booleans(self, read: impl Fn(&[u8]) -> Option<bool>) -> ArrayRef {
        let rows = self.block.rows;
        let (mut values, mut valid) = (BooleanBufferBuilder::new(rows), BooleanBufferBuilder::new(rows));
        for (row, cell) in self.each() {
            let value = cell.and_then(&read);
            if value.is_none() && cell.is_some() {
                self.lost.push(row);
            }
            valid.append(value.is_some());
            values.append(value.unwrap_or_default());
        }
        Arc::new(BooleanArray::new(values.finish(), nulls(valid)))
    }

    fn bytes(self, read: impl Fn(&'a [u8]) -> Option<&'a [u8]>) -> (OffsetBuffer<i32>, Vec<u8>, Option<NullBuffer>) {
        let rows = self.block.rows;
        let mut values = Vec::with_capacity(self.each().filter_map(|(_, cell)| Some(cell?.len())).sum());
        let (mut lengths, mut valid) = (Vec::with_capacity(rows), BooleanBufferBuilder::new(rows));
        for (row, cell) in self.each() {
            let value = cell.and_then(&read);
            if value.is_none() && cell.is_some() {
                self.lost.push(row);
            }
            valid.append(value.is_some());
            values.extend_from_slice(value.unwrap_or_default());
            lengths.push(value.map_or(0, <[u8]>::len));
        }
        (OffsetBuffer::from_lengths(lengths), values, nulls(valid))
    }

    pub(super) fn binaries(self, read: impl Fn(&'a [u8]) -> Option<&'a [u8]>) -> Result<ArrayRef> {
        let (offsets, values, nulls) = self.bytes(read);
        Ok(Arc::new(BinaryArray::try_new(offsets, values.into(), nulls)?))
    }

    /// Texts, all of which are looked at together: a server whose database has an encoding sends UTF-8.
    pub(super) fn texts(self, read: impl Fn(&'a [u8]) -> Option<&'a [u8]>) -> Result<ArrayRef> {
        let Cells { block, at, lost } = self;
        let before = lost.len();
        let (offsets, values, nulls) = Cells { block, at, lost: &mut *lost }.bytes(&read);
        if let Ok(array) = StringArray::try_new(offsets, values.into(), nulls) {
            return Ok(Arc::new(array));
        }
        // A database of encoding SQL_ASCII holds any bytes.
        lost.truncate(before);
        let utf8 = |b: &'a [u8]| read(b).filter(|b| std::str::from_utf8(b).is_ok());
        let (offsets, values, nulls) = Cells { block, at, lost }.bytes(utf8);
        Ok(Arc::new(StringArray::try_new(offsets, values.into(), nulls)?))
    }

    fn uuids(self) -> Result<ArrayRef> {
        let rows = self.block.rows;
        let (mut values, mut valid) = (Vec::with_capacity(rows * 36), BooleanBufferBuilder::new(rows));
        let mut lengths = Vec::with_capacity(rows);
        for (row, cell) in self.each() {
            let before = values.len();
            let whole = cell.is_some_and(|bytes| uuid(bytes, &mut values));
            if !whole && cell.is_some() {
                self.lost.push(row);
            }
            valid.append(whole);
            lengths.push(values.len() - before);
        }
        Ok(Arc::new(StringArray::try_new(OffsetBuffer::from_lengths(lengths), values.into(), nulls(valid))?))
    }
}

/// Without the blanks at the end: no other white space.
fn unpadded(bytes: &[u8]) -> &[u8] {
    let kept = bytes.iter().rposition(|b| *b != b' ').map_or(0, |last| last + 1);
    &bytes[..kept]
}

/// Sixteen bytes as the server writes them in text.
fn uuid(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let Ok(bytes) = <[u8; 16]>::try_from(bytes) else { return false };
    for (n, byte) in bytes.into_iter().enumerate() {
        if matches!(n, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    true
}

fn nulls(mut valid: BooleanBufferBuilder) -> Option<NullBuffer> {
    Some(NullBuffer::new(valid.finish())).filter(|nulls| nulls.null_count() > 0)
}

fn int2(bytes: &[u8]) -> Option<i16> {
    Some(i16::from_be_bytes(bytes.try_into().ok()?))
}

fn int4(bytes: &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}

fn int8(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(bytes.try_into().ok()?))
}

fn whole(kind: Kind, bytes: &[u8]) -> Option<i128> {
    Some(match kind {
        Kind::Int2 => int2(bytes)?.into(),
        Kind::Int4 => int4(bytes)?.into(),
        Kind::Oid => int4(bytes)?.cast_unsigned().into(),
        _ => int8(bytes)?.into(),
    })
}

/// A cell as a person would write it: as the server does, or nearly so.
pub(crate) fn shown(kind: Kind, bytes: &[u8]) -> String {
    let mut out = String::new();
    let known = match kind {
        Kind::Bool => Some((bytes == [1]).to_string()),
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid => whole(kind, bytes).map(|v| v.to_string()),
        Kind::Float4 => int4(bytes).map(|bits| f32::from_bits(bits.cast_unsigned()).to_string()),
        Kind::Float8 => int8(bytes).map(|bits| f64::from_bits(bits.cast_unsigned()).to_string()),
        Kind::Numeric => crate::codec::numeric_text(bytes),
        Kind::Uuid => {
            let mut digits = Vec::new();
            uuid(bytes, &mut digits).then(|| String::from_utf8_lossy(&digits).into_owned())
        }
        Kind::Date => match int4(bytes) {
            Some(i32::MAX) => Some("infinity".into()),
            Some(i32::MIN) => Some("-infinity".into()),
            _ => day(bytes).map(|days| {
                text::format_date(days, &mut out);
                out
            }),
        },
        Kind::Time => int8(bytes).map(|micros| {
            text::format_time(micros.saturating_mul(1000), &mut out);
            out
        }),
        Kind::Timestamp | Kind::TimestampTz => match int8(bytes) {
            Some(i64::MAX) => Some("infinity".into()),
            Some(i64::MIN) => Some("-infinity".into()),
            _ => moment(bytes).map(|micros| {
                text::format_timestamp(i128::from(micros) * 1000, kind == Kind::TimestampTz, &mut out);
                out
            }),
        },
        Kind::Bytes => None,
        Kind::Jsonb => Some(String::from_utf8_lossy(bytes.get(1..).unwrap_or_default()).into_owned()),
        Kind::Padded => Some(String::from_utf8_lossy(unpadded(bytes)).into_owned()),
        Kind::Text | Kind::Json | Kind::Other => Some(String::from_utf8_lossy(bytes).into_owned()),
    };
    known.unwrap_or_else(|| {
        use std::fmt::Write;
        let mut out = "\\x".to_owned();
        bytes.iter().for_each(|b| {
            let _ = write!(out, "{b:02x}");
        });
        out
    })
}

#[cfg(test)]
mod tests;
