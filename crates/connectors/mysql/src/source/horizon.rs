//! How far the watermark may move: no row that is committed later may lie behind it.
//!
//! # Why no row is missed
//!
//! A run sees what was committed before its snapshot *S*. A row that it does not see, of a transaction *T* that commits
//! later, is read by the next run if its cursor is not below the watermark. What is measured here is measured before *S* is
//! taken, so that every transaction that ends after *S* is either seen to be going on here or begins later.
//!
//! *Moments* (`date`, `datetime`, `timestamp`). A row's cursor is `NOW()`, the beginning of the statement that wrote it. The
//! clock is read first (*c*); then the statements that run are looked at, and the transactions that have written
//! ([`sessions`]).
//! The horizon is the earliest of *c*, the beginnings of these statements, and the beginnings of these transactions less a
//! second; less what the column does not keep of a second, and a microsecond, so that a row of that very moment lies beyond
//! it and `boundary: exclusive` finds it. *T* ran a statement when that was looked at: its beginning counts, and that of its
//! transaction where there was one. It had written: InnoDB lets a transaction begin with the first access to a table,
//! shortly after its first statement began, for which the second is. Else all that it writes it writes by statements that
//! began after *c*.
//!
//! A `datetime` was written in some zone: in UTC, or in the one that sessions have unless they say otherwise; the earlier
//! reading counts.
//!
//! *Everything else* (numbers, text). A value is given out by `AUTO_INCREMENT` or a counter within the statement that
//! writes it, and later values are higher. The highest value that is committed is read first (*u*); then the sessions are
//! noted that run a statement or have a transaction that has written, and once all of these are over *S* is taken. *T* was
//! not among them: its statements began after *u* was given out, and its rows are above *u*, which is the horizon.
//!
//! Statements of transactions that only read, as those of Floodmark's own readers, are left out: one that takes an hour
//! holds up no other pipeline. InnoDB does not say which tables a transaction writes to, nor in which database: all count. Who may not see the sessions of others (`PROCESS`), a server that takes over another's rows, and whatever does
//! not end in time, let the watermark move nowhere.
//!
//! What this cannot know: a clock that is set back, a cursor that a program makes up from its own clock or took in an earlier
//! statement, a first statement that waited more than a second for its table, behind an `ALTER TABLE`. `lookback` is for
//! these.

use super::{
    columns::{self, Column, Kind},
    failure::to,
    names::quote,
    relation::{self, Found},
    sessions::{Held, Session, Sessions, clock, look, micros, uneven},
};
use crate::link::Db;
use floodmark_connect::Stop;
use floodmark_core::{Result, Value, pipeline::Relation};
use std::time::{Duration, Instant};

/// How long sessions are waited for, and how often they are looked at.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(110);

const UNENDED: Held = "statements or transactions have been going on in the source for more than ten seconds, so that the \
                       watermark does not move: let them end, or see SHOW PROCESSLIST";

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// How far the watermark may move.
#[derive(Debug)]
pub(crate) struct Horizon {
    /// NULL is nowhere.
    pub(crate) at: Value,
    /// Why that is nowhere, where something can be done about it.
    pub(crate) held: Option<String>,
}

/// The horizon of a cursor. To be asked before the snapshot is taken.
pub(crate) fn of(db: &Db, relation: &Relation, cursor: &str, stop: &Stop) -> Result<Horizon> {
    let found = relation::find(db, relation)?;
    let columns = columns::of(db, &found.from)?;
    let Some(column) = columns.iter().find(|c| c.name == cursor) else {
        let held = format!(
            "the watermark column {cursor:?} is made by the transform, so that nothing is known of rows that are committed \
             late and the watermark does not move: make the column in the source, with `query: SELECT …`"
        );
        return Ok(Horizon { at: Value::Null, held: Some(held) });
    };
    let horizon = match column.kind {
        Kind::Date | Kind::Local | Kind::Moment => moments(db, column, stop)?,
        Kind::Bytes | Kind::Json | Kind::Shape => Ok(Value::Null),
        _ => others(db, &found, column, stop)?,
    };
    Ok(match horizon {
        Ok(at) => Horizon { at, held: None },
        Err(held) => Horizon { at: Value::Null, held: Some(held.to_owned()) },
    })
}

