//! Columns on their way from the source to the table: renamed, typed, checked.

use floodmark_connect::Capabilities;
use floodmark_core::{
    Code, Column, DataType, Error, Result, Schema,
    pipeline::{Load, Pipeline},
    schema::case_clash,
};
use std::collections::HashMap;

/// The name a source column has in the table.
pub(crate) fn renamed<'a>(pipeline: &'a Pipeline, source: &'a str) -> &'a str {
    pipeline.columns.iter().find(|c| c.from.as_deref() == Some(source)).map_or(source, |c| c.name.as_str())
}

/// The name in the source of a column that is called `name` in the table.
pub(crate) fn source_name<'a>(pipeline: &'a Pipeline, name: &'a str) -> &'a str {
    pipeline.columns.iter().find(|c| c.name == name).and_then(|c| c.from.as_deref()).unwrap_or(name)
}

/// Types the source must be read with, by source name: those asked for in `columns:`, then those pinned.
pub(crate) fn pinned_types(pipeline: &Pipeline, pinned: Option<&Schema>) -> HashMap<String, DataType> {
    let mut types: HashMap<String, DataType> = HashMap::new();
    for column in pinned.iter().flat_map(|s| &s.columns).filter(|c| !c.undecided) {
        types.insert(source_name(pipeline, &column.name).to_owned(), column.data_type);
    }
    for column in &pipeline.columns {
        if let Some(data_type) = column.data_type {
            types.insert(source_name(pipeline, &column.name).to_owned(), data_type);
        }
    }
    types
}

/// A surveyed schema under the names of the table, with the types `columns:` asks for.
pub(crate) fn rename_all(pipeline: &Pipeline, surveyed: &Schema) -> Result<Schema> {
    for column in &pipeline.columns {
        if let Some(from) = &column.from
            && surveyed.get(from).is_none()
        {
            return Err(missing(from, "from", surveyed));
        }
    }
    let schema = Schema {
        columns: surveyed
            .columns
            .iter()
            .map(|c| {
                let name = renamed(pipeline, &c.name);
                match asked_type(pipeline, name) {
                    Some(asked) => Column::new(name, asked),
                    None => Column { name: name.to_owned(), ..c.clone() },
                }
            })
            .collect(),
    };
    for (n, column) in schema.columns.iter().enumerate() {
        if schema.columns[..n].iter().any(|c| c.name == column.name) {
            return Err(Error::new(Code::BadHeader, format!("two columns would be called {:?}", column.name))
                .state("nothing was written")
                .help("give one of them another name with `columns:`"));
        }
    }
    Ok(schema)
}

/// The type `columns:` asks for.
pub(crate) fn asked_type(pipeline: &Pipeline, name: &str) -> Option<DataType> {
    pipeline.columns.iter().find(|c| c.name == name).and_then(|c| c.data_type)
}

/// Whether the destination can hold these columns, and whether every column the pipeline names is there.
pub(crate) fn check(pipeline: &Pipeline, arriving: &Schema, target: &Schema, can: Capabilities) -> Result<()> {
    if target.columns.len() > can.max_columns {
        return Err(Error::new(
            Code::Unstorable,
            format!("{} columns are more than the destination's {}", target.columns.len(), can.max_columns),
        )
        .state("nothing was written")
        .help("choose columns with `transform: SELECT … FROM source`"));
    }
    if !can.case_sensitive
        && let Some((a, b)) = case_clash(target.names())
    {
        return Err(Error::new(Code::BadHeader, format!("columns {a:?} and {b:?} are one name to the destination"))
            .state("nothing was written")
            .help(format!("rename one: `columns: {{other_name: {{from: {b}}}}}`")));
    }
    if let Some(own) = target.columns.iter().find(|c| c.name.starts_with("_floodmark_")) {
        return Err(Error::new(Code::BadHeader, format!("the column name {:?} is kept for Floodmark", own.name))
            .state("nothing was written")
            .help("rename it with `columns:`"));
    }
    for (columns, what) in [(&pipeline.key, "key"), (&pipeline.window, "window")] {
        for name in columns {
            if arriving.get(name).is_none() {
                return Err(missing(name, what, arriving));
            }
        }
    }
    if let Some(watermark) = &pipeline.watermark
        && arriving.get(&watermark.column).is_none()
    {
        return Err(missing(&watermark.column, "watermark", arriving));
    }
    if let Some(version) = &pipeline.version
        && pipeline.load != Load::Append
        && arriving.get(version).is_none()
    {
        return Err(missing(version, "version", arriving));
    }
    for column in &pipeline.columns {
        if column.not_null && arriving.get(&column.name).is_none() {
            return Err(missing(&column.name, "columns", arriving));
        }
    }
    Ok(())
}

fn missing(name: &str, field: &str, there: &Schema) -> Error {
    Error::new(Code::TableShape, format!("`{field}` names column {name:?}, which the source does not have"))
        .state("nothing was written")
        .help(format!("its columns are: {}", there.names().join(", ")))
}
