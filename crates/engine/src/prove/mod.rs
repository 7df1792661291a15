//! Whether a pipeline keeps the promises with its own data: trials on copies of its database.
//!
//! Every trial begins at the same point: a copy in which the pipeline was never loaded. What it leaves is compared with
//! what one unbroken run leaves there, the reference.

mod bench;
mod child;
pub(crate) mod disorder;
mod kills;
mod once;
mod order;

use crate::run::{Engine, Outcome};
use bench::Bench;
pub use child::Errand;
use chrono::{DateTime, Utc};
use floodmark_connect::Differences;
use floodmark_core::{Code, Error, Result, event::Event, fingerprint::Fingerprint, pipeline::Pipeline};
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// How many differing rows of each kind are kept of a broken promise.
const SAMPLES: usize = 3;

/// What trials need beside the pipeline.
pub struct Means<'a> {
    /// The folder in which copies are made, in a folder of their own that is gone afterwards.
    pub scratch: &'a Path,
    /// A command that runs the pipeline in another process, as an errand says.
    pub launch: &'a dyn Fn(&Errand<'_>) -> Result<Command>,
}

/// What was found of one pipeline.
#[derive(Debug)]
pub struct Certificate {
    /// The pipeline's table.
    pub table: String,
    /// The unbroken run. Where it failed nothing else was tried.
    pub reference: Outcome,
    /// The table's fingerprint after it.
    pub fingerprint: Option<Fingerprint>,
    /// By promise.
    pub trials: Vec<Trial>,
    /// Wall time of all.
    pub elapsed: Duration,
}

/// One promise put to the test.
#[derive(Debug)]
pub struct Trial {
    /// `P1` … `P9`, as in the list of promises.
    pub promise: &'static str,
    /// What was done.
    pub what: String,
    /// The table afterwards; `None` where there is none to speak of.
    pub fingerprint: Option<Fingerprint>,
    /// How it ended.
    pub verdict: Verdict,
    /// Wall time.
    pub elapsed: Duration,
}

/// How a trial ended.
#[derive(Debug)]
pub enum Verdict {
    /// The promise was kept; with what there is to say about it.
    Held(Option<String>),
    /// It was not.
    Broken(Box<Break>),
    /// The pipeline's settings promise nothing here, for this reason.
    NotPromised(String),
    /// It could not be judged, for this reason.
    NotTried(String),
    /// A run failed that should not have.
    Failed(Error),
}

/// A promise that was not kept.
#[derive(Debug, Default)]
pub struct Break {
    /// What happened, in a sentence.
    pub message: String,
    /// From the reference to the table of the trial.
    pub differences: Differences,
    /// What to do.
    pub advice: Vec<String>,
}

impl Verdict {
    /// As in `--format json`.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Held(_) => "held",
            Verdict::Broken(_) => "broken",
            Verdict::NotPromised(_) => "not_promised",
            Verdict::NotTried(_) => "not_tried",
            Verdict::Failed(_) => "failed",
        }
    }
}

impl Certificate {
    /// Of a pipeline that could not be run at all.
    pub fn refused(pipeline: String, error: Error) -> Self {
        Certificate {
            table: String::new(),
            reference: Outcome::refused(pipeline, error),
            fingerprint: None,
            trials: Vec::new(),
            elapsed: Duration::ZERO,
        }
    }

    /// Whether a promise was broken.
    pub fn broken(&self) -> bool {
        self.trials.iter().any(|t| matches!(t.verdict, Verdict::Broken(_)))
    }

    /// What failed: the reference, or the first trial that did.
    pub fn failed(&self) -> Option<&Error> {
        let trials = self.trials.iter().find_map(|t| match &t.verdict {
            Verdict::Failed(error) => Some(error),
            _ => None,
        });
        self.reference.error.as_ref().or(trials)
    }
}

/// What a trial found, before it is timed.
struct Found {
    what: String,
    fingerprint: Option<Fingerprint>,
    verdict: Verdict,
}