fn moments(db: &Db, column: &Column, stop: &Stop) -> Result<Result<Value, Held>> {
    let now = clock(db)?;
    let there = match look(db, stop)? {
        Ok(there) => there,
        Err(held) => return Ok(Err(held)),
    };
    let began = there.running.iter().map(|s| s.since).chain(there.open.iter().map(|s| s.since - SECOND));
    let mut moment = began.fold(now, i64::min);
    if column.kind != Kind::Moment {
        moment = local(db, moment)?;
    }
    let unit = 10_i64.pow(6 - u32::from(column.digits));
    let before = i128::from(moment.div_euclid(unit) * unit - 1) * 1000;
    Ok(Ok(match column.kind {
        Kind::Moment => Value::TimestampTz(before),
        Kind::Local => Value::Timestamp(before),
        _ => Value::Date(i32::try_from(moment.div_euclid(DAY)).unwrap_or(i32::MIN)),
    }))
}

/// The same moment as a local one: that of UTC, or of the zone that sessions have by themselves.
fn local(db: &Db, moment: i64) -> Result<i64> {
    let utc = format!("FROM_UNIXTIME({}.{:06})", moment.div_euclid(SECOND), moment.rem_euclid(SECOND));
    let own = format!("COALESCE(CONVERT_TZ({utc}, '+00:00', @@GLOBAL.time_zone), {utc})");
    let sql = format!("SELECT {}", micros(&format!("LEAST({utc}, {own})")));
    let row = db.query_one(&sql).map_err(to("say what time it is"))?;
    Ok(row.number(0).unwrap_or(moment))
}

fn others(db: &Db, found: &Found, column: &Column, stop: &Stop) -> Result<Result<Value, Held>> {
    let name = format!("t.{}", quote(&column.name));
    let highest = match column.kind {
        // By the bytes of its UTF-8, as the cursor compares.
        Kind::Text => format!("MAX(CAST(CONVERT({name} USING utf8mb4) AS BINARY))"),
        Kind::Bits => format!("MAX({name} + 0)"),
        Kind::Real { .. } => format!("MAX({name} * 1e0)"),
        // Without the zeros that fill it up.
        Kind::Int { filled: true } | Kind::Decimal { filled: true } => format!("MAX({name}) + 0"),
        _ => format!("MAX({name})"),
    };
    let sql = format!("SELECT {highest} FROM {}", found.from);
    let row = db.query_one(&sql).map_err(to("find its highest watermark value"))?;
    let now = clock(db)?;
    let there = match look(db, stop)? {
        Ok(there) => there,
        Err(held) => return Ok(Err(held)),
    };
    if let Err(held) = ended(db, now, &there.running, &there.open, stop)? {
        return Ok(Err(held));
    }
    // Of a boolean there is no higher one.
    Ok(Ok(row.text(0).and_then(|highest| Value::parse(highest, column.natural)).unwrap_or(Value::Null)))
}

/// A session that is waited for.
struct Awaited {
    id: u64,
    /// When the statement that it ran was first seen to be over. A transaction that it has open may be of that statement.
    over: Option<i64>,
}

/// Waits for what goes on since before `now` to end; or says that it did not in time.
fn ended(db: &Db, now: i64, running: &[Session], open: &[Session], stop: &Stop) -> Result<Result<(), Held>> {
    let idle = open.iter().filter(|o| running.iter().all(|r| r.id != o.id)).map(|o| (o.id, Some(now)));
    let busy = running.iter().map(|r| (r.id, None));
    let mut awaited: Vec<Awaited> = busy.chain(idle).map(|(id, over)| Awaited { id, over }).collect();
    let since = Instant::now();
    while !awaited.is_empty() {
        stop.check()?;
        if since.elapsed() > PATIENCE {
            return Ok(Err(UNENDED));
        }
        std::thread::sleep(uneven(PAUSE));
        let at = clock(db)?;
        let there = match look(db, stop)? {
            Ok(there) => there,
            Err(held) => return Ok(Err(held)),
        };
        awaited.retain_mut(|session| !session.is_over(now, at, &there));
    }
    Ok(Ok(()))
}

impl Awaited {
    fn is_over(&mut self, now: i64, at: i64, there: &Sessions) -> bool {
        // MySQL says when a statement began by the second.
        if self.over.is_none() && there.running.iter().any(|s| s.id == self.id && s.since <= now) {
            return false;
        }
        let over = *self.over.get_or_insert(at);
        !there.open.iter().any(|s| s.id == self.id && s.since <= over)
    }
}
