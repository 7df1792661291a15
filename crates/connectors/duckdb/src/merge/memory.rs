//! What is remembered of keys beside the table, for the keys of a batch (see [`floodmark_merge::memories`]).

use super::Job;
use crate::{failure::to, link::List, raw::Failure};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{DataType, Result, Value};
use floodmark_merge::{
    fold,
    memories::Memories,
    slots::{Layout, Slots},
};
use hashbrown::HashMap;

pub(super) struct Memory {
    /// The version's type; without one nothing is remembered.
    version: Option<DataType>,
    /// Whether ages of values are kept.
    pub(super) dates: bool,
    /// Whether there are any; saves the look-up for most loads.
    pub(super) tombstones: bool,
    pub(super) dated: bool,
}

impl Memory {
    pub(super) fn new(job: &Job<'_>) -> Result<Self> {
        let pipeline = job.plan.target.pipeline;
        let version = job.plan.target.version;
        let mut memory = Memory { version, dates: fold::dates(job.plan), tombstones: false, dated: false };
        if version.is_some() {
            let row = job
                .db
                .query_one(
                    "SELECT EXISTS (SELECT 1 FROM _floodmark_tombstones WHERE pipeline = $1),
                            EXISTS (SELECT 1 FROM _floodmark_kept WHERE pipeline = $1)",
                    &[&pipeline.name],
                )
                .map_err(to("read what is remembered of keys"))?;
            memory.tombstones = row.try_get(0).map_err(to("read what is remembered of keys"))?;
            memory.dated = row.try_get(1).map_err(to("read what is remembered of keys"))?;
        }
        Ok(memory)
    }

    fn parse(&self, text: Option<String>) -> Value {
        text.zip(self.version).and_then(|(text, t)| Value::parse(&text, t)).unwrap_or(Value::Null)
    }

    /// Notes what is remembered of the batch's keys.
    pub(super) fn recall(&self, job: &Job<'_>, layout: &Layout, slots: &mut Slots) -> Result<()> {
        if !self.tombstones && !self.dated {
            return Ok(());
        }
        let keys: Vec<String> = (0..slots.slots.len()).map(|slot| slots.key_text(layout, slot)).collect();
        let places: HashMap<&str, usize> = keys.iter().enumerate().map(|(n, key)| (key.as_str(), n)).collect();
        let pipeline = &job.plan.target.pipeline.name;
        let fail = to("read what is remembered of keys");
        if self.tombstones {
            let rows = job
                .db
                .query(
                    "SELECT key, version FROM _floodmark_tombstones WHERE pipeline = $1 AND key IN (SELECT unnest($2::text[]))",
                    &[pipeline, &List(&keys)],
                )
                .map_err(&fail)?;
            for row in &rows {
                let (key, version): (String, Option<String>) =
                    row.try_get(0).and_then(|k| Ok((k, row.try_get(1)?))).map_err(&fail)?;
                if let Some(slot) = places.get(key.as_str()) {
                    slots.slots[*slot].tombstone = Some(self.parse(version));
                }
            }
        }
        if self.dated && self.dates {
            let rows = job
                .db
                .query(
                    "SELECT key, \"column\", version FROM _floodmark_kept WHERE pipeline = $1 AND key IN (SELECT unnest($2::text[]))
                     ORDER BY key, \"column\"",
                    &[pipeline, &List(&keys)],
                )
                .map_err(&fail)?;
            for row in &rows {
                let get = || -> Result<(String, String, Option<String>), Failure> {
                    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
                };
                let (key, column, version) = get().map_err(&fail)?;
                if let Some(slot) = places.get(key.as_str()) {
                    slots.slots[*slot].dated.push((column, self.parse(version)));
                }
            }
        }
        Ok(())
    }

    /// Writes what changed.
    pub(super) fn keep(&mut self, job: &Job<'_>, layout: &Layout, slots: &Slots) -> Result<()> {
        let Memories { buried, raised, redated, dated } = Memories::of(layout, slots);
        let pipeline = &job.plan.target.pipeline.name;
        let tombstones = to("write the tombstones");
        if !buried.is_empty() {
            self.tombstones = true;
            let (buried, versions): (Vec<String>, Vec<Option<String>>) = buried.into_iter().unzip();
            crash::at(Point::Tombstone, || {
                job.db
                    .execute(
                        "DELETE FROM _floodmark_tombstones WHERE pipeline = $1 AND key IN (SELECT unnest($2::text[]))",
                        &[pipeline, &List(&buried)],
                    )
                    .map_err(&tombstones)
            })?;
            crash::at(Point::Tombstone, || {
                job.db
                    .execute(
                        "INSERT INTO _floodmark_tombstones SELECT $1, unnest($2::text[]), unnest($3::text[])",
                        &[pipeline, &List(&buried), &List(&versions)],
                    )
                    .map_err(&tombstones)
            })?;
        }
        if !raised.is_empty() {
            crash::at(Point::Tombstone, || {
                job.db
                    .execute(
                        "DELETE FROM _floodmark_tombstones WHERE pipeline = $1 AND key IN (SELECT unnest($2::text[]))",
                        &[pipeline, &List(&raised)],
                    )
                    .map_err(&tombstones)
            })?;
        }
        let kept = to("write the kept values' versions");
        if !redated.is_empty() {
            crash::at(Point::Kept, || {
                job.db
                    .execute(
                        "DELETE FROM _floodmark_kept WHERE pipeline = $1 AND key IN (SELECT unnest($2::text[]))",
                        &[pipeline, &List(&redated)],
                    )
                    .map_err(&kept)
            })?;
        }
        if !dated.is_empty() {
            self.dated = true;
            let keys: Vec<&str> = dated.iter().map(|(key, ..)| key.as_str()).collect();
            let columns: Vec<&str> = dated.iter().map(|(_, column, _)| column.as_str()).collect();
            let ages: Vec<Option<&str>> = dated.iter().map(|(.., age)| age.as_deref()).collect();
            crash::at(Point::Kept, || {
                job.db
                    .execute(
                        "INSERT INTO _floodmark_kept SELECT $1, unnest($2::text[]), unnest($3::text[]), unnest($4::text[])",
                        &[pipeline, &List(&keys), &List(&columns), &List(&ages)],
                    )
                    .map_err(&kept)
            })?;
        }
        Ok(())
    }
}
