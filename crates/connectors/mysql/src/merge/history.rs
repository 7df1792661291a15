//! `scd2`: the run's rows are staged, and come back beside the table's, key by key; the rule is in
//! [`floodmark_merge::history`].
//!
//! Keys are numbered as they come, so that the server need not bring rows of equal keys together by comparing them: what is
//! staged and what the table holds is read in portions of so many keys.

use super::{
    Incoming, Job, Outcome, append,
    moments::Moments,
    part, same_key,
    stage::{self, Column, DELETE, PLACE, Stage},
    write::EXACT_KEY,
};
use crate::{codec, failure::to, literal};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Code, DataType, Error, Result, pipeline::AbsentRows};
use floodmark_merge::history::{Bytes, Content, Groups, History, Writes};
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

/// Keys taken from the server at once.
const AT_ONCE: i64 = 5_000;

/// The number of a row's key.
const KEY: &str = "_floodmark_key";

pub(super) fn run(job: &Job<'_>, incoming: &mut Incoming<'_>) -> Result<Outcome> {
    refuse_loose(job)?;
    let history = History::new(job.plan)?;
    let moments = if history.is_versioned() { Some(Moments::new(job)?) } else { None };
    let mut merge = Merge { job, history, moments };
    let stage = merge.stage(incoming)?;
    merge.all(&stage)?;
    let complete = job.plan.full && incoming.chunk.complete();
    if complete && job.plan.target.pipeline.absent_rows == AbsentRows::Close {
        merge.close_absent()?;
    }
    Ok(Outcome { counts: merge.history.counts, lineage: Vec::new() })
}

/// The versions of a key are told from those of another by its very text; in the table they would meet.
fn refuse_loose(job: &Job<'_>) -> Result<()> {
    let pipeline = job.plan.target.pipeline;
    let Some(column) = pipeline.key.iter().find(|k| job.table.get(k).is_some_and(|found| found.loose)) else {
        return Ok(());
    };
    let table = &pipeline.destination.table;
    Err(Error::new(Code::TableShape, format!("column {column:?} of table {table:?} takes different keys for one"))
        .state("the open transaction was rolled back")
        .help(EXACT_KEY.replace("{}", job.db.server.exact())))
}

/// The rows of a run, and how many keys they have.
struct Staged {
    rows: Stage,
    keys: i64,
}

/// The keys of a run with their numbers.
const KEYS: &str = "_floodmark_keys";

struct Merge<'a> {
    job: &'a Job<'a>,
    history: History<'a>,
    moments: Option<Moments>,
}

