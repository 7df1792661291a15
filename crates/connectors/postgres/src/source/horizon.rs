//! How far the watermark may move: no row that is committed later may lie behind it.
//!
//! # Why no row is missed
//!
//! A run sees what was committed before its snapshot *S*. A row that it does not see, of a transaction *T* that commits
//! later, is read by the next run if its cursor is not below the watermark. What is measured here is measured before *S* is
//! taken, so that every transaction that ends after *S* is either seen to be open here or begins later.
//!
//! *Moments* (`date`, `timestamp`, `timestamptz`). A row's cursor is not before its transaction's start: it is `now()`,
//! which is that start, or `clock_timestamp()`, which is later. The clock is read first (*c*), and a moment later the
//! sessions are looked at; the horizon is *c*, or the earliest start of an open transaction where that is earlier, less a
//! microsecond, so that a row of that very moment lies beyond it and `boundary: exclusive` finds it. *T* is open when the sessions are looked
//! at: its start counts. It began since *c*: its rows are not before *c*. It began before *c*, and does not show yet: a
//! session notes the start of a transaction a few instructions after it has read the clock, and is given [`PUBLISH`] for
//! them. That nothing is open is not enough to go beyond *c*: a transaction may begin now, and another one begin later and
//! end sooner.
//!
//! A cursor without zone was written in some zone: in UTC, or in the one that sessions have unless they say otherwise; the
//! earlier reading counts.
//!
//! *Everything else* (numbers, text). A value is given out, by an identity, a sequence or a counter, no earlier than the
//! transaction takes the lock of one who writes, on the table or on the sequence; and later values are higher. The highest
//! value that is committed is read first (*u*); then the transactions are noted that hold such a lock or have a transaction
//! number, on any table, since a view and a query do not say theirs; and once all of these have ended *S* is taken. *T* was
//! not among them: it took its lock after *u* was given out, and its rows are above *u*, which is the horizon.
//!
//! Transactions that only read, as those of Floodmark's own readers do, are marked ([`READS`]) and left out: one that takes
//! an hour holds up no other pipeline.
//!
//! A role that may not see when the transactions of others began (`pg_read_all_stats`) waits for them to end, likewise: what
//! begins afterwards begins after *c*. Whatever does not end in time, and what cannot be seen at all (prepared transactions,
//! those of the primary as seen from a standby), lets the watermark move nowhere.
//!
//! What this cannot know: a clock that is set back, a cursor that a program makes up from its own clock or from a sequence
//! with a cache, and one that is not about the time of writing. `lookback` is for these.

use super::{
    columns::{Column, Kind},
    failure::to,
    relation::Found,
};
use crate::{ddl::quote, link::Db};
use chrono::{DateTime, NaiveDateTime, Utc};
use floodmark_connect::Stop;
use floodmark_core::{DataType, Result, Value};
use std::time::{Duration, Instant};

/// How long a session may take from reading the clock to showing that it is in a transaction.
const PUBLISH: Duration = Duration::from_millis(10);

/// How long transactions are waited for, and how often they are looked at.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// A look at the server's clock, before anything else is looked at.
pub(crate) struct Watch {
    server: DateTime<Utc>,
    seen: Instant,
}

impl Watch {
    pub(crate) fn begin(db: &Db) -> Result<Watch> {
        let server = db.query_one("SELECT clock_timestamp()", &[]).and_then(|row| row.try_get(0)).map_err(to(LOOK))?;
        Ok(Watch { server, seen: Instant::now() })
    }
}

const LOOK: &str = "look at its open transactions";

/// The horizon of a cursor. To be asked outside a transaction, before the snapshot is taken.
pub(crate) fn of(
    db: &Db,
    found: &Found,
    columns: &[Column],
    cursor: &str,
    utf8: bool,
    watch: &Watch,
    stop: &Stop,
) -> Result<Value> {
    let Some(column) = columns.iter().find(|c| c.name == cursor) else {
        tracing::warn!(
            "the watermark column {cursor:?} is made by the transform, so that nothing is known of rows that are committed \
             late: the watermark does not move. Make the column in the source, with `query: SELECT …`"
        );
        return Ok(Value::Null);
    };
    let standby: bool =
        db.query_one("SELECT pg_is_in_recovery()", &[]).and_then(|row| row.try_get(0)).map_err(to(LOOK))?;
    if standby {
        tracing::warn!(
            "the source is a standby, which does not know the open transactions of its primary: the watermark does not \
             move. Read from the primary server"
        );
        return Ok(Value::Null);
    }
    let horizon = match column.kind {
        Kind::Date | Kind::Timestamp | Kind::TimestampTz => moments(db, column.kind, watch, stop)?,
        Kind::Bool | Kind::Bytes | Kind::Json | Kind::Jsonb => None,
        Kind::Text | Kind::Padded | Kind::Uuid | Kind::Other if !utf8 => None,
        _ => others(db, found, column, stop)?,
    };
    // A session that prepared its transaction while it was looked at is in this list by now.
    let prepared: bool = db
        .query_one("SELECT EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database())", &[])
        .and_then(|row| row.try_get(0))
        .map_err(to(LOOK))?;
    if prepared {
        tracing::warn!(
            "the source has prepared transactions, which may commit rows at any time: the watermark does not move. See \
             pg_prepared_xacts"
        );
    }
    Ok(horizon.filter(|_| !prepared).unwrap_or(Value::Null))
}

