//! `run`: pipelines of the file, one after the other or some at a time.

use super::{Context, Failure};
use crate::{
    args::{Elsewhere, RunArgs},
    env, project,
    render::{Told, certificate, json, preview, progress::Progress, terminal},
    shell::quote,
    signals,
    work::{self, Work},
};
use chrono::{DateTime, Utc};
use floodmark_connect::{
    Source,
    crash::{self, Point},
};
use floodmark_core::{
    Code, Error, Result,
    clock::{SharedClock, Standing, SystemClock},
    event::{Event, Observer},
    outlet::LineageSpec,
    pipeline::Pipeline,
    url::ConnectionUrl,
    wording,
};
use floodmark_engine::{
    BackfillOptions, Backfilled, Engine, Intent, Outcome, Previewed, RepairOptions, Repaired, RunOptions, Status,
    prove::{Certificate, Means},
    verify::{Request, Verification},
};
use floodmark_lineage::{Finish, Lineage};
use floodmark_trace::{End, Kind, Traces};
use std::{
    collections::BTreeMap,
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// `floodmark run`
pub(super) fn run(cx: &Context, args: &RunArgs) -> Result<u8, Failure> {
    let project = project::open(&cx.global)?;
    let mut works = work::select(&project, &args.names, &cx.printer, true)?;
    if args.full_refresh {
        confirm_refresh(cx, &works)?;
    }
    let elsewhere = &args.elsewhere;
    let batch_rows = elsewhere.commit_every.map(|rows| usize::try_from(rows.get()).unwrap_or(usize::MAX));
    let (wait, newest) = (args.wait.time(), args.served.newest.clone());
    let options = RunOptions { wait, full_refresh: args.full_refresh, batch_rows, replay: None, newest };
    let clock: SharedClock = match elsewhere.at {
        Some(at) => Arc::new(Standing(at)),
        None => Arc::new(SystemClock),
    };
    redirect(&mut works, elsewhere)?;
    // A trial on a copy is no run that anybody is to hear of.
    let hearers = match elsewhere.into {
        Some(_) => Hearers::NOBODY,
        None => Hearers { due: args.served.due, ..Hearers::of(&project) },
    };
    run_all(cx, works, &options, usize::from(args.jobs), Told::AsWritten, clock, hearers)
}

/// Who is told of runs, beside whoever watches.
#[derive(Clone, Copy)]
pub(super) struct Hearers<'a> {
    lineage: Option<&'a LineageSpec>,
    /// Whether they are traced, where the environment says to whom.
    traced: bool,
    /// When the runs were due, where a schedule says so.
    due: Option<DateTime<Utc>>,
}

impl<'a> Hearers<'a> {
    /// Of what changes nothing there is nothing to hear.
    pub(super) const NOBODY: Hearers<'static> = Hearers { lineage: None, traced: false, due: None };
    /// Of a run that no pipeline file speaks of.
    pub(super) const TRACED: Hearers<'static> = Hearers { traced: true, ..Hearers::NOBODY };

    /// As the pipeline file says, of what nobody's schedule asked for.
    pub(super) fn of(project: &'a floodmark_config::Project) -> Hearers<'a> {
        Hearers { lineage: project.lineage.as_ref(), ..Hearers::TRACED }
    }
}

/// Everybody who reads the events of runs.
struct Readers {
    progress: Arc<Progress>,
    lineage: Option<Arc<Lineage>>,
    traces: Option<Arc<Traces>>,
}

impl Observer for Readers {
    fn observe(&self, event: &Event) {
        self.progress.observe(event);
        if let Some(lineage) = &self.lineage {
            lineage.observe(event);
        }
        if let Some(traces) = &self.traces {
            traces.observe(event);
        }
    }
}

/// How a run ended, as its span says it.
fn end(outcome: &Outcome) -> End {
    let code = outcome.error.as_ref().map(Error::code).filter(|_| outcome.status == Status::Failed);
    End { status: outcome.status.name(), counts: outcome.counts, failure: code.map(Into::into) }
}

/// What became of a run, for those who hear of it; `None` where it came to nothing.
fn finish(outcome: &Outcome) -> Option<Finish<'_>> {
    let interrupted = |error: &Error| error.code() == Code::Interrupted;
    let kind = match outcome.status {
        Status::Busy => return None,
        Status::Failed if outcome.error.as_ref().is_some_and(interrupted) => floodmark_lineage::Outcome::Abort,
        Status::Failed => floodmark_lineage::Outcome::Fail,
        Status::Ok | Status::NothingNew => floodmark_lineage::Outcome::Complete,
    };
    Some(Finish {
        outcome: kind,
        status: outcome.status.name(),
        counts: outcome.counts,
        watermark: outcome.watermark.as_ref(),
        error: outcome.error.as_ref().map(|error| format!("{} {error}", error.code().number())),
    })
}

