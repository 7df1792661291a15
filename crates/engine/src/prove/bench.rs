//! The workbench: copies of the database, runs on them, and how they are compared with the reference.

use super::{Break, Means, SAMPLES, Verdict, child::Errand, disorder::Disorder, moment};
use crate::{
    registry,
    run::{Engine, Outcome, RunOptions},
};
use chrono::{DateTime, Utc};
use floodmark_connect::{Destination, Slice, Stop};
use floodmark_core::{
    Code, Counts, Error, Result,
    clock::Standing,
    event::{Event, Observer, Silent},
    fingerprint::Fingerprint,
    pipeline::Pipeline,
    state::{Mark, Memory, RunRecord},
    url::ConnectionUrl,
    wording,
};
use floodmark_sql::Unsteady;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};
use tempfile::TempDir;

/// The remedy where rows are added again by definition.
pub(super) const EXACTLY_ONCE: &str = "leave out `append: at_least_once`: without it every row is added once";

/// Runs that are looked at of one copy; a trial makes far fewer.
const RUNS: usize = 1000;

/// A private copy of the database, gone when it is dropped.
pub(super) struct Copy {
    /// Where it is kept; child processes write their output here too.
    pub(super) folder: TempDir,
    /// The pipeline, into the copy.
    pub(super) pipeline: Pipeline,
}

impl Copy {
    pub(super) fn url(&self) -> &ConnectionUrl {
        &self.pipeline.destination.url
    }

    pub(super) fn destination(&self) -> Result<Box<dyn Destination>> {
        registry::destination(self.url())
    }

    pub(super) fn fingerprint(&self) -> Result<Fingerprint> {
        self.destination()?.fingerprint(&self.pipeline.destination.table)
    }

    /// What is remembered after a load, as far as it is not about when and how it was made.
    pub(super) fn remains(&self) -> Result<Remains> {
        let ledger = self.destination()?.ledger()?;
        let name = &self.pipeline.name;
        let state = ledger.state(name)?.unwrap_or_default();
        Ok(Remains {
            watermark: state.watermark,
            files: state.files.iter().map(|(name, entry)| (name.clone(), (entry.rows, entry.complete))).collect(),
            memories: ledger.memories(name)?,
        })
    }
}

/// What a load leaves beside the table.
#[derive(Debug, PartialEq)]
pub(super) struct Remains {
    watermark: Option<Mark>,
    /// By name: rows, and whether these are all.
    files: BTreeMap<String, (u64, bool)>,
    memories: Vec<Memory>,
}

impl Remains {
    /// How `other` differs, if it does.
    pub(super) fn differ(&self, other: &Remains) -> Option<String> {
        let mark = |mark: &Option<Mark>| mark.as_ref().map_or("none".to_owned(), |m| m.value.to_string());
        if self.watermark != other.watermark {
            let (mine, its) = (mark(&self.watermark), mark(&other.watermark));
            return Some(format!("the watermark is {its} in place of {mine}"));
        }
        if self.files != other.files {
            return Some("the ledger has other files, or other numbers of their rows".to_owned());
        }
        (self.memories != other.memories)
            .then(|| "other things are remembered of keys, or of rows at the watermark".to_owned())
    }
}

/// What one unbroken run makes.
pub(super) struct Reference {
    pub(super) copy: Copy,
    pub(super) counts: Counts,
    pub(super) fingerprint: Fingerprint,
    pub(super) remains: Remains,
    /// The slices there are.
    pub(super) slices: usize,
    /// What in the pipeline's SQL is not the same for the same rows.
    pub(super) unsteady: Unsteady,
}

/// Where and how trials are made.
pub(super) struct Bench<'a> {
    engine: &'a Engine,
    means: &'a Means<'a>,
    pub(super) pipeline: &'a Pipeline,
    pub(super) at: DateTime<Utc>,
    folder: TempDir,
    /// Behind the folder, so that the copies in it are gone when it is their turn.
    _sweeper: Sweeper,
    /// What was there to read when the trials began.
    source: Vec<Slice>,
    /// The copy in which nothing is loaded.
    beginning: Box<dyn Destination>,
    made: Cell<usize>,
    audit: RefCell<(u64, Option<Error>)>,
}

/// Sees to it that nothing is left of the copies.
struct Sweeper(Box<dyn Destination>);

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.sweep();
    }
}

