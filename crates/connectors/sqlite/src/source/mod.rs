//! SQLite as a source: one table, view or query, read in one transaction.
//!
//! A transaction that only reads sees the database as it was at its first read, whatever others commit meanwhile, and the
//! file is opened read-only. SQLite has one writer at a time: what is committed later was begun later, so nothing can
//! appear behind the rows that are there, unless a program takes its time stamps before it waits for its turn.

mod catalog;
mod columns;
mod read;
mod snapshot;

use crate::{ddl, destination};
pub use catalog::catalog;
use columns::Columns;
use floodmark_connect::{
    BadRow, Batches, Files, ReadPlan, Slice, Source, Stop, Survey, SurveyRequest,
    source::{Extent, Glance, Glimpse},
};
use floodmark_core::{Code, DataType, Error, Result, pipeline::Relation, url::ConnectionUrl, wording};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use snapshot::Snapshot;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// A table, view or query of an SQLite database.
#[derive(Debug)]
pub struct SqliteSource {
    origin: Origin,
    /// Of the last survey.
    snapshot: Mutex<Snapshot>,
    /// For all reads that follow it, and not only for those at the same time.
    lasting: bool,
}

impl SqliteSource {
    /// Nothing is opened yet.
    ///
    /// # Errors
    /// `FM0105` for a database in memory: it is empty.
    pub fn new(url: &ConnectionUrl, relation: Relation) -> Result<Self> {
        let origin = Origin { path: path(url)?, relation };
        Ok(SqliteSource { origin, snapshot: Mutex::default(), lasting: false })
    }

    /// Every read sees what the last survey saw. That transaction is held until there is another, or the source is dropped.
    #[must_use]
    pub fn lasting(self) -> Self {
        SqliteSource { lasting: true, ..self }
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is read, and where.
#[derive(Debug, Clone)]
struct Origin {
    path: PathBuf,
    relation: Relation,
}

impl Origin {
    fn named(&self, error: Error) -> Error {
        error.in_file(self.path.clone()).or_state("nothing was written")
    }

    fn connect(&self) -> Result<Connection> {
        connect(&self.path)
    }

    /// A transaction, of which the first read fixes what it sees.
    fn begin(&self, stop: &Stop) -> Result<Connection> {
        let mut db = self.connect()?;
        let stop = stop.clone();
        db.progress_handler(100_000, Some(move || stop.check().is_err())).map_err(unreadable)?;
        db.execute_batch("BEGIN").map_err(unreadable)?;
        Ok(db)
    }

    /// What to select from, in SQL.
    fn relation(&self) -> String {
        match &self.relation {
            Relation::Table(table) => ddl::quote(table),
            // Within brackets a second statement is a mistake in the first.
            Relation::Query(sql) => format!("(\n{}\n)", sql.trim().trim_end_matches(';')),
        }
    }

    fn columns(&self, db: &Connection) -> Result<Columns> {
        match &self.relation {
            Relation::Table(table) => columns::of_table(db, table)?.ok_or_else(|| self.missing(db, table)),
            Relation::Query(sql) => columns::of_query(db, sql, &self.relation()),
        }
    }

    fn missing(&self, db: &Connection, table: &str) -> Error {
        let error = Error::new(Code::SourceMissing, format!("there is no table or view {table:?}"));
        let tables: Vec<String> = db
            .prepare("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
            .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
            .unwrap_or_default();
        match wording::nearest(table, tables.iter().map(String::as_str)) {
            Some(near) => error.help(format!("did you mean {near:?}?")),
            None => error.help("`sqlite3 FILE .tables` lists the tables"),
        }
    }
}

/// The rows of a relation for which a condition in SQL holds.
pub fn filtered(relation: &Relation, condition: &str) -> Relation {
    let from = match relation {
        Relation::Table(table) => ddl::quote(table),
        Relation::Query(sql) => format!("(\n{}\n)", sql.trim().trim_end_matches(';')),
    };
    // The line's end is for a comment at the end of the condition.
    Relation::Query(format!("SELECT * FROM {from} WHERE ({condition}\n)"))
}

fn path(url: &ConnectionUrl) -> Result<PathBuf> {
    url.file_path()?.ok_or_else(|| {
        Error::new(Code::BadUrl, "a database in memory has nothing to read").help("name a file: sqlite:///shop.db")
    })
}

fn connect(path: &Path) -> Result<Connection> {
    if !path.try_exists().unwrap_or(true) {
        return Err(Error::new(Code::SourceMissing, "there is no such database").help("check the path of the source"));
    }
    let db = destination::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(unreadable)?;
    destination::bounds(&db).map_err(unreadable)?;
    Ok(db)
}

/// What SQLite said while something was read.
pub(crate) fn unreadable(error: rusqlite::Error) -> Error {
    let (code, help) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Code::DestinationBusy,
            "another program holds a write lock on it: let it finish, or close it, and run again",
        ),
        Some(ErrorCode::NotADatabase) => (Code::SourceRead, "the file is not an SQLite database: name another file"),
        Some(ErrorCode::DatabaseCorrupt) => (
            Code::SourceRead,
            "the database file is damaged: check it with `sqlite3 FILE 'PRAGMA integrity_check'` and restore a backup",
        ),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => (
            Code::SourceRead,
            "check that the file may be read; where it has a -wal file beside it, its folder must be writable, too",
        ),
        _ => (Code::SourceRead, "try the statement in `sqlite3 FILE`"),
    };
    Error::new(code, "SQLite failed to read the source").help(help).cause(error)
}

impl Source for SqliteSource {
    fn slices(&self, _stop: &Stop) -> Result<Vec<Slice>> {
        let look = || {
            let db = self.origin.connect()?;
            self.origin.columns(&db)
        };
        look().map_err(|e| self.origin.named(e))?;
        let name = self.origin.relation.name().to_owned();
        Ok(vec![Slice { path: name.clone().into(), name, size: 0, modified: 0, tag: None }])
    }

