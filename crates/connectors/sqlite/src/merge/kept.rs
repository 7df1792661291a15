//! `on_null: keep` with versions: each column holds the newest value that is not NULL.
//!
//! A NULL that came with a newer version leaves an older value standing. How old it is is kept here, so that a row
//! which arrives late replaces exactly the values that are older than its own, and every order of arrival ends in the
//! same table (P7).

use crate::failure::to;
use floodmark_connect::crash::{self, Point};
use floodmark_core::{DataType, Result, Value};
use rusqlite::{Connection, params};

pub(super) struct Kept<'db> {
    db: &'db Connection,
    pipeline: &'db str,
    version: DataType,
    /// Whether there are any; saves the look-up for most loads.
    any: bool,
}

impl<'db> Kept<'db> {
    pub(super) fn new(db: &'db Connection, pipeline: &'db str, version: DataType) -> Result<Self> {
        let any = db
            .query_row("SELECT EXISTS (SELECT 1 FROM _floodmark_kept WHERE pipeline = ?1)", [pipeline], |r| r.get(0))
            .map_err(to("read the kept values' versions"))?;
        Ok(Kept { db, pipeline, version, any })
    }

    /// The key's columns whose value is older than their row, with its version.
    pub(super) fn of(&self, key: &str) -> Result<Vec<(String, Value)>> {
        if !self.any {
            return Ok(Vec::new());
        }
        self.db
            .prepare_cached("SELECT \"column\", version FROM _floodmark_kept WHERE pipeline = ?1 AND key = ?2")
            .and_then(|mut s| {
                s.query_map([self.pipeline, key], |r| {
                    let text: Option<String> = r.get(1)?;
                    Ok((r.get(0)?, text.and_then(|t| Value::parse(&t, self.version)).unwrap_or(Value::Null)))
                })?
                .collect()
            })
            .map_err(to("read the kept values' versions"))
    }

    pub(super) fn put(&mut self, key: &str, column: &str, version: &Value) -> Result<()> {
        self.any = true;
        let version = (!version.is_null()).then(|| version.to_string());
        crash::at(Point::Kept, || {
            self.db
                .prepare_cached("INSERT OR REPLACE INTO _floodmark_kept VALUES (?1, ?2, ?3, ?4)")
                .and_then(|mut s| s.execute(params![self.pipeline, key, column, version]))
                .map_err(to("write a kept value's version"))
        })?;
        Ok(())
    }

    /// Of one column, or of all.
    pub(super) fn remove(&self, key: &str, column: Option<&str>) -> Result<()> {
        if !self.any {
            return Ok(());
        }
        crash::at(Point::Kept, || {
            self.db
                .prepare_cached(
                    "DELETE FROM _floodmark_kept WHERE pipeline = ?1 AND key = ?2 AND (?3 IS NULL OR \"column\" = ?3)",
                )
                .and_then(|mut s| s.execute(params![self.pipeline, key, column]))
                .map_err(to("remove a kept value's version"))
        })?;
        Ok(())
    }
}
