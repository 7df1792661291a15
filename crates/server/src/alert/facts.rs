//! How pipelines stand as to what alerts are about, from the board. What a person did (cancelled, stopped) is no failure, and
//! what is tried again by itself is none yet.

use super::decide::Standing;
use crate::{
    board::{Board, Entry},
    due::{Due, How, Retry},
    facts::Known,
    work::{End, Job, Task},
};
use chrono::{DateTime, TimeDelta, Utc};
use floodmark_core::outlet::Trouble;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What is due again, and waits for longer than this, may wait for long: the failure is told.
const PATIENCE: TimeDelta = TimeDelta::minutes(15);

/// A pipeline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fact {
    pub(crate) pipeline: String,
    pub(crate) family: Option<String>,
    pub(crate) paused: bool,
    pub(crate) failed: Standing,
    pub(crate) late: Standing,
    pub(crate) about: About,
}

/// What there is to say of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct About {
    /// Why it failed: a code, and a sentence.
    pub(crate) message: Option<String>,
    /// Its run in the ledger.
    pub(crate) run: Option<String>,
    /// How often in a row it failed.
    pub(crate) failures: u64,
    /// There is nothing that could be run.
    pub(crate) broken: bool,
    /// Up to when it is loaded, or when it was loaded last.
    pub(crate) loaded_until: Option<DateTime<Utc>>,
    pub(crate) freshness: Option<Duration>,
}

impl Fact {
    pub(crate) fn standing(&self, trouble: Trouble) -> Standing {
        match trouble {
            Trouble::Failed => self.failed,
            Trouble::Late => self.late,
        }
    }
}

/// All that is declared.
pub(crate) fn all(board: &Board, now: DateTime<Utc>) -> Vec<Fact> {
    let mut newest: BTreeMap<&str, &Job> = BTreeMap::new();
    let loads = |job: &&Job| job.end().is_some() && matches!(job.task, Task::Run {} | Task::FullRefresh {});
    for job in board.jobs.values().filter(loads) {
        let known = newest.entry(&job.pipeline).or_insert(job);
        if known.ended < job.ended {
            *known = job;
        }
    }
    let mut all: Vec<Fact> = board
        .entries
        .iter()
        .map(|entry| {
            let (failed, mut about) = failed(board, entry, newest.get(entry.declared.name.as_str()).copied(), now);
            let late = late(entry, &mut about, now);
            let name = entry.declared.name.clone();
            let paused = entry.kept.paused.is_some();
            Fact { pipeline: name, family: entry.declared.family.clone(), paused, failed, late, about }
        })
        .collect();
    // A family whose tables could not be looked up is there under its own name; when they can be, it is well.
    let names: BTreeSet<&str> = all.iter().map(|fact| fact.pipeline.as_str()).collect();
    let families: BTreeSet<String> = all.iter().filter_map(|fact| fact.family.clone()).collect();
    let there: Vec<String> = families.into_iter().filter(|family| !names.contains(family.as_str())).collect();
    all.extend(there.into_iter().map(|family| Fact {
        pipeline: family,
        family: None,
        paused: false,
        failed: Standing::Well,
        late: Standing::Moot,
        about: About::default(),
    }));
    all
}

