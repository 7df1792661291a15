//! A held pipeline: one transaction a chunk.

use crate::{
    PostgresDestination, adopt,
    belongings::{self, Belonging},
    beside, codec,
    ddl::{self, Name},
    failure::to,
    interrupt::Interrupt,
    intervals,
    link::{Db, Step},
    lock::{self, Lock},
    merge::{self, Beside, Fresh, Incoming, Job, Outcome},
    receipts,
    rehearsal::Rehearsed,
    state,
};
use floodmark_connect::{
    Chunk, LoadPlan, Session, Stop,
    crash::{self, Point},
    destination::{RunQuery, Target},
    refusal,
};
use floodmark_core::{
    Counts, DataType, Error, Result, Schema,
    pipeline::{Load, Pipeline},
    state::{FileEntry, IntervalEntry, RunRecord, State},
};
use std::{collections::HashSet, time::Duration};

pub(crate) struct PostgresSession {
    pub(crate) destination: PostgresDestination,
    pub(crate) db: Db,
    pub(crate) lock: Option<Lock>,
    pub(crate) pipeline: String,
    pub(crate) state: State,
    /// What is known of the table from this session's loads; `None` before the first, and after one that failed.
    pub(crate) fresh: Option<Known>,
    pub(crate) stop: Stop,
    /// The token of a session beside the pipeline's runs.
    pub(crate) beside: Option<i64>,
    /// Nothing of this session is kept.
    pub(crate) rehearsed: Option<Rehearsed>,
}

/// What a session knows of its table, for as long as nobody else loads it.
pub(crate) struct Known {
    fresh: Fresh,
    /// Which writing of the runs' state it goes by, where the session is beside them: each of their loads writes it anew.
    state: Option<String>,
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            lock.release(&self.db);
        }
    }
}

impl PostgresSession {
    pub(crate) fn open(
        destination: PostgresDestination,
        held: (Db, Lock),
        pipeline: &str,
        stop: &Stop,
    ) -> Result<Self> {
        let mut session = PostgresSession::new(destination, held, pipeline, stop);
        session.take(state::raise_token)?;
        session.state = state::read(&session.db, pipeline)?
            .ok_or_else(|| Error::internal("the state was not there after its token was raised"))?;
        Ok(session)
    }

    /// A session beside the pipeline's runs.
    pub(crate) fn open_beside(
        destination: PostgresDestination,
        held: (Db, Lock),
        pipeline: &str,
        stop: &Stop,
    ) -> Result<Self> {
        let mut session = PostgresSession::new(destination, held, pipeline, stop);
        session.beside = Some(session.take(beside::raise_token)?);
        session.state = state::read(&session.db, pipeline)?.unwrap_or_default();
        Ok(session)
    }

    fn new(destination: PostgresDestination, (db, lock): (Db, Lock), pipeline: &str, stop: &Stop) -> Self {
        PostgresSession {
            destination,
            db,
            lock: Some(lock),
            pipeline: pipeline.to_owned(),
            state: State::default(),
            fresh: None,
            stop: stop.clone(),
            beside: None,
            rehearsed: None,
        }
    }

    fn take(&self, raise_token: fn(&Db, &str) -> Result<i64>) -> Result<i64> {
        let step = Step::begin(&self.db, false)?;
        state::create(&self.db)?;
        let token = raise_token(&self.db, &self.pipeline)?;
        crash::at(Point::TakeCommit, || step.commit().map_err(to("take the pipeline")))?;
        Ok(token)
    }

