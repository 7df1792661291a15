//! Combinations that cannot be loaded safely, or that say what they cannot mean. Each is told with its remedy.

use crate::{
    diagnostics::{Findings, Spot, quoted},
    record::{Record, Value},
    resolve::is_nowhere,
    words::Words,
};
use floodmark_core::{
    Code,
    pipeline::{
        AbsentRows, ChangedFiles, CsvOptions, CursorNulls, DatabaseSource, FileFormat, Load, OnBadRow, OnNull,
        Pipeline, Relation, STDIN, SourceSpec, XMIN,
    },
    url::{ConnectionUrl, is_lake},
};
use std::collections::HashSet;

/// Checks one pipeline. Settings that were wrong in themselves are reported already and take no part.
pub(crate) fn check(p: &Pipeline, record: &Record, owner: Spot, words: Words, out: &mut Findings) {
    let mut rules = Rules { p, record, owner, words, out };
    rules.repeats();
    rules.rejects();
    rules.source();
    rules.destination();
    if !record.sound(&["load"]) || !(record.has("load") || rules.keyed()) {
        return;
    }
    rules.keys();
    rules.delete_insert();
    rules.append();
    rules.watermark();
    rules.absent_rows();
    rules.deletes();
    rules.nulls();
    rules.version();
}

struct Rules<'a> {
    p: &'a Pipeline,
    record: &'a Record,
    owner: Spot,
    words: Words,
    out: &'a mut Findings,
}

