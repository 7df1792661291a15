//! Loads into a table whose rows lie elsewhere, in files that nobody merges.
//!
//! The rows that a load may meet are brought here, into a scratch database; the load goes on here by the same statements as in
//! any database of SQLite's, under the same rule; and what became of the table is told afterwards, row by row, so that the
//! files can be written anew. The scratch database is the pipeline's state as well: between loads it is kept as a file,
//! with the table's columns and key and without its rows.

mod changes;
mod spool;
mod strangers;
mod wanted;

pub use changes::{Became, Stay, bit};
pub use wanted::{Values, Wanted};

use crate::{
    beside, bind, ddl,
    failure::to,
    ledger::SqliteLedger,
    merge::{self, Batches, Outcome},
    session::SqliteSession,
    state,
};
use arrow::array::RecordBatch;
use changes::Brought;
use floodmark_connect::{
    LoadPlan, Rehearsal, Sample, Session, Stop,
    crash::{self, Point},
    destination::Ledger,
};
use floodmark_core::{
    Code, Error, Result, Schema,
    pipeline::{AbsentRows, Load},
    state::{FileEntry, RunRecord, State},
};
use rusqlite::Connection;
use spool::Spool;
use std::path::Path;
use strangers::Parted;

/// Takes rows that are brought: some of one file, which one, and where in it each of them lies.
pub type Put<'a> = dyn FnMut(&RecordBatch, u32, &[u32]) -> Result<()> + 'a;

/// The table, where its rows are.
pub trait Elsewhere: Send {
    /// How many rows it has.
    fn rows(&self) -> Result<u64>;

    /// Brings the rows that are wanted, with these columns.
    fn bring(&mut self, wanted: &Wanted<'_>, schema: &Schema, put: &mut Put<'_>) -> Result<()>;

    /// Takes rows that meet none, into a table that is to have these columns; where they are to have numbers that last, returns
    /// the first and the last.
    fn add(&mut self, rows: &RecordBatch, schema: &Schema, numbered: bool) -> Result<Option<(i64, i64)>>;

    /// All rows go that were there before. Returns how many.
    fn clear(&mut self) -> Result<u64>;
}

/// Whose place a session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The pipeline's runs.
    Run,
    /// Loads beside them.
    Beside,
}

/// A scratch database in which one load goes on, or the loads of a rehearsal.
pub struct Bench {
    session: SqliteSession,
}

impl Bench {
    /// Opens a file with a pipeline's state, or an empty one. `raise`: whoever opens it takes the pipeline, and its token is
    /// raised; else the token stands as it is.
    pub fn open(
        file: &Path,
        pipeline: &str,
        side: Side,
        raise: bool,
        elsewhere: Box<dyn Elsewhere>,
        stop: &Stop,
    ) -> Result<Bench> {
        let mut db = connect(file)?;
        let tx = db.transaction().map_err(to("begin a write transaction"))?;
        state::create(&tx)?;
        let token = match (side, raise) {
            (Side::Run, true) => state::raise_token(&tx, pipeline).map(|_| None)?,
            (Side::Run, false) => None,
            (Side::Beside, true) => Some(beside::raise_token(&tx, pipeline)?),
            (Side::Beside, false) => beside::token(&tx, pipeline)?,
        };
        crash::at(Point::TakeCommit, || tx.commit().map_err(to("take the pipeline")))?;
        let state = state::read(&db, pipeline)?.unwrap_or_default();
        let session = SqliteSession::elsewhere(db, pipeline, state, token, elsewhere, stop);
        Ok(Bench { session })
    }

    /// Opens it for loads that are not kept. The file is not changed where it is a copy of its own.
    pub fn rehearse(file: &Path, pipeline: &str, elsewhere: Box<dyn Elsewhere>, stop: &Stop) -> Result<Bench> {
        let db = connect(file)?;
        let state = match state::present(&db)? {
            true => state::read(&db, pipeline)?.unwrap_or_default(),
            false => Default::default(),
        };
        let mut session = SqliteSession::elsewhere(db, pipeline, state, None, elsewhere, stop);
        session.rehearsed = Some(Default::default());
        Ok(Bench { session })
    }

