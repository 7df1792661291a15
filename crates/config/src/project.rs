//! A pipeline file, opened.

use crate::{
    alerts,
    diagnostics::{Diagnostics, Findings, Spot, quoted},
    family::{self, Family, Origin},
    interpolate::Env,
    lineage, order,
    read::Reader,
    record::{Named, Record, Value},
    resolve::{self, Connections},
    rules,
    words::Words,
    yaml::{self, Data},
};
use floodmark_core::{
    Code,
    outlet::{Channel, LineageSpec},
    pipeline::Pipeline,
    url::ConnectionUrl,
};
use std::{
    collections::HashMap,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A pipeline file is never larger; a data file named by mistake often is.
const MAX_FILE: u64 = 4 << 20;

/// A pipeline file with everything in it checked.
#[derive(Debug, Clone)]
pub struct Project {
    /// The file.
    pub path: PathBuf,
    /// Its directory, which relative paths are relative to; empty for the current one.
    pub base: PathBuf,
    /// Connections in file order, relative paths resolved.
    pub connections: Vec<(String, ConnectionUrl)>,
    /// Pipelines in file order, every default filled in.
    pub pipelines: Vec<Pipeline>,
    /// Pipelines over several tables, in file order; which these are only the source knows.
    pub families: Vec<Family>,
    /// Whom `serve` tells of what fails or is late, in file order.
    pub alerts: Vec<Channel>,
    /// Who is told of runs.
    pub lineage: Option<LineageSpec>,
}

impl Project {
    /// Reads a pipeline file. `env` looks up variables for `${VAR}`.
    ///
    /// # Errors
    /// Every mistake of the file at once: `FM0101` when it cannot be read, `FM0102` for what is written wrongly,
    /// `FM0103` for references, `FM0105` for URLs, `FM0106` for what cannot be loaded safely.
    pub fn open(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Project, Diagnostics> {
        let text = read(path).map_err(|(message, help)| {
            let mut out = Findings::default();
            out.add(Code::ConfigRead, Spot::Whole, message).help(help);
            Diagnostics::new(path, "", out)
        })?;
        Project::parse(path, &text, env)
    }

    /// As `open`, with the file's text at hand. `path` names it in messages, and its directory is the base.
    ///
    /// # Errors
    /// As `open`.
    pub fn parse(path: &Path, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Project, Diagnostics> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut out = Findings::default();
        let origin = Arc::new(Origin { path: path.to_owned(), base, text: text.to_owned() });
        match build(&origin, env, &mut out) {
            Some(project) if out.0.is_empty() => Ok(project),
            _ => Err(Diagnostics::new(path, text, out)),
        }
    }
}

fn build(origin: &Arc<Origin>, env: Env<'_>, out: &mut Findings) -> Option<Project> {
    let Origin { path, base, text } = origin.as_ref();
    let root = yaml::parse(text, out)?;
    let Data::Map(members) = &root.data else {
        out.add(Code::ConfigInvalid, root.at, format!("a pipeline file is a mapping, and this is {}", root.what()))
            .help("begin with `version: 1`; `floodmark init` writes an example");
        return None;
    };
    let mut reader = Reader { source: text, env, base, out };
    let record = reader.record("", members, members.first().map_or(root.at, |m| m.at));
    let mut connections = Vec::new();
    for named in record.map("connections") {
        if named.name.contains(':') || named.name.is_empty() {
            let message = format!("{} cannot be the name of a connection", quoted(&named.name));
            reader.out.add(Code::ConfigInvalid, named.at, message).help("use letters, digits and underscores");
        }
        let url = if let Some(Value::Url(url)) = &named.value { Some(url.clone()) } else { None };
        connections.push((named.name.clone(), url));
    }
    let given = record.map("pipelines");
    if given.is_empty()
        && let Some(pipelines) = record.get("pipelines").filter(|g| g.value.is_some())
    {
        reader
            .out
            .add(Code::ConfigInvalid, pipelines.key, "there is no pipeline")
            .help("`floodmark init` writes an example");
    }
    let (mut pipelines, mut families) = (Vec::new(), Vec::new());
    for named in given {
        match &named.value {
            Some(Value::Record(record)) if family::is_family(record) => {
                let (name, words) = (&named.name, Words::File);
                let family = family::family(name, named.at, record, &connections, &mut reader, words, origin);
                families.extend(family.map(|family| Family { before: pipelines.len(), ..family }));
            }
            _ => pipelines.extend(pipeline(named, &connections, &mut reader)),
        }
    }
    shared_tables(given, &pipelines, reader.out);
    order::check(given, &families, reader.out);
    shared_names(given, &families, reader.out);
    let alerts = alerts::channels(record.map("alerts"), given, &families, base, reader.out);
    let lineage = record.get("lineage").and_then(|given| lineage::spec(given, base, reader.out));
    let connections = connections.into_iter().filter_map(|(name, url)| Some((name, url?))).collect();
    Some(Project { path: path.clone(), base: base.clone(), connections, pipelines, families, alerts, lineage })
}

/// A name that one of a family's tables may have is the family's.
fn shared_names(given: &[Named], families: &[Family], out: &mut Findings) {
    for named in given {
        if let Some(family) = families.iter().find(|family| family.owns(&named.name)) {
            let message = format!("{} may be the name of a table of {}", quoted(&named.name), quoted(&family.name));
            out.add(Code::ConfigInvalid, named.at, message)
                .related(family.owner, "whose pipelines are called by its name, a point and the table's")
                .help("give it another name");
        }
    }
}

fn pipeline(named: &Named, connections: &Connections, reader: &mut Reader<'_>) -> Option<Pipeline> {
    let Some(Value::Record(record)) = &named.value else { return None };
    let pipeline = resolve::pipeline(&named.name, named.at, record, connections, reader, Words::File)?;
    rules::check(&pipeline, record, named.at, Words::File, reader.out);
    Some(pipeline)
}

/// Two pipelines into one table would each take the other's rows for its own. Letter case does not tell tables apart:
/// in SQLite it does not.
fn shared_tables(given: &[Named], pipelines: &[Pipeline], out: &mut Findings) {
    let mut seen: HashMap<(String, String), Spot> = HashMap::new();
    for p in pipelines {
        let Some(named) = given.iter().find(|n| n.name == p.name) else { continue };
        let Some(Value::Record(record)) = &named.value else { continue };
        let whole = record.record("destination").filter(|d| d.sound(&["connection", "url", "table"]));
        let Some(destination) = whole else { continue };
        let at = destination.get("table").map_or(named.at, |g| g.at);
        // `Display` hides the password, and two that differ in nothing else are the same database.
        let place = (p.destination.url.to_string(), p.destination.table.to_lowercase());
        match seen.get(&place) {
            Some(first) => {
                let message = format!("two pipelines load the table {}", quoted(&destination_name(destination, p)));
                out.add(Code::Unsafe, at, message)
                    .related(*first, "loaded here already")
                    .help("give each its own table, or make them one pipeline with several `files:`");
            }
            None => {
                seen.insert(place, at);
            }
        }
    }
}

/// The table as written, so that a reference in it stays one.
fn destination_name(destination: &Record, p: &Pipeline) -> String {
    destination.get("table").map_or_else(|| p.name.clone(), |g| g.written.clone())
}

pub(crate) fn read(path: &Path) -> Result<String, (String, String)> {
    let help = "name the file with -f, or write one with `floodmark init`";
    let failed = |e: std::io::Error| {
        let why =
            if e.kind() == std::io::ErrorKind::NotFound { "there is no such file".to_owned() } else { e.to_string() };
        (format!("the pipeline file cannot be read: {why}"), help.to_owned())
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(("a pipeline file of more than 4 MiB is no pipeline file".to_owned(), help.to_owned()));
    }
    String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        (format!("the pipeline file is not UTF-8 text: line {line} has other bytes"), "save it as UTF-8".to_owned())
    })
}
