//! `scd2`: a version of a row opens when its content changes, and closes when the next one opens.
//!
//! The run's rows are staged, then taken key by key in the order of their versions, so that neither chunks nor the order
//! of arrival matter. A version that arrives late is put where it belongs in the history.

use super::{Batches, Outcome, tombstones::Tombstones, window};
use crate::{codec, ddl, failure::to};
use floodmark_connect::LoadPlan;
use floodmark_core::{Counts, DataType, Error, Result, Value, pipeline::AbsentRows, text};
use rusqlite::{Connection, params_from_iter, types::Value as Stored};
use std::cmp::Ordering;

/// The staging table's column for delete marks; no source column can have this name.
pub(super) const DELETE: &str = "_floodmark_delete";

pub(super) fn run(db: &Connection, plan: &LoadPlan<'_>, batches: &mut dyn Batches) -> Result<Outcome> {
    let mut history = History::new(db, plan)?;
    history.make_stage()?;
    window::stage(db, plan, batches)?;
    history.merge_all()?;
    if plan.full && plan.target.pipeline.absent_rows == AbsentRows::Close {
        history.close_absent()?;
    }
    Ok(Outcome { counts: history.counts, lineage: Vec::new() })
}

struct History<'a> {
    db: &'a Connection,
    plan: &'a LoadPlan<'a>,
    table: String,
    key: &'a [String],
    /// All columns of the data, key first.
    columns: Vec<String>,
    version: Option<(usize, DataType)>,
    now: Stored,
    /// Deletes that closed nothing.
    tombstones: Option<Tombstones<'a>>,
    counts: Counts,
}

/// A staged row.
struct Staged {
    content: Vec<Stored>,
    at: Stored,
    delete: bool,
}

/// A row of the table for one key.
#[derive(Clone)]
struct Version {
    rowid: i64,
    from: Stored,
    to: Stored,
    content: Vec<Stored>,
}

impl<'a> History<'a> {
    fn new(db: &'a Connection, plan: &'a LoadPlan<'a>) -> Result<Self> {
        let pipeline = plan.target.pipeline;
        let mut columns = pipeline.key.clone();
        columns.extend(
            plan.target.schema.names().into_iter().filter(|n| !pipeline.key.iter().any(|k| k == n)).map(str::to_owned),
        );
        let version = match (&pipeline.version, plan.target.version) {
            (Some(name), Some(data_type)) => {
                let at = columns.iter().position(|c| c == name);
                Some((at.ok_or_else(|| Error::internal("the version column is not in the schema"))?, data_type))
            }
            _ => None,
        };
        let mut now = String::new();
        text::format_timestamp(plan.target.now.div_euclid(1000) * 1000, true, &mut now);
        Ok(History {
            db,
            plan,
            table: ddl::quote(&pipeline.destination.table),
            key: &pipeline.key,
            columns,
            version,
            now: Stored::Text(now),
            tombstones: plan.target.version.map(|v| Tombstones::new(db, &pipeline.name, v)).transpose()?,
            counts: Counts::default(),
        })
    }

    fn make_stage(&self) -> Result<()> {
        let key = ddl::list(self.key.iter().map(String::as_str));
        self.db
            .execute_batch(&format!(
                "DROP TABLE IF EXISTS temp._floodmark_stage;
                 CREATE TEMP TABLE _floodmark_stage AS SELECT {} FROM {} WHERE 0;
                 ALTER TABLE temp._floodmark_stage ADD COLUMN {DELETE};
                 CREATE INDEX temp._floodmark_stage_key ON _floodmark_stage ({key})",
                ddl::list(self.columns.iter().map(String::as_str)),
                self.table
            ))
            .map_err(to("make a temporary table"))
    }

