//! All that the server knows, and what it decides by it. No input or output: whoever has a clock, processes and ledgers
//! tells it what happened, asks for the next step, and takes it.

use crate::{
    admit::{self, Lane, Running, Standing, Waiting},
    alert::{self, Desk, Dispatch},
    at::At,
    due::{self, Due, How, Past, Retry, Tries},
    facts::Known,
    ticks::Ticks,
    work::{Cause, End, Ending, Job, Progress, Stage, Task},
};
use chrono::{DateTime, TimeDelta, Utc};
use floodmark_core::{
    Counts,
    pipeline::{CatchUp, Pipeline},
    url::ConnectionUrl,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Pieces of work that are remembered when they are over.
pub(crate) const REMEMBERED: usize = 300;
/// When a pipeline that somebody else's run holds is asked for again.
const HELD: TimeDelta = TimeDelta::seconds(5);

/// A pipeline of the project, or one that there should be.
#[derive(Debug, Clone)]
pub struct Declared {
    /// Its name; a family's, where its tables could not be looked up.
    pub name: String,
    /// The family it is of.
    pub family: Option<String>,
    /// The pipeline, or why there is none.
    pub pipeline: Result<Pipeline, String>,
}

impl Declared {
    /// Whether it stands for the tables of a family that could not be looked up.
    pub(crate) fn is_unasked(&self) -> bool {
        self.pipeline.is_err() && self.family.as_ref() == Some(&self.name)
    }
}

/// What is kept of a pipeline beside the project, and is no fact about its data.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Kept {
    /// Whatever was due up to here is dealt with.
    pub(crate) handled: Option<DateTime<Utc>>,
    pub(crate) tries: Option<Tries>,
    /// Since when it does not run by itself.
    pub(crate) paused: Option<DateTime<Utc>>,
}

/// A pipeline with all that is known of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) declared: Declared,
    pub(crate) ticks: Option<Ticks>,
    /// `None` until its ledger was looked at.
    pub(crate) known: Option<Known>,
    pub(crate) kept: Kept,
    /// Since when nothing has kept it from running.
    free: DateTime<Utc>,
    /// It is not asked for before.
    held: Option<DateTime<Utc>>,
    /// What is to be dealt with once the ledger shows that somebody else was quicker.
    overtaken: Option<(DateTime<Utc>, Option<String>)>,
    /// When it runs next by itself, as of the last step.
    pub(crate) next: Option<Due>,
    /// Runs in a row that failed while this server is there, also those that left no line in the ledger.
    pub(crate) failures: u64,
    pub(crate) totals: Totals,
}

impl Entry {
    /// Whether its ledger could not be read when it was looked at last.
    pub(crate) fn is_unread(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.error.is_some())
    }
}

/// Runs that ended since the server is there, whoever started them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    /// By status.
    pub(crate) runs: BTreeMap<String, u64>,
    pub(crate) rows: Counts,
    pub(crate) seconds: f64,
}

impl Totals {
    /// Counts what has ended between two looks at a ledger.
    fn add(&mut self, before: &Known, now: &Known) {
        let over = |known: &Known, id: &str| known.runs.iter().any(|run| run.run == id && run.finished_at.is_some());
        for run in now.runs.iter().filter(|run| !over(before, &run.run)) {
            let Some(end) = run.finished_at else { continue };
            *self.runs.entry(run.status.clone()).or_default() += 1;
            self.rows.add(&run.counts);
            self.seconds += (end - run.started_at).as_seconds_f64().max(0.0);
        }
    }
}

/// What is to be written down.
#[derive(Debug, Clone)]
pub(crate) enum Note {
    Kept(String, Kept),
    Asked(Box<Job>),
    Ended(Box<Job>),
    Told(alert::Record),
}

/// A process to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) job: String,
    pub(crate) arguments: Vec<String>,
}

