//! What a table asks of who reads or writes it, and whether that is done here.

use super::{
    actions::{MetaData, Protocol},
    fields::{Field, NTZ},
};
use crate::failure;
use floodmark_core::{Error, Result};

/// Features that need nothing of who reads: what they would ask for is looked at beside. A column of a variant is of a type
/// that is not loaded.
const READ: [&str; 10] = [
    "timestampNtz",
    "timestampWithoutTimezone",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    "columnMapping",
    "deletionVectors",
    "typeWidening",
    "typeWidening-preview",
    "variantType",
    "variantType-preview",
];

/// And of who writes.
const WRITE: [&str; 8] = [
    "appendOnly",
    "invariants",
    "checkConstraints",
    "changeDataFeed",
    "generatedColumns",
    "identityColumns",
    "domainMetadata",
    "inCommitTimestamp",
];

/// What each writer version before 7 stands for, beside those before it.
const LEGACY: [(i32, &[&str]); 5] = [
    (2, &["appendOnly", "invariants"]),
    (3, &["checkConstraints"]),
    (4, &["changeDataFeed", "generatedColumns"]),
    (5, &["columnMapping"]),
    (6, &["identityColumns"]),
];

fn refused(table: &str, what: impl Into<String>) -> Error {
    failure::unsuited(table, what).help("load into a table of its own, or write the table anew without it")
}

fn on(metadata: &MetaData, property: &str) -> bool {
    metadata.configuration.get(property).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

pub(crate) fn check_read(table: &str, protocol: &Protocol, metadata: &MetaData) -> Result<()> {
    if protocol.min_reader_version > 3 {
        return Err(refused(
            table,
            format!(
                "the table asks for version {} of Delta readers, and 3 is the last known",
                protocol.min_reader_version
            ),
        ));
    }
    if let Some(feature) = protocol.reader_features.iter().flatten().find(|f| !READ.contains(&f.as_str())) {
        return Err(refused(
            table,
            format!("the table asks its readers for the Delta feature {feature:?}, which is not done"),
        ));
    }
    if metadata.configuration.get("delta.columnMapping.mode").is_some_and(|mode| mode != "none") {
        return Err(refused(
            table,
            "the table's columns have other names in its files (column mapping), which is not done",
        ));
    }
    Ok(())
}

/// What files are to be taken out for, too: a table may take new rows alone.
pub(crate) fn check_write(
    table: &str,
    protocol: &Protocol,
    metadata: &MetaData,
    fields: &[Field],
    removes: bool,
) -> Result<()> {
    if protocol.min_writer_version > 7 {
        return Err(refused(
            table,
            format!(
                "the table asks for version {} of Delta writers, and 7 is the last known",
                protocol.min_writer_version
            ),
        ));
    }
    let features = protocol.writer_features.iter().flatten().map(String::as_str);
    if let Some(feature) =
        features.filter(|f| !f.starts_with("typeWidening")).find(|f| !READ.contains(f) && !WRITE.contains(f))
    {
        return Err(refused(
            table,
            format!("the table asks its writers for the Delta feature {feature:?}, which is not done"),
        ));
    }
    for (property, what) in [
        ("delta.enableDeletionVectors", "deletion vectors"),
        ("delta.enableRowTracking", "row tracking"),
        ("delta.enableInCommitTimestamps", "timestamps inside commits"),
        ("delta.enableTypeWidening", "columns that change their types"),
    ] {
        if on(metadata, property) {
            return Err(refused(table, format!("the table has {what} ({property}), which is not done")));
        }
    }
    if metadata.configuration.keys().any(|key| key.starts_with("delta.constraints.")) {
        return Err(refused(table, "the table has CHECK constraints, which are not looked at here"));
    }
    if metadata.configuration.contains_key("delta.setTransactionRetentionDuration") {
        return Err(refused(
            table,
            "the table forgets transactions (delta.setTransactionRetentionDuration), which say what is loaded",
        )
        .help("or unset the property"));
    }
    if removes && on(metadata, "delta.appendOnly") {
        return Err(refused(table, "the table takes new rows alone (delta.appendOnly)"));
    }
    if removes && on(metadata, "delta.enableChangeDataFeed") {
        return Err(refused(
            table,
            "the table keeps a feed of its changes (delta.enableChangeDataFeed), into which only new rows are written here",
        ));
    }
    for field in fields {
        for (key, what) in [
            ("delta.invariants", "an invariant"),
            ("delta.generationExpression", "an expression that makes its values"),
            ("delta.identity.start", "values that the table counts"),
            ("CURRENT_DEFAULT", "a default"),
        ] {
            if field.metadata.contains_key(key) {
                return Err(refused(table, format!("column {:?} has {what} ({key}), which is not done", field.name)));
            }
        }
        if field.column().is_none() {
            return Err(refused(
                table,
                format!("column {:?} is of type {}, which is not loaded", field.name, field.shown_type()),
            ));
        }
    }
    Ok(())
}

/// The protocol that columns need, where it is another one than the table has.
pub(crate) fn needed(fields: &[Field], now: Option<&Protocol>) -> Option<Protocol> {
    let ntz = fields.iter().any(|field| field.data_type == NTZ);
    let feature = "timestampNtz".to_owned();
    match now {
        None if ntz => Some(Protocol {
            min_reader_version: 3,
            min_writer_version: 7,
            reader_features: Some(vec![feature.clone()]),
            writer_features: Some(vec![feature]),
        }),
        None => Some(Protocol {
            min_reader_version: 1,
            min_writer_version: 2,
            reader_features: None,
            writer_features: None,
        }),
        Some(now) if ntz && !now.writer_features.iter().flatten().any(|f| *f == feature) => {
            let older =
                LEGACY.iter().filter(|(version, _)| *version <= now.min_writer_version && now.min_writer_version < 7);
            let mut writer: Vec<String> = older.flat_map(|(_, f)| f.iter().map(|f| (*f).to_owned())).collect();
            writer.extend(now.writer_features.iter().flatten().cloned());
            let mut reader: Vec<String> = now.reader_features.clone().unwrap_or_default();
            if writer.iter().any(|f| f == "columnMapping") && !reader.iter().any(|f| f == "columnMapping") {
                reader.push("columnMapping".to_owned());
            }
            writer.push(feature.clone());
            reader.push(feature);
            let (min_reader_version, min_writer_version) = (3, 7);
            Some(Protocol {
                min_reader_version,
                min_writer_version,
                reader_features: Some(reader),
                writer_features: Some(writer),
            })
        }
        Some(_) => None,
    }
}
