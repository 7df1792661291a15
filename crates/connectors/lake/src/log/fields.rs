//! Columns as the log writes them.

use crate::failure;
use arrow::datatypes::DataType as Arrow;
use floodmark_core::{Column, DataType, Error, Result, Schema, schema::case_clash};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Where a column's own type stands when Delta has none like it.
const TYPE: &str = "floodmark.type";

/// Narrower types than ours, and what their values are in files.
const NARROW: [(&str, Arrow); 4] =
    [("byte", Arrow::Int8), ("short", Arrow::Int16), ("integer", Arrow::Int32), ("float", Arrow::Float32)];

/// What a table calls a narrower type of a file.
pub(crate) fn narrow_name(data_type: &Arrow) -> &'static str {
    NARROW.iter().find(|(_, narrow)| narrow == data_type).map_or("narrower", |(name, _)| name)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Field {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) data_type: Json,
    pub(crate) nullable: bool,
    #[serde(default)]
    pub(crate) metadata: Map<String, Json>,
}

#[derive(Serialize, Deserialize)]
struct Struct {
    #[serde(rename = "type")]
    kind: String,
    fields: Vec<Field>,
}

pub(crate) fn parse(table: &str, text: &str) -> Result<Vec<Field>> {
    let parsed: Struct = serde_json::from_str(text)
        .map_err(|e| failure::unsuited(table, "the schema in the table's log cannot be understood").cause(e))?;
    Ok(parsed.fields)
}

/// Whether values of both are the same in files.
pub(crate) fn stored_alike(a: &Column, b: &Column) -> bool {
    Field::new(a).data_type == Field::new(b).data_type
}

pub(crate) fn show(fields: Vec<Field>) -> Result<String> {
    let whole = Struct { kind: "struct".to_owned(), fields };
    serde_json::to_string(&whole).map_err(|e| Error::internal("a schema cannot be written").cause(e))
}

impl Field {
    fn new(column: &Column) -> Field {
        let data_type = column.data_type;
        let name = match data_type {
            DataType::Bool => "boolean".to_owned(),
            DataType::BigInt => "long".to_owned(),
            DataType::Decimal(p, s) => format!("decimal({p},{s})"),
            DataType::Double => "double".to_owned(),
            DataType::Text | DataType::Json | DataType::Time => "string".to_owned(),
            DataType::Bytes => "binary".to_owned(),
            DataType::Date => "date".to_owned(),
            DataType::Timestamp { .. } => NTZ.to_owned(),
            DataType::TimestampTz { .. } => "timestamp".to_owned(),
        };
        let mut metadata = Map::new();
        if plain(&name) != Some(data_type) {
            metadata.insert(TYPE.to_owned(), Json::String(data_type.to_string()));
        }
        Field { name: column.name.clone(), data_type: Json::String(name), nullable: true, metadata }
    }

    /// `None` for a type that is not loaded.
    pub(crate) fn column(&self) -> Option<DataType> {
        let plain = plain(self.data_type.as_str()?)?;
        let ours = self.metadata.get(TYPE).and_then(Json::as_str).and_then(DataType::parse);
        // What it says is believed only where the values can be it.
        Some(match (plain, ours) {
            (DataType::Text, Some(ours @ (DataType::Json | DataType::Time))) => ours,
            (DataType::Timestamp { .. }, Some(ours @ DataType::Timestamp { .. })) => ours,
            (DataType::TimestampTz { .. }, Some(ours @ DataType::TimestampTz { .. })) => ours,
            (plain, _) => plain,
        })
    }

    pub(crate) fn shown_type(&self) -> String {
        let kind = self.data_type.as_str().or_else(|| self.data_type.get("type")?.as_str());
        kind.unwrap_or("unknown").to_owned()
    }

    /// The type of its values in files where that is a narrower one than ours.
    pub(crate) fn narrow(&self) -> Option<Arrow> {
        let name = self.data_type.as_str()?;
        NARROW.iter().find(|(narrow, _)| *narrow == name).map(|(_, data_type)| data_type.clone())
    }

    /// A 32-bit number, whose statistics are shorter than the number itself.
    pub(crate) fn is_float(&self) -> bool {
        self.data_type == "float"
    }
}

pub(crate) const NTZ: &str = "timestamp_ntz";