/// What is to be done now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) start: Vec<Start>,
    /// Work whose processes are asked to end.
    pub(crate) terminate: Vec<String>,
    /// Those that have not.
    pub(crate) kill: Vec<String>,
    /// When to ask again at the latest, if nothing happens before.
    pub(crate) wake: Option<DateTime<Utc>>,
}

/// How a process ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exit {
    /// `None` where it was a signal.
    pub(crate) code: Option<i32>,
    /// The last object it printed.
    pub(crate) result: Option<Value>,
    /// What else it said, where it did not come to that.
    pub(crate) said: String,
}

/// Why something cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such pipeline, or no such work.
    Unknown(String),
    /// It cannot be done so.
    Wrong(String),
    /// It is over already, or the server is about to stop.
    Over(String),
}

/// How many pieces of work go on at a time, and how long a process may take to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) jobs: usize,
    pub(crate) grace: Duration,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) entries: Vec<Entry>,
    by_name: BTreeMap<String, usize>,
    pub(crate) jobs: BTreeMap<String, Job>,
    pub(crate) limits: Limits,
    pub(crate) since: DateTime<Utc>,
    pub(crate) stopping: bool,
    /// Why the pipeline file, as it is now, cannot be read.
    pub(crate) mistakes: Option<String>,
    /// Whom to tell, and what was told.
    pub(crate) desk: Desk,
    /// Databases of one process that are open here, as their ledgers are being read, and how often.
    opened: BTreeMap<String, usize>,
    notes: Vec<Note>,
}

/// A database that one process at a time can open, by what it is told apart by; `None` for any other.
pub(crate) fn alone(url: &ConnectionUrl) -> Option<String> {
    (url.scheme() == "duckdb").then(|| url.written().to_owned())
}

impl Board {
    pub(crate) fn new(limits: Limits, now: DateTime<Utc>) -> Board {
        Board {
            entries: Vec::new(),
            by_name: BTreeMap::new(),
            jobs: BTreeMap::new(),
            limits,
            since: now,
            stopping: false,
            mistakes: None,
            desk: Desk::default(),
            opened: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(*self.by_name.get(name)?)
    }

    fn entry_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.get_mut(*self.by_name.get(name)?)
    }

    /// The project as it is now. What is known of pipelines that stay is kept, and so are the tables of a family whose source
    /// cannot be asked for them now.
    pub(crate) fn declare(&mut self, all: Vec<Declared>, kept: &BTreeMap<String, Kept>, now: DateTime<Utc>) {
        let members = |declared: Declared| -> Vec<Declared> {
            let was = self.entries.iter().map(|entry| &entry.declared);
            let its = was.filter(|was| declared.is_unasked() && was.family == declared.family && was.pipeline.is_ok());
            let its: Vec<Declared> = its.cloned().collect();
            if its.is_empty() { vec![declared] } else { its }
        };
        let all: Vec<Declared> = all.into_iter().flat_map(members).collect();
        let mut before: BTreeMap<String, Entry> =
            std::mem::take(&mut self.entries).into_iter().map(|entry| (entry.declared.name.clone(), entry)).collect();
        for declared in all {
            let ticks = declared.pipeline.as_ref().ok().and_then(|pipeline| {
                let service = &pipeline.service;
                Ticks::new(service.schedule.as_deref()?, pipeline.timezone, service.jitter, &declared.name)
            });
            let entry = match before.remove(&declared.name) {
                Some(entry) => Entry { declared, ticks, ..entry },
                None => Entry {
                    kept: kept.get(&declared.name).cloned().unwrap_or_default(),
                    declared,
                    ticks,
                    known: None,
                    free: now,
                    held: None,
                    overtaken: None,
                    next: None,
                    failures: 0,
                    totals: Totals::default(),
                },
            };
            self.entries.push(entry);
        }
        self.by_name = self.entries.iter().enumerate().map(|(at, e)| (e.declared.name.clone(), at)).collect();
        let gone = |job: &Job| job.is_waiting() && !self.by_name.contains_key(&job.pipeline);
        let gone: Vec<String> = self.jobs.values().filter(|job| gone(job)).map(|job| job.id.clone()).collect();
        gone.iter().for_each(|id| self.over(id, End::Cancelled, Some("the pipeline is not in the file any more"), now));
    }

