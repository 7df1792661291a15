//! What pages have in common: pipelines, runs and work as they show them.

use crate::{
    Program,
    board::{Board, Entry},
    due::{Due, How},
    facts::{self, Known},
    http::view::{self, JobView},
    page::{
        self,
        view::{Card, Ended, Job, Mark, Next, Past, RunLine, Standing, Trouble, Undone},
    },
    work::{self, Stage, Task},
};
use chrono::{DateTime, Utc};
use floodmark_core::{Code, Counts, state::RunRecord};
use serde_json::Value;
use std::time::Duration;

/// Runs that a small picture is of.
const PAST: usize = 24;
/// What to do is told in so many points where there is little room; the page of the error has all.
const HELP: usize = 2;

/// A pipeline.
pub(super) fn card(board: &Board, entry: &Entry, program: &dyn Program, now: DateTime<Utc>) -> Card {
    let told = view::pipeline(board, entry, now);
    let unread = Known::default();
    let known = entry.known.as_ref().unwrap_or(&unread);
    let standing = standing(told.status);
    let next = match (told.paused_since, told.next_run) {
        (Some(at), _) => Next::Paused(at.0),
        (None, Some(at)) => Next::At(at.0),
        (None, None) if told.schedule.is_none() && !told.after.is_empty() => Next::After(told.after),
        (None, None) => Next::Asked,
    };
    let mark = known.watermark.as_ref().map(|mark| Mark {
        column: mark.column.clone(),
        value: mark.value.to_string(),
        until: known.loaded_until(),
    });
    let troubled = matches!(standing, Standing::Failed | Standing::Broken | Standing::Unknown);
    let trouble = told.message.as_deref().filter(|_| troubled);
    Card {
        trouble: trouble.map(|message| trouble_of(board, entry, known, standing, message, program)),
        standing,
        mark,
        freshness: told.freshness.map(Duration::from_secs_f64),
        late: told.late,
        last: known.last().map(|run| line(board, run)),
        last_good: known.well(),
        next,
        past: known.runs.iter().take(PAST).rev().map(|run| past(board, run)).collect(),
        rejects: told.rejects as u64,
        jobs: unfinished(board, Some(&told.name)).into_iter().map(job).collect(),
        undone: undone(board, &told.name, known, program),
        name: told.name,
        family: told.family,
        source: told.source,
        table: told.table,
    }
}

/// The newest backfill that this server did, where not all of it is in; what a person ended is as they want it.
fn undone(board: &Board, name: &str, known: &Known, program: &dyn Program) -> Option<Undone> {
    let is = |job: &&work::Job| job.pipeline == name && matches!(job.task, Task::Backfill { .. });
    let job = board.jobs.values().filter(is).max_by_key(|job| job.since)?;
    let (end, ended) = (job.end()?, job.ended?);
    let how = match end {
        work::End::Stopped => "was stopped",
        _ if end.is_failure() || end == work::End::Refused => "failed",
        _ => return None,
    };
    // Somebody else may have done it since.
    let done = |run: &RunRecord| run.status == "ok" && run.started_at >= ended && known.filled.contains(&run.run);
    if known.runs.iter().any(done) {
        return None;
    }
    // Its line in the ledger says more than its process: where the value stands that it failed over.
    let line = known.runs.iter().find(|run| job.run.as_ref() == Some(&run.run)).and_then(|run| run.error.clone());
    let message = line.or_else(|| job.message.clone()).unwrap_or_else(|| end.name().to_owned());
    Some(Undone { id: job.id.clone(), task: task(&job.task), how, trouble: trouble(&message, Some(job), program) })
}

fn standing(status: &str) -> Standing {
    match status {
        "failed" => Standing::Failed,
        "broken" => Standing::Broken,
        "unknown" => Standing::Unknown,
        "late" => Standing::Late,
        "running" => Standing::Running,
        "waiting" => Standing::Waiting,
        "new" => Standing::New,
        "paused" => Standing::Paused,
        _ => Standing::Ok,
    }
}

/// Why a pipeline is not well.
fn trouble_of(
    board: &Board,
    entry: &Entry,
    known: &Known,
    standing: Standing,
    message: &str,
    program: &dyn Program,
) -> Trouble {
    if standing != Standing::Failed {
        return Trouble::told(message);
    }
    let run = known.last().map(|run| run.run.as_str());
    let is = |job: &&work::Job| {
        let same = job.run.is_some() && job.run.as_deref() == run || job.message.as_deref() == Some(message);
        job.pipeline == entry.declared.name && job.end().is_some() && same
    };
    let job = board.jobs.values().filter(is).max_by_key(|job| job.ended);
    let mut trouble = trouble(message, job, program);
    trouble.help.truncate(HELP);
    // The oldest of the failures since the last good run.
    let failures = known.ran.iter().take_while(|ran| ran.how != How::Well);
    trouble.since = failures.last().map(|ran| ran.ended).or_else(|| entry.kept.tries.map(|tries| tries.last));
    if let Some(Due::Later { at, again: true }) = entry.next.filter(|_| entry.kept.paused.is_none()) {
        trouble.again = Some(at);
    }
    trouble
}

