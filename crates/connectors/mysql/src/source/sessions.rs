//! What goes on in the server at a moment: statements that run, and transactions that are open.

use super::{failure::to, snapshot::BEGIN};
use crate::{
    failure::code,
    link::{Db, Owned},
};
use floodmark_connect::Stop;
use floodmark_core::Result;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// InnoDB makes the list of its transactions anew for one who looks when nobody has looked for a tenth of a second.
const PAUSE: Duration = Duration::from_millis(110);

/// How many of these pauses are made in one, where others look, too: the more look, the less often each of them may.
const LONGEST: u32 = 8;

/// How long a transaction that belongs to no session is watched. Those of the server itself, by which it notes the statistics
/// of a table, are over in a moment; those that are prepared stay.
const WATCHED: Duration = Duration::from_secs(2);

/// How long a list that is new is waited for, where others look at it all the time, or one without the server's own.
const PATIENCE: Duration = Duration::from_secs(10);

const LOOK: &str = "look at its open transactions";

/// Why it cannot be told, and what to do.
pub(crate) type Held = &'static str;

const FOREIGN: Held = "the source takes over rows from another server, whose open transactions it does not know, so that the \
                       watermark does not move: read from the primary server";
const HIDDEN: Held = "this user may not see the open transactions of the source, so that the watermark does not move: \
                      GRANT PROCESS ON *.* TO … lets it";
const STALE: Held = "another program looks at the source's transactions (innodb_trx) so often that their list is never new, so \
                     that the watermark does not move: have it look less often";
const PREPARED: Held = "the source has prepared transactions, which may commit rows at any time, so that the watermark does not \
                        move: see XA RECOVER";

/// A session that may write, and since when: in microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) since: i64,
}

/// What there was.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// Statements that ran, as from their beginning.
    pub(crate) running: Vec<Session>,
    /// Transactions that had written. InnoDB says the second they began in, as from its beginning.
    pub(crate) open: Vec<Session>,
}

/// The moment it is on the server.
pub(crate) fn clock(db: &Db) -> Result<i64> {
    let row = db.query_one(&format!("SELECT {}", micros("NOW(6)"))).map_err(to("say what time it is"))?;
    Ok(row.number(0).unwrap_or_default())
}

/// A moment in microseconds since the epoch.
pub(crate) fn micros(moment: &str) -> String {
    format!("CAST(UNIX_TIMESTAMP({moment}) * 1000000 AS SIGNED)")
}

/// Looks; or says why it cannot be told.
///
/// The statements come first. A session is noted as running one before it reads the clock for it, so one that is not running
/// at that look has either its transaction open, which the list of these shows then if it has written, or ends it in between,
/// or begins later.
pub(crate) fn look(db: &Db, stop: &Stop) -> Result<Result<Sessions, Held>> {
    let mut running = Vec::new();
    for row in db.query(&statements(db.server.maria)).map_err(to(LOOK))? {
        // A replica, or one of a cluster.
        if row.text(1) == Some("system user") {
            return Ok(Err(FOREIGN));
        }
        running.push(Session { id: row.number(0).unwrap_or_default(), since: row.number(2).unwrap_or_default() });
    }
    let list = match settled(db, stop)? {
        Ok(list) => list,
        Err(held) => return Ok(Err(held)),
    };
    // One whose transaction may write, and has not, brings rows by a statement that is still to begin, or runs already.
    let (readers, others): (Vec<_>, Vec<_>) = list.iter().partition(|row| yes(row, READS));
    running.retain(|session| !readers.iter().any(|row| id(row) == session.id));
    let open = others.into_iter().filter(|row| yes(row, WROTE) && id(row) != db.server.id);
    let open = open.map(|row| Session { id: id(row), since: row.number(SINCE).unwrap_or_default() }).collect();
    Ok(Ok(Sessions { running, open }))
}

/// Other sessions that do something. MySQL says the second only.
fn statements(maria: bool) -> String {
    let took = if maria { "COALESCE(time_ms, 0) * 1000" } else { "(COALESCE(time, 0) + 1) * 1000000" };
    format!(
        "SELECT id, user, {} - CAST({took} AS SIGNED) FROM information_schema.processlist
         WHERE id <> CONNECTION_ID() AND command NOT IN ('Daemon', 'Binlog Dump', 'Binlog Dump GTID')
           AND (command <> 'Sleep' OR user = 'system user')",
        micros("NOW(6)")
    )
}