/// The advisory lock, shared by all who hold it, of a transaction that is `READ ONLY` and Floodmark's: the two halves of its
/// key as `pg_locks` shows them.
pub(crate) const READS: (i32, i32) = (1_179_402_311, 1_381_253_444);

/// Sessions of the system write no rows of tables; they have no user. What began when is hidden from a role that is neither
/// the session's own nor one that may read all statistics.
const OPEN: &str = "
    WITH reads AS (
      SELECT pid FROM pg_locks WHERE pid IS NOT NULL AND locktype = 'advisory' AND mode = 'ShareLock' AND granted AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid::bigint = $1 AND objid::bigint = $2)
    SELECT min(a.xact_start), coalesce(array_agg(l.virtualtransaction) FILTER (WHERE l.pid IS NOT NULL), '{}')
    FROM pg_stat_activity a
    LEFT JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'virtualxid' AND l.granted
      AND NOT pg_has_role('pg_read_all_stats', 'USAGE') AND pg_has_role(a.usesysid, 'USAGE') IS NOT TRUE
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.usesysid IS NOT NULL
      AND a.pid NOT IN (SELECT pid FROM reads)";

fn moments(db: &Db, kind: Kind, watch: &Watch, stop: &Stop) -> Result<Option<Value>> {
    std::thread::sleep(PUBLISH.saturating_sub(watch.seen.elapsed()));
    let row = db.query_one(OPEN, &[&i64::from(READS.0), &i64::from(READS.1)]).map_err(to(LOOK))?;
    let get = || -> Result<(Option<DateTime<Utc>>, Vec<String>), tokio_postgres::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?))
    };
    let (earliest, hidden) = get().map_err(to(LOOK))?;
    if !ended(db, &hidden, stop)? {
        tracing::warn!(
            "transactions of other users are open in the source, and this one may not see since when: the watermark does \
             not move. Let the user see it: GRANT pg_read_all_stats TO …"
        );
        return Ok(None);
    }
    let moment = earliest.map_or(watch.server, |earliest| earliest.min(watch.server)) - Duration::from_micros(1);
    if kind == Kind::TimestampTz {
        return Ok(Some(Value::TimestampTz(i128::from(moment.timestamp_micros()) * 1000)));
    }
    let sql = "SELECT least($1::timestamptz AT TIME ZONE 'UTC',
                 $1 AT TIME ZONE (SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'))";
    let local: NaiveDateTime = db.query_one(sql, &[&moment]).and_then(|row| row.try_get(0)).map_err(to(LOOK))?;
    let nanos = i128::from(local.and_utc().timestamp_micros()) * 1000;
    Ok(Some(match kind {
        Kind::Date => Value::Date(i32::try_from(nanos.div_euclid(86_400_000_000_000)).unwrap_or(i32::MIN)),
        _ => Value::Timestamp(nanos),
    }))
}

/// Who holds the lock of one who writes, or has a transaction number; numbers belong to no database, sessions do.
const WRITERS: &str = "
    SELECT DISTINCT l.virtualtransaction FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.pid <> pg_backend_pid() AND (
      (l.locktype = 'relation' AND l.mode = 'RowExclusiveLock'
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
      OR (l.locktype = 'transactionid' AND l.granted AND l.mode = 'ExclusiveLock' AND a.datname = current_database()))";

fn others(db: &Db, found: &Found, column: &Column, stop: &Stop) -> Result<Option<Value>> {
    let name = format!("t.{}", quote(&column.name));
    let compared = match column.natural {
        DataType::Text => format!("{name}::text COLLATE \"C\""),
        _ => name,
    };
    let sql = format!("SELECT max({compared})::text FROM {}", found.from);
    // A query may call what writes: not here.
    let read = || -> Result<Option<String>, tokio_postgres::Error> {
        db.execute_batch("BEGIN READ ONLY")?;
        let highest = db.query_one(&sql, &[])?.try_get(0)?;
        db.execute_batch("COMMIT")?;
        Ok(highest)
    };
    let highest = read().map_err(to("find its highest watermark value"))?;
    let writers: Vec<String> =
        db.query(WRITERS, &[]).and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect()).map_err(to(LOOK))?;
    if !ended(db, &writers, stop)? {
        tracing::warn!(
            "transactions that write have been open in the source for more than {} seconds: the watermark does not move",
            PATIENCE.as_secs()
        );
        return Ok(None);
    }
    Ok(highest.and_then(|highest| Value::parse(&highest, column.natural)))
}

/// Waits for transactions to end; whether they did in time.
fn ended(db: &Db, transactions: &[String], stop: &Stop) -> Result<bool> {
    let since = Instant::now();
    let mut open = !transactions.is_empty();
    while open {
        open = db
            .query_one("SELECT EXISTS (SELECT FROM pg_locks WHERE virtualtransaction = ANY ($1))", &[&transactions])
            .and_then(|row| row.try_get(0))
            .map_err(to(LOOK))?;
        stop.check()?;
        if open && since.elapsed() > PATIENCE {
            return Ok(false);
        }
        if open {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(true)
}