/// A failure in full: what its process said of the data and of what to do, or else what its code's page says.
pub(super) fn trouble(message: &str, job: Option<&work::Job>, program: &dyn Program) -> Trouble {
    let mut trouble = Trouble::told(message);
    let error = job.and_then(|job| job.result.as_ref()).map(|result| &result["error"]).filter(|e| e.is_object());
    if let Some(error) = error {
        trouble.state = error["state"].as_str().map(str::to_owned);
        let help = error["help"].as_array().into_iter().flatten();
        trouble.help = help.filter_map(Value::as_str).map(str::to_owned).collect();
        return trouble;
    }
    let code = trouble.code.as_deref().and_then(Code::parse);
    if let Some(text) = code.and_then(|code| program.page(code)) {
        trouble.state = page::section(text, "What state your data is in").into_iter().next();
        trouble.help = page::section(text, "What to do");
    }
    trouble
}

/// A run of a ledger. What a piece of work still adds to has not ended.
pub(super) fn line(board: &Board, run: &RunRecord) -> RunLine {
    let goes_on = is_running(board, &run.run);
    RunLine {
        id: run.run.clone(),
        ended: if goes_on { Ended::Running } else { Ended::parse(&run.status) },
        load: load(board, run),
        began: run.started_at,
        over: run.finished_at.filter(|_| !goes_on),
        rows: run.counts,
        mark: run.watermark.as_ref().and_then(|mark| mark.after.clone()),
        trouble: run.error.as_deref().filter(|_| !goes_on).map(Trouble::told),
    }
}

/// A piece of work that is no run of a ledger, or not yet.
pub(super) fn line_of_job(job: &work::Job) -> RunLine {
    let ended = match &job.stage {
        Stage::Waiting(_) => Ended::Waiting,
        Stage::Running | Stage::Ending { .. } => Ended::Running,
        Stage::Ended(work::End::Ok) => Ended::Done,
        Stage::Ended(end) => Ended::parse(end.name()),
    };
    RunLine {
        id: job.run.clone().unwrap_or_else(|| job.id.clone()),
        ended,
        load: task(&job.task),
        began: job.began.unwrap_or(job.since),
        over: job.ended,
        rows: job.progress.counts.unwrap_or_default(),
        mark: None,
        trouble: None,
    }
}

fn is_running(board: &Board, run: &str) -> bool {
    board.jobs.values().any(|job| job.is_running() && job.run.as_deref() == Some(run))
}

/// The load strategy, or what else a run did.
fn load(board: &Board, run: &RunRecord) -> String {
    if is_backfill(board, run) { "backfill".to_owned() } else { run.load.clone() }
}

pub(super) fn is_backfill(board: &Board, run: &RunRecord) -> bool {
    let known = board.entry(&run.pipeline).and_then(|entry| entry.known.as_ref());
    facts::is_backfill(run) || known.is_some_and(|known| known.filled.contains(&run.run))
}

fn past(board: &Board, run: &RunRecord) -> Past {
    let Counts { inserted, updated, deleted, removed, .. } = run.counts;
    let line = line(board, run);
    Past {
        ended: line.ended,
        rows: inserted + updated + deleted + removed,
        seconds: line.over.map_or(0.0, |over| (over - line.began).as_seconds_f64()),
    }
}

/// Work that waits or goes on, of one pipeline or of all; what goes on comes first.
pub(super) fn unfinished<'a>(board: &'a Board, pipeline: Option<&str>) -> Vec<&'a work::Job> {
    let of = |job: &&work::Job| job.end().is_none() && pipeline.is_none_or(|name| job.pipeline == name);
    let mut jobs: Vec<&work::Job> = board.jobs.values().filter(of).collect();
    jobs.sort_by_key(|job| (job.is_waiting(), job.since));
    jobs
}

/// Work that waits or goes on.
pub(super) fn job(job: &work::Job) -> Job {
    Job {
        id: job.id.clone(),
        task: task(&job.task),
        runs: job.is_running(),
        ending: matches!(job.stage, Stage::Ending { .. }),
        waits: JobView::from(job).message.filter(|_| job.is_waiting()),
        began: job.began,
        phase: job.progress.phase.clone(),
        done: job.progress.done,
        all: job.progress.all,
        unit: if job.progress.unit.is_empty() { "rows" } else { job.progress.unit }.to_owned(),
    }
}

