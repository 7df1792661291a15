//! `scd2`: the run's rows are staged, and come back beside the table's, key by key; the rule is in
//! [`floodmark_merge::history`].

use super::{
    Incoming, Job, Outcome,
    moments::Moments,
    normal, part, same_key,
    stage::{self, DELETE, PLACE, Stage},
    window,
    write::all_met,
};
use crate::{codec, ddl, failure::to, literal, tuples};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{DataType, Error, Result, pipeline::AbsentRows};
use floodmark_merge::history::{Bytes, Content, Groups, History, Writes};

/// Rows taken at once.
const AT_ONCE: i64 = 10_000;

pub(super) fn run(job: &Job<'_>, incoming: &mut Incoming<'_>) -> Result<Outcome> {
    let history = History::new(job.plan)?;
    let moments = if history.is_versioned() { Some(Moments::new(job)?) } else { None };
    let mut merge = Merge { job, history, moments };
    let stage = window::make(job)?;
    stage::fill(job, &stage, incoming)?;
    merge.all(&stage)?;
    let complete = job.plan.full && incoming.chunk.complete();
    if complete && job.plan.target.pipeline.absent_rows == AbsentRows::Close {
        merge.close_absent(&stage)?;
    }
    Ok(Outcome { counts: merge.history.counts, lineage: Vec::new() })
}

struct Merge<'a> {
    job: &'a Job<'a>,
    history: History<'a>,
    moments: Option<Moments>,
}

impl Merge<'_> {
    /// Every staged row, and every row of the table whose key was staged, key by key.
    fn select(&self, stage: &Stage) -> Result<String> {
        let (job, axis) = (self.job, codec::declared(self.history.axis));
        let found =
            |name: &str| job.table.get(name).ok_or_else(|| Error::internal(format!("no column {name:?} in the table")));
        let staged = |(n, name): (usize, &String)| {
            Ok(format!("{} AS c{n}", normal::staged(found(name)?, &format!("s.{}", ddl::quote(name)))))
        };
        let staged = self.history.columns.iter().enumerate().map(staged).collect::<Result<Vec<_>>>()?;
        let mut parts = vec![format!(
            "SELECT false AS known, s.{PLACE} AS place, s.{DELETE} AS gone, NULL::{axis} AS since, NULL::{axis} AS until, {}
             FROM {} s",
            staged.join(", "),
            stage.name
        )];
        if !super::is_empty(job.db, job.name)? {
            let cells = self.history.columns.iter().map(|c| Ok(found(c)?.read("t."))).collect::<Result<Vec<_>>>()?;
            parts.push(format!(
                "SELECT true, 0, false, {}, {}, {} FROM {} t WHERE EXISTS (SELECT 1 FROM {} s WHERE {})",
                found("valid_from")?.read("t."),
                found("valid_to")?.read("t."),
                cells.join(", "),
                job.name,
                stage.name,
                same_key(job.table, &self.history.columns[..self.history.key], "s.", "t.")?
            ));
        }
        let order: Vec<String> = (0..self.history.key).map(|n| format!("c{n}")).collect();
        let cells: Vec<String> = (0..self.history.columns.len()).map(|n| format!("c{n}")).collect();
        Ok(format!(
            "SELECT known, gone, since, until, {}, row_number() OVER (ORDER BY {}, known, place) AS nth FROM ({}) h",
            cells.join(", "),
            order.join(", "),
            parts.join(" UNION ALL ")
        ))
    }

    fn all(&mut self, stage: &Stage) -> Result<()> {
        let sorted = window::derive(self.job, "_floodmark_history", &self.select(stage)?)?;
        let mut from = 0;
        loop {
            let part =
                format!("SELECT * FROM {} WHERE nth > {from} AND nth <= {} ORDER BY nth", sorted.name, from + AT_ONCE);
            let mut rows = 0;
            self.job.db.copy_out(&part, |row| {
                rows += 1;
                let cell = |at: usize| -> Bytes { row.cell(at).map(Into::into) };
                let content: Content = (0..self.history.columns.len()).map(|n| cell(n + 4)).collect();
                let flag = |at: usize| row.cell(at) == Some(&[1]);
                match flag(0) {
                    true => self.history.known(cell(2), cell(3), content),
                    false => self.history.came(flag(1), content),
                }
            })?;
            let ended = rows < AT_ONCE;
            let groups = self.history.whole(ended);
            self.merge(groups)?;
            if ended {
                return Ok(());
            }
            from += AT_ONCE;
        }
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
        let job = self.job;
        let all = self.history.all();
        let identity = self.history.identity();
        let key: Vec<String> = identity.iter().map(|(name, _)| (*name).to_owned()).collect();
        let same = same_key(job.table, &key, "w.", "t.")?;
        if !deleted.is_empty() {
            let stage = send(job, identity.iter().copied(), &deleted)?;
            let sql = format!("DELETE FROM {} t USING {} w WHERE {same}", job.name, stage.name);
            let met = crash::at(Point::Delete, || job.db.execute(&sql, &[]).map_err(to("write history")))?;
            all_met(job, met, deleted.len())?;
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
            let met = crash::at(Point::Update, || job.db.execute(&sql, &[]).map_err(to("write history")))?;
            all_met(job, met, updated.len())?;
        }
        if !inserted.is_empty() {
            let stage = send(job, all.iter().copied(), &inserted)?;
            let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
            all_met(job, super::append::insert(job, &stage, &names)?, inserted.len())?;
        }
        Ok(())
    }

    /// Closes the current version of every key that the full read no longer holds.
    fn close_absent(&mut self, stage: &Stage) -> Result<()> {
        let (job, fail) = (self.job, to("close absent rows"));
        let mut absent = format!(
            "is_current AND NOT EXISTS (SELECT 1 FROM {} s WHERE {})",
            stage.name,
            same_key(job.table, &self.history.columns[..self.history.key], "s.", "t.")?
        );
        if job.plan.within.is_some() {
            absent.push_str(&format!(" AND {}", part::condition(job)?));
        }
        let any = format!("SELECT count(*) > 0 FROM {} t WHERE {absent}", job.name);
        if !job.db.query_one(&any, &[]).and_then(|row| row.try_get(0)).map_err(&fail)? {
            return Ok(());
        }
        let now = self.history.went()?;
        let sql = format!(
            "UPDATE {} t SET valid_to = {}, is_current = false WHERE {absent}",
            job.name,
            literal::literal(&now).ok_or_else(|| Error::internal("a moment that is none"))?
        );
        self.history.counts.removed = crash::at(Point::RemoveAbsent, || job.db.execute(&sql, &[]).map_err(&fail))?;
        Ok(())
    }
}

/// Puts rows into a temporary table.
fn send<'n>(job: &Job<'_>, columns: impl Iterator<Item = (&'n str, DataType)>, rows: &[Vec<Bytes>]) -> Result<Stage> {
    let columns: Vec<(&str, DataType)> = columns.collect();
    let stage = Stage::make(job.db, "_floodmark_write", &columns)?;
    stage.send(job.db, |writer| {
        for row in rows {
            let out = writer.row(row.len())?;
            row.iter().for_each(|cell| tuples::put(out, cell.as_deref()));
        }
        Ok(())
    })?;
    Ok(stage)
}
