//! `scd2`: a version of a row opens when its content changes, and closes when the next one opens.
//!
//! The run's rows are staged, then taken key by key: what the table and the moments beside it say of the key, and what
//! came in, make one timeline (the rule is in [`floodmark_core::history`]), and what differs is written.

use super::{Batches, Outcome, moments::Moments, window};
use crate::{codec, ddl, failure::to};
use floodmark_connect::{
    LoadPlan,
    crash::{self, Point},
    destination::tied,
};
use floodmark_core::{
    Counts, DataType, Error, Result, Value,
    history::{self, Span, Timeline},
    pipeline::AbsentRows,
    text,
};
use rusqlite::{CachedStatement, Connection, params_from_iter, types::Value as Stored};
use std::{cmp::Ordering, rc::Rc};

/// The staging table's column for delete marks; no source column can have this name.
pub(super) const DELETE: &str = "_floodmark_delete";

pub(super) fn run(db: &Connection, plan: &LoadPlan<'_>, batches: &mut dyn Batches) -> Result<Outcome> {
    let mut history = History::new(db, plan)?;
    history.make_stage()?;
    window::stage(db, plan, batches)?;
    history.merge_all()?;
    // What a part of the table does not bring may lie beyond it.
    if plan.full && plan.within.is_none() && batches.complete() && plan.target.pipeline.absent_rows == AbsentRows::Close
    {
        history.close_absent()?;
    }
    Ok(Outcome { counts: history.counts, lineage: Vec::new() })
}

/// A moment on the version's axis: by value, and as SQLite keeps it.
#[derive(Debug, Clone)]
pub(super) struct At {
    pub(super) value: Value,
    stored: Stored,
}

