//! What the footer of a file that was just written says of its columns.

use super::{columns::in_file, file::Bounds};
use arrow::{array::ArrayRef, compute::cast, datatypes::SchemaRef};
use floodmark_core::{DataType, Result, Schema, Value};
use parquet::{arrow::arrow_reader::statistics::StatisticsConverter, file::metadata::ParquetMetaData};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

/// How many of the first columns others look for statistics of.
const FIRST: usize = 32;

/// Bounds of the first columns and of those named. `not_numbers`: double columns that have a NaN, which no footer tells of.
pub(crate) fn bounds(
    metadata: &ParquetMetaData,
    file_schema: &SchemaRef,
    schema: &Schema,
    also: &[String],
    not_numbers: &BTreeSet<String>,
) -> Result<BTreeMap<String, Bounds>> {
    let mut found = BTreeMap::new();
    let parquet_schema = metadata.file_metadata().schema_descr();
    for (i, field) in file_schema.fields().iter().enumerate() {
        let name = field.name();
        let Some(column) = schema.get(name).filter(|_| i < FIRST || also.contains(name)) else { continue };
        let Ok(converter) = StatisticsConverter::try_new(name, file_schema, parquet_schema) else { continue };
        let groups = || metadata.row_groups().iter();
        let nulls = converter.row_group_null_counts(groups()).ok();
        let nulls = nulls.and_then(|counts| counts.iter().sum::<Option<u64>>());
        let all_null = nulls == u64::try_from(metadata.file_metadata().num_rows()).ok();
        let ordered = has_bounds(column.data_type) && !not_numbers.contains(name) && !all_null;
        let edge = |values: Result<ArrayRef, _>, keep| match values {
            Ok(values) if ordered => extreme(&cast(&values, &in_file(column.data_type))?, column.data_type, keep),
            _ => Ok::<_, floodmark_core::Error>(None),
        };
        let min = edge(converter.row_group_mins(groups()), Ordering::Less)?;
        let max = edge(converter.row_group_maxes(groups()), Ordering::Greater)?;
        found.insert(name.clone(), Bounds { min, max, nulls });
    }
    Ok(found)
}

/// Types whose order is the same everywhere.
fn has_bounds(data_type: DataType) -> bool {
    !matches!(data_type, DataType::Bytes | DataType::Json)
}

/// Over all row groups: nothing where one of them has values and tells no bound.
fn extreme(values: &ArrayRef, data_type: DataType, keep: Ordering) -> Result<Option<Value>> {
    let stored = DataType::from_arrow(&in_file(data_type)).unwrap_or(data_type);
    let mut best: Option<Value> = None;
    for row in 0..values.len() {
        let value = Value::from_array(values, row, stored)?;
        if value.is_null() {
            return Ok(None);
        }
        if best.as_ref().is_none_or(|best| value.compare(best) == Some(keep)) {
            best = Some(value);
        }
    }
    Ok(match best {
        // Both zeros are one to who compares.
        Some(Value::Double(0.0)) => Some(Value::Double(if keep == Ordering::Less { -0.0 } else { 0.0 })),
        Some(Value::Text(time)) if data_type == DataType::Time => Value::parse(&time, DataType::Time),
        best => best,
    })
}
