//! What is left of hard-deleted rows: key and version, so that an older copy does not raise them (P5).

use crate::failure::to;
use floodmark_connect::crash::{self, Point};
use floodmark_core::{DataType, Result, Value};
use rusqlite::{Connection, OptionalExtension, params};
use std::cmp::Ordering;

pub(super) struct Tombstones<'db> {
    db: &'db Connection,
    pipeline: &'db str,
    version: DataType,
    /// Whether there are any; saves the look-up for most loads.
    any: bool,
}

impl<'db> Tombstones<'db> {
    pub(super) fn new(db: &'db Connection, pipeline: &'db str, version: DataType) -> Result<Self> {
        let any = db
            .query_row("SELECT EXISTS (SELECT 1 FROM _floodmark_tombstones WHERE pipeline = ?1)", [pipeline], |r| {
                r.get(0)
            })
            .map_err(to("read the tombstones"))?;
        Ok(Tombstones { db, pipeline, version, any })
    }

    pub(super) fn any(&self) -> bool {
        self.any
    }

    /// The version of the key's tombstone, `None` where there is none.
    pub(super) fn get(&self, key: &str) -> Result<Option<Value>> {
        if !self.any {
            return Ok(None);
        }
        let kept: Option<Option<String>> = self
            .db
            .prepare_cached("SELECT version FROM _floodmark_tombstones WHERE pipeline = ?1 AND key = ?2")
            .and_then(|mut s| s.query_row([self.pipeline, key], |r| r.get(0)).optional())
            .map_err(to("read a tombstone"))?;
        Ok(kept.map(|text| text.and_then(|t| Value::parse(&t, self.version)).unwrap_or(Value::Null)))
    }

    /// How `version` compares with that of the key's tombstone; `None` where there is none.
    pub(super) fn compare(&self, key: &str, version: &Value) -> Result<Option<Ordering>> {
        Ok(self.get(key)?.map(|kept| version.compare(&kept).unwrap_or(Ordering::Greater)))
    }

    pub(super) fn put(&mut self, key: &str, version: &Value) -> Result<()> {
        self.any = true;
        let text = (!version.is_null()).then(|| version.to_string());
        crash::at(Point::Tombstone, || {
            self.db
                .prepare_cached("INSERT OR REPLACE INTO _floodmark_tombstones VALUES (?1, ?2, ?3)")
                .and_then(|mut s| s.execute(params![self.pipeline, key, text]))
                .map_err(to("write a tombstone"))
        })?;
        Ok(())
    }

    pub(super) fn remove(&self, key: &str) -> Result<()> {
        crash::at(Point::Tombstone, || {
            self.db
                .prepare_cached("DELETE FROM _floodmark_tombstones WHERE pipeline = ?1 AND key = ?2")
                .and_then(|mut s| s.execute([self.pipeline, key]))
                .map_err(to("remove a tombstone"))
        })?;
        Ok(())
    }
}