impl Merge<'_> {
    /// Sends every row into a temporary table, with the number of its key.
    fn stage(&self, incoming: &mut Incoming<'_>) -> Result<Staged> {
        let job = self.job;
        let of = |(name, data_type): (&String, &DataType)| Column::of(job, name, *data_type);
        let mut columns: Vec<Column> = self.history.columns.iter().zip(&self.history.types).map(of).collect();
        columns.push(Column::own(PLACE, DataType::BigInt));
        columns.push(Column::own(DELETE, DataType::Bool));
        columns.push(Column::own(KEY, DataType::BigInt));
        let rows = Stage::make(job.db, "_floodmark_stage", columns, &[KEY])?;
        let key = &self.history.columns[..self.history.key];
        let mut numbers: HashMap<u128, i64> = HashMap::new();
        let mut bytes = Vec::new();
        stage::fill(job, &rows, incoming, &[KEY], &mut |cells, row| {
            bytes.clear();
            for name in key {
                let cell = cells.iter().find(|c| c.name() == name);
                cell.ok_or_else(|| Error::internal("a batch without its key columns"))?.put(row, &mut bytes)?;
            }
            let next = numbers.len() as i64;
            Ok(vec![*numbers.entry(xxh3_128(&bytes)).or_insert(next)])
        })?;
        let names: Vec<String> = key.iter().map(|k| literal::name(k)).collect();
        // Of the key's first row: its copies have the same.
        let firsts = format!("SELECT {KEY} AS n, MIN({PLACE}) AS p FROM {} GROUP BY {KEY}", rows.name);
        let first = Stage::derive(job.db, "_floodmark_first", "", &firsts)?;
        let listed: Vec<String> = names.iter().map(|n| format!("s.{n}")).collect();
        let query = format!(
            "SELECT s.{KEY}, {} FROM {} f JOIN {} s ON s.{KEY} = f.n AND s.{PLACE} = f.p",
            listed.join(", "),
            first.name,
            rows.name
        );
        let of_key = key.iter().zip(&self.history.types).map(of);
        let columns = [Column::own(KEY, DataType::BigInt)].into_iter().chain(of_key).collect();
        let index: Vec<&str> = key.iter().map(String::as_str).collect();
        Stage::make(job.db, KEYS, columns, &index)?;
        let fill = format!("INSERT INTO {KEYS} ({KEY}, {}) {query}", names.join(", "));
        crash::at(Point::Temporary, || job.db.execute(&fill).map_err(to("merge history")))?;
        Ok(Staged { rows, keys: numbers.len() as i64 })
    }

    fn all(&mut self, staged: &Staged) -> Result<()> {
        let (job, fail) = (self.job, to("merge history"));
        let there = !super::is_empty(job.db, job.name)?;
        let cells: Vec<String> = self.history.columns.iter().map(|c| literal::name(c)).collect();
        let of_table: Vec<String> = cells.iter().map(|c| format!("t.{c}")).collect();
        let same = same_key(self.history.columns[..self.history.key].iter().map(String::as_str), "k.", "t.");
        let mut from = 0;
        while from < staged.keys {
            let portion = format!("BETWEEN {from} AND {}", from + AT_ONCE - 1);
            let mut rows: Vec<(i64, Taken)> = Vec::new();
            if there {
                let sql = format!(
                    "SELECT k.{KEY}, t.valid_from, t.valid_to, {} FROM {KEYS} k STRAIGHT_JOIN {} t ON {same}
                     WHERE k.{KEY} {portion} FOR UPDATE",
                    of_table.join(", "),
                    job.name
                );
                let mut found = job.db.stream(&sql).map_err(&fail)?;
                while let Some(row) = found.next().map_err(&fail)? {
                    let content = self.content(|at| row.get(at + 3));
                    let axis = self.history.axis;
                    rows.push((
                        number(row.get(0))?,
                        Taken::Known(bytes(row.get(1), axis), bytes(row.get(2), axis), content),
                    ));
                }
            }
            let sql = format!(
                "SELECT {KEY}, {DELETE}, {} FROM {} WHERE {KEY} {portion} ORDER BY {KEY}, {PLACE}",
                cells.join(", "),
                staged.rows.name
            );
            {
                let mut found = job.db.stream(&sql).map_err(&fail)?;
                while let Some(row) = found.next().map_err(&fail)? {
                    let content = self.content(|at| row.get(at + 2));
                    rows.push((number(row.get(0))?, Taken::Came(row.get(1) == Some(b"1"), content)));
                }
            }
            // Stable: of each key first what the table holds, then what came, in its order.
            rows.sort_by_key(|(key, _)| *key);
            for (_, taken) in rows {
                match taken {
                    Taken::Known(since, until, content) => self.history.known(since, until, content)?,
                    Taken::Came(gone, content) => self.history.came(gone, content)?,
                }
            }
            let groups = self.history.whole(true);
            self.merge(groups)?;
            from += AT_ONCE;
        }
        Ok(())
    }

    fn content<'r>(&self, cell: impl Fn(usize) -> Option<&'r [u8]>) -> Content {
        self.history.types.iter().enumerate().map(|(at, data_type)| bytes(cell(at), *data_type)).collect()
    }

    fn merge(&mut self, groups: Groups) -> Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        let remembered = match &self.moments {
            None => Default::default(),
            Some(moments) => moments.of(self.job, &groups.keys())?,
        };
        let (writes, changes) = self.history.merge(groups, remembered)?;
        self.write(writes)?;
        match &mut self.moments {
            Some(moments) => moments.write(self.job, changes),
            None => Ok(()),
        }
    }

    fn write(&self, writes: Writes) -> Result<()> {
        let Writes { inserted, updated, deleted } = writes;
        let (job, fail) = (self.job, to("write history"));
        let all = self.history.all();
        let identity = self.history.identity();
        let key: Vec<&str> = identity.iter().map(|(name, _)| *name).collect();
        let same = same_key(key.iter().copied(), "w.", "t.");
        if !deleted.is_empty() {
            let stage = send(job, &identity, &deleted)?;
            let sql = format!("DELETE t FROM {} w STRAIGHT_JOIN {} t ON {same}", stage.name, job.name);
            crash::at(Point::Delete, || job.db.execute(&sql).map_err(&fail))?;
        }
        if !updated.is_empty() {
            let stage = send(job, &all, &updated)?;
            let rest = all.iter().filter(|(name, _)| !key.contains(name)).map(|(name, _)| literal::name(name));
            let set: Vec<String> = rest.map(|name| format!("t.{name} = w.{name}")).collect();
            let sql = format!("UPDATE {} w STRAIGHT_JOIN {} t ON {same} SET {}", stage.name, job.name, set.join(", "));
            crash::at(Point::Update, || job.db.execute(&sql).map_err(&fail))?;
        }
        if !inserted.is_empty() {
            let inlet = append::straight(job, all.iter().map(|(name, _)| *name))?;
            crash::at(Point::Insert, || job.db.copy_in(&inlet, |writer| put(writer, &inserted)))?;
        }
        Ok(())
    }

    /// Closes the current version of every key that the full read no longer holds.
    fn close_absent(&mut self) -> Result<()> {
        let (job, fail) = (self.job, to("close absent rows"));
        let same = same_key(self.history.columns[..self.history.key].iter().map(String::as_str), "k.", "t.");
        let mut absent = format!("t.is_current = 1 AND NOT EXISTS (SELECT 1 FROM {KEYS} k WHERE {same})");
        if job.plan.within.is_some() {
            absent.push_str(&format!(" AND {}", part::condition(job)?));
        }
        let any = format!("SELECT EXISTS (SELECT 1 FROM {} t WHERE {absent})", job.name);
        if job.db.query_one(&any).map_err(&fail)?.number(0) != Some(1) {
            return Ok(());
        }
        let now = self.history.went()?;
        let mut cell = Vec::new();
        floodmark_merge::cell::encode(&now, self.history.axis, &mut cell)
            .ok_or_else(|| Error::internal(format!("the moment {now} is no {}", self.history.axis)))?;
        let now = job.table.find("valid_to")?.taken().literal(Some(&cell[4..]))?;
        let sql = format!("UPDATE {} t SET t.valid_to = {now}, t.is_current = 0 WHERE {absent}", job.name);
        self.history.counts.removed = crash::at(Point::RemoveAbsent, || job.db.execute(&sql).map_err(&fail))?.rows;
        Ok(())
    }
}

