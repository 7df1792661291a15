//! The one state of the database that a run sees.

use super::{
    changes,
    columns::{self, Column},
    failure::to,
    horizon::{self, READS, Watch},
    relation::{self, Found},
};
use crate::{address::Address, ddl::literal, failure::Role, link::Db};
use floodmark_connect::{Stop, source::Extent};
use floodmark_core::{DataType, Result, Value, pipeline::Relation};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// What a transaction that reads begins with. A reader waits for a slow destination as long as it takes, which must look to
/// the server neither like a network that swallows packets nor like a client that forgot its transaction; texts that a cast
/// makes of values are written in one way; and rows come as they lie, not from where another reader of the table is just now.
/// None of it outlasts the transaction, since behind a pooler the session may be another's then; nor is it of the session.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL tcp_user_timeout = 0; \
                     SET LOCAL idle_in_transaction_session_timeout = 0; \
                     SET LOCAL bytea_output = hex; SET LOCAL extra_float_digits = 1; SET LOCAL TimeZone = 'UTC'; \
                     SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'postgres'; \
                     SET LOCAL synchronize_seqscans = off";

/// Connects for reading.
pub(crate) fn connect(address: &Address) -> Result<Db> {
    Db::connect_to(address, "floodmark source", Role::Source)
}

/// The columns of a relation, as it is now.
pub(crate) fn columns(db: &Db, found: &Found) -> Result<Vec<Column>> {
    columns::of(db, &format!("SELECT * FROM {}", found.from))
}

/// A transaction that sees one state of the database, and what it sees there.
pub(crate) struct Snapshot {
    pub(crate) found: Found,
    pub(crate) columns: Vec<Column>,
    /// How large the table is, where all of its rows are its own.
    pub(crate) bytes: Option<u64>,
    /// Texts are in UTF-8 on the server, too.
    pub(crate) utf8: bool,
    /// The server's version, as it has it in one number.
    pub(crate) version: i32,
    /// The number that the next transaction gets.
    pub(crate) next: i64,
    /// By which another connection sees the same.
    id: String,
    /// Connections that see it, while nobody reads by them. The first of them took it, and it is seen by new ones for as long
    /// as that one's transaction goes on: so it has to come back.
    idle: Mutex<Vec<Db>>,
    /// Where columns begin and end, as far as that was asked: the server may have to read all of the table to say.
    pub(crate) extents: Mutex<HashMap<(String, DataType), Option<Extent>>>,
}

impl Snapshot {
    /// The snapshot, and the horizon of a cursor before it was taken.
    pub(crate) fn open(
        db: Db,
        relation: &Relation,
        cursor: Option<&str>,
        stop: &Stop,
    ) -> Result<(Snapshot, Option<Value>)> {
        let counted = cursor.is_some_and(|cursor| changes::counts(relation, cursor));
        let watch = match cursor.filter(|_| !counted) {
            Some(cursor) => Some((cursor, Watch::begin(&db)?)),
            None => None,
        };
        let sql = "SELECT current_setting('server_encoding') = 'UTF8', current_setting('server_version_num')::int";
        let (utf8, version): (bool, i32) = db
            .query_one(sql, &[])
            .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .map_err(to("say its encoding"))?;
        let mut horizon = None;
        if let Some((cursor, watch)) = watch {
            let found = relation::find(&db, relation)?;
            let columns = columns(&db, &found)?;
            horizon = Some(horizon::of(&db, &found, &columns, cursor, utf8, &watch, stop)?);
        }
        stop.check()?;
        let found = relation::find(&db, relation)?;
        if counted && found.table.is_none() {
            return Err(changes::no_table(&found.name));
        }
        let begin = to("begin a snapshot");
        db.execute_batch(BEGIN).map_err(&begin)?;
        // The snapshot is taken by the first query. Who emptied the table by TRUNCATE after it would have it look empty, so
        // that has to be over, or wait.
        if let Some(table) = &found.table {
            db.execute_batch(&format!("LOCK TABLE {table} IN ACCESS SHARE MODE")).map_err(to("lock the table"))?;
        }
        let sql = "SELECT pg_export_snapshot(), txid_snapshot_xmin(s), txid_snapshot_xmax(s), pg_table_size($3::text::regclass),
                          pg_advisory_xact_lock_shared($1, $2) FROM txid_current_snapshot() s";
        let (id, oldest, next, bytes): (String, i64, i64, Option<i64>) = db
            .query_one(sql, &[&READS.0, &READS.1, &found.table])
            .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)))
            .map_err(&begin)?;
        let bytes = bytes.filter(|_| found.alone).and_then(|bytes| u64::try_from(bytes).ok());
        if counted {
            horizon = Some(Value::Int(oldest));
        }
        let columns = columns(&db, &found)?;
        Ok((
            Snapshot {
                found,
                columns,
                bytes,
                utf8,
                version,
                next,
                id,
                idle: Mutex::new(vec![db]),
                extents: Mutex::default(),
            },
            horizon,
        ))
    }

    /// A connection that sees it.
    pub(crate) fn take(&self, address: &Address) -> Result<Db> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.another(address).connect(), Ok)
    }

    /// Another connection that sees it.
    fn another(&self, address: &Address) -> Invitation {
        let sql = format!(
            "{BEGIN}; SET TRANSACTION SNAPSHOT {}; SELECT pg_advisory_xact_lock_shared({}, {})",
            literal(&self.id),
            READS.0,
            READS.1
        );
        Invitation { address: address.clone(), sql }
    }

    /// Another connection that sees it, and holds every lock that reading by parts of that statement needs: on tables and on
    /// their indexes. Who asks for one of these to himself (`TRUNCATE`, `REINDEX`) waits for the first connection, and a
    /// second one that asked later would wait behind him, without end.
    pub(crate) fn invite(&self, address: &Address, statement: &str) -> Invitation {
        let Invitation { address, sql } = self.another(address);
        Invitation { address, sql: format!("{sql}; SET LOCAL lock_timeout = '1s'; EXPLAIN {statement}") }
    }

    /// The connection is whole, and free again.
    pub(crate) fn give_back(&self, db: Db) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
    }
}

/// What another connection needs to see a snapshot. It keeps nothing on the server, and comes to nothing once the snapshot
/// is over.
pub(crate) struct Invitation {
    address: Address,
    sql: String,
}

impl Invitation {
    pub(crate) fn connect(&self) -> Result<Db> {
        let db = connect(&self.address)?;
        db.execute_batch(&self.sql).map_err(to("read by the snapshot of another connection"))?;
        Ok(db)
    }
}