impl Ord for At {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.compare(&other.value).unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for At {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for At {}

/// The values of a row, in the order of the history's columns.
type Content = Rc<[Stored]>;

/// What came in for a key at one moment.
struct Incoming {
    at: At,
    content: Content,
    deleted: bool,
}

struct History<'a> {
    db: &'a Connection,
    plan: &'a LoadPlan<'a>,
    table: String,
    /// How many of the columns are the key; they come first.
    key: usize,
    columns: Vec<String>,
    version: Option<(usize, DataType)>,
    now: At,
    /// Only where rows have versions: without, nothing arrives late.
    moments: Option<Moments<'a>>,
    rows: Rows<'a>,
    /// The table held nothing before this chunk: no key needs looking up, as each is merged once.
    fresh: bool,
    counts: Counts,
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
            key: pipeline.key.len(),
            rows: Rows::prepare(db, &pipeline.destination.table, &columns, pipeline.key.len())?,
            columns,
            version,
            now: moment(Stored::Text(now), DataType::TimestampTz { nanos: false }),
            moments: version.map(|_| Moments::new(db, &pipeline.name)).transpose()?,
            fresh: super::is_empty(db, &pipeline.destination.table)?,
            counts: Counts::default(),
        })
    }

    fn names(&self) -> String {
        ddl::list(self.columns.iter().map(String::as_str))
    }

    fn key_names(&self) -> &[String] {
        &self.columns[..self.key]
    }

    fn make_stage(&self) -> Result<()> {
        let sql = format!(
            "DROP TABLE IF EXISTS temp._floodmark_stage;
             CREATE TEMP TABLE _floodmark_stage AS SELECT {} FROM {} WHERE 0;
             ALTER TABLE temp._floodmark_stage ADD COLUMN {DELETE}",
            self.names(),
            self.table
        );
        crash::at(Point::Temporary, || self.db.execute_batch(&sql).map_err(to("make a temporary table")))
    }

    fn merge_all(&mut self) -> Result<()> {
        let fail = to("merge history");
        let key = ddl::list(self.key_names().iter().map(String::as_str));
        let sql = format!("SELECT {}, {DELETE} FROM temp._floodmark_stage ORDER BY {key}, rowid", self.names());
        let db = self.db;
        let mut statement = db.prepare(&sql).map_err(&fail)?;
        let mut rows = statement.query([]).map_err(&fail)?;
        let mut group: Vec<Incoming> = Vec::new();
        let width = self.columns.len();
        while let Some(row) = rows.next().map_err(&fail)? {
            let content: Content = (0..width).map(|n| row.get(n)).collect::<rusqlite::Result<_>>().map_err(&fail)?;
            let deleted = row.get::<_, Option<bool>>(width).map_err(&fail)?.unwrap_or(false);
            let at = self.version.map_or_else(|| self.now.clone(), |(n, t)| moment(content[n].clone(), t));
            if group.first().is_some_and(|g| g.content[..self.key] != content[..self.key]) {
                self.merge_key(&mut group)?;
            }
            group.push(Incoming { at, content, deleted });
        }
        if !group.is_empty() {
            self.merge_key(&mut group)?;
        }
        Ok(())
    }

    /// The error for two versions of a row that begin at one moment, where neither is the later.
    fn tied(&self, one: &Content, other: &Content) -> Error {
        let value = |stored: &Stored| codec::decode_as_stored(stored.into());
        let columns = self.columns.iter().zip(one.iter().zip(other.iter()));
        let differing: Vec<(&str, Value, Value)> = columns
            .filter(|(_, (one, other))| one != other)
            .map(|(name, (one, other))| (name.as_str(), value(one), value(other)))
            .collect();
        let key: Vec<Value> = one[..self.key].iter().map(value).collect();
        let version = self.version.map(|(n, _)| value(&one[n]));
        tied(self.plan.target.pipeline, &key, version.as_ref(), &differing)
    }

    /// Merges the staged rows of one key, which are in source order, and leaves `group` empty.
    fn merge_key(&mut self, group: &mut Vec<Incoming>) -> Result<()> {
        group.sort_by(|a, b| a.at.cmp(&b.at));
        let mut incoming: Vec<(At, Option<Content>)> = Vec::with_capacity(group.len());
        let key: Content = group[0].content[..self.key].into();
        for row in group.drain(..) {
            let event = (!row.deleted).then_some(row.content);
            match incoming.last_mut().filter(|last| last.0 == row.at) {
                // Of equal versions the later in the source counts; a delete before a row.
                Some(last) => {
                    if let (false, Some(one), Some(other)) = (self.plan.ordered, &last.1, &event)
                        && one != other
                    {
                        return Err(self.tied(one, other));
                    }
                    self.counts.superseded += 1;
                    if self.version.is_none() || event.is_none() || last.1.is_some() {
                        last.1 = event;
                    }
                }
                None => incoming.push((row.at, event)),
            }
        }
        let axis = self.version.map_or(DataType::TimestampTz { nanos: false }, |(_, t)| t);
        let before = if self.fresh { Vec::new() } else { self.rows.of(&key, axis)? };
        let moments = match &self.moments {
            Some(moments) if moments.any() => moments.of(&key_text(&key), |text| remembered(text, axis))?,
            _ => Vec::new(),
        };
        let known = Timeline { spans: before.iter().map(|(_, span)| span.clone()).collect(), moments: moments.clone() };
        let version = self.version.map(|(n, _)| n);
        // Every column but the version itself, which moves without meaning a change.
        let same = |a: &Content, b: &Content| {
            a.iter().zip(b.iter()).enumerate().all(|(n, (a, b))| Some(n) == version || a == b)
        };
        let (after, fates) = known.with(incoming, same);
        for fate in fates {
            *fate.count(&mut self.counts) += 1;
        }
        self.rows.replace(before, after.spans, version)?;
        match &mut self.moments {
            Some(kept) if after.moments != moments => kept.replace(&key_text(&key), &moments, &after.moments),
            _ => Ok(()),
        }
    }

    /// Closes the current version of every key that the full read no longer holds.
    fn close_absent(&mut self) -> Result<()> {
        let key = ddl::list(self.key_names().iter().map(String::as_str));
        let equal: Vec<String> =
            self.key_names().iter().map(|k| format!("s.{0} = {1}.{0}", ddl::quote(k), self.table)).collect();
        let fail = to("close absent rows");
        let index = format!("CREATE INDEX temp._floodmark_stage_key ON _floodmark_stage ({key})");
        crash::at(Point::Temporary, || self.db.execute_batch(&index).map_err(&fail))?;
        let absent = format!(
            "is_current = 1 AND NOT EXISTS (SELECT 1 FROM temp._floodmark_stage s WHERE {})",
            equal.join(" AND ")
        );
        let any = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {absent})", self.table);
        if !self.db.query_row(&any, [], |row| row.get::<_, bool>(0)).map_err(&fail)? {
            return Ok(());
        }
        let axis = self.version.map_or(DataType::TimestampTz { nanos: false }, |(_, axis)| axis);
        let went = history::went(self.plan.target.now, axis)?.to_string();
        let sql = format!("UPDATE {} SET valid_to = ?1, is_current = 0 WHERE {absent}", self.table);
        let closed = crash::at(Point::RemoveAbsent, || self.db.execute(&sql, [&went]).map_err(&fail))?;
        self.counts.removed = closed as u64;
        Ok(())
    }
}

/// The table's rows of a key: read, and brought to what they should be.
struct Rows<'db> {
    width: usize,
    select: CachedStatement<'db>,
    insert: CachedStatement<'db>,
    update: CachedStatement<'db>,
    delete: CachedStatement<'db>,
}

