//! The lock of a pipeline: a named lock of the server's session (`GET_LOCK`), which dies with it. Its name counts on the
//! whole server, so the database is part of it.

use crate::{failure::to, link::Db, literal::text};
use floodmark_connect::Stop;
use floodmark_core::{Code, Error, Result};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_128;

const POLL: Duration = Duration::from_millis(50);

/// How long a lock may be taken before it counts as held: the server needs a moment to notice that a client is gone.
const GLANCE: Duration = Duration::from_millis(400);

/// A held lock.
#[derive(Debug)]
pub(crate) struct Lock {
    name: String,
}

/// The lock's name: of the pipeline and the database its state is in. Names have 64 characters at most.
fn name(db: &Db, pipeline: &str) -> String {
    format!("floodmark {:032x}", xxh3_128(format!("{}\0{pipeline}", db.server.database).as_bytes()))
}

impl Lock {
    /// Takes the lock of a pipeline, waiting at most `wait` (`None`: for ever).
    pub(crate) fn acquire(db: &Db, pipeline: &str, wait: Option<Duration>, stop: &Stop) -> Result<Lock> {
        let lock = Lock { name: name(db, pipeline) };
        let sql = format!("SELECT GET_LOCK({}, 0)", text(&lock.name));
        until_free(db, &lock.name, pipeline, wait, stop, || {
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

/// Waits at most `wait` until nobody holds the pipeline's lock, and takes nothing.
pub(crate) fn look(db: &Db, pipeline: &str, wait: Option<Duration>, stop: &Stop) -> Result<()> {
    let name = name(db, pipeline);
    let sql = format!("SELECT IS_FREE_LOCK({})", text(&name));
    until_free(db, &name, pipeline, wait, stop, || {
        Ok(db.query_one(&sql).map_err(to("look for the pipeline's lock"))?.number(0) == Some(1))
    })
}

fn until_free(
    db: &Db,
    name: &str,
    pipeline: &str,
    wait: Option<Duration>,
    stop: &Stop,
    mut take: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let since = Instant::now();
    while !take()? {
        if wait.is_some_and(|wait| since.elapsed() >= wait.max(GLANCE)) {
            return Err(busy(db, name, pipeline));
        }
        stop.check()?;
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn busy(db: &Db, name: &str, pipeline: &str) -> Error {
    let sql =
        format!("SELECT id, user, host FROM information_schema.processlist WHERE id = IS_USED_LOCK({})", text(name));
    // Sessions of others are shown only to those who may see them.
    let holder = db
        .query_opt(&sql)
        .ok()
        .flatten()
        .and_then(|row| Some(format!("session {} of {:?} from {}", row.text(0)?, row.text(1)?, row.text(2)?)));
    let holder = holder.unwrap_or_else(|| "another session of the server".to_owned());
    Error::new(Code::Busy, format!("pipeline {pipeline:?} is held by {holder}"))
        .state("this run wrote nothing; the other one goes on")
        .help("let it finish, or wait for it with `--wait`")
}
