//! `scd2`: a version of a row opens when its content changes, and closes when the next one opens.
//!
//! The run's rows are staged, then taken key by key: what the table and the moments beside it say of the key, and what
//! came in, make one timeline (the rule is in [`floodmark_core::history`]), and what differs is written.

use super::{
    Incoming, Job, Outcome,
    moments::Moments,
    normal, same_key,
    stage::{self, DELETE, PLACE, Stage},
    window,
};
use crate::{codec, ddl, failure::to, tuples};
use floodmark_connect::{
    crash::{self, Point},
    destination::tied,
};
use floodmark_core::{
    Code, Counts, DataType, Error, Result, Value,
    history::{Moment, Span, Timeline},
    pipeline::AbsentRows,
};
use std::{cmp::Ordering, collections::HashMap as Map, rc::Rc};
use tokio_postgres::types::{FromSql, Type};

/// Rows taken from the server at once.
const AT_ONCE: usize = 10_000;

pub(super) fn run(job: &Job<'_>, incoming: &mut Incoming<'_>) -> Result<Outcome> {
    let mut history = History::new(job)?;
    let stage = window::make(job)?;
    stage::fill(job, &stage, incoming)?;
    stage.analyze(job.db)?;
    history.merge_all(&stage)?;
    if job.created {
        ddl::make_key(job.db, job.plan.target.pipeline, job.name)?;
    }
    let complete = job.plan.full && incoming.chunk.complete();
    if complete && job.plan.target.pipeline.absent_rows == AbsentRows::Close {
        history.close_absent(&stage)?;
    }
    Ok(Outcome { counts: history.counts, lineage: Vec::new() })
}

/// A cell's bytes.
type Bytes = Option<Rc<[u8]>>;

/// A moment on the version's axis: by value, and as the server keeps it.
#[derive(Debug, Clone)]
pub(super) struct At {
    pub(super) value: Value,
    stored: Bytes,
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

impl At {
    fn new(value: Value, axis: DataType) -> Result<At> {
        let mut out = Vec::new();
        codec::encode(&value, axis, &mut out)
            .ok_or_else(|| Error::internal(format!("the moment {value} is no {axis}")))?;
        let stored = if value.is_null() { None } else { Some(out[4..].into()) };
        Ok(At { value, stored })
    }
}

/// The values of a row, in the order of the history's columns.
type Content = Rc<[Bytes]>;

/// What is known and what came in for one key.
#[derive(Default)]
struct Group {
    spans: Vec<Span<At, Content>>,
    incoming: Vec<(At, Option<Content>)>,
}

struct History<'a> {
    job: &'a Job<'a>,
    /// How many of the columns are the key; they come first.
    key: usize,
    columns: Vec<String>,
    types: Vec<DataType>,
    version: Option<usize>,
    /// The type of the moments.
    axis: DataType,
    now: At,
    /// Only where rows have versions: without, nothing arrives late.
    moments: Option<Moments>,
    writes: Writes,
    counts: Counts,
}

/// Rows to write, as tuples of all columns and the three of the history.
#[derive(Default)]
struct Writes {
    inserted: Vec<Vec<Bytes>>,
    updated: Vec<Vec<Bytes>>,
    deleted: Vec<Vec<Bytes>>,
}