    fn load_chunk(&mut self, plan: &LoadPlan<'_>, chunk: &mut dyn Chunk) -> Result<Counts> {
        let rehearsing = self.rehearsed.is_some();
        if rehearsing {
            self.begin_rehearsal()?;
        }
        let db = &self.db;
        let step = Step::begin(db, rehearsing)?;
        if !rehearsing {
            lock::turn(db, &self.pipeline)?;
        }
        if let Some(lock) = &self.lock {
            lock.check(db)?;
        }
        let target = &plan.target;
        let pipeline = target.pipeline;
        let table = &pipeline.destination.table;
        let name = Name::resolve(db, table)?;
        let ready = match self.beside {
            None => prepare(db, &self.pipeline, &self.state, plan, &name)?,
            Some(_) => {
                beside::look(db, &self.pipeline, &mut self.state, plan, &name, moment_type(target))?;
                Ready::default()
            }
        };
        let found =
            ddl::table(db, &name)?.ok_or_else(|| Error::internal("the table was not there after it was made"))?;
        if let Some(rehearsed) = &mut self.rehearsed {
            rehearsed.watch(db, pipeline, &name, &found)?;
        }
        // What is known of the table holds as long as nobody else loads it; and a part of it may have been empty before.
        let (state, others) = match self.beside {
            None => (None, beside::token(db, &self.pipeline)?.is_some()),
            Some(_) => (state::writing(db, &self.pipeline)?, false),
        };
        let holds = |known: &Known| !others && plan.within.is_none() && known.state == state;
        let mut fresh = match self.fresh.take().filter(holds) {
            Some(known) => known.fresh,
            None => Fresh::new(ready.created || merge::is_empty(db, &name)?),
        };
        let mut incoming = Incoming::new(pipeline, chunk, Beside::new(db, &pipeline.name, target.run)?);
        let job = Job { db, plan, name: &name, table: &found, created: ready.created };
        let Outcome { mut counts, lineage } = merge::run(&job, &mut fresh, &mut incoming)?;
        // With the rows in place, an index is made at one go, and a trigger takes no notice of what only came back.
        belongings::restore(db, &name, &ready.lost)?;
        incoming.desk.write()?;
        counts.removed += ready.forgotten;
        let Incoming { chunk, desk, .. } = incoming;
        let commit = chunk.seal(counts, lineage)?;
        match self.beside {
            None => state::write(db, &self.pipeline, table, self.state.token, &commit, desk.beside.boundary)?,
            Some(token) => beside::write(db, &self.pipeline, token, &commit)?,
        }
        if pipeline.load == Load::Append && self.beside.is_none() {
            merge::sweep_lineage(db, &self.pipeline)?;
        }
        self.stop.check()?;
        crash::at(Point::LoadCommit, || step.commit().map_err(to("commit")))?;
        self.fresh = Some(Known { fresh, state });
        // Beside runs it is the one that was looked at: what a run has committed since shows at the next load.
        if self.beside.is_none() {
            self.state = state::read(db, &self.pipeline)?
                .ok_or_else(|| Error::internal("the state was not there after a commit"))?;
        }
        Ok(commit.run.counts)
    }

    /// Whether a newer holder of this session's lock is known.
    fn is_fenced(&self) -> bool {
        let newest = self.looking(|db| match self.beside {
            None => state::token(db, &self.pipeline),
            Some(_) => beside::token(db, &self.pipeline),
        });
        let own = self.beside.unwrap_or(self.state.token);
        matches!(newest, Ok(Some(newest)) if newest != own)
    }

    /// A connection to look with, also where this session's own is gone.
    fn looking<T>(&self, look: impl Fn(&Db) -> Result<T>) -> Result<T> {
        if self.db.is_closed() { look(&self.destination.connect()?) } else { look(&self.db) }
    }

    /// Another connection, where this one was lost. What the lost session was asked to commit is committed by then, or never
    /// will be.
    fn after_loss(&self, run: &str) -> Result<Option<Db>> {
        if !self.db.is_closed() {
            return Ok(None);
        }
        let own = self.destination.connect()?;
        if let Some(lock) = &self.lock {
            lock.end_lost(&own, run)?;
        }
        Ok(Some(own))
    }
}

/// What was done to make the table ready.
#[derive(Default)]
struct Ready {
    /// It was made, and its key was not.
    created: bool,
    /// How many rows a full refresh took out, and what of the table is to be made again.
    forgotten: u64,
    lost: Vec<Belonging>,
}

/// Makes the table ready for what comes.
fn prepare(db: &Db, own: &str, state: &State, plan: &LoadPlan<'_>, name: &Name) -> Result<Ready> {
    let target = &plan.target;
    let pipeline = target.pipeline;
    let table = &pipeline.destination.table;
    let mut ready = Ready::default();
    if plan.forget {
        state::forget(db, own)?;
        receipts::forget_all_rejects(db, own)?;
        (ready.forgotten, ready.lost) = forget_table(db, target, name)?;
    }
    // Of this table: a pipeline that moved to another one starts afresh there.
    let loaded = !plan.forget && state.schema.is_some() && state.table.as_ref() == Some(table);
    state::refuse_shared(db, own, table, name)?;
    if loaded {
        state::refuse_other_load(db, own, pipeline.load)?;
    } else if !plan.forget {
        refusal::adopt(pipeline, state, &adopt::Found { db, name, pipeline: &pipeline.name })?;
    }
    ready.created = ddl::prepare(db, pipeline, name, target.schema, target.changes, moment_type(target), loaded)?;
    Ok(ready)
}

/// `--full-refresh`: the table goes, and how many rows with it; what belonged to it is to be made again. One that would be
/// made the same again stays, with the views over it, and its rows go; readers see them until the new ones are committed.
fn forget_table(db: &Db, target: &Target<'_>, name: &Name) -> Result<(u64, Vec<Belonging>)> {
    let Some(found) = ddl::table(db, name)? else { return Ok((0, Vec::new())) };
    let rows = merge::count(db, name)?;
    let control = ddl::control_columns(target.pipeline, moment_type(target));
    let wanted = target.schema.columns.iter().chain(&control);
    let same = wanted.clone().count() == found.columns.len()
        && wanted
            .zip(&found.columns)
            .all(|(new, old)| new.name == old.name && codec::declared(new.data_type) == old.declared_as())
        && ddl::has_key(db, target.pipeline, name)?;
    let lost = if same { Vec::new() } else { belongings::of(db, name)? };
    let sql = if same { format!("DELETE FROM {name}") } else { format!("DROP TABLE {name}") };
    crash::at(Point::DropTable, || db.execute_batch(&sql).map_err(to("drop the table for a full refresh")))?;
    Ok((rows, lost))
}

