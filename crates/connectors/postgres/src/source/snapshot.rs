//! The one state of the database that a run sees.

use super::{
    changes,
    columns::{self, Column},
    failure::to,
    horizon::{self, READS, Watch},
    relation::{self, Found},
};
use crate::{address::Address, ddl::literal, failure::Role, link::Db};
use floodmark_connect::Stop;
use floodmark_core::{Result, Value, pipeline::Relation};
use std::sync::{Mutex, PoisonError};

/// What a transaction that reads begins with. A reader waits for a slow destination as long as it takes, which must not look
/// to the server like a network that swallows packets; texts that a cast makes of values are written in one way; and rows
/// come as they lie, not from where another reader of the table is just now. None of it outlasts the transaction, since
/// behind a pooler the session may be another's then; nor is it of the session.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL tcp_user_timeout = 0; \
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
    /// Texts are in UTF-8 on the server, too.
    pub(crate) utf8: bool,
    /// The server's version, as it has it in one number.
    pub(crate) version: i32,
    /// The number that the next transaction gets.
    pub(crate) next: i64,
    /// By which another connection sees the same.
    id: String,
    /// Its connection, while nobody reads by it.
    db: Mutex<Option<Db>>,
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
        let sql = "SELECT pg_export_snapshot(), txid_snapshot_xmin(s), txid_snapshot_xmax(s),
                          pg_advisory_xact_lock_shared($1, $2) FROM txid_current_snapshot() s";
        let (id, oldest, next): (String, i64, i64) = db
            .query_one(sql, &[&READS.0, &READS.1])
            .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            .map_err(&begin)?;
        if counted {
            horizon = Some(Value::Int(oldest));
        }
        let columns = columns(&db, &found)?;
        Ok((Snapshot { found, columns, utf8, version, next, id, db: Mutex::new(Some(db)) }, horizon))
    }

    /// A connection that sees it.
    pub(crate) fn take(&self, address: &Address) -> Result<Db> {
        let own = self.db.lock().unwrap_or_else(PoisonError::into_inner).take();
        own.map_or_else(|| self.another(address), Ok)
    }

    /// Another connection that sees it.
    fn another(&self, address: &Address) -> Result<Db> {
        let db = connect(address)?;
        let sql = format!("{BEGIN}; SET TRANSACTION SNAPSHOT {}", literal(&self.id));
        let import = to("read by the snapshot of another connection");
        db.execute_batch(&sql).map_err(&import)?;
        db.execute("SELECT pg_advisory_xact_lock_shared($1, $2)", &[&READS.0, &READS.1]).map_err(&import)?;
        Ok(db)
    }

    /// The connection is whole, and free again.
    pub(crate) fn give_back(&self, db: Db) {
        self.db.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(db);
    }
}
