//! One run: how far it is, what became of its rows, what each commit brought, what it told, why it failed.

use super::{
    chart::Flow,
    parts::{Act, Badge, Button, Clock, RELOAD, REPAIR, TroubleBox, Work},
    view::{Deed, Ended, Frame, Run, Slice},
    words,
};
use askama::Template;
use chrono::{DateTime, Utc};
use floodmark_core::{
    Counts,
    wording::{count, grouped},
};

/// Lines of each table; the ledger has them all.
const LISTED: usize = 100;
/// Of a run that is over in less a rate says nothing.
const TELLING: f64 = 0.1;

#[derive(Template)]
#[template(path = "page/run.html")]
struct Page<'a> {
    frame: &'a Frame,
    view: &'a Run,
    badge: Badge,
    heading: Heading<'a>,
    began: Clock,
    took: Option<String>,
    pace: Option<String>,
    bytes: Option<String>,
    trouble: Option<TroubleBox<'a>>,
    work: Option<Work<'a>>,
    button: Option<Button<'a>>,
    flow: Option<Flow>,
    commits: Vec<CommitLine<'a>>,
    more_commits: usize,
    slices: Vec<SliceLine<'a>>,
    more_slices: usize,
    events: Vec<(Clock, &'a str, &'a str)>,
    short: String,
}

/// What stands above it all.
struct Heading<'a> {
    before: String,
    name: &'a str,
    after: &'static str,
}

impl<'a> Heading<'a> {
    fn new(view: &'a Run) -> Heading<'a> {
        let name = view.pipeline.as_str();
        let (before, name, after) = match (view.line.ended, view.deed) {
            (Ended::Ok | Ended::NothingNew, _) => (capital(&words::brought(&view.line.rows, view.line.ended)), "", ""),
            (Ended::Done, Deed::Plan) => ("What would be done with".to_owned(), name, ""),
            (Ended::Done, Deed::Verify | Deed::Repair) => ("No difference in".to_owned(), name, ""),
            (Ended::Differences, _) => ("Differences in".to_owned(), name, ""),
            (Ended::Partial, _) => (String::new(), name, "is partly loaded"),
            (ended, deed) => {
                let after = match ended {
                    Ended::Failed => "failed",
                    Ended::Interrupted => "was broken off",
                    Ended::Busy => "was not needed",
                    Ended::Waiting => "has not begun",
                    _ => "",
                };
                (deed.doing().to_owned(), name, after)
            }
        };
        Heading { before, name, after }
    }
}

struct CommitLine<'a> {
    n: usize,
    of: Option<String>,
    at: Clock,
    took: String,
    rows: String,
    brought: String,
    mark: &'a str,
    bytes: String,
}

struct SliceLine<'a> {
    name: &'a str,
    from: &'a str,
    to: &'a str,
    read: String,
    skipped: String,
    rejected: String,
}

fn commits<'a>(view: &'a Run, now: DateTime<Utc>) -> Vec<CommitLine<'a>> {
    let mut before = view.line.began;
    let lines = view.commits.iter().enumerate().map(|(n, commit)| {
        let took = (commit.at - before).as_seconds_f64().max(0.0);
        before = commit.at;
        CommitLine {
            n: n + 1,
            of: (commit.commits > 1).then(|| count(commit.commits, "commit")),
            at: Clock::new(commit.at, now),
            took: words::took(took),
            rows: grouped(commit.rows.read),
            brought: words::brought(&commit.rows, Ended::Ok),
            mark: commit.mark.as_deref().unwrap_or(""),
            bytes: commit.bytes.map(words::bytes).unwrap_or_default(),
        }
    });
    lines.take(LISTED).collect()
}

/// How many a second, where that says something.
fn pace(rows: &Counts, bytes: Option<u64>, seconds: f64) -> Option<String> {
    if seconds < TELLING || rows.read == 0 {
        return None;
    }
    let each = |n: u64| (n as f64 / seconds) as u64;
    let rows = format!("{} rows/s", grouped(each(rows.read)));
    Some(match bytes.filter(|bytes| *bytes > 0) {
        Some(bytes) => format!("{rows}, {}/s", words::bytes(each(bytes))),
        None => rows,
    })
}

/// The page.
pub(crate) fn run<'a>(frame: &'a Frame, view: &'a Run) -> String {
    let now = frame.now;
    let line = &view.line;
    let seconds = line.over.map(|over| (over - line.began).as_seconds_f64());
    let new = |act, label: &str| Button::new(frame, &view.pipeline, act, label);
    // An older run is history: what is to be done now is the pipeline's to say.
    let again = view.job.is_none() && line.ended.is_bad() && view.newer.is_none();
    let button = again.then(|| match view.deed {
        Deed::Load | Deed::Replay => new(Act::Run, "Retry").loud(),
        Deed::Backfill => match &view.again {
            Some(job) => new(Act::Again, "Retry").of(job).loud(),
            // What range somebody else's was of is not known; what it left out is.
            None => new(Act::Missing, "Fill what is missing").loud(),
        },
        Deed::Reload => new(Act::FullRefresh, "Retry").sure(RELOAD).loud(),
        Deed::Plan => new(Act::Plan, "Plan again").loud(),
        Deed::Verify => new(Act::Verify, "Verify again").loud(),
        Deed::Repair => new(Act::Repair, "Repair again").sure(REPAIR).loud(),
    });
    let slice = |slice: &'a Slice| SliceLine {
        name: &slice.name,
        from: slice.from.as_deref().unwrap_or(""),
        to: slice.to.as_deref().unwrap_or(""),
        read: grouped(slice.read),
        skipped: grouped(slice.skipped),
        rejected: grouped(slice.rejected),
    };
    let page = Page {
        frame,
        view,
        badge: line.ended.into(),
        heading: Heading::new(view),
        began: Clock::new(line.began, now),
        took: seconds.map(words::took),
        pace: seconds.and_then(|seconds| pace(&line.rows, view.bytes, seconds)),
        bytes: view.bytes.filter(|bytes| *bytes > 0).map(words::bytes),
        trouble: line.trouble.as_ref().map(|trouble| TroubleBox::new(trouble, false, now)),
        work: view.job.as_ref().map(|job| Work::new(frame, &view.pipeline, job, false)),
        button,
        flow: Flow::new(&line.rows),
        commits: commits(view, now),
        more_commits: view.commits.len().saturating_sub(LISTED),
        slices: view.slices.iter().take(LISTED).map(slice).collect(),
        more_slices: view.slices.len().saturating_sub(LISTED),
        events: view
            .events
            .iter()
            .map(|event| (Clock::new(event.at, now), event.kind.as_str(), event.text.as_str()))
            .collect(),
        short: short(&line.id).to_owned(),
    };
    super::rendered(&page)
}

/// As a heading begins.
fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

/// The end of a run's id: ids begin with the time, and those of a day look alike.
fn short(id: &str) -> &str {
    id.char_indices().rev().nth(7).map_or(id, |(at, _)| &id[at..])
}
