//! Reads ledgers: of each destination over one connection, and of a pipeline after each of its runs.

use crate::{
    facts::{Known, RUNS},
    sessions::Look,
};
use chrono::{DateTime, Utc};
use floodmark_connect::destination::Ledger;
use floodmark_core::{Error, Result, state::RunRecord, url::ConnectionUrl};
use floodmark_engine::registry;
use std::collections::BTreeMap;

/// Runs that are looked at, of each pipeline, to see whether there are any new ones; and of all at least.
const NEW: usize = 3;
const SOME: usize = 100;

/// What is known of the pipelines of one destination. `seen`: the newest run that is known of each; those of which there
/// is no newer one are left out, unless none is known of any.
pub(crate) fn read(
    url: &ConnectionUrl,
    pipelines: &[String],
    seen: &BTreeMap<String, String>,
    now: DateTime<Utc>,
    look: &Look,
) -> BTreeMap<String, Known> {
    looked(url, pipelines, seen, now, look).unwrap_or_else(|error| unread(pipelines, &error))
}

/// What is known of pipelines whose ledger cannot be read.
pub(crate) fn unread(pipelines: &[String], error: &Error) -> BTreeMap<String, Known> {
    let failed = Known { error: Some(error.to_string()), ..Known::default() };
    pipelines.iter().map(|name| (name.clone(), failed.clone())).collect()
}

fn looked(
    url: &ConnectionUrl,
    pipelines: &[String],
    seen: &BTreeMap<String, String>,
    now: DateTime<Utc>,
    look: &Look,
) -> Result<BTreeMap<String, Known>> {
    let destination = registry::destination(url)?;
    let read_at = Some(now);
    if !destination.exists() {
        return Ok(pipelines.iter().map(|name| (name.clone(), Known { read_at, ..Known::default() })).collect());
    }
    let ledger = destination.ledger()?;
    // One look tells whether there is anything new of those that are known.
    let list = if seen.is_empty() { Vec::new() } else { ledger.runs(None, (NEW * pipelines.len()).max(SOME))? };
    let mut newest: BTreeMap<&str, &RunRecord> = BTreeMap::new();
    for run in &list {
        newest.entry(&run.pipeline).or_insert(run);
    }
    let mut out = BTreeMap::new();
    for name in pipelines {
        let is_seen = match (seen.get(name), newest.get(name.as_str())) {
            // Runs that go on are lines that change.
            (Some(seen), Some(newest)) => *seen == newest.run && newest.finished_at.is_some(),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if !is_seen {
            look.heard();
            out.insert(name.clone(), of(ledger.as_ref(), name, read_at)?);
        }
    }
    Ok(out)
}

/// Of one pipeline.
fn of(ledger: &dyn Ledger, name: &str, read_at: Option<DateTime<Utc>>) -> Result<Known> {
    let runs = ledger.runs(Some(name), RUNS)?;
    let state = ledger.state(name)?;
    // Nothing was set aside where no run of the ledger says so.
    let rejects = if runs.iter().any(|run| run.counts.rejected > 0) { ledger.count_rejects(name)? } else { 0 };
    let (watermark, schema) = state.map_or((None, None), |state| (state.watermark, state.schema));
    let rejects = usize::try_from(rejects).unwrap_or(usize::MAX);
    let known = Known { watermark, schema, rejects, error: None, read_at, ..Known::default() };
    Ok(known.with_runs(runs))
}
