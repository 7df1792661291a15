//! A file's entry in the log: statistics as JSON, values of partitions as texts.

use super::{
    actions::{Add, Remove, Texts},
    fields::Field,
};
use crate::{
    data::{Bounds, DataFile, parse_numbers, show_numbers},
    failure,
    lake::Table,
};
use chrono::Utc;
use floodmark_core::{DataType, Result, Value};
use object_store::path::Path;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
};

/// Digits of a decimal that a 64-bit float keeps.
const FLOAT_DIGITS: u8 = 15;

/// The tag with the numbers of a file's rows.
const ROWS: &str = "floodmark.rows";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stats<'a> {
    num_records: Option<u64>,
    #[serde(borrow)]
    min_values: HashMap<String, &'a RawValue>,
    #[serde(borrow)]
    max_values: HashMap<String, &'a RawValue>,
    #[serde(borrow)]
    null_count: HashMap<String, &'a RawValue>,
}

pub(crate) fn add(file: &DataFile, data_change: bool) -> Add {
    let tags = file.numbers.as_ref().map(|numbers| BTreeMap::from([(ROWS.to_owned(), Some(show_numbers(numbers)))]));
    Add {
        path: file.path.clone(),
        partition_values: partition_texts(file),
        size: file.size,
        modification_time: file.modified,
        data_change,
        stats: Some(show(file)),
        tags,
        deletion_vector: None,
    }
}

pub(crate) fn remove(file: &DataFile, data_change: bool) -> Remove {
    Remove {
        path: file.path.clone(),
        deletion_timestamp: Some(Utc::now().timestamp_millis()),
        data_change,
        extended_file_metadata: Some(true),
        partition_values: Some(partition_texts(file)),
        size: Some(file.size),
    }
}

fn partition_texts(file: &DataFile) -> Texts {
    let text = |value: &Value| (!value.is_null()).then(|| crate::data::partition_text(value));
    file.partition.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn show(file: &DataFile) -> String {
    let mut out = format!("{{\"numRecords\":{}", file.rows);
    let mut part = |name: &str, value: &dyn Fn(&Bounds) -> Option<String>| {
        let _ = write!(out, ",\"{name}\":{{");
        let shown = file.columns.iter().filter_map(|(name, bounds)| Some((name, value(bounds)?)));
        for (i, (name, value)) in shown.enumerate() {
            let _ = write!(out, "{}{}:{value}", if i > 0 { "," } else { "" }, quoted(name));
        }
        out.push('}');
    };
    part("minValues", &|bounds| shown_value(bounds.min.as_ref()?));
    part("maxValues", &|bounds| shown_value(bounds.max.as_ref()?));
    part("nullCount", &|bounds| bounds.nulls.map(|n| n.to_string()));
    out.push('}');
    out
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn shown_value(value: &Value) -> Option<String> {
    match value {
        // Readers that take no bounds for NULL find no row by a boolean.
        Value::Int(_) | Value::Decimal(..) | Value::Bool(_) => Some(value.to_string()),
        Value::Double(v) => v.is_finite().then(|| format!("{v:?}")),
        Value::Text(_) | Value::Time(_) => Some(quoted(&value.to_string())),
        // Years of other than four digits are read in as many ways as there are readers.
        Value::Date(_) | Value::Timestamp(_) | Value::TimestampTz(_) => {
            let text = value.to_string();
            let year = text.split('-').next().unwrap_or_default();
            (year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit())).then(|| quoted(&text))
        }
        Value::Null | Value::Bytes(_) => None,
    }
}

/// What a log tells of a file.
pub(crate) fn file(table: &Table, add: Add, fields: &[Field], partition_by: &[String]) -> Result<DataFile> {
    if add.deletion_vector.as_ref().is_some_and(|vector| !vector.is_null()) {
        return Err(failure::unsuited(&table.name, "some of the table's rows are deleted by deletion vectors, which is not done")
            .help("have the program that made them write them out (REORG TABLE … APPLY (PURGE)), and unset delta.enableDeletionVectors"));
    }
    let location = locate(table, &add.path)?;
    let stats: Stats<'_> = add.stats.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let rows = match stats.num_records {
        Some(rows) => rows,
        None => crate::data::count_rows(table, &location, add.size)?,
    };
    let mut columns = BTreeMap::new();
    for field in fields {
        let Some(data_type) = field.column() else { continue };
        let bound = |values: &HashMap<String, &RawValue>| {
            parse_value(values.get(&field.name)?.get(), data_type, field.is_float())
        };
        let nulls = stats.null_count.get(&field.name).and_then(|n| n.get().parse().ok());
        let (min, max) = (bound(&stats.min_values), bound(&stats.max_values).map(not_truncated));
        if min.is_some() || max.is_some() || nulls.is_some() {
            columns.insert(field.name.clone(), Bounds { min, max, nulls });
        }
    }
    let mut partition = Vec::with_capacity(partition_by.len());
    for name in partition_by {
        let text = add.partition_values.get(name).cloned().flatten().filter(|text| !text.is_empty());
        let data_type = fields.iter().find(|field| field.name == *name).and_then(Field::column);
        let value = match (text, data_type) {
            (None, _) => Some(Value::Null),
            (Some(text), Some(data_type)) => Value::parse(&text, data_type),
            (Some(_), None) => None,
        };
        let value = value.ok_or_else(|| {
            failure::unsuited(&table.name, format!("a value of the partition column {name:?} cannot be understood"))
        })?;
        partition.push((name.clone(), value));
    }
    let numbers = add.tags.as_ref().and_then(|tags| tags.get(ROWS)).and_then(Option::as_deref);
    let numbers = numbers.and_then(|text| parse_numbers(text, rows));
    Ok(DataFile {
        location,
        rows,
        columns,
        partition,
        numbers,
        size: add.size,
        modified: add.modification_time,
        path: add.path,
    })
}

