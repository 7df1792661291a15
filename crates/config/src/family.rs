//! A pipeline over several tables: what holds for all of them, before it is known which they are.
//!
//! Its fields are kept as they were read. For each table that the source turns out to have they become a pipeline, with
//! what the table has of its own: `members`.

use crate::{
    diagnostics::{Findings, Spot, quoted},
    members,
    read::{Reader, called},
    record::{Given, Named, Record, Value},
    resolve::{self, Connections},
    rules,
    template::{self, TABLE},
    words::Words,
};
use floodmark_core::{
    Code,
    catalog::{Listed, Pattern},
    url::ConnectionUrl,
};
use std::{fmt, path::PathBuf, sync::Arc};

/// A pipeline whose source is several tables of a database (`source: { tables: "public.*" }`).
#[derive(Clone)]
pub struct Family {
    /// Its name, which those of its members begin with; empty where they have none in front.
    pub name: String,
    /// The database whose tables these are.
    pub source: ConnectionUrl,
    /// The database they go to.
    pub destination: ConnectionUrl,
    /// How many pipelines of the file stand before it.
    pub before: usize,
    pub(crate) owner: Spot,
    /// All its fields but `overrides`.
    pub(crate) record: Record,
    pub(crate) overrides: Vec<Named>,
    pub(crate) tables: Vec<Choice>,
    pub(crate) exclude: Vec<Choice>,
    pub(crate) connections: Vec<(String, Option<ConnectionUrl>)>,
    pub(crate) words: Words,
    pub(crate) origin: Arc<Origin>,
}

/// The text a family was read from, for mistakes that show only when its tables are known.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) path: PathBuf,
    pub(crate) base: PathBuf,
    pub(crate) text: String,
}

/// A pattern with its place.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) pattern: Pattern,
    pub(crate) written: String,
    pub(crate) at: Spot,
}

impl fmt::Debug for Family {
    /// Without the fields: what a reference stands for may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables: Vec<&str> = self.tables.iter().map(|choice| choice.written.as_str()).collect();
        f.debug_struct("Family")
            .field("name", &self.name)
            .field("source", &self.source)
            .field("destination", &self.destination)
            .field("tables", &tables)
            .finish_non_exhaustive()
    }
}

/// Whether these are the fields of a family.
pub(crate) fn is_family(record: &Record) -> bool {
    record.record("source").is_some_and(|source| source.has("tables"))
}

/// The family that a record describes; the findings say what is wrong with it whatever its tables are.
pub(crate) fn family(
    name: &str,
    owner: Spot,
    record: &Record,
    connections: &Connections,
    reader: &mut Reader<'_>,
    words: Words,
    origin: &Arc<Origin>,
) -> Option<Family> {
    let source = record.record("source")?;
    let tables = source.get("tables")?;
    if let Some(other) = ["table", "query"].iter().find_map(|name| source.get(name)) {
        let (one, several) = (called(other.field, other.key), called(tables.field, tables.key));
        reader
            .out
            .add(Code::ConfigInvalid, other.key, format!("{one} and {several} both say what is read"))
            .related(tables.key, "and so does this")
            .help("keep one of the two");
        return None;
    }
    let mut own = record.clone();
    own.take("overrides");
    if let Some(table) = record.record("destination").and_then(|destination| destination.get("table")) {
        table_of_each(table, reader.out);
    }
    let overrides = record.map("overrides").to_vec();
    for named in &overrides {
        members::settings_of(named).iter().for_each(|settings| destination_of_one(settings, reader.out));
    }
    prototypes(name, owner, &own, &overrides, connections, reader, words);
    let given = record.get("destination")?;
    // What is wrong with either is told by the prototypes.
    let mut silent = Reader { out: &mut Findings::default(), ..*reader };
    Some(Family {
        name: name.to_owned(),
        source: resolve::database("source", source, tables.key, connections, &mut silent)?,
        destination: resolve::database(
            "destination",
            record.record("destination")?,
            given.key,
            connections,
            &mut silent,
        )?,
        before: 0,
        owner,
        tables: choices(source, "tables"),
        exclude: choices(source, "exclude"),
        record: own,
        overrides,
        connections: connections.to_vec(),
        words,
        origin: Arc::clone(origin),
    })
}

fn choices(source: &Record, name: &str) -> Vec<Choice> {
    let choice = |item: &crate::record::Item| Choice {
        pattern: Pattern::parse(&item.text),
        written: item.written.clone(),
        at: item.at,
    };
    source.items(name).iter().map(choice).collect()
}

/// A name for the tables of a family must be another one for each.
fn table_of_each(given: &Given, out: &mut Findings) {
    let Some(Value::Text(text)) = &given.value else { return };
    let name = called(given.field, given.at);
    match template::unknown(text) {
        Some(unknown) => {
            out.add(Code::ConfigInvalid, given.at, format!("{} stands for nothing in {name}", quoted(&unknown)))
                .help(format!("it takes {TABLE} and {}", template::SCHEMA));
        }
        None if !text.contains(TABLE) => {
            out.add(Code::Unsafe, given.at, format!("{name} is one table, and each of the family's needs its own"))
                .help(format!("write it with {TABLE}, such as raw_{TABLE}, or leave it out: then each keeps its name"));
        }
        None => {}
    }
}

/// A family has one destination; a table of it may have a name of its own there.
fn destination_of_one(settings: &Record, out: &mut Findings) {
    let Some(destination) = settings.record("destination") else { return };
    if let Some(elsewhere) = ["connection", "url"].iter().find_map(|name| destination.get(name)) {
        out.add(Code::ConfigInvalid, elsewhere.key, "all tables of a family go into one database")
            .help("leave the table out with `exclude:` under `source:`, and give it a pipeline of its own");
    }
}

/// Whatever is wrong with a table that has a key is wrong with every table, and is told before any is known.
fn prototypes(
    name: &str,
    owner: Spot,
    record: &Record,
    overrides: &[Named],
    connections: &Connections,
    reader: &mut Reader<'_>,
    words: Words,
) {
    let table = Listed { schema: None, name: "table".into(), bare: true, own: true, key: vec!["key".into()] };
    let name = if name.is_empty() { "table" } else { name };
    let of = |settings: &[&Record], at: Spot, reader: &mut Reader<'_>| {
        let record = members::fields(record, settings, &table, "table");
        if let Some(pipeline) = resolve::pipeline(name, at, &record, connections, reader, words) {
            rules::check(&pipeline, &record, at, words, reader.out);
        }
    };
    of(&[], owner, reader);
    for named in overrides {
        let Some(settings) = members::settings_of(named) else { continue };
        let mut found = Findings::default();
        of(&[settings], named.at, &mut Reader { out: &mut found, ..*reader });
        for finding in found.0 {
            let known = |d: &crate::Diagnostic| d.spot == finding.spot && d.message == finding.message;
            if !reader.out.0.iter().any(known) {
                reader.out.0.push(finding);
            }
        }
    }
}
