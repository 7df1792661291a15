//! What the API tells, as objects. Keys are part of the interface; those of a run are the ones of `floodmark runs`.

use crate::{
    admit::Hindrance,
    at::At,
    board::{Board, Entry},
    due::Due,
    facts::Known,
    work::{Cause, Job, Said, Stage, Task},
};
use chrono::{DateTime, TimeDelta, Utc};
use floodmark_core::{
    Counts,
    pipeline::SourceSpec,
    state::{Mark, RunRecord, WatermarkMove},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A pipeline.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PipelineView {
    pub(crate) name: String,
    /// The family it is of, or null.
    pub(crate) family: Option<String>,
    /// `ok`, `failed`, `late`, `running`, `waiting`, `paused`, `new` (never run), `broken` (it cannot be run as the file is),
    /// `unknown` (its ledger cannot be read).
    pub(crate) status: &'static str,
    /// Why, in a sentence, where that needs one.
    pub(crate) message: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) destination: Option<String>,
    pub(crate) table: Option<String>,
    pub(crate) load: Option<&'static str>,
    pub(crate) schedule: Option<String>,
    pub(crate) timezone: Option<String>,
    pub(crate) after: Vec<String>,
    /// When it runs next by itself.
    pub(crate) next_run: Option<At>,
    pub(crate) paused_since: Option<At>,
    pub(crate) watermark: Option<WatermarkView>,
    /// The moment up to which rows are loaded, where the watermark is one.
    pub(crate) loaded_until: Option<At>,
    /// `freshness`, in seconds.
    pub(crate) freshness: Option<f64>,
    /// Whether what is loaded is older than that.
    pub(crate) late: bool,
    /// Kept rejects.
    pub(crate) rejects: usize,
    /// The newest run of its ledger that loaded what is new.
    pub(crate) last_run: Option<RunView>,
    /// When its last good run ended.
    pub(crate) last_success: Option<At>,
    /// Work that waits or goes on.
    pub(crate) jobs: Vec<JobView>,
    /// When its ledger was read.
    pub(crate) read_at: Option<At>,
}

/// The watermark as the state has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WatermarkView {
    pub(crate) column: String,
    pub(crate) r#type: String,
    pub(crate) value: String,
}

impl From<&Mark> for WatermarkView {
    fn from(mark: &Mark) -> Self {
        WatermarkView { column: mark.column.clone(), r#type: mark.data_type.to_string(), value: mark.value.to_string() }
    }
}

/// A run of a ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunView {
    pub(crate) pipeline: String,
    pub(crate) run: String,
    /// `ok`, `nothing_new`, `failed`, `interrupted`, `partial`.
    pub(crate) status: String,
    pub(crate) load: String,
    pub(crate) rows: Rows,
    pub(crate) watermark: Option<Move>,
    pub(crate) seconds: Option<f64>,
    pub(crate) started_at: At,
    pub(crate) finished_at: Option<At>,
    pub(crate) error: Option<String>,
}

/// Rows by outcome: what was read (or made of it by a `transform`) is the sum of all but `removed`.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Rows {
    pub(crate) read: u64,
    pub(crate) transformed: Option<u64>,
    pub(crate) skipped: u64,
    pub(crate) rejected: u64,
    pub(crate) superseded: u64,
    pub(crate) stale: u64,
    pub(crate) unchanged: u64,
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
    pub(crate) delete_noop: u64,
    pub(crate) removed: u64,
}

impl From<Counts> for Rows {
    fn from(counts: Counts) -> Self {
        // Every field is named, so that an outcome that is added later is not forgotten here.
        let Counts {
            read,
            transformed,
            skipped,
            rejected,
            superseded,
            stale,
            unchanged,
            inserted,
            updated,
            deleted,
            delete_noop,
            removed,
        } = counts;
        Rows {
            read,
            transformed,
            skipped,
            rejected,
            superseded,
            stale,
            unchanged,
            inserted,
            updated,
            deleted,
            delete_noop,
            removed,
        }
    }
}

impl From<Rows> for Counts {
    fn from(rows: Rows) -> Self {
        let Rows {
            read,
            transformed,
            skipped,
            rejected,
            superseded,
            stale,
            unchanged,
            inserted,
            updated,
            deleted,
            delete_noop,
            removed,
        } = rows;
        Counts {
            read,
            transformed,
            skipped,
            rejected,
            superseded,
            stale,
            unchanged,
            inserted,
            updated,
            deleted,
            delete_noop,
            removed,
        }
    }
}

