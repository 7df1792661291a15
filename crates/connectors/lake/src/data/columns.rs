//! A table's types in Parquet, and back. Where Parquet (as Delta uses it) has no such type the values are texts, and the
//! schema's metadata says what they are.

use arrow::{
    array::{Array, ArrayRef, AsArray, StringBuilder, Time64NanosecondBuilder, new_null_array},
    compute::{CastOptions, cast_with_options, kernels::cmp::distinct},
    datatypes::{
        DataType as Arrow, Field, Int64Type, Schema as ArrowSchema, SchemaRef, Time64NanosecondType, TimeUnit,
    },
};
use floodmark_core::{Code, DataType, Error, Result, Schema, text};
use std::sync::Arc;

/// The Arrow type of a column's values in a file.
pub(crate) fn in_file(data_type: DataType) -> Arrow {
    match data_type {
        DataType::Time => Arrow::Utf8,
        DataType::Timestamp { .. } => DataType::Timestamp { nanos: false }.to_arrow(),
        DataType::TimestampTz { .. } => DataType::TimestampTz { nanos: false }.to_arrow(),
        other => other.to_arrow(),
    }
}

/// The schema of files: without the partition columns, whose values stand in the log.
pub(crate) fn file_schema(schema: &Schema, partition_by: &[String], narrow: &[(String, Arrow)]) -> SchemaRef {
    let inside = schema.columns.iter().filter(|column| !partition_by.contains(&column.name));
    let fields = inside.map(|column| {
        let narrow = narrow.iter().find(|(name, _)| *name == column.name).map(|(_, narrow)| narrow.clone());
        Field::new(&column.name, narrow.unwrap_or_else(|| in_file(column.data_type)), true)
    });
    Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()))
}

/// A column as it goes into a file.
pub(crate) fn to_file(array: &ArrayRef, name: &str, data_type: DataType) -> Result<ArrayRef> {
    match data_type {
        DataType::Time => {
            let times = array.as_primitive::<Time64NanosecondType>();
            let mut out = StringBuilder::with_capacity(times.len(), times.len() * 8);
            let mut shown = String::new();
            for time in times {
                match time {
                    None => out.append_null(),
                    Some(time) => {
                        shown.clear();
                        text::format_time(time, &mut shown);
                        out.append_value(&shown);
                    }
                }
            }
            Ok(Arc::new(out.finish()))
        }
        DataType::Timestamp { nanos: true } | DataType::TimestampTz { nanos: true } => {
            let nanos = cast_with_options(array, &Arrow::Int64, &STRICT)?;
            let lost = nanos.as_primitive::<Int64Type>().iter().position(|v| v.is_some_and(|v| v % 1000 != 0));
            if let Some(row) = lost {
                let value = floodmark_core::Value::from_array(array, row, data_type)?;
                return Err(Error::new(
                    Code::Unstorable,
                    "a timestamp has digits behind the microseconds, which Delta has not",
                )
                .at(floodmark_core::error::Place {
                    column: Some(name.to_owned()),
                    value: Some(value.to_string()),
                    ..Default::default()
                })
                .state("nothing was written")
                .help(
                    "keep the column as text or as a number of nanoseconds, or cut the digits off in a `transform`",
                ));
            }
            Ok(cast_with_options(array, &in_file(data_type), &STRICT)?)
        }
        _ => Ok(Arc::clone(array)),
    }
}

/// The same values in a narrower type of the table's, all of them.
pub(crate) fn narrowed(array: &ArrayRef, name: &str, narrow: &Arrow) -> Result<ArrayRef> {
    let lax = CastOptions { safe: true, ..STRICT };
    let narrowed = cast_with_options(array, narrow, &lax)?;
    let again = cast_with_options(&narrowed, array.data_type(), &STRICT)?;
    let lost = distinct(array, &again)?.iter().position(|lost| lost == Some(true));
    let Some(row) = lost else { return Ok(narrowed) };
    let data_type = DataType::from_arrow(array.data_type()).unwrap_or(DataType::Double);
    let value = floodmark_core::Value::from_array(array, row, data_type)?;
    let declared = crate::log::narrow_name(narrow);
    Err(Error::new(Code::Unstorable, format!("a value does not fit the table's column, which is {declared}"))
        .at(floodmark_core::error::Place {
            column: Some(name.to_owned()),
            value: Some(value.to_string()),
            ..Default::default()
        })
        .state("nothing was written")
        .help("have the table's column widened by the program that made it, or load into a new table"))
}

const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

/// A column of a file as the table's type says; other programs and older versions of the table have narrower ones.
pub(crate) fn from_file(array: &ArrayRef, name: &str, data_type: DataType) -> Result<ArrayRef> {
    let wanted = data_type.to_arrow();
    let bad = |what: String| {
        Error::new(Code::BadFormat, what)
            .at(floodmark_core::error::Place { column: Some(name.to_owned()), ..Default::default() })
    };
    if *array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    if data_type == DataType::Time {
        let texts = cast_with_options(array, &Arrow::Utf8, &STRICT)?;
        let mut out = Time64NanosecondBuilder::with_capacity(texts.len());
        for shown in texts.as_string::<i32>() {
            match shown {
                None => out.append_null(),
                Some(shown) => {
                    let (time, _) = text::parse_time(shown.as_bytes())
                        .ok_or_else(|| bad(format!("{shown:?} is no time, which the column's texts are")))?;
                    out.append_value(time);
                }
            }
        }
        return Ok(Arc::new(out.finish()));
    }
    if !holds(&wanted, array.data_type()) {
        return Err(bad(format!("a file has {} where the table has {data_type}", array.data_type()))
            .help("the table's log and its files do not agree: ask who wrote the file"));
    }
    cast_with_options(array, &wanted, &STRICT)
        .map_err(|e| bad("a value of a file does not fit its column".to_owned()).cause(e))
}

/// Whether every value of the second has one of the first, but for those too large for it, which a strict cast tells.
fn holds(wanted: &Arrow, found: &Arrow) -> bool {
    use Arrow::*;
    match (wanted, found) {
        (Timestamp(TimeUnit::Microsecond, _), Timestamp(TimeUnit::Nanosecond, _)) => true,
        (Timestamp(_, wanted), Timestamp(_, found)) => wanted.is_some() == found.is_some() || found.is_none(),
        (Timestamp(_, None), Date32) => true,
        (Int64, found) => found.is_integer(),
        (Float64, found) => found.is_floating(),
        (Decimal128(_, s), Decimal32(_, f) | Decimal64(_, f) | Decimal128(_, f)) => s >= f,
        (Decimal128(..), found) => found.is_integer(),
        (Utf8, LargeUtf8 | Utf8View | Null) | (Binary, LargeBinary | BinaryView | FixedSizeBinary(_) | Null) => true,
        (wanted, Dictionary(_, found)) => holds(wanted, found) || wanted == found.as_ref(),
        _ => false,
    }
}

pub(crate) fn nulls(data_type: DataType, rows: usize) -> ArrayRef {
    new_null_array(&data_type.to_arrow(), rows)
}
