//! Cells into Arrow columns of the planned types. What does not fit exactly is not converted but reported.

use crate::cells::{CellAt, Chars, Grid};
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array, Float64Array,
        Int64Array, PrimitiveArray, StringArray, Time64NanosecondArray, TimestampMicrosecondArray,
        TimestampNanosecondArray,
    },
    buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::ArrowPrimitiveType,
};
use floodmark_core::{DataType, Result, infer::Cell, text};
use std::sync::Arc;

/// A cell that does not fit its column: row of the grid, column of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Misfit {
    pub(crate) row: usize,
    pub(crate) column: usize,
}

/// One column of the grid as an array as long as the grid. A cell that does not fit is NULL there and a misfit.
pub(crate) fn column(
    grid: &Grid,
    chars: Chars<'_>,
    column: usize,
    data_type: DataType,
    misfits: &mut Vec<Misfit>,
) -> Result<ArrayRef> {
    let cells = Cells { grid, chars, column, misfits };
    Ok(match data_type {
        DataType::Bool => cells.booleans(),
        DataType::BigInt => Arc::new(cells.numbers(|s, _| text::parse_i64(s), Int64Array::new)),
        DataType::Double => Arc::new(cells.numbers(|s, _| double(s), Float64Array::new)),
        DataType::Decimal(p, scale) => {
            let array = cells.numbers(|s, _| text::parse_decimal(s, p, scale), Decimal128Array::new);
            Arc::new(array.with_precision_and_scale(p, scale as i8)?)
        }
        DataType::Date => Arc::new(cells.numbers(|s, _| text::parse_date(s), Date32Array::new)),
        DataType::Time => Arc::new(cells.numbers(|s, _| Some(text::parse_time(s)?.0), Time64NanosecondArray::new)),
        DataType::Timestamp { nanos: false } => {
            Arc::new(cells.numbers(|s, _| micros(moment(s, false)?), TimestampMicrosecondArray::new))
        }
        DataType::Timestamp { nanos: true } => {
            Arc::new(cells.numbers(|s, _| moment(s, false)?.try_into().ok(), TimestampNanosecondArray::new))
        }
        DataType::TimestampTz { nanos: false } => Arc::new(
            cells.numbers(|s, _| micros(moment(s, true)?), TimestampMicrosecondArray::new).with_timezone("UTC"),
        ),
        DataType::TimestampTz { nanos: true } => Arc::new(
            cells.numbers(|s, _| moment(s, true)?.try_into().ok(), TimestampNanosecondArray::new).with_timezone("UTC"),
        ),
        DataType::Text => {
            let (offsets, values, nulls) = cells.bytes(|s, _, out| {
                out.extend_from_slice(s);
                true
            });
            // Checks the whole column for UTF-8 at once, which is cheaper than cell by cell.
            Arc::new(StringArray::try_new(offsets, values.into(), nulls)?)
        }
        DataType::Json => {
            let (offsets, values, nulls) = cells.bytes(json);
            Arc::new(StringArray::try_new(offsets, values.into(), nulls)?)
        }
        DataType::Bytes => {
            let (offsets, values, nulls) = cells.bytes(|s, _, out| {
                out.extend_from_slice(s);
                true
            });
            Arc::new(BinaryArray::try_new(offsets, values.into(), nulls)?)
        }
    })
}

struct Cells<'a> {
    grid: &'a Grid,
    chars: Chars<'a>,
    column: usize,
    misfits: &'a mut Vec<Misfit>,
}

impl Cells<'_> {
    fn numbers<T: ArrowPrimitiveType>(
        self,
        read: impl Fn(&[u8], Cell) -> Option<T::Native>,
        array: impl Fn(ScalarBuffer<T::Native>, Option<NullBuffer>) -> PrimitiveArray<T>,
    ) -> PrimitiveArray<T> {
        let len = self.grid.rows.len();
        let mut values = Vec::with_capacity(len);
        let mut valid = Validity::default();
        for (row, cell) in self.grid.column(self.column).enumerate() {
            let value = match cell.kind {
                None => None,
                Some(kind) => {
                    let value = read(self.chars.of(cell), kind);
                    if value.is_none() {
                        self.misfits.push(Misfit { row, column: self.column });
                    }
                    value
                }
            };
            valid.append(row, value.is_some());
            values.push(value.unwrap_or_default());
        }
        array(values.into(), valid.finish(len))
    }

    fn booleans(self) -> ArrayRef {
        let len = self.grid.rows.len();
        let mut values = BooleanBufferBuilder::new(len);
        let mut valid = Validity::default();
        for (row, cell) in self.grid.column(self.column).enumerate() {
            let value = cell.kind.and_then(|_| text::parse_bool(self.chars.of(cell)));
            if value.is_none() && cell.kind.is_some() {
                self.misfits.push(Misfit { row, column: self.column });
            }
            valid.append(row, value.is_some());
            values.append(value.unwrap_or_default());
        }
        Arc::new(BooleanArray::new(values.finish(), valid.finish(len)))
    }

    /// `write` appends the cell's bytes, or says that they do not fit.
    fn bytes(
        self,
        write: impl Fn(&[u8], Cell, &mut Vec<u8>) -> bool,
    ) -> (OffsetBuffer<i32>, Vec<u8>, Option<NullBuffer>) {
        let len = self.grid.rows.len();
        let mut offsets = Vec::with_capacity(len + 1);
        let mut values = Vec::new();
        let mut valid = Validity::default();
        // Blocks have a size (`blocks::Sizes`) whose sixfold 31 bits hold.
        offsets.push(0i32);
        for (row, cell) in self.grid.column(self.column).enumerate() {
            let fits = match cell.kind {
                None => false,
                Some(kind) => {
                    let fits = write(self.chars.of(cell), kind, &mut values);
                    if !fits {
                        self.misfits.push(Misfit { row, column: self.column });
                    }
                    fits
                }
            };
            valid.append(row, fits);
            offsets.push(values.len() as i32);
        }
        (OffsetBuffer::new(offsets.into()), values, valid.finish(len))
    }
}