/// Sends the pipelines into the destination that is named in place of theirs, where one is.
fn redirect(works: &mut [Work], elsewhere: &Elsewhere) -> Result<()> {
    let Some(into) = &elsewhere.into else { return Ok(()) };
    let url = ConnectionUrl::parse(into)?;
    for pipeline in works.iter_mut().filter_map(|work| work.pipeline.as_mut().ok()) {
        pipeline.destination.url = url.clone();
        pipeline.commit_every = elsewhere.commit_every.map_or(pipeline.commit_every, NonZeroU64::get);
    }
    Ok(())
}

/// What the pieces of work are called.
pub(super) fn names(works: &[Work]) -> Vec<&str> {
    works.iter().map(|work| work.name.as_str()).collect()
}

/// A full refresh throws rows away that the source may no longer hold.
pub(super) fn confirm_refresh(cx: &Context, works: &[Work]) -> Result<()> {
    let pipelines = works.iter().filter_map(|work| work.pipeline.as_ref().ok());
    let tables: Vec<&str> = pipelines.map(|p| p.destination.table.as_str()).collect();
    if tables.is_empty() {
        return Ok(());
    }
    let begins =
        works.iter().filter_map(|work| work.pipeline.as_ref().ok()?.watermark.as_ref()?.start.as_deref()).next();
    let lost = match begins {
        Some(start) => {
            format!("rows that the source no longer holds, and what backfills loaded before `start: {start}`, are lost")
        }
        None => "rows that the source no longer holds are lost".to_owned(),
    };
    let what = format!("a full refresh empties {} and loads everything again; {lost}", tables.join(", "));
    cx.printer.confirm(&what, cx.global.yes)
}

/// An engine whose progress and outcomes are printed, with signals watched.
pub(super) struct Runner {
    engine: Engine,
    progress: Arc<Progress>,
    lineage: Option<Arc<Lineage>>,
    traces: Option<Arc<Traces>>,
    /// When its runs were due.
    due: Option<DateTime<Utc>>,
    told: Told,
    /// Of the longest name.
    width: usize,
    /// Errors say whose they are.
    several: bool,
}

impl Runner {
    /// From here on SIGINT and SIGTERM stop the run instead of the process; inside another program these are its own.
    /// `hearers`: who is told of runs beside.
    pub(super) fn start(
        cx: &Context,
        names: &[&str],
        told: Told,
        clock: SharedClock,
        hearers: Hearers<'_>,
    ) -> Result<Self> {
        if !cx.inside {
            signals::watch(&cx.stop)?;
        }
        let progress = Arc::new(Progress::new(cx.printer.clone(), cx.logging, told));
        let (printer, warned) = (cx.printer.clone(), Arc::clone(&progress));
        let warn = move |pipeline: &str, message: String| match pipeline {
            "" => printer.warning(&message),
            pipeline => warned.observe(&Event::Warning { pipeline: pipeline.to_owned(), message }),
        };
        let lineage = hearers.lineage.and_then(|spec| Lineage::new(spec, warn)).map(Arc::new);
        let printer = cx.printer.clone();
        let traces = hearers.traced.then(|| Traces::from_env(&env::lookup, move |why| printer.warning(why))).flatten();
        let traces = traces.map(Arc::new);
        let readers = Readers { progress: Arc::clone(&progress), lineage: lineage.clone(), traces: traces.clone() };
        let observer: Arc<dyn Observer> = Arc::new(readers);
        let engine = Engine { clock, observer, stop: cx.stop.clone() };
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        Ok(Runner { engine, progress, lineage, traces, due: hearers.due, told, width, several: names.len() > 1 })
    }

