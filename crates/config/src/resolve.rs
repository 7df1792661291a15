//! Typed values → a pipeline with every default filled in.

use crate::{
    diagnostics::{Findings, Spot, nearest, quoted},
    read::{Reader, called},
    record::{Given, Named, Record, Value},
    values,
    words::Words,
};
use floodmark_core::{
    Code,
    interval::Tz,
    pipeline::*,
    url::{ConnectionUrl, is_lake},
};
use std::path::Path;

/// A named connection; `None` when its URL is wrong and reported.
pub(crate) type Connections = [(String, Option<ConnectionUrl>)];

/// Stands where a mistake left nothing to put. Mistakes never let a pipeline out, so that it is never opened.
const NOWHERE: &str = "none:";

/// Whether a URL is none that somebody wrote.
pub(crate) fn is_nowhere(url: &ConnectionUrl) -> bool {
    ConnectionUrl::parse(NOWHERE).is_ok_and(|nowhere| nowhere == *url)
}

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
    let mut watermark = record.record("watermark").and_then(watermark);
    let destination = destination(name, record, connections, reader)?;
    let source = source(record, owner, connections, reader, words);
    let columns: Vec<ColumnSpec> = record.map("columns").iter().filter_map(column).collect();
    if let (SourceSpec::Database(database), Some(watermark)) = (&source, &mut watermark) {
        let made = columns.iter().any(|c| c.name == watermark.column);
        watermark.hidden = database.hides(&watermark.column) && !made;
    }
    // What replaces only the parts it covers has one name, however it is called.
    let load = load.map(|load| if load == Load::Overwrite && record.has("window") { Load::DeleteInsert } else { load });
    // What is not known is reported; rules that ask for the strategy leave this pipeline alone.
    let load = load.unwrap_or(Load::Upsert);
    let keyed = !key.is_empty() && load != Load::Append;
    let version = match record.text("version") {
        Some("none") => None,
        Some(column) => Some(column.to_owned()),
        // A row can be written last by a transaction that began, and has its number, first.
        None => watermark.as_ref().filter(|w| keyed && !w.hidden).map(|w| w.column.clone()),
    };
    let absent_default = match load {
        Load::Scd2 if watermark.is_none() => AbsentRows::Close,
        Load::Overwrite if !key.is_empty() => AbsentRows::Delete,
        _ => AbsentRows::Keep,
    };
    let commit_every = if is_lake(destination.url.scheme()) { COMMIT_EVERY_OF_LAKE } else { COMMIT_EVERY };
    Some(Pipeline {
        name: name.to_owned(),
        source,
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
        columns,
        schema: record.choice("schema", SchemaPolicy::NAMES).unwrap_or(SchemaPolicy::Evolve),
        on_bad_row: record.choice("on_bad_row", OnBadRow::NAMES).unwrap_or(OnBadRow::Fail),
        max_rejects: record.limit("max_rejects"),
        changed_files: record.choice("changed_files", ChangedFiles::NAMES).unwrap_or(ChangedFiles::Reload),
        allow_empty: record.bool("allow_empty").unwrap_or(false),
        adopt: record.bool("adopt").unwrap_or(false),
        at_least_once: record.text("append") == Some("at_least_once"),
        commit_every: record.number("commit_every").unwrap_or(commit_every),
        service: service(record),
        timezone: record.text("timezone").and_then(|zone| values::zone(zone).ok()).unwrap_or(Tz::UTC),
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

fn service(record: &Record) -> Service {
    let plain = Service::default();
    Service {
        schedule: record.text("schedule").map(str::to_owned),
        after: record.list("after"),
        catch_up: record.choice("catch_up", CatchUp::NAMES).unwrap_or(plain.catch_up),
        jitter: record.time("jitter"),
        retries: record.number("retries").unwrap_or(plain.retries),
        retry_delay: record.time("retry_delay").unwrap_or(plain.retry_delay),
        timeout: record.time("timeout"),
        freshness: record.time("freshness"),
    }
}

fn watermark(record: &Record) -> Option<WatermarkSpec> {
    Some(WatermarkSpec {
        column: record.text("column")?.to_owned(),
        hidden: false,
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

/// Files, or what is read of a database: what is missing or said twice is reported.
fn source(
    record: &Record,
    owner: Spot,
    connections: &Connections,
    reader: &mut Reader<'_>,
    words: Words,
) -> SourceSpec {
    let none = Record::default();
    let given = record.get("source");
    let source = record.record("source").unwrap_or(&none);
    let of_family = [source.get("exclude"), record.get("overrides")];
    for given in of_family.into_iter().flatten() {
        let name = called(given.field, given.key);
        reader
            .out
            .add(
                Code::ConfigInvalid,
                given.key,
                format!("{name} is about several tables, and this is a pipeline of one"),
            )
            .help(format!("take it out, or name the tables with {}", words.name("source.tables")));
    }
    let of_database = ["connection", "url", "table", "query"].iter().find_map(|name| source.get(name));
    let Some(of_database) = of_database else {
        // A source that is missing as a whole, or not a mapping, is reported already.
        let there = given.is_some_and(|g| g.value.is_some());
        if there && !source.has("files") {
            let at = given.map_or(owner, |g| g.key);
            reader
                .out
                .add(Code::ConfigInvalid, at, "the source has neither `files` nor `connection`")
                .label("needed here")
                .help("give `files:` with paths or patterns")
                .help("or `connection:` with a name from `connections:`, and `table:` or `query:`");
        }
        return SourceSpec::Files(files(source, reader.base));
    };
    if source.has("files") && source.get("table").or(source.get("query")).is_none() {
        return SourceSpec::Files(objects(source, of_database.key, connections, reader));
    }
    let of_tables = ["connection", "url", "table", "query", "exclude", "readers"];
    if let Some(of_files) = source.fields.iter().find(|g| !of_tables.contains(&g.field.name())) {
        reader
            .out
            .add(Code::ConfigInvalid, of_files.key, format!("`{}` is about files", of_files.field.name()))
            .related(of_database.key, "and this says that a database is read")
            .help("keep one of the two");
    }
    let relation = match (source.get("table"), source.get("query")) {
        (Some(table), Some(query)) => {
            reader
                .out
                .add(Code::ConfigInvalid, query.key, "`query` and `table` both say what is read")
                .related(table.key, "and so does this")
                .help("keep one of the two");
            None
        }
        (Some(_), None) => source.text("table").map(|table| Relation::Table(table.to_owned())),
        (None, Some(_)) => source.text("query").map(|sql| Relation::Query(sql.to_owned())),
        (None, None) => {
            reader
                .out
                .add(Code::ConfigInvalid, of_database.key, "the source has neither `table` nor `query`")
                .label("what of this database?")
                .help("give `table:` with the name of a table or view, or `query:` with a SELECT")
                .help("or `tables:` with patterns such as `public.*`, for a pipeline each");
            None
        }
    };
    let url = database("source", source, of_database.key, connections, reader);
    let nowhere = || ConnectionUrl::parse(NOWHERE).ok();
    match url.or_else(nowhere) {
        Some(url) => SourceSpec::Database(DatabaseSource {
            url,
            relation: relation.unwrap_or_else(|| Relation::Table(String::new())),
            readers: source.number("readers").and_then(|n| usize::try_from(n).ok()).unwrap_or(READERS),
        }),
        None => SourceSpec::Files(FileSource::default()),
    }
}

/// Files of a store, which a connection says how to reach.
fn objects(source: &Record, key: Spot, connections: &Connections, reader: &mut Reader<'_>) -> FileSource {
    let mut spec = files(source, reader.base);
    let Some(url) = database("source", source, key, connections, reader) else { return spec };
    if !url.is_store() {
        reader
            .out
            .add(Code::ConfigInvalid, key, format!("a {} database has no files", url.scheme()))
            .help("take out `files`, and name a `table` or `query`")
            .help("or name the connection of a store, such as s3://bucket");
        return spec;
    }
    for item in source.items("files").iter().filter(|item| item.text.contains("://") || item.text == STDIN) {
        reader
            .out
            .add(Code::ConfigInvalid, item.at, "with a `connection`, files are named by their keys below it")
            .help("leave out the store's URL here, or leave out `connection`");
    }
    spec.patterns.iter_mut().for_each(|pattern| *pattern = url.below(pattern));
    spec.store = Some(url);
    spec
}

fn files(source: &Record, base: &Path) -> FileSource {
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
        store: None,
        base: base.to_owned(),
        format: source.choice("format", FileFormat::NAMES),
        csv,
        max_row_bytes: source.number("max_row_bytes").and_then(|n| usize::try_from(n).ok()).unwrap_or(MAX_ROW_BYTES),
        hive_partitions: source.bool("hive_partitions").unwrap_or(false),
    }
}

fn destination(
    name: &str,
    record: &Record,
    connections: &Connections,
    reader: &mut Reader<'_>,
) -> Option<DestinationSpec> {
    let none = Record::default();
    let given = record.get("destination");
    let destination = record.record("destination").unwrap_or(&none);
    let table = destination.text("table").unwrap_or(name).to_owned();
    // A destination that is missing as a whole, or not a mapping, is reported already.
    let url = match given {
        Some(given) if given.value.is_some() => database("destination", destination, given.key, connections, reader),
        _ => None,
    };
    let url = url.or_else(|| ConnectionUrl::parse(NOWHERE).ok())?;
    let (partition_by, file_size) = (destination.list("partition_by"), destination.number("file_size"));
    Some(DestinationSpec { url, table, partition_by, file_size })
}

/// The database that a source or a destination names. `key`: where to say that it names none.
pub(crate) fn database(
    what: &str,
    record: &Record,
    key: Spot,
    connections: &Connections,
    reader: &mut Reader<'_>,
) -> Option<ConnectionUrl> {
    match (record.get("connection"), record.get("url")) {
        (Some(connection), Some(url)) => {
            reader
                .out
                .add(Code::ConfigInvalid, url.key, format!("`url` and `connection` both say where the {what} is"))
                .related(connection.key, "and so does this")
                .help("keep one of the two");
            None
        }
        (Some(connection), None) => connected(connection, record, connections, reader),
        (None, Some(_)) => record.url("url").cloned(),
        (None, None) => {
            reader
                .out
                .add(Code::ConfigInvalid, key, format!("the {what} has neither `connection` nor `url`"))
                .label("needed here")
                .help("give `connection:` with a name from `connections:`, or `url:` such as sqlite:///warehouse.db");
            None
        }
    }
}

/// A connection by its name, or a URL written in its place.
fn connected(
    given: &Given,
    record: &Record,
    connections: &Connections,
    reader: &mut Reader<'_>,
) -> Option<ConnectionUrl> {
    let name = record.text("connection")?;
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
