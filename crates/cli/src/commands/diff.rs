//! `diff`: two tables or files, whatever they are in.

use super::{Context, Failure, plan::DIFFERENCES};
use crate::{
    args::{DiffArgs, How},
    render::{
        comparison::{self, Words},
        html,
    },
    signals,
};
use chrono::Utc;
use floodmark_core::{
    Code, Error, Result,
    clock::SystemClock,
    event::Silent,
    interval::Tz,
    pipeline::{DatabaseSource, FileSource, Relation, SourceSpec},
    url::{ConnectionUrl, holds_tables},
};
use floodmark_engine::{
    Engine,
    diff::{Comparison, Report, SideSpec},
    registry,
};
use std::{fs::File, io::Read, path::Path, sync::Arc};

/// `floodmark diff`
pub(super) fn diff(cx: &Context, args: &DiffArgs) -> Result<u8, Failure> {
    let first = Named::parse(&args.first, args.table.as_deref())?;
    let second = Named::parse(&args.second, args.table.as_deref())?;
    signals::watch(&cx.stop)?;
    let key = match args.key.is_empty() {
        true => first.key()?.or(second.key()?).unwrap_or_default(),
        false => args.key.clone(),
    };
    let condition = args.how.condition.as_deref();
    let comparison = Comparison {
        key,
        columns: args.how.columns.clone(),
        by: args.how.by(None, Tz::UTC),
        sampling: args.how.sampling(),
        limit: args.how.limit,
        ..Comparison::new([first.side(condition)?, second.side(condition)?])
    };
    let engine = Engine { clock: Arc::new(SystemClock), observer: Arc::new(Silent), stop: cx.stop.clone() };
    let report = engine.diff(&comparison)?;
    let name = format!("{} and {}", first.name, second.name);
    tell(cx, &args.how, &report, &name)?;
    Ok(if report.differs() { DIFFERENCES } else { 0 })
}

fn tell(cx: &Context, how: &How, report: &Report, name: &str) -> Result<()> {
    const WORDS: Words = Words { first: "first", second: "second" };
    if cx.printer.json() {
        cx.printer.object(&comparison::object(report, WORDS))?;
    } else {
        cx.printer.text(&comparison::text(report, WORDS))?;
    }
    match &how.html {
        Some(path) => {
            let section = html::section(report, WORDS, name, report.differs(), &[]);
            written(cx, path, &html::page(&[section], name, Utc::now()))
        }
        None => Ok(()),
    }
}

/// Writes a report to a file.
pub(super) fn written(cx: &Context, path: &Path, page: &str) -> Result<()> {
    std::fs::write(path, page)
        .map_err(|e| Error::new(Code::Output, "the report cannot be written").in_file(path).cause(e))?;
    cx.printer.note(&format!("The report is in {}.", path.display()));
    Ok(())
}

/// A table or file as it was named.
struct Named {
    name: String,
    spec: SourceSpec,
}

impl Named {
    fn parse(text: &str, table: Option<&str>) -> Result<Named> {
        if !is_database(text) {
            let files = FileSource { patterns: vec![text.to_owned()], ..FileSource::default() };
            if files.reads_stdin() {
                return Err(Error::new(
                    Code::BadArgument,
                    "standard input can be read but once, and a comparison reads again",
                )
                .state("nothing was compared")
                .help("write it to a file, and name that"));
            }
            refuse_sqlite(text, table)?;
            return Ok(Named { name: text.to_owned(), spec: SourceSpec::Files(files) });
        }
        let (url, table) = match (text.rsplit_once('#'), table) {
            (Some((url, table)), _) if !table.is_empty() => (url, table),
            (_, Some(table)) => (text, table),
            _ => {
                let url = ConnectionUrl::parse(text)?;
                return Err(Error::new(Code::BadArgument, format!("no table of {url} is named"))
                    .state("nothing was compared")
                    .help("write it behind the URL, `sqlite:///shop.db#orders`, or name it with --table"));
            }
        };
        let url = ConnectionUrl::parse(url)?;
        let relation = Relation::Table(table.to_owned());
        Ok(Named {
            name: format!("{}#{table}", url.name()),
            spec: SourceSpec::Database(DatabaseSource { url, relation, readers: 1 }),
        })
    }

    /// The primary key, where it is a table that has one.
    fn key(&self) -> Result<Option<Vec<String>>> {
        let SourceSpec::Database(DatabaseSource { url, relation: Relation::Table(table), .. }) = &self.spec else {
            return Ok(None);
        };
        let tables = registry::catalog(url)?.tables;
        let is = |name: &str| name == table;
        let found = tables.iter().find(|t| is(&t.written())).or_else(|| tables.iter().find(|t| t.bare && is(&t.name)));
        Ok(found.map(|t| t.key.clone()).filter(|key| !key.is_empty()))
    }

    fn side(&self, condition: Option<&str>) -> Result<SideSpec> {
        SideSpec::of(self.name.clone(), &self.spec, condition.map(str::to_owned), condition)
    }
}

/// What every file of SQLite begins with.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";

/// A database that was named as if it were a table.
fn refuse_sqlite(path: &str, table: Option<&str>) -> Result<()> {
    let mut begins = [0; SQLITE.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut begins));
    if read.is_err() || begins != *SQLITE {
        return Ok(());
    }
    let url = format!("sqlite:///{path}#{}", table.unwrap_or("TABLE"));
    Err(Error::new(Code::BadArgument, format!("{path} is a database of SQLite, and no table"))
        .state("nothing was compared")
        .help(format!("name it by its URL, with the table behind it: {url}")))
}

/// Whether a source is a connection URL. A path may hold a colon, too.
fn is_database(source: &str) -> bool {
    source.split_once(':').is_some_and(|(scheme, _)| holds_tables(scheme))
}
