//! The schema and the page agree with what is accepted.

use super::{EXAMPLE, parse};
use floodmark_config::{FIELDS, json_schema, load_flags, reference};
use serde_json::{Map, Value, json};

/// Whether a value fits a schema, for the keywords ours uses.
fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    let fail = |why: &str| Err(format!("{value} {why} {schema}"));
    for (keyword, with) in schema.as_object().into_iter().flatten() {
        match keyword.as_str() {
            "type" => {
                let types: Vec<&str> = match with {
                    Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
                    one => one.as_str().into_iter().collect(),
                };
                let of = match value {
                    Value::String(_) => &["string"][..],
                    Value::Number(n) if n.is_u64() => &["number", "integer"],
                    Value::Number(_) => &["number"],
                    Value::Bool(_) => &["boolean"],
                    Value::Array(_) => &["array"],
                    Value::Object(_) => &["object"],
                    Value::Null => &["null"],
                };
                if !types.iter().any(|t| of.contains(t)) {
                    return fail("is not of the type of");
                }
            }
            "const" if value != with => return fail("is not the value of"),
            "enum" if !with.as_array().unwrap().contains(value) => return fail("is none of"),
            "anyOf" if !with.as_array().unwrap().iter().any(|s| fits(s, value).is_ok()) => return fail("fits none of"),
            "pattern" if !value.as_str().is_some_and(|s| s.contains("${")) => return fail("is no reference as in"),
            "required" => {
                for name in with.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        return fail("lacks a field of");
                    }
                }
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    fits(with, item)?;
                }
            }
            "properties" | "additionalProperties" => {}
            "const" | "enum" | "anyOf" | "pattern" | "minItems" | "minProperties" | "minimum" => {}
            "$schema" | "title" | "description" => {}
            other => return Err(format!("the check does not know {other}")),
        }
    }
    if let Value::Object(fields) = value {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        for (name, field) in fields {
            match (properties.get(name), schema.get("additionalProperties")) {
                (Some(schema), _) | (None, Some(schema @ Value::Object(_))) => fits(schema, field)?,
                (None, Some(Value::Bool(false))) => return Err(format!("{name} is no field")),
                _ => {}
            }
        }
    }
    Ok(())
}

fn example() -> Value {
    json!({
        "version": 1,
        "connections": { "warehouse": "sqlite:///warehouse.db" },
        "pipelines": {
            "orders": {
                "source": { "files": "data/orders-*.csv", "delimiter": ";", "null": "NA", "max_row_bytes": "64MiB" },
                "destination": { "connection": "warehouse", "table": "orders" },
                "load": "upsert",
                "key": ["id"],
                "watermark": { "column": "updated_at", "start": "2024-01-01", "lookback": "15m", "late_rows": "load" },
                "columns": { "zip": "text", "note": { "on_null": "keep" }, "a": { "type": "decimal(12,2)", "not_null": true } },
                "on_bad_row": "reject",
                "max_rejects": "1%",
                "commit_every": 50_000,
                "allow_empty": "${ALLOW}",
                "schedule": "*/5 * * * *",
            },
            "events": { "source": { "files": ["a", "b"] }, "destination": { "url": "sqlite:///e.db" }, "watermark": "at", "load": "append" },
            "shop": {
                "source": { "connection": "w", "tables": ["public.*"], "exclude": "*_old" },
                "destination": { "connection": "w", "table": "raw_{table}" },
                "overrides": { "log": { "load": "append", "watermark": { "column": "at" }, "destination": { "table": "l" } } },
            },
        }
    })
}

#[test]
fn the_schema_accepts_what_is_accepted() {
    fits(&json_schema(), &example()).unwrap();
}

#[test]
fn the_schema_refuses_what_is_refused() {
    let cases: [(&str, Value); 9] = [
        ("/version", json!(2)),
        ("/pipelines/orders/load", json!("upsrt")),
        ("/pipelines/orders/key", json!({ "id": 1 })),
        ("/pipelines/orders/watermark", json!({ "start": 1 })),
        ("/pipelines/orders/allow_empty", json!("maybe")),
        ("/pipelines/orders/source", json!({ "files": "a", "delimeter": ";" })),
        ("/pipelines/shop/overrides/log", json!({ "laod": "append" })),
        ("/pipelines/shop/overrides/log", json!({ "source": { "table": "x" } })),
        ("/pipelines/events", json!({ "source": { "files": "a" } })),
    ];
    for (path, wrong) in cases {
        let mut value = example();
        *value.pointer_mut(path).unwrap() = wrong;
        assert!(fits(&json_schema(), &value).is_err(), "{path}");
    }
}

#[test]
fn every_field_is_in_the_schema_and_on_the_page() {
    let (schema, page) = (json_schema().to_string(), reference());
    for field in FIELDS {
        assert!(
            schema.contains(&serde_json::to_string(field.doc).unwrap().trim_matches('"').to_owned()),
            "{}",
            field.path
        );
        assert!(page.contains(&field.doc.replace('|', "\\|")), "{}", field.path);
    }
    for flag in load_flags().filter_map(|f| f.flag) {
        assert!(page.contains(&format!("`--{flag}`")), "{flag}");
    }
    assert!(parse(EXAMPLE).is_ok());
}

#[test]
fn the_defaults_on_the_page_are_those_of_the_resolver() {
    let implied = parse(&super::pipeline("key: id\nwatermark: at")).unwrap();
    let mut lines = String::from("key: id\nwatermark:\n  column: at\n");
    let mut tops = String::new();
    for field in FIELDS {
        let Some(name) = field.path.strip_prefix("pipelines.*.") else { continue };
        let plain = !field.default.is_empty() && !field.default.contains([' ', '`']) && field.name() != "append";
        if plain && let Some(name) = name.strip_prefix("watermark.") {
            lines.push_str(&format!("  {name}: {}\n", field.default));
        } else if plain && !name.contains('.') {
            tops.push_str(&format!("{name}: {}\n", field.default));
        }
    }
    let said = parse(&super::pipeline(&format!("{lines}{tops}"))).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(format!("{implied:?}"), format!("{said:?}"));
    assert!(tops.lines().count() > 6, "{tops}");
}