/// A path in the log is one of a URL.
fn locate(table: &Table, path: &str) -> Result<Path> {
    let outside = || {
        failure::unsuited(&table.name, format!("a file of the table lies outside of its folder: {path:?}"))
            .help("it is a shallow clone of another table, which is not done")
    };
    if path.starts_with('/')
        || path.split_once(':').is_some_and(|(scheme, _)| {
            scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) && path.contains(":/")
        })
    {
        return Err(outside());
    }
    // `from_url_path` decodes.
    Path::from_url_path(path).map_err(|e| outside().cause(e))
}

fn parse_value(json: &str, data_type: DataType, float: bool) -> Option<Value> {
    let text: String = if json.starts_with('"') { serde_json::from_str(json).ok()? } else { json.to_owned() };
    match data_type {
        DataType::Bytes | DataType::Json => None,
        DataType::Bool => text.parse().ok().map(Value::Bool),
        DataType::Text => json.starts_with('"').then_some(Value::Text(text)),
        DataType::Double if float => {
            text.parse::<f32>().ok().filter(|v| v.is_finite()).map(|v| Value::Double(f64::from(v)))
        }
        DataType::Double => text.parse().ok().filter(|v: &f64| v.is_finite()).map(Value::Double),
        DataType::Timestamp { .. } => Value::parse(text.trim_end_matches('Z'), data_type),
        // Some writers pass them through a 64-bit float, which moves the last of more digits.
        DataType::Decimal(digits, _) if digits > FLOAT_DIGITS => None,
        _ => Value::parse(&text, data_type),
    }
}

/// Many writers cut the digits behind the milliseconds off: the largest value may lie up to a millisecond behind.
fn not_truncated(value: Value) -> Value {
    let up = |nanos: i128| if nanos % 1_000_000 == 0 { nanos + 999_999 } else { nanos };
    match value {
        Value::Timestamp(nanos) => Value::Timestamp(up(nanos)),
        Value::TimestampTz(nanos) => Value::TimestampTz(up(nanos)),
        value => value,
    }
}
