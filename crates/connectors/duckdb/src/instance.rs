//! A database file, as this process has it open.
//!
//! DuckDB gives a file to one process at a time, by a lock that dies with the process, and within the process to one database
//! object: a second one would not see the first one's lock, and the two would write over each other. So whoever asks for a file
//! that is open here gets the same object, and the next one waits until an object that is going has gone.

use crate::{
    aside,
    failure::failed,
    file::{self, Identity},
    lock::Locks,
    raw::{Connection, Database, Failure, Feed, Feeder, Kind},
};
use arrow::datatypes::DataType as ArrowType;
use floodmark_connect::{Stop, aside::Aside};
use floodmark_core::{Code, Error, Result};
use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(20);

/// How long a file may be taken before it counts as held: who only looks at a database has it for a moment.
const GLANCE: Duration = Duration::from_millis(400);

/// How long others of this process are waited for at least: a reader reads to its end, and whoever has a database that DuckDB
/// gave up notices at the next statement.
const OWN: Duration = Duration::from_secs(60);

/// An open database.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Nothing once it is going.
    database: Option<Database>,
    /// It goes after the database.
    _aside: Option<Aside>,
    file: Option<Identity>,
    writes: bool,
    /// DuckDB gave it up: what was committed is in the file, and nothing more can be done with this object.
    given_up: AtomicBool,
    pub(crate) locks: Locks,
}

type Open = HashMap<Identity, Weak<Instance>>;

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

/// Why a file cannot be had now.
enum Obstacle {
    /// Somebody of this process has it in a way that does not do.
    Own(&'static str),
    /// Another process has it.
    Other(String, Failure),
    /// It will not be had by waiting.
    Lasting(Failure),
}

impl From<Failure> for Obstacle {
    fn from(failure: Failure) -> Self {
        match holder(&failure) {
            Some(holder) => Obstacle::Other(holder, failure),
            None => Obstacle::Lasting(failure),
        }
    }
}

impl Instance {
    /// A database that lives in memory.
    pub(crate) fn in_memory(settings: &[(&'static str, String)]) -> Result<Arc<Instance>> {
        let opened = aside::settings(settings, None).and_then(|(all, aside)| Ok((Database::open(None, &all)?, aside)));
        let (database, aside) = opened.map_err(|error| failed("open a database in memory", error))?;
        Ok(Arc::new(Instance::new(database, aside, None, true)))
    }

    fn new(database: Database, aside: Option<Aside>, file: Option<Identity>, writes: bool) -> Instance {
        let given_up = AtomicBool::new(false);
        Instance { database: Some(database), _aside: aside, file, writes, given_up, locks: Locks::default() }
    }

    /// A file. Where another process has it, it is waited for at most `wait` (`None`: for ever).
    pub(crate) fn open(
        path: &Path,
        access: Access,
        settings: &[(&'static str, String)],
        wait: Option<Duration>,
        stop: &Stop,
    ) -> Result<Arc<Instance>> {
        let file = file::place(path)?;
        let since = Instant::now();
        let over = |least: Duration| wait.is_some_and(|wait| since.elapsed() >= wait.max(least));
        loop {
            match Instance::attempt(&file, access, settings) {
                Ok(instance) => return Ok(instance),
                Err(Obstacle::Lasting(failure)) => return Err(refused(path, access, failure)),
                Err(Obstacle::Other(holder, failure)) if over(GLANCE) => {
                    return Err(busy(path, &format!("in another process: {holder}")).cause(failure));
                }
                Err(Obstacle::Own(how)) if over(OWN) => return Err(busy(path, how)),
                Err(Obstacle::Own(_) | Obstacle::Other(..)) => {}
            }
            stop.check()?;
            std::thread::sleep(POLL);
        }
    }

    fn attempt(
        file: &Path,
        access: Access,
        settings: &[(&'static str, String)],
    ) -> std::result::Result<Arc<Instance>, Obstacle> {
        let mut guard = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = loop {
            if access == Access::Write {
                file::make(file)?;
            }
            // By what it is: it may have several names.
            let identity = file::identity(file).map_err(|error| file::failed("Cannot open file", &error))?;
            match guard.get_or_insert_default().get(&identity).map(Weak::upgrade) {
                Some(Some(there)) => {
                    let obstacle = match there.given_up.load(Ordering::Relaxed) {
                        true => "in this process, which is letting go of it after a failure",
                        false if there.writes || access != Access::Write => return Ok(there),
                        false => "in this process, which reads it",
                    };
                    // Who lets go of it last asks for the files that are open, too.
                    drop(guard);
                    drop(there);
                    return Err(Obstacle::Own(obstacle));
                }
                Some(None) => guard = GONE.wait(guard).unwrap_or_else(PoisonError::into_inner),
                None => break identity,
            }
        };
        let mode = match access {
            Access::Write | Access::Look => "READ_WRITE",
            Access::Read => "READ_ONLY",
        };
        let (mut all, aside) = aside::settings(settings, (access != Access::Read).then_some(file))?;
        all.push(("access_mode", mode.to_owned()));
        let database = Database::open(Some(file), &all)?;
        let instance = Arc::new(Instance::new(database, aside, Some(identity.clone()), access != Access::Read));
        guard.get_or_insert_default().insert(identity, Arc::downgrade(&instance));
        Ok(instance)
    }

    /// Whether it may be written to here.
    pub(crate) fn writes(&self) -> bool {
        self.writes
    }

    /// DuckDB gave it up: whoever wants the file from now on gets another object, once this one has gone.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    pub(crate) fn connect(&self) -> std::result::Result<Connection, Failure> {
        Connection::open(self.database()?)
    }

    /// What a statement of any connection to it can read rows from as they come, in columns of these types.
    pub(crate) fn feed(&self, types: Vec<ArrowType>) -> std::result::Result<(Arc<Feed>, Feeder), Failure> {
        Ok(self.database()?.feed(types))
    }

    fn database(&self) -> std::result::Result<&Database, Failure> {
        self.database.as_ref().ok_or_else(|| Failure::of(Kind::Other, "the database is closed"))
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

/// Which process has the file, where that is why it cannot be opened.
fn holder(failure: &Failure) -> Option<String> {
    let message = failure.message.strip_prefix("IO Error: ").unwrap_or(&failure.message);
    let held = message.strip_prefix("Could not set lock on file")?;
    let held = held.split_once("Conflicting lock is held in ").and_then(|(_, rest)| rest.split_once(')'));
    Some(held.map_or_else(|| "one whose name is not known".to_owned(), |(whom, _)| format!("{whom})")))
}

fn busy(path: &Path, whom: &str) -> Error {
    Error::new(Code::Busy, format!("the database is open {whom}"))
        .state("this run wrote nothing; the other one goes on")
        .help("let it finish, or wait for it with `--wait`: DuckDB gives a file to one process at a time")
        .in_file(path.to_owned())
}

fn refused(path: &Path, access: Access, failure: Failure) -> Error {
    let error = failed("open the database", failure);
    let error = match access {
        Access::Write => error.state("nothing was written"),
        Access::Read | Access::Look => error,
    };
    error.in_file(path.to_owned())
}
