//! The table of fields as a JSON Schema, for editors.

use crate::fields::{Field, Kind, OF_FAMILY, children};
use serde_json::{Map, Value, json};

/// A reference may stand in place of any single value.
const REFERENCE: &str = r"\$\{[^}]+\}";

/// A JSON Schema (draft 2020-12) of the pipeline file. It knows single fields; combinations are told by `check`.
pub fn json_schema() -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Floodmark pipeline file",
        "description": "Loads that are safe to re-run: each pipeline is one source into one table.",
    });
    merge(&mut schema, record(""));
    schema
}

fn record(path: &str) -> Value {
    let mut schema = fields(children(path));
    let required: Vec<&str> = children(path).filter(|f| f.required).map(Field::name).collect();
    if !required.is_empty() {
        merge(&mut schema, json!({ "required": required }));
    }
    schema
}

fn fields<'a>(fields: impl Iterator<Item = &'a Field>) -> Value {
    let properties: Map<String, Value> = fields.map(|field| (field.name().to_owned(), of(field))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn of(field: &Field) -> Value {
    let mut schema = shape(field);
    let default = if field.default.is_empty() { String::new() } else { format!(" Default: {}.", field.default) };
    merge(&mut schema, json!({ "description": format!("{}{default}", field.doc) }));
    schema
}

fn shape(field: &Field) -> Value {
    // YAML reads `2024-01-01`, `5` and `true` as other types than text; here they are text as it stands.
    let text = json!({ "type": ["string", "number", "boolean"] });
    let or_reference = |shape: Value| json!({ "anyOf": [shape, { "type": "string", "pattern": REFERENCE }] });
    match field.kind {
        Kind::FormatVersion => json!({ "const": 1 }),
        Kind::Record { short: None } => record(field.path),
        Kind::Record { short: Some(short) } => {
            let short = children(field.path).find(|f| f.name() == short).map_or(json!(true), shape);
            json!({ "anyOf": [record(field.path), short] })
        }
        Kind::Map => {
            let each = children(field.path).next().map_or(json!(true), of);
            let mut schema = json!({ "type": "object", "additionalProperties": each });
            if field.required {
                merge(&mut schema, json!({ "minProperties": 1 }));
            }
            schema
        }
        Kind::List | Kind::Command => json!({ "anyOf": [text, { "type": "array", "items": text, "minItems": 1 }] }),
        Kind::Choice(words) => or_reference(json!({ "enum": words })),
        Kind::Bool => or_reference(json!({ "type": "boolean" })),
        Kind::Count => or_reference(json!({ "type": "integer", "minimum": 1 })),
        Kind::Number => or_reference(json!({ "type": "integer", "minimum": 0 })),
        Kind::Bytes | Kind::Span => json!({ "type": ["string", "integer"], "minimum": 0 }),
        Kind::Limit => json!({ "type": ["string", "integer"], "minimum": 0 }),
        Kind::Name | Kind::Point | Kind::Text => text,
        Kind::Url | Kind::WebUrl | Kind::Secret | Kind::Sql | Kind::Char => json!({ "type": "string" }),
        Kind::Type | Kind::Schedule | Kind::TimeZone | Kind::Duration => json!({ "type": "string" }),
        Kind::Settings => fields(children("pipelines.*").filter(|f| !OF_FAMILY.contains(&f.name()))),
    }
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}