    /// What the loads of a rehearsal made of the table.
    pub fn samples(&self, limit: usize) -> Result<Vec<Sample>> {
        self.session.samples(limit)
    }

    /// As what the pipeline's state was known when the rows were made ready.
    pub fn know(&mut self, state: State) {
        self.session.state = state;
    }

    /// The pipeline's state, as of the opening or of the last load.
    pub fn state(&self) -> State {
        self.session.state.clone()
    }

    /// The session as one that is asked.
    pub fn asked(&self) -> &dyn Session {
        &self.session
    }

    /// The session that loads.
    pub fn session(&mut self) -> &mut dyn Session {
        &mut self.session
    }

    /// Whether the table held no row when the run's first load began; and what is to count as that.
    pub fn was_empty(&mut self) -> &mut Option<bool> {
        &mut self.session.was_empty
    }

    /// The state as a connection to read it.
    pub(crate) fn db(&self) -> &Connection {
        &self.session.db
    }

    /// Puts runs on record, and the files whose rows need no load.
    pub fn record(&self, runs: &[RunRecord], files: &[(String, Option<FileEntry>)]) -> Result<()> {
        for (name, entry) in files {
            match entry {
                Some(entry) => state::write_file(self.db(), &self.session.pipeline, name, entry)?,
                None => state::remove_file(self.db(), &self.session.pipeline, name)?,
            }
        }
        runs.iter().try_for_each(|run| state::write_run(self.db(), run))
    }

    /// Gives the table the columns it has where its rows are: somebody else may have made or changed it. By which key its
    /// rows are found stays.
    pub fn shape(&self, table: &str, schema: &Schema) -> Result<()> {
        match ddl::table(self.db(), table)? {
            Some(now) if now == *schema => Ok(()),
            now => {
                let key = ddl::found_by(self.db(), table)?;
                let key: Vec<&str> = key.iter().map(String::as_str).filter(|k| schema.get(k).is_some()).collect();
                if now.is_some() {
                    let drop = format!("DROP TABLE {}", ddl::quote(table));
                    crash::at(Point::Temporary, || self.db().execute_batch(&drop).map_err(to("shape the table")))?;
                }
                ddl::create(self.db(), table, schema, &[], &key)
            }
        }
    }

    /// Writes the state into a file of its own, with the table's columns and key and none of its rows.
    pub fn save(&self, table: Option<&str>, into: &Path) -> Result<()> {
        let fail = to("write the state's file");
        if let Some(table) = table
            && ddl::table(self.db(), table)?.is_some()
        {
            let empty = format!(
                "DROP TRIGGER IF EXISTS temp._floodmark_on_leave_update;
                 DROP TRIGGER IF EXISTS temp._floodmark_on_leave_delete; DELETE FROM {}",
                ddl::quote(table)
            );
            crash::at(Point::Temporary, || self.db().execute_batch(&empty).map_err(&fail))?;
        }
        crash::at(Point::Temporary, || {
            self.db().execute("VACUUM INTO ?1", [into.to_string_lossy()]).map(|_| ()).map_err(&fail)
        })
    }
}

/// The token that a state has; 0 where nobody ever took the pipeline.
pub fn token(file: &Path, pipeline: &str, side: Side) -> Result<i64> {
    let db = connect(file)?;
    if !state::present(&db)? {
        return Ok(0);
    }
    Ok(match side {
        Side::Run => state::read(&db, pipeline)?.map_or(0, |state| state.token),
        Side::Beside => beside::token(&db, pipeline)?.unwrap_or(0),
    })
}

/// The books of the pipeline whose state a file holds. A change is made in the file.
pub fn ledger(file: &Path) -> Result<Box<dyn Ledger>> {
    Ok(Box::new(SqliteLedger { db: connect(file)?, destination: None }))
}