    /// What others wrote down meanwhile: another server beside the same project. Returns the pipelines of which it saw a run
    /// fail that is not known of here.
    pub(crate) fn remember(&mut self, kept: &BTreeMap<String, Kept>, now: DateTime<Utc>) -> Vec<String> {
        let mut unread = Vec::new();
        for entry in &mut self.entries {
            let Some(kept) = kept.get(&entry.declared.name) else { continue };
            if entry.kept.paused.is_some() && kept.paused.is_none() {
                entry.free = now;
            }
            let read = entry.known.as_ref().and_then(|known| known.read_at);
            if kept.tries.is_some_and(|tries| read.is_some_and(|read| read < tries.last)) {
                unread.push(entry.declared.name.clone());
            }
            let handled = entry.kept.handled.max(kept.handled);
            entry.kept = Kept { handled, ..kept.clone() };
        }
        unread
    }

    /// What a pipeline's ledger says now.
    pub(crate) fn learned(&mut self, name: &str, known: Known, now: DateTime<Utc>) {
        let fills = self.jobs.values().filter(|job| job.pipeline == name && job.task.lane() == Lane::Beside);
        let known = known.knowing(fills.filter_map(|job| job.run.clone()).collect());
        let Some(entry) = self.entry_mut(name) else { return };
        if let Some(before) = entry.known.as_ref().filter(|before| before.read_at.is_some() && known.error.is_none()) {
            entry.totals.add(before, &known);
        }
        // What could not be read now is as it was.
        let known = match (known.error, entry.known.take()) {
            (Some(error), Some(before)) => Known { error: Some(error), ..before },
            (error, _) => Known { error, ..known },
        };
        if let Some((tick, basis)) = entry.overtaken.take()
            && known.error.is_none()
            && known.newest() != basis
            && entry.declared.pipeline.as_ref().is_ok_and(|p| p.service.catch_up == CatchUp::All)
        {
            // Somebody else's run was for the same time.
            entry.kept.handled = entry.kept.handled.max(Some(tick));
        }
        if entry.kept.handled.is_none() && known.error.is_none() && known.ran.is_empty() {
            // Never run and never seen: what was due before today is not missed.
            entry.kept.handled = Some(now);
        }
        entry.known = Some(known);
        let note = Note::Kept(name.to_owned(), entry.kept.clone());
        self.notes.push(note);
    }

    /// What is to be written down since this was asked last.
    pub(crate) fn notes(&mut self) -> Vec<Note> {
        self.notes.extend(self.desk.notes().map(Note::Told));
        std::mem::take(&mut self.notes)
    }

    /// What somebody is to be told now.
    pub(crate) fn alerts(&mut self, now: DateTime<Utc>) -> Vec<Dispatch> {
        if self.desk.is_idle() {
            return Vec::new();
        }
        let facts = alert::facts(self, now);
        self.desk.step(&facts, now)
    }

    /// Work that was asked for and not done when a server before this one ended.
    pub(crate) fn resume_asked(&mut self, jobs: Vec<Job>) {
        for job in jobs.into_iter().filter(|job| self.by_name.contains_key(&job.pipeline)) {
            self.jobs.insert(job.id.clone(), job);
        }
    }

