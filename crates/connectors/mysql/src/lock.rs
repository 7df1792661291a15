//! The locks of a pipeline: named locks of the server's session (`GET_LOCK`), which die with it. Their names count on the
//! whole server, so the database is part of them.

use crate::{
    failure::{code, to},
    link::Db,
    literal::text,
};
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

/// How long a session that was ended may take to go.
const PARTING: Duration = Duration::from_secs(10);

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

/// The name of a second lock, which says whose the first one is.
fn name_of(run: &str) -> String {
    format!("floodmark run {:032x}", xxh3_128(run.as_bytes()))
}

impl Lock {
    /// Takes a lock, for a run where there is one, waiting at most `wait` (`None`: for ever).
    ///
    /// A session that this very run lost may hold it still: on a network that swallows packets the server learns of the
    /// loss much later than the run does. That one is ended.
    pub(crate) fn acquire(
        db: &Db,
        name: Name<'_>,
        run: Option<&str>,
        wait: Option<Duration>,
        stop: &Stop,
    ) -> Result<Lock> {
        let lock = Lock { name: name.of(db) };
        let fail = to("take the pipeline's lock");
        let get = |name: &str| format!("SELECT GET_LOCK({}, 0)", text(name));
        let sql = get(&lock.name);
        let take = || Ok(db.query_one(&sql).map_err(&fail)?.number(0) == Some(1));
        if !take()? {
            let ended = run.map_or(Ok(false), |run| end_earlier(db, &lock.name, run))?;
            let wait = if ended { wait.map(|wait| wait.max(PARTING)) } else { wait };
            until_free(db, name, wait, stop, take)?;
        }
        if let Some(run) = run {
            db.query(&get(&name_of(run))).map_err(&fail)?;
        }
        Ok(lock)
    }

    /// Ends the session that took it for this run and lost its connection, where the server has not noticed: what that session
    /// has begun holds up whoever writes the same rows, and a commit that it was asked for may still be on its way.
    pub(crate) fn end_lost(&self, db: &Db, run: &str) -> Result<()> {
        let since = Instant::now();
        while end_earlier(db, &self.name, run)? {
            if since.elapsed() >= PARTING {
                return Err(Error::new(
                    Code::DestinationWrite,
                    "the session that this run lost has not ended, and may still commit",
                )
                .state("what is committed stays, and is on record")
                .help("run again: what is committed by then is not done again"));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
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

/// Ends the session of an earlier attempt of a run, where that holds the lock; whether it does.
fn end_earlier(db: &Db, lock: &str, run: &str) -> Result<bool> {
    let fail = to("end the session that was lost");
    let sql = format!("SELECT IS_USED_LOCK({}), IS_USED_LOCK({})", text(lock), text(&name_of(run)));
    let row = db.query_one(&sql).map_err(&fail)?;
    let Some(holder) = row.number::<u64>(0).filter(|holder| row.number(1) == Some(*holder)) else { return Ok(false) };
    match db.execute(&format!("KILL {holder}")) {
        // It went by itself.
        Err(failure) if failure.code() == code::NO_SUCH_SESSION => {}
        done => drop(done.map_err(&fail)?),
    }
    Ok(true)
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
        "SELECT p.id, p.user, p.host FROM information_schema.processlist p WHERE p.id = IS_USED_LOCK({})",
        text(&name.of(db))
    );
    // Sessions of others are shown only to those who may see them.
    let holder = db
        .query_opt(&sql)
        .ok()
        .flatten()
        .and_then(|row| Some((row.text(0)?.to_owned(), format!("{:?} from {}", row.text(1)?, row.text(2)?))));
    let (help, holder) = match holder {
        Some((id, who)) => (
            format!("where its program is gone for good and the server has not noticed, end it there: `KILL {id}`"),
            format!("session {id} of {who}"),
        ),
        None => (
            "where its program is gone for good and the server has not noticed, end it there: see SHOW PROCESSLIST"
                .to_owned(),
            "another session of the server".to_owned(),
        ),
    };
    Error::new(Code::Busy, format!("{name} {holder}"))
        .state("this run wrote nothing; the other one goes on")
        .help("let it finish, or wait for it with `--wait`")
        .help(help)
}
