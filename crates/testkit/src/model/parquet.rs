//! Rows as a Parquet file.

use super::{
    row::{Row, Value, get},
    settings::{AXIS, Axis, Settings},
};
use arrow::{
    array::{Array, ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{Field, Schema},
};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use std::{fs::File, path::Path, sync::Arc};

/// Writes them.
pub(super) fn write(path: &Path, settings: &Settings, columns: &[&'static str], rows: &[Row]) -> Result<(), String> {
    let said = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for column in columns {
        let array = array(settings, column, rows);
        fields.push(Field::new(*column, array.data_type().clone(), true));
        arrays.push(array);
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| said(&e))?;
    let file = File::create(path).map_err(|e| said(&e))?;
    // Row groups of few rows: the program passes over those that lie behind the watermark.
    let small = WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(small)).map_err(|e| said(&e))?;
    writer.write(&batch).and_then(|()| writer.close()).map(drop).map_err(|e| said(&e))
}

fn array(settings: &Settings, column: &str, rows: &[Row]) -> ArrayRef {
    let values = rows.iter().map(|row| get(row, column));
    let axis = settings.axis;
    if column == AXIS && axis != Axis::Int {
        let places = values.map(|value| axis.place(&value).map(|place| place + axis.epoch()));
        return match axis {
            Axis::Date => {
                Arc::new(places.map(|day| day.and_then(|day| i32::try_from(day).ok())).collect::<Date32Array>())
            }
            Axis::Zoned => Arc::new(places.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
            _ => Arc::new(places.collect::<TimestampMicrosecondArray>()),
        };
    }
    match settings.type_of(column) {
        "text" => {
            let text = |value: Value| match value {
                Value::Text(text) => Some(text),
                _ => None,
            };
            Arc::new(values.map(text).collect::<StringArray>())
        }
        _ => {
            let number = |value: Value| match value {
                Value::Int(number) => Some(number),
                _ => None,
            };
            Arc::new(values.map(number).collect::<Int64Array>())
        }
    }
}