    fn merge_all(&mut self) -> Result<()> {
        let fail = to("merge history");
        let key = ddl::list(self.key.iter().map(String::as_str));
        let sql = format!(
            "SELECT {}, {DELETE} FROM temp._floodmark_stage ORDER BY {key}, rowid",
            ddl::list(self.columns.iter().map(String::as_str))
        );
        let db = self.db;
        let mut statement = db.prepare(&sql).map_err(&fail)?;
        let mut rows = statement.query([]).map_err(&fail)?;
        let mut group: Vec<Staged> = Vec::new();
        let width = self.columns.len();
        while let Some(row) = rows.next().map_err(&fail)? {
            let content: Vec<Stored> =
                (0..width).map(|n| row.get(n)).collect::<rusqlite::Result<_>>().map_err(&fail)?;
            let delete = row.get::<_, Option<bool>>(width).map_err(&fail)?.unwrap_or(false);
            let at = self.version.map_or_else(|| self.now.clone(), |(n, _)| content[n].clone());
            if group.first().is_some_and(|g| g.content[..self.key.len()] != content[..self.key.len()]) {
                self.merge_key(std::mem::take(&mut group))?;
            }
            group.push(Staged { content, at, delete });
        }
        if !group.is_empty() {
            self.merge_key(group)?;
        }
        Ok(())
    }

    /// Two moments on the version's axis; NULL is the oldest.
    fn order(&self, a: &Stored, b: &Stored) -> Ordering {
        let data_type = self.version.map_or(DataType::TimestampTz { nanos: false }, |(_, t)| t);
        let value = |s: &Stored| codec::decode(s.into(), data_type).unwrap_or(Value::Null);
        value(a).compare(&value(b)).unwrap_or(Ordering::Equal)
    }

    /// Applies the staged rows of one key, which are in source order.
    fn merge_key(&mut self, mut group: Vec<Staged>) -> Result<()> {
        if self.version.is_some() {
            group.sort_by(|a, b| self.order(&a.at, &b.at));
        }
        // Of equal versions the later in the source counts; a delete before a row.
        let mut kept: Vec<Staged> = Vec::with_capacity(group.len());
        for row in group {
            match kept.last() {
                Some(last) if self.order(&last.at, &row.at) == Ordering::Equal => {
                    self.counts.superseded += 1;
                    if self.version.is_none() || row.delete || !last.delete {
                        kept.pop();
                        kept.push(row);
                    }
                }
                _ => kept.push(row),
            }
        }
        let mut versions = self.versions(&kept[0].content[..self.key.len()])?;
        for row in kept {
            if row.delete {
                self.delete(&mut versions, &row)?;
            } else {
                self.put(&mut versions, row)?;
            }
        }
        Ok(())
    }

    fn versions(&self, key: &[Stored]) -> Result<Vec<Version>> {
        let fail = to("read history");
        let matches: Vec<String> = self.key.iter().map(|k| format!("{} = ?", ddl::quote(k))).collect();
        let rowid = super::append::rowid_name(self.db, &self.plan.target.pipeline.destination.table)?;
        let sql = format!(
            "SELECT {rowid}, valid_from, valid_to, {} FROM {} WHERE {}",
            ddl::list(self.columns.iter().map(String::as_str)),
            self.table,
            matches.join(" AND ")
        );
        let mut found: Vec<Version> = self
            .db
            .prepare_cached(&sql)
            .and_then(|mut s| {
                s.query_map(params_from_iter(key), |r| {
                    Ok(Version {
                        rowid: r.get(0)?,
                        from: r.get(1)?,
                        to: r.get(2)?,
                        content: (3..3 + self.columns.len()).map(|n| r.get(n)).collect::<rusqlite::Result<_>>()?,
                    })
                })?
                .collect()
            })
            .map_err(fail)?;
        found.sort_by(|a, b| self.order(&a.from, &b.from));
        Ok(found)
    }

    /// Equal content: every column but the version itself, which moves without meaning a change.
    fn same(&self, a: &[Stored], b: &[Stored]) -> bool {
        let version = self.version.map(|(n, _)| n);
        a.iter().zip(b).enumerate().all(|(n, (a, b))| Some(n) == version || a == b)
    }