impl Engine {
    /// Puts a pipeline's promises to the test. The pipeline's own table, state and files are read and never changed.
    ///
    /// An error where nothing could be tried, or when it was interrupted; a run that fails is part of the certificate.
    pub fn prove(&self, pipeline: &Pipeline, means: &Means<'_>) -> Result<Certificate> {
        let proven = self.certify(pipeline, means);
        self.observer.observe(&Event::Finished { pipeline: pipeline.name.clone() });
        proven
            .map_err(|error| error.or_state("the trials ended early; the pipeline's table and state are as they were"))
    }

    fn certify(&self, pipeline: &Pipeline, means: &Means<'_>) -> Result<Certificate> {
        if pipeline.source.reads_stdin() {
            return Err(Error::new(
                Code::BadArgument,
                "standard input can be read but once, and the trials read it again",
            )
            .state("nothing was done")
            .help("write it to a file, and name that as the source"));
        }
        let began = Instant::now();
        let bench = Bench::new(self, pipeline, means)?;
        bench.tell("the reference: one unbroken run");
        let (reference, run) = bench.reference()?;
        let mut proof = Proof { bench: &bench, trials: Vec::new(), steady: true };
        if run.error.is_none() {
            once::twice(&mut proof, &reference)?;
            order::recut(&mut proof, &reference)?;
            order::shuffled(&mut proof, &reference)?;
            order::last_first(&mut proof, &reference)?;
            kills::killed(&mut proof, &reference)?;
            once::fired(&mut proof, &reference)?;
            proof.accounted();
        }
        proof.trials.sort_by_key(|trial| trial.promise);
        Ok(Certificate {
            table: pipeline.destination.table.clone(),
            fingerprint: run.error.is_none().then_some(reference.fingerprint),
            reference: run,
            trials: proof.trials,
            elapsed: began.elapsed(),
        })
    }
}

/// A certificate while it is made.
struct Proof<'b, 'a> {
    bench: &'b Bench<'a>,
    trials: Vec<Trial>,
    /// The same input gave the same table, so that comparisons say something.
    steady: bool,
}

impl Proof<'_, '_> {
    /// Makes a trial. Only an interruption, or a source that is another by now, ends all of them.
    fn trial(&mut self, promise: &'static str, what: &str, make: impl FnOnce() -> Result<Found>) -> Result<()> {
        self.bench.stop().check()?;
        self.bench.tell(&format!("{promise}: {what}"));
        let began = Instant::now();
        let found = match make() {
            Err(error) if error.code() == Code::Interrupted => return Err(error),
            Err(error) => Found { what: what.to_owned(), fingerprint: None, verdict: Verdict::Failed(error) },
            Ok(found) => found,
        };
        let Found { what, fingerprint, verdict } = found;
        if matches!(verdict, Verdict::Broken(_) | Verdict::Failed(_)) {
            // Other rows make another table, which breaks no promise.
            self.bench.same_source()?;
        }
        self.trials.push(Trial { promise, what, fingerprint, verdict, elapsed: began.elapsed() });
        Ok(())
    }

    /// Notes that a trial is not made.
    fn leave(&mut self, promise: &'static str, what: &str, verdict: Verdict) {
        let what = what.to_owned();
        self.trials.push(Trial { promise, what, fingerprint: None, verdict, elapsed: Duration::ZERO });
    }

    /// Why no comparison says anything, if none does.
    fn unsteady(&self) -> Option<Verdict> {
        (!self.steady).then(|| Verdict::NotTried("the same input gives another table each time".to_owned()))
    }

    fn accounted(&mut self) {
        let (runs, wrong) = self.bench.audited();
        let what = format!("the sums of {}", floodmark_core::wording::count(runs, "run"));
        let verdict = match wrong {
            None => Verdict::Held(None),
            Some(error) => Verdict::Broken(Box::new(Break { message: error.message().to_owned(), ..Break::default() })),
        };
        self.leave("P9", &what, verdict);
    }
}

/// Milliseconds, as the run ledger keeps a time.
fn moment(now: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now)
}
