//! A run of a ledger, or a piece of work.

use super::{Asked, fill, frame, message};
use crate::{
    Program,
    board::Board,
    http::{App, books},
    page::{
        self,
        view::{Commit, Deed, Ended, Event, MarkMove, Run, Slice},
    },
    work::{Cause, Job, Said, Task},
};
use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use floodmark_core::{
    Counts,
    commits::{Committed, SliceKind, SliceShare},
    state::{REPAIR, RunRecord},
    wording::{count, grouped},
};
use serde_json::Value;

pub(super) async fn of_run(State(app): State<App>, Path(id): Path<String>, told: Asked) -> Response {
    let record = match books::run(&app, &id).await {
        Ok(Some(record)) => record,
        Ok(None) => return message(&app, StatusCode::NOT_FOUND, &format!("there is no run {id:?}")),
        Err(why) => {
            let (status, text) = why.told();
            return message(&app, status, &text);
        }
    };
    let job = app.shared.board().jobs.values().find(|job| job.run.as_deref() == Some(id.as_str())).cloned();
    answer(&app, Some(&record), job.as_ref(), told)
}

pub(super) async fn of_job(State(app): State<App>, Path(id): Path<String>, told: Asked) -> Response {
    let job = app.shared.board().jobs.get(&id).cloned();
    let Some(job) = job else {
        return message(&app, StatusCode::NOT_FOUND, &format!("there is no work {id:?}"));
    };
    let record = match &job.run {
        Some(run) => books::run(&app, run).await.unwrap_or_default(),
        None => None,
    };
    answer(&app, record.as_ref(), Some(&job), told)
}

fn answer(app: &App, record: Option<&RunRecord>, job: Option<&Job>, Query(told): Asked) -> Response {
    let frame = frame(app, &told);
    let view = made(&app.shared.board(), record, job, app.shared.program.as_ref());
    match view {
        Some(view) => Html(page::run(&frame, &view)).into_response(),
        None => message(app, StatusCode::NOT_FOUND, "there is no such run"),
    }
}

/// `None` where there is neither a run nor work.
fn made(board: &Board, record: Option<&RunRecord>, job: Option<&Job>, program: &dyn Program) -> Option<Run> {
    let mut line = match (record, job) {
        (Some(record), _) => fill::line(board, record),
        (None, job) => fill::line_of_job(job?),
    };
    let pipeline = record.map(|record| &record.pipeline).or(job.map(|job| &job.pipeline))?.clone();
    let live = job.filter(|job| job.end().is_none());
    // What no ledger has, or not yet: rows that a plan counted, and those that are committed so far.
    let counted = job.filter(|_| record.is_none()).and_then(|job| counts(&job.result.as_ref()?["rows"]));
    if let Some(rows) = live.and_then(|job| job.progress.counts).or(counted) {
        line.rows = rows;
    }
    // What went wrong outside of the run is in no ledger; what is in one counts when the process has ended.
    let error = record.and_then(|record| record.error.as_deref()).or(job.and_then(|job| job.message.as_deref()));
    line.trouble = error.filter(|_| live.is_none()).map(|message| fill::trouble(message, job, program));
    let runs = board.entry(&pipeline).and_then(|entry| entry.known.as_ref()).map(|known| known.runs.as_slice());
    let runs = runs.unwrap_or_default();
    let at = record.and_then(|record| runs.iter().position(|run| run.run == record.run));
    let id = |at: usize| runs.get(at).map(|run| run.run.clone());
    Some(Run {
        deed: deed(board, record, job),
        cause: job.map(|job| cause(&job.cause)),
        attempt: job.map_or(1, |job| job.attempt),
        mark: record.and_then(|record| record.watermark.as_ref()).map(|mark| MarkMove {
            column: mark.column.clone(),
            before: mark.before.clone(),
            after: mark.after.clone(),
        }),
        bytes: record.and_then(|record| record.commits.bytes()),
        job: live.map(fill::job),
        again: job.filter(|_| live.is_none()).map(|job| job.id.clone()),
        printed: job.filter(|_| record.is_none() && line.ended != Ended::Running).and_then(printed),
        commits: record.map(|record| record.commits.entries().iter().map(commit).collect()).unwrap_or_default(),
        slices: record.map(|record| slices(record.commits.entries())).unwrap_or_default(),
        events: job.map(|job| job.events.iter().filter_map(event).collect()).unwrap_or_default(),
        older: at.and_then(|at| id(at + 1)),
        newer: at.and_then(|at| id(at.checked_sub(1)?)),
        line,
        pipeline,
    })
}

fn deed(board: &Board, record: Option<&RunRecord>, job: Option<&Job>) -> Deed {
    match (job.map(|job| &job.task), record) {
        (Some(Task::Run {}), _) => Deed::Load,
        (Some(Task::FullRefresh {}), _) => Deed::Reload,
        (Some(Task::Plan {}), _) => Deed::Plan,
        (Some(Task::Backfill { .. }), _) => Deed::Backfill,
        (Some(Task::Verify {}), _) => Deed::Verify,
        (Some(Task::Repair {}), _) => Deed::Repair,
        (Some(Task::Replay {}), _) => Deed::Replay,
        (None, Some(record)) if record.load == REPAIR => Deed::Repair,
        (None, Some(record)) if fill::is_backfill(board, record) => Deed::Backfill,
        (None, _) => Deed::Load,
    }
}