    /// Those who hear of runs hear of this one.
    fn heard<T>(&self, kind: Kind, pipeline: &Pipeline, run: impl FnOnce() -> T, of: impl FnOnce(&T) -> &Outcome) -> T {
        self.lineage.iter().for_each(|lineage| lineage.begin(pipeline, self.due));
        self.traces.iter().for_each(|traces| traces.begin(kind, pipeline, self.due));
        let done = run();
        let outcome = of(&done);
        self.traces.iter().for_each(|traces| traces.end(&pipeline.name, &end(outcome)));
        self.lineage.iter().for_each(|lineage| lineage.end(&pipeline.name, finish(outcome).as_ref()));
        done
    }

    /// Verifies a pipeline. Nothing is printed but what happens on the way.
    pub(super) fn verify(&self, pipeline: &Pipeline, request: &Request<'_>) -> Result<Verification> {
        let found = self.engine.verify(pipeline, request);
        self.progress.close(&pipeline.name);
        found
    }

    /// Repairs a pipeline's table. Nothing is printed but what happens on the way.
    pub(super) fn repair(&self, pipeline: &Pipeline, request: &Request<'_>, options: &RepairOptions) -> Repaired {
        let repair = || self.engine.repair(pipeline, request, options);
        let repaired = self.heard(Kind::Repair, pipeline, repair, |repaired| &repaired.outcome);
        self.progress.close(&pipeline.name);
        repaired
    }

    /// What that would do.
    pub(super) fn repair_plan(
        &self,
        pipeline: &Pipeline,
        request: &Request<'_>,
        options: &RepairOptions,
    ) -> Result<(Verification, Intent)> {
        let planned = self.engine.repair_plan(pipeline, request, options);
        self.progress.close(&pipeline.name);
        planned
    }

    /// Runs a pipeline. Nothing is printed but what happens on the way.
    fn carry_out(&self, work: Work, options: &RunOptions) -> Done {
        match work.pipeline {
            Ok(pipeline) => self.carried_out(pipeline, |engine, pipeline| engine.run(pipeline, options)),
            Err(error) => Done { outcome: Outcome::refused(work.name, error), pipeline: None },
        }
    }

    /// Runs a pipeline over rows that are handed over, and reports what became of it.
    pub(super) fn run_handed(
        &self,
        cx: &Context,
        source: &dyn Source,
        pipeline: Pipeline,
        options: &RunOptions,
    ) -> Result<Outcome> {
        let run = |engine: &Engine, pipeline: &Pipeline| engine.run_handed(source, pipeline, options);
        self.report(cx, self.carried_out(pipeline, run))
    }

    fn carried_out(&self, pipeline: Pipeline, run: impl FnOnce(&Engine, &Pipeline) -> Outcome) -> Done {
        let mut outcome = self.heard(Kind::Run, &pipeline, || run(&self.engine, &pipeline), |outcome| outcome);
        outcome.error = outcome.error.map(|error| error.reworded(|text| self.told.tell(text)));
        self.progress.close(&pipeline.name);
        Done { outcome, pipeline: Some(pipeline) }
    }

    /// Prints what became of a run. An error here is one of printing.
    fn report(&self, cx: &Context, done: Done) -> Result<Outcome> {
        let Done { outcome, pipeline } = done;
        self.progress.suspend(|| {
            self.print(cx, &outcome)?;
            pipeline.iter().for_each(|pipeline| self.rejects(cx, pipeline, &outcome, false));
            Ok::<(), Error>(())
        })?;
        crash::reached(Point::Reported)?;
        Ok(outcome)
    }

    /// Runs a pipeline and prints what became of it. An error here is one of printing.
    pub(super) fn run(&self, cx: &Context, work: Work, options: &RunOptions) -> Result<Outcome> {
        self.report(cx, self.carry_out(work, options))
    }