/// How a watermark moved, the values as text.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Move {
    pub(crate) column: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

impl From<&WatermarkMove> for Move {
    fn from(moved: &WatermarkMove) -> Self {
        Move { column: moved.column.clone(), before: moved.before.clone(), after: moved.after.clone() }
    }
}

/// A piece of work of this server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobView {
    pub(crate) id: String,
    pub(crate) pipeline: String,
    pub(crate) task: Task,
    /// `schedule`, `after` or `asked`, with the time it was due.
    pub(crate) cause: Cause,
    pub(crate) attempt: u64,
    /// `waiting`, `running`, `ending`, or how it ended: `ok`, `nothing_new`, `differences`, `failed`, `refused`, `busy`,
    /// `cancelled`, `timed_out`, `stopped`.
    pub(crate) status: &'static str,
    /// What it waits for, or why it failed.
    pub(crate) message: Option<String>,
    pub(crate) since: At,
    pub(crate) started_at: Option<At>,
    pub(crate) finished_at: Option<At>,
    /// Its run in the ledger, once that is known.
    pub(crate) run: Option<String>,
    pub(crate) progress: Option<ProgressView>,
    /// What it printed, once it has ended.
    pub(crate) result: Option<Value>,
}

/// How far it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProgressView {
    pub(crate) phase: String,
    pub(crate) done: u64,
    pub(crate) all: Option<u64>,
    /// `rows` or `intervals`.
    pub(crate) unit: &'static str,
}

/// Something that a piece of work told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventView {
    pub(crate) number: u64,
    pub(crate) at: At,
    pub(crate) event: Value,
}

impl From<&Said> for EventView {
    fn from(said: &Said) -> Self {
        EventView { number: said.number, at: At(said.at), event: said.event.clone() }
    }
}

impl From<&RunRecord> for RunView {
    fn from(run: &RunRecord) -> Self {
        RunView {
            pipeline: run.pipeline.clone(),
            run: run.run.clone(),
            status: run.status.clone(),
            load: run.load.clone(),
            rows: run.counts.into(),
            watermark: run.watermark.as_ref().map(Move::from),
            seconds: run.finished_at.map(|end| seconds(end - run.started_at)),
            started_at: At(run.started_at),
            finished_at: run.finished_at.map(At),
            error: run.error.clone(),
        }
    }
}

/// Where a piece of work stands, in a word.
pub(crate) fn job_status(job: &Job) -> &'static str {
    match &job.stage {
        Stage::Waiting(_) => "waiting",
        Stage::Running => "running",
        Stage::Ending { .. } => "ending",
        Stage::Ended(end) => end.name(),
    }
}

impl From<&Job> for JobView {
    fn from(job: &Job) -> Self {
        let waits = if let Stage::Waiting(Some(hindrance)) = &job.stage { Some(waits_for(hindrance)) } else { None };
        let progress = job.is_running().then(|| ProgressView {
            phase: job.progress.phase.clone(),
            done: job.progress.done,
            all: job.progress.all,
            unit: if job.progress.unit.is_empty() { "rows" } else { job.progress.unit },
        });
        JobView {
            id: job.id.clone(),
            pipeline: job.pipeline.clone(),
            task: job.task.clone(),
            cause: job.cause.clone(),
            attempt: job.attempt,
            status: job_status(job),
            message: waits.or_else(|| job.message.clone()),
            since: At(job.since),
            started_at: job.began.map(At),
            finished_at: job.ended.map(At),
            run: job.run.clone(),
            progress,
            result: job.result.clone(),
        }
    }
}

/// What it waits for, in a sentence.
fn waits_for(hindrance: &Hindrance) -> String {
    match hindrance {
        Hindrance::Full => "as many runs as may go on at a time do".into(),
        Hindrance::Own => "a run of this pipeline goes on".into(),
        Hindrance::Pending(other) => format!("{other} comes first, and is being loaded"),
        Hindrance::Bad(other) => format!("{other} comes first, and its last run did not end well"),
        Hindrance::Database => "its database is open in another process".into(),
        Hindrance::Unread => "its database cannot be reached, and runs of others of which that is so go on".into(),
        Hindrance::Held(_) => "another run holds the pipeline".into(),
    }
}

/// To the millisecond, rounded as the command line does: a server's ledger has microseconds.
fn seconds(time: TimeDelta) -> f64 {
    (time.as_seconds_f64().max(0.0) * 1000.0).round() / 1000.0
}

