//! `on_null: keep` with versions: each column holds the newest value that is not NULL.
//!
//! A NULL that came with a newer version leaves an older value standing. How old it is is kept here, so that a row
//! which arrives late replaces exactly the values that are older than its own, and every order of arrival ends in the
//! same table (P7).

use crate::failure::to;
use floodmark_core::Result;
use rusqlite::{Connection, params, types::Value as Stored};

pub(super) struct Kept<'db> {
    db: &'db Connection,
    pipeline: &'db str,
    /// Whether there are any; saves the look-up for most loads.
    any: bool,
}

impl<'db> Kept<'db> {
    pub(super) fn new(db: &'db Connection, pipeline: &'db str) -> Result<Self> {
        let any = db
            .query_row("SELECT EXISTS (SELECT 1 FROM _floodmark_kept WHERE pipeline = ?1)", [pipeline], |r| r.get(0))
            .map_err(to("read the kept values' versions"))?;
        Ok(Kept { db, pipeline, any })
    }

    /// The key's columns whose value is older than their row, with its version.
    pub(super) fn of(&self, key: &str) -> Result<Vec<(String, Stored)>> {
        if !self.any {
            return Ok(Vec::new());
        }
        self.db
            .prepare_cached("SELECT \"column\", version FROM _floodmark_kept WHERE pipeline = ?1 AND key = ?2")
            .and_then(|mut s| s.query_map([self.pipeline, key], |r| Ok((r.get(0)?, r.get(1)?)))?.collect())
            .map_err(to("read the kept values' versions"))
    }

    pub(super) fn put(&mut self, key: &str, column: &str, version: &Stored) -> Result<()> {
        self.any = true;
        self.db
            .prepare_cached("INSERT OR REPLACE INTO _floodmark_kept VALUES (?1, ?2, ?3, ?4)")
            .and_then(|mut s| s.execute(params![self.pipeline, key, column, version]))
            .map_err(to("write a kept value's version"))?;
        Ok(())
    }

    /// Of one column, or of all.
    pub(super) fn remove(&self, key: &str, column: Option<&str>) -> Result<()> {
        if !self.any {
            return Ok(());
        }
        self.db
            .prepare_cached(
                "DELETE FROM _floodmark_kept WHERE pipeline = ?1 AND key = ?2 AND (?3 IS NULL OR \"column\" = ?3)",
            )
            .and_then(|mut s| s.execute(params![self.pipeline, key, column]))
            .map_err(to("remove a kept value's version"))?;
        Ok(())
    }
}
