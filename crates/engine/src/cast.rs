//! Exact conversion of Arrow columns: a value that would change is a bad one, never a rounded one.

use arrow::{
    array::{Array, ArrayRef, BooleanArray},
    buffer::BooleanBuffer,
    compute::{CastOptions, cast_with_options, kernels::cmp::not_distinct},
    datatypes::DataType as Arrow,
};
use floodmark_core::Result;

/// A converted column, and which of its rows could not be converted exactly.
pub(crate) struct Cast {
    pub(crate) array: ArrayRef,
    pub(crate) bad: Option<BooleanBuffer>,
}

/// Converts by way of there and back: what does not come back as it went is bad.
pub(crate) fn exact(array: &ArrayRef, to: &Arrow) -> Result<Cast> {
    if array.data_type() == to {
        return Ok(Cast { array: array.clone(), bad: None });
    }
    // `safe` turns what cannot be converted into NULL instead of failing the whole column.
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let there = cast_with_options(array, to, &options)?;
    let same: BooleanArray = if lossless(array.data_type(), to) {
        return Ok(Cast { array: there, bad: None });
    } else {
        let back = cast_with_options(&there, array.data_type(), &options)?;
        not_distinct(array, &back)?
    };
    let bad = !same.values();
    Ok(Cast { bad: (bad.count_set_bits() > 0).then_some(bad), array: there })
}

/// Pairs that never lose, so that the way back need not be tried.
fn lossless(from: &Arrow, to: &Arrow) -> bool {
    use Arrow::*;
    match (from, to) {
        (Null, _) => true,
        (Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32, Int64) => true,
        (Float16 | Float32, Float64) => true,
        (Utf8 | LargeUtf8 | Utf8View, Utf8) => true,
        (Binary | LargeBinary | BinaryView | FixedSizeBinary(_), Binary) => true,
        (Boolean | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 | Date32, Utf8) => true,
        (Dictionary(_, value), to) => value.as_ref() == to || lossless(value, to),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Float64Array, TimestampNanosecondArray};
    use std::sync::Arc;

    #[test]
    fn what_would_be_rounded_is_bad() {
        let array: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), Some(1.5), None, Some(1e300)]));
        let cast = exact(&array, &Arrow::Int64).unwrap();
        let bad = cast.bad.unwrap();
        assert_eq!(bad.iter().collect::<Vec<_>>(), [false, true, false, true]);
        assert_eq!(cast.array.as_primitive::<arrow::datatypes::Int64Type>().value(0), 1);
    }

    #[test]
    fn nanoseconds_do_not_vanish() {
        let array: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_000, 1_001]));
        let cast = exact(&array, &Arrow::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None)).unwrap();
        assert_eq!(cast.bad.unwrap().iter().collect::<Vec<_>>(), [false, true]);
    }
}
