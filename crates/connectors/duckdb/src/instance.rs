//! A database file, as this process has it open.
//!
//! DuckDB gives a file to one process at a time, by a lock that dies with the process, and within the process to one database
//! object: a second one would not see the first one's lock, and the two would write over each other. So whoever asks for a file
//! that is open here gets the same object, and the next one waits until an object that is going has gone.

use crate::{
    failure::failed,
    lock::Locks,
    raw::{Connection, Database, Failure, Kind},
};
use floodmark_connect::Stop;
use floodmark_core::{Code, Error, Result};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(20);

/// How long a file may be taken before it counts as held: who only looks at a database has it for a moment.
const GLANCE: Duration = Duration::from_millis(400);

/// An open database.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Nothing once it is going.
    database: Option<Database>,
    /// Its file, by its true name.
    file: Option<PathBuf>,
    writes: bool,
    pub(crate) locks: Locks,
}

type Open = HashMap<PathBuf, Weak<Instance>>;

/// Files that are open in this process, and those that are going.
static OPEN: Mutex<Option<Open>> = Mutex::new(None);
static GONE: Condvar = Condvar::new();

/// What a database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It is made where there is none.
    Write,
    /// It stays as it is, and others may read it meanwhile.
    Read,
    /// To look at its ledgers, by what this process reads it with where it does; else as for writing.
    Look,
}

impl Instance {
    /// A database that lives in memory.
    pub(crate) fn in_memory(settings: &[(&str, String)]) -> Result<Arc<Instance>> {
        let database = Database::open(None, settings).map_err(|error| failed("open a database in memory", error))?;
        Ok(Arc::new(Instance { database: Some(database), file: None, writes: true, locks: Locks::default() }))
    }

    /// A file. Where another process has it, it is waited for at most `wait` (`None`: for ever).
    pub(crate) fn open(
        path: &Path,
        access: Access,
        settings: &[(&str, String)],
        wait: Option<Duration>,
        stop: &Stop,
    ) -> Result<Arc<Instance>> {
        let file = true_name(path)?;
        let since = Instant::now();
        loop {
            match Instance::attempt(&file, access, settings) {
                Ok(instance) => return Ok(instance),
                Err(failure) => {
                    let Some(holder) = holder(&failure) else { return Err(refused(path, access, failure)) };
                    if wait.is_some_and(|wait| since.elapsed() >= wait.max(GLANCE)) {
                        return Err(busy(path, &holder, failure));
                    }
                }
            }
            stop.check()?;
            std::thread::sleep(POLL);
        }
    }

    fn attempt(
        file: &Path,
        access: Access,
        settings: &[(&str, String)],
    ) -> std::result::Result<Arc<Instance>, Failure> {
        let mut guard = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let open = guard.get_or_insert_default();
            match open.get(file).map(Weak::upgrade) {
                Some(Some(there)) if there.writes || access != Access::Write => return Ok(there),
                Some(Some(there)) => {
                    // Who lets go of it last asks for the files that are open, too.
                    drop(guard);
                    drop(there);
                    return Err(Failure::of(
                        Kind::Io,
                        "Could not set lock on file: this process itself reads it, and does not write to it",
                    ));
                }
                Some(None) => guard = GONE.wait(guard).unwrap_or_else(PoisonError::into_inner),
                None => break,
            }
        }
        let mode = match access {
            Access::Write | Access::Look => "READ_WRITE",
            Access::Read => "READ_ONLY",
        };
        let mut all = vec![("access_mode", mode.to_owned())];
        all.extend(settings.iter().cloned());
        if access == Access::Write && !file.exists() {
            make(file).map_err(|error| Failure::of(Kind::Io, format!("Cannot open file: {error}")))?;
        }
        let database = Database::open(Some(file), &all)?;
        let instance = Arc::new(Instance {
            database: Some(database),
            file: Some(file.to_owned()),
            writes: access != Access::Read,
            locks: Locks::default(),
        });
        guard.get_or_insert_default().insert(file.to_owned(), Arc::downgrade(&instance));
        Ok(instance)
    }

    /// Whether it may be written to here.
    pub(crate) fn writes(&self) -> bool {
        self.writes
    }

    pub(crate) fn connect(&self) -> std::result::Result<Connection, Failure> {
        match &self.database {
            Some(database) => Connection::open(database),
            None => Err(Failure::of(Kind::Other, "the database is closed")),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Until it has gone, its name stays: whoever wants the file again waits.
        self.database = None;
        if let Some(file) = &self.file {
            let mut guard = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            guard.get_or_insert_default().remove(file);
            GONE.notify_all();
        }
    }
}

/// Makes an empty database, whole or not at all: of one that is killed while it writes the first bytes nobody could make anything.
fn make(file: &Path) -> std::result::Result<(), Failure> {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = PathBuf::from(name);
    let _ = std::fs::remove_file(&new);
    drop(Database::open(Some(&new), &[])?);
    // Unlike a move, a link never takes the place of a database that another process made meanwhile.
    let linked = std::fs::hard_link(&new, file);
    let _ = std::fs::remove_file(&new);
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Failure::of(Kind::Io, error.to_string()))
        }
        _ => Ok(()),
    }
}

/// The file's true name, so that two names of one file are the same. One that is not there has that of its folder.
fn true_name(path: &Path) -> Result<PathBuf> {
    if let Ok(name) = path.canonicalize() {
        return Ok(name);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(|error| {
        Error::new(Code::DestinationOpen, "the database's folder cannot be read")
            .state("nothing was written")
            .help("check that the folder exists and may be written to")
            .in_file(path.to_owned())
            .cause(error)
    })?;
    Ok(path.file_name().map_or_else(|| folder.clone(), |name| folder.join(name)))
}

/// Who has the file, where that is why it cannot be opened.
fn holder(failure: &Failure) -> Option<String> {
    let message = failure.message.strip_prefix("IO Error: ").unwrap_or(&failure.message);
    if !message.starts_with("Could not set lock on file") {
        return None;
    }
    let held = message.split_once("Conflicting lock is held in ").map(|(_, rest)| rest);
    let whom = held.and_then(|rest| rest.split_once(')')).map(|(whom, _)| format!("{whom})"));
    Some(whom.unwrap_or_else(|| "this process, which reads it".to_owned()))
}

fn busy(path: &Path, holder: &str, failure: Failure) -> Error {
    Error::new(Code::Busy, format!("the database is open in another process: {holder}"))
        .state("this run wrote nothing; the other one goes on")
        .help("let it finish, or wait for it with `--wait`: DuckDB gives a file to one process at a time")
        .in_file(path.to_owned())
        .cause(failure)
}

fn refused(path: &Path, access: Access, failure: Failure) -> Error {
    let error = failed("open the database", failure);
    let error = match access {
        Access::Write => error.state("nothing was written"),
        Access::Read | Access::Look => error,
    };
    error.in_file(path.to_owned())
}
