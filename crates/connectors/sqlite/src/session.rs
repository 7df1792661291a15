//! A held pipeline: one transaction a chunk.

use crate::{
    SqliteDestination, adopt, bench,
    bench::Elsewhere,
    beside,
    boundary::{Boundary, Kept},
    codec, ddl,
    failure::to,
    lock::{Lock, Name},
    merge::{self, Outcome},
    rehearsal::{Rehearsed, Step},
    state,
    writeback::Writeback,
};
use floodmark_connect::{
    Chunk, Destination, LoadPlan, Session, Stop,
    crash::{self, Point},
    destination::{RunQuery, Target, Transaction},
    refusal,
};
use floodmark_core::{
    Code, Counts, DataType, Error, Result, Schema,
    pipeline::{Load, Pipeline},
    state::{BoundaryChange, FileEntry, IntervalEntry, Reject, RunRecord, State},
};
use rusqlite::{Connection, TransactionBehavior};
use std::{collections::HashSet, time::Duration};

/// How long a pipeline waits for its turn to write. A chunk of the largest size takes well under a minute; a process that
/// was stopped (SIGSTOP) takes for ever.
const TURN: Duration = Duration::from_secs(600);

/// Takes a turn at writing. Not getting one is no `Busy`: it is another pipeline that has it.
pub(crate) fn turn(destination: &SqliteDestination, pipeline: &str, stop: &Stop) -> Result<Option<Lock>> {
    let holder = format!("pipeline {pipeline:?} (process {})", std::process::id());
    destination.lock(Name::Writer, &holder, Some(TURN), stop).map_err(|error| match error.code() {
        Code::Busy => Error::new(
            Code::DestinationBusy,
            format!("the database was not free for writing within {} minutes", TURN.as_secs() / 60),
        )
        .state("nothing was written")
        .help("another pipeline writes to it, or its process was stopped: let it finish, or end it")
        .cause(error),
        _ => error,
    })
}

pub(crate) struct SqliteSession {
    pub(crate) destination: SqliteDestination,
    pub(crate) db: Connection,
    pub(crate) _lock: Option<Lock>,
    pub(crate) pipeline: String,
    pub(crate) state: State,
    /// Whether the table was empty before this session's first load.
    pub(crate) was_empty: Option<bool>,
    pub(crate) stop: Stop,
    /// The token of a session beside the pipeline's runs.
    pub(crate) beside: Option<i64>,
    /// Nothing of this session is kept. After `db`, so that the connection goes before the turn at writing does.
    pub(crate) rehearsed: Option<Rehearsed>,
    /// Where the table's rows are, of which only those are here that a load may meet.
    pub(crate) elsewhere: Option<Box<dyn Elsewhere>>,
}

impl SqliteSession {
    pub(crate) fn open(
        destination: SqliteDestination,
        held: (Connection, Option<Lock>),
        pipeline: &str,
        stop: &Stop,
    ) -> Result<Self> {
        let mut session = SqliteSession::new(destination, held, pipeline, stop);
        session.take(state::raise_token)?;
        session.state = state::read(&session.db, pipeline)?
            .ok_or_else(|| Error::internal("the state was not there after its token was raised"))?;
        Ok(session)
    }

    /// A session beside the pipeline's runs.
    pub(crate) fn open_beside(
        destination: SqliteDestination,
        held: (Connection, Option<Lock>),
        pipeline: &str,
        stop: &Stop,
    ) -> Result<Self> {
        let mut session = SqliteSession::new(destination, held, pipeline, stop);
        session.beside = Some(session.take(beside::raise_token)?);
        session.state = state::read(&session.db, pipeline)?.unwrap_or_default();
        Ok(session)
    }

    fn new(
        destination: SqliteDestination,
        (db, lock): (Connection, Option<Lock>),
        pipeline: &str,
        stop: &Stop,
    ) -> Self {
        SqliteSession {
            destination,
            db,
            _lock: lock,
            pipeline: pipeline.to_owned(),
            state: State::default(),
            was_empty: None,
            stop: stop.clone(),
            beside: None,
            rehearsed: None,
            elsewhere: None,
        }
    }

    /// A session in a scratch database, for a table whose rows lie elsewhere. `beside`: the token of one beside the runs.
    pub(crate) fn elsewhere(
        db: Connection,
        pipeline: &str,
        state: State,
        beside: Option<i64>,
        elsewhere: Box<dyn Elsewhere>,
        stop: &Stop,
    ) -> Self {
        let destination = SqliteDestination::scratch();
        let session = SqliteSession::new(destination, (db, None), pipeline, stop);
        SqliteSession { state, beside, elsewhere: Some(elsewhere), ..session }
    }

    fn take(&mut self, raise_token: fn(&Connection, &str) -> Result<i64>) -> Result<i64> {
        let _writer = turn(&self.destination, &self.pipeline, &self.stop)?;
        let tx = begin(&mut self.db, false)?;
        state::create(&tx)?;
        let token = raise_token(&tx, &self.pipeline)?;
        crash::at(Point::TakeCommit, || tx.commit().map_err(to("take the pipeline")))?;
        Ok(token)
    }
}

