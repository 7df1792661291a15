//! The locks of a pipeline: named locks of the server's session (`GET_LOCK`), which die with it. Their names count on the
//! whole server, so the database is part of them.

use crate::{failure::to, link::Db, literal::text};
use floodmark_connect::Stop;
use floodmark_core::{Code, Error, Result};
use std::{
    fmt,
    time::{Duration, Instant},
};
use xxhash_rust::xxh3::xxh3_128;

const POLL: Duration = Duration::from_millis(50);

/// How long a lock may be taken before it counts as held: the server needs a moment to notice that a client is gone.
const GLANCE: Duration = Duration::from_millis(400);

/// How many seconds one statement waits for a turn: the next one looks first whether it is to go on.
const PATIENCE: u32 = 60;

/// What a lock is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    /// A pipeline's runs, of which there is one at a time.
    Pipeline(&'a str),
    /// Loads beside these, likewise.
    Beside(&'a str),
    /// One transaction that loads a pipeline, of its runs or beside them.
    Turn(&'a str),
}

impl Name<'_> {
    /// The lock's name: of what it is for, the pipeline, and the database its state is in. Names have 64 characters at most.
    fn of(self, db: &Db) -> String {
        let (what, pipeline) = match self {
            Name::Pipeline(pipeline) => ("floodmark", pipeline),
            Name::Beside(pipeline) => ("floodmark beside", pipeline),
            Name::Turn(pipeline) => ("floodmark turn", pipeline),
        };
        format!("{what} {:032x}", xxh3_128(format!("{}\0{pipeline}", db.server.database).as_bytes()))
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Pipeline(pipeline) => write!(f, "pipeline {pipeline:?} is held by"),
            Name::Beside(pipeline) => write!(f, "pipeline {pipeline:?} is loaded beside its runs already, by"),
            Name::Turn(pipeline) => write!(f, "pipeline {pipeline:?} is being loaded by"),
        }
    }
}

/// A held lock.
#[derive(Debug)]
pub(crate) struct Lock {
    name: String,
}

impl Lock {
    /// Takes the lock, waiting at most `wait` (`None`: for ever).
    pub(crate) fn acquire(db: &Db, name: Name<'_>, wait: Option<Duration>, stop: &Stop) -> Result<Lock> {
        let lock = Lock { name: name.of(db) };
        let sql = format!("SELECT GET_LOCK({}, 0)", text(&lock.name));
        until_free(db, name, wait, stop, || {
            Ok(db.query_one(&sql).map_err(to("take the pipeline's lock"))?.number(0) == Some(1))
        })?;
        Ok(lock)
    }

    /// Whether this connection still holds it. A proxy that gives every transaction another connection to the server leaves
    /// the lock with one of them, where anybody has it.
    pub(crate) fn check(&self, db: &Db) -> Result<()> {
        let sql = format!("SELECT IS_USED_LOCK({}) = CONNECTION_ID()", text(&self.name));
        let held = db.query_one(&sql).map_err(to("look for the pipeline's lock"))?.number(0) == Some(1);
        if held {
            return Ok(());
        }
        Err(Error::new(Code::Unsafe, "the connection to the server is not the same from one statement to the next")
            .state("nothing was written")
            .help("a proxy that shares connections stands in between, and a lock of the pipeline would not hold through it")
            .help("let Floodmark connect to the server itself, or have the proxy keep a client on one connection"))
    }

    /// Lets go at once, where waiting for the server to notice the end of the connection would be a moment too long.
    pub(crate) fn release(&self, db: &Db) {
        let _ = db.query(&format!("SELECT RELEASE_LOCK({})", text(&self.name)));
    }
}

/// The turn of a transaction that loads a pipeline. It is taken before the transaction begins and anything is looked at, and
/// let go when it has ended.
pub(crate) struct Turn<'db> {
    db: &'db Db,
    name: String,
}

impl<'db> Turn<'db> {
    /// Waits for the turn, however long those before take. One whose client is gone the server ends; a request to stop ends
    /// the statement that waits.
    pub(crate) fn take(db: &'db Db, pipeline: &str, stop: &Stop) -> Result<Turn<'db>> {
        let name = Name::Turn(pipeline).of(db);
        let sql = format!("SELECT GET_LOCK({}, {PATIENCE})", text(&name));
        loop {
            stop.check()?;
            if db.query_one(&sql).map_err(to("wait for the pipeline's other loads"))?.number(0) == Some(1) {
                return Ok(Turn { db, name });
            }
        }
    }

    /// Keeps it to the end of the connection.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // A request to stop may hit this statement in the place of the one before; the end of the connection ends it, too.
        let sql = format!("SELECT RELEASE_LOCK({})", text(&self.name));
        let is_kept = || !self.db.query_one(&sql).is_ok_and(|row| row.number(0) == Some(1));
        if is_kept() && is_kept() {
            self.db.close();
        }
    }
}

/// Waits at most `wait` until nobody holds the pipeline's lock, and takes nothing.
pub(crate) fn look(db: &Db, pipeline: &str, wait: Option<Duration>, stop: &Stop) -> Result<()> {
    let name = Name::Pipeline(pipeline);
    let sql = format!("SELECT IS_FREE_LOCK({})", text(&name.of(db)));
    until_free(db, name, wait, stop, || {
        Ok(db.query_one(&sql).map_err(to("look for the pipeline's lock"))?.number(0) == Some(1))
    })
}

fn until_free(
    db: &Db,
    name: Name<'_>,
    wait: Option<Duration>,
    stop: &Stop,
    mut take: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let since = Instant::now();
    while !take()? {
        if wait.is_some_and(|wait| since.elapsed() >= wait.max(GLANCE)) {
            return Err(busy(db, name));
        }
        stop.check()?;
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn busy(db: &Db, name: Name<'_>) -> Error {
    let sql = format!(
        "SELECT id, user, host FROM information_schema.processlist WHERE id = IS_USED_LOCK({})",
        text(&name.of(db))
    );
    // Sessions of others are shown only to those who may see them.
    let holder = db
        .query_opt(&sql)
        .ok()
        .flatten()
        .and_then(|row| Some(format!("session {} of {:?} from {}", row.text(0)?, row.text(1)?, row.text(2)?)));
    let holder = holder.unwrap_or_else(|| "another session of the server".to_owned());
    Error::new(Code::Busy, format!("{name} {holder}"))
        .state("this run wrote nothing; the other one goes on")
        .help("let it finish, or wait for it with `--wait`")
}
