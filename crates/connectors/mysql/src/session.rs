//! A held pipeline: one transaction a chunk. Whatever creates or changes a table comes before it (see [`crate::ddl`]).

use crate::{
    MysqlDestination, adopt, beside,
    ddl::{self, Name, Shape},
    failure::to,
    interrupt::Interrupt,
    intervals,
    link::{Db, Step},
    lock::{Lock, Turn},
    merge::{self, Beside, Fresh, Incoming, Job, Outcome},
    receipts,
    rehearsal::Rehearsed,
    state, swap,
};
use floodmark_connect::{
    Chunk, Destination, LoadPlan, Session, Stop,
    crash::{self, Point},
    destination::{RunQuery, Target},
    refusal,
};
use floodmark_core::{
    Code, Counts, DataType, Error, Result, Schema,
    pipeline::{Load, Pipeline},
    schema::Change,
    state::{FileEntry, IntervalEntry, RunRecord, State},
};
use std::{collections::HashSet, time::Duration};

pub(crate) struct MysqlSession {
    pub(crate) destination: MysqlDestination,
    pub(crate) db: Db,
    pub(crate) lock: Option<Lock>,
    pub(crate) pipeline: String,
    pub(crate) state: State,
    /// What is known of the table from this session's loads; `None` before the first, and after one that failed.
    pub(crate) fresh: Option<Fresh>,
    pub(crate) stop: Stop,
    /// The table that was made for the chunk under way, until it is committed.
    pub(crate) made: Option<Name>,
    /// The token of a session beside the pipeline's runs.
    pub(crate) beside: Option<i64>,
    /// Nothing of this session is kept.
    pub(crate) rehearsed: Option<Rehearsed>,
}

impl Drop for MysqlSession {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            lock.release(&self.db);
        }
    }
}

/// Where the rows of a chunk go.
pub(crate) struct Place {
    pub(crate) name: Name,
    /// It was made for this chunk.
    pub(crate) created: bool,
    /// It takes the place of this one after the commit, or stays and is emptied.
    pub(crate) replaces: Replaces,
}

pub(crate) enum Replaces {
    Nothing,
    /// Its own rows go in the load's transaction.
    Rows,
    /// Another table, which goes after the commit.
    Table(Name),
}

impl MysqlSession {
    pub(crate) fn open(destination: MysqlDestination, held: (Db, Lock), pipeline: &str, stop: &Stop) -> Result<Self> {
        let mut session = MysqlSession::new(destination, held, pipeline, stop);
        session.take(state::raise_token)?;
        let db = &session.db;
        // What earlier runs left is put in order while nobody loads beside.
        let turn = Turn::take(db, pipeline, stop)?;
        session.state = state::read(db, pipeline)?
            .ok_or_else(|| Error::internal("the state was not there after its token was raised"))?;
        let table = session.state.table.as_ref().map(|table| Name::resolve(db, table)).transpose()?;
        swap::finish(db, pipeline, table.as_ref())?;
        if session.state.schema.is_none() && !adopt::has_loaded(db, pipeline)? {
            swap::sweep(db, pipeline)?;
        }
        drop(turn);
        Ok(session)
    }

    /// A session beside the pipeline's runs.
    pub(crate) fn open_beside(
        destination: MysqlDestination,
        held: (Db, Lock),
        pipeline: &str,
        stop: &Stop,
    ) -> Result<Self> {
        let mut session = MysqlSession::new(destination, held, pipeline, stop);
        session.beside = Some(session.take(beside::raise_token)?);
        session.state = state::read(&session.db, pipeline)?.unwrap_or_default();
        Ok(session)
    }

    fn new(destination: MysqlDestination, (db, lock): (Db, Lock), pipeline: &str, stop: &Stop) -> Self {
        MysqlSession {
            destination,
            db,
            lock: Some(lock),
            pipeline: pipeline.to_owned(),
            state: State::default(),
            fresh: None,
            stop: stop.clone(),
            made: None,
            beside: None,
            rehearsed: None,
        }
    }

    fn take(&self, raise_token: fn(&Db, &str) -> Result<i64>) -> Result<i64> {
        state::create(&self.db)?;
        let step = Step::begin(&self.db, false)?;
        let token = raise_token(&self.db, &self.pipeline)?;
        crash::at(Point::TakeCommit, || step.commit().map_err(to("take the pipeline")))?;
        Ok(token)
    }