/// `within`: a transaction is open already, and is not ended by this.
fn begin(db: &mut Connection, within: bool) -> Result<Step<'_>> {
    match within {
        true => db.savepoint().map(Step::Within),
        false => db.transaction_with_behavior(TransactionBehavior::Immediate).map(Step::Alone),
    }
    .map_err(to("begin a write transaction"))
}

impl Session for SqliteSession {
    fn state(&self) -> &State {
        &self.state
    }

    fn table(&self, table: &str) -> Result<Option<Schema>> {
        ddl::table(&self.db, table)
    }

    fn goes_on(&self, pipeline: &Pipeline) -> Result<()> {
        if ddl::keyed(&self.db, pipeline)? {
            return Ok(());
        }
        // The key may be new because the strategy is, which says more.
        state::refuse_other_load(&self.db, &self.pipeline, pipeline.load)?;
        Err(refusal::other_key(pipeline))
    }

    fn load(&mut self, plan: &LoadPlan<'_>, chunk: &mut dyn Chunk) -> Result<Counts> {
        let rehearsing = self.rehearsed.is_some();
        let _writer = match rehearsing {
            true => self.begin_rehearsal().map(|()| None)?,
            false => turn(&self.destination, &self.pipeline, &self.stop)?,
        };
        let tx = begin(&mut self.db, rehearsing)?;
        let target = &plan.target;
        let known = !plan.forget && is_known(&self.state, &target.pipeline.destination.table);
        let (forgotten, belongings) = match self.beside {
            None => prepare(&tx, &self.pipeline, &self.state, plan, self.elsewhere.as_deref())?,
            Some(_) => {
                beside::look(&tx, &self.pipeline, &mut self.state, plan)?;
                (0, Vec::new())
            }
        };
        if let Some(rehearsed) = &mut self.rehearsed {
            rehearsed.watch(&tx, target.pipeline)?;
        }
        // Another session may have put rows into it meanwhile; and a part of the table has a receipt of its own.
        let alone = self.beside.is_none() && beside::token(&tx, &self.pipeline)?.is_none();
        let was_empty = match (self.was_empty.filter(|_| alone && plan.within.is_none()), &self.elsewhere) {
            (Some(known), _) => known,
            (None, Some(elsewhere)) => plan.forget || elsewhere.rows()? == 0,
            (None, None) => merge::is_empty(&tx, &target.pipeline.destination.table)?,
        };
        let desk = Desk {
            db: &tx,
            pipeline: &self.pipeline,
            run: target.run,
            boundary: Boundary::new(Kept { db: &tx, pipeline: &self.pipeline })?,
        };
        let nan = self.elsewhere.is_some();
        let mut incoming = Incoming { desk, schema: target.schema, chunk, nan };
        let writeback = Writeback::start(self.destination.path().filter(|_| !rehearsing));
        let Outcome { mut counts, lineage } = match &mut self.elsewhere {
            None => merge::run(&tx, plan, was_empty, &mut incoming)?,
            Some(elsewhere) => {
                bench::run(&tx, plan, (was_empty, known), elsewhere.as_mut(), &mut incoming, rehearsing)?
            }
        };
        counts.removed += forgotten;
        // With the rows in place, an index is made at one go, and a trigger takes no notice of what only came back.
        ddl::restore(&tx, &target.pipeline.destination.table, &belongings)?;
        let Incoming { desk, chunk, .. } = incoming;
        let commit = chunk.seal(counts, lineage)?;
        let table = &target.pipeline.destination.table;
        match self.beside {
            None => state::write(&tx, &self.pipeline, table, self.state.token, &commit, desk.boundary)?,
            Some(token) => beside::write(&tx, &self.pipeline, token, &commit)?,
        }
        self.stop.check()?;
        crash::at(Point::LoadCommit, || tx.commit().map_err(to("commit")))?;
        drop(writeback);
        self.was_empty = Some(was_empty);
        // Beside runs it is the one that was looked at: what a run has committed since shows at the next load.
        if self.beside.is_none() {
            self.state = state::read(&self.db, &self.pipeline)?
                .ok_or_else(|| Error::internal("the state was not there after a commit"))?;
        }
        Ok(commit.run.counts)
    }

    fn rejected(&self) -> Result<HashSet<String>> {
        // A rehearsal finds no state tables where nothing was ever loaded.
        if state::present(&self.db)? { state::rejected_slices(&self.db, &self.pipeline) } else { Ok(HashSet::new()) }
    }

    fn intervals(&self, column: &str) -> Result<Vec<IntervalEntry>> {
        if !state::present(&self.db)? {
            return Ok(Vec::new());
        }
        let mut all = state::intervals(&self.db, &self.pipeline)?;
        all.retain(|entry| entry.column == column);
        Ok(all)
    }

