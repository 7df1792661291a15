//! Attempts at a run, from lock to receipt: what passes by itself is tried again, what does not is put on record.

use crate::{
    prove::disorder::{Disorder, Disordered},
    registry,
    run::{Engine, RunOptions, Work, unsafe_combinations},
};
use backon::{BackoffBuilder, ExponentialBuilder};
use floodmark_connect::{
    Destination, Session, Source,
    crash::{self, Point},
};
use floodmark_core::{Code, Error, Result, event::Event, pipeline::Pipeline, state::RunRecord, wording};
use std::time::{Duration, Instant};

/// How often a run that was broken off by what passes by itself is tried again, and how long after the first time; each
/// further pause is twice as long, and up to twice that by chance, so that many do not come back at once.
const RETRIES: usize = 4;
const PAUSE: Duration = Duration::from_secs(1);

/// The rows of a run.
pub(crate) enum Rows<'a> {
    /// Those of the pipeline's own source, in disorder where that is asked for.
    Own(Option<Disorder>),
    /// Those that a program hands over.
    Handed(&'a dyn Source),
}

fn opened(pipeline: &Pipeline, how: Option<Disorder>) -> Result<Box<dyn Source>> {
    let inner = registry::source(&pipeline.source)?;
    Ok(match how {
        None => inner,
        Some(how) => Box::new(Disordered { inner, how }),
    })
}

/// Whether no other run came in since it was decided that this one is due. The pipeline's lock is held: none can come now.
fn still_newest(destination: &dyn Destination, options: &RunOptions, run: &RunRecord) -> Result<()> {
    let Some(newest) = &options.newest else { return Ok(()) };
    // An attempt before this one may have left a line of the run's own.
    let lines = destination.ledger()?.runs(Some(&run.pipeline), 2)?;
    let other = lines.into_iter().map(|line| line.run).find(|id| *id != run.run).unwrap_or_default();
    if other == *newest {
        return Ok(());
    }
    Err(Error::new(Code::Busy, format!("another run of pipeline {:?} began since this one was due", run.pipeline))
        .state("nothing was written"))
}

impl Engine {
    /// Attempts until one comes to its end, or fails for a reason that does not pass by itself. Each goes on from what is
    /// committed, as any run does.
    pub(crate) fn locked(
        &self,
        pipeline: &Pipeline,
        options: &RunOptions,
        rows: &Rows<'_>,
        run: &mut RunRecord,
    ) -> Result<()> {
        unsafe_combinations(pipeline)?;
        self.attempts(pipeline, run, |run, lost| self.attempt(pipeline, options, rows, run, lost))
    }

    /// `attempt` is told whether one before it lost its server, and may have committed more than it heard of.
    pub(crate) fn attempts(
        &self,
        pipeline: &Pipeline,
        run: &mut RunRecord,
        mut attempt: impl FnMut(&mut RunRecord, bool) -> Result<()>,
    ) -> Result<()> {
        let mut pauses =
            ExponentialBuilder::default().with_min_delay(PAUSE).with_max_times(RETRIES).with_jitter().build();
        let mut lost = false;
        let mut left: Option<String> = None;
        loop {
            let Err(error) = attempt(run, lost) else { return Ok(()) };
            // One that gets nowhere leaves the data as the one before it did.
            let error = left.iter().fold(error, |error, left| error.or_state(left));
            left = error.data_state().map(str::to_owned);
            // A server that broke off may not let anybody in for a while.
            let unreachable = matches!(error.code(), Code::DestinationOpen | Code::SourceRead);
            lost |= error.is_transient();
            // Rows that are added whatever is there would be added twice.
            let again = (error.is_transient() || (lost && unreachable)) && !pipeline.at_least_once;
            let Some(pause) = again.then(|| pauses.next()).flatten() else { return Err(error) };
            self.observer.observe(&Event::Retrying { pipeline: pipeline.name.clone(), code: error.code() });
            let message = format!("{}; trying again in {:.1} s", error.message(), pause.as_secs_f64());
            self.observer.observe(&Event::Warning { pipeline: pipeline.name.clone(), message });
            let state = left.clone().unwrap_or_default();
            self.rest(pause).map_err(|stopped| stopped.or_state(state).cause(error))?;
            (run.error, run.finished_at) = (None, None);
        }
    }

