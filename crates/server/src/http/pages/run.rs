//! A run: how far it is, what became of its rows, why it failed and what to do. Of a ledger, or of work that goes on.

use super::{
    Asked, Shell, class, link, message, rendered,
    runs::{cause, title},
    word,
};
use crate::{
    http::{
        App, books, chart,
        view::{EventView, JobView, RunView},
        words,
    },
    work::Job,
};
use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::Response,
};
use chrono::TimeDelta;
use floodmark_core::{Code, Counts, state::RunRecord, wording};

#[derive(Template)]
#[template(path = "run.html")]
struct Page {
    shell: Shell,
    title: String,
    pipeline: String,
    base: String,
    status: &'static str,
    word: String,
    acts: Vec<(String, &'static str, &'static str)>,
    /// The work that goes on.
    live: Option<String>,
    phase: String,
    all: Option<u64>,
    done: u64,
    error: Option<Failure>,
    message: Option<String>,
    facts: Vec<(&'static str, String)>,
    flow: Option<String>,
    removed: u64,
    commits: Vec<Commit>,
    printed: Option<String>,
    events: Vec<(String, String)>,
}

/// Why it failed, with the code's page.
struct Failure {
    code: String,
    title: String,
    text: String,
    page: Vec<(String, Vec<String>)>,
}

struct Commit {
    at: String,
    outcome: String,
    read: String,
    watermark: String,
}

pub(super) async fn of_run(State(app): State<App>, Path(id): Path<String>, Query(told): Asked) -> Response {
    let record = match books::run(&app, &id).await {
        Ok(Some(record)) => record,
        Ok(None) => return message(&app, StatusCode::NOT_FOUND, "There is no such run", &id),
        Err(error) => return message(&app, StatusCode::BAD_GATEWAY, "The ledger cannot be read", &error.to_string()),
    };
    let job = app.shared.board().jobs.values().find(|job| job.run.as_deref() == Some(id.as_str())).cloned();
    rendered(&made(&app, Some(&record), job.as_ref(), Shell::new(&app, "runs", &told)))
}

pub(super) async fn of_job(State(app): State<App>, Path(id): Path<String>, Query(told): Asked) -> Response {
    let job = app.shared.board().jobs.get(&id).cloned();
    let Some(job) = job else { return message(&app, StatusCode::NOT_FOUND, "There is no such work", &id) };
    let record = match &job.run {
        Some(run) => books::run(&app, run).await.unwrap_or_default(),
        None => None,
    };
    rendered(&made(&app, record.as_ref(), Some(&job), Shell::new(&app, "runs", &told)))
}

fn made(app: &App, record: Option<&RunRecord>, job: Option<&Job>, shell: Shell) -> Page {
    let run = record.map(RunView::from);
    let work = job.map(JobView::from);
    let pipeline = record.map(|r| r.pipeline.clone()).or_else(|| job.map(|j| j.pipeline.clone())).unwrap_or_default();
    let live = job.filter(|job| job.end().is_none());
    let over = work.as_ref().filter(|_| live.is_none());
    let status = match (&live, &run, over) {
        (Some(job), _, _) => JobView::from(*job).status,
        (None, _, Some(work)) if !matches!(work.status, "ok" | "nothing_new") => work.status,
        (None, Some(_), _) | (None, None, _) => "",
    };
    let status = match (status, &run, over) {
        ("", Some(run), _) => run.status.clone(),
        ("", None, Some(work)) => work.status.to_owned(),
        (status, _, _) => status.to_owned(),
    };
    let base = link(&pipeline);
    let mut acts = Vec::new();
    match live {
        Some(job) => acts.push((format!("/jobs/{}/cancel", job.id), "Cancel", "")),
        None if class(&status) == "failed" => acts.push((format!("{base}/run"), "Run again", "main")),
        None => {}
    }
    let counts =
        record.map(|record| record.counts).or_else(|| job.and_then(|job| job.progress.counts)).unwrap_or_default();
    let error = record.and_then(|record| record.error.as_deref()).map(|text| failure(app, text));
    let message = work.as_ref().and_then(|work| work.message.clone()).filter(|_| error.is_none());
    let message =
        message.map(|text| if live.is_some_and(Job::is_waiting) { format!("It waits: {text}.") } else { text });
    let progress = work.as_ref().and_then(|work| work.progress.as_ref());
    let look = |status: &str| match status {
        "ok" if counts.changed() => "loaded".to_owned(),
        "ok" => "well".to_owned(),
        other => word(other).to_owned(),
    };
    Page {
        title: job.map_or_else(|| "Run".to_owned(), |job| title(&job.task)),
        status: class(&status),
        word: look(&status),
        acts,
        live: live.map(|job| job.id.clone()),
        phase: progress
            .map(|progress| {
                let done = if progress.done > 0 {
                    format!(": {} {}", words::number(progress.done), progress.unit)
                } else {
                    String::new()
                };
                format!("{}{done}", progress.phase)
            })
            .unwrap_or_default(),
        all: progress.and_then(|progress| progress.all),
        done: progress.map_or(0, |progress| progress.done),
        error,
        message,
        facts: facts(run.as_ref(), work.as_ref(), &counts),
        flow: chart::flow(&counts),
        removed: counts.removed,
        commits: record.map(commits).unwrap_or_default(),
        printed: job.filter(|job| job.end().is_some() && record.is_none()).and_then(printed),
        events: job
            .map(|job| job.events.iter().filter_map(|said| happened(&EventView::from(said))).collect())
            .unwrap_or_default(),
        pipeline,
        base,
        shell,
    }
}

/// What a comparison or a plan printed, but for what a person reads elsewhere on the page.
fn printed(job: &Job) -> Option<String> {
    let result = job.result.as_ref()?;
    serde_json::to_string_pretty(result).ok()
}

fn facts(run: Option<&RunView>, work: Option<&JobView>, counts: &Counts) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(work) = work {
        facts.push(("Why", cause(work)));
    }
    let started = run.map(|run| run.started_at).or_else(|| work.and_then(|work| work.started_at));
    facts.extend(started.map(|at| ("Started", words::minute(at.0))));
    let took = run.and_then(|run| run.seconds).map(|s| words::took(TimeDelta::milliseconds((s * 1000.0) as i64)));
    let pace = run.and_then(|run| run.seconds).filter(|s| *s > 0.0 && counts.read > 0);
    let pace = pace.map(|s| format!(" ({} rows a second)", words::number((counts.read as f64 / s) as u64)));
    facts.extend(took.map(|took| ("Took", format!("{took}{}", pace.unwrap_or_default()))));
    if let Some(mark) = run.and_then(|run| run.watermark.as_ref()) {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
        let moved = if mark.before == mark.after {
            format!("{} stays at {}", mark.column, value(&mark.after))
        } else {
            format!("{} from {} to {}", mark.column, value(&mark.before), value(&mark.after))
        };
        facts.push(("Watermark", moved));
    }
    facts.extend(run.map(|run| ("How", run.load.clone())));
    facts.extend(run.map(|run| ("Run", run.run.clone())));
    facts
}