/// Writes a state into another file, without the room that it does not need.
pub fn compact(file: &Path, into: &Path) -> Result<()> {
    let db = connect(file)?;
    crash::at(Point::Temporary, || {
        let sql = "VACUUM INTO ?1";
        db.execute(sql, [into.to_string_lossy()]).map(|_| ()).map_err(to("write the state's file"))
    })
}

/// Puts the rows of a table into a database of its own.
pub fn store(
    file: &Path,
    table: &str,
    schema: &Schema,
    rows: &mut dyn Iterator<Item = Result<RecordBatch>>,
) -> Result<()> {
    let fail = to("write a scratch database");
    let mut db = connect(file)?;
    let tx = db.transaction().map_err(&fail)?;
    ddl::create(&tx, table, schema, &[], &[])?;
    let types: Vec<_> = schema.columns.iter().map(|c| c.data_type).collect();
    let mut insert = tx.prepare(&merge::insert_sql(table, &schema.names())).map_err(&fail)?;
    let mut scratch = String::new();
    for batch in rows {
        let batch = batch?;
        let cells = bind::columns(&batch, &types)?;
        for row in 0..batch.num_rows() {
            for (n, cell) in cells.iter().enumerate() {
                cell.bind(&mut insert, n + 1, row, &mut scratch).map_err(&fail)?;
            }
            crash::at(Point::Temporary, || insert.raw_execute().map_err(&fail))?;
        }
    }
    drop(insert);
    crash::at(Point::Temporary, || tx.commit().map_err(fail))
}

/// A scratch database is gone with its folder: nothing of it need last.
fn connect(file: &Path) -> Result<Connection> {
    let fail = to("open a scratch database");
    let db = Connection::open(file).map_err(&fail)?;
    crate::destination::bounds(&db).map_err(&fail)?;
    let settings = "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE";
    db.execute_batch(settings).map_err(&fail)?;
    Ok(db)
}

/// Brings what the load may meet, and merges. `known`: this pipeline has loaded the table before.
pub(crate) fn run(
    db: &Connection,
    plan: &LoadPlan<'_>,
    (was_empty, known): (bool, bool),
    elsewhere: &mut dyn Elsewhere,
    incoming: &mut dyn Batches,
    rehearsing: bool,
) -> Result<Outcome> {
    let pipeline = plan.target.pipeline;
    let table = &pipeline.destination.table;
    if plan.forget {
        elsewhere.clear()?;
    }
    let mut brought = Brought::begin(db, table, rehearsing)?;
    let replaces = pipeline.load == Load::Overwrite && pipeline.key.is_empty() && plan.within.is_none();
    if !rehearsing && plan.within.is_none() && (pipeline.load == Load::Append || replaces) {
        return straight(db, plan, &mut brought, elsewhere, incoming);
    }
    if pipeline.load == Load::Append && !plan.replace.is_empty() {
        let removed = take_out(db, plan, &mut brought, elsewhere)?;
        let plan = LoadPlan { replace: Vec::new(), ..plan.clone() };
        let mut outcome = merge::run(db, &plan, was_empty, incoming)?;
        outcome.counts.removed += removed;
        return Ok(outcome);
    }
    let nothing = plan.forget || elsewhere.rows()? == 0;
    let strangers = !rehearsing && strangers::possible(db, plan, nothing)?;
    let all = match pipeline.load {
        Load::Append => false,
        _ if !known => true,
        Load::Overwrite => pipeline.key.is_empty() || plan.within.is_none(),
        _ => pipeline.absent_rows != AbsentRows::Keep && plan.within.is_none(),
    };
    let (by_key, by_window) = match pipeline.load {
        Load::Append => (false, false),
        _ => (!pipeline.key.is_empty(), !pipeline.window.is_empty()),
    };
    if !(nothing && strangers) && (all || plan.forget || !(by_key || by_window)) {
        let wanted = match (&plan.within, all) {
            _ if nothing => return merge::run(db, plan, was_empty, incoming),
            (Some(within), false) => Wanted::Rows { keys: None, windows: None, within: Some(within) },
            (None, false) => return merge::run(db, plan, was_empty, incoming),
            (_, true) => Wanted::All,
        };
        brought.bring(elsewhere, &wanted)?;
        return merge::run(db, plan, was_empty, incoming);
    }
    let mut keys = by_key.then(|| Values::new(&pipeline.key, plan.target.schema)).transpose()?;
    let mut windows = by_window.then(|| Values::new(&pipeline.window, plan.target.schema)).transpose()?;
    let mut spool = Spool::default();
    let (mut rows, mut deletes) = (0, false);
    while let Some(batch) = incoming.next()? {
        for values in keys.iter_mut().chain(windows.iter_mut()) {
            values.add(&batch.rows)?;
        }
        rows += batch.rows.num_rows();
        deletes |= batch.delete.as_ref().is_some_and(|delete| delete.has_true());
        spool.push(batch)?;
    }
    let once = keys.as_ref().is_some_and(|keys| keys.len() == rows);
    if strangers && once && !deletes {
        brought.met = Some(Values::new(&pipeline.key, plan.target.schema)?);
    }
    if !nothing {
        let wanted = Wanted::Rows { keys: keys.as_ref(), windows: windows.as_ref(), within: plan.within.as_ref() };
        brought.bring(elsewhere, &wanted)?;
    }
    drop((keys, windows));
    let mut spooled = spool.read(incoming.complete())?;
    let Some(met) = brought.met.take() else { return merge::run(db, plan, was_empty, &mut spooled) };
    let mut parted = Parted { incoming: &mut spooled, met, pipeline, schema: &brought.schema, elsewhere, rows: 0 };
    let mut outcome = merge::run(db, plan, was_empty, &mut parted)?;
    outcome.counts.inserted += parted.rows;
    Ok(outcome)
}

