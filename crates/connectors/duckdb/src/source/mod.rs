//! DuckDB as a source: one table, view or query, read in one transaction.
//!
//! The file is opened for reading: other programs may read it meanwhile, and none writes to it until the run is done with it.
//! Where this very process loads into the same file, a transaction sees it as it was at its first read.

mod catalog;
mod columns;
mod read;
mod snapshot;

use crate::{
    ddl,
    failure::unreadable,
    file,
    instance::{Access, Instance},
    link::Db,
    settings::Settings,
};
pub use catalog::catalog;
use columns::Columns;
use floodmark_connect::{
    BadRow, Batches, Files, ReadPlan, Slice, Source, Stop, Survey, SurveyRequest,
    source::{Extent, Glance, Glimpse},
};
use floodmark_core::{Code, DataType, Error, Result, pipeline::Relation, url::ConnectionUrl, wording};
use snapshot::Snapshot;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long another process is waited for that writes to the file.
const PATIENCE: Duration = Duration::from_secs(10);

/// A table, view or query of a DuckDB database.
#[derive(Debug)]
pub struct DuckdbSource {
    origin: Origin,
    /// Of the last survey.
    snapshot: Mutex<Snapshot>,
    /// For all reads that follow it, and not only for those at the same time.
    lasting: bool,
}

impl DuckdbSource {
    /// Nothing is opened yet.
    ///
    /// # Errors
    /// `FM0105` for a database in memory: it is empty.
    pub fn new(url: &ConnectionUrl, relation: Relation) -> Result<Self> {
        let (path, settings) = open_as(url)?;
        Ok(DuckdbSource { origin: Origin { path, settings, relation }, snapshot: Mutex::default(), lasting: false })
    }

    /// Every read sees what the last survey saw. That transaction is held until there is another, or the source is dropped.
    #[must_use]
    pub fn lasting(self) -> Self {
        DuckdbSource { lasting: true, ..self }
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does something with the snapshot of the last survey, or where a read has it, with one of this moment.
    fn look<T>(&self, stop: &Stop, look: impl Fn(&Db) -> Result<T>) -> Result<T> {
        let looked = match self.snapshot().look(&look) {
            Some(looked) => looked,
            None => self.origin.begin(stop).and_then(|db| look(&db)),
        };
        looked.map_err(|e| stop.check().err().unwrap_or_else(|| self.origin.named(e)))
    }
}

/// What is read, and where.
#[derive(Debug, Clone)]
struct Origin {
    path: PathBuf,
    settings: Settings,
    relation: Relation,
}

impl Origin {
    fn named(&self, error: Error) -> Error {
        error.in_file(self.path.clone()).or_state("nothing was written")
    }

    fn connect(&self, stop: &Stop) -> Result<Db> {
        connect(&self.path, &self.settings, stop)
    }

    /// A transaction, of which the first read fixes what it sees.
    fn begin(&self, stop: &Stop) -> Result<Db> {
        let db = self.connect(stop)?;
        db.execute_batch("BEGIN TRANSACTION").map_err(unreadable)?;
        Ok(db)
    }

    fn columns(&self, db: &Db) -> Result<Columns> {
        match &self.relation {
            Relation::Table(table) => columns::of_table(db, table)?.ok_or_else(|| self.missing(db, table)),
            Relation::Query(sql) => columns::of_query(db, sql),
        }
    }