    /// Somebody asks for something to be done. Returns its id; that of the same work, where it waits already.
    pub(crate) fn ask(
        &mut self,
        id: String,
        pipeline: &str,
        task: Task,
        now: DateTime<Utc>,
    ) -> Result<String, Refusal> {
        if self.stopping {
            return Err(Refusal::Over("the server is about to stop".into()));
        }
        if let Some(mistake) = task.mistake() {
            return Err(Refusal::Wrong(mistake.into()));
        }
        let entry =
            self.entry(pipeline).ok_or_else(|| Refusal::Unknown(format!("there is no pipeline {pipeline:?}")))?;
        if let Err(why) = &entry.declared.pipeline {
            return Err(Refusal::Wrong(why.clone()));
        }
        let same = |job: &&mut Job| job.is_waiting() && job.pipeline == pipeline && job.task == task;
        if let Some(job) = self.jobs.values_mut().find(same) {
            // What waits by itself goes first when somebody asks for it.
            if job.cause != Cause::Asked {
                job.stage = Stage::Waiting(None);
                job.cause = Cause::Asked;
                job.basis = None;
            }
            let job = job.clone();
            self.notes.push(Note::Asked(Box::new(job.clone())));
            return Ok(job.id);
        }
        let job = new_job(id, pipeline, task, Cause::Asked, 1, now);
        self.notes.push(Note::Asked(Box::new(job.clone())));
        let id = job.id.clone();
        self.jobs.insert(id.clone(), job);
        Ok(id)
    }

    /// Asks for the same work once more. Returns its id.
    pub(crate) fn retry(&mut self, new: String, id: &str, now: DateTime<Utc>) -> Result<String, Refusal> {
        let job = self.jobs.get(id).ok_or_else(|| Refusal::Unknown(format!("there is no work {id:?}")))?;
        if job.end().is_none() {
            return Err(Refusal::Over("it is not over yet".into()));
        }
        let (pipeline, task) = (job.pipeline.clone(), job.task.clone());
        self.ask(new, &pipeline, task, now)
    }

    /// Ends a piece of work, or takes it out of those that wait.
    pub(crate) fn cancel(&mut self, id: &str, now: DateTime<Utc>) -> Result<(), Refusal> {
        let kill = now + grace(self.limits);
        let job = self.jobs.get_mut(id).ok_or_else(|| Refusal::Unknown(format!("there is no work {id:?}")))?;
        match job.stage {
            Stage::Waiting(_) => {
                let (tick, pipeline) = (job.cause.tick(), job.pipeline.clone());
                self.over(id, End::Cancelled, None, now);
                self.dealt_with(&pipeline, tick);
                Ok(())
            }
            Stage::Running => {
                job.stage = Stage::Ending { why: Ending::Cancelled, kill, killed: false };
                Ok(())
            }
            Stage::Ending { .. } => Ok(()),
            Stage::Ended(_) => Err(Refusal::Over("it is over already".into())),
        }
    }

    /// Has a pipeline not run by itself, or lets it.
    pub(crate) fn pause(&mut self, pipeline: &str, paused: bool, now: DateTime<Utc>) -> Result<(), Refusal> {
        let entry =
            self.entry_mut(pipeline).ok_or_else(|| Refusal::Unknown(format!("there is no pipeline {pipeline:?}")))?;
        match (entry.kept.paused, paused) {
            (None, true) => entry.kept.paused = Some(now),
            (Some(_), false) => {
                entry.kept.paused = None;
                entry.free = now;
            }
            _ => {}
        }
        let note = Note::Kept(pipeline.to_owned(), entry.kept.clone());
        self.notes.push(note);
        Ok(())
    }

    /// A process told something.
    pub(crate) fn said(&mut self, id: &str, event: Value, now: DateTime<Utc>) {
        if let Some(job) = self.jobs.get_mut(id) {
            job.said(event, now);
        }
    }

