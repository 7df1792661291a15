//! Rows in DuckDB's own vectors: out of them into Arrow's arrays, and the other way.

use super::{Failure, Kind, Result, value::Type};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Decimal128Array, PrimitiveArray, StringBuilder,
        types::{
            ArrowPrimitiveType, Date32Type, Decimal128Type, Float64Type, Int64Type, Time64NanosecondType,
            TimestampMicrosecondType, TimestampNanosecondType,
        },
    },
    buffer::NullBuffer,
    datatypes::{DataType as ArrowType, TimeUnit},
};
use libduckdb_sys as ffi;
use std::{
    ffi::{c_char, c_void},
    slice,
    sync::Arc,
};

/// Rows in DuckDB's own form.
pub(super) struct Chunk(pub(super) ffi::duckdb_data_chunk);

impl Drop for Chunk {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it was created, and is used no more.
            unsafe { ffi::duckdb_destroy_data_chunk(&mut self.0) }
        }
    }
}

/// Arrow's type for a column that is read as it is: whole numbers that fit become one type, and so do those with a point.
pub(super) fn read_as(of: &Type) -> Option<ArrowType> {
    Some(match of.id() {
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_BOOLEAN => ArrowType::Boolean,
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT | ffi::DUCKDB_TYPE_DUCKDB_TYPE_INTEGER => ArrowType::Int64,
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_DECIMAL => {
            // SAFETY: the type is a decimal.
            let (p, s) = unsafe { (ffi::duckdb_decimal_width(of.0), ffi::duckdb_decimal_scale(of.0)) };
            ArrowType::Decimal128(p, s.cast_signed())
        }
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_DOUBLE => ArrowType::Float64,
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR => ArrowType::Utf8,
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_BLOB => ArrowType::Binary,
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_DATE => ArrowType::Date32,
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIME => ArrowType::Time64(TimeUnit::Nanosecond),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP => ArrowType::Timestamp(TimeUnit::Microsecond, None),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_NS => ArrowType::Timestamp(TimeUnit::Nanosecond, None),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_TZ => ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        // A statement that gives no rows says so in one column of this type.
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_SQLNULL => ArrowType::Int64,
        _ => return None,
    })
}

/// # Safety
/// The vector is flat, of the type that `of` is read from, and has so many rows.
pub(super) unsafe fn read(vector: ffi::duckdb_vector, rows: usize, of: &ArrowType) -> Result<ArrayRef> {
    // SAFETY: a mask has a bit for each row; no mask means that no row is NULL.
    let nulls = unsafe {
        let mask = ffi::duckdb_vector_get_validity(vector);
        let valid = |row: usize| *mask.add(row / 64) >> (row % 64) & 1 == 1;
        (!mask.is_null()).then(|| NullBuffer::from_iter((0..rows).map(valid))).filter(|nulls| nulls.null_count() > 0)
    };
    // SAFETY: the vector is there.
    let data = unsafe { ffi::duckdb_vector_get_data(vector) };
    macro_rules! values {
        ($of:ty) => {
            // SAFETY: of a vector that is flat the data are so many values of its type, which each use names; they stay until
            // the chunk is dropped.
            unsafe { slice::from_raw_parts(data.cast::<$of>(), rows) }
        };
    }
    fn numbers<T: ArrowPrimitiveType>(
        values: impl Iterator<Item = T::Native>,
        nulls: Option<NullBuffer>,
    ) -> PrimitiveArray<T> {
        PrimitiveArray::new(values.collect::<Vec<_>>().into(), nulls)
    }
    // SAFETY: the vector is there.
    let id = Type(unsafe { ffi::duckdb_vector_get_column_type(vector) });
    Ok(match of {
        ArrowType::Boolean => Arc::new(BooleanArray::new(values!(u8).iter().map(|value| *value != 0).collect(), nulls)),
        ArrowType::Int64 if id.id() == ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT => {
            Arc::new(numbers::<Int64Type>(values!(i64).iter().copied(), nulls))
        }
        ArrowType::Int64 => Arc::new(numbers::<Int64Type>(values!(i32).iter().map(|value| i64::from(*value)), nulls)),
        ArrowType::Decimal128(p, s) => {
            // SAFETY: the type is a decimal.
            let array = match unsafe { ffi::duckdb_decimal_internal_type(id.0) } {
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_SMALLINT => {
                    numbers::<Decimal128Type>(values!(i16).iter().map(|value| i128::from(*value)), nulls)
                }
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_INTEGER => {
                    numbers::<Decimal128Type>(values!(i32).iter().map(|value| i128::from(*value)), nulls)
                }
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT => {
                    numbers::<Decimal128Type>(values!(i64).iter().map(|value| i128::from(*value)), nulls)
                }
                _ => {
                    let wide = |value: &ffi::duckdb_hugeint| i128::from(value.upper) << 64 | i128::from(value.lower);
                    numbers::<Decimal128Type>(values!(ffi::duckdb_hugeint).iter().map(wide), nulls)
                }
            };
            Arc::new(array.with_data_type(ArrowType::Decimal128(*p, *s)))
        }
        ArrowType::Float64 => Arc::new(numbers::<Float64Type>(values!(f64).iter().copied(), nulls)),
        ArrowType::Date32 => Arc::new(numbers::<Date32Type>(values!(i32).iter().copied(), nulls)),
        ArrowType::Time64(_) => {
            Arc::new(numbers::<Time64NanosecondType>(values!(i64).iter().map(|value| value.wrapping_mul(1000)), nulls))
        }
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
            Arc::new(numbers::<TimestampNanosecondType>(values!(i64).iter().copied(), nulls))
        }
        ArrowType::Timestamp(_, zone) => Arc::new(
            numbers::<TimestampMicrosecondType>(values!(i64).iter().copied(), nulls).with_timezone_opt(zone.clone()),
        ),
        ArrowType::Utf8 | ArrowType::Binary => {
            let strings = values!(ffi::duckdb_string_t);
            let there = |row: &usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
            let bytes = |row: usize| {
                let mut string = strings[row];
                // SAFETY: a string that is not NULL has so many bytes where it says; short ones are inside it, and are
                // copied out of the vector's own, which outlives them.
                unsafe {
                    let length = ffi::duckdb_string_t_length(string) as usize;
                    let start = match ffi::duckdb_string_is_inlined(string) {
                        true => strings.as_ptr().add(row).cast::<c_char>().add(4),
                        false => ffi::duckdb_string_t_data(&mut string),
                    };
                    slice::from_raw_parts(start.cast::<u8>(), length)
                }
            };
            if *of == ArrowType::Binary {
                let mut out = BinaryBuilder::with_capacity(rows, 0);
                (0..rows).for_each(|row| out.append_option(there(&row).then(|| bytes(row))));
                Arc::new(out.finish())
            } else {
                let mut out = StringBuilder::with_capacity(rows, 0);
                for row in 0..rows {
                    let text = there(&row).then(|| std::str::from_utf8(bytes(row))).transpose();
                    out.append_option(
                        text.map_err(|_| Failure::of(Kind::Conversion, "a text of the table is not UTF-8"))?,
                    );
                }
                Arc::new(out.finish())
            }
        }
        other => return Err(Failure::of(Kind::Other, format!("no vector gives values of Arrow's type {other}"))),
    })
}

