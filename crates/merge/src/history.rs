//! `scd2`: a version of a row opens when its content changes, and closes when the next one opens.
//!
//! A run's rows and the table's come key by key; with the moments that are kept beside the table they make one timeline
//! (the rule is in [`floodmark_core::history`]), and what differs is to be written.

use crate::{cell, slots::type_of};
use floodmark_connect::{LoadPlan, destination::tied};
use floodmark_core::{
    Code, Counts, DataType, Error, Result, Value,
    history::{self, Moment, Span, Timeline},
};
use hashbrown::HashMap;
use std::{cmp::Ordering, rc::Rc};

/// A cell's bytes.
pub type Bytes = Option<Rc<[u8]>>;

/// The values of a row, in the order of the history's columns.
pub type Content = Rc<[Bytes]>;

/// A moment on the version's axis: by value, and as its cell.
#[derive(Debug, Clone)]
pub struct At {
    value: Value,
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
        cell::encode(&value, axis, &mut out)
            .ok_or_else(|| Error::internal(format!("the moment {value} is no {axis}")))?;
        let stored = if value.is_null() { None } else { Some(out[4..].into()) };
        Ok(At { value, stored })
    }
}

/// What is known and what came in for one key.
#[derive(Default)]
struct Group {
    spans: Vec<Span<At, Content>>,
    incoming: Vec<(At, Option<Content>)>,
}

/// Keys of which all is known.
pub struct Groups(Vec<(String, Group)>);

impl Groups {
    /// The keys, as the moments keep them.
    pub fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(key, _)| key.as_str()).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Rows to write.
#[derive(Debug, Default)]
pub struct Writes {
    /// All columns.
    pub inserted: Vec<Vec<Bytes>>,
    /// All columns.
    pub updated: Vec<Vec<Bytes>>,
    /// The key, and `valid_from`.
    pub deleted: Vec<Vec<Bytes>>,
}

/// Moments to write, in the form in which they are kept.
#[derive(Debug, Default)]
pub struct Moments {
    /// Key and moment.
    pub gone: Vec<(String, String)>,
    /// Key, moment, and whether the row was deleted then.
    pub new: Vec<(String, String, bool)>,
}

/// The history of a table during one load.
pub struct History<'a> {
    plan: &'a LoadPlan<'a>,
    /// The table's columns, the key's first.
    pub columns: Vec<String>,
    /// Their types.
    pub types: Vec<DataType>,
    /// How many of them are the key.
    pub key: usize,
    version: Option<usize>,
    /// The type of the moments.
    pub axis: DataType,
    now: At,
    group: Option<(Content, Group)>,
    whole: Vec<(String, Group)>,
    /// What became of the rows.
    pub counts: Counts,
}

impl<'a> History<'a> {
    /// No row came yet.
    pub fn new(plan: &'a LoadPlan<'a>) -> Result<Self> {
        let (pipeline, schema) = (plan.target.pipeline, plan.target.schema);
        let mut columns = pipeline.key.clone();
        columns.extend(schema.names().into_iter().filter(|n| !pipeline.key.iter().any(|k| k == n)).map(str::to_owned));
        let version = match (&pipeline.version, plan.target.version) {
            (Some(name), Some(_)) => {
                let at = columns.iter().position(|c| c == name);
                Some(at.ok_or_else(|| Error::internal("the version column is not in the schema"))?)
            }
            _ => None,
        };
        let instant = DataType::TimestampTz { nanos: false };
        let axis = version.and(plan.target.version).unwrap_or(instant);
        let now = Value::TimestampTz(plan.target.now.div_euclid(1000) * 1000);
        Ok(History {
            plan,
            key: pipeline.key.len(),
            types: columns.iter().map(|c| type_of(schema, c)).collect::<Result<_>>()?,
            columns,
            version,
            axis,
            now: At::new(now, instant)?,
            group: None,
            whole: Vec::new(),
            counts: Counts::default(),
        })
    }

    /// Whether rows have versions. Without, nothing arrives late, and no moments are kept.
    pub fn is_versioned(&self) -> bool {
        self.version.is_some()
    }

    /// The table's columns with the three of the history.
    pub fn all(&self) -> Vec<(&str, DataType)> {
        let own = [("valid_from", self.axis), ("valid_to", self.axis), ("is_current", DataType::Bool)];
        self.columns.iter().map(String::as_str).zip(self.types.iter().copied()).chain(own).collect()
    }

    /// The columns of a row that [`Writes::deleted`] names: the key and `valid_from`.
    pub fn identity(&self) -> Vec<(&str, DataType)> {
        let key = self.columns.iter().map(String::as_str).zip(self.types.iter().copied()).take(self.key);
        key.chain([("valid_from", self.axis)]).collect()
    }

    /// Takes in a row of the table. Rows of one key come together.
    pub fn known(&mut self, from: Bytes, to: Bytes, content: Content) -> Result<()> {
        let to = to.is_some().then(|| self.moment(to)).transpose()?;
        let span = Span { from: self.moment(from)?, to, content };
        self.group(&span.content.clone()).spans.push(span);
        Ok(())
    }

    /// Takes in a row of the run, in the order of the source. `gone`: it marks a delete.
    pub fn came(&mut self, gone: bool, content: Content) -> Result<()> {
        let at = match self.version {
            None => self.now.clone(),
            Some(n) => self.moment(content[n].clone())?,
        };
        let group = self.group(&content);
        group.incoming.push((at, (!gone).then_some(content)));
        Ok(())
    }

