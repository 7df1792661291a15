//! Arrow columns into the planned types, exactly: rows whose value would change are named instead.

use crate::{
    cells::{CellAt, Chars, Grid, RowAt, Rows},
    convert, nested,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, new_null_array},
    compute::{CastOptions, cast, cast_with_options, kernels::cmp::not_distinct},
    datatypes::{DataType as Arrow, Date32Type, Decimal128Type, Time64NanosecondType, TimestampMicrosecondType},
    util::display::{ArrayFormatter, FormatOptions},
};
use floodmark_core::{Code, DataType, Error, Result, Value, infer::Cell};
use std::sync::Arc;

/// Nanoseconds.
const DAY: i64 = 86_400_000_000_000;

/// A column type that no type of Floodmark holds. `remedy`: where it can be made another.
pub(crate) fn unsupported(arrow: &Arrow, remedy: &str) -> Error {
    Error::new(Code::BadFormat, format!("columns of type {arrow} are not supported"))
        .help(format!("cast the column to a number, text, date or timestamp {remedy}"))
}

/// The text of the one value of an array; `None` for NULL. A day or moment that no calendar has is told as the number it is.
pub(crate) fn text(one: &ArrayRef) -> Option<String> {
    if one.is_null(0) {
        return None;
    }
    let options = FormatOptions::new().with_display_error(false);
    let text = |array: &ArrayRef| ArrayFormatter::try_new(array, &options).ok()?.value(0).try_to_string().ok();
    // Days are numbers of 32 bits.
    let number = || cast(one, &Arrow::Int64).or_else(|_| cast(one, &Arrow::Int32)).ok();
    text(one).or_else(|| text(&number()?))
}