impl Session for PostgresSession {
    fn state(&self) -> &State {
        &self.state
    }

    fn table(&self, table: &str) -> Result<Option<Schema>> {
        Ok(ddl::table(&self.db, &Name::resolve(&self.db, table)?)?.map(|found| found.schema()))
    }

    fn goes_on(&self, pipeline: &Pipeline) -> Result<()> {
        let name = Name::resolve(&self.db, &pipeline.destination.table)?;
        if ddl::has_key(&self.db, pipeline, &name)? {
            return Ok(());
        }
        // The key may be new because the strategy is, which says more.
        state::refuse_other_load(&self.db, &self.pipeline, pipeline.load)?;
        Err(refusal::other_key(pipeline))
    }

    fn load(&mut self, plan: &LoadPlan<'_>, chunk: &mut dyn Chunk) -> Result<Counts> {
        let watched = self.rehearsed.as_ref().is_some_and(|r| r.touched.is_some());
        let interrupt = Interrupt::start(&self.destination.address, self.db.cancel(), &self.stop);
        let loaded = self.load_chunk(plan, chunk);
        drop(interrupt);
        let Err(error) = loaded else { return loaded };
        // A statement that was canceled for that says only that it was.
        let error = self.stop.check().err().unwrap_or(error);
        self.fresh = None;
        // Triggers made in the chunk's savepoint went with it.
        if let Some(rehearsed) = self.rehearsed.as_mut().filter(|_| !watched) {
            rehearsed.touched = None;
        }
        // A session whose connection was taken from it may have been taken over, too.
        if self.lock.is_some() && self.db.is_closed() && self.is_fenced() {
            return Err(refusal::fenced(&self.pipeline).cause(error));
        }
        Err(error)
    }

    fn rejected(&self) -> Result<HashSet<String>> {
        // A rehearsal finds no state tables where nothing was ever loaded.
        match state::present(&self.db)? {
            true => receipts::rejected_slices(&self.db, &self.pipeline),
            false => Ok(HashSet::new()),
        }
    }

    fn intervals(&self, column: &str) -> Result<Vec<IntervalEntry>> {
        // A rehearsal finds no state tables where nothing was ever loaded.
        match state::present(&self.db)? {
            true => intervals::read(&self.db, &self.pipeline, Some(column)),
            false => Ok(Vec::new()),
        }
    }

    fn receipt(&self, run: &str) -> Result<Option<RunRecord>> {
        let own = self.after_loss(run)?;
        Ok(receipts::runs(own.as_ref().unwrap_or(&self.db), &RunQuery::of(run))?.pop())
    }

    fn step_aside(mut self: Box<Self>, run: &str, wait: Option<Duration>) -> Result<Box<dyn Session>> {
        // Under the runs' lock it is this session's own writing.
        let state = state::writing(&self.db, &self.pipeline)?;
        let lock = Lock::acquire(&self.db, lock::Name::Beside(&self.pipeline), Some(run), wait, &self.stop)?;
        if let Some(runs) = self.lock.replace(lock) {
            runs.release(&self.db);
        }
        let token = self.take(beside::raise_token)?;
        // The first token: nobody loaded beside the runs since.
        self.fresh = self.fresh.take().filter(|_| token == 1).map(|known| Known { state, ..known });
        self.beside = Some(token);
        Ok(self)
    }

    fn record(&mut self, run: &RunRecord, files: &[(String, Option<FileEntry>)]) -> Result<()> {
        if self.rehearsed.is_some() {
            return Ok(());
        }
        let own = self.after_loss(&run.run)?;
        let db = own.as_ref().unwrap_or(&self.db);
        let step = Step::begin(db, false)?;
        // A run that was fenced off may still say how it ended, but no longer speaks for the files; nor do loads beside runs.
        if self.beside.is_none() && state::token(db, &self.pipeline)? == Some(self.state.token) {
            let mut kept = Vec::new();
            for (name, entry) in files {
                match entry {
                    Some(entry) => kept.push((name.as_str(), entry)),
                    None => state::remove_file(db, &self.pipeline, name)?,
                }
            }
            state::write_files(db, &self.pipeline, &kept)?;
        }
        receipts::write_run(db, run)?;
        crash::at(Point::RecordCommit, || step.commit().map_err(to("record the run")))
    }
}

/// The type of `valid_from` and `valid_to`: the version's, or an instant where there is none.
fn moment_type(target: &Target<'_>) -> DataType {
    match (target.pipeline.load, target.version) {
        (Load::Scd2, Some(version)) => version,
        _ => DataType::TimestampTz { nanos: false },
    }
}
