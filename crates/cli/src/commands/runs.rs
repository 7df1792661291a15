//! `runs`: the run ledger.

use super::{Context, Failure};
use crate::{
    args::{RunsArgs, RunsCommand},
    keepers::Keepers,
    render::{json, layout, runs, terminal},
};
use chrono::{DateTime, SecondsFormat, Utc};
use floodmark_core::{
    Code, Error, Result,
    state::{IntervalEntry, REPAIR, RunRecord},
};

/// Characters of an id that say when the run began, to the millisecond.
const MOMENT: usize = 13;
/// Characters of a reason that are shown in a list.
const REASON: usize = 70;
/// Ids that an ambiguous one is answered with.
const SHOWN: usize = 5;

/// A run of which chunks are committed, and not the last.
const PARTIAL: &str = "partial";
/// What that means: nobody can tell by the ledger whether its process lives.
const BROKEN_OFF: &str = "it is still running, or was killed; then the next run goes on from what is committed";

/// `floodmark runs`
pub(super) fn runs(cx: &Context, args: &RunsArgs) -> Result<u8, Failure> {
    let keepers = Keepers::open(&cx.global, &args.store)?;
    match &args.command {
        Some(RunsCommand::Show { id }) => show(cx, &keepers, id)?,
        None => list(cx, &keepers, args.name.as_deref(), args.limit)?,
    }
    Ok(0)
}

fn list(cx: &Context, keepers: &Keepers, name: Option<&str>, limit: usize) -> Result<()> {
    let mut records = Vec::new();
    match name {
        Some(name) => {
            let keeper = keepers.of(name)?;
            if let Some(ledger) = keeper.ledger()? {
                for name in keeper.meant(name, Some(ledger.as_ref()))? {
                    records.extend(ledger.runs(Some(&name), limit)?);
                }
            }
        }
        None => {
            for ledger in keepers.ledgers()? {
                records.extend(ledger.runs(None, limit)?);
            }
        }
    }
    records.sort_by(|a, b| b.started_at.cmp(&a.started_at).then_with(|| b.run.cmp(&a.run)));
    records.truncate(limit);
    if cx.printer.json() {
        return records.iter().try_for_each(|record| cx.printer.object(&json::run(record)));
    }
    if records.is_empty() {
        keepers.tell_missing(&cx.printer);
        cx.printer.note("No runs yet.");
        return Ok(());
    }
    let ids: Vec<&str> = records.iter().map(|r| r.run.as_str()).collect();
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|r| {
            vec![
                time(r.started_at),
                r.pipeline.clone(),
                status(r).to_owned(),
                runs::took(r).unwrap_or_default(),
                short(&r.run, &ids).to_owned(),
                result(r),
            ]
        })
        .collect();
    cx.printer.text(&layout::table(&["STARTED", "PIPELINE", "STATUS", "TOOK", "RUN", "RESULT"], &rows, 5))
}

/// How a run ended, in the words that `run` has for it.
fn status(record: &RunRecord) -> &str {
    match record.status.as_str() {
        "ok" if record.load == REPAIR => "repaired",
        "ok" if record.counts.changed() => "loaded",
        "ok" => "no change",
        "nothing_new" => "nothing new",
        other => other,
    }
}

/// Rows by outcome, how fast they came, and why a run failed.
fn result(record: &RunRecord) -> String {
    let rows = (record.error.is_none() || record.counts.read > 0).then(|| terminal::rows(&record.counts));
    let reason = record.error.as_deref().map(|error| layout::beginning(error, REASON));
    let pace = rows.as_ref().and_then(|_| runs::pace(record));
    [rows, pace, reason].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// As much of an id as tells it from the others shown; `show` takes it.
fn short<'a>(id: &'a str, shown: &[&str]) -> &'a str {
    let shared = |other: &&str| id.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let needed = shown.iter().filter(|other| **other != id).map(shared).max().unwrap_or(0) + 1;
    // An id is ASCII.
    id.get(..needed.max(MOMENT)).unwrap_or(id)
}

fn show(cx: &Context, keepers: &Keepers, id: &str) -> Result<()> {
    let (record, intervals) = find(keepers, &id.to_lowercase())?;
    if cx.printer.json() {
        return cx.printer.object(&json::run_in_full(&record, &intervals));
    }
    let mut facts = vec![
        ("run", record.run.clone()),
        ("pipeline", record.pipeline.clone()),
        (
            "status",
            if record.status == PARTIAL { format!("{PARTIAL}: {BROKEN_OFF}") } else { status(&record).to_owned() },
        ),
        ("load", record.load.clone()),
        ("started", time(record.started_at)),
    ];
    // The line in the ledger is part of the commit, and cannot know how long that takes.
    let until = if record.commits.entries().is_empty() { "" } else { ", its last commit left out" };
    facts.extend(runs::took(&record).map(|took| ("took", took + until)));
    facts.extend(runs::pace(&record).map(|pace| ("pace", pace)));
    facts.push(("rows", terminal::rows(&record.counts)));
    facts.extend(record.watermark.as_ref().and_then(terminal::watermark).map(|mark| ("watermark", mark)));
    facts.extend(record.error.clone().map(|error| ("error", error)));
    let mut out = layout::facts(&facts);
    if cx.printer.draws() {
        out.push_str(&runs::picture(&record.counts));
    }
    out.push_str(&runs::detail(&record, &intervals));
    cx.printer.text(&out)
}

/// The only run whose id is, or begins with, this, and the intervals whose receipts are its.
fn find(keepers: &Keepers, id: &str) -> Result<(RunRecord, Vec<IntervalEntry>)> {
    let mut found = Vec::new();
    let ledgers = keepers.ledgers()?;
    for (at, ledger) in ledgers.iter().enumerate() {
        found.extend(ledger.runs_like(id, SHOWN + 1)?.into_iter().map(|run| (at, run)));
    }
    if let Some(at) = found.iter().position(|(_, run)| run.run == id) {
        let only = found.swap_remove(at);
        found = vec![only];
    }
    if let [(at, run)] = found.as_slice() {
        let mut intervals = ledgers[*at].intervals(&run.pipeline)?;
        intervals.retain(|entry| entry.run == run.run);
        intervals.sort_by(|a, b| {
            let from = a.interval.from.compare(&b.interval.from).unwrap_or(std::cmp::Ordering::Equal);
            a.column.cmp(&b.column).then(from)
        });
        return Ok((run.clone(), intervals));
    }
    match found.len() {
        0 => Err(Error::new(Code::BadArgument, format!("there is no run {id:?}"))
            .help("`floodmark runs` lists them with their ids")),
        more => {
            let ids: Vec<&str> = found.iter().take(SHOWN).map(|(_, run)| run.run.as_str()).collect();
            let others = if more > SHOWN { " and others" } else { "" };
            Err(Error::new(Code::BadArgument, format!("several runs have an id that begins with {id:?}"))
                .help(format!("give more of it: {}{others}", ids.join(", "))))
        }
    }
}

/// A moment, to the second, in UTC as it is kept.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