/// Into another Arrow type; the rows (ascending) whose value it does not hold are NULL in the result.
pub(crate) fn cast_exactly(array: &ArrayRef, to: &Arrow) -> Result<(ArrayRef, Vec<usize>)> {
    let from = array.data_type();
    if from == to {
        return Ok((array.clone(), Vec::new()));
    }
    match from {
        Arrow::Null => return Ok((new_null_array(to, array.len()), Vec::new())),
        Arrow::Dictionary(_, value) => return cast_exactly(&cast(array, value)?, to),
        _ => {}
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let out = cast_with_options(array, to, &options)?;
    if holds_all(from, to) {
        return Ok((out, Vec::new()));
    }
    let back = cast_with_options(&out, from, &options)?;
    let same = not_distinct(array, &back)?;
    let lost = (0..same.len()).filter(|&i| !same.value(i)).collect();
    Ok((out, lost))
}

/// Whether every value of one type is a value of the other, so that there is nothing to check.
fn holds_all(from: &Arrow, to: &Arrow) -> bool {
    use Arrow::*;
    matches!(
        (from, to),
        (Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32, Int64)
            | (Float16 | Float32, Float64)
            | (LargeUtf8 | Utf8View, Utf8)
            | (LargeBinary | BinaryView | FixedSizeBinary(_), Binary)
            | (UInt64, Decimal128(20, 0))
            | (Decimal32(..) | Decimal64(..), Decimal128(..))
            | (Time32(_), Time64(_))
    )
}

/// Into a planned type, with the rows (ascending) whose value does not fit it. Those rows are not to be used.
pub(crate) fn convert(array: &ArrayRef, planned: DataType) -> Result<(ArrayRef, Vec<usize>)> {
    let (array, mut lost) = converted(array, planned)?;
    let beyond = beyond(&array, planned);
    if !beyond.is_empty() {
        lost.extend(beyond);
        lost.sort_unstable();
        lost.dedup();
    }
    Ok((array, lost))
}

/// Rows whose value is none of its own type: Arrow holds numbers there and does not look at them.
fn beyond(array: &ArrayRef, planned: DataType) -> Vec<usize> {
    let rows = |is: &dyn Fn(usize) -> bool| (0..array.len()).filter(|&row| array.is_valid(row) && is(row)).collect();
    match planned {
        // The end of a day is no time of it.
        DataType::Time => {
            let Some(times) = array.as_primitive_opt::<Time64NanosecondType>() else { return Vec::new() };
            rows(&|row| !(0..DAY).contains(&times.value(row)))
        }
        DataType::Decimal(precision, _) => {
            let Some(numbers) = array.as_primitive_opt::<Decimal128Type>() else { return Vec::new() };
            let Some(limit) = 10u128.checked_pow(u32::from(precision)) else { return Vec::new() };
            rows(&|row| numbers.value(row).unsigned_abs() >= limit)
        }
        // How DuckDB hands over `infinity`: as days and moments of years that nobody means.
        DataType::Date => {
            let Some(days) = array.as_primitive_opt::<Date32Type>() else { return Vec::new() };
            rows(&|row| days.value(row).checked_abs() == Some(i32::MAX))
        }
        DataType::Timestamp { nanos: false } | DataType::TimestampTz { nanos: false } => {
            let Some(moments) = array.as_primitive_opt::<TimestampMicrosecondType>() else { return Vec::new() };
            rows(&|row| moments.value(row).checked_abs() == Some(i64::MAX))
        }
        _ => Vec::new(),
    }
}

fn converted(array: &ArrayRef, planned: DataType) -> Result<(ArrayRef, Vec<usize>)> {
    let natural =
        DataType::from_arrow(array.data_type()).ok_or_else(|| unsupported(array.data_type(), "where it is made"))?;
    if natural == DataType::Json {
        let array: ArrayRef = Arc::new(nested::to_json(array)?);
        return match planned {
            DataType::Json | DataType::Text => Ok((array, Vec::new())),
            _ => through_text(&array, natural, planned),
        };
    }
    if natural == planned || same_axis(natural, planned) {
        // In one step where one suffices: nanoseconds that the plan keeps are not to go through microseconds.
        return cast_exactly(array, &planned.to_arrow());
    }
    let (array, lost) = cast_exactly(array, &natural.to_arrow())?;
    let (array, mut more) = through_text(&array, natural, planned)?;
    more.extend(lost);
    more.sort_unstable();
    more.dedup();
    Ok((array, more))
}

/// Types whose values Arrow's own casts carry over, with a check for those that do not fit.
fn same_axis(from: DataType, to: DataType) -> bool {
    use DataType::*;
    matches!(
        (from, to),
        (BigInt | Decimal(..) | Double, BigInt | Decimal(..) | Double)
            | (Date | Timestamp { .. }, Date | Timestamp { .. })
            | (TimestampTz { .. }, TimestampTz { .. })
    )
}

/// By the text form of each value, read as a CSV cell of that text would be.
fn through_text(array: &ArrayRef, natural: DataType, planned: DataType) -> Result<(ArrayRef, Vec<usize>)> {
    let mut chars = Vec::new();
    let mut cells = Vec::with_capacity(array.len());
    let mut broken = Vec::new();
    for row in 0..array.len() {
        let start = chars.len();
        match natural {
            _ if array.is_null(row) => {
                cells.push(CellAt::NULL);
                continue;
            }
            DataType::Bytes => {
                let bytes = array.as_binary::<i32>().value(row);
                // Bytes and text are each other's UTF-8; bytes that are not have no text.
                if planned != DataType::Bytes && std::str::from_utf8(bytes).is_err() {
                    broken.push(row);
                    cells.push(CellAt::NULL);
                    continue;
                }
                chars.extend_from_slice(bytes);
            }
            _ => chars.extend_from_slice(Value::from_array(array, row, natural)?.to_string().as_bytes()),
        }
        if chars.len() > i32::MAX as usize {
            return Err(Error::new(Code::RowTooLarge, "a batch of the file is larger than 2 GiB as text"));
        }
        cells.push(CellAt::block(start, chars.len(), Cell::Bare));
    }
    let mut grid = Grid::new(vec![0], 1);
    let held = Chars { block: &chars, resolved: &[] };
    for (number, cell) in (0u32..).zip(&cells) {
        grid.row(held, RowAt { start: 0, end: 0, number }, std::slice::from_ref(cell));
    }
    let mut misfits = Vec::new();
    let out = convert::column(&grid, held, 0, planned, &mut misfits)?;
    broken.extend(misfits.iter().map(|m| m.row));
    broken.sort_unstable();
    Ok((out, broken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{
            Date32Array, Date64Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int32Array,
            Int64Array, StringArray, Time32SecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
            UInt64Array,
        },
        datatypes::Int8Type,
    };

    fn shown(array: ArrayRef, planned: DataType) -> (Vec<String>, Vec<usize>) {
        let (out, lost) = convert(&array, planned).unwrap();
        let shown = (0..out.len()).map(|i| Value::from_array(&out, i, planned).unwrap().to_string()).collect();
        (shown, lost)
    }

    #[test]
    fn what_does_not_fit_is_named_and_the_rest_is_exact() {
        let nanos = TimestampNanosecondArray::from(vec![Some(1_000), Some(1_001), None]);
        assert_eq!(shown(Arc::new(nanos), DataType::Timestamp { nanos: false }).1, [1]);
        let (values, lost) = shown(Arc::new(UInt64Array::from(vec![u64::MAX])), DataType::Decimal(20, 0));
        assert_eq!((values[0].as_str(), lost.len()), ("18446744073709551615", 0));
        assert_eq!(shown(Arc::new(UInt64Array::from(vec![5, u64::MAX])), DataType::BigInt).1, [1]);
        let doubles = Float64Array::from(vec![Some(3.0), Some(3.5), None, Some(1e300)]);
        assert_eq!(shown(Arc::new(doubles), DataType::BigInt).1, [1, 3]);
        assert_eq!(shown(Arc::new(Int64Array::from(vec![1, (1 << 53) + 1])), DataType::Double).1, [1]);
        assert_eq!(shown(Arc::new(Float32Array::from(vec![0.5, 0.1])), DataType::Double).1, [0usize; 0]);
        assert_eq!(shown(Arc::new(Date64Array::from(vec![86_400_000, 1])), DataType::Date).1, [1]);
    }

    #[test]
    fn values_that_are_none_of_their_type_are_named() {
        let times = Time32SecondArray::from(vec![Some(86_399), Some(86_400), None, Some(-1)]);
        assert_eq!(shown_rows(Arc::new(times), DataType::Time), [1, 3]);
        let most = 10i128.pow(38);
        let numbers =
            Decimal128Array::from(vec![most - 1, most, 1 - most, -most]).with_precision_and_scale(38, 0).unwrap();
        assert_eq!(shown_rows(Arc::new(numbers), DataType::Decimal(38, 0)), [1, 3]);
        let infinite = TimestampMicrosecondArray::from(vec![Some(0), Some(i64::MAX), None, Some(-i64::MAX)]);
        assert_eq!(shown_rows(Arc::new(infinite), DataType::Timestamp { nanos: false }), [1, 3]);
        let infinite = Date32Array::from(vec![i32::MAX, i32::MAX - 1, -i32::MAX]);
        assert_eq!(shown_rows(Arc::new(infinite), DataType::Date), [0, 2]);
    }

    #[test]
    fn values_that_no_calendar_has_are_told_as_numbers() {
        let text = |array: ArrayRef| super::text(&array).unwrap();
        assert_eq!(text(Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX]))), i64::MAX.to_string());
        assert_eq!(text(Arc::new(Date32Array::from(vec![i32::MAX]))), i32::MAX.to_string());
        assert_eq!(text(Arc::new(Date64Array::from(vec![i64::MIN]))), i64::MIN.to_string());
        assert_eq!(text(Arc::new(Date32Array::from(vec![1]))), "1970-01-02");
    }

    fn shown_rows(array: ArrayRef, planned: DataType) -> Vec<usize> {
        convert(&array, planned).unwrap().1
    }

    #[test]
    fn other_types_go_by_their_text() {
        let (values, lost) = shown(Arc::new(StringArray::from(vec!["5", "007"])), DataType::BigInt);
        assert_eq!((values[0].as_str(), lost), ("5", vec![1]));
        let (values, _) = shown(Arc::new(Int32Array::from(vec![Some(-7), None])), DataType::Text);
        assert_eq!(values, ["-7", "NULL"]);
        let dictionary: DictionaryArray<Int8Type> = ["a", "b", "a"].into_iter().collect();
        assert_eq!(shown(Arc::new(dictionary), DataType::Text).0, ["a", "b", "a"]);
    }
}
