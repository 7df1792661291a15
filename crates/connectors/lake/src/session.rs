//! A held pipeline of a lake. Each load goes on in a scratch database, a copy of the pipeline's state; what it did is written
//! as files, and one entry of the table's log makes rows and state what they are.

use crate::{
    destination::{LakeDestination, refuse_repartitioned},
    failure,
    keeper::{Keeper, Pointer},
    log::Snapshot,
    publish::{self, Loaded, Publication},
    rows::Shared,
};
use floodmark_connect::{Chunk, Destination, LoadPlan, Session, Stop, aside::Aside, crash::Point, refusal};
use floodmark_core::{
    Code, Counts, Error, Result, Schema,
    pipeline::Pipeline,
    state::{FileEntry, IntervalEntry, RunRecord, State},
};
use floodmark_sqlite::{
    bench::{self, Bench, Side},
    lock::{Lock, Name},
};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How long a load waits for another of the same pipeline to commit.
const TURN: Duration = Duration::from_secs(600);

/// A pipeline's state and the table it speaks of, as they are now.
pub(crate) struct Now {
    pub(crate) pointer: Option<Pointer>,
    /// The table that the pointer names.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    /// The number of its state.
    pub(crate) number: Option<i64>,
    /// The state, in a file of its own, with the notes put in.
    pub(crate) file: PathBuf,
    pub(crate) notes: Vec<crate::notes::Note>,
}

impl Now {
    /// Runs that are to go into the state.
    pub(crate) fn noted(&self) -> Vec<RunRecord> {
        self.notes.iter().map(|note| note.run.clone()).collect()
    }
}

/// Where a pipeline stands: the table that it loads, as it is now, and the number of its state.
pub(crate) struct Stand {
    pub(crate) pointer: Option<Pointer>,
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    pub(crate) number: Option<i64>,
}

/// Asks the lake where a pipeline stands.
pub(crate) fn stand(keeper: &Keeper, destination: &LakeDestination) -> Result<Stand> {
    let pointer = keeper.pointer()?;
    let table = pointer.as_ref().and_then(|pointer| pointer.table.as_deref());
    let snapshot = table.map(|table| destination.lake().table(table)?.snapshot()).transpose()?.flatten().map(Arc::new);
    let first = pointer.as_ref().and_then(|pointer| pointer.state);
    let number = keeper.number(snapshot.as_deref())?.or(first);
    Ok(Stand { pointer, snapshot, number })
}

/// Brings a pipeline's state here, into a file of its own.
pub(crate) fn look(keeper: &Keeper, destination: &LakeDestination, folder: &Path) -> Result<Now> {
    let mut gone = None;
    loop {
        let Stand { pointer, snapshot, number } = stand(keeper, destination)?;
        let file = scratch(folder);
        match number.map_or(Ok(true), |number| keeper.fetch(number, &file))? {
            true => {
                let notes = keeper.notes()?;
                return Ok(Now { pointer, snapshot, number, file, notes });
            }
            // A run that committed since has swept it; the log names another one now.
            false if gone != number => gone = number,
            false => {
                return Err(keeper.lost(number, pointer.as_ref().and_then(|pointer| pointer.table.as_deref())));
            }
        }
    }
}

/// A name for a file of the folder.
pub(crate) fn scratch(folder: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    folder.join(format!("{}.db", NEXT.fetch_add(1, Ordering::Relaxed)))
}

pub(crate) struct LakeSession {
    destination: LakeDestination,
    keeper: Keeper,
    pipeline: String,
    side: Side,
    stop: Stop,
    folder: Aside,
    /// The token that the kept state has until this session commits, and its own.
    found: i64,
    own: i64,
    /// The table as it was at the opening.
    found_table: Option<Arc<Snapshot>>,
    was_empty: Option<bool>,
    /// A commit was tried of which it is not known what became.
    unsure: bool,
    /// Rows of the run that are told of in the table's history already.
    told: Counts,
    /// The state as of the opening, or of the last load.
    view: Bench,
    state: State,
    _lock: Option<Lock>,
}

impl LakeSession {
    pub(crate) fn open(
        destination: &LakeDestination,
        pipeline: &str,
        side: Side,
        lock: Option<Lock>,
        stop: &Stop,
    ) -> Result<LakeSession> {
        let folder = failure::scratch_folder()?;
        let keeper = destination.keeper(pipeline);
        let now = look(&keeper, destination, folder.path())?;
        if let Some(number) = now.number {
            keeper.sweep(number, &[]);
        }
        let found = bench::token(&now.file, pipeline, side)?;
        let view = destination.bench(&now, pipeline, side, true, Shared::none(destination)?, stop)?;
        let state = view.state();
        Ok(LakeSession {
            destination: destination.clone(),
            keeper,
            pipeline: pipeline.to_owned(),
            side,
            stop: stop.clone(),
            folder,
            found,
            own: found + 1,
            found_table: now.snapshot,
            was_empty: None,
            unsure: false,
            told: Counts::default(),
            view,
            state,
            _lock: lock,
        })
    }

    /// The state as it is now, which must be as this session left it or found it: with another token somebody else has the
    /// pipeline.
    fn refresh(&self) -> Result<(Now, bool)> {
        let now = look(&self.keeper, &self.destination, self.folder.path())?;
        let token = bench::token(&now.file, &self.pipeline, self.side)?;
        // Before it has committed anything, its own token may be that of another, who came later and did.
        match token == self.found {
            true => Ok((now, self.found != self.own)),
            false => Err(refusal::fenced(&self.pipeline)),
        }
    }

