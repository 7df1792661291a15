//! `check`: what would go wrong, before it does.

use super::{Context, Failure};
use crate::{
    args::CheckArgs,
    project,
    render::{error, json, terminal},
    work,
};
use floodmark_config::{Lint, Project, lint};
use floodmark_connect::Stop;
use floodmark_core::{
    Error, Result,
    pipeline::{Pipeline, SourceSpec},
    url::ConnectionUrl,
};
use floodmark_engine::{
    inspect::{self, Finding},
    registry,
};
use serde_json::{Value, json};

/// What was found about one pipeline.
struct Report {
    name: String,
    /// The table it loads, where the pipeline could be made.
    table: Option<String>,
    /// Whether its destination can be reached; the error is told with the first pipeline that has it.
    reachable: bool,
    found: Found,
    errors: Vec<Error>,
    /// About the source: what a run would pass over, or may stop at.
    doubts: Vec<Error>,
    warnings: Vec<Lint>,
}

/// What a pipeline would read.
enum Found {
    /// So many files.
    Files(usize),
    /// A table or a query.
    Relation(String),
    /// It is not touched here: what is read from it is gone.
    StandardInput,
    /// An error says why.
    Nothing,
}

/// `floodmark check`. Exits with 0 where there are warnings only, with 2 where something cannot work.
pub(super) fn check(cx: &Context, args: &CheckArgs) -> Result<u8, Failure> {
    let project = project::open(&cx.global)?;
    let works = work::select(&project, &args.names, &cx.printer, true)?;
    // A database that several pipelines share is asked once.
    let mut probed: Vec<(ConnectionUrl, bool)> = Vec::new();
    let all = works.len();
    // One line has nothing to be aligned with.
    let widest = works.iter().map(|work| work.name.chars().count()).max().filter(|_| all > 1);
    let (mut errors, mut warnings) = (0, 0);
    for work in works {
        let report = match work.pipeline {
            Ok(pipeline) => examine(&pipeline, &mut probed, &cx.stop),
            Err(error) => refused(work.name, error),
        };
        errors += report.errors.len();
        warnings += report.warnings.len() + report.doubts.len();
        if cx.printer.json() {
            cx.printer.object(&object(&report))?;
        } else {
            cx.printer.text(&text(&report, widest))?;
        }
    }
    for message in untold(&project) {
        warnings += 1;
        cx.printer.warning_with(
            &message,
            "set it where `floodmark serve` and `floodmark run` are started; loads go on without",
        );
    }
    if !cx.printer.json() {
        let counts = [(all, "pipeline"), (errors, "error"), (warnings, "warning")];
        let [all, errors, warnings] = counts.map(|(n, word)| terminal::count(n as u64, word));
        cx.printer.text(&format!("\n{all} checked: {errors}, {warnings}\n"))?;
    }
    Ok(if errors == 0 { 0 } else { 2 })
}

/// Who cannot be told of anything, as something is missing here.
fn untold(project: &Project) -> Vec<String> {
    let alerts = project.alerts.iter().filter_map(|channel| {
        let why = channel.unready()?;
        Some(format!("alerts to {:?} cannot be sent from here: {why}", channel.name))
    });
    let endpoint = project.lineage.iter().filter_map(|lineage| lineage.endpoint.as_ref());
    let lineage = endpoint.filter_map(|endpoint| endpoint.ready().err());
    alerts.chain(lineage.map(|why| format!("`lineage` cannot be posted from here: {why}"))).collect()
}

/// A table of a family that cannot be a pipeline, or a family that cannot tell its tables.
fn refused(name: String, error: Error) -> Report {
    let (doubts, warnings) = (Vec::new(), Vec::new());
    Report { name, table: None, reachable: true, found: Found::Nothing, errors: vec![error], doubts, warnings }
}

