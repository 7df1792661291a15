//! What a history's rows cannot say: unchanged contents seen again, deletes where nothing stood (see
//! [`floodmark_core::history`]).

use super::history::At;
use crate::failure::to;
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Result, history::Moment};
use rusqlite::{Connection, params};

pub(super) struct Moments<'db> {
    db: &'db Connection,
    pipeline: &'db str,
    any: bool,
}

impl<'db> Moments<'db> {
    pub(super) fn new(db: &'db Connection, pipeline: &'db str) -> Result<Self> {
        let any = db
            .query_row("SELECT EXISTS (SELECT 1 FROM _floodmark_moments WHERE pipeline = ?1)", [pipeline], |r| r.get(0))
            .map_err(to("read the moments"))?;
        Ok(Moments { db, pipeline, any })
    }

    /// Whether any key has one; saves the look-up for most loads.
    pub(super) fn any(&self) -> bool {
        self.any
    }

    /// Those of a key, in their order.
    pub(super) fn of(&self, key: &str, at: impl Fn(&str) -> At) -> Result<Vec<Moment<At>>> {
        let mut found: Vec<Moment<At>> = self
            .db
            .prepare_cached("SELECT at, deleted FROM _floodmark_moments WHERE pipeline = ?1 AND key = ?2")
            .and_then(|mut s| {
                s.query_map([self.pipeline, key], |r| {
                    Ok(Moment { at: at(&r.get::<_, String>(0)?), deleted: r.get(1)? })
                })?
                .collect()
            })
            .map_err(to("read the moments"))?;
        found.sort();
        Ok(found)
    }

    /// Brings the key's moments from `before` to `after`.
    pub(super) fn replace(&mut self, key: &str, before: &[Moment<At>], after: &[Moment<At>]) -> Result<()> {
        let fail = to("write the moments");
        for gone in before.iter().filter(|m| !after.contains(m)) {
            crash::at(Point::Moment, || {
                self.db
                    .prepare_cached("DELETE FROM _floodmark_moments WHERE pipeline = ?1 AND key = ?2 AND at = ?3")
                    .and_then(|mut s| s.execute(params![self.pipeline, key, gone.at.value.to_string()]))
                    .map_err(&fail)
            })?;
        }
        for new in after.iter().filter(|m| !before.contains(m)) {
            self.any = true;
            crash::at(Point::Moment, || {
                self.db
                    .prepare_cached("INSERT INTO _floodmark_moments VALUES (?1, ?2, ?3, ?4)")
                    .and_then(|mut s| s.execute(params![self.pipeline, key, new.at.value.to_string(), new.deleted]))
                    .map_err(&fail)
            })?;
        }
        Ok(())
    }
}