fn plain(name: &str) -> Option<DataType> {
    Some(match name {
        "boolean" => DataType::Bool,
        "byte" | "short" | "integer" | "long" => DataType::BigInt,
        "float" | "double" => DataType::Double,
        "string" => DataType::Text,
        "binary" => DataType::Bytes,
        "date" => DataType::Date,
        "timestamp" => DataType::TimestampTz { nanos: false },
        NTZ => DataType::Timestamp { nanos: false },
        other => return DataType::parse(other).filter(|_| other.starts_with("decimal")),
    })
}

/// The fields of a schema. Those that are there and did not change stay as they are, whatever else is said of them.
pub(crate) fn merged(table: &str, before: &[Field], schema: &Schema) -> Result<Vec<Field>> {
    if let Some((a, b)) = case_clash(schema.names()) {
        return Err(failure::unsuited(table, format!("columns {a:?} and {b:?} are one to Delta"))
            .help("rename one of them in a `transform`"));
    }
    if schema.columns.iter().any(|column| column.name.is_empty()) {
        return Err(failure::unsuited(table, "a column has no name").help("name it in a `transform`"));
    }
    let kept = before.iter().filter(|field| field.column().is_none() || schema.get(&field.name).is_some());
    let mut fields: Vec<Field> = kept
        .map(|field| match schema.get(&field.name) {
            Some(column) if field.column().is_some_and(|t| t != column.data_type) => {
                Field { nullable: field.nullable, ..Field::new(column) }
            }
            _ => field.clone(),
        })
        .collect();
    let new = schema.columns.iter().filter(|column| !before.iter().any(|field| field.name == column.name));
    fields.extend(new.map(Field::new));
    Ok(fields)
}

/// Whether a change of columns cannot be told by the log alone: files of the old types would be read wrongly, or not at
/// all, by other programs. New columns need no rewriting.
pub fn must_rewrite(old: &Schema, new: &Schema) -> bool {
    let stored = |column: &Column| Field::new(column).data_type;
    new.columns.iter().any(|column| old.get(&column.name).is_some_and(|before| stored(before) != stored(column)))
}

/// Partition columns are told by texts in the log, and at least one column is in the files.
pub(crate) fn check_partitions(table: &str, schema: &Schema, partition_by: &[String]) -> Result<()> {
    for name in partition_by {
        let Some(column) = schema.get(name) else {
            let what = format!("`partition_by` names column {name:?}, which the table does not have");
            let names = schema.names().join(", ");
            return Err(failure::unsuited(table, what).help(format!("its columns are {names}")));
        };
        if matches!(column.data_type, DataType::Bytes | DataType::Json) {
            let what = format!("column {name:?} is {}, by which a table cannot be partitioned", column.data_type);
            return Err(failure::unsuited(table, what).help("choose one with few and short values, such as a date"));
        }
    }
    if !partition_by.is_empty() && schema.columns.iter().all(|column| partition_by.contains(&column.name)) {
        return Err(failure::unsuited(table, "`partition_by` names every column of the table")
            .help("leave at least one for the files"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_come_back_as_they_were() {
        let types = [
            DataType::Bool,
            DataType::BigInt,
            DataType::Decimal(38, 9),
            DataType::Double,
            DataType::Text,
            DataType::Bytes,
            DataType::Date,
            DataType::Time,
            DataType::Timestamp { nanos: false },
            DataType::Timestamp { nanos: true },
            DataType::TimestampTz { nanos: false },
            DataType::TimestampTz { nanos: true },
            DataType::Json,
        ];
        let schema = Schema::new(types.iter().enumerate().map(|(i, t)| (format!("c{i}"), *t)));
        let text = show(merged("t", &[], &schema).unwrap()).unwrap();
        let fields = parse("t", &text).unwrap();
        assert_eq!(fields.iter().map(|f| f.column().unwrap()).collect::<Vec<_>>(), types);
    }

    #[test]
    fn a_wider_type_asks_for_other_files_and_a_new_column_does_not() {
        let old = Schema::new([("a", DataType::BigInt), ("j", DataType::Text)]);
        let more = Schema::new([("a", DataType::BigInt), ("j", DataType::Json), ("b", DataType::Date)]);
        assert!(!must_rewrite(&old, &more));
        assert!(must_rewrite(&old, &Schema::new([("a", DataType::Decimal(20, 1))])));
    }
}