/// Rows that meet no other go where the table is as they come.
fn straight(
    db: &Connection,
    plan: &LoadPlan<'_>,
    brought: &mut Brought<'_>,
    elsewhere: &mut dyn Elsewhere,
    incoming: &mut dyn Batches,
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    outcome.counts.removed = take_out(db, plan, brought, elsewhere)?;
    if plan.target.pipeline.load == Load::Overwrite && !plan.forget {
        outcome.counts.removed += elsewhere.clear()?;
    }
    while let Some(batch) = incoming.next()? {
        let numbers = elsewhere.add(&batch.rows, &brought.schema, plan.lineage)?;
        outcome.counts.inserted += batch.rows.num_rows() as u64;
        if let Some((first, last)) = numbers {
            merge::add_lineage(&mut outcome.lineage, batch.slice, (first, last));
        }
    }
    Ok(outcome)
}

/// Takes out the earlier rows of files that are loaded anew, and no other.
fn take_out(
    db: &Connection,
    plan: &LoadPlan<'_>,
    brought: &mut Brought<'_>,
    elsewhere: &mut dyn Elsewhere,
) -> Result<u64> {
    let table = &plan.target.pipeline.destination.table;
    for (file, entry) in &plan.replace {
        brought.lineage(elsewhere, table, file, entry)?;
    }
    if plan.replace.is_empty() {
        return Ok(0);
    }
    let rowid = merge::rowid_name(db, table)?;
    let remove = format!("DELETE FROM {} WHERE {rowid} IN (SELECT id FROM temp._floodmark_places)", ddl::quote(table));
    crash::at(Point::RemoveLineage, || {
        db.execute(&remove, []).map(|n| n as u64).map_err(to("delete the earlier rows of a file"))
    })
}

/// The rows of a file cannot be told apart any more: whoever wrote the files of the table anew left the numbers out.
fn untold(table: &str, file: &str, entry: &FileEntry) -> Error {
    let rows = floodmark_core::wording::count(entry.rows, "earlier row");
    Error::new(
        Code::ChangedFile,
        format!("{file:?} changed, and its {rows} cannot be told apart in table {table:?} any more"),
    )
    .state("nothing was written")
    .help("another program rewrote the table's files, or deleted rows")
    .help("load everything again with `--full-refresh`, or set `changed_files: append_tail` if files only grow")
}