fn commits(record: &RunRecord) -> Vec<Commit> {
    let entries = record.commits.entries();
    if entries.len() < 2 {
        return Vec::new();
    }
    let told = |entry: &floodmark_core::commits::Committed| Commit {
        at: entry.at.format("%H:%M:%S").to_string(),
        outcome: words::outcome(&entry.counts),
        read: words::number(entry.counts.read),
        watermark: entry.watermark.clone().unwrap_or_default(),
    };
    entries.iter().map(told).collect()
}

/// An error of the ledger: its code, its text, and what the code's page says of it.
fn failure(app: &App, text: &str) -> Failure {
    let (number, rest) = text.split_once(' ').unwrap_or(("", text));
    let Some(code) = Code::parse(number) else {
        return Failure { code: String::new(), title: "It failed".into(), text: text.to_owned(), page: Vec::new() };
    };
    let page = app.shared.program.page(code).map(sections).unwrap_or_default();
    Failure { code: code.number().into(), title: code.title().into(), text: rest.to_owned(), page }
}

/// The sections of an error's page with their paragraphs, without the example.
fn sections(page: &str) -> Vec<(String, Vec<String>)> {
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    let mut fenced = false;
    let mut open = false;
    for line in page.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if let Some(title) = line.strip_prefix("## ").filter(|_| !fenced) {
            out.push((title.to_owned(), Vec::new()));
            open = false;
        } else if let (Some((_, lines)), false) = (out.last_mut(), fenced) {
            let begins = line.starts_with("- ");
            let text = plain(line.trim_start_matches("- ").trim());
            match (text.is_empty(), open && !begins, lines.last_mut()) {
                (true, _, _) => open = false,
                (false, true, Some(last)) => {
                    last.push(' ');
                    last.push_str(&text);
                }
                _ => {
                    lines.push(if begins { format!("• {text}") } else { text });
                    open = true;
                }
            }
        }
    }
    out
}

/// A line of Markdown as text: links by their words.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('[') {
        let link = after.split_once("](").and_then(|(words, after)| Some((words, after.split_once(')')?.1)));
        let Some((words, after)) = link else { break };
        out.push_str(before);
        out.push_str(words);
        rest = after;
    }
    out.push_str(rest);
    out.replace("**", "").replace('`', "")
}

/// An event as a line of text; `None` for what the page shows otherwise.
fn happened(said: &EventView) -> Option<(String, String)> {
    let event = &said.event;
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| words::number(event[name].as_u64().unwrap_or_default());
    let told = match event["kind"].as_str()? {
        "started" => "begun".to_owned(),
        "surveying" => format!("reading types from {} bytes", number("bytes")),
        "planned" => {
            let parts = wording::count(event["slices"].as_u64().unwrap_or_default(), "part");
            let rows = event["rows"].as_u64().map(|rows| format!(", {}", wording::count(rows, "row")));
            format!("{parts} to read{}", rows.unwrap_or_default())
        }
        "intervals" => format!(
            "{} intervals along {}, from {} to {}",
            number("intervals"),
            text("column"),
            text("from"),
            text("to")
        ),
        "committed" => {
            let counts: Counts = serde_json::from_value(event["rows"].clone()).unwrap_or_default();
            format!("committed: {} rows read, {}", words::number(counts.read), words::outcome(&counts))
        }
        "warning" => format!("warning: {}", text("message")),
        "rejected" => format!("first rejected row: {}, line {}: {}", text("file"), number("line"), text("reason")),
        "finished" => "done".to_owned(),
        _ => return None,
    };
    Some((said.at.0.format("%H:%M:%S").to_string(), told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_its_sections_with_their_paragraphs() {
        let page = "# FM0000: x\n\n```text\n## no\n```\n\n## What happened\n\nA `key` of\ntwo [lines](a.md).\n\nMore.\n\n## What to do\n\n- one\n  goes on\n- two\n";
        assert_eq!(
            sections(page),
            [
                ("What happened".into(), vec!["A key of two lines.".into(), "More.".into()]),
                ("What to do".into(), vec!["• one goes on".to_owned(), "• two".into()]),
            ]
        );
    }
}