/// Which rows are not NULL, kept only from the first NULL on: most columns have none.
#[derive(Default)]
struct Validity(Option<BooleanBufferBuilder>);

impl Validity {
    /// Rows come one by one.
    #[inline(always)]
    fn append(&mut self, row: usize, valid: bool) {
        if self.0.is_some() || !valid {
            self.keep(row, valid);
        }
    }

    fn keep(&mut self, row: usize, valid: bool) {
        let bits = self.0.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(row + 1);
            bits.append_n(row, true);
            bits
        });
        bits.append(valid);
    }

    fn finish(self, len: usize) -> Option<NullBuffer> {
        let mut bits = self.0?;
        debug_assert_eq!(bits.len(), len, "one bit a row");
        Some(NullBuffer::new(bits.finish()))
    }
}

const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// `text::parse_f64_exact`, faster for what most files hold.
#[inline]
pub(crate) fn double(text: &[u8]) -> Option<f64> {
    plain_double(text).or_else(|| text::parse_f64_exact(text))
}

/// Up to 15 digits with a point. Both the digits and the power of ten are exact doubles, so that one division rounds
/// as the correct reading does.
#[inline]
fn plain_double(text: &[u8]) -> Option<f64> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if rest.len() > 16 {
        return None;
    }
    let (mut value, mut digits, mut point) = (0u64, 0, None);
    for (i, &b) in rest.iter().enumerate() {
        if b == b'.' && point.is_none() {
            point = Some(i);
        } else {
            let digit = b.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + u64::from(digit);
            digits += 1;
        }
    }
    let integer = point.unwrap_or(rest.len());
    let fraction = digits - integer;
    if digits == 0 || digits > 15 || (point.is_some() && fraction == 0) || (integer > 1 && rest[0] == b'0') {
        return None;
    }
    let value = value as f64 / POWERS[fraction];
    Some(if negative { -value } else { value })
}

/// Nanoseconds since the epoch of a timestamp; a date alone is its midnight where no zone is expected.
#[inline]
fn moment(text: &[u8], zoned: bool) -> Option<i128> {
    if text.len() == 10 && !zoned {
        return Some(i128::from(text::parse_date(text)?) * 86_400_000_000_000);
    }
    let read = text::parse_timestamp(text)?;
    (read.zoned == zoned).then_some(read.nanos)
}

#[inline]
fn micros(nanos: i128) -> Option<i64> {
    if nanos % 1000 != 0 {
        return None;
    }
    (nanos / 1000).try_into().ok()
}

/// The JSON text of a cell: a value of a JSON file as it stands there, the text of others where it is JSON.
fn json(text: &[u8], kind: Cell, out: &mut Vec<u8>) -> bool {
    match kind {
        Cell::Number | Cell::Bool | Cell::Nested => {
            out.extend_from_slice(text);
            true
        }
        Cell::Quoted => {
            let Ok(text) = std::str::from_utf8(text) else { return false };
            serde_json::to_writer(out, text).is_ok()
        }
        Cell::Bare => {
            let whole = serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
            if whole {
                out.extend_from_slice(text);
            }
            whole
        }
    }
}

/// The characters of a cell, for messages.
pub(crate) fn shown(chars: Chars<'_>, cell: &CellAt) -> String {
    floodmark_core::error::shorten(&String::from_utf8_lossy(chars.of(cell)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_short_way_to_a_double_is_exact(text in "-?[0-9]{0,17}(\\.[0-9]{0,17})?") {
            if let Some(short) = plain_double(text.as_bytes()) {
                prop_assert_eq!(text::parse_f64_exact(text.as_bytes()).map(f64::to_bits), Some(short.to_bits()));
            }
        }
    }

    #[test]
    fn finer_than_the_column_is_no_fit() {
        assert_eq!(micros(moment(b"2024-01-01 00:00:00.1234567", false).unwrap()), None);
        assert_eq!(moment(b"2024-01-01 00:00:00Z", false), None);
        assert_eq!(moment(b"2024-01-01 00:00:00", true), None);
        assert_eq!(moment(b"1970-01-02", false), Some(86_400_000_000_000));
    }
}