    /// Puts a version where it belongs, whenever it arrives.
    fn put(&mut self, versions: &mut Vec<Version>, row: Staged) -> Result<()> {
        let at = versions.partition_point(|v| self.order(&v.from, &row.at) != Ordering::Greater);
        let before = at.checked_sub(1).map(|n| versions[n].clone());
        let next = versions.get(at).cloned();
        // Where the history goes on after this version: at the next one, or where a delete closed it.
        let mut until = next.as_ref().map_or(Stored::Null, |n| n.from.clone());
        let mut adjoins_next = next.is_some();
        let mut covered = false;
        if let Some(before) = &before {
            let same = self.same(&before.content, &row.content);
            let exact = self.order(&before.from, &row.at) == Ordering::Equal;
            covered = self.covers(before, &row.at);
            if exact && !same {
                self.rewrite(before.rowid, &row.content)?;
                versions[at - 1].content = row.content;
                self.counts.updated += 1;
                return Ok(());
            }
            if same && (covered || exact) {
                self.counts.unchanged += 1;
                return Ok(());
            }
            if !covered && self.order(&before.to, &row.at) == Ordering::Equal {
                // Deleted at this very version, and a delete wins.
                self.counts.stale += 1;
                return Ok(());
            }
            if covered {
                adjoins_next = next.as_ref().is_some_and(|n| self.order(&n.from, &before.to) == Ordering::Equal);
                until = before.to.clone();
            }
        }
        if !covered && let Some(deleted) = self.deleted_after(&row)? {
            if self.order(&deleted, &row.at) == Ordering::Equal {
                self.counts.stale += 1;
                return Ok(());
            }
            if until == Stored::Null || self.order(&deleted, &until) == Ordering::Less {
                until = deleted;
                adjoins_next = false;
            }
        }
        if let (true, Some(before)) = (covered, &before) {
            self.set(before.rowid, "valid_to = ?, is_current = 0", &row.at)?;
            versions[at - 1].to = row.at.clone();
        }
        if let Some(next) = next.filter(|n| adjoins_next && self.same(&n.content, &row.content)) {
            // The same content, known from an earlier moment on.
            self.set(next.rowid, "valid_from = ?", &row.at)?;
            versions[at].from = row.at;
            self.counts.updated += 1;
            return Ok(());
        }
        let rowid = self.insert(&row, &until)?;
        versions.insert(at, Version { rowid, from: row.at, to: until, content: row.content });
        self.counts.inserted += 1;
        Ok(())
    }

    fn covers(&self, version: &Version, at: &Stored) -> bool {
        version.to == Stored::Null || self.order(&version.to, at) == Ordering::Greater
    }

    /// Closes the version that stood at the moment of a delete; where none did, the delete is remembered, so that an
    /// older version that arrives later does not open a current row (P5).
    fn delete(&mut self, versions: &mut Vec<Version>, row: &Staged) -> Result<()> {
        let at = versions.partition_point(|v| self.order(&v.from, &row.at) != Ordering::Greater);
        let standing = at.checked_sub(1).filter(|n| self.covers(&versions[*n], &row.at));
        let Some(n) = standing else {
            self.counts.delete_noop += 1;
            return self.remember(row);
        };
        if self.order(&versions[n].from, &row.at) == Ordering::Equal {
            // A version that began with its own delete never stood.
            let gone = versions.remove(n);
            self.take_out(gone.rowid)?;
            self.remember(row)?;
        } else {
            self.set(versions[n].rowid, "valid_to = ?, is_current = 0", &row.at)?;
            versions[n].to = row.at.clone();
        }
        self.counts.deleted += 1;
        Ok(())
    }

    fn key_text(&self, row: &Staged) -> String {
        let key = row.content[..self.key.len()].iter().map(|v| codec::decode_as_stored(v.into()).to_string());
        serde_json::Value::from(key.collect::<Vec<_>>()).to_string()
    }