    /// Fills a range of a pipeline. Nothing is printed but what happens on the way.
    pub(super) fn backfill(&self, pipeline: &Pipeline, options: &BackfillOptions) -> Backfilled {
        let fill = || self.engine.backfill(pipeline, options);
        let filled = self.heard(Kind::Backfill, pipeline, fill, |filled| &filled.outcome);
        self.progress.close(&pipeline.name);
        filled
    }

    /// Prints what became of that.
    pub(super) fn report_fill(&self, cx: &Context, pipeline: &Pipeline, filled: &Backfilled) -> Result<()> {
        cx.printer.done(&terminal::filled(filled, self.width))?;
        self.rejects(cx, pipeline, &filled.outcome, false);
        if let Some(error) = &filled.outcome.error {
            self.error(cx, &pipeline.name, error);
        }
        crash::reached(Point::Reported)
    }

    /// What is found of a pipeline's promises, printed where it is not for a program; a run that failed too.
    pub(super) fn prove(&self, cx: &Context, work: Work, means: &Means<'_>) -> Result<Certificate> {
        let found = match work.pipeline {
            Ok(pipeline) => {
                let proven = self.engine.prove(&pipeline, means);
                self.progress.close(&pipeline.name);
                proven?
            }
            Err(error) => Certificate::refused(work.name, error),
        };
        if cx.printer.json() {
            cx.printer.object(&certificate::object(&found))?;
            return Ok(found);
        }
        match &found.reference.error {
            Some(_) => self.print(cx, &found.reference)?,
            None => cx.printer.text(&certificate::text(&found))?,
        }
        if let (None, Some(error)) = (&found.reference.error, found.failed()) {
            self.error(cx, &found.reference.pipeline, error);
        }
        Ok(found)
    }

    /// What a run of a pipeline would do, printed.
    pub(super) fn plan(&self, cx: &Context, work: Work, wait: Option<Duration>, samples: usize) -> Result<Previewed> {
        let (previewed, pipeline) = match work.pipeline {
            Ok(pipeline) => (self.engine.plan(&pipeline, wait, samples), Some(pipeline)),
            Err(error) => (Previewed::refused(work.name, error), None),
        };
        self.progress.close(&previewed.outcome.pipeline);
        if cx.printer.json() {
            cx.printer.object(&preview::object(&previewed))?;
        } else {
            let table = pipeline.as_ref().map_or("", |pipeline| pipeline.destination.table.as_str());
            cx.printer.text(&preview::text(&previewed, table, self.width))?;
            pipeline.iter().for_each(|pipeline| self.rejects(cx, pipeline, &previewed.outcome, true));
            if let Some(error) = &previewed.outcome.error {
                self.error(cx, &previewed.outcome.pipeline, error);
            }
        }
        Ok(previewed)
    }

    fn print(&self, cx: &Context, outcome: &Outcome) -> Result<()> {
        if cx.printer.json() {
            return cx.printer.object(&json::outcome(outcome));
        }
        cx.printer.done(&terminal::outcome(outcome, self.width))?;
        if let Some(error) = &outcome.error {
            self.error(cx, &outcome.pipeline, error);
        }
        Ok(())
    }

    /// Whoever sees errors alone, as in a mail of cron, is to know whose they are.
    fn error(&self, cx: &Context, pipeline: &str, error: &Error) {
        cx.printer.error(Some(pipeline).filter(|_| self.several), error);
    }

    /// Rows that were set aside are easily overlooked among the counts: told with the first reason, and where they are.
    fn rejects(&self, cx: &Context, pipeline: &Pipeline, outcome: &Outcome, would: bool) {
        let first =
            self.progress.rejected(&pipeline.name).filter(|_| outcome.counts.rejected > 0 && !cx.printer.json());
        let Some(first) = first else { return };
        let mut command = format!("floodmark rejects list {}", quote(&pipeline.name));
        match (&cx.global.file, self.told) {
            (_, Told::AsFlags) => {
                command.push_str(&format!(" --destination {}", quote(&pipeline.destination.url.to_string())));
            }
            (Some(file), _) => command.push_str(&format!(" -f {}", quote(&file.display().to_string()))),
            (None, _) => {}
        }
        let help =
            if would { format!("a run keeps them aside: {command}") } else { format!("look at them: {command}") };
        cx.printer.warning_with(&terminal::rejected(outcome, &first, would), &help);
    }
}