    /// Waits, but not beyond a signal.
    pub(crate) fn rest(&self, pause: Duration) -> Result<()> {
        let until = Instant::now() + pause;
        loop {
            self.stop.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// `lost`: an attempt before this one lost its server, and may have committed more than it heard of.
    fn attempt(
        &self,
        pipeline: &Pipeline,
        options: &RunOptions,
        rows: &Rows<'_>,
        run: &mut RunRecord,
        lost: bool,
    ) -> Result<()> {
        let own: Box<dyn Source>;
        let source = match rows {
            Rows::Handed(source) => *source,
            Rows::Own(how) => {
                own = opened(pipeline, how.clone())?;
                own.as_ref()
            }
        };
        let destination = registry::destination(&pipeline.destination.url)?;
        let mut slices = source.slices(&self.stop);
        if let (Ok(slices), Some(replay)) = (&mut slices, &options.replay) {
            slices.iter_mut().for_each(|s| s.name.clone_from(&replay.slice));
        }
        let open = || {
            let opened = destination.open(&pipeline.name, &run.run, options.wait, &self.stop);
            opened.map_err(|error| if lost { error } else { error.or_state("nothing was written") })
        };
        if let Err(error) = slices {
            // A database that is not there yet is not made only to note that a file is missing.
            if destination.ledger().is_err() {
                return Err(error.or_state("nothing was written"));
            }
            let mut session = open()?;
            still_newest(destination.as_ref(), options, run)?;
            return self.failed(session.as_mut(), run, error);
        }
        let mut session = open()?;
        still_newest(destination.as_ref(), options, run)?;
        self.observer.observe(&Event::Locked { pipeline: pipeline.name.clone() });
        if lost && let Some(kept) = session.receipt(&run.run)? {
            let complete = kept.status == "ok";
            run.take_committed(kept);
            if complete {
                return Ok(());
            }
        }
        let work = Work { engine: self, pipeline, options, source, can: destination.capabilities() };
        let locked = crash::reached(Point::Locked).and(slices);
        match locked.and_then(|slices| work.run(session.as_mut(), slices, run, None)) {
            Ok(()) => Ok(()),
            Err(error) => self.failed(session.as_mut(), run, error),
        }
    }

    /// Puts a failed run on record and says what state the data is in. A run of which only the answer was lost has not failed.
    pub(crate) fn failed(&self, session: &mut dyn Session, run: &mut RunRecord, error: Error) -> Result<()> {
        let mut complete = false;
        // The answer to a commit can be lost although it was applied. What the ledger has is what is committed.
        match session.receipt(&run.run) {
            Ok(Some(kept)) => {
                complete = kept.status == "ok";
                run.take_committed(kept);
                if complete && error.is_transient() {
                    tracing::warn!(%error, "the server was lost when all was committed");
                    return Ok(());
                }
            }
            Ok(None) => {}
            Err(second) => tracing::warn!(error = %second, "what is committed of the failed run could not be read"),
        }
        let rows = run.counts.accounted();
        let error = error.or_state(if complete {
            format!("all of this run is committed ({}); nothing needs repair", wording::count(rows, "row"))
        } else if rows == 0 {
            "nothing was written to the table".to_owned()
        } else {
            let (kept, are) = (wording::count(rows, "row"), wording::verb(rows, "is", "are"));
            format!("{kept} of this run {are} committed; the rest was rolled back, and a re-run goes on from there")
        });
        run.status = if error.code() == Code::Interrupted { "interrupted" } else { "failed" }.into();
        run.finished_at = Some(self.clock.now());
        run.error = Some(format!("{} {error}", error.code().number()));
        if let Err(second) = session.record(run, &[]) {
            tracing::warn!(error = %second, "the failed run could not be put on record");
        }
        Err(error)
    }
}