impl Rules<'_> {
    fn unsafe_at(&mut self, names: &[&str], message: String, help: String) {
        let at = names.iter().find_map(|n| self.record.get(n)).map_or(self.owner, |g| g.at);
        self.out.add(Code::Unsafe, at, message).help(help);
    }

    fn load(&self) -> String {
        self.words.set("load", self.p.load.name())
    }

    /// Whether a key was given, right or wrong.
    fn keyed(&self) -> bool {
        self.record.has("key")
    }

    /// Whether a watermark was given, right or wrong.
    fn marked(&self) -> bool {
        self.record.has("watermark")
    }

    fn keys(&mut self) {
        let needs = matches!(self.p.load, Load::Upsert | Load::InsertOnly | Load::Scd2);
        if needs && !self.keyed() {
            let message = format!("{} needs a key, and there is none", self.load());
            let help = format!("name the columns that identify a row, such as {}", self.words.set("key", "id"));
            self.unsafe_at(&["load"], message, help);
        }
    }

    fn repeats(&mut self) {
        for name in ["key", "window"] {
            self.twice(self.record, name);
        }
        for (side, name) in [("source", "names"), ("destination", "partition_by")] {
            if let Some(side) = self.record.record(side) {
                self.twice(side, name);
            }
        }
    }

    /// An item that a list holds twice.
    fn twice(&mut self, record: &Record, name: &str) {
        let mut seen = HashSet::new();
        for item in record.items(name) {
            if !seen.insert(item.text.as_str()) {
                let message = format!("the column {} stands twice in {}", quoted(&item.written), self.words.name(name));
                self.out.add(Code::Unsafe, item.at, message).help("keep it once");
            }
        }
    }

    /// Settings of files, for a destination that has none.
    fn destination(&mut self) {
        let url = &self.p.destination.url;
        // Of one that is not understood nobody knows what it is.
        let known = !is_nowhere(url) && !is_lake(url.scheme());
        let Some(destination) = self.record.record("destination").filter(|_| known) else { return };
        for name in ["partition_by", "file_size"] {
            let Some(given) = destination.get(name) else { continue };
            let message = format!("{} is about lakes: {} has no files to lay out", self.words.name(name), url.scheme());
            self.out.add(Code::Unsafe, given.at, message).help("take it out, or load into delta: or parquet:");
        }
    }

    fn delete_insert(&mut self) {
        let (p, words) = (self.p, self.words);
        if p.load != Load::DeleteInsert {
            if self.record.has("window") {
                let message =
                    format!("{} belongs to {} alone", words.name("window"), words.set("load", "delete_insert"));
                let help = format!("take it out, or write {}", words.set("load", "delete_insert"));
                self.unsafe_at(&["window"], message, help);
            }
            return;
        }
        if p.window.is_empty() && !self.keyed() && self.record.sound(&["window"]) {
            let message = format!("{} has neither {} nor {}", self.load(), words.name("window"), words.name("key"));
            let help =
                format!("name the columns whose values a batch replaces ({}), or the key", words.set("window", "day"));
            self.unsafe_at(&["load"], message, help);
        }
        let outside = p.watermark.as_ref().is_some_and(|w| !p.window.is_empty() && !p.window.contains(&w.column));
        if outside && let Some(column) = self.record.record("watermark").and_then(|w| w.get("column")) {
            let message = format!(
                "the watermark column {} is not part of {}: rows behind the watermark would be left out of the windows \
                 that are replaced, and lost",
                quoted(&column.written),
                words.name("window")
            );
            let help = format!("take out the watermark, or name its column in {}", words.name("window"));
            self.unsafe_at(&["window", "watermark"], message, help);
        }
    }

    fn append(&mut self) {
        let (p, words) = (self.p, self.words);
        if self.record.has("append") && p.load != Load::Append {
            let message = format!("{} is about {} alone", words.name("append"), words.set("load", "append"));
            self.unsafe_at(&["append"], message, format!("take it out, or write {}", words.set("load", "append")));
        } else if p.at_least_once && self.marked() {
            let message = format!(
                "{} adds every row again, and a watermark leaves out the rows loaded before: they contradict each other",
                words.set("append", "at_least_once")
            );
            self.unsafe_at(
                &["append"],
                message,
                "keep one of the two; with the watermark each row is added once".to_owned(),
            );
        }
        if p.load == Load::Append && self.keyed() {
            let message = format!(
                "{} is of no use: append compares no keys, and two rows with the same key would both stay in the table",
                words.name("key")
            );
            let upsert = words.set("load", "upsert");
            let help = format!("take it out, or write {upsert} or {}", words.set("load", "insert_only"));
            self.unsafe_at(&["key"], message, help);
        }
        if p.load == Load::Append
            && let Some(watermark) = self.record.record("watermark")
            && let Some(given) = watermark.get("lookback")
        {
            let name = words.name("watermark.lookback");
            let message =
                format!("{name} would add rows twice: an append recognises only the rows at the watermark itself");
            let help = format!("take it out, or give a key and write {}", words.set("load", "upsert"));
            self.out.add(Code::Unsafe, given.at, message).help(help);
        }
        let bare = p.load == Load::Append && !self.marked() && !p.at_least_once && self.record.sound(&["append"]);
        if bare && (p.source.reads_stdin() || p.source.files().is_none()) {
            let help = format!(
                "give a watermark column ({}), or a key ({}, which makes it an upsert), or {} if adding every row again \
                 is meant",
                words.name("watermark"),
                words.name("key"),
                words.set("append", "at_least_once")
            );
            let message = match p.source.files() {
                Some(_) => {
                    "standard input cannot be recognised when it comes again, so a re-run would add its rows twice"
                }
                None if matches!(p.source, SourceSpec::Handed(_)) => {
                    "rows that a program hands over cannot be told from those loaded before, so a re-run would add them twice"
                }
                None => "the rows of a table cannot be told from those loaded before, so a re-run would add them twice",
            };
            self.unsafe_at(&["load"], message.to_owned(), help);
        }
        if p.changed_files == ChangedFiles::AppendTail {
            if p.load != Load::Append {
                let message = format!(
                    "{} is about {} alone",
                    words.set("changed_files", "append_tail"),
                    words.set("load", "append")
                );
                self.unsafe_at(&["changed_files"], message, format!("write {}", words.set("changed_files", "reload")));
            } else if let Some(name) = p
                .source
                .files()
                .and_then(|files| files.format)
                .filter(|f| !matches!(f, FileFormat::Csv | FileFormat::Jsonl))
            {
                let name = FileFormat::NAMES.iter().find(|(_, f)| *f == name).map_or("such", |(n, _)| n);
                let message = format!("{} files do not grow at their end", quoted(name));
                self.unsafe_at(&["changed_files"], message, format!("write {}", words.set("changed_files", "reload")));
            } else if p.source.files().is_some_and(|files| files.patterns.iter().any(|pattern| is_object(pattern))) {
                let message = "objects do not grow at their end: they are replaced, and known by a tag".to_owned();
                self.unsafe_at(&["changed_files"], message, format!("write {}", words.set("changed_files", "reload")));
            }
        }
    }

    fn watermark(&mut self) {
        let (p, words) = (self.p, self.words);
        if p.load == Load::Overwrite && self.marked() {
            let message =
                format!("{} makes the table what the source is, and a watermark reads only a part of it", self.load());
            let help = format!(
                "take out the watermark, or load the new part with {} or {}",
                words.set("load", "upsert"),
                words.set("load", "delete_insert")
            );
            self.unsafe_at(&["watermark"], message, help);
        }
        if p.watermark.as_ref().is_some_and(|w| w.hidden) {
            self.counted();
        }
    }

    /// `xmin` tells which rows were written since the last run, and nothing else of them.
    fn counted(&mut self) {
        let (p, words) = (self.p, self.words);
        if p.load == Load::Append {
            let message =
                "`xmin` does not tell a row that was changed from one that is new, so that an append would add \
                           changed rows once more"
                    .to_owned();
            let help = format!("give a key, and write {}", words.set("load", "upsert"));
            self.unsafe_at(&["watermark"], message, help);
        }
        if p.version.as_deref() == Some(XMIN) {
            let message =
                "`xmin` does not tell which copy of a row is newer: a transaction that began first can write last";
            let help =
                format!("take out {}: of a table the copy that was read last is the newer one", words.name("version"));
            self.unsafe_at(&["version"], message.to_owned(), help);
        }
        let watermark = self.record.record("watermark");
        let given = ["start", "settle", "boundary"].iter().filter_map(|name| Some((*name, watermark?.get(name)?)));
        for (name, given) in given.collect::<Vec<_>>() {
            let name = words.name(&format!("watermark.{name}"));
            let message = format!("{name} does not go with `xmin`, which counts transactions and says nothing of time");
            self.out.add(Code::Unsafe, given.at, message).help("take it out, or name a column of the table");
        }
    }

    fn absent_rows(&mut self) {
        let (p, words) = (self.p, self.words);
        if !self.record.has("absent_rows") || !self.record.sound(&["absent_rows", "key", "watermark"]) {
            return;
        }
        let (setting, remedy) = match p.absent_rows {
            AbsentRows::Keep if p.load == Load::Overwrite && self.keyed() => {
                let message = "an overwrite that keeps the rows its source lacks is an upsert".to_owned();
                self.unsafe_at(&["absent_rows"], message, format!("write {}", words.set("load", "upsert")));
                return;
            }
            AbsentRows::Keep => return,
            AbsentRows::Delete => ("delete", "upsert"),
            AbsentRows::Close => ("close", "scd2"),
        };
        let fits = match p.absent_rows {
            AbsentRows::Close => p.load == Load::Scd2,
            _ => p.load == Load::Upsert || (p.load == Load::Overwrite && self.keyed()),
        };
        if !fits {
            let whom = match p.absent_rows {
                AbsentRows::Close => words.set("load", "scd2"),
                _ => format!("{} and to {} with a key", words.set("load", "upsert"), words.set("load", "overwrite")),
            };
            let message = format!("{} belongs to {whom}", words.set("absent_rows", setting));
            self.unsafe_at(&["absent_rows"], message, format!("take it out, or write {}", words.set("load", remedy)));
        } else if self.marked() {
            let message = format!(
                "{} would take out every row that has merely not changed: with a watermark, absent only means unchanged",
                words.set("absent_rows", setting)
            );
            let help = format!("take out the watermark, so that every run reads all, or {}", words.name("absent_rows"));
            self.unsafe_at(&["absent_rows"], message, help);
        }
    }

    fn deletes(&mut self) {
        let (p, words) = (self.p, self.words);
        if p.delete_when.is_none() {
            return;
        }
        let name = words.name("delete_when");
        let why = match p.load {
            Load::Append => "append never deletes a row",
            Load::InsertOnly => "insert_only leaves existing rows alone",
            Load::Overwrite if !self.keyed() => "an overwrite without a key cannot tell which row is meant",
            _ => return,
        };
        let help = format!(
            "leave such rows out with a `WHERE` in {}, or write {} with a key",
            words.name("transform"),
            words.set("load", "upsert")
        );
        self.unsafe_at(&["delete_when"], format!("{name} has nothing to delete: {why}"), help);
    }

    /// A setting that would silently do nothing is worse than an error.
    fn nulls(&mut self) {
        let why = match self.p.load {
            Load::Upsert => return,
            Load::Scd2 => "scd2 keeps what was there as a version of its own",
            Load::Append => "append never meets an existing value",
            Load::Overwrite => "an overwrite puts the source in the place of what was there",
            Load::InsertOnly => "insert_only leaves existing rows alone",
            Load::DeleteInsert => "delete_insert puts the batch in the place of what was there",
        };
        let keep = self.words.set("on_null", "keep");
        let help = format!("take it out, or write {}", self.words.set("load", "upsert"));
        if self.p.on_null == OnNull::Keep {
            self.unsafe_at(&["on_null"], format!("{keep} has no existing value to keep: {why}"), help.clone());
        }
        for named in self.record.map("columns") {
            let Some(Value::Record(column)) = &named.value else { continue };
            let Some(given) = column.get("on_null") else { continue };
            if column.text("on_null") == Some("keep") {
                let message = format!("{keep} has no existing value to keep: {why}");
                self.out.add(Code::Unsafe, given.at, message).help(help.clone());
            }
        }
    }

    fn version(&mut self) {
        let nulls = self.p.watermark.as_ref().is_some_and(|w| w.nulls == CursorNulls::Include);
        if self.p.load == Load::Scd2 && nulls && self.p.version == self.p.watermark.as_ref().map(|w| w.column.clone()) {
            let message = "a row without a version has no place in a history".to_owned();
            let help = format!("leave such rows out: {}", self.words.set("watermark.nulls", "exclude"));
            self.unsafe_at(&["watermark", "nulls"], message, help);
        }
        let compares = self.keyed() && self.p.load != Load::Append;
        if self.p.version.is_some() && !compares {
            let message =
                format!("{} compares copies of a row, and without a key no row has copies", self.words.name("version"));
            let help = match self.p.load {
                Load::Append => format!("take it out, or write {} with a key", self.words.set("load", "upsert")),
                _ => format!("give a key, or take out {}", self.words.name("version")),
            };
            self.unsafe_at(&["version"], message, help);
        }
    }

    fn rejects(&mut self) {
        let words = self.words;
        if self.record.has("max_rejects") && self.p.on_bad_row == OnBadRow::Fail && self.record.sound(&["on_bad_row"]) {
            let message = format!("{} limits rejects, and bad rows fail the run", words.name("max_rejects"));
            self.unsafe_at(&["max_rejects"], message, format!("add {}", words.set("on_bad_row", "reject")));
        }
    }

    /// Several sessions see one snapshot on PostgreSQL alone, and only a table has parts that can be told from each other.
    fn readers(&mut self, source: &Record) {
        let Some(given) = source.get("readers") else { return };
        let (what, help) = match &self.p.source {
            SourceSpec::Files(_) if !source.has("files") => return,
            // Told with all else that says how something is read.
            SourceSpec::Handed(_) => return,
            SourceSpec::Files(_) => ("PostgreSQL, and files are read", "take it out: files are read by all processors"),
            SourceSpec::Database(DatabaseSource { relation: Relation::Query(_), .. }) => {
                ("tables, and a query is read by one session", "take it out, or name the table that it reads")
            }
            SourceSpec::Database(DatabaseSource { url, .. }) => match url.scheme() {
                "mysql" | "mariadb" => (
                    "PostgreSQL, and the source is MySQL or MariaDB",
                    "take it out: on these servers no two sessions see one snapshot",
                ),
                "sqlite" => ("PostgreSQL, and the source is SQLite", "take it out"),
                "duckdb" => ("PostgreSQL, and the source is DuckDB", "take it out"),
                _ => return,
            },
        };
        let message = format!("{} is about {what}", self.words.name("source.readers"));
        self.out.add(Code::Unsafe, given.key, message).help(help);
    }

    fn source(&mut self) {
        let Some(source) = self.record.record("source") else { return };
        self.readers(source);
        let Some(files) = self.p.source.files() else {
            if let Some(given) = self.record.get("changed_files") {
                self.out
                    .add(Code::Unsafe, given.key, format!("{} is about files", self.words.name("changed_files")))
                    .help("take it out: a table is read anew on each run");
            }
            return;
        };
        if files.patterns.len() > 1
            && let Some(item) = source.items("files").iter().find(|i| i.text == STDIN)
        {
            self.out
                .add(Code::Unsafe, item.at, "standard input cannot be one of several sources")
                .help("read it alone, or write it to a file first");
        }
        for item in source.items("files") {
            let Some((scheme, _)) = item.text.split_once("://") else { continue };
            if is_object(&item.text) {
                continue;
            }
            let scheme = scheme.to_ascii_lowercase();
            if scheme == "file" {
                self.out
                    .add(Code::BadUrl, item.at, "a file is named by its path, not by a URL")
                    .help("write the path that follows file://");
                continue;
            }
            // Only the scheme is repeated: what follows may hold a password.
            self.out
                .add(Code::BadUrl, item.at, format!("files cannot be read from {scheme}://"))
                .help("files are named by paths and patterns, relative to the pipeline file or absolute")
                .help("or by URLs of a store: s3://bucket/folder/*.csv, gs://…, az://…, https://…");
        }
        if files.csv.delimiter == Some(files.csv.quote)
            && let Some(given) = source.get("delimiter").or_else(|| source.get("quote"))
        {
            self.out
                .add(Code::Unsafe, given.at, "the delimiter and the quote are the same character")
                .help("give them different ones");
        }
        if !files.csv.header
            && files.csv.names.is_empty()
            && source.sound(&["names", "header"])
            && let Some(given) = source.get("header")
        {
            let help = format!("list them in {}", self.words.name("source.names"));
            self.out.add(Code::Unsafe, given.at, "without a header the columns have no names").help(help);
        }
        let other = files.format.is_some_and(|f| f != FileFormat::Csv);
        if other && files.csv != CsvOptions::default() {
            for name in ["delimiter", "quote", "header", "names", "null"] {
                if let Some(given) = source.get(name) {
                    let message = format!(
                        "{} is about CSV, and the format is another",
                        self.words.name(&format!("source.{name}"))
                    );
                    self.out.add(Code::Unsafe, given.key, message).help("take it out");
                }
            }
        }
    }
}

/// Whether a file is named by the URL of a store.
fn is_object(pattern: &str) -> bool {
    ConnectionUrl::parse(pattern).is_ok_and(|url| url.is_store()) && pattern.contains("://")
}
