//! Reads ledgers: of each destination in one go, and of a pipeline after each of its runs.

use crate::facts::{Known, RUNS};
use chrono::{DateTime, Utc};
use floodmark_connect::destination::Ledger;
use floodmark_core::{Result, state::RunRecord, url::ConnectionUrl};
use floodmark_engine::registry;
use std::collections::BTreeMap;

/// Runs that a first look takes at most, of all pipelines of a destination.
const ALL: usize = 20_000;
/// So many pipelines are looked up one by one.
const FEW: usize = 4;
/// Runs that are looked at to see whether there are any new ones.
const NEW: usize = 100;

/// What is known of the pipelines of one destination. `seen`: the newest run that is known of each; those of which there
/// is no newer one are left out, unless none is known of any.
pub(crate) fn read(
    url: &ConnectionUrl,
    pipelines: &[String],
    seen: &BTreeMap<String, String>,
    now: DateTime<Utc>,
) -> BTreeMap<String, Known> {
    match looked(url, pipelines, seen, now) {
        Ok(known) => known,
        Err(error) => {
            let failed = Known { error: Some(error.to_string()), ..Known::default() };
            pipelines.iter().map(|name| (name.clone(), failed.clone())).collect()
        }
    }
}

fn looked(
    url: &ConnectionUrl,
    pipelines: &[String],
    seen: &BTreeMap<String, String>,
    now: DateTime<Utc>,
) -> Result<BTreeMap<String, Known>> {
    let destination = registry::destination(url)?;
    let read_at = Some(now);
    if !destination.exists() {
        return Ok(pipelines.iter().map(|name| (name.clone(), Known { read_at, ..Known::default() })).collect());
    }
    let ledger = destination.ledger()?;
    // Many at once are one look at the ledger, and what it does not reach is looked up by name.
    let first = seen.is_empty() && pipelines.len() > FEW;
    let most = if first { (2 * RUNS * pipelines.len()).min(ALL) } else { NEW };
    let list = if first || !seen.is_empty() { ledger.runs(None, most)? } else { Vec::new() };
    let whole = first && list.len() < most;
    let mut by_pipeline: BTreeMap<String, Vec<RunRecord>> = BTreeMap::new();
    for run in list {
        by_pipeline.entry(run.pipeline.clone()).or_default().push(run);
    }
    let mut out = BTreeMap::new();
    for name in pipelines {
        let newest = by_pipeline.get(name).and_then(|runs| runs.first());
        let is_seen = match (seen.get(name), newest) {
            // Runs that go on are lines that change.
            (Some(seen), Some(newest)) => *seen == newest.run && newest.finished_at.is_some(),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_seen {
            continue;
        }
        let listed = by_pipeline.remove(name).unwrap_or_default();
        let runs = (whole || (first && listed.len() >= RUNS)).then_some(listed);
        out.insert(name.clone(), of(ledger.as_ref(), name, runs, read_at)?);
    }
    Ok(out)
}

/// Of one pipeline. `runs`: those that are at hand, newest first.
fn of(ledger: &dyn Ledger, name: &str, runs: Option<Vec<RunRecord>>, read_at: Option<DateTime<Utc>>) -> Result<Known> {
    let runs = match runs {
        Some(runs) => runs,
        None => ledger.runs(Some(name), RUNS)?,
    };
    let state = ledger.state(name)?;
    // Nothing was set aside where no run of the ledger says so.
    let rejects = if runs.iter().any(|run| run.counts.rejected > 0) { ledger.rejects(Some(name))?.len() } else { 0 };
    let (watermark, schema) = state.map_or((None, None), |state| (state.watermark, state.schema));
    let known = Known { watermark, schema, rejects, error: None, read_at, ..Known::default() };
    Ok(known.with_runs(runs))
}
