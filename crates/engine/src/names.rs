//! Columns on their way from the source to the table: renamed, typed, checked.

use floodmark_connect::{Capabilities, SurveyRequest};
use floodmark_core::{
    Code, Column, DataType, Error, Result, Schema,
    pipeline::{Load, Pipeline},
    schema::case_clash,
    wording,
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
fn pinned_types(pipeline: &Pipeline, pinned: Option<&Schema>) -> HashMap<String, DataType> {
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

/// What a source is asked of its columns.
pub(crate) fn survey_request(pipeline: &Pipeline, pinned: Option<&Schema>) -> SurveyRequest {
    let cursor = pipeline.watermark.as_ref().map(|w| match pipeline.transform {
        // Most statements hand the column on under its name.
        Some(_) => w.column.clone(),
        None if w.hidden => w.column.clone(),
        None => source_name(pipeline, &w.column).to_owned(),
    });
    SurveyRequest { pinned: pinned_types(pipeline, pinned), cursor, from: None }
}

/// A surveyed schema under the names of the table, with the types `columns:` asks for.
pub(crate) fn rename_all(pipeline: &Pipeline, surveyed: &Schema) -> Result<Schema> {
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

/// How a source is read: its columns in the types they have under the names of the table.
pub(crate) fn read_as(pipeline: &Pipeline, surveyed: &Schema, types: &Schema) -> Schema {
    let typed = |c: &Column| {
        let data_type = types.get(renamed(pipeline, &c.name)).map_or(c.data_type, |t| t.data_type);
        Column::new(&c.name, data_type)
    };
    Schema { columns: surveyed.columns.iter().map(typed).collect() }
}

/// The type `columns:` asks for.
pub(crate) fn asked_type(pipeline: &Pipeline, name: &str) -> Option<DataType> {
    pipeline.columns.iter().find(|c| c.name == name).and_then(|c| c.data_type)
}

/// Whether the destination can hold these columns.
pub(crate) fn check(target: &Schema, can: Capabilities) -> Result<()> {
    if target.columns.len() > can.max_columns {
        return Err(Error::new(
            Code::Unstorable,
            format!("{} columns are more than the destination's {}", target.columns.len(), can.max_columns),
        )
        .state("nothing was written")
        .help("choose columns with `transform: SELECT … FROM source`"));
    }
    if let Some(long) = target.columns.iter().find(|c| c.name.len() > can.max_name) {
        let (name, bytes) = (&long.name, long.name.len());
        return Err(Error::new(
            Code::Unstorable,
            format!(
                "the column name {name:?} has {bytes} bytes, and the destination's names have at most {}",
                can.max_name
            ),
        )
        .state("nothing was written")
        .help(format!("rename it: `columns: {{shorter: {{from: {name}}}}}`")));
    }
    if !can.case_sensitive
        && let Some((a, b)) = case_clash(target.names())
    {
        return Err(Error::new(Code::BadHeader, format!("columns {a:?} and {b:?} are one name to the destination"))
            .state("nothing was written")
            // The table's own columns come first.
            .help(format!("if the second is the table's column in another spelling: `columns: {{{a}: {{from: {b}}}}}`"))
            .help(format!("if the source has both, rename one: `columns: {{other_name: {{from: {b}}}}}`")));
    }
    if let Some(nul) = target.columns.iter().find(|c| c.name.contains('\0')) {
        return Err(Error::new(Code::BadHeader, format!("the column name {:?} holds a NUL character", nul.name))
            .state("nothing was written")
            .help("a database cannot hold such a name: rename the column with `columns:`, or correct the source"));
    }
    match target.columns.iter().find(|c| c.name.starts_with("_floodmark_")) {
        None => Ok(()),
        Some(own) => Err(Error::new(Code::BadHeader, format!("the column name {:?} is kept for Floodmark", own.name))
            .state("nothing was written")
            .help("rename it with `columns:`")),
    }
}

/// Names in `columns:` that are no column of the table, so that what they say has no effect.
pub(crate) fn unused(pipeline: &Pipeline, target: &Schema) -> Vec<Error> {
    let unknown = pipeline.columns.iter().filter(|c| !c.not_null && c.from.is_none() && target.get(&c.name).is_none());
    unknown.map(|c| no_column(&c.name, "columns", target, "which the source does not have")).collect()
}

/// A column that says what is newer and is text by its values alone: one value that is no date makes text of a column of
/// dates, and in text 31/08 comes after 01/09. Rows would be left out for it, and nobody told.
pub(crate) fn ordered_text(pipeline: &Pipeline, target: &Schema) -> Option<Error> {
    let watermark = pipeline.watermark.iter().map(|w| (&w.column, "watermark"));
    let version = pipeline.version.iter().filter(|_| pipeline.load != Load::Append).map(|v| (v, "version"));
    let text = |name: &str| target.get(name).is_some_and(|c| c.data_type == DataType::Text && !c.undecided);
    let (name, field) =
        watermark.chain(version).find(|(name, _)| text(name) && asked_type(pipeline, name).is_none())?;
    Some(
        Error::new(
            Code::Unsafe,
            format!("`{field}` names column {name:?}, which is text: its values are compared letter by letter"),
        )
        .state("nothing was written")
        .help(format!(
            "if they are dates or numbers, say so, and the one that is none is told with its place: \
             `columns: {{ {name}: {{ type: timestamp }} }}`"
        ))
        .help(format!(
            "if text is meant, and sorts as it should (2024-W05, not 5/2024): `columns: {{ {name}: {{ type: text }} }}`"
        )),
    )
}

/// A type that `columns:` asks for and the table does not have: it was loaded, or made, with another one.
pub(crate) fn refused_type(pipeline: &Pipeline, target: &Schema) -> Option<Error> {
    let asked = pipeline.columns.iter().filter_map(|c| Some((&c.name, c.data_type?, target.get(&c.name)?.data_type)));
    let (name, asked, there) = asked.into_iter().find(|(_, asked, there)| !holds(*there, *asked))?;
    let message = format!("`columns:` makes {name:?} {asked}, and the table has it as {there}");
    Some(
        Error::new(Code::SchemaChange, message)
            .state("nothing was written")
            .help("a column that was loaded keeps its type: load everything again with `--full-refresh`, rejected rows included")
            .help(format!("or leave the type as it is, and correct the values on the way: `transform: SELECT … AS {name} FROM source`")),
    )
}

/// Whether a column of type `there` takes every value of type `asked`, and still means the same.
fn holds(there: DataType, asked: DataType) -> bool {
    use DataType::{BigInt, Date, Decimal, Timestamp, TimestampTz};
    let alike = matches!(
        (there, asked),
        (Decimal(..), BigInt | Decimal(..))
            | (Timestamp { .. }, Date | Timestamp { .. })
            | (TimestampTz { .. }, TimestampTz { .. })
    );
    there == asked || (alike && there.widen(asked) == Some(there))
}

/// The error of a column that is named in `field`; `lack` says who does not have it.
pub(crate) fn no_column(name: &str, field: &str, there: &Schema, lack: &str) -> Error {
    Error::new(Code::TableShape, format!("`{field}` names column {name:?}, {lack}"))
        .state("nothing was written")
        .help(wording::suggest(name, "its columns are", &there.names()))
}
