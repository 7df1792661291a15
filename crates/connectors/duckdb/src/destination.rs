//! Opening a database: where it is, how it is set up, and its locks.

use crate::{
    codec, copy,
    ddl::{self, Name},
    differences,
    instance::{Access, Instance},
    ledger::DuckdbLedger,
    link::Db,
    lock::{self, Lock, Name as LockName},
    session::DuckdbSession,
    settings::Settings,
    state,
};
use floodmark_connect::{
    Capabilities, Destination, Differences, Rehearsal, Session, Stop,
    crash::{self, Point},
    destination::Ledger,
};
use floodmark_core::{
    Code, Error, Result,
    fingerprint::{Fingerprint, RowHasher},
    pipeline::Pipeline,
    url::ConnectionUrl,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long another process is waited for where nobody said how long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A DuckDB database by URL: `duckdb:///relative.duckdb`, `duckdb:////absolute.duckdb`, `duckdb://` in memory, with DuckDB's
/// own settings behind a question mark: `?memory_limit=1GB&threads=4&temp_directory=/fast`.
#[derive(Debug, Clone)]
pub struct DuckdbDestination {
    path: Option<PathBuf>,
    settings: Settings,
    /// The database in memory, which is the same for all that is done with this destination.
    memory: Arc<Mutex<Option<Arc<Instance>>>>,
}

impl DuckdbDestination {
    /// Nothing is opened or created yet.
    pub fn new(url: &ConnectionUrl) -> Result<Self> {
        let path = url.file_path()?;
        let settings = Settings::of(url)?;
        Ok(DuckdbDestination { path, settings, memory: Arc::default() })
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    fn in_memory(&self) -> Result<Arc<Instance>> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = memory.as_ref() {
            return Ok(there.clone());
        }
        let made = Instance::in_memory(&self.settings.all())?;
        *memory = Some(made.clone());
        Ok(made)
    }

    /// The database, open for a purpose. Where another process has it, it is waited for.
    pub(crate) fn open_for(&self, access: Access, wait: Option<Duration>, stop: &Stop) -> Result<Arc<Instance>> {
        match &self.path {
            None => self.in_memory(),
            Some(path) => Instance::open(path, access, &self.settings.all(), wait, stop),
        }
    }

    /// A connection for what is done outside a run.
    pub(crate) fn connect(&self, access: Access) -> Result<Db> {
        Db::connect(&self.open_for(access, Some(PATIENCE), &Stop::default())?)
    }

    /// The folder of the file is there.
    fn folder(&self) -> Result<()> {
        let Some(path) = self.path() else { return Ok(()) };
        match path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
            None => Ok(()),
            Some(folder) => {
                Err(Error::new(Code::DestinationOpen, format!("the folder {} does not exist", folder.display()))
                    .state("nothing was written")
                    .help("create it, or name another path")
                    .in_file(path.to_owned()))
            }
        }
    }

    /// A connection for a run, and the lock that what it writes stands under.
    fn hold(&self, name: LockName, run: &str, wait: Option<Duration>, stop: &Stop) -> Result<(Db, Lock)> {
        self.folder()?;
        let instance = crash::at(Point::OpenDatabase, || self.open_for(Access::Write, wait, stop))?;
        let db = Db::connect(&instance)?;
        state::present(&db)?;
        let lock = Lock::acquire(&instance, name, &db.holder(Some(&format!("run {run}"))), wait, stop)?;
        Ok((db, lock))
    }
}

impl Destination for DuckdbDestination {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            decimal: true,
            nan: true,
            case_sensitive: false,
            nanoseconds: false,
            zero_character: true,
            max_columns: ddl::MAX_COLUMNS,
            max_name: usize::MAX,
            transactional_schema: true,
        }
    }

    fn exists(&self) -> bool {
        self.path.as_ref().is_none_or(|path| path.try_exists().unwrap_or(true))
    }

    fn probe(&self) -> Result<()> {
        self.folder()?;
        if !self.exists() {
            return Ok(());
        }
        let db = self.connect(Access::Write)?;
        state::present(&db).map(drop)
    }

    fn open(&self, pipeline: &str, run: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Session>> {
        let held = self.hold(LockName::Pipeline(pipeline.to_owned()), run, wait, stop)?;
        Ok(Box::new(DuckdbSession::open(held, pipeline, stop)?))
    }

    fn open_beside(&self, pipeline: &str, run: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Session>> {
        let held = self.hold(LockName::Beside(pipeline.to_owned()), run, wait, stop)?;
        Ok(Box::new(DuckdbSession::open_beside(held, pipeline, stop)?))
    }

    fn rehearse(&self, pipeline: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Rehearsal>> {
        let absent = self.path.clone().filter(|_| !self.exists());
        let instance = match &absent {
            Some(_) => Instance::in_memory(&self.settings.all())?,
            None => self.open_for(Access::Write, wait, stop)?,
        };
        lock::look(&instance, &LockName::Pipeline(pipeline.to_owned()), wait, stop)?;
        Ok(Box::new(DuckdbSession::rehearse(Db::connect(&instance)?, absent, pipeline, stop)?))
    }

    fn ledger(&self) -> Result<Box<dyn Ledger>> {
        if !self.exists() {
            return Err(Error::new(Code::DestinationOpen, "there is no such database")
                .state("nothing was read or written")
                .help("check the path; the first run makes the database")
                .in_file(self.path.clone().unwrap_or_default()));
        }
        Ok(Box::new(DuckdbLedger { db: self.connect(Access::Look)? }))
    }

    fn fingerprint(&self, table: &str) -> Result<Fingerprint> {
        if !self.exists() {
            return Err(Error::new(Code::DestinationOpen, "there is no such database")
                .help("check the path; the first run makes the database")
                .in_file(self.path.clone().unwrap_or_default()));
        }
        fingerprint(&self.connect(Access::Read)?, table)
    }

    fn copy(&self, folder: &Path, without: &Pipeline, stop: &Stop) -> Result<ConnectionUrl> {
        copy::copy(self, folder, without, stop)
    }

    fn sweep(&self) {
        // Copies are files inside their folders, and go with them.
    }

    fn differences(&self, other: &ConnectionUrl, pipeline: &Pipeline, limit: usize) -> Result<Differences> {
        let other = DuckdbDestination::new(other)?.connect(Access::Read)?;
        differences::between(&self.connect(Access::Read)?, &other, pipeline, limit)
    }
}

/// Hashes a whole table, columns in the order of their names so that the physical order does not count.
fn fingerprint(db: &Db, table: &str) -> Result<Fingerprint> {
    let name = Name::resolve(db, table)?;
    let Some(mut found) = ddl::table(db, &name)? else {
        return Err(Error::new(Code::TableShape, format!("there is no table {table:?}"))
            .help("those without a schema are looked for in the schema main"));
    };
    found.columns.sort_by(|a, b| a.name.cmp(&b.name));
    let columns: Vec<String> = found.columns.iter().map(|c| c.read("")).collect();
    let (mut print, mut hasher) = (Fingerprint::default(), RowHasher::default());
    db.copy_out(&format!("SELECT {} FROM {name}", columns.join(", ")), |row| {
        hasher.start();
        for (at, column) in found.columns.iter().enumerate() {
            hasher.cell(&codec::shown(row.cell(at), column.data_type));
        }
        print.add(hasher.finish());
        Ok(())
    })?;
    Ok(print)
}