/// # Safety
/// The vector is of the type for the array's, and has room for its rows.
pub(super) unsafe fn write(vector: ffi::duckdb_vector, array: &ArrayRef) -> Result<()> {
    let rows = array.len();
    // SAFETY: the vector is there.
    let data: *mut c_void = unsafe { ffi::duckdb_vector_get_data(vector) };
    macro_rules! put {
        ($of:ty, $values:expr) => {{
            let room = data.cast::<$of>();
            for (row, value) in (0..rows).zip($values) {
                let value: $of = value;
                // SAFETY: there is room for so many values of the vector's type, which each use names. What is there may be
                // anything, and is not looked at.
                unsafe { room.add(row).write(value) }
            }
        }};
    }
    let strings = |bytes: &[u8], offsets: &[i32]| {
        for (row, ends) in offsets.windows(2).enumerate().filter(|(row, _)| array.is_valid(*row)) {
            let value = &bytes[ends[0] as usize..ends[1] as usize];
            // SAFETY: the pointer is to so many bytes of the array, which DuckDB copies; a text is UTF-8, as all of Arrow's are.
            unsafe {
                let length = value.len() as u64;
                ffi::duckdb_unsafe_vector_assign_string_element_len(vector, row as u64, value.as_ptr().cast(), length);
            }
        }
    };
    match array.data_type() {
        ArrowType::Boolean => put!(u8, array.as_boolean().values().iter().map(u8::from)),
        ArrowType::Int64 => put!(i64, array.as_primitive::<Int64Type>().values().iter().copied()),
        ArrowType::Float64 => put!(f64, array.as_primitive::<Float64Type>().values().iter().map(|value| value + 0.0)),
        ArrowType::Date32 => put!(i32, array.as_primitive::<Date32Type>().values().iter().copied()),
        ArrowType::Time64(_) => {
            put!(i64, array.as_primitive::<Time64NanosecondType>().values().iter().map(|value| value / 1000))
        }
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
            put!(
                i64,
                array.as_primitive::<TimestampNanosecondType>().values().iter().map(|value| value.div_euclid(1000))
            )
        }
        ArrowType::Timestamp(_, _) => {
            put!(i64, array.as_primitive::<TimestampMicrosecondType>().values().iter().copied())
        }
        ArrowType::Decimal128(_, _) => {
            let values = array.as_any().downcast_ref::<Decimal128Array>().map(|array| array.values().iter().copied());
            let values = values.ok_or_else(|| Failure::of(Kind::Other, "a decimal that is none"))?;
            // SAFETY: the vector is there, and a decimal.
            let of = unsafe {
                let of = Type(ffi::duckdb_vector_get_column_type(vector));
                ffi::duckdb_decimal_internal_type(of.0)
            };
            // What is NULL may be any number, and is not looked at.
            match of {
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_SMALLINT => put!(i16, values.map(|value| value as i16)),
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_INTEGER => put!(i32, values.map(|value| value as i32)),
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT => put!(i64, values.map(|value| value as i64)),
                _ => put!(
                    ffi::duckdb_hugeint,
                    values.map(|value| ffi::duckdb_hugeint { lower: value as u64, upper: (value >> 64) as i64 })
                ),
            }
        }
        ArrowType::Utf8 => {
            let texts = array.as_string::<i32>();
            strings(texts.value_data(), texts.value_offsets());
        }
        ArrowType::Binary => {
            let values = array.as_binary::<i32>();
            strings(values.value_data(), values.value_offsets());
        }
        other => return Err(Failure::of(Kind::Other, format!("no vector takes values of Arrow's type {other}"))),
    }
    if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
        // SAFETY: the mask is made first, and has a bit for each row.
        unsafe {
            ffi::duckdb_vector_ensure_validity_writable(vector);
            let mask = ffi::duckdb_vector_get_validity(vector);
            for row in (0..rows).filter(|row| nulls.is_null(*row)) {
                *mask.add(row / 64) &= !(1 << (row % 64));
            }
        }
    }
    Ok(())
}
