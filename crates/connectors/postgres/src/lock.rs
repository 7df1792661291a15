//! The locks of a pipeline: advisory locks of the server's session, which die with it.

use crate::{failure::to, link::Db};
use floodmark_connect::Stop;
use floodmark_core::{Code, Error, Result};
use std::{
    fmt,
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(50);

/// How long a lock may be taken before it counts as held: the server looks for a killed client every tenth of a second
/// (`client_connection_check_interval`), and needs a moment to end what it was doing.
const GLANCE: Duration = Duration::from_millis(400);

/// How long a session that was ended may take to go.
const PARTING: Duration = Duration::from_secs(10);

/// A lock's place among the server's locks (PostgreSQL, "pg_locks": a key of 64 bits is kept in two halves).
const PLACE: &str = "l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND ((l.classid::bigint << 32) | l.objid::bigint) = $1";

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

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Pipeline(pipeline) => write!(f, "pipeline {pipeline:?} is held by"),
            Name::Beside(pipeline) => write!(f, "pipeline {pipeline:?} is loaded beside its runs already, by"),
            Name::Turn(pipeline) => write!(f, "pipeline {pipeline:?} is being loaded by"),
        }
    }
}

/// A held lock, and the server's process that holds it.
#[derive(Debug)]
pub(crate) struct Lock {
    key: i64,
    process: i32,
}

/// The lock's number: of what it is for, the pipeline, and the schema its state is in.
fn key(db: &Db, name: Name<'_>) -> Result<i64> {
    let (what, pipeline) = match name {
        Name::Pipeline(pipeline) => ("floodmark", pipeline),
        Name::Beside(pipeline) => ("floodmark beside", pipeline),
        Name::Turn(pipeline) => ("floodmark turn", pipeline),
    };
    // Where the state is found by the search path, which need not be where it would be made.
    let home = "coalesce((SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE c.oid = to_regclass('_floodmark_state')), current_schema())";
    let sql = format!("SELECT hashtextextended(concat_ws(': ', $1::text, {home}, $2::text), 0)");
    db.query_one(&sql, &[&what, &pipeline]).and_then(|row| row.try_get(0)).map_err(to("take the pipeline's lock"))
}

impl Lock {
    /// Takes the lock, for a run where there is one, waiting at most `wait` (`None`: for ever).
    ///
    /// A session that this very run lost may hold it still: on a network that swallows packets the server learns of the
    /// loss later than the run does. That one is ended.
    pub(crate) fn acquire(
        db: &Db,
        name: Name<'_>,
        run: Option<&str>,
        wait: Option<Duration>,
        stop: &Stop,
    ) -> Result<Lock> {
        let key = key(db, name)?;
        let fail = to("take the pipeline's lock");
        // The second lock, which all sessions of a run share, says whose the first one is.
        let sql = "SELECT pg_try_advisory_lock($1), pg_backend_pid(),
                          pg_try_advisory_lock_shared(hashtextextended('floodmark run: ' || $2::text, 0))";
        let process = std::cell::Cell::new(0);
        let take = || {
            let row = db.query_one(sql, &[&key, &run]).map_err(&fail)?;
            process.set(row.try_get(1).map_err(&fail)?);
            row.try_get(0).map_err(&fail)
        };
        if !take()? {
            let wait = if end_earlier(db, key, run)? { wait.map(|wait| wait.max(PARTING)) } else { wait };
            until_free(db, key, name, wait, stop, take)?;
        }
        let lock = Lock { key, process: process.get() };
        lock.check(db)?;
        Ok(lock)
    }

    /// Whether this connection still holds it. A pooler that gives every transaction another connection to the server
    /// leaves the lock with one of them, where anybody has it.
    pub(crate) fn check(&self, db: &Db) -> Result<()> {
        let sql = format!(
            "SELECT pg_backend_pid() = $2 AND EXISTS (SELECT FROM pg_locks l WHERE {PLACE} AND l.pid = pg_backend_pid())"
        );
        let held: bool = db
            .query_one(&sql, &[&self.key, &self.process])
            .and_then(|row| row.try_get(0))
            .map_err(to("look for the pipeline's lock"))?;
        if held {
            return Ok(());
        }
        Err(Error::new(Code::Unsafe, "the connection to the server is not the same from one transaction to the next")
            .state("nothing was written")
            .help("a pooler in transaction mode stands in between, and a lock of the pipeline would not hold through it")
            .help("let Floodmark connect to the server itself, or to a pooler in session mode (pgbouncer: pool_mode = session)"))
    }