/// A run that is over, and what was run, where there was anything to run.
struct Done {
    outcome: Outcome,
    pipeline: Option<Pipeline>,
}

/// Reports in the order of the pipelines, whichever of them is done first.
struct Reports<'a> {
    cx: &'a Context,
    runner: &'a Runner,
    /// Runs that are over and wait for others before them.
    waiting: BTreeMap<usize, Done>,
    /// What was printed, in order; its number is the next one's place.
    printed: Vec<Result<Outcome>>,
}

impl Reports<'_> {
    fn take(&mut self, place: usize, done: Done) {
        self.waiting.insert(place, done);
        while let Some(done) = self.waiting.remove(&self.printed.len()) {
            self.printed.push(self.runner.report(self.cx, done));
        }
    }
}

/// Runs them, prints each outcome in its turn, and returns the worst exit code. One that fails stops no other.
pub(super) fn run_all(
    cx: &Context,
    works: Vec<Work>,
    options: &RunOptions,
    jobs: usize,
    told: Told,
    clock: SharedClock,
    hearers: Hearers<'_>,
) -> Result<u8, Failure> {
    let began = Instant::now();
    let all = works.len();
    let runner = Runner::start(cx, &names(&works), told, clock, hearers)?;
    let queue = Mutex::new(works.into_iter().enumerate());
    let reports = Mutex::new(Reports { cx, runner: &runner, waiting: BTreeMap::new(), printed: Vec::new() });
    let work = || {
        while cx.stop.check().is_ok() {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, work)) = next else { break };
            let done = runner.carry_out(work, options);
            reports.lock().unwrap_or_else(PoisonError::into_inner).take(place, done);
        }
    };
    thread::scope(|scope| {
        for _ in 1..jobs.min(all) {
            scope.spawn(work);
        }
        work();
    });
    let printed = reports.into_inner().unwrap_or_else(PoisonError::into_inner).printed;
    let outcomes = printed.into_iter().collect::<Result<Vec<Outcome>>>()?;
    if all > 1 && !cx.printer.json() {
        cx.printer.done(&terminal::total(&outcomes, began.elapsed()))?;
    }
    let mut codes: Vec<u8> = outcomes.iter().map(exit_code).collect();
    if outcomes.len() < all {
        let left = all - outcomes.len();
        cx.printer.note(&format!(
            "interrupted: {left} of {} not started",
            wording::agree(all as u64, "pipeline", "was", "were")
        ));
        // A signal between two pipelines fails neither of them, and still cuts the command short.
        codes.extend(cx.stop.check().err().map(|error| error.exit_code()));
    }
    Ok(worst(codes))
}

/// The exit code of one outcome.
pub(super) fn exit_code(outcome: &Outcome) -> u8 {
    match (&outcome.error, outcome.status) {
        (Some(error), _) => error.exit_code(),
        (None, Status::Failed) => 1,
        (None, Status::Busy) => 3,
        (None, Status::Ok | Status::NothingNew) => 0,
    }
}

/// Of several exit codes the most telling one.
pub(super) fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    codes.into_iter().max_by_key(|code| severity(*code)).unwrap_or(0)
}

/// Interrupted, failed, configuration, busy, differences, done.
fn severity(code: u8) -> u8 {
    match code {
        0 => 0,
        4 => 1,
        3 => 2,
        2 => 3,
        1 => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_beats_busy_and_a_signal_beats_both() {
        assert_eq!(worst([0, 3, 1, 0]), 1);
        assert_eq!(worst([3, 0, 4]), 3);
        assert_eq!(worst([2, 3]), 2);
        assert_eq!(worst([1, 143, 2]), 143);
        assert_eq!(worst([]), 0);
    }
}