/// A row of the table, or one that came.
enum Taken {
    Known(Bytes, Bytes, Content),
    Came(bool, Content),
}

fn number(sent: Option<&[u8]>) -> Result<i64> {
    let number = sent.and_then(|b| std::str::from_utf8(b).ok()).and_then(|text| text.parse().ok());
    number.ok_or_else(|| Error::internal("a staged row has no number"))
}

fn bytes(sent: Option<&[u8]>, data_type: DataType) -> Bytes {
    let mut out = Vec::new();
    codec::neutral(sent, data_type, &mut out);
    sent.map(|_| out[4..].into())
}

/// Puts rows into a temporary table.
fn send(job: &Job<'_>, columns: &[(&str, DataType)], rows: &[Vec<Bytes>]) -> Result<Stage> {
    let of = columns.iter().map(|(name, data_type)| Column::of(job, name, *data_type)).collect();
    let stage = Stage::make(job.db, "_floodmark_write", of, &[])?;
    crash::at(Point::Temporary, || job.db.copy_in(&stage.inlet(), |writer| put(writer, rows)))?;
    Ok(stage)
}

fn put(writer: &mut crate::rows::Writer<'_, '_>, rows: &[Vec<Bytes>]) -> Result<()> {
    for row in rows {
        row.iter().try_for_each(|cell| writer.cell(cell.as_deref()))?;
        writer.end()?;
    }
    Ok(())
}
