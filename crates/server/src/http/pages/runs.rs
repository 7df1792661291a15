//! All runs, newest first.

use super::{Asked, Shell, When, class, link, rendered, word};
use crate::{
    http::{
        App,
        view::{JobView, RunView},
        words,
    },
    work::{Cause, Task},
};
use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use chrono::{DateTime, TimeDelta, Utc};

/// Runs on the page.
const MOST: usize = 200;

#[derive(Template)]
#[template(path = "runs.html")]
struct Runs {
    shell: Shell,
    jobs: Vec<Work>,
    runs: Vec<Line>,
}

/// A piece of work that is not over.
pub(super) struct Work {
    pub(super) id: String,
    pub(super) pipeline: String,
    pub(super) title: String,
    pub(super) state: String,
    pub(super) running: bool,
    pub(super) done: u64,
    pub(super) all: Option<u64>,
    pub(super) cancel: String,
}

/// A run in a list.
pub(super) struct Line {
    pub(super) id: String,
    pub(super) pipeline: String,
    pub(super) link: String,
    pub(super) at: When,
    pub(super) class: &'static str,
    pub(super) outcome: String,
    pub(super) error: Option<String>,
    pub(super) read: String,
    pub(super) took: String,
}

impl Line {
    pub(super) fn new(run: &RunView, now: DateTime<Utc>) -> Line {
        let outcome = match run.status.as_str() {
            "ok" if run.load == "repair" => format!("repaired: {}", words::outcome(&run.rows.into())),
            "ok" => words::outcome(&run.rows.into()),
            other => word(other).to_owned(),
        };
        Line {
            id: run.run.clone(),
            pipeline: run.pipeline.clone(),
            link: link(&run.pipeline),
            at: When::new(run.started_at.0, now),
            class: class(&run.status),
            outcome,
            error: run.error.clone(),
            read: words::number(run.rows.read),
            took: run.seconds.map_or(String::new(), |s| words::took(TimeDelta::milliseconds((s * 1000.0) as i64))),
        }
    }
}

/// What a piece of work is, in words.
pub(super) fn title(task: &Task) -> String {
    match task {
        Task::Run {} => "Run".into(),
        Task::FullRefresh {} => "Full refresh".into(),
        Task::Plan {} => "Plan".into(),
        Task::Backfill { from: Some(from), to: Some(to), .. } => format!("Backfill {from} … {to}"),
        Task::Backfill { .. } => "Backfill of what is missing".into(),
        Task::Verify {} => "Verify".into(),
        Task::Repair {} => "Repair".into(),
        Task::Replay {} => "Replay of rejected rows".into(),
    }
}

/// Why it is done, and as what attempt.
pub(super) fn cause(job: &JobView) -> String {
    let cause = match job.cause {
        Cause::Schedule { tick } => format!("by schedule, due {}", words::minute(tick.0)),
        Cause::After { tick } => format!("after others, loaded {}", words::minute(tick.0)),
        Cause::Asked => "asked for".into(),
    };
    if job.attempt > 1 { format!("{cause}, attempt {}", job.attempt) } else { cause }
}

impl From<&JobView> for Work {
    fn from(job: &JobView) -> Self {
        let progress = job.progress.as_ref();
        let state = match (job.status, progress) {
            ("waiting", _) => format!("waits: {}", job.message.as_deref().unwrap_or("about to begin")),
            (_, Some(progress)) if progress.done > 0 => {
                format!("{}: {} {}", progress.phase, words::number(progress.done), progress.unit)
            }
            (_, Some(progress)) if !progress.phase.is_empty() => progress.phase.clone(),
            (status, _) => status.to_owned(),
        };
        Work {
            id: job.id.clone(),
            pipeline: job.pipeline.clone(),
            title: title(&job.task),
            state: format!("{state} · {}", cause(job)),
            running: progress.is_some(),
            done: progress.map_or(0, |progress| progress.done),
            all: progress.and_then(|progress| progress.all),
            cancel: format!("/jobs/{}/cancel", job.id),
        }
    }
}

pub(super) async fn page(State(app): State<App>, Query(told): Asked) -> Response {
    let shell = Shell::new(&app, "runs", &told);
    let now = app.shared.clock.now();
    let page = {
        let board = app.shared.board();
        let mut runs: Vec<_> =
            board.entries.iter().filter_map(|entry| entry.known.as_ref()).flat_map(|known| &known.runs).collect();
        runs.sort_by(|a, b| b.started_at.cmp(&a.started_at).then_with(|| b.run.cmp(&a.run)));
        runs.truncate(MOST);
        let mut jobs: Vec<_> = board.jobs.values().filter(|job| job.end().is_none()).collect();
        jobs.sort_by_key(|job| (job.is_waiting(), job.since));
        Runs {
            shell,
            jobs: jobs.into_iter().map(|job| Work::from(&JobView::from(job))).collect(),
            runs: runs.into_iter().map(|run| Line::new(&RunView::from(run), now)).collect(),
        }
    };
    rendered(&page)
}
