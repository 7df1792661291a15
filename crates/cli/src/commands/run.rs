//! `run`: pipelines of the file, one after the other or some at a time.

use super::{Context, Failure};
use crate::{
    args::{Elsewhere, RunArgs},
    project,
    render::{Told, certificate, json, preview, progress::Progress, terminal},
    shell::quote,
    signals,
};
use floodmark_config::Project;
use floodmark_connect::crash::{self, Point};
use floodmark_core::{
    Code, Error, Result,
    clock::{SharedClock, Standing, SystemClock},
    event::Observer,
    pipeline::Pipeline,
    url::ConnectionUrl,
    wording,
};
use floodmark_engine::{
    Engine, Outcome, Previewed, RunOptions, Status,
    prove::{Certificate, Means},
};
use std::{
    num::NonZeroU64,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// `floodmark run`
pub(super) fn run(cx: &Context, args: &RunArgs) -> Result<u8, Failure> {
    let project = project::open(&cx.global)?;
    let pipelines = some(&project, &args.names)?;
    if args.full_refresh {
        confirm_refresh(cx, &pipelines)?;
    }
    let elsewhere = &args.elsewhere;
    let batch_rows = elsewhere.commit_every.map(|rows| usize::try_from(rows.get()).unwrap_or(usize::MAX));
    let options = RunOptions { wait: args.wait.time(), full_refresh: args.full_refresh, batch_rows, replay: None };
    let clock: SharedClock = match elsewhere.at {
        Some(at) => Arc::new(Standing(at)),
        None => Arc::new(SystemClock),
    };
    let moved = moved(&pipelines, elsewhere)?;
    let pipelines = if moved.is_empty() { pipelines } else { moved.iter().collect() };
    run_all(cx, &pipelines, &options, usize::from(args.jobs), Told::AsWritten, clock)
}

/// The pipelines into the destination that is named in place of theirs; none where none is.
fn moved(pipelines: &[&Pipeline], elsewhere: &Elsewhere) -> Result<Vec<Pipeline>> {
    let Some(into) = &elsewhere.into else { return Ok(Vec::new()) };
    let url = ConnectionUrl::parse(into)?;
    let moved = pipelines.iter().map(|pipeline| {
        let mut pipeline = (*pipeline).clone();
        pipeline.destination.url = url.clone();
        pipeline.commit_every = elsewhere.commit_every.map_or(pipeline.commit_every, NonZeroU64::get);
        pipeline
    });
    Ok(moved.collect())
}

/// The named pipelines, all where none is named; at least one.
pub(super) fn some<'a>(project: &'a Project, names: &[String]) -> Result<Vec<&'a Pipeline>> {
    let pipelines = project::select(project, names)?;
    if pipelines.is_empty() {
        return Err(Error::new(Code::ConfigInvalid, "the pipeline file has no pipelines").state("nothing was done"));
    }
    Ok(pipelines)
}

/// A full refresh throws rows away that the source may no longer hold.
pub(super) fn confirm_refresh(cx: &Context, pipelines: &[&Pipeline]) -> Result<()> {
    let tables: Vec<&str> = pipelines.iter().map(|p| p.destination.table.as_str()).collect();
    let what = format!(
        "a full refresh empties {} and loads everything again; rows that the source no longer holds are lost",
        tables.join(", ")
    );
    cx.printer.confirm(&what, cx.global.yes)
}

/// An engine whose progress and outcomes are printed, with signals watched.
pub(super) struct Runner {
    engine: Engine,
    progress: Arc<Progress>,
    told: Told,
    /// Of the longest name.
    width: usize,
    /// Outcomes are printed one at a time, so that lines of two threads do not mix.
    printing: Mutex<()>,
}

impl Runner {
    /// From here on SIGINT and SIGTERM stop the run instead of the process.
    pub(super) fn start(cx: &Context, width: usize, told: Told, clock: SharedClock) -> Result<Self> {
        signals::watch(&cx.stop)?;
        let progress = Arc::new(Progress::new(cx.printer, cx.logging, told));
        let observer: Arc<dyn Observer> = progress.clone();
        let engine = Engine { clock, observer, stop: cx.stop.clone() };
        Ok(Runner { engine, progress, told, width, printing: Mutex::default() })
    }

