//! The one state of the database that a run sees.

use super::{
    columns::{self, Column},
    failure::{failed, to},
    horizon::{self, Horizon},
    relation::{self, Found},
};
use crate::{address::Address, link::Db};
use floodmark_connect::Stop;
use floodmark_core::{Code, Error, Result, pipeline::Relation};
use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// What a session that reads is made to be beside the settings of all. It writes nothing. Its statements mean what they mean
/// to other clients of the server, except that texts of a fixed length come without the blanks that fill them up; a limit for
/// the rows of an answer, which would be cut off without a word, is for these others. And it waits for a slow destination as
/// long as it takes.
const SETTINGS: [&str; 6] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "SET SESSION sql_mode = TRIM(BOTH ',' FROM REPLACE(CONCAT(',', @@GLOBAL.sql_mode, ','), ',PAD_CHAR_TO_FULL_LENGTH,', ','))",
    "SET SESSION sql_select_limit = 18446744073709551615",
    // Longer than any key: texts are sorted by so many of their first bytes alone.
    "SET SESSION max_sort_length = 4096",
    "SET SESSION wait_timeout = 2147483",
    "SET SESSION net_write_timeout = 2147483",
];

/// A transaction that sees one state of all tables of InnoDB, from here on.
pub(crate) const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// Connects for reading.
pub(crate) fn connect(address: &Address) -> Result<Db> {
    let db = Db::connect_to(address, "floodmark source", failed)?;
    for setting in SETTINGS {
        db.execute(setting).map_err(to("set up a session that reads"))?;
    }
    Ok(db)
}

/// A transaction that sees one state of the database, and what it sees there.
pub(crate) struct Snapshot {
    pub(crate) found: Found,
    pub(crate) columns: Vec<Column>,
    connection: Mutex<Connection>,
    /// Somebody may have it who waits for it.
    free: Condvar,
}

/// The connection that sees it. There is one: the servers let no other connection see the same.
enum Connection {
    Free(Box<Db>),
    /// Somebody reads by it.
    Taken,
    Lost,
}

/// How often somebody who waits for it looks whether to go on.
const PAUSE: Duration = Duration::from_millis(100);

impl Snapshot {
    /// The snapshot, and the horizon of a cursor before it was taken.
    pub(crate) fn open(
        db: Db,
        relation: &Relation,
        cursor: Option<&str>,
        stop: &Stop,
    ) -> Result<(Snapshot, Option<Horizon>)> {
        let horizon = match cursor {
            Some(cursor) => Some(horizon::of(&db, relation, cursor, stop)?),
            None => None,
        };
        stop.check()?;
        db.execute(BEGIN).map_err(to("begin a snapshot"))?;
        let found = relation::find(&db, relation)?;
        // Looked at, the table is locked against changes of its definition until the transaction ends: who emptied it by
        // TRUNCATE meanwhile would have it look empty, or break off the reading.
        let columns = columns::of(&db, &found.from)?;
        let connection = Mutex::new(Connection::Free(Box::new(db)));
        Ok((Snapshot { found, columns, connection, free: Condvar::new() }, horizon))
    }

    /// The connection that sees it, once nobody else reads by it: who would read at the same time reads one after the other.
    pub(crate) fn take(&self, stop: &Stop) -> Result<Db> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match std::mem::replace(&mut *connection, Connection::Taken) {
                Connection::Free(db) => return Ok(*db),
                Connection::Lost => {
                    *connection = Connection::Lost;
                    return Err(Error::new(Code::SourceRead, "the source's snapshot was lost with its connection")
                        .help("run again")
                        .transient());
                }
                Connection::Taken => {
                    stop.check()?;
                    connection = self.free.wait_timeout(connection, PAUSE).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// The connection is free again; `None` where it is not whole.
    pub(crate) fn give_back(&self, db: Option<Db>) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) =
            db.map_or(Connection::Lost, |db| Connection::Free(Box::new(db)));
        self.free.notify_all();
    }
}