    /// A process ended. What of it is a failure, and what is tried again, is decided here.
    pub(crate) fn exited(&mut self, id: &str, exit: Exit, now: DateTime<Utc>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let why = if let Stage::Ending { why, .. } = job.stage { Some(why) } else { None };
        let end = end(why, &exit);
        let message = message(end, &exit);
        if let Some(run) = exit.result.as_ref().and_then(|result| result["run"].as_str()) {
            job.run = Some(run.to_owned());
        }
        job.result = exit.result;
        let (pipeline, tick, attempt, lane) = (job.pipeline.clone(), job.cause.tick(), job.attempt, job.task.lane());
        let loads = matches!(job.task, Task::Run {} | Task::FullRefresh {});
        let basis = job.basis.clone();
        self.over(id, end, message.as_deref(), now);
        let Some(entry) = self.entry_mut(&pipeline) else { return };
        if lane == Lane::Run {
            entry.free = now;
        }
        entry.failures = match end {
            End::Ok | End::NothingNew if loads => 0,
            _ if loads && end.is_failure() => entry.failures + 1,
            _ => entry.failures,
        };
        let Some(tick) = tick else { return };
        match end {
            End::Busy => {
                entry.held = Some(now + HELD);
                entry.overtaken = Some((tick, basis));
            }
            // It goes on where it was when there is a server again.
            End::Stopped => {}
            _ if end.is_failure() => {
                entry.kept.tries = Some(Tries { tick, failures: attempt, last: now });
                let times = entry.declared.pipeline.as_ref().map_or(0, |pipeline| pipeline.service.retries);
                if attempt > times {
                    entry.kept.handled = entry.kept.handled.max(Some(tick));
                }
                let note = Note::Kept(pipeline.clone(), entry.kept.clone());
                self.notes.push(note);
            }
            _ => self.dealt_with(&pipeline, Some(tick)),
        }
    }

    fn dealt_with(&mut self, pipeline: &str, tick: Option<DateTime<Utc>>) {
        let Some(entry) = self.entry_mut(pipeline).filter(|_| tick.is_some()) else { return };
        entry.kept.handled = entry.kept.handled.max(tick);
        entry.kept.tries = None;
        let note = Note::Kept(pipeline.to_owned(), entry.kept.clone());
        self.notes.push(note);
    }

    fn over(&mut self, id: &str, end: End, message: Option<&str>, now: DateTime<Utc>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.stage = Stage::Ended(end);
        job.ended = Some(now);
        job.message = message.map(str::to_owned);
        self.notes.push(Note::Ended(Box::new(job.clone())));
        let ended = self.jobs.values().filter(|job| job.end().is_some());
        let mut ended: Vec<(Option<DateTime<Utc>>, String)> = ended.map(|job| (job.ended, job.id.clone())).collect();
        if ended.len() > REMEMBERED {
            ended.sort();
            ended.iter().take(ended.len() - REMEMBERED).for_each(|(_, id)| drop(self.jobs.remove(id)));
        }
    }

    /// From now on nothing begins, and what goes on is asked to end.
    pub(crate) fn stop(&mut self, now: DateTime<Utc>) {
        self.stopping = true;
        let kill = now + grace(self.limits);
        for job in self.jobs.values_mut().filter(|job| job.stage == Stage::Running) {
            job.stage = Stage::Ending { why: Ending::Stopped, kill, killed: false };
        }
    }

    /// What is to be done now. `id` makes new ones.
    pub(crate) fn step(&mut self, id: &mut dyn FnMut() -> String, now: DateTime<Utc>) -> Step {
        let mut step = Step::default();
        self.wanted(id, now, &mut step);
        self.late(now, &mut step);
        if !self.stopping {
            self.admitted(now, &mut step);
        }
        step
    }