    fn moment(&self, at: &Stored) -> Option<Value> {
        codec::decode(at.into(), self.version?.1)
    }

    fn remember(&mut self, row: &Staged) -> Result<()> {
        let (key, at) = (self.key_text(row), self.moment(&row.at));
        let (Some(tombstones), Some(at)) = (&mut self.tombstones, at) else { return Ok(()) };
        match tombstones.compare(&key, &at)? {
            Some(Ordering::Less | Ordering::Equal) => Ok(()),
            Some(Ordering::Greater) | None => tombstones.put(&key, &at),
        }
    }

    /// The moment of a remembered delete at or after the row's.
    fn deleted_after(&self, row: &Staged) -> Result<Option<Stored>> {
        let (Some(tombstones), Some(at)) = (&self.tombstones, self.moment(&row.at)) else { return Ok(None) };
        let kept = tombstones.get(&self.key_text(row))?;
        let later = kept.filter(|kept| matches!(kept.compare(&at), Some(Ordering::Greater | Ordering::Equal)));
        // As SQLite keeps a version: whole numbers and doubles as such, all else as text.
        Ok(later.map(|kept| match kept {
            Value::Int(v) => Stored::Integer(v),
            Value::Double(v) => Stored::Real(v),
            other => Stored::Text(other.to_string()),
        }))
    }

    fn take_out(&self, id: i64) -> Result<()> {
        let rowid = super::append::rowid_name(self.db, &self.plan.target.pipeline.destination.table)?;
        self.db
            .prepare_cached(&format!("DELETE FROM {} WHERE {rowid} = ?", self.table))
            .and_then(|mut s| s.execute([id]))
            .map_err(to("take out a version"))?;
        Ok(())
    }

    fn insert(&self, row: &Staged, to_moment: &Stored) -> Result<i64> {
        let names: Vec<&str> =
            self.columns.iter().map(String::as_str).chain(["valid_from", "valid_to", "is_current"]).collect();
        let sql = super::insert_sql(&self.plan.target.pipeline.destination.table, &names);
        let current = Stored::Integer(i64::from(*to_moment == Stored::Null));
        let values = row.content.iter().chain([&row.at, to_moment, &current]);
        self.db.prepare_cached(&sql).and_then(|mut s| s.insert(params_from_iter(values))).map_err(to("open a version"))
    }

    fn rewrite(&self, rowid: i64, content: &[Stored]) -> Result<()> {
        let set: Vec<String> = self.columns.iter().map(|c| format!("{} = ?", ddl::quote(c))).collect();
        self.execute(&set.join(", "), content.to_vec(), rowid)
    }

    fn set(&self, rowid: i64, set: &str, value: &Stored) -> Result<()> {
        self.execute(set, vec![value.clone()], rowid)
    }

    fn execute(&self, set: &str, mut values: Vec<Stored>, id: i64) -> Result<()> {
        let rowid = super::append::rowid_name(self.db, &self.plan.target.pipeline.destination.table)?;
        values.push(Stored::Integer(id));
        self.db
            .prepare_cached(&format!("UPDATE {} SET {set} WHERE {rowid} = ?", self.table))
            .and_then(|mut s| s.execute(params_from_iter(&values)))
            .map_err(to("change a version"))?;
        Ok(())
    }

    /// Closes the current version of every key that the full read no longer holds.
    fn close_absent(&mut self) -> Result<()> {
        let key = self.key.iter().map(|k| format!("s.{0} = {1}.{0}", ddl::quote(k), self.table));
        let sql = format!(
            "UPDATE {} SET valid_to = ?1, is_current = 0 WHERE is_current = 1
             AND NOT EXISTS (SELECT 1 FROM temp._floodmark_stage s WHERE {})",
            self.table,
            key.collect::<Vec<_>>().join(" AND ")
        );
        self.counts.removed = self.db.execute(&sql, [&self.now]).map_err(to("close absent rows"))? as u64;
        Ok(())
    }
}