/// What is to be done, in a few words.
pub(super) fn task(task: &Task) -> String {
    match task {
        Task::Run {} => "run".into(),
        Task::FullRefresh {} => "full refresh".into(),
        Task::Plan {} => "plan".into(),
        Task::Backfill { from: Some(from), to: Some(to), by, missing } => {
            let what = if *missing { "backfill of what is missing" } else { "backfill" };
            let by = by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            format!("{what} from {from} to {to}{by}")
        }
        Task::Backfill { .. } => "backfill of what is missing".into(),
        Task::Verify {} => "verify".into(),
        Task::Repair {} => "verify and repair".into(),
        Task::Replay {} => "replay of rejects".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Declarations,
        board::Limits,
        work::{Cause, End, Progress},
    };
    use floodmark_core::commits::Commits;
    use serde_json::json;
    use std::{collections::VecDeque, path::Path, process::Command};

    struct Pages;

    impl Program for Pages {
        fn file(&self) -> &Path {
            Path::new("floodmark.yaml")
        }

        fn declared(&self) -> Result<Declarations, String> {
            Ok(Declarations { pipelines: Vec::new(), alerts: Vec::new() })
        }

        fn command(&self, _file: &Path, _arguments: &[String]) -> Command {
            Command::new("false")
        }

        fn page(&self, _code: Code) -> Option<&'static str> {
            Some(
                "# FM0301: x\n\n## What state your data is in\n\nAs before.\n\n## What to do\n\n- mend it\n- run again\n",
            )
        }
    }

    fn ended(result: Value) -> work::Job {
        let now = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
        work::Job {
            id: "job".into(),
            pipeline: "orders".into(),
            task: Task::Run {},
            cause: Cause::Asked,
            attempt: 1,
            since: now,
            began: Some(now),
            ended: Some(now),
            stage: Stage::Ended(End::Failed),
            run: Some("run".into()),
            basis: None,
            progress: Progress::default(),
            events: VecDeque::new(),
            told: 0,
            result: Some(result),
            message: None,
        }
    }

    #[test]
    fn a_failure_is_told_by_its_process_or_else_by_the_page_of_its_code() {
        let job = ended(json!({ "error": { "state": "nothing was written", "help": ["say `quote:`"] } }));
        let told = trouble("FM0301 a value", Some(&job), &Pages);
        assert_eq!((told.code.as_deref(), told.what.as_str()), (Some("FM0301"), "a value"));
        assert_eq!((told.state.as_deref(), told.help), (Some("nothing was written"), vec!["say `quote:`".to_owned()]));
        // A run of somebody else left its line in the ledger alone.
        for job in [None, Some(ended(json!({ "status": "ok" })))] {
            let told = trouble("FM0301 a value", job.as_ref(), &Pages);
            assert_eq!((told.state.as_deref(), told.help.len()), (Some("As before."), 2));
        }
        let told = trouble("its process was killed", None, &Pages);
        assert_eq!((told.code, told.state, told.help.len()), (None, None, 0));
    }

    #[test]
    fn what_a_process_wrote_down_counts_when_it_has_ended() {
        let now = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
        let record = RunRecord {
            run: "run".into(),
            pipeline: "orders".into(),
            status: "interrupted".into(),
            load: "upsert".into(),
            started_at: now,
            finished_at: Some(now),
            counts: Counts::default(),
            watermark: None,
            error: Some("FM0602 interrupted by signal 15".into()),
            commits: Commits::default(),
        };
        let mut board = Board::new(Limits { jobs: 1, grace: Duration::ZERO }, now);
        board.jobs.insert("job".into(), work::Job { stage: Stage::Running, ..ended(Value::Null) });
        let told = line(&board, &record);
        assert!(told.ended == Ended::Running && told.over.is_none() && told.trouble.is_none(), "{told:?}");
        board.jobs.clear();
        let told = line(&board, &record);
        assert!(told.ended == Ended::Interrupted && told.trouble.is_some(), "{told:?}");
    }

    #[test]
    fn a_backfill_is_told_until_it_or_another_one_is_in() {
        let now = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
        let mut board = Board::new(Limits { jobs: 1, grace: Duration::ZERO }, now);
        let task = Task::Backfill { from: None, to: None, by: None, missing: true };
        let mut told = |end, known: &Known| {
            let job = work::Job { task: task.clone(), stage: Stage::Ended(end), ..ended(Value::Null) };
            board.jobs.insert("job".into(), job);
            undone(&board, "orders", known, &Pages).map(|undone| (undone.how, undone.trouble.what))
        };
        let run = |id: &str, status: &str| RunRecord {
            run: id.into(),
            pipeline: "orders".into(),
            status: status.into(),
            load: "upsert".into(),
            started_at: now,
            finished_at: Some(now),
            counts: Counts::default(),
            watermark: None,
            error: Some("FM0301 a value (a.csv:2)".into()),
            commits: Commits::default(),
        };
        let known = Known::default().with_runs(vec![run("run", "failed")]);
        assert_eq!(told(End::Failed, &known), Some(("failed", "a value (a.csv:2)".into())));
        assert_eq!(told(End::Stopped, &known).map(|(how, _)| how), Some("was stopped"));
        assert_eq!((told(End::Cancelled, &known), told(End::Ok, &known)), (None, None));
        // A run that loads what is new does not fill it; somebody else's backfill does.
        let known = Known::default().with_runs(vec![run("other", "ok"), run("run", "failed")]);
        assert!(told(End::Failed, &known).is_some());
        assert_eq!(told(End::Failed, &known.knowing(["other".to_owned()].into())), None);
    }

    #[test]
    fn every_status_has_a_look_of_its_own() {
        let looks: Vec<Standing> = crate::http::metrics::STATUSES.into_iter().map(standing).collect();
        for (at, look) in looks.iter().enumerate() {
            assert!(!looks[..at].contains(look), "{look:?} is two");
        }
    }
}