    /// Runs a pipeline and prints what became of it. An error here is one of printing.
    pub(super) fn run(&self, cx: &Context, pipeline: &Pipeline, options: &RunOptions) -> Result<Outcome> {
        let mut outcome = self.engine.run(pipeline, options);
        outcome.error = outcome.error.map(|error| error.reworded(|text| self.told.tell(text)));
        self.progress.close(&pipeline.name);
        let _one = self.printing.lock().unwrap_or_else(PoisonError::into_inner);
        self.progress.suspend(|| {
            print(cx, &outcome, self.width)?;
            self.rejects(cx, pipeline, &outcome, false);
            Ok::<(), Error>(())
        })?;
        crash::reached(Point::Reported)?;
        Ok(outcome)
    }

    /// What is found of a pipeline's promises, printed where it is not for a program; a run that failed too.
    pub(super) fn prove(&self, cx: &Context, pipeline: &Pipeline, means: &Means<'_>) -> Result<Certificate> {
        let proven = self.engine.prove(pipeline, means);
        self.progress.close(&pipeline.name);
        let found = proven?;
        if cx.printer.json() {
            cx.printer.object(&certificate::object(&found))?;
            return Ok(found);
        }
        match &found.reference.error {
            Some(_) => print(cx, &found.reference, self.width)?,
            None => cx.printer.text(&certificate::text(&found))?,
        }
        if let (None, Some(error)) = (&found.reference.error, found.failed()) {
            cx.printer.error(error);
        }
        Ok(found)
    }

    /// What a run of a pipeline would do, printed.
    pub(super) fn plan(
        &self,
        cx: &Context,
        pipeline: &Pipeline,
        wait: Option<Duration>,
        samples: usize,
    ) -> Result<Previewed> {
        let previewed = self.engine.plan(pipeline, wait, samples);
        self.progress.close(&pipeline.name);
        if cx.printer.json() {
            cx.printer.object(&preview::object(&previewed))?;
        } else {
            cx.printer.text(&preview::text(&previewed, &pipeline.destination.table, self.width))?;
            self.rejects(cx, pipeline, &previewed.outcome, true);
            if let Some(error) = &previewed.outcome.error {
                cx.printer.error(error);
            }
        }
        Ok(previewed)
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

/// Runs them, prints each outcome as it comes, and returns the worst exit code. One that fails stops no other.
pub(super) fn run_all(
    cx: &Context,
    pipelines: &[&Pipeline],
    options: &RunOptions,
    jobs: usize,
    told: Told,
    clock: SharedClock,
) -> Result<u8, Failure> {
    let began = Instant::now();
    let runner = Runner::start(cx, pipelines.iter().map(|p| p.name.chars().count()).max().unwrap_or(0), told, clock)?;
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Result<Outcome>>> = Mutex::default();
    let work = || {
        while cx.stop.check().is_ok() {
            let Some(pipeline) = pipelines.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            let outcome = runner.run(cx, pipeline, options);
            done.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
        }
    };
    thread::scope(|scope| {
        for _ in 1..jobs.min(pipelines.len()) {
            scope.spawn(work);
        }
        work();
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let outcomes = done.into_iter().collect::<Result<Vec<Outcome>>>()?;
    if pipelines.len() > 1 && !cx.printer.json() {
        cx.printer.text(&terminal::total(&outcomes, began.elapsed()))?;
    }
    let mut codes: Vec<u8> = outcomes.iter().map(exit_code).collect();
    if outcomes.len() < pipelines.len() {
        let left = pipelines.len() - outcomes.len();
        cx.printer.note(&format!(
            "interrupted: {left} of {} not started",
            wording::agree(pipelines.len() as u64, "pipeline", "was", "were")
        ));
        // A signal between two pipelines fails neither of them, and still cuts the command short.
        codes.extend(cx.stop.check().err().map(|error| error.exit_code()));
    }
    Ok(worst(codes))
}

fn print(cx: &Context, outcome: &Outcome, width: usize) -> Result<()> {
    if cx.printer.json() {
        return cx.printer.object(&json::outcome(outcome));
    }
    cx.printer.text(&terminal::outcome(outcome, width))?;
    if let Some(error) = &outcome.error {
        cx.printer.error(error);
    }
    Ok(())
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