    fn receipt(&self, run: &str) -> Result<Option<RunRecord>> {
        Ok(state::runs(&self.db, &RunQuery::of(run))?.pop())
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
        let _writer = turn(&self.destination, &self.pipeline, &Stop::default())?;
        let tx = begin(&mut self.db, false)?;
        if self.beside.is_some() {
            state::write_run(&tx, run)?;
            return crash::at(Point::RecordCommit, || tx.commit().map_err(to("record the run")));
        }
        let newest: i64 = tx
            .query_row("SELECT token FROM _floodmark_state WHERE pipeline = ?1", [&self.pipeline], |r| r.get(0))
            .map_err(to("read the fencing token"))?;
        // A run that was fenced off may still say how it ended, but no longer speaks for the files.
        if newest == self.state.token {
            for (name, entry) in files {
                match entry {
                    Some(entry) => state::write_file(&tx, &self.pipeline, name, entry)?,
                    None => state::remove_file(&tx, &self.pipeline, name)?,
                }
            }
        }
        state::write_run(&tx, run)?;
        crash::at(Point::RecordCommit, || tx.commit().map_err(to("record the run")))
    }
}

/// Makes the table ready for what comes. Returns how many rows of it a full refresh took out, and what is to be made again when
/// the new ones are in.
fn prepare(
    db: &Connection,
    pipeline: &str,
    state: &State,
    plan: &LoadPlan<'_>,
    elsewhere: Option<&dyn Elsewhere>,
) -> Result<(u64, Vec<ddl::Belonging>)> {
    let target = &plan.target;
    let (mut forgotten, mut belongings) = (0, Vec::new());
    if plan.forget {
        state::forget(db, pipeline)?;
        state::forget_all_rejects(db, pipeline)?;
        if ddl::table(db, &target.pipeline.destination.table)?.is_some() {
            forgotten = match elsewhere {
                Some(elsewhere) => elsewhere.rows()?,
                None => merge::count(db, &target.pipeline.destination.table)?,
            };
            belongings = ddl::belongings(db, &target.pipeline.destination.table)?;
            ddl::clear(db, target, moment_type(target), &belongings)?;
        }
    }
    let loaded = !plan.forget && is_known(state, &target.pipeline.destination.table);
    state::refuse_shared(db, pipeline, &target.pipeline.destination.table)?;
    if loaded {
        state::refuse_other_load(db, pipeline, target.pipeline.load)?;
    } else if !plan.forget {
        refusal::adopt(target.pipeline, state, &adopt::Found { db, pipeline: target.pipeline, elsewhere })?;
    }
    ddl::prepare(db, target.pipeline, target.schema, target.changes, moment_type(target), loaded)?;
    Ok((forgotten, belongings))
}

/// Whether the state speaks of this table: a pipeline that moved to another one starts afresh there.
fn is_known(state: &State, table: &str) -> bool {
    state.schema.is_some() && state.table.as_deref() == Some(table)
}

/// The type of `valid_from` and `valid_to`: the version's, or an instant where there is none.
fn moment_type(target: &Target<'_>) -> DataType {
    match (target.pipeline.load, target.version) {
        (Load::Scd2, Some(version)) => version,
        _ => DataType::TimestampTz { nanos: false },
    }
}

/// What the rows of a chunk need of the transaction.
struct Desk<'a> {
    db: &'a Connection,
    pipeline: &'a str,
    run: &'a str,
    boundary: Boundary<'a>,
}

impl Transaction for Desk<'_> {
    fn keep(&mut self, reject: Reject) -> Result<()> {
        state::keep_reject(self.db, self.pipeline, self.run, &reject)
    }

    fn loaded(&mut self, file: Option<&str>, hashes: &[u128]) -> Result<Vec<bool>> {
        self.boundary.loaded(file, hashes)
    }

    fn boundary(&mut self, change: &BoundaryChange) -> Result<()> {
        self.boundary.change(change)
    }
}

/// The rows of a chunk. What SQLite would change without a word is refused: it stores NaN as NULL.
struct Incoming<'a> {
    desk: Desk<'a>,
    schema: &'a Schema,
    chunk: &'a mut dyn Chunk,
    /// The table holds NaN.
    nan: bool,
}

impl merge::Batches for Incoming<'_> {
    fn complete(&self) -> bool {
        self.chunk.complete()
    }

    fn next(&mut self) -> Result<Option<floodmark_connect::ShapedBatch>> {
        let Some(batch) = self.chunk.next(&mut self.desk)? else { return Ok(None) };
        if self.nan {
            return Ok(Some(batch));
        }
        for (field, array) in batch.rows.schema().fields().iter().zip(batch.rows.columns()) {
            if self.schema.get(field.name()).is_none_or(|c| c.data_type != DataType::Double) {
                continue;
            }
            let cells = crate::bind::Cells::new(array, DataType::Double)?;
            if (0..batch.rows.num_rows()).any(|row| cells.is_nan(row)) {
                return Err(Error::internal(format!("NaN reached SQLite in column {:?}", field.name())));
            }
        }
        Ok(Some(batch))
    }
}

/// The text of a value as it stands in a tombstone or in a message.
pub(crate) fn display(stored: rusqlite::types::ValueRef<'_>) -> String {
    codec::decode_as_stored(stored).to_string()
}