    fn group(&mut self, content: &Content) -> &mut Group {
        let same = |key: &Content| key[..] == content[..self.key];
        if !self.group.as_ref().is_some_and(|(key, _)| same(key)) {
            self.close();
        }
        let key = self.key;
        &mut self.group.get_or_insert_with(|| (content[..key].into(), Group::default())).1
    }

    fn close(&mut self) {
        if let Some((key, group)) = self.group.take()
            && !group.incoming.is_empty()
        {
            self.whole.push((self.key_text(&key), group));
        }
    }

    /// Takes the keys of which all came. `ended`: no row is to come.
    pub fn whole(&mut self, ended: bool) -> Groups {
        if ended {
            self.close();
        }
        Groups(std::mem::take(&mut self.whole))
    }

    /// The key as the moments keep it.
    fn key_text(&self, key: &Content) -> String {
        let parts: Vec<String> = key
            .iter()
            .zip(&self.types)
            .map(|(cell, t)| cell::decode(cell.as_deref(), *t).unwrap_or(Value::Null).to_string())
            .collect();
        serde_json::Value::from(parts).to_string()
    }

    fn moment(&self, stored: Bytes) -> Result<At> {
        let value = cell::decode(stored.as_deref(), self.axis).ok_or_else(|| {
            Error::new(
                Code::TableShape,
                format!(
                    "table {:?} holds a moment that is no {} here (an infinity, or out of range)",
                    self.plan.target.pipeline.destination.table, self.axis
                ),
            )
            .state("the open transaction was rolled back")
            .help("correct that value in the table")
        })?;
        Ok(At { value, stored })
    }

    /// Merges what came for the keys. `remembered`: their moments, as they are kept.
    pub fn merge(
        &mut self,
        groups: Groups,
        mut remembered: HashMap<String, Vec<(String, bool)>>,
    ) -> Result<(Writes, Moments)> {
        let (mut writes, mut changes) = (Writes::default(), Moments::default());
        for (key, group) in groups.0 {
            let kept = remembered.remove(&key).unwrap_or_default();
            let at = |text: &str| At::new(Value::parse(text, self.axis).unwrap_or(Value::Null), self.axis);
            let mut moments = (kept.into_iter())
                .map(|(text, deleted)| Ok(Moment { at: at(&text)?, deleted }))
                .collect::<Result<Vec<_>>>()?;
            moments.sort();
            self.merge_key(&key, group, moments, &mut writes, &mut changes)?;
        }
        Ok((writes, changes))
    }

    fn merge_key(
        &mut self,
        key: &str,
        mut group: Group,
        moments: Vec<Moment<At>>,
        writes: &mut Writes,
        changes: &mut Moments,
    ) -> Result<()> {
        group.incoming.sort_by(|a, b| a.0.cmp(&b.0));
        group.spans.sort_by(|a, b| a.from.cmp(&b.from));
        let mut incoming: Vec<(At, Option<Content>)> = Vec::with_capacity(group.incoming.len());
        for (at, event) in group.incoming {
            match incoming.last_mut().filter(|last| last.0 == at) {
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
        self.replace(group.spans, after.spans, writes);
        if version.is_some() {
            let (before, after) = (&moments, &after.moments);
            let gone = before.iter().filter(|m| !after.contains(m));
            changes.gone.extend(gone.map(|m| (key.to_owned(), m.at.value.to_string())));
            let new = after.iter().filter(|m| !before.contains(m));
            changes.new.extend(new.map(|m| (key.to_owned(), m.at.value.to_string(), m.deleted)));
        }
        Ok(())
    }

    /// The error for two versions of a row that begin at one moment, where neither is the later.
    fn tied(&self, one: &Content, other: &Content) -> Error {
        let value = |n: usize, row: &Content| cell::shown(row[n].as_deref(), self.types[n]);
        let differing: Vec<(&str, Value, Value)> = (0..one.len())
            .filter(|n| one[*n] != other[*n])
            .map(|n| (self.columns[n].as_str(), value(n, one), value(n, other)))
            .collect();
        let key: Vec<Value> = (0..self.key).map(|n| value(n, one)).collect();
        let version = self.version.map(|n| value(n, one));
        tied(self.plan.target.pipeline, &key, version.as_ref(), &differing)
    }

    /// Notes what differs. A version's own column says when it began.
    fn replace(&self, before: Vec<Span<At, Content>>, after: Vec<Span<At, Content>>, writes: &mut Writes) {
        let mut after = after.into_iter().peekable();
        for old in before {
            while let Some(new) = after.next_if(|new| new.from < old.from) {
                writes.inserted.push(self.row(&new));
            }
            match after.next_if(|new| new.from == old.from) {
                None => {
                    let key = old.content[..self.key].iter().cloned();
                    writes.deleted.push(key.chain([old.from.stored.clone()]).collect());
                }
                Some(new) if new.to == old.to && new.content == old.content => {}
                Some(new) => writes.updated.push(self.row(&new)),
            }
        }
        for new in after {
            writes.inserted.push(self.row(&new));
        }
    }

    /// A row of the table.
    fn row(&self, span: &Span<At, Content>) -> Vec<Bytes> {
        let content = span.content.iter().enumerate().map(|(n, cell)| match self.version {
            Some(version) if n == version => span.from.stored.clone(),
            _ => cell.clone(),
        });
        let to = span.to.as_ref().and_then(|to| to.stored.clone());
        let current: Rc<[u8]> = Rc::new([u8::from(span.to.is_none())]);
        content.chain([span.from.stored.clone(), to, Some(current)]).collect()
    }

    /// The moment at which rows that the source no longer holds went; an error where the axis says no time.
    pub fn went(&self) -> Result<Value> {
        history::went(self.plan.target.now, self.axis)
    }
}