    /// Ends the session that took it for this run and lost its connection, where the server has not noticed: what that session
    /// has begun holds up whoever writes the same rows, and a commit that it was asked for may still be on its way.
    pub(crate) fn end_lost(&self, db: &Db, run: &str) -> Result<()> {
        let since = Instant::now();
        while end_earlier(db, self.key, Some(run))? {
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

    /// Lets go at once, where waiting for the server to notice the end of the connection would be a moment too long.
    pub(crate) fn release(&self, db: &Db) {
        let _ = db.query("SELECT pg_advisory_unlock($1)", &[&self.key]);
    }
}

/// Ends the session of an earlier attempt of a run, where that holds the lock; whether it does.
fn end_earlier(db: &Db, key: i64, run: Option<&str>) -> Result<bool> {
    let sql = format!(
        "SELECT pg_terminate_backend(l.pid) FROM pg_locks l
         WHERE {PLACE} AND l.pid <> pg_backend_pid() AND EXISTS (
           SELECT FROM pg_locks r
           WHERE r.pid = l.pid AND r.locktype = 'advisory' AND r.objsubid = 1 AND r.mode = 'ShareLock' AND r.granted
             AND r.database = l.database
             AND ((r.classid::bigint << 32) | r.objid::bigint) = hashtextextended('floodmark run: ' || $2::text, 0))"
    );
    Ok(!db.query(&sql, &[&key, &run]).map_err(to("end the session that was lost"))?.is_empty())
}

/// Takes the turn of a transaction that loads a pipeline, and keeps it to its end. To be called before anything is looked at:
/// every later statement sees what those before have committed, as a transaction that is READ COMMITTED does.
///
/// They are waited for however long they take. One whose client is gone or stands still the server ends; a request to stop
/// ends the statement that waits.
pub(crate) fn turn(db: &Db, pipeline: &str) -> Result<()> {
    let fail = to("wait for the pipeline's other loads");
    let key = key(db, Name::Turn(pipeline))?;
    let row = db.query_one("SELECT pg_try_advisory_xact_lock($1), current_setting('lock_timeout')", &[&key]);
    let (taken, limit): (bool, String) = row.and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?))).map_err(&fail)?;
    if taken {
        return Ok(());
    }
    // The limit is for the locks of other programs.
    let limited = |limit: &str| {
        db.query("SELECT set_config('lock_timeout', $1, true)", &[&limit])
            .map_err(to("wait for the pipeline's other loads"))
    };
    limited("0")?;
    db.query("SELECT pg_advisory_xact_lock($1)", &[&key]).map_err(&fail)?;
    limited(&limit).map(drop)
}

/// Waits at most `wait` until nobody holds the pipeline's lock, and takes nothing.
pub(crate) fn look(db: &Db, pipeline: &str, wait: Option<Duration>, stop: &Stop) -> Result<()> {
    let name = Name::Pipeline(pipeline);
    let key = key(db, name)?;
    let sql = format!("SELECT NOT EXISTS (SELECT FROM pg_locks l WHERE {PLACE})");
    until_free(db, key, name, wait, stop, || {
        db.query_one(&sql, &[&key]).and_then(|row| row.try_get(0)).map_err(to("look for the pipeline's lock"))
    })
}

fn until_free(
    db: &Db,
    key: i64,
    name: Name<'_>,
    wait: Option<Duration>,
    stop: &Stop,
    mut take: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let since = Instant::now();
    while !take()? {
        if wait.is_some_and(|wait| since.elapsed() >= wait.max(GLANCE)) {
            return Err(busy(db, key, name));
        }
        stop.check()?;
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn busy(db: &Db, key: i64, name: Name<'_>) -> Error {
    let sql = format!(
        "SELECT concat(coalesce(nullif(a.application_name, ''), 'another session'), ' (server process ', l.pid,
                ' for ', coalesce(host(a.client_addr), 'this machine'), ')',
                to_char(a.backend_start AT TIME ZONE 'UTC', '\" since \"YYYY-MM-DD HH24:MI:SS\"Z\"'))
         FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE {PLACE}"
    );
    let holder = db.query_opt(&sql, &[&key]).ok().flatten().and_then(|row| row.try_get::<_, String>(0).ok());
    let holder = holder.unwrap_or_else(|| "another session of the server".to_owned());
    Error::new(Code::Busy, format!("{name} {holder}"))
        .state("this run wrote nothing; the other one goes on")
        .help("let it finish, or wait for it with `--wait`")
}