    /// The table's log knows a later state of the pipeline than the one that was found: a run moved the pipeline to this
    /// table, and did not come to write that down.
    fn astray(&self, table: &str) -> Error {
        let pointer = Pointer { table: Some(table.to_owned()), state: None };
        match self.keeper.point(&pointer) {
            Ok(()) => Error::new(Code::DestinationBusy, format!("table {table:?} has a later state of the pipeline"))
                .state("nothing was written")
                .help("run again: it begins with that state")
                .transient(),
            Err(error) => error,
        }
    }

    fn note(&self, run: &RunRecord) -> Result<()> {
        self.keeper.note(run)?;
        self.view.record(std::slice::from_ref(run), &[])
    }

    fn turn(&self) -> Result<Option<Lock>> {
        let holder = format!("process {}", std::process::id());
        self.destination.lock(Name::Turn(&self.pipeline), &holder, Some(TURN), &self.stop)
    }

    fn publish(&mut self, now: &Now, save: &dyn Fn(&Path) -> Result<()>, load: Option<Loaded<'_>>) -> Result<()> {
        let point = if load.is_some() { Point::LoadCommit } else { Point::RecordCommit };
        let publication = Publication { now, save, point, load };
        // Where the answer is lost, nobody here knows what is committed.
        self.unsure = true;
        publish::publish(&self.destination, &self.keeper, self.folder.path(), publication)?;
        self.unsure = false;
        // From now on the kept state has this session's token.
        self.found = self.own;
        Ok(())
    }
}

impl Session for LakeSession {
    fn state(&self) -> &State {
        &self.state
    }

    fn table(&self, table: &str) -> Result<Option<Schema>> {
        Ok(self.destination.lake().table(table)?.snapshot()?.map(|snapshot| snapshot.schema))
    }

    fn goes_on(&self, pipeline: &Pipeline) -> Result<()> {
        refuse_repartitioned(self.found_table.as_deref(), pipeline)?;
        self.view.asked().goes_on(pipeline)
    }

    fn load(&mut self, plan: &LoadPlan<'_>, chunk: &mut dyn Chunk) -> Result<Counts> {
        let _turn = self.turn()?;
        let (now, raise) = self.refresh()?;
        let table = &plan.target.pipeline.destination.table;
        let rows = self.destination.rows(&now, plan, &self.state, &self.stop)?;
        self.destination.refuse_shared(&self.state, &plan.target)?;
        if self.keeper.number(rows.snapshot.as_deref())? > now.number {
            return Err(self.astray(table));
        }
        let rows = Shared::new(rows);
        let mut bench = self.destination.bench(&now, &self.pipeline, self.side, raise, rows.clone(), &self.stop)?;
        if let Some(snapshot) = &rows.lock().snapshot {
            bench.shape(table, &snapshot.schema)?;
        }
        if self.side == Side::Beside {
            bench.know(self.state.clone());
        }
        *bench.was_empty() = self.was_empty;
        let counts = bench.session().load(plan, chunk).inspect_err(|_| {
            if self.side == Side::Beside {
                self.state = bench.state();
            }
        })?;
        let (before, stop) = (self.told, self.stop.clone());
        let loaded = Loaded { bench: &bench, rows: &rows, target: &plan.target, before, counts, stop: &stop };
        self.publish(&now, &|into| bench.save(Some(table), into), Some(loaded))?;
        self.was_empty = *bench.was_empty();
        self.told = counts;
        // Beside runs it is the one that was looked at: what a run has committed since shows at the next load.
        self.state = bench.state();
        self.view = bench;
        Ok(counts)
    }

    fn rejected(&self) -> Result<HashSet<String>> {
        self.view.asked().rejected()
    }

    fn intervals(&self, column: &str) -> Result<Vec<IntervalEntry>> {
        self.view.asked().intervals(column)
    }

    fn receipt(&self, run: &str) -> Result<Option<RunRecord>> {
        if self.unsure {
            let now = look(&self.keeper, &self.destination, self.folder.path())?;
            return Ok(bench::ledger(&now.file)?.runs_like(run, 1)?.pop());
        }
        self.view.asked().receipt(run)
    }

    fn step_aside(self: Box<Self>, run: &str, wait: Option<Duration>) -> Result<Box<dyn Session>> {
        let (destination, pipeline, stop) = (self.destination.clone(), self.pipeline.clone(), self.stop.clone());
        drop(self);
        destination.open_beside(&pipeline, run, wait, &stop)
    }

    fn record(&mut self, run: &RunRecord, files: &[(String, Option<FileEntry>)]) -> Result<()> {
        if files.is_empty() || self.side == Side::Beside {
            return self.note(run);
        }
        let _turn = self.turn()?;
        let (now, raise) = match self.refresh() {
            Ok(found) => found,
            // A run that was fenced off may still say how it ended, but no longer speaks for the files.
            Err(error) if error.code() == Code::Fenced => return self.note(run),
            Err(error) => return Err(error),
        };
        let rows = Shared::none(&self.destination)?;
        let bench = self.destination.bench(&now, &self.pipeline, self.side, raise, rows, &self.stop)?;
        bench.record(std::slice::from_ref(run), files)?;
        self.publish(&now, &|into| bench.save(None, into), None)
    }
}
