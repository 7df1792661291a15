//! The one-liner: the same fields as flags, through the same reader, resolver and rules.

use crate::{
    diagnostics::{Diagnostics, Findings, Spot, nearest},
    family::{Family, Origin, family},
    fields::{FIELDS, Field, Kind, load_flags},
    read::Reader,
    record::Record,
    resolve, rules,
    words::Words,
    yaml::{Data, Member, Node},
};
use floodmark_core::{
    Code,
    pipeline::{Pipeline, SourceSpec},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The source: a pattern, or `-`. May be given more than once. Shown as `SRC`.
pub const SOURCE_FLAG: &str = "files";
/// The source, where it is a database: its URL. Shown as `SRC`.
pub const SOURCE_URL_FLAG: &str = "source-url";
/// The table that is read of it.
pub const SOURCE_TABLE_FLAG: &str = "source-table";
/// Patterns of several tables of it.
pub const SOURCE_TABLES_FLAG: &str = "source-tables";
/// The destination's URL. Shown as `DEST`.
pub const URL_FLAG: &str = "url";
/// The table.
pub const TABLE_FLAG: &str = "table";

/// The pipeline's name, under which its state is kept; by default the table's.
pub const PIPELINE_FLAG: &str = "pipeline";

/// Flags that are no field of a pipeline under their own name, with the fields they set.
const ARGUMENTS: [(&str, &str); 4] = [
    (SOURCE_FLAG, "pipelines.*.source.files"),
    (SOURCE_URL_FLAG, "pipelines.*.source.url"),
    (URL_FLAG, "pipelines.*.destination.url"),
    (TABLE_FLAG, "pipelines.*.destination.table"),
];

/// A flag as the user typed it.
pub(crate) fn shown(flag: &str) -> String {
    match flag {
        SOURCE_FLAG | SOURCE_URL_FLAG => "SRC".to_owned(),
        URL_FLAG => "DEST".to_owned(),
        _ => format!("--{flag}"),
    }
}

/// The pipeline that flags of `load` describe: `(flag, value)` in the order given, a flag that repeats as often as
/// it was. Lists may also be split by commas (`--key id,region`), `--column` takes `name=type`, and a flag of a
/// yes-or-no field is `true` or `false`. Relative paths are relative to the process.
///
/// # Errors
/// Every mistake at once; each names its flag.
pub fn from_flags(flags: &[(&str, String)], env: &dyn Fn(&str) -> Option<String>) -> Result<Pipeline, Diagnostics> {
    built(flags, None, env)
}

/// The same for rows that a program hands over, which it calls `rows`.
///
/// # Errors
/// As above, and for flags that say how a file or a database is read.
pub fn from_handed(
    rows: &str,
    flags: &[(&str, String)],
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Pipeline, Diagnostics> {
    // Something stands where the reader looks for a source, until it is known what that is.
    let source = [(SOURCE_FLAG, rows.to_owned())];
    let flags: Vec<(&str, String)> = source.iter().chain(flags).cloned().collect();
    built(&flags, Some(rows), env)
}

fn built(
    flags: &[(&str, String)],
    handed: Option<&str>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Pipeline, Diagnostics> {
    all_or_mistakes(|out| {
        let given = read(flags, env, out)?;
        let table = given.record.record("destination").and_then(|d| d.text("table")).map(str::to_owned);
        let mut reader = Reader { source: "", env, base: Path::new(""), out };
        let name = match (given.name, table) {
            (Some(name), _) => name,
            (None, Some(table)) => table,
            (None, None) => {
                if !given.record.record("destination").is_some_and(|d| d.has("table")) {
                    reader
                        .out
                        .add(Code::BadArgument, Spot::Flag(TABLE_FLAG), "--table is missing")
                        .help("name the table to load");
                }
                return None;
            }
        };
        let record = &given.record;
        let mut pipeline = resolve::pipeline(&name, Spot::Flag(PIPELINE_FLAG), record, &[], &mut reader, Words::Flags)?;
        if let Some(rows) = handed {
            pipeline.source = SourceSpec::Handed(rows.to_owned());
            let read = record.record("source").into_iter().flat_map(|source| &source.fields);
            for given in read.filter(|given| given.field.name() != "files") {
                let what = given.field.flag.map(shown).unwrap_or_default();
                out.add(Code::Unsafe, given.key, format!("{what} says how a file or a database is read"))
                    .help("take it out: these rows are handed over");
            }
        }
        rules::check(&pipeline, record, Spot::Whole, Words::Flags, out);
        Some(pipeline)
    })
}

/// The same for several tables (`--source-tables`). Their pipelines are called after them, behind `--pipeline` and a point
/// where that is given.
///
/// # Errors
/// Every mistake at once; each names its flag.
pub fn family_from_flags(
    flags: &[(&str, String)],
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Family, Diagnostics> {
    all_or_mistakes(|out| {
        let given = read(flags, env, out)?;
        let nowhere = Origin { path: PathBuf::new(), base: PathBuf::new(), text: String::new() };
        let mut reader = Reader { source: "", env, base: Path::new(""), out };
        let (name, owner) = (given.name.unwrap_or_default(), Spot::Flag(SOURCE_TABLES_FLAG));
        family(&name, owner, &given.record, &[], &mut reader, Words::Flags, &Arc::new(nowhere))
    })
}

fn all_or_mistakes<T>(build: impl FnOnce(&mut Findings) -> Option<T>) -> Result<T, Diagnostics> {
    let mut out = Findings::default();
    match build(&mut out) {
        Some(built) if out.0.is_empty() => Ok(built),
        _ => Err(Diagnostics::new(Path::new(""), "", out)),
    }
}

/// The fields that flags set, and the name that is given.
struct Flags {
    record: Record,
    name: Option<String>,
}

fn read(flags: &[(&str, String)], env: &dyn Fn(&str) -> Option<String>, out: &mut Findings) -> Option<Flags> {
    let mut root = mapping(Spot::Whole);
    let mut names: Vec<&str> = Vec::new();
    for (flag, value) in flags {
        if *flag == PIPELINE_FLAG {
            names.push(value);
            continue;
        }
        let argument = ARGUMENTS.iter().find(|(name, _)| name == flag);
        let path = argument.map(|(_, path)| *path);
        let named = |f: &&Field| path.map_or(f.flag == Some(*flag), |path| f.path == path);
        let Some(field) = FIELDS.iter().find(named) else {
            let known = load_flags().filter_map(|f| f.flag).chain([TABLE_FLAG, PIPELINE_FLAG]);
            let d = out.add(Code::BadArgument, Spot::Whole, format!("--{flag} is not a flag of load"));
            d.help(match nearest(flag, known) {
                Some(near) => format!("did you mean --{near}?"),
                None => "`floodmark load --help` lists the flags".to_owned(),
            });
            continue;
        };
        let flag = argument.map(|(name, _)| *name).or(field.flag)?;
        insert(&mut root, field, flag, value, out);
    }
    if names.len() > 1 {
        out.add(Code::BadArgument, Spot::Flag(PIPELINE_FLAG), "--pipeline is given twice").help("keep one of the two");
    }
    let Data::Map(members) = &root.data else { return None };
    let mut reader = Reader { source: "", env, base: Path::new(""), out };
    let record = reader.record("pipelines.*", members, Spot::Whole);
    Some(Flags { record, name: names.first().map(|name| (*name).to_owned()) })
}

/// Puts a flag's value where its field stands in the file.
fn insert(root: &mut Node, field: &'static Field, flag: &'static str, value: &str, out: &mut Findings) {
    let spot = Spot::Flag(flag);
    let mut node = root;
    let mut parts = field.path.split('.').skip(2).peekable();
    while let Some(part) = parts.next() {
        let Data::Map(members) = &mut node.data else { return };
        let leaf = parts.peek().is_none();
        let at = members.iter().position(|m| m.name == part);
        let at = match at {
            Some(_) if leaf && !field.repeats() => {
                out.add(Code::BadArgument, spot, format!("{} is given twice", shown(flag))).help("keep one of the two");
                return;
            }
            Some(at) => at,
            None => {
                let value = match (leaf, field.kind) {
                    (false, _) | (true, Kind::Map) => mapping(spot),
                    (true, Kind::List) => Node { at: spot, data: Data::List(Vec::new()) },
                    (true, _) => scalar(spot, value),
                };
                members.push(Member { name: part.to_owned(), at: spot, value });
                members.len() - 1
            }
        };
        node = &mut members[at].value;
    }
    match &mut node.data {
        // A file name may hold a comma, a pattern with braces does.
        Data::List(items) if flag == SOURCE_FLAG => items.push(scalar(spot, value)),
        Data::List(items) => items.extend(value.split(',').map(|item| scalar(spot, item.trim()))),
        Data::Map(members) => match value.rsplit_once('=') {
            Some((name, of)) if !name.is_empty() && !of.is_empty() => {
                if members.iter().any(|m| m.name == name) {
                    out.add(Code::BadArgument, spot, format!("{} is given twice for one column", shown(flag)));
                    return;
                }
                members.push(Member { name: name.to_owned(), at: spot, value: scalar(spot, of) });
            }
            _ => {
                out.add(Code::BadArgument, spot, format!("{} takes a column and its type", shown(flag)))
                    .help("write it as --column zip=text");
            }
        },
        Data::Scalar { .. } => {}
    }
}

fn mapping(at: Spot) -> Node {
    Node { at, data: Data::Map(Vec::new()) }
}

fn scalar(at: Spot, text: &str) -> Node {
    Node { at, data: Data::Scalar { text: text.to_owned(), plain: true } }
}
