//! Typed values → a pipeline with every default filled in.

use crate::{
    diagnostics::{Findings, Spot, nearest, quoted},
    fields::Kind,
    read::Reader,
    record::{Given, Named, Record, Value},
    words::Words,
};
use floodmark_core::{Code, pipeline::*, url::ConnectionUrl};
use std::path::Path;

/// A named connection; `None` when its URL is wrong and reported.
pub(crate) type Connections = [(String, Option<ConnectionUrl>)];

/// Stands where a mistake left nothing to put. Mistakes never let a pipeline out, so that it is never opened.
const NOWHERE: &str = "none:";

/// The pipeline that a record describes, as far as it does; the findings say what is wrong with it.
pub(crate) fn pipeline(
    name: &str,
    owner: Spot,
    record: &Record,
    connections: &Connections,
    reader: &mut Reader<'_>,
    words: Words,
) -> Option<Pipeline> {
    if name.trim() != name || name.is_empty() || name.chars().any(char::is_control) {
        reader.out.add(Code::ConfigInvalid, owner, format!("{} cannot be the name of a pipeline", quoted(name)));
    }
    let key = record.list("key");
    let load = strategy(record, owner, &key, reader.out, words);
    let watermark = record.record("watermark").and_then(watermark);
    let destination = destination(name, record, owner, connections, reader)?;
    // What is not known is reported; rules that ask for the strategy leave this pipeline alone.
    let load = load.unwrap_or(Load::Upsert);
    let keyed = !key.is_empty() && load != Load::Append;
    let version = match record.text("version") {
        Some("none") => None,
        Some(column) => Some(column.to_owned()),
        None => watermark.as_ref().filter(|_| keyed).map(|w| w.column.clone()),
    };
    let absent_default = match load {
        Load::Scd2 if watermark.is_none() => AbsentRows::Close,
        Load::Overwrite if !key.is_empty() => AbsentRows::Delete,
        _ => AbsentRows::Keep,
    };
    Some(Pipeline {
        name: name.to_owned(),
        source: SourceSpec::Files(files(record, reader.base, reader.out)),
        destination,
        load,
        key,
        watermark,
        version,
        window: record.list("window"),
        on_null: record.choice("on_null", OnNull::NAMES).unwrap_or(OnNull::Overwrite),
        delete_when: record.text("delete_when").map(str::to_owned),
        deletes: record.choice("deletes", Deletes::NAMES).unwrap_or(Deletes::Hard),
        absent_rows: record.choice("absent_rows", AbsentRows::NAMES).unwrap_or(absent_default),
        transform: record.text("transform").map(str::to_owned),
        columns: record.map("columns").iter().filter_map(column).collect(),
        schema: record.choice("schema", SchemaPolicy::NAMES).unwrap_or(SchemaPolicy::Evolve),
        on_bad_row: record.choice("on_bad_row", OnBadRow::NAMES).unwrap_or(OnBadRow::Fail),
        max_rejects: record.limit("max_rejects"),
        changed_files: record.choice("changed_files", ChangedFiles::NAMES).unwrap_or(ChangedFiles::Reload),
        allow_empty: record.bool("allow_empty").unwrap_or(false),
        adopt: record.bool("adopt").unwrap_or(false),
        at_least_once: record.text("append") == Some("at_least_once"),
        commit_every: record.number("commit_every").unwrap_or(COMMIT_EVERY),
        schedule: record.text("schedule").map(str::to_owned),
    })
}

/// The load strategy. A key alone says upsert; nothing at all says nothing, and is not guessed at.
fn strategy(record: &Record, owner: Spot, key: &[String], out: &mut Findings, words: Words) -> Option<Load> {
    if record.has("load") {
        return record.choice("load", Load::NAMES);
    }
    if record.has("key") {
        return (!key.is_empty()).then_some(Load::Upsert);
    }
    let names: Vec<&str> = Load::NAMES.iter().map(|(name, _)| *name).collect();
    out.add(
        Code::ConfigInvalid,
        owner,
        format!("{} is missing, and there is no {}", words.name("load"), words.name("key")),
    )
    .label("needed here")
    .help(format!(
        "give {}, which makes it an upsert, or say how to load: {}",
        words.name("key"),
        names.join(", ")
    ));
    None
}