impl<'a> Bench<'a> {
    pub(super) fn new(engine: &'a Engine, pipeline: &'a Pipeline, means: &'a Means<'a>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("floodmark-prove-").tempdir_in(means.scratch).map_err(|e| {
            Error::new(Code::DestinationOpen, format!("no copies can be made in {}", means.scratch.display()))
                .state("nothing was done")
                .help("name another folder: --scratch DIR")
                .cause(e)
        })?;
        let place = folder.path().join("beginning");
        make_folder(&place)?;
        let original = registry::destination(&pipeline.destination.url)?;
        let beginning = registry::destination(&original.copy(&place, pipeline, &engine.stop)?)?;
        Ok(Bench {
            engine,
            means,
            pipeline,
            at: moment(engine.clock.now()),
            folder,
            _sweeper: Sweeper(original),
            // One that cannot be listed fails the reference, as it would a run.
            source: registry::source(&pipeline.source)
                .and_then(|source| source.slices(&engine.stop))
                .unwrap_or_default(),
            beginning,
            made: Cell::new(0),
            audit: RefCell::new((0, None)),
        })
    }

    pub(super) fn stop(&self) -> &Stop {
        &self.engine.stop
    }

    /// An error where the source is not what it was when the trials began.
    pub(super) fn same_source(&self) -> Result<()> {
        let now = registry::source(&self.pipeline.source)?.slices(self.stop())?;
        let differs = now.iter().find(|slice| !self.source.contains(slice)).or_else(|| {
            // One that is gone.
            self.source.iter().find(|slice| !now.contains(slice))
        });
        let Some(slice) = differs else { return Ok(()) };
        Err(Error::new(Code::ChangedFile, "a file of the source came, went or changed while the trials read it")
            .in_file(slice.path.clone())
            .help("prove it when nothing is delivered, or with a copy of the files"))
    }

    /// Says what is being done.
    pub(super) fn tell(&self, what: &str) {
        let event = Event::Trial { pipeline: self.pipeline.name.clone(), what: what.to_owned() };
        self.engine.observer.observe(&event);
    }

    /// A new copy of the beginning.
    pub(super) fn fresh(&self) -> Result<Copy> {
        self.made.set(self.made.get() + 1);
        let name = format!("{}-", self.made.get());
        let folder = tempfile::Builder::new().prefix(&name).tempdir_in(self.folder.path()).map_err(no_folder)?;
        let url = self.beginning.copy(folder.path(), self.pipeline, &self.engine.stop)?;
        let mut pipeline = self.pipeline.clone();
        pipeline.destination.url = url;
        Ok(Copy { folder, pipeline })
    }

    /// A run on a copy. One that is interrupted is an error, one that fails an outcome.
    pub(super) fn outcome(&self, pipeline: &Pipeline, how: Option<Disorder>) -> Result<Outcome> {
        self.observed(pipeline, how, Arc::new(Silent))
    }

    fn observed(&self, pipeline: &Pipeline, how: Option<Disorder>, observer: Arc<dyn Observer>) -> Result<Outcome> {
        let engine = Engine { clock: Arc::new(Standing(self.at)), observer, stop: self.engine.stop.clone() };
        let outcome = engine.run_in(how, pipeline, &RunOptions::default());
        match outcome.error {
            Some(error) if error.code() == Code::Interrupted => Err(error),
            error => Ok(Outcome { error, ..outcome }),
        }
    }

    /// A run on a copy that must not fail.
    pub(super) fn run(&self, copy: &Copy, how: Option<Disorder>) -> Result<Outcome> {
        let mut outcome = self.outcome(&copy.pipeline, how)?;
        match outcome.error.take() {
            Some(error) => Err(error),
            None => Ok(outcome),
        }
    }

    /// The unbroken run, and what it leaves; of one that failed nothing but that.
    pub(super) fn reference(&self) -> Result<(Reference, Outcome)> {
        let copy = self.fresh()?;
        let outcome = self.observed(&copy.pipeline, None, self.engine.observer.clone())?;
        let mut reference = Reference {
            counts: outcome.counts,
            fingerprint: Fingerprint::default(),
            remains: Remains { watermark: None, files: BTreeMap::new(), memories: Vec::new() },
            slices: 0,
            unsteady: Unsteady::default(),
            copy,
        };
        if outcome.error.is_none() {
            reference.fingerprint = reference.copy.fingerprint()?;
            reference.remains = reference.copy.remains()?;
            reference.slices = reference.remains.files.len();
            reference.unsteady = self.unsteady(&reference.copy)?;
            self.audit(&reference.copy)?;
        }
        Ok((reference, outcome))
    }