/// Why it is done, behind `because`.
fn cause(cause: &Cause) -> String {
    let at = |tick: &crate::at::At| tick.0.format("%Y-%m-%d %H:%M:%S UTC");
    match cause {
        Cause::Schedule { tick } => format!("its schedule was due at {}", at(tick)),
        Cause::After { tick } => format!("what it follows was loaded at {}", at(tick)),
        Cause::Asked => "somebody asked".to_owned(),
    }
}

fn counts(rows: &Value) -> Option<Counts> {
    serde_json::from_value(rows.clone()).ok()
}

/// What a comparison or a plan printed.
fn printed(job: &Job) -> Option<String> {
    serde_json::to_string_pretty(job.result.as_ref().filter(|result| !result["error"].is_object())?).ok()
}

fn commit(entry: &Committed) -> Commit {
    Commit {
        commits: entry.commits,
        at: entry.at,
        rows: entry.counts,
        mark: entry.watermark.clone(),
        bytes: entry.bytes,
    }
}

/// What was read, each slice once, from the first commit that has some of it to the last.
fn slices(commits: &[Committed]) -> Vec<Slice> {
    let mut out: Vec<(&SliceShare, Slice)> = Vec::new();
    for share in commits.iter().flat_map(|commit| &commit.slices) {
        // Parts of an interval's axis are slices of their own; of a file or table each commit has the next rows.
        let goes_on = |(first, _): &(&SliceShare, Slice)| {
            first.kind == share.kind
                && first.name == share.name
                && first.through == share.through
                && share.kind != SliceKind::Interval
        };
        match out.iter_mut().rev().find(|slice| goes_on(slice)) {
            Some((_, slice)) => {
                slice.to = share.until.clone().or(slice.to.take());
                slice.read += share.read;
                slice.skipped += share.skipped;
                slice.rejected += share.rejected;
            }
            None => out.push((
                share,
                Slice {
                    name: match &share.through {
                        Some(through) => format!("{} … {through}", share.name),
                        None => share.name.clone(),
                    },
                    from: share.from.clone(),
                    to: share.until.clone(),
                    read: share.read,
                    skipped: share.skipped,
                    rejected: share.rejected,
                },
            )),
        }
    }
    out.into_iter().map(|(_, slice)| slice).collect()
}

/// An event as a line of text; `None` for what the page shows otherwise.
fn event(said: &Said) -> Option<Event> {
    let event = &said.event;
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let number = |name: &str| event[name].as_u64().unwrap_or_default();
    let kind = event["kind"].as_str()?;
    let told = match kind {
        "started" => "looking for what is new".to_owned(),
        "surveying" => format!("reading types from {} bytes", grouped(number("bytes"))),
        "planned" => {
            let rows = event["rows"].as_u64().map(|rows| format!(", {}", count(rows, "row"))).unwrap_or_default();
            format!("{} to read{rows}", count(number("slices"), "part"))
        }
        "intervals" => {
            let intervals = count(number("intervals"), "interval");
            format!("{intervals} along {}, from {} to {}", text("column"), text("from"), text("to"))
        }
        "committed" => {
            let rows = counts(&event["rows"]).unwrap_or_default();
            format!("so far: {}", page::brought(&rows, Ended::Ok))
        }
        "warning" => text("message").to_owned(),
        "rejected" => format!("the first at {}:{}: {}", text("file"), number("line"), text("reason")),
        "finished" => "it is over".to_owned(),
        _ => return None,
    };
    Some(Event { at: said.at, kind: kind.to_owned(), text: told })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(kind: SliceKind, name: &str, from: &str, until: &str) -> Committed {
        let share = SliceShare {
            kind,
            name: name.into(),
            through: None,
            slices: 1,
            from: Some(from.into()),
            until: Some(until.into()),
            read: 10,
            skipped: 1,
            rejected: 0,
        };
        Committed {
            commits: 1,
            at: chrono::DateTime::UNIX_EPOCH,
            counts: Counts::default(),
            watermark: None,
            bytes: None,
            slices: vec![share],
        }
    }

    #[test]
    fn what_several_commits_read_of_a_file_is_one_slice_and_intervals_are_several() {
        let told = |commits: &[Committed]| -> Vec<String> {
            let told = |slice: &Slice| {
                let end = |end: &Option<String>| end.clone().unwrap_or_default();
                format!("{} {}-{} {} {}", slice.name, end(&slice.from), end(&slice.to), slice.read, slice.skipped)
            };
            slices(commits).iter().map(told).collect()
        };
        let file = |name, from, until| committed(SliceKind::File, name, from, until);
        let three = [file("a.csv", "1", "10"), file("b.csv", "1", "10"), file("a.csv", "11", "20")];
        assert_eq!(told(&three), ["a.csv 1-20 20 2", "b.csv 1-10 10 1"]);
        let day = |from, until| committed(SliceKind::Interval, "day", from, until);
        assert_eq!(told(&[day("1", "2"), day("2", "3")]), ["day 1-2 10 1", "day 2-3 10 1"]);
    }
}