/// A cell as it came.
struct Raw(Rc<[u8]>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(raw.into()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl<'a> History<'a> {
    fn new(job: &'a Job<'a>) -> Result<Self> {
        let pipeline = job.plan.target.pipeline;
        let mut columns = pipeline.key.clone();
        columns.extend(
            job.schema().names().into_iter().filter(|n| !pipeline.key.iter().any(|k| k == n)).map(str::to_owned),
        );
        let version = match (&pipeline.version, job.plan.target.version) {
            (Some(name), Some(_)) => {
                let at = columns.iter().position(|c| c == name);
                Some(at.ok_or_else(|| Error::internal("the version column is not in the schema"))?)
            }
            _ => None,
        };
        let axis = match version {
            Some(_) => job.plan.target.version.unwrap_or(DataType::TimestampTz { nanos: false }),
            None => DataType::TimestampTz { nanos: false },
        };
        let now = Value::TimestampTz(job.plan.target.now.div_euclid(1000) * 1000);
        Ok(History {
            job,
            key: pipeline.key.len(),
            types: columns.iter().map(|c| job.type_of(c)).collect::<Result<_>>()?,
            columns,
            version,
            axis,
            now: At::new(now, DataType::TimestampTz { nanos: false })?,
            moments: version.map(|_| Moments::new(job)).transpose()?,
            writes: Writes::default(),
            counts: Counts::default(),
        })
    }

    /// Every staged row, and every row of the table whose key was staged, key by key.
    fn select(&self, stage: &Stage) -> Result<String> {
        let (job, axis) = (self.job, codec::declared(self.axis));
        let found =
            |name: &str| job.table.get(name).ok_or_else(|| Error::internal(format!("no column {name:?} in the table")));
        let staged = |(n, name): (usize, &String)| {
            Ok(format!("{} AS c{n}", normal::staged(found(name)?, &format!("s.{}", ddl::quote(name)))))
        };
        let staged = self.columns.iter().enumerate().map(staged).collect::<Result<Vec<_>>>()?;
        let mut parts = vec![format!(
            "SELECT false AS known, s.{PLACE} AS place, s.{DELETE} AS gone, NULL::{axis} AS since, NULL::{axis} AS until, {}
             FROM {} s",
            staged.join(", "),
            stage.name
        )];
        if !super::is_empty(job.db, job.name)? {
            let cells = self.columns.iter().map(|c| Ok(found(c)?.read("t."))).collect::<Result<Vec<_>>>()?;
            parts.push(format!(
                "SELECT true, 0, false, {}, {}, {} FROM {} t WHERE EXISTS (SELECT FROM {} s WHERE {})",
                found("valid_from")?.read("t."),
                found("valid_to")?.read("t."),
                cells.join(", "),
                job.name,
                stage.name,
                same_key(job.table, &self.columns[..self.key], "s.", "t.")?
            ));
        }
        let order: Vec<String> = (0..self.key)
            .map(|n| if self.types[n] == DataType::Text { format!("c{n} COLLATE \"C\"") } else { format!("c{n}") })
            .collect();
        let cells: Vec<String> = (0..self.columns.len()).map(|n| format!("c{n}")).collect();
        Ok(format!(
            "SELECT known, gone, since, until, {} FROM ({}) h ORDER BY {}, known, place",
            cells.join(", "),
            parts.join(" UNION ALL "),
            order.join(", ")
        ))
    }

    fn merge_all(&mut self, stage: &Stage) -> Result<()> {
        let db = self.job.db;
        let fail = to("merge history");
        let open = format!("DECLARE floodmark_history NO SCROLL CURSOR FOR {}", self.select(stage)?);
        crash::at(Point::Temporary, || db.execute_batch(&open).map_err(&fail))?;
        let free: Vec<bool> = self.columns.iter().map(|c| self.job.table.get(c).is_some_and(|c| c.free)).collect();
        let fetch = format!("FETCH FORWARD {AT_ONCE} FROM floodmark_history");
        let mut groups: Vec<(Content, Group)> = Vec::new();
        loop {
            let rows = db.query(&fetch, &[]).map_err(&fail)?;
            let done = rows.len() < AT_ONCE;
            for row in rows {
                let get = |at: usize| -> Result<Bytes> {
                    Ok(row.try_get::<_, Option<Raw>>(at).map_err(&fail)?.map(|raw| raw.0))
                };
                let settled = |n: usize| -> Result<Bytes> {
                    let cell = get(n + 4)?;
                    let settled = if free[n] { codec::settled(cell.as_deref()) } else { None };
                    Ok(settled.map(Into::into).or(cell))
                };
                let content: Content = (0..self.columns.len()).map(settled).collect::<Result<_>>()?;
                if groups.last().is_none_or(|(key, _)| key[..] != content[..self.key]) {
                    groups.push((content[..self.key].into(), Group::default()));
                }
                let Some((_, group)) = groups.last_mut() else { continue };
                let flag = |at: usize| row.try_get::<_, Option<bool>>(at).map_err(&fail).map(|b| b == Some(true));
                if flag(0)? {
                    let to = get(3)?;
                    let to = to.is_some().then(|| self.moment(to)).transpose()?;
                    group.spans.push(Span { from: self.moment(get(2)?)?, to, content });
                } else {
                    let at = match self.version {
                        None => self.now.clone(),
                        Some(n) => self.moment(content[n].clone())?,
                    };
                    let event = (!flag(1)?).then_some(content);
                    group.incoming.push((at, event));
                }
            }
            // The last key may go on in the next rows.
            let rest = if done { None } else { groups.pop() };
            self.merge_groups(std::mem::take(&mut groups))?;
            groups.extend(rest);
            if done {
                break;
            }
        }
        crash::at(Point::Temporary, || db.execute_batch("CLOSE floodmark_history").map_err(&fail))
    }

    fn moment(&self, stored: Bytes) -> Result<At> {
        let value = codec::decode(stored.as_deref(), self.axis).ok_or_else(|| {
            Error::new(
                Code::TableShape,
                format!(
                    "table {:?} holds a moment that is no {} here (an infinity, or out of range)",
                    self.job.name.table, self.axis
                ),
            )
            .state("the open transaction was rolled back")
            .help("correct that value in the table")
        })?;
        Ok(At { value, stored })
    }

    fn merge_groups(&mut self, groups: Vec<(Content, Group)>) -> Result<()> {
        let keys: Vec<String> = groups.iter().map(|(key, _)| self.key_text(key)).collect();
        let axis = self.axis;
        let mut remembered: Map<String, Vec<Moment<At>>> = match &self.moments {
            None => Map::new(),
            Some(moments) => moments
                .of(self.job, &keys, |text| At::new(Value::parse(text, axis).unwrap_or(Value::Null), axis))?
                .into_iter()
                .collect(),
        };
        for ((_, group), key) in groups.into_iter().zip(keys) {
            if !group.incoming.is_empty() {
                let moments = remembered.remove(&key).unwrap_or_default();
                self.merge_key(&key, group, moments)?;
            }
        }
        self.write()?;
        match &mut self.moments {
            Some(moments) => moments.write(self.job),
            None => Ok(()),
        }
    }

    /// Merges the rows of one key, which are in source order.
    fn merge_key(&mut self, key: &str, mut group: Group, moments: Vec<Moment<At>>) -> Result<()> {
        group.incoming.sort_by(|a, b| a.0.cmp(&b.0));
        group.spans.sort_by(|a, b| a.from.cmp(&b.from));
        let mut incoming: Vec<(At, Option<Content>)> = Vec::with_capacity(group.incoming.len());
        for (at, event) in group.incoming {
            match incoming.last_mut().filter(|last| last.0 == at) {
                // Of equal versions the later in the source counts; a delete before a row.
                Some(last) => {
                    if let (false, Some(one), Some(other)) = (self.job.plan.ordered, &last.1, &event)
                        && one != other
                    {
                        return Err(self.tied(one, other));
                    }
                    self.counts.superseded += 1;
                    if self.version.is_none() || event.is_none() || last.1.is_some() {
                        last.1 = event;
                    }
                }
                None => incoming.push((at, event)),
            }
        }
        let known = Timeline { spans: group.spans.clone(), moments: moments.clone() };
        let version = self.version;
        // Every column but the version itself, which moves without meaning a change.
        let same = |a: &Content, b: &Content| {
            a.iter().zip(b.iter()).enumerate().all(|(n, (a, b))| Some(n) == version || a == b)
        };
        let (after, fates) = known.with(incoming, same);
        for fate in fates {
            *fate.count(&mut self.counts) += 1;
        }
        self.replace(group.spans, after.spans);
        if let Some(kept) = &mut self.moments
            && after.moments != moments
        {
            kept.replace(key, &moments, &after.moments);
        }
        Ok(())
    }

    /// The error for two versions of a row that begin at one moment, where neither is the later.
    fn tied(&self, one: &Content, other: &Content) -> Error {
        let value = |n: usize, row: &Content| codec::shown(row[n].as_deref(), self.types[n]);
        let differing: Vec<(&str, Value, Value)> = (0..one.len())
            .filter(|n| one[*n] != other[*n])
            .map(|n| (self.columns[n].as_str(), value(n, one), value(n, other)))
            .collect();
        let key: Vec<Value> = (0..self.key).map(|n| value(n, one)).collect();
        let version = self.version.map(|n| value(n, one));
        tied(self.job.plan.target.pipeline, &key, version.as_ref(), &differing)
    }

    /// Notes what differs. A version's own column says when it began.
    fn replace(&mut self, before: Vec<Span<At, Content>>, after: Vec<Span<At, Content>>) {
        let mut after = after.into_iter().peekable();
        for old in before {
            while let Some(new) = after.next_if(|new| new.from < old.from) {
                self.writes.inserted.push(self.tuple(&new));
            }
            match after.next_if(|new| new.from == old.from) {
                None => {
                    let key = old.content[..self.key].iter().cloned();
                    self.writes.deleted.push(key.chain([old.from.stored.clone()]).collect());
                }
                Some(new) if new.to == old.to && new.content == old.content => {}
                Some(new) => self.writes.updated.push(self.tuple(&new)),
            }
        }
        for new in after {
            self.writes.inserted.push(self.tuple(&new));
        }
    }

    /// A row of the table.
    fn tuple(&self, span: &Span<At, Content>) -> Vec<Bytes> {
        let content = span.content.iter().enumerate().map(|(n, cell)| match self.version {
            Some(version) if n == version => span.from.stored.clone(),
            _ => cell.clone(),
        });
        let to = span.to.as_ref().and_then(|to| to.stored.clone());
        let current: Rc<[u8]> = Rc::new([u8::from(span.to.is_none())]);
        content.chain([span.from.stored.clone(), to, Some(current)]).collect()
    }

    /// Writes what was noted.
    fn write(&mut self) -> Result<()> {
        let Writes { inserted, updated, deleted } = std::mem::take(&mut self.writes);
        let job = self.job;
        let own = [("valid_from", self.axis), ("valid_to", self.axis), ("is_current", DataType::Bool)];
        let all: Vec<(&str, DataType)> =
            self.columns.iter().map(String::as_str).zip(self.types.iter().copied()).chain(own).collect();
        let mut key: Vec<String> = self.columns[..self.key].to_vec();
        key.push("valid_from".to_owned());
        let same = same_key(job.table, &key, "w.", "t.")?;
        if !deleted.is_empty() {
            let columns = all[..self.key].iter().chain(&all[self.columns.len()..=self.columns.len()]).copied();
            let stage = send(job, columns, &deleted)?;
            let sql = format!("DELETE FROM {} t USING {} w WHERE {same}", job.name, stage.name);
            crash::at(Point::Delete, || job.db.execute(&sql, &[]).map_err(to("write history")))?;
        }
        if !updated.is_empty() {
            let stage = send(job, all.iter().copied(), &updated)?;
            let set: Vec<String> = all
                .iter()
                .filter(|(name, _)| !key.iter().any(|k| k == name))
                .filter_map(|(name, _)| job.table.get(name))
                .map(|c| format!("{} = {}", ddl::quote(&c.name), c.write(&format!("w.{}", ddl::quote(&c.name)))))
                .collect();
            let sql = format!("UPDATE {} t SET {} FROM {} w WHERE {same}", job.name, set.join(", "), stage.name);
            crash::at(Point::Update, || job.db.execute(&sql, &[]).map_err(to("write history")))?;
        }
        if !inserted.is_empty() {
            let stage = send(job, all.iter().copied(), &inserted)?;
            let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
            super::append::insert(job, &stage, &names)?;
        }
        Ok(())
    }

    /// Closes the current version of every key that the full read no longer holds.
    fn close_absent(&mut self, stage: &Stage) -> Result<()> {
        let (job, fail) = (self.job, to("close absent rows"));
        let absent = format!(
            "is_current AND NOT EXISTS (SELECT FROM {} s WHERE {})",
            stage.name,
            same_key(job.table, &self.columns[..self.key], "s.", "t.")?
        );
        let any = format!("SELECT EXISTS (SELECT FROM {} t WHERE {absent})", job.name);
        if !job.db.query_one(&any, &[]).and_then(|row| row.try_get(0)).map_err(&fail)? {
            return Ok(());
        }
        let instant = job.plan.target.now.div_euclid(1000) * 1000;
        let now = match self.axis {
            DataType::Timestamp { .. } => Value::Timestamp(instant),
            DataType::Date => Value::Date(instant.div_euclid(86_400_000_000_000) as i32),
            DataType::TimestampTz { .. } => Value::TimestampTz(instant),
            axis => {
                return Err(Error::new(
                    Code::Unsafe,
                    format!(
                        "`absent_rows: close` notes when a row went, and the version is a {axis}, which says no time"
                    ),
                )
                .state("the open transaction was rolled back")
                .help("leave `version:` out, name a date or a timestamp, or set `absent_rows: keep`"));
            }
        };
        let sql = format!(
            "UPDATE {} t SET valid_to = {}::{}, is_current = false WHERE {absent}",
            job.name,
            ddl::literal(&now.to_string()),
            codec::declared(self.axis)
        );
        self.counts.removed = crash::at(Point::RemoveAbsent, || job.db.execute(&sql, &[]).map_err(&fail))?;
        Ok(())
    }

    /// The key as the moments keep it.
    fn key_text(&self, key: &Content) -> String {
        let parts: Vec<String> = key
            .iter()
            .zip(&self.types)
            .map(|(cell, t)| codec::decode(cell.as_deref(), *t).unwrap_or(Value::Null).to_string())
            .collect();
        serde_json::Value::from(parts).to_string()
    }
}

/// Puts rows into a temporary table.
fn send<'n>(job: &Job<'_>, columns: impl Iterator<Item = (&'n str, DataType)>, rows: &[Vec<Bytes>]) -> Result<Stage> {
    let staged = |(name, t): (&'n str, DataType)| {
        (name, job.table.get(name).map_or_else(|| codec::declared(t), |found| found.staged(t)))
    };
    let columns: Vec<(&str, String)> = columns.map(staged).collect();
    let stage = Stage::make(job.db, "_floodmark_write", &columns)?;
    crash::at(Point::Temporary, || {
        job.db.copy_in(&format!("COPY {} FROM STDIN (FORMAT binary)", stage.name), |writer| {
            for row in rows {
                let out = writer.row(row.len())?;
                row.iter().for_each(|cell| tuples::put(out, cell.as_deref()));
            }
            Ok(())
        })
    })?;
    stage.analyze(job.db)?;
    Ok(stage)
}