/// Whether its newest run failed for good. `job`: the newest load of this server that has ended.
fn failed(board: &Board, entry: &Entry, job: Option<&Job>, now: DateTime<Utc>) -> (Standing, About) {
    let pipeline = match &entry.declared.pipeline {
        Ok(pipeline) => pipeline,
        Err(why) => {
            let about = About { message: Some(why.clone()), broken: true, ..About::default() };
            return (Standing::Wrong { since: None }, about);
        }
    };
    let unclear = (Standing::Unclear, About::default());
    let Some(known) = &entry.known else { return unclear };
    let last = known.last();
    // A run that began after the work had ended is somebody else's, and newer.
    let job = job.filter(|job| last.is_none_or(|run| job.ended.is_some_and(|ended| run.started_at <= ended)));
    let end = job.and_then(Job::end);
    let died = entry.kept.tries.filter(|tries| last.is_none_or(|run| run.started_at < tries.last));
    let unread =
        job.filter(|job| last.is_none_or(|run| job.began.is_some_and(|began| run.started_at < began))).is_some();
    if matches!(end, Some(End::Ok | End::NothingNew)) && unread {
        // Its line is about to be read.
        return unclear;
    }
    let job = job.filter(|_| matches!(end, Some(End::Failed | End::TimedOut | End::Refused)));
    let of_ledger = last.filter(|run| run.status == "failed");
    if job.is_none() && of_ledger.is_none() && died.is_none() {
        let well = last.is_some_and(|run| matches!(run.status.as_str(), "ok" | "nothing_new")) && known.error.is_none();
        return if well { (Standing::Well, About::default()) } else { unclear };
    }
    // What another server saw fail is in the ledger, or will not be: that is about to be read.
    let elsewhere = died.filter(|_| job.is_none() && of_ledger.is_none());
    if elsewhere.is_some_and(|tries| known.read_at.is_none_or(|read| read < tries.last)) {
        return unclear;
    }
    // A ledger says most; of a run that left no line there is what its process said.
    let told = of_ledger.filter(|_| job.is_none() || !unread);
    let message = told.and_then(|run| run.error.clone()).or_else(|| job.and_then(|job| job.message.clone()));
    let message = Some(message.unwrap_or_else(|| "its process ended without a word in the ledger".into()));
    let (in_a_row, first) = in_a_row(known);
    let ended = job.and_then(|job| job.ended);
    let tries = died.map(|tries| tries.last);
    let failures = in_a_row.max(entry.failures).max(died.map_or(0, |tries| tries.failures)).max(1);
    let service = &pipeline.service;
    let retry = Retry { times: service.retries, delay: service.retry_delay };
    let latest = last.and_then(|run| run.finished_at).max(ended).max(tries);
    // What the file does not allow is not tried again.
    let again =
        end != Some(End::Refused) && latest.is_some_and(|at| tried_again(board, entry, retry, failures, at, now));
    if again {
        return unclear;
    }
    let since = [first, ended, tries].into_iter().flatten().min();
    let run = told.map(|run| run.run.clone()).or_else(|| job.and_then(|job| job.run.clone()));
    (Standing::Wrong { since }, About { message, run, failures, ..About::default() })
}

/// How often in a row it failed, as far as the ledger knows, and when first.
fn in_a_row(known: &Known) -> (u64, Option<DateTime<Utc>>) {
    let failed = known.ran.iter().take_while(|ran| ran.how != How::Well).filter(|ran| ran.how == How::Failed);
    failed.fold((0, None), |(n, _), ran| (n + 1, Some(ran.ended)))
}

/// Whether a failure is about to be tried again, as `retries` says. Where the next time of a schedule comes sooner than the
/// next try, that is one.
fn tried_again(
    board: &Board,
    entry: &Entry,
    retry: Retry,
    failures: u64,
    latest: DateTime<Utc>,
    now: DateTime<Utc>,
) -> bool {
    if failures > retry.times || entry.kept.paused.is_some() {
        return false;
    }
    let name = &entry.declared.name;
    if board.jobs.values().any(|job| job.pipeline == *name && job.is_running() && job.task == Task::Run {}) {
        return true;
    }
    let by = latest.checked_add_signed(retry.pause(failures)).unwrap_or(DateTime::<Utc>::MAX_UTC);
    match entry.next {
        Some(Due::Now { .. }) => now <= by + PATIENCE,
        Some(Due::Later { at, .. }) => at <= by,
        _ => false,
    }
}

fn late(entry: &Entry, about: &mut About, now: DateTime<Utc>) -> Standing {
    let Ok(pipeline) = &entry.declared.pipeline else { return Standing::Unclear };
    let Some(freshness) = pipeline.service.freshness else { return Standing::Moot };
    let until = entry.known.as_ref().and_then(|known| known.loaded_until().or_else(|| known.well()));
    let Some(until) = until else { return Standing::Unclear };
    (about.loaded_until, about.freshness) = (Some(until), Some(freshness));
    let limit = TimeDelta::from_std(freshness).ok().and_then(|freshness| until.checked_add_signed(freshness));
    match limit {
        Some(limit) if limit < now => Standing::Wrong { since: Some(limit) },
        _ => Standing::Well,
    }
}