/// A pipeline as the board has it.
pub(crate) fn pipeline(board: &Board, entry: &Entry, now: DateTime<Utc>) -> PipelineView {
    let unread = Known::default();
    let known = entry.known.as_ref().unwrap_or(&unread);
    let pipeline = entry.declared.pipeline.as_ref().ok();
    let service = pipeline.map(|pipeline| &pipeline.service);
    let mut jobs: Vec<&Job> =
        board.jobs.values().filter(|job| job.pipeline == entry.declared.name && job.end().is_none()).collect();
    jobs.sort_by_key(|job| (job.is_waiting(), job.since));
    let freshness = service.and_then(|service| service.freshness);
    let late = freshness.is_some_and(|freshness| {
        let at = known.loaded_until().or_else(|| known.well());
        at.is_some_and(|at| (now - at).to_std().is_ok_and(|age| age > freshness))
    });
    let last = known.last();
    let (status, message) = status(board, entry, known, &jobs, late);
    let due = if entry.kept.paused.is_some() { None } else { entry.next };
    let next_run = match due {
        Some(Due::Later { at, .. }) => Some(at),
        Some(Due::Now { .. }) => Some(now),
        _ => None,
    };
    PipelineView {
        name: entry.declared.name.clone(),
        family: entry.declared.family.clone(),
        status,
        message,
        source: pipeline.map(|pipeline| source(&pipeline.source)),
        destination: pipeline.map(|pipeline| pipeline.destination.url.to_string()),
        table: pipeline.map(|pipeline| pipeline.destination.table.clone()),
        load: pipeline.map(|pipeline| pipeline.load.name()),
        schedule: service.and_then(|service| service.schedule.clone()),
        timezone: pipeline.filter(|p| p.service.schedule.is_some()).map(|p| p.timezone.name().to_owned()),
        after: service.map(|service| service.after.clone()).unwrap_or_default(),
        next_run: next_run.map(At),
        paused_since: entry.kept.paused.map(At),
        watermark: known.watermark.as_ref().map(WatermarkView::from),
        loaded_until: known.loaded_until().map(At),
        freshness: freshness.map(|freshness| freshness.as_secs_f64()),
        late,
        rejects: known.rejects,
        last_run: last.map(RunView::from),
        last_success: known.well().map(At),
        jobs: jobs.into_iter().map(JobView::from).collect(),
        read_at: known.read_at.map(At),
    }
}

/// Where rows come from, in few words, without a secret.
fn source(spec: &SourceSpec) -> String {
    match spec {
        SourceSpec::Files(files) => files.patterns.join(", "),
        SourceSpec::Database(database) => format!("{} of {}", database.relation.described(), database.url),
        SourceSpec::Handed(name) => name.clone(),
    }
}

fn status(board: &Board, entry: &Entry, known: &Known, jobs: &[&Job], late: bool) -> (&'static str, Option<String>) {
    if let Err(why) = &entry.declared.pipeline {
        return ("broken", Some(why.clone()));
    }
    if jobs.iter().any(|job| job.is_running()) {
        return ("running", None);
    }
    if let Some(error) = &known.error {
        return ("unknown", Some(error.clone()));
    }
    let last = known.last();
    let failed = last.filter(|run| run.status == "failed").map(|run| run.error.clone());
    // A process that died left no line.
    let died = entry.kept.tries.filter(|tries| last.is_none_or(|run| run.started_at < tries.last));
    if let Some(error) = failed {
        return ("failed", error);
    }
    if died.is_some() {
        let own = board.jobs.values().filter(|job| job.pipeline == entry.declared.name && job.cause.tick().is_some());
        let last = own.filter(|job| job.end().is_some()).max_by_key(|job| job.ended);
        let told = last.and_then(|job| job.message.clone());
        return ("failed", Some(told.unwrap_or_else(|| "its process ended without a word in the ledger".into())));
    }
    if let Some(run) = last.filter(|run| matches!(run.status.as_str(), "interrupted" | "partial")) {
        return ("failed", Some(run.error.clone().unwrap_or_else(|| "its last run broke off".into())));
    }
    if late {
        return ("late", Some("what is loaded is older than `freshness`".into()));
    }
    if entry.kept.paused.is_some() {
        return ("paused", None);
    }
    if let Some(job) = jobs.iter().find(|job| job.is_waiting()) {
        return ("waiting", JobView::from(*job).message);
    }
    if last.is_none() { ("new", None) } else { ("ok", None) }
}