    /// Work that is due by itself waits; what is not due any more does not.
    fn wanted(&mut self, id: &mut dyn FnMut() -> String, now: DateTime<Utc>, step: &mut Step) {
        let due: Vec<Option<Due>> = self.entries.iter().map(|entry| self.due(entry, now)).collect();
        for (at, due) in due.into_iter().enumerate() {
            let entry = &mut self.entries[at];
            entry.next = due;
            if let Some(Due::Later { at, .. }) = due {
                wake(step, at);
            }
            let name = entry.declared.name.clone();
            let by_itself = |job: &&mut Job| job.pipeline == name && job.is_waiting() && job.cause != Cause::Asked;
            let waiting = self.jobs.values_mut().find(by_itself);
            // While the same is being done, or somebody asked for it, it is not wanted a second time.
            let (tick, attempt) = match due {
                Some(Due::Now { tick, attempt }) if !self.stopping => (tick, attempt),
                _ => {
                    if let Some(job) = waiting {
                        let id = job.id.clone();
                        self.jobs.remove(&id);
                    }
                    continue;
                }
            };
            let scheduled = entry.ticks.is_some();
            let cause = if scheduled { Cause::Schedule { tick: At(tick) } } else { Cause::After { tick: At(tick) } };
            let basis = entry.known.as_ref().and_then(Known::newest);
            match waiting {
                Some(job) => (job.cause, job.attempt, job.basis) = (cause, attempt, basis),
                None => {
                    let taken = |job: &Job| {
                        job.pipeline == name && job.task.lane() == Lane::Run && (job.is_running() || job.is_waiting())
                    };
                    if self.jobs.values().any(taken) {
                        continue;
                    }
                    let mut job = new_job(id(), &name, Task::Run {}, cause, attempt, now);
                    job.basis = basis;
                    self.jobs.insert(job.id.clone(), job);
                }
            }
        }
    }

    /// What is due of a pipeline by itself; `None` where nothing can be told, or nothing is to be.
    fn due(&self, entry: &Entry, now: DateTime<Utc>) -> Option<Due> {
        let pipeline = entry.declared.pipeline.as_ref().ok()?;
        let known = entry.known.as_ref()?;
        if entry.kept.paused.is_some() {
            return None;
        }
        let service = &pipeline.service;
        let retry = Retry { times: service.retries, delay: service.retry_delay };
        // Where nothing was written down, the ledger's last good run says where the schedule goes on.
        let handled = entry.kept.handled.or_else(|| {
            let goes_on =
                |all: bool| known.ran.iter().filter(move |ran| all || ran.how == How::Well).map(|ran| ran.began);
            goes_on(false).max().or_else(|| goes_on(true).min())
        });
        let past =
            Past { handled: handled.unwrap_or(self.since), free: entry.free, ran: &known.ran, tries: entry.kept.tries };
        if let Some(ticks) = &entry.ticks {
            return Some(due::by_schedule(ticks, service.catch_up, retry, &past, now));
        }
        if service.after.is_empty() {
            return None;
        }
        let wells = self.named(&service.after).into_iter().map(|other| other.known.as_ref().and_then(Known::well));
        Some(due::by_others(&wells.collect::<Vec<_>>(), retry, &past, now))
    }

    /// The pipelines that names mean; a family's are all of its.
    fn named<'a>(&'a self, names: &'a [String]) -> Vec<&'a Entry> {
        let is = |entry: &&Entry| {
            names.iter().any(|name| *name == entry.declared.name || entry.declared.family.as_ref() == Some(name))
        };
        self.entries.iter().filter(is).collect()
    }

    fn standing(&self, entry: &Entry) -> Standing {
        let name = &entry.declared.name;
        let active =
            |job: &Job| job.pipeline == *name && job.task.lane() == Lane::Run && (job.is_running() || job.is_waiting());
        if self.jobs.values().any(active) {
            return Standing::Pending;
        }
        let Some(known) = &entry.known else { return Standing::Pending };
        let newest = known.ran.iter().max_by_key(|ran| ran.began);
        let failed_since = entry.kept.tries.is_some_and(|tries| newest.is_none_or(|ran| ran.began < tries.last));
        match newest {
            _ if failed_since => Standing::Bad,
            None => Standing::Good,
            Some(ran) if ran.how == How::Well => Standing::Good,
            Some(_) => Standing::Bad,
        }
    }