impl<'db> Rows<'db> {
    fn prepare(db: &'db Connection, table: &str, columns: &[String], key: usize) -> Result<Self> {
        let rowid = super::append::rowid_name(db, table)?;
        let name = ddl::quote(table);
        let all: Vec<&str> =
            columns.iter().map(String::as_str).chain(["valid_from", "valid_to", "is_current"]).collect();
        let matches: Vec<String> = columns[..key].iter().map(|k| format!("{} = ?", ddl::quote(k))).collect();
        let set: Vec<String> = all.iter().map(|c| format!("{} = ?", ddl::quote(c))).collect();
        let prepare = |sql: String| db.prepare_cached(&sql).map_err(to("prepare the merge"));
        Ok(Rows {
            width: columns.len(),
            select: prepare(format!(
                "SELECT {}, valid_from, valid_to, {rowid} FROM {name} WHERE {}",
                ddl::list(columns.iter().map(String::as_str)),
                matches.join(" AND ")
            ))?,
            insert: prepare(super::insert_sql(table, &all))?,
            update: prepare(format!("UPDATE {name} SET {} WHERE {rowid} = ?", set.join(", ")))?,
            delete: prepare(format!("DELETE FROM {name} WHERE {rowid} = ?"))?,
        })
    }

    /// Those of a key with their row ids, in the order of their moments.
    fn of(&mut self, key: &[Stored], axis: DataType) -> Result<Vec<(i64, Span<At, Content>)>> {
        let width = self.width;
        let mut found: Vec<(i64, Span<At, Content>)> = self
            .select
            .query_map(params_from_iter(key), |r| {
                let to: Stored = r.get(width + 1)?;
                let span = Span {
                    from: moment(r.get(width)?, axis),
                    to: (to != Stored::Null).then(|| moment(to, axis)),
                    content: (0..width).map(|n| r.get(n)).collect::<rusqlite::Result<_>>()?,
                };
                Ok((r.get(width + 2)?, span))
            })
            .and_then(Iterator::collect)
            .map_err(to("read history"))?;
        found.sort_by(|a, b| a.1.from.cmp(&b.1.from));
        Ok(found)
    }

    /// Writes what differs. A version's own column says when it began.
    fn replace(
        &mut self,
        before: Vec<(i64, Span<At, Content>)>,
        after: Vec<Span<At, Content>>,
        version: Option<usize>,
    ) -> Result<()> {
        let fail = to("write history");
        let mut after = after.into_iter().peekable();
        for (rowid, old) in before {
            while let Some(new) = after.next_if(|new| new.from < old.from) {
                crash::at(Point::Insert, || {
                    self.insert.execute(params_from_iter(values(&new, version))).map_err(&fail)
                })?;
            }
            match after.next_if(|new| new.from == old.from) {
                None => {
                    crash::at(Point::Delete, || self.delete.execute([rowid]).map_err(&fail))?;
                }
                Some(new) if new.to == old.to && new.content == old.content => {}
                Some(new) => {
                    let rowid = Stored::Integer(rowid);
                    let all = values(&new, version).chain([&rowid]);
                    crash::at(Point::Update, || self.update.execute(params_from_iter(all)).map_err(&fail))?;
                }
            }
        }
        for new in after {
            crash::at(Point::Insert, || self.insert.execute(params_from_iter(values(&new, version))).map_err(&fail))?;
        }
        Ok(())
    }
}

/// The values of a row of the table.
fn values(span: &Span<At, Content>, version: Option<usize>) -> impl Iterator<Item = &Stored> {
    const CURRENT: &[Stored; 2] = &[Stored::Integer(0), Stored::Integer(1)];
    let content = span.content.iter().enumerate().map(move |(n, value)| match version {
        Some(version) if n == version => &span.from.stored,
        _ => value,
    });
    let to = span.to.as_ref().map_or(&Stored::Null, |to| &to.stored);
    content.chain([&span.from.stored, to, &CURRENT[usize::from(span.to.is_none())]])
}

fn moment(stored: Stored, axis: DataType) -> At {
    At { value: codec::decode((&stored).into(), axis).unwrap_or(Value::Null), stored }
}

/// A moment from its text, in the form in which a column of the type holds it.
fn remembered(text: &str, axis: DataType) -> At {
    let value = Value::parse(text, axis).unwrap_or(Value::Null);
    let stored = match &value {
        Value::Null => Stored::Null,
        Value::Bool(v) => Stored::Integer(i64::from(*v)),
        Value::Int(v) => Stored::Integer(*v),
        Value::Double(v) => Stored::Real(*v),
        other => Stored::Text(other.to_string()),
    };
    At { value, stored }
}

/// The key as the moments keep it.
fn key_text(key: &[Stored]) -> String {
    let parts: Vec<String> = key.iter().map(|v| codec::decode_as_stored(v.into()).to_string()).collect();
    serde_json::Value::from(parts).to_string()
}
