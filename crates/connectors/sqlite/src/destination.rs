//! Opening a database: where it is, how it is set up, and its lock.

use crate::{
    codec, copy, ddl, differences,
    failure::to,
    ledger::SqliteLedger,
    lock::{self, Lock, Name},
    session::SqliteSession,
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
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long SQLite itself waits for another program's write lock.
const BUSY: Duration = Duration::from_secs(10);

/// An SQLite database by URL: `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` in memory.
#[derive(Debug, Clone)]
pub struct SqliteDestination {
    path: Option<PathBuf>,
}

impl SqliteDestination {
    /// Nothing is opened or created yet.
    pub fn new(url: &ConnectionUrl) -> Result<Self> {
        Ok(SqliteDestination { path: url.file_path()? })
    }

    /// One without a place, which nobody else comes to.
    pub(crate) fn scratch() -> Self {
        SqliteDestination { path: None }
    }

    fn connect(&self, access: Access) -> Result<Connection> {
        let Some(path) = &self.path else {
            return Connection::open_in_memory().map_err(to("open a database in memory"));
        };
        let fail = to("open the database");
        let opened = match access {
            Access::Write => crash::at(Point::OpenDatabase, || {
                open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE).map_err(&fail)
            })
            .and_then(|db| {
                setup(&db)?;
                Ok(db)
            }),
            Access::Rehearse => open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
                .and_then(|db| {
                    bounds(&db)?;
                    Ok(db)
                })
                .map_err(&fail),
            Access::Read => open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
                .or_else(|error| {
                    // A process that was killed inside a transaction leaves its journal behind (a new database has one
                    // until it is in WAL mode), and the first to come must roll it back, which reading alone may not.
                    match error.sqlite_error_code() {
                        Some(ErrorCode::ReadOnly) => open(path, OpenFlags::SQLITE_OPEN_READ_WRITE),
                        _ => Err(error),
                    }
                })
                .map_err(&fail),
        };
        let db = opened.map_err(|e| self.named(e))?;
        // SQLite opens a file it may not write to read-only, without a word.
        if access != Access::Read && db.is_readonly("main").unwrap_or(false) {
            return Err(self.named(
                Error::new(Code::DestinationOpen, "the database is read-only")
                    .state("nothing was written")
                    .help("give write permission on the file, on those beside it (-wal, -shm) and on its folder"),
            ));
        }
        Ok(db)
    }

    pub(crate) fn named(&self, error: Error) -> Error {
        match &self.path {
            Some(path) => error.in_file(path.clone()),
            None => error,
        }
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// A lock, on the database's true path so that two names of one file share it.
    pub(crate) fn lock(
        &self,
        name: Name<'_>,
        holder: &str,
        wait: Option<Duration>,
        stop: &Stop,
    ) -> Result<Option<Lock>> {
        let Some(path) = self.true_path()? else { return Ok(None) };
        Lock::acquire(&lock::folder(&path), name, holder, wait, stop).map(Some)
    }

    pub(crate) fn true_path(&self) -> Result<Option<PathBuf>> {
        let Some(path) = &self.path else { return Ok(None) };
        path.canonicalize()
            .map(Some)
            .map_err(|e| self.named(Error::new(Code::DestinationOpen, "the database's folder cannot be read").cause(e)))
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    /// Writes that are taken back; the file stays as it is, its journal mode too.
    Rehearse,
    Write,
}

/// Opens a database file; the first read shows whether it is one at all.
pub(crate) fn open(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY)?;
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(db)
}

fn setup(db: &Connection) -> Result<()> {
    let fail = to("open the database");
    // Readers keep their view while a load goes on, and never wait for it.
    // Turning it on in a new database needs it alone, and SQLite does not wait for that by itself.
    let deadline = Instant::now() + BUSY;
    while let Err(error) = crash::at(Point::JournalMode, || Ok(db.pragma_update(None, "journal_mode", "WAL")))? {
        let busy = matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked));
        if !busy || Instant::now() > deadline {
            return Err(fail(error));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    settings(db).map_err(fail)
}

/// Those that last as long as the connection.
fn settings(db: &Connection) -> rusqlite::Result<()> {
    // Consistent after a power cut, and durable once the log is written back, which is at the latest when the last
    // connection closes. What a cut in between takes back it takes back whole: rows with their watermark.
    db.pragma_update(None, "synchronous", "NORMAL")?;
    bounds(db)
}

/// What a load of any size may take of the machine.
pub(crate) fn bounds(db: &Connection) -> rusqlite::Result<()> {
    // 16 MiB of pages, then SQLite spills to the log: memory stays bounded whatever the load's size.
    db.pragma_update(None, "cache_size", -16_384)?;
    db.pragma_update(None, "temp_store", "FILE")?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}

impl Destination for SqliteDestination {
    fn capabilities(&self) -> Capabilities {
        // SQLITE_MAX_VARIABLE_NUMBER is 32766, which no table's columns reach.
        Capabilities {
            decimal: false,
            nan: false,
            case_sensitive: false,
            nanoseconds: true,
            zero_character: true,
            max_columns: ddl::MAX_COLUMNS,
            max_name: usize::MAX,
            transactional_schema: true,
        }
    }

    fn exists(&self) -> bool {
        self.path.as_deref().is_none_or(|path| path.try_exists().unwrap_or(true))
    }

    fn probe(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if !self.exists() {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !folder.is_dir() {
                return Err(self.named(
                    Error::new(Code::DestinationOpen, format!("the folder {} does not exist", folder.display()))
                        .help("create it, or name another path"),
                ));
            }
            return Ok(());
        }
        let db = self.connect(Access::Read)?;
        state::present(&db).map_err(|e| self.named(e))?;
        Ok(())
    }

    fn open(&self, pipeline: &str, run: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Session>> {
        let held = self.hold(Name::Pipeline(pipeline), run, wait, stop)?;
        let session = SqliteSession::open(self.clone(), held, pipeline, stop).map_err(|e| self.named(e))?;
        Ok(Box::new(session))
    }

    fn open_beside(&self, pipeline: &str, run: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Session>> {
        let held = self.hold(Name::Beside(pipeline), run, wait, stop)?;
        let session = SqliteSession::open_beside(self.clone(), held, pipeline, stop).map_err(|e| self.named(e))?;
        Ok(Box::new(session))
    }

    fn rehearse(&self, pipeline: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Rehearsal>> {
        // A connection that only reads, as a probe's, leaves SQLite's own files beside a database in WAL mode.
        match self.exists() {
            false => self.probe()?,
            true => self
                .true_path()?
                .map_or(Ok(()), |path| lock::look(&lock::folder(&path), Name::Pipeline(pipeline), wait, stop))?,
        }
        let session = SqliteSession::rehearse(self.clone(), pipeline, stop).map_err(|e| self.named(e))?;
        Ok(Box::new(session))
    }

    fn ledger(&self) -> Result<Box<dyn Ledger>> {
        if !self.exists() {
            return Err(self.named(
                Error::new(Code::DestinationOpen, "there is no database yet")
                    .help("check the path; the first run creates the database"),
            ));
        }
        Ok(Box::new(SqliteLedger { db: self.connect(Access::Read)?, destination: Some(self.clone()) }))
    }

    fn fingerprint(&self, table: &str) -> Result<Fingerprint> {
        let db = self.connect(Access::Read)?;
        fingerprint(&db, table).map_err(|e| self.named(e))
    }

    fn copy(&self, folder: &Path, without: &Pipeline, stop: &Stop) -> Result<ConnectionUrl> {
        copy::copy(self, folder, without, stop).map_err(|e| self.named(e))
    }

    /// A copy is all in its folder.
    fn sweep(&self) {}

    fn differences(&self, other: &ConnectionUrl, pipeline: &Pipeline, limit: usize) -> Result<Differences> {
        let db = self.connect(Access::Read)?;
        differences::between(&db, other, pipeline, limit).map_err(|e| self.named(e))
    }
}

impl SqliteDestination {
    pub(crate) fn connect_for_change(&self) -> Result<Connection> {
        self.connect(Access::Write)
    }

    /// A connection, and the lock that its writing stands under.
    fn hold(
        &self,
        name: Name<'_>,
        run: &str,
        wait: Option<Duration>,
        stop: &Stop,
    ) -> Result<(Connection, Option<Lock>)> {
        self.probe()?;
        let db = self.connect(Access::Write)?;
        let holder = format!(
            "run {run} (process {}) since {}",
            std::process::id(),
            chrono::Utc::now().format("%Y-%m-%d %H:%M:%SZ")
        );
        let lock = self.lock(name, &holder, wait, stop)?;
        Ok((db, lock))
    }

    pub(crate) fn connect_for_rehearsal(&self) -> Result<Connection> {
        self.connect(Access::Rehearse)
    }
}

/// Hashes a whole table, columns in the order of their names so that the physical order does not count.
fn fingerprint(db: &Connection, table: &str) -> Result<Fingerprint> {
    let Some(mut schema) = ddl::table(db, table)? else {
        return Err(Error::new(Code::TableShape, format!("there is no table {table:?}"))
            .help("table names are case-sensitive here; see `.tables` in sqlite3"));
    };
    schema.columns.sort_by(|a, b| a.name.cmp(&b.name));
    let fail = to("read the table");
    let sql = format!("SELECT {} FROM {}", ddl::list(schema.names()), ddl::quote(table));
    let mut statement = db.prepare(&sql).map_err(&fail)?;
    let mut rows = statement.query([]).map_err(&fail)?;
    let (mut print, mut hasher) = (Fingerprint::default(), RowHasher::default());
    while let Some(row) = rows.next().map_err(&fail)? {
        hasher.start();
        for (at, column) in schema.columns.iter().enumerate() {
            let stored = row.get_ref(at).map_err(&fail)?;
            hasher.cell(&codec::decode(stored, column.data_type).unwrap_or_else(|| codec::decode_as_stored(stored)));
        }
        print.add(hasher.finish());
    }
    Ok(print)
}