    fn load_chunk(&mut self, plan: &LoadPlan<'_>, chunk: &mut dyn Chunk) -> Result<Counts> {
        let rehearsing = self.rehearsed.is_some();
        if rehearsing {
            self.begin_rehearsal()?;
        }
        self.made = None;
        let db = &self.db;
        // Let go after the transaction, and after what follows a commit.
        let _turn = if rehearsing { None } else { Some(Turn::take(db, &self.pipeline, &self.stop)?) };
        self.hold()?;
        let target = &plan.target;
        let pipeline = target.pipeline;
        let table = &pipeline.destination.table;
        let name = Name::resolve(db, table)?;
        let shape = Shape::new(pipeline, target.schema, moment_type(target));
        // Of this table: a pipeline that moved to another one starts afresh there.
        let loaded = !plan.forget && self.state.schema.is_some() && self.state.table.as_ref() == Some(table);
        let place = match (&mut self.rehearsed, self.beside) {
            (_, Some(_)) => {
                beside::look(db, &self.pipeline, &mut self.state, plan, &name, &shape)?;
                Place { name: name.clone(), created: false, replaces: Replaces::Nothing }
            }
            (rehearsed, None) => {
                state::refuse_shared(db, &self.pipeline, table, &name)?;
                if loaded {
                    state::refuse_other_load(db, &self.pipeline, pipeline.load)?;
                } else if !plan.forget {
                    let seen = rehearsed.as_ref().and_then(|r| r.seen(&name)).unwrap_or_else(|| name.clone());
                    refusal::adopt(pipeline, &self.state, &adopt::Found { db, name: &seen, pipeline: &pipeline.name })?;
                }
                match rehearsed {
                    Some(rehearsed) => rehearsed.place(db, plan, &name, &shape, loaded)?,
                    None => prepare(db, plan, &name, &shape, loaded)?,
                }
            }
        };

        if place.created && !rehearsing {
            self.made = Some(place.name.clone());
        }
        let step = Step::begin(db, rehearsing)?;
        self.hold()?;
        let mut forgotten = 0;
        if plan.forget {
            state::forget(db, &self.pipeline)?;
            receipts::forget_all_rejects(db, &self.pipeline)?;
            forgotten = take_out(db, &self.pipeline, &name, &place)?;
        }
        for change in target.changes {
            if let Change::Widen { name: column, to, .. } = change {
                state::widen_memories(db, pipeline, column, *to)?;
            }
        }
        let found =
            ddl::table(db, &place.name)?.ok_or_else(|| Error::internal("the table was not there after it was made"))?;
        // What is known of the table holds as long as nobody else loads it; and a part of it may have been empty before.
        let alone = beside::token(db, &self.pipeline)?.is_none() && plan.within.is_none();
        let mut fresh = match self.fresh.take().filter(|_| alone) {
            Some(known) => known,
            None => Fresh::new(place.created || merge::is_empty(db, &place.name)?),
        };
        let mut incoming = Incoming::new(pipeline, chunk, Beside::new(db, &pipeline.name, target.run)?);
        let job = Job { db, plan, name: &place.name, table: &found, created: place.created };
        let Outcome { mut counts, lineage } = merge::run(&job, &mut fresh, &mut incoming)?;
        incoming.desk.write()?;
        counts.removed += forgotten;
        let commit = incoming.chunk.seal(counts, lineage)?;
        let boundary = incoming.desk.beside.boundary;
        match self.beside {
            None => state::write(db, &self.pipeline, table, self.state.token, &commit, boundary)?,
            Some(token) => beside::write(db, &self.pipeline, token, &commit)?,
        }
        if pipeline.load == Load::Append && self.beside.is_none() {
            merge::sweep_lineage(db, &self.pipeline)?;
        }
        self.stop.check()?;
        crash::at(Point::LoadCommit, || step.commit().map_err(to("commit")))?;
        self.made = None;
        if !rehearsing && matches!(place.replaces, Replaces::Table(_)) {
            swap::finish(db, &self.pipeline, Some(&name))?;
        }
        self.fresh = Some(fresh);
        // Beside runs it is the one that was looked at: what a run has committed since shows at the next load.
        if self.beside.is_none() {
            self.state = state::read(db, &self.pipeline)?
                .ok_or_else(|| Error::internal("the state was not there after a commit"))?;
        }
        Ok(commit.run.counts)
    }

