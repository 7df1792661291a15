//! Whether a row of the table is a row of a table of the source, so that the two can be compared as they are.

use crate::{names, registry};
use floodmark_core::{
    Result,
    pipeline::{DatabaseSource, Load, OnBadRow, OnNull, Pipeline, Relation, SourceSpec},
};
use std::collections::BTreeSet;

/// Why not; `None`: they can.
pub(super) fn why_not(pipeline: &Pipeline) -> Result<Option<String>> {
    let SourceSpec::Database(DatabaseSource { url, relation, .. }) = &pipeline.source else {
        return Ok(Some("it reads files".into()));
    };
    let settings = [
        (pipeline.transform.is_some(), "transform"),
        (pipeline.delete_when.is_some(), "delete_when"),
        (pipeline.on_bad_row == OnBadRow::Reject, "on_bad_row: reject"),
    ];
    if let Some((_, field)) = settings.iter().find(|(set, _)| *set) {
        return Ok(Some(format!("it has `{field}`")));
    }
    // By content, every row of the source is one of the table.
    if pipeline.load == Load::Append || pipeline.key.is_empty() {
        return Ok(None);
    }
    let Relation::Table(table) = relation else {
        return Ok(Some("nothing says whether its query has one row a key".into()));
    };
    let tables = registry::catalog(url)?.tables;
    let found =
        tables.iter().find(|t| t.written() == *table).or_else(|| tables.iter().find(|t| t.bare && t.name == *table));
    let own: BTreeSet<&str> = found.iter().flat_map(|t| t.key.iter().map(String::as_str)).collect();
    let key: BTreeSet<&str> = pipeline.key.iter().map(|name| names::source_name(pipeline, name)).collect();
    Ok((own != key).then(|| "its key is not the primary key of the source's table".to_owned()))
}

/// Whether a NULL of the source leaves a column as it was.
pub(super) fn keeps(pipeline: &Pipeline, name: &str) -> bool {
    let own = pipeline.columns.iter().find(|c| c.name == name).and_then(|c| c.on_null);
    own.unwrap_or(pipeline.on_null) == OnNull::Keep
}