    /// Processes that take too long, and those that were asked to end and have not.
    fn late(&mut self, now: DateTime<Utc>, step: &mut Step) {
        let kill_at = now + grace(self.limits);
        let (by_name, entries) = (&self.by_name, &self.entries);
        for job in self.jobs.values_mut() {
            let pipeline = by_name.get(&job.pipeline).and_then(|at| entries[*at].declared.pipeline.as_ref().ok());
            let timeout = pipeline.and_then(|pipeline| pipeline.service.timeout);
            let timeout = timeout.filter(|_| job.task.lane() == Lane::Run).and_then(|t| TimeDelta::from_std(t).ok());
            if let (Stage::Running, Some(began), Some(timeout)) = (&job.stage, job.began, timeout) {
                if began + timeout <= now {
                    job.stage = Stage::Ending { why: Ending::TimedOut, kill: kill_at, killed: false };
                } else {
                    wake(step, began + timeout);
                }
            }
            if let Stage::Ending { kill, killed, .. } = &mut job.stage {
                // Asked again and again: the first signal may come before its process listens for any.
                if !*killed {
                    step.terminate.push(job.id.clone());
                }
                if *kill <= now {
                    *killed = true;
                    step.kill.push(job.id.clone());
                } else {
                    wake(step, *kill);
                }
            }
        }
    }

    fn admitted(&mut self, now: DateTime<Utc>, step: &mut Step) {
        let waiting: Vec<&Job> = self.jobs.values().filter(|job| job.is_waiting()).collect();
        let alone = |job: &Job| alone(&self.entry(&job.pipeline)?.declared.pipeline.as_ref().ok()?.destination.url);
        let after = |job: &Job| -> Vec<(String, Standing)> {
            let pipeline = self.entry(&job.pipeline).and_then(|entry| entry.declared.pipeline.as_ref().ok());
            // What follows others has waited for them already.
            let scheduled = matches!(job.cause, Cause::Schedule { .. });
            let Some(pipeline) = pipeline.filter(|_| scheduled) else { return Vec::new() };
            let named = self.named(&pipeline.service.after).into_iter();
            named.map(|other| (other.declared.name.clone(), self.standing(other))).collect()
        };
        let unread = |job: &Job| self.entry(&job.pipeline).is_some_and(Entry::is_unread);
        let facts: Vec<_> = waiting.iter().map(|job| (after(job), alone(job))).collect();
        let rows: Vec<Waiting<'_>> = waiting
            .iter()
            .zip(&facts)
            .map(|(job, (after, alone))| Waiting {
                pipeline: &job.pipeline,
                lane: job.task.lane(),
                since: job.since,
                asked: job.cause == Cause::Asked,
                after: after.iter().map(|(name, standing)| (name.as_str(), *standing)).collect(),
                alone: alone.as_deref(),
                unread: unread(job),
                not_before: self.entry(&job.pipeline).and_then(|e| e.held).filter(|_| job.cause != Cause::Asked),
            })
            .collect();
        let busy: Vec<(&Job, Option<String>)> =
            self.jobs.values().filter(|job| job.is_running()).map(|job| (job, alone(job))).collect();
        let running: Vec<Running<'_>> = busy
            .iter()
            .map(|(job, alone)| Running {
                pipeline: &job.pipeline,
                lane: job.task.lane(),
                alone: alone.as_deref(),
                unread: unread(job),
            })
            .collect();
        let opened: Vec<&str> = self.opened.keys().map(String::as_str).collect();
        let out = admit::admit(&rows, &running, &opened, self.limits.jobs, now);
        let ids: Vec<String> = waiting.iter().map(|job| job.id.clone()).collect();
        for (id, hindrance) in ids.iter().zip(out) {
            let Some(job) = self.jobs.get_mut(id) else { continue };
            if let Some(admit::Hindrance::Held(until)) = &hindrance {
                wake(step, *until);
            }
            if hindrance.is_some() {
                job.stage = Stage::Waiting(hindrance);
                continue;
            }
            job.stage = Stage::Running;
            job.began = Some(now);
            let newest = job.basis.as_deref().filter(|_| job.cause != Cause::Asked);
            step.start.push(Start {
                job: id.clone(),
                arguments: job.task.arguments(&job.pipeline, newest, job.cause.tick()),
            });
        }
    }