/// When a transaction began, from the server's local time, which InnoDB shows. In the hour that summer time ends, the earlier
/// of two.
const STARTED: &str = "LEAST(CONVERT_TZ(trx_started, 'SYSTEM', '+00:00'),
    IF(CONVERT_TZ(CONVERT_TZ(trx_started, 'SYSTEM', '+00:00') - INTERVAL 1 HOUR, '+00:00', 'SYSTEM') = trx_started,
       CONVERT_TZ(trx_started, 'SYSTEM', '+00:00') - INTERVAL 1 HOUR, CONVERT_TZ(trx_started, 'SYSTEM', '+00:00')))";

/// The list of transactions, once each that has written belongs to a session.
fn settled(db: &Db, stop: &Stop) -> Result<Result<Vec<Owned>, Held>> {
    let began = Instant::now();
    let mut watched: HashMap<String, Instant> = HashMap::new();
    loop {
        let list = match list(db, stop)? {
            Ok(list) => list,
            Err(held) => return Ok(Err(held)),
        };
        let nobodys = || list.iter().filter(|row| yes(row, WROTE) && id(row) == 0).filter_map(|row| row.text(NAME));
        watched.retain(|name, _| nobodys().any(|it| it == name));
        for name in nobodys() {
            watched.entry(name.to_owned()).or_insert_with(Instant::now);
        }
        if watched.is_empty() {
            return Ok(Ok(list));
        }
        // After a restart of the server nobody knows when one that is prepared began.
        if began.elapsed() > PATIENCE || watched.values().any(|since| since.elapsed() > WATCHED) {
            return Ok(Err(PREPARED));
        }
        stop.check()?;
        std::thread::sleep(uneven(PAUSE));
    }
}

fn id(row: &Owned) -> u64 {
    row.number(ID).unwrap_or_default()
}

fn yes(row: &Owned, at: usize) -> bool {
    row.number::<u8>(at).unwrap_or_default() != 0
}

// The columns of the list.
const ID: usize = 0;
const QUERY: usize = 1;
const READS: usize = 2;
const WROTE: usize = 3;
const SINCE: usize = 4;
const NAME: usize = 5;

/// Numbers the looks of this process: a list that was made for one says nothing to the next.
static LOOKS: AtomicU64 = AtomicU64::new(0);

/// InnoDB's list of transactions, made for this look.
fn list(db: &Db, stop: &Stop) -> Result<Result<Vec<Owned>, Held>> {
    // A transaction of our own is in the list, with the statement that it ran when the list was made: so one is known that was
    // made for an earlier look.
    db.execute(BEGIN).map_err(to(LOOK))?;
    let (since, mut turn) = (Instant::now(), 0);
    loop {
        turn += 1;
        let token = format!("floodmark looks {}.", LOOKS.fetch_add(1, Ordering::Relaxed));
        let sql = format!(
            "/* {token} */ SELECT trx_mysql_thread_id, trx_query, trx_is_read_only OR trx_autocommit_non_locking,
               trx_rows_modified > 0, {}, trx_id FROM information_schema.innodb_trx",
            micros(STARTED)
        );
        let rows = match db.query(&sql) {
            Err(failure) if failure.code() == code::PRIVILEGE => {
                return Ok(Err(HIDDEN));
            }
            rows => rows.map_err(to(LOOK))?,
        };
        let own = rows.iter().find(|row| row.number(ID) == Some(db.server.id));
        if own.and_then(|row| row.text(QUERY)).is_some_and(|query| query.contains(&token)) {
            return Ok(Ok(rows));
        }
        stop.check()?;
        if since.elapsed() > PATIENCE {
            return Ok(Err(STALE));
        }
        std::thread::sleep(uneven(PAUSE * turn.min(LONGEST)));
    }
}

/// Up to three times as long. Several who look again and again at the same pace would keep the list old for each other.
pub(crate) fn uneven(pause: Duration) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    pause + pause * (now.subsec_micros() % 201) / 100
}