    fn missing(&self, db: &Db, table: &str) -> Error {
        let error = Error::new(Code::SourceMissing, format!("there is no table or view {table:?}"));
        let listed = catalog::tables(db).unwrap_or_default();
        let names: Vec<&str> = listed.iter().map(|listed| listed.name.as_str()).collect();
        match wording::nearest(table, names.iter().copied()) {
            Some(near) => error.help(format!("did you mean {near:?}?")),
            None => error.help("`duckdb FILE -c 'SHOW ALL TABLES'` lists the tables"),
        }
    }
}

/// What stands behind FROM for a query.
fn bracketed(sql: &str) -> String {
    // Within brackets a second statement is a mistake in the first; the line's end is for a comment at the query's end.
    format!("(\n{}\n)", sql.trim().trim_end_matches(';'))
}

/// The rows of a relation for which a condition in SQL holds.
///
/// # Errors
/// Where the name cannot be read.
pub fn filtered(url: &ConnectionUrl, relation: &Relation, condition: &str) -> Result<Relation> {
    let from = match relation {
        Relation::Table(written) => {
            let (schema, table) = ddl::split(written).map_err(|error| error.or_state("nothing was written"))?;
            let mut parts: Vec<&str> = schema.as_deref().into_iter().chain([&*table]).collect();
            // DuckDB calls the database by its file up to the first point, and a schema of that name is told apart from it so.
            let name = url.file_path()?.map(|path| file::place(&path)).transpose()?;
            let name = name.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
            let name = name.split('.').next().unwrap_or_default();
            if schema.as_deref().is_some_and(|schema| schema.eq_ignore_ascii_case(name)) {
                parts.insert(0, name);
            }
            parts.into_iter().map(ddl::quote).collect::<Vec<_>>().join(".")
        }
        Relation::Query(sql) => bracketed(sql),
    };
    Ok(Relation::Query(format!("SELECT * FROM {from} WHERE ({condition}\n)")))
}

fn open_as(url: &ConnectionUrl) -> Result<(PathBuf, Settings)> {
    let path = url.file_path()?.ok_or_else(|| {
        Error::new(Code::BadUrl, "a database in memory has nothing to read").help("name a file: duckdb:///shop.duckdb")
    })?;
    let settings = Settings::of(url)?;
    Ok((path, settings))
}

fn connect(path: &Path, settings: &Settings, stop: &Stop) -> Result<Db> {
    if !path.try_exists().unwrap_or(true) {
        return Err(Error::new(Code::SourceMissing, "there is no such database").help("check the path of the source"));
    }
    let opened = Instance::open(path, Access::Read, &settings.all(), Some(PATIENCE), stop);
    Db::connect(&opened.map_err(|error| {
        match error.code() {
            Code::Busy => Error::new(Code::DestinationBusy, error.message().to_owned())
                .help("let it finish, or close it, and run again: DuckDB gives a file to readers or to one writer"),
            Code::DestinationOpen | Code::DestinationWrite => {
                let told = Error::new(Code::SourceRead, "DuckDB failed to open the source");
                let told = error.advice().iter().fold(told, |told, help| told.help(help.clone()));
                told.cause(error)
            }
            _ => error,
        }
    })?)
}

impl Source for DuckdbSource {
    fn slices(&self, _stop: &Stop) -> Result<Vec<Slice>> {
        let look = || self.origin.columns(&self.origin.connect(&Stop::default())?);
        look().map_err(|e| self.origin.named(e))?;
        let name = self.origin.relation.name().to_owned();
        Ok(vec![Slice { path: name.clone().into(), name, size: 0, modified: 0, tag: None }])
    }

    fn sorts(&self) -> bool {
        true
    }

    fn divides(&self, column: &str, data_type: DataType, stop: &Stop) -> Result<bool> {
        // Where this process writes to the file, reads take turns, and those who wait for each other would wait for ever.
        self.look(stop, |db| Ok(!db.instance.writes() && self.origin.columns(db)?.is_exact(column, data_type)))
    }

    fn files(&self) -> Option<&dyn Files> {
        None
    }

    fn glance(&self, slices: &[Slice], _: &SurveyRequest, stop: &Stop) -> Result<Glance> {
        let look = || Ok(self.origin.columns(&self.origin.connect(stop)?)?.schema());
        let schema = look().map_err(|e| self.origin.named(e))?;
        let own = Arc::new(schema.clone());
        let slices = slices.iter().map(|_| Glimpse { schema: Arc::clone(&own), whole: true, rows: true }).collect();
        Ok(Glance { schema, whole: true, slices })
    }

    fn first_bad(&self, _: &Slice, _: &ReadPlan, _: &Stop) -> Result<Vec<BadRow>> {
        Ok(Vec::new())
    }

    fn extent(&self, column: &str, data_type: DataType, stop: &Stop) -> Result<Option<Extent>> {
        self.look(stop, |db| read::extent(db, &self.origin.columns(db)?, column, data_type))
    }

    fn survey(&self, slices: &[Slice], _: &SurveyRequest, stop: &Stop) -> Result<Survey> {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Snapshot::default();
        let look = || {
            let db = self.origin.begin(stop)?;
            let schema = self.origin.columns(&db)?.schema();
            Ok((db, schema))
        };
        let (db, schema) = look().map_err(|e: Error| stop.check().err().unwrap_or_else(|| self.origin.named(e)))?;
        // A file that is only read stays as it is: every read has a transaction of its own there.
        let lasting = self.lasting || !db.instance.writes();
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Snapshot::new(db, lasting);
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
        let alone = self.snapshot().look(|db| !db.instance.writes()) == Some(true);
        let snapshot = if alone { Snapshot::default() } else { self.snapshot() };
        let read = snapshot.read(|| self.origin.begin(stop)).map_err(|e| self.origin.named(e))?;
        Ok(Box::new(read::start(self.origin.clone(), read, slice.name.clone(), plan.clone(), stop)))
    }
}