    /// A ledger is about to be read. `false` where a process has its database for itself; else nobody gets it until
    /// [`Board::close`].
    pub(crate) fn open(&mut self, url: &ConnectionUrl) -> bool {
        let Some(place) = alone(url) else { return true };
        let loading = self.jobs.values().filter(|job| job.is_running()).filter_map(|job| self.entry(&job.pipeline));
        let mut urls = loading.filter_map(|entry| Some(&entry.declared.pipeline.as_ref().ok()?.destination.url));
        if urls.any(|other| alone(other).as_ref() == Some(&place)) {
            return false;
        }
        *self.opened.entry(place).or_default() += 1;
        true
    }

    /// It has been read.
    pub(crate) fn close(&mut self, url: &ConnectionUrl) {
        let Some(place) = alone(url) else { return };
        if let Some(times) = self.opened.get_mut(&place) {
            *times -= 1;
            if *times == 0 {
                self.opened.remove(&place);
            }
        }
    }
}

fn grace(limits: Limits) -> TimeDelta {
    TimeDelta::from_std(limits.grace).unwrap_or(TimeDelta::MAX)
}

fn wake(step: &mut Step, at: DateTime<Utc>) {
    step.wake = Some(step.wake.map_or(at, |wake| wake.min(at)));
}

fn new_job(id: String, pipeline: &str, task: Task, cause: Cause, attempt: u64, now: DateTime<Utc>) -> Job {
    Job {
        id,
        pipeline: pipeline.to_owned(),
        task,
        cause,
        attempt,
        since: now,
        began: None,
        ended: None,
        stage: Stage::Waiting(None),
        run: None,
        basis: None,
        progress: Progress::default(),
        events: VecDeque::new(),
        told: 0,
        result: None,
        message: None,
    }
}

/// How work ended whose process ended so. One that was told to end and was done before is done.
fn end(why: Option<Ending>, exit: &Exit) -> End {
    match (exit.code, why) {
        (Some(0), _) => match exit.result.as_ref().and_then(|result| result["status"].as_str()) {
            Some("nothing_new") => End::NothingNew,
            _ => End::Ok,
        },
        (Some(4), _) => End::Differences,
        (_, Some(Ending::Cancelled)) => End::Cancelled,
        (_, Some(Ending::TimedOut)) => End::TimedOut,
        (_, Some(Ending::Stopped)) => End::Stopped,
        (Some(3), None) => End::Busy,
        (Some(2), None) => End::Refused,
        // A signal from elsewhere: it says that it was interrupted, or nothing at all.
        (_, None) => End::Failed,
    }
}

/// Why it ended so, in a sentence, where that needs one.
fn message(end: End, exit: &Exit) -> Option<String> {
    let error = exit.result.as_ref().map(|result| &result["error"]).filter(|error| error.is_object());
    let told = error.map(|error| {
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        format!("{} {}", text("code"), text("message")).trim().to_owned()
    });
    match end {
        End::Ok | End::NothingNew | End::Differences => None,
        End::TimedOut => Some("it took longer than `timeout`, and was stopped".into()),
        End::Cancelled | End::Stopped => told,
        _ => told.or_else(|| {
            let line = exit.said.lines().rev().find(|line| !line.trim().is_empty());
            let how =
                exit.code.map_or("its process was killed".to_owned(), |code| format!("it ended with exit code {code}"));
            Some(line.map_or(how.clone(), |line| format!("{how}: {}", floodmark_core::error::shorten(line))))
        }),
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
pub(crate) mod tests;