    /// Makes sure that the pipeline is still held: what changes a table has no fence in its statement.
    fn hold(&self) -> Result<()> {
        let Some(lock) = &self.lock else { return Ok(()) };
        lock.check(&self.db)?;
        if self.is_fenced(&self.db)? { Err(refusal::fenced(&self.pipeline)) } else { Ok(()) }
    }

    /// Whether a newer holder of this session's lock is known.
    fn is_fenced(&self, db: &Db) -> Result<bool> {
        let (newest, own) = match self.beside {
            None => (state::token(db, &self.pipeline)?, self.state.token),
            Some(token) => (beside::token(db, &self.pipeline)?, token),
        };
        Ok(newest.is_some_and(|newest| newest != own))
    }

    /// The table as this session sees it.
    fn seen(&self, name: &Name) -> Name {
        self.rehearsed.as_ref().and_then(|r| r.seen(name)).unwrap_or_else(|| name.clone())
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

/// Brings the table to the target, or makes another one beside it.
fn prepare(db: &Db, plan: &LoadPlan<'_>, name: &Name, shape: &Shape<'_>, loaded: bool) -> Result<Place> {
    let found = if plan.forget { ddl::table(db, name)? } else { None };
    let Some(found) = found else {
        let created = ddl::prepare(db, name, shape, plan.target.changes, loaded)?;
        return Ok(Place { name: name.clone(), created, replaces: Replaces::Nothing });
    };
    if shape.is_of(db, name, &found)? {
        ddl::prepare(db, name, shape, &[], true)?;
        return Ok(Place { name: name.clone(), created: false, replaces: Replaces::Rows });
    }
    let new = swap::begin(db, name, shape)?;
    Ok(Place { name: new, created: true, replaces: Replaces::Table(name.clone()) })
}

/// `--full-refresh`: the table's rows go, or it goes itself after the commit. Returns how many rows that are.
fn take_out(db: &Db, pipeline: &str, name: &Name, place: &Place) -> Result<u64> {
    match &place.replaces {
        Replaces::Nothing => Ok(0),
        Replaces::Rows => {
            let sql = format!("DELETE FROM {}", place.name);
            Ok(crash::at(Point::EmptyTable, || db.execute(&sql).map_err(to("empty the table for a full refresh")))?
                .rows)
        }
        Replaces::Table(old) => {
            let rows = merge::count(db, old)?;
            swap::intend(db, pipeline, name)?;
            Ok(rows)
        }
    }
}

impl Session for MysqlSession {
    fn state(&self) -> &State {
        &self.state
    }

    fn table(&self, table: &str) -> Result<Option<Schema>> {
        let name = Name::resolve(&self.db, table)?;
        Ok(ddl::table(&self.db, &self.seen(&name))?.map(|found| found.schema()))
    }

    fn goes_on(&self, pipeline: &Pipeline) -> Result<()> {
        let name = self.seen(&Name::resolve(&self.db, &pipeline.destination.table)?);
        if ddl::has_key(&self.db, pipeline, &name)? {
            return Ok(());
        }
        // The key may be new because the strategy is, which says more.
        state::refuse_other_load(&self.db, &self.pipeline, pipeline.load)?;
        Err(refusal::other_key(pipeline))
    }

    fn load(&mut self, plan: &LoadPlan<'_>, chunk: &mut dyn Chunk) -> Result<Counts> {
        let interrupt = Interrupt::start(&self.destination.address, self.db.server.id, &self.stop);
        let loaded = self.load_chunk(plan, chunk);
        drop(interrupt);
        let Err(error) = loaded else { return loaded };
        // A statement that was ended for that says only that it was.
        let error = self.stop.check().err().unwrap_or(error);
        self.fresh = None;
        // A failed load leaves no table; where this does not come about, the next run takes it away.
        if let Some(made) = self.made.take()
            && self.hold().is_ok()
        {
            let _ = swap::drop_if_empty(&self.db, &made);
        }
        // A session whose connection was taken from it may have been taken over, too.
        if self.lock.is_some() && error.code() != Code::Fenced && self.db.is_closed() {
            // Where that cannot be told, either, the error says enough.
            if self.looking(|db| self.is_fenced(db)).is_ok_and(|fenced| fenced) {
                return Err(refusal::fenced(&self.pipeline).cause(error));
            }
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

    fn step_aside(self: Box<Self>, run: &str, wait: Option<Duration>) -> Result<Box<dyn Session>> {
        let (destination, pipeline, stop) = (self.destination.clone(), self.pipeline.clone(), self.stop.clone());
        drop(self);
        destination.open_beside(&pipeline, run, wait, &stop)
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