fn watermark(record: &Record) -> Option<WatermarkSpec> {
    Some(WatermarkSpec {
        column: record.text("column")?.to_owned(),
        start: record.text("start").map(str::to_owned),
        lookback: record.span("lookback"),
        settle: record.span("settle"),
        exclusive: record.text("boundary") == Some("exclusive"),
        nulls: record.choice("nulls", CursorNulls::NAMES).unwrap_or(CursorNulls::Fail),
        late_rows: record.choice("late_rows", LateRows::NAMES),
    })
}

fn column(named: &Named) -> Option<ColumnSpec> {
    let Some(Value::Record(record)) = &named.value else { return None };
    Some(ColumnSpec {
        name: named.name.clone(),
        from: record.text("from").map(str::to_owned),
        data_type: record.data_type("type"),
        not_null: record.bool("not_null").unwrap_or(false),
        on_null: record.choice("on_null", OnNull::NAMES),
    })
}

fn files(record: &Record, base: &Path, out: &mut Findings) -> FileSource {
    let none = Record::default();
    let source = record.record("source").unwrap_or(&none);
    if let Some(later) = source.fields.iter().find(|g| g.field.kind == Kind::Later) {
        out.add(Code::ConfigInvalid, later.key, format!("{} is not supported by this version", later.field.doc))
            .label("describes a database")
            .help("give `files:` with CSV, JSON Lines, JSON, Parquet or Arrow files, gzip or zstd or plain")
            .help("export the table to a file first, for example with the database's own COPY or .mode csv");
    }
    let plain = CsvOptions::default();
    let csv = CsvOptions {
        delimiter: source.char("delimiter"),
        quote: source.char("quote").unwrap_or(plain.quote),
        header: source.bool("header").unwrap_or(plain.header),
        names: source.list("names"),
        null: source.text("null").map(str::to_owned),
    };
    FileSource {
        patterns: source.list("files"),
        base: base.to_owned(),
        format: source.choice("format", FileFormat::NAMES),
        csv,
        max_row_bytes: source.number("max_row_bytes").and_then(|n| usize::try_from(n).ok()).unwrap_or(MAX_ROW_BYTES),
    }
}

fn destination(
    name: &str,
    record: &Record,
    owner: Spot,
    connections: &Connections,
    reader: &mut Reader<'_>,
) -> Option<DestinationSpec> {
    let none = Record::default();
    let given = record.get("destination");
    let destination = record.record("destination").unwrap_or(&none);
    let table = destination.text("table").unwrap_or(name).to_owned();
    let url = match (destination.get("connection"), destination.get("url")) {
        (Some(connection), Some(url)) => {
            reader
                .out
                .add(Code::ConfigInvalid, url.key, "`url` and `connection` both say where the destination is")
                .related(connection.key, "and so does this")
                .help("keep one of the two");
            None
        }
        (Some(connection), None) => connected(connection, destination, connections, reader),
        (None, Some(_)) => destination.url("url").cloned(),
        // A destination that is missing as a whole, or not a mapping, is reported already.
        (None, None) if given.is_none_or(|g| g.value.is_none()) => None,
        (None, None) => {
            let at = given.map_or(owner, |g| g.key);
            reader
                .out
                .add(Code::ConfigInvalid, at, "the destination has neither `connection` nor `url`")
                .label("needed here")
                .help("give `connection:` with a name from `connections:`, or `url:` such as sqlite:///warehouse.db");
            None
        }
    };
    let url = url.or_else(|| ConnectionUrl::parse(NOWHERE).ok())?;
    Some(DestinationSpec { url, table })
}

/// A connection by its name, or a URL written in its place.
fn connected(
    given: &Given,
    destination: &Record,
    connections: &Connections,
    reader: &mut Reader<'_>,
) -> Option<ConnectionUrl> {
    let name = destination.text("connection")?;
    if let Some((_, url)) = connections.iter().find(|(n, _)| n == name) {
        return url.clone();
    }
    if name.contains(':') {
        return reader.url(given.at, name, &given.written);
    }
    let d = reader.out.add(Code::ConfigInvalid, given.at, format!("there is no connection {}", quoted(&given.written)));
    let names = || connections.iter().map(|(n, _)| n.as_str());
    match nearest(&given.written, names()) {
        Some(near) => d.help(format!("did you mean `{near}`?")),
        None if connections.is_empty() => {
            d.help("list it under `connections:`, or write a URL such as sqlite:///warehouse.db here")
        }
        None => d.help(format!("the connections are {}", names().collect::<Vec<_>>().join(", "))),
    };
    None
}