    fn sorts(&self) -> bool {
        true
    }

    fn divides(&self, _: &str, _: DataType, _: &Stop) -> Result<bool> {
        Ok(false)
    }

    fn files(&self) -> Option<&dyn Files> {
        None
    }

    fn glance(&self, slices: &[Slice], request: &SurveyRequest, _stop: &Stop) -> Result<Glance> {
        let look = || {
            let db = self.origin.connect()?;
            self.origin.columns(&db)?.schema(&db, &self.origin.relation(), &request.pinned)
        };
        let schema = look().map_err(|e| self.origin.named(e))?;
        let own = Arc::new(schema.clone());
        let slices = slices.iter().map(|_| Glimpse { schema: Arc::clone(&own), whole: true, rows: true }).collect();
        Ok(Glance { schema, whole: true, slices })
    }

    fn first_bad(&self, _slice: &Slice, _plan: &ReadPlan, _stop: &Stop) -> Result<Vec<BadRow>> {
        Ok(Vec::new())
    }

    fn extent(&self, column: &str, data_type: DataType, stop: &Stop) -> Result<Option<Extent>> {
        let look = |db: &Connection| {
            let columns = self.origin.columns(db)?;
            read::extent(db, &self.origin.relation(), &columns, column, data_type)
        };
        let extent = match self.snapshot().look(look) {
            Some(extent) => extent,
            None => self.origin.begin(stop).and_then(|db| look(&db)),
        };
        extent.map(Some).map_err(|e| stop.check().err().unwrap_or_else(|| self.origin.named(e)))
    }

    fn survey(&self, slices: &[Slice], request: &SurveyRequest, stop: &Stop) -> Result<Survey> {
        let look = || {
            let db = self.origin.begin(stop)?;
            let schema = self.origin.columns(&db)?.schema(&db, &self.origin.relation(), &request.pinned)?;
            Ok((db, schema))
        };
        let (db, schema) = look().map_err(|e: Error| stop.check().err().unwrap_or_else(|| self.origin.named(e)))?;
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Snapshot::new(db, self.lasting);
        let own = Arc::new(schema.clone());
        Ok(Survey {
            schema,
            slices: slices.iter().map(|_| (1, 0)).collect(),
            columns: slices.iter().map(|_| Arc::clone(&own)).collect(),
            table: None,
            horizon: None,
            held: None,
        })
    }

    fn read(&self, slice: &Slice, plan: &ReadPlan, stop: &Stop) -> Result<Box<dyn Batches>> {
        let read = self.snapshot().read(|| self.origin.begin(stop)).map_err(|e| self.origin.named(e))?;
        Ok(Box::new(read::start(self.origin.clone(), read, slice.name.clone(), plan.clone(), stop)))
    }
}
