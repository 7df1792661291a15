//! `runs`: the run ledger.

use super::{Context, Failure};
use crate::{
    args::{RunsArgs, RunsCommand},
    project::Keepers,
    render::{json, terminal},
};
use chrono::{DateTime, SecondsFormat, Utc};
use floodmark_core::{Code, Error, Result, state::RunRecord};

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
            if let Some(ledger) = keepers.of(name)?.ledger()? {
                records.extend(ledger.runs(Some(name), limit)?);
            }
        }
        None => {
            for ledger in keepers.ledgers()? {
                records.extend(ledger.runs(None, limit)?);
            }
            records.sort_by(|a, b| b.started_at.cmp(&a.started_at).then_with(|| b.run.cmp(&a.run)));
            records.truncate(limit);
        }
    }
    if cx.printer.json() {
        return records.iter().try_for_each(|record| cx.printer.object(&json::run(record)));
    }
    if records.is_empty() {
        keepers.missing().for_each(|url| cx.printer.note(&format!("There is no database yet: {url}")));
        cx.printer.note("No runs yet.");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|r| {
            vec![
                time(r.started_at),
                r.pipeline.clone(),
                r.status.clone(),
                took(r).unwrap_or_default(),
                r.run.clone(),
                terminal::rows(&r.counts),
            ]
        })
        .collect();
    cx.printer.text(&terminal::table(&["STARTED", "PIPELINE", "STATUS", "TOOK", "RUN", "ROWS"], &rows))
}

fn show(cx: &Context, keepers: &Keepers, id: &str) -> Result<()> {
    for ledger in keepers.ledgers()? {
        let Some(record) = ledger.run(id)? else { continue };
        if cx.printer.json() {
            return cx.printer.object(&json::run(&record));
        }
        let mut facts = vec![
            ("run", record.run.clone()),
            ("pipeline", record.pipeline.clone()),
            ("status", record.status.clone()),
            ("load", record.load.clone()),
            ("started", time(record.started_at)),
        ];
        facts.extend(took(&record).map(|took| ("took", took)));
        facts.push(("rows", terminal::rows(&record.counts)));
        facts.extend(record.watermark.as_ref().and_then(terminal::watermark).map(|mark| ("watermark", mark)));
        facts.extend(record.error.clone().map(|error| ("error", error)));
        return cx.printer.text(&terminal::facts(&facts));
    }
    Err(Error::new(Code::BadArgument, format!("there is no run {id:?}"))
        .help("`floodmark runs` lists them with their ids"))
}

fn took(record: &RunRecord) -> Option<String> {
    let time = record.finished_at? - record.started_at;
    Some(terminal::seconds(time.to_std().unwrap_or_default()))
}

/// A moment, to the second, in UTC as it is kept.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
