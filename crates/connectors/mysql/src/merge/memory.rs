//! What is remembered of keys beside the table, for the keys of a batch (see [`floodmark_merge::memories`]).

use super::Job;
use crate::{
    failure::to,
    literal::{optional, text},
    state::id,
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{DataType, Result, Value};
use floodmark_merge::{
    fold,
    memories::Memories,
    slots::{Layout, Slots},
};
use hashbrown::HashMap;

/// Keys asked for at once.
const AT_ONCE: usize = 2000;

pub(super) struct Memory {
    /// The version's type; without one nothing is remembered.
    version: Option<DataType>,
    /// Whether ages of values are kept.
    pub(super) dates: bool,
    /// Whether there are any; saves the look-up for most loads.
    pub(super) tombstones: bool,
    dated: bool,
}

impl Memory {
    pub(super) fn new(job: &Job<'_>) -> Result<Self> {
        let pipeline = text(&job.plan.target.pipeline.name);
        let version = job.plan.target.version;
        let mut memory = Memory { version, dates: fold::dates(job.plan), tombstones: false, dated: false };
        if version.is_some() {
            let sql = format!(
                "SELECT EXISTS (SELECT 1 FROM _floodmark_tombstones WHERE pipeline = {pipeline}),
                        EXISTS (SELECT 1 FROM _floodmark_kept WHERE pipeline = {pipeline})"
            );
            let row = job.db.query_one(&sql).map_err(to("read what is remembered of keys"))?;
            memory.tombstones = row.number(0) == Some(1);
            memory.dated = row.number(1) == Some(1);
        }
        Ok(memory)
    }

    fn parse(&self, text: Option<&str>) -> Value {
        text.zip(self.version).and_then(|(text, t)| Value::parse(text, t)).unwrap_or(Value::Null)
    }

    /// Notes what is remembered of the batch's keys.
    pub(super) fn recall(&self, job: &Job<'_>, layout: &Layout, slots: &mut Slots) -> Result<()> {
        if !self.tombstones && !self.dated {
            return Ok(());
        }
        let keys: Vec<String> = (0..slots.slots.len()).map(|slot| slots.key_text(layout, slot)).collect();
        let places: HashMap<&str, usize> = keys.iter().enumerate().map(|(n, key)| (key.as_str(), n)).collect();
        let fail = to("read what is remembered of keys");
        for part in keys.chunks(AT_ONCE) {
            let these = these(job, part.iter().map(String::as_str));
            if self.tombstones {
                let sql = format!("SELECT `key`, version FROM _floodmark_tombstones WHERE {these}");
                for row in &job.db.query(&sql).map_err(&fail)? {
                    if let Some(slot) = row.text(0).and_then(|key| places.get(key)) {
                        slots.slots[*slot].tombstone = Some(self.parse(row.text(1)));
                    }
                }
            }
            if self.dated && self.dates {
                let sql = format!(
                    "SELECT `key`, `column`, version FROM _floodmark_kept WHERE {these} ORDER BY `key`, `column`"
                );
                for row in &job.db.query(&sql).map_err(&fail)? {
                    if let Some((slot, column)) = row.text(0).and_then(|key| places.get(key)).zip(row.text(1)) {
                        slots.slots[*slot].dated.push((column.to_owned(), self.parse(row.text(2))));
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes what changed.
    pub(super) fn keep(&mut self, job: &Job<'_>, layout: &Layout, slots: &Slots) -> Result<()> {
        let Memories { buried, raised, redated, dated } = Memories::of(layout, slots);
        let pipeline = text(&job.plan.target.pipeline.name);
        let tombstones = to("write the tombstones");
        if !buried.is_empty() {
            self.tombstones = true;
            let values = buried.iter().map(|(key, version)| {
                format!("({pipeline}, {}, {}, {})", id(key), text(key), optional(version.as_deref()))
            });
            crash::at(Point::Tombstone, || {
                job.db.with_values("REPLACE INTO _floodmark_tombstones VALUES ", values, "").map_err(&tombstones)
            })?;
        }
        for part in raised.chunks(AT_ONCE) {
            let sql =
                format!("DELETE FROM _floodmark_tombstones WHERE {}", these(job, part.iter().map(String::as_str)));
            crash::at(Point::Tombstone, || job.db.execute(&sql).map_err(&tombstones))?;
        }
        let kept = to("write the kept values' versions");
        for part in redated.chunks(AT_ONCE) {
            let sql = format!("DELETE FROM _floodmark_kept WHERE {}", these(job, part.iter().map(String::as_str)));
            crash::at(Point::Kept, || job.db.execute(&sql).map_err(&kept))?;
        }
        if !dated.is_empty() {
            self.dated = true;
            let values = dated.iter().map(|(key, column, age)| {
                format!("({pipeline}, {}, {}, {}, {})", id(key), text(key), text(column), optional(age.as_deref()))
            });
            crash::at(Point::Kept, || {
                job.db.with_values("INSERT INTO _floodmark_kept VALUES ", values, "").map_err(&kept)
            })?;
        }
        Ok(())
    }
}

/// The condition that what is remembered is of this pipeline and these keys.
pub(super) fn these<'k>(job: &Job<'_>, keys: impl Iterator<Item = &'k str>) -> String {
    let ids: Vec<String> = keys.map(id).collect();
    format!("pipeline = {} AND id IN ({})", text(&job.plan.target.pipeline.name), ids.join(", "))
}
