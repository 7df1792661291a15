//! Results for programs. Keys and their order are part of the interface (SPEC 4.8).

use crate::commands::Failure;
use floodmark_connect::destination::KeptReject;
use floodmark_core::{
    Code, Counts, Error,
    commits::{Committed, SliceShare},
    error::Place,
    pipeline::Load,
    state::{IntervalEntry, RunRecord, WatermarkMove},
};
use floodmark_engine::Outcome;
use floodmark_server::Arrival;
use serde_json::{Value, json};
use std::{error::Error as _, time::Duration};

/// One pipeline's run. `error` is there only when it failed.
pub(crate) fn outcome(outcome: &Outcome) -> Value {
    let mut value = json!({
        "pipeline": outcome.pipeline,
        "run": Some(&outcome.run).filter(|run| !run.is_empty()),
        "status": outcome.status.name(),
        "load": outcome.load.map(Load::name),
        "rows": rows(&outcome.counts),
        "watermark": watermark(outcome.watermark.as_ref()),
        "seconds": seconds(outcome.elapsed),
    });
    if let Some(e) = &outcome.error {
        value["error"] = error(e);
    }
    value
}

/// One line of the run ledger, with the keys of `outcome` and its times.
pub(crate) fn run(record: &RunRecord) -> Value {
    let seconds = record.finished_at.map(|end| seconds((end - record.started_at).to_std().unwrap_or_default()));
    json!({
        "pipeline": record.pipeline,
        "run": record.run,
        "status": record.status,
        "load": record.load,
        "rows": rows(&record.counts),
        "watermark": watermark(record.watermark.as_ref()),
        "seconds": seconds,
        "started_at": record.started_at.to_rfc3339(),
        "finished_at": record.finished_at.map(|t| t.to_rfc3339()),
        "error": record.error,
        "bytes": record.commits.bytes(),
        "rows_per_second": pace(record, Some(record.counts.read)),
        "bytes_per_second": pace(record, record.commits.bytes()),
    })
}

/// The same with what its commits brought, and the intervals whose receipts are its.
pub(crate) fn run_in_full(record: &RunRecord, intervals: &[IntervalEntry]) -> Value {
    let mut value = run(record);
    let mut before = record.started_at;
    let commit = |entry: &Committed| {
        let took = (entry.at - before).to_std().unwrap_or_default();
        before = entry.at;
        json!({
            "commits": entry.commits,
            "at": entry.at.to_rfc3339(),
            "seconds": seconds(took),
            "rows": rows(&entry.counts),
            "watermark": entry.watermark,
            "bytes": entry.bytes,
            "slices": entry.slices.iter().map(slice).collect::<Vec<_>>(),
        })
    };
    value["commits"] = record.commits.entries().iter().map(commit).collect();
    value["intervals"] = intervals.iter().map(interval).collect();
    value
}

fn slice(share: &SliceShare) -> Value {
    json!({
        "kind": share.kind.name(),
        "name": share.name,
        "through": share.through,
        "slices": share.slices,
        "from": share.from,
        "to": share.until,
        "read": share.read,
        "skipped": share.skipped,
        "rejected": share.rejected,
    })
}

/// The receipt of an interval.
pub(crate) fn interval(entry: &IntervalEntry) -> Value {
    json!({
        "column": entry.column,
        "from": entry.interval.from.to_string(),
        "to": entry.interval.until.to_string(),
        "rows": entry.rows,
        "highest": entry.highest.as_ref().map(ToString::to_string),
        "settled": entry.settled,
        "run": entry.run,
        "loaded_at": entry.loaded_at.to_rfc3339(),
    })
}

/// So many a second; unknown of a run that has not ended or took no time.
fn pace(record: &RunRecord, n: Option<u64>) -> Option<u64> {
    let took = (record.finished_at? - record.started_at).to_std().ok()?.as_secs_f64();
    (took > 0.0).then(|| (n.map(|n| n as f64 / took)).map(|pace| pace as u64)).flatten()
}

/// A kept reject.
pub(crate) fn reject(kept: &KeptReject) -> Value {
    json!({
        "id": kept.id,
        "pipeline": kept.pipeline,
        "run": kept.run,
        "file": kept.reject.slice,
        "line": kept.reject.line,
        "column": kept.reject.column,
        "reason": kept.reject.reason,
        "raw": kept.reject.raw,
        "doubtful": kept.doubtful,
    })
}

/// The failure of a whole command.
pub(crate) fn failure(failure: Failure) -> Value {
    match failure {
        Failure::Error(e) => json!({"status": "failed", "error": error(&e)}),
        Failure::Mistakes(mistakes) => {
            let all = mistakes.to_json();
            json!({"status": "failed", "error": error(&mistakes.into()), "mistakes": all})
        }
    }
}

/// A command line that cannot be read.
pub(crate) fn usage(error: &clap::Error) -> Value {
    let text = error.render().to_string();
    // What is wrong is the first paragraph; usage and hints are further ones.
    let paragraphs = text.split("\n\n").map(|p| p.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    let mut paragraphs = paragraphs.map(|p| p.trim().to_owned()).filter(|p| !p.is_empty());
    let message = paragraphs.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let help: Vec<String> = paragraphs.collect();
    json!({
        "status": "failed",
        "error": {
            "code": Code::BadArgument.number(), "message": message, "place": place(None),
            "state": "nothing was done", "help": help,
        },
    })
}

/// An error. Every key is always there; what is unknown is null.
pub(crate) fn error(error: &Error) -> Value {
    let mut message = error.message().to_owned();
    let mut cause = error.source();
    while let Some(source) = cause {
        message.push_str(": ");
        message.push_str(&source.to_string());
        cause = source.source();
    }
    json!({
        "code": error.code().number(),
        "message": message,
        "place": place(error.place()),
        "state": error.data_state(),
        "help": error.advice(),
    })
}

fn place(place: Option<&Place>) -> Value {
    place.filter(|p| **p != Place::default()).map_or(Value::Null, |p| {
        json!({
            "file": p.file.as_ref().map(|f| f.display().to_string()),
            "line": p.line, "row": p.row, "column": p.column, "value": p.value,
        })
    })
}

/// Rows by outcome.
pub(crate) fn rows(counts: &Counts) -> Value {
    // Written out, so that the order of a struct's fields can change without changing the interface.
    json!({
        "read": counts.read,
        "transformed": counts.transformed,
        "skipped": counts.skipped,
        "rejected": counts.rejected,
        "superseded": counts.superseded,
        "stale": counts.stale,
        "unchanged": counts.unchanged,
        "inserted": counts.inserted,
        "updated": counts.updated,
        "deleted": counts.deleted,
        "delete_noop": counts.delete_noop,
        "removed": counts.removed,
    })
}

fn watermark(mark: Option<&WatermarkMove>) -> Value {
    mark.map_or(Value::Null, |m| json!({"column": m.column, "before": m.before, "after": m.after}))
}

/// Milliseconds are as exact as a wall clock is worth.
pub(crate) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Whether a test arrived at somebody.
pub(crate) fn arrived(channel: &str, arrival: &Arrival) -> Value {
    let (status, message) = match arrival {
        Arrival::Arrived => ("arrived", None),
        Arrival::Off => ("off", None),
        Arrival::Lost(why) => ("lost", Some(why)),
    };
    json!({ "channel": channel, "status": status, "message": message })
}