fn examine(pipeline: &Pipeline, probed: &mut Vec<(ConnectionUrl, bool)>, stop: &Stop) -> Report {
    let mut errors = Vec::new();
    let url = &pipeline.destination.url;
    let reachable = probed.iter().find(|(u, _)| u == url).map(|(_, answer)| *answer).unwrap_or_else(|| {
        let answer = registry::destination(url).and_then(|d| d.probe());
        probed.push((url.clone(), answer.is_ok()));
        answer.map_err(|e| errors.push(e)).is_ok()
    });
    let mut doubts = Vec::new();
    let (found, result) = sources(pipeline, stop);
    match result {
        Ok(findings) => {
            for finding in findings {
                if finding.certain { errors.push(finding.error) } else { doubts.push(finding.error) }
            }
        }
        Err(error) => errors.push(error),
    }
    let (name, table) = (pipeline.name.clone(), Some(pipeline.destination.table.clone()));
    Report { name, table, reachable, found, errors, doubts, warnings: lint(pipeline) }
}

/// What there is to read, and what of it a run would stop at.
fn sources(pipeline: &Pipeline, stop: &Stop) -> (Found, Result<Vec<Finding>>) {
    if pipeline.source.reads_stdin() {
        return (Found::StandardInput, Ok(Vec::new()));
    }
    let listed = registry::source(&pipeline.source).and_then(|source| Ok((source.slices(stop)?.len(), source)));
    match listed {
        Ok((files, source)) => {
            let found = match &pipeline.source {
                SourceSpec::Files(_) => Found::Files(files),
                SourceSpec::Database(database) => Found::Relation(database.relation.described()),
                SourceSpec::Handed(name) => Found::Relation(name.clone()),
            };
            (found, inspect::source(pipeline, source.as_ref(), stop))
        }
        Err(error) => (Found::Nothing, Err(error)),
    }
}

fn status(report: &Report) -> &'static str {
    if report.reachable && report.errors.is_empty() { "ok" } else { "failed" }
}

fn object(report: &Report) -> Value {
    let warning = |l: &Lint| json!({"rule": l.name, "message": l.message, "reason": l.reason, "help": l.remedy});
    let doubt = |e: &Error| json!({"rule": "columns", "message": e.message(), "reason": e.code().title(), "help": e.advice().join("; ")});
    let warnings = report.doubts.iter().map(doubt).chain(report.warnings.iter().map(warning));
    json!({
        "pipeline": report.name,
        "status": status(report),
        "files": if let Found::Files(n) = report.found { Some(n) } else { None },
        "errors": report.errors.iter().map(json::error).collect::<Vec<_>>(),
        "warnings": warnings.collect::<Vec<_>>(),
    })
}

/// `widest`: characters of the longest name that stands in the same place.
fn text(report: &Report, widest: Option<usize>) -> String {
    let found = match &report.found {
        Found::Files(n) => terminal::count(*n as u64, "file"),
        Found::Relation(what) => terminal::clean(what),
        Found::StandardInput => "standard input".into(),
        Found::Nothing => "nothing to read".into(),
    };
    let into = report.table.as_ref().map(|table| format!("  {found} → {}", terminal::clean(table))).unwrap_or_default();
    let gap = widest.map_or(0, |widest| widest.saturating_sub(report.name.chars().count()));
    let status = format!("{:<1$}", status(report), if widest.is_some() { "failed".len() } else { 0 });
    let line = format!("{}{:gap$}  {status}{into}", terminal::title(&report.name), "");
    let mut out = format!("{}\n", line.trim_end());
    for e in &report.errors {
        out.push_str(&indent(&error::text(None, e)));
    }
    if !report.reachable && report.errors.is_empty() {
        out.push_str("  its destination cannot be used, as said above\n");
    }
    for doubt in &report.doubts {
        out.push_str(&indent(&terminal::warning(&doubt.to_string())));
        for help in doubt.advice() {
            out.push_str(&format!("    help: {}\n", terminal::clean(help)));
        }
    }
    for lint in &report.warnings {
        let text = format!("{}: {}", lint.message, lint.reason);
        out.push_str(&indent(&terminal::warning(&text)));
        out.push_str(&format!("    help: {}\n", lint.remedy));
    }
    out
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