    fn unsteady(&self, copy: &Copy) -> Result<Unsteady> {
        let state = copy.destination()?.ledger()?.state(&self.pipeline.name)?.unwrap_or_default();
        let mut found = Unsteady::default();
        if let (Some(sql), Some(source)) = (&self.pipeline.transform, &state.source_schema) {
            found.extend(Unsteady::transform(sql, source));
        }
        if let (Some(sql), Some(table)) = (&self.pipeline.delete_when, &state.schema) {
            found.extend(Unsteady::condition(sql, table));
        }
        Ok(found)
    }

    /// A command that runs the pipeline into a copy.
    pub(super) fn command(&self, copy: &Copy, commit_every: Option<u64>) -> Result<Command> {
        let errand = Errand { pipeline: &self.pipeline.name, into: copy.url(), at: self.at, commit_every };
        (self.means.launch)(&errand)
    }

    /// Looks at the sums of every run that the trials made on a copy.
    pub(super) fn audit(&self, copy: &Copy) -> Result<()> {
        let runs = copy.destination()?.ledger()?.runs(Some(&self.pipeline.name), RUNS)?;
        let mut audit = self.audit.borrow_mut();
        for run in runs.iter().filter(|run: &&RunRecord| run.started_at == self.at) {
            audit.0 += 1;
            if let Err(error) = run.counts.check() {
                audit.1.get_or_insert(error);
            }
        }
        Ok(())
    }

    /// How many runs were looked at, and what is wrong with the first whose sum is.
    pub(super) fn audited(&self) -> (u64, Option<Error>) {
        std::mem::take(&mut self.audit.borrow_mut())
    }

    /// Compares a copy with the reference, and takes its runs into the audit.
    pub(super) fn compare(&self, reference: &Reference, copy: &Copy, may_tie: bool) -> Result<(Fingerprint, Verdict)> {
        self.audit(copy)?;
        let fingerprint = copy.fingerprint()?;
        if fingerprint == reference.fingerprint {
            return Ok((fingerprint, Verdict::Held(None)));
        }
        let differences = reference.copy.destination()?.differences(copy.url(), self.pipeline, SAMPLES)?;
        // Rows can only tie where one of them lost.
        let counts = &reference.counts;
        let lost = counts.superseded + counts.updated + counts.stale + counts.unchanged;
        // What depends on the order of rows differs where it looks like a tie, too.
        let may_tie = may_tie && reference.unsteady.by_order.is_empty();
        if may_tie && differences.rows > 0 && differences.ties == differences.rows && differences.rows <= lost {
            let ties = wording::count(differences.ties, "tie");
            let version = self.pipeline.version.as_deref().unwrap_or_default();
            return Ok((
                fingerprint,
                Verdict::Held(Some(format!(
                    "but for {ties}: rows of one key with equal {version} and other content, of which the later one in \
                     the source wins{}",
                    first(&differences.samples)
                ))),
            ));
        }
        let message = format!("{} from the reference", wording::agree(differences.rows, "row", "differs", "differ"));
        let advice = self.pipeline.at_least_once.then(|| EXACTLY_ONCE.to_owned()).into_iter().collect();
        Ok((fingerprint, Verdict::Broken(Box::new(Break { message, differences, advice }))))
    }
}

fn first(samples: &[floodmark_connect::Sample]) -> String {
    let Some(sample) = samples.first() else { return String::new() };
    let key: Vec<String> = sample.key.iter().map(|(name, value)| format!("{name} {value}")).collect();
    format!("; the first is {}", key.join(", "))
}

fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir(path).map_err(no_folder)
}

fn no_folder(error: std::io::Error) -> Error {
    Error::new(Code::DestinationOpen, "no folder for a copy can be made")
        .help("name another: --scratch DIR")
        .cause(error)
}

/// A file in a copy's folder that is none of the database's.
pub(super) fn beside(copy: &Copy, name: &str) -> PathBuf {
    copy.folder.path().join(format!("prove-{name}"))
}
