//! The rows of a chunk beside those of the table, all at once: one join says what becomes of each, and what differs is written
//! by statements over all of them.
//!
//! The rule is that of `floodmark_core::merge`, asked once for each way in which a row can stand to the table's. It is the
//! whole rule for a row that is the only one of its key. Where more hangs on it (another copy of its key in the chunk, a
//! delete, what is remembered of its key beside the table), a row is set apart, and merged after the others as one of a batch.

use super::{
    Job, fates,
    keyed::Absent,
    memory::Memory,
    seen::Seen,
    stage::Stage,
    staged::{ROW, Staged},
    write::all_met,
};
use crate::{ddl, failure::to, tuples};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Counts, Error, Result, merge::Standing};
use xxhash_rust::xxh3::xxh3_64;

/// Rows that are read at once.
const AT_ONCE: i64 = 500_000;

/// What becomes of a staged row, as a number: that of a standing, or that it is set apart.
pub(super) const APART: usize = Standing::ALL.len();
const INSERTED: usize = Standing::Inserted as usize;
const UPDATED: usize = Standing::Updated as usize;

pub(super) struct Joined<'a> {
    job: &'a Job<'a>,
    staged: &'a Staged,
    /// Where each row stands in its table, where the table's row of its key does, and what becomes of it.
    fates: Stage,
    /// How many there are of each.
    rows: [u64; APART + 1],
    /// In which columns rows that are written over differ, as bits.
    differs: i64,
}

impl<'a> Joined<'a> {
    /// Says of every staged row what becomes of it. Nothing is written to the table.
    pub(super) fn new(job: &'a Job<'a>, staged: &'a Staged, memory: &Memory) -> Result<Joined<'a>> {
        let fates = fates::derived(job, staged, memory)?;
        let sql = format!("SELECT fate, count(*), bit_or(differs) FROM {} GROUP BY fate", fates.name);
        let fail = to("count what becomes of rows");
        let (mut rows, mut differs) = ([0; APART + 1], 0);
        for row in &job.db.query(&sql, &[]).map_err(&fail)? {
            let (fate, count): (i64, i64) = row.try_get(0).and_then(|f| Ok((f, row.try_get(1)?))).map_err(&fail)?;
            if fate == UPDATED as i64 {
                differs = row.try_get(2).map_err(&fail)?;
            }
            let place = usize::try_from(fate).ok().and_then(|fate| rows.get_mut(fate));
            *place.ok_or_else(|| Error::internal(format!("what becomes of a row is {fate}")))? = count.unsigned_abs();
        }
        Ok(Joined { job, staged, fates, rows, differs })
    }

    /// The condition on `s` that the table holds several rows of its key; nothing where no row has it.
    pub(super) fn ambiguous(&self) -> Option<String> {
        let several = format!("SELECT place FROM {} GROUP BY place HAVING count(*) > 1", self.fates.name);
        (self.rows.iter().sum::<u64>() != self.staged.rows).then(|| format!("s.{ROW} IN ({several})"))
    }

    /// The condition on `s` that a row is set apart; nothing where none is.
    pub(super) fn apart(&self) -> Option<String> {
        (self.rows[APART] > 0).then(|| self.are(&[APART]))
    }

    /// The condition on `s` that one of these becomes of a row.
    fn are(&self, which: &[usize]) -> String {
        if which.iter().map(|fate| self.rows[*fate]).sum::<u64>() == self.staged.rows {
            return "true".to_owned();
        }
        let numbers: Vec<String> = which.iter().map(usize::to_string).collect();
        format!("s.{ROW} IN (SELECT place FROM {} WHERE fate IN ({}))", self.fates.name, numbers.join(", "))
    }

    /// The condition on `s` that a row is not set apart.
    fn decided(&self) -> String {
        self.are(&Standing::ALL.map(|standing| standing as usize))
    }

    /// Counts the rows that are not set apart.
    pub(super) fn count(&self, counts: &mut Counts) {
        for (standing, rows) in Standing::ALL.iter().zip(self.rows) {
            *standing.count(counts) += rows;
        }
    }

    /// Writes what differs; rows that are set apart wait.
    pub(super) fn write(&self) -> Result<()> {
        // Over them, not anew: what deletes leave in the table has to be cleared out of all of it by a checkpoint, which
        // takes longer than either.
        if self.rows[UPDATED] > 0 {
            self.update()?;
        }
        self.insert()
    }

    /// The staged rows that are written over those of the table, and where these stand.
    fn beside(&self) -> String {
        let Joined { staged, fates, .. } = self;
        format!("FROM {} s JOIN {} f ON f.place = s.{ROW} AND f.fate = {UPDATED}", staged.stage.name, fates.name)
    }

    /// What the columns of the layout hold afterwards. `there`: of a row that is written over `t`.
    fn values(&self, there: bool) -> Result<Vec<String>> {
        let Joined { job, staged, .. } = self;
        let layout = &staged.layout;
        let value = |n: usize| {
            let name = &layout.names[n];
            let found =
                job.table.get(name).ok_or_else(|| Error::internal(format!("no column {name:?} in the table")))?;
            let (mine, its) =
                (found.write(&format!("s.{}", ddl::quote(name))), format!("t.{}", ddl::quote(&found.name)));
            Ok(match (staged.came[n], there) {
                _ if layout.deleted == Some(n) => "false".to_owned(),
                (true, true) if layout.keeps[n] => format!("coalesce({mine}, {its})"),
                (true, _) => mine,
                (false, true) => its,
                (false, false) => "NULL".to_owned(),
            })
        };
        (0..layout.names.len()).map(value).collect()
    }

    fn update(&self) -> Result<()> {
        let Joined { job, staged, .. } = self;
        let layout = &staged.layout;
        // A column that is written over costs as much in every row, also where it stays as it is, and again at the checkpoint.
        let changes = |n: usize| layout.deleted == Some(n) || (staged.came[n] && self.differs & fates::bit(n) != 0);
        let values = self.values(true)?;
        let columns = layout.names.iter().zip(values).enumerate().skip(layout.key).filter(|(n, _)| changes(*n));
        let set: Vec<String> = columns.map(|(_, (name, value))| format!("{} = {value}", ddl::quote(name))).collect();
        let sql = format!("UPDATE {} t SET {} {} WHERE t.{ROW} = f.there", job.name, set.join(", "), self.beside());
        let met = crash::at(Point::Update, || job.db.execute(&sql, &[]).map_err(to("update rows")))?;
        all_met(job, met, self.rows[UPDATED] as usize)
    }

    fn insert(&self) -> Result<()> {
        let Joined { job, staged, .. } = self;
        let rows = self.rows[INSERTED];
        if rows == 0 {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO {} ({}) SELECT {} FROM {} s WHERE {}",
            job.name,
            ddl::list(staged.layout.names.iter().map(String::as_str)),
            self.values(false)?.join(", "),
            staged.stage.name,
            self.are(&[INSERTED])
        );
        let met = crash::at(Point::Insert, || job.db.execute(&sql, &[]).map_err(to("insert rows")))?;
        all_met(job, met, rows as usize)
    }

    /// Notes which keys and windows the source holds, of the rows that are not set apart.
    pub(super) fn note(&self, absent: &mut Absent) -> Result<()> {
        let Joined { job, staged, .. } = self;
        let fail = to("note what the source holds");
        let copy = |into: &Stage, columns: &[String], distinct: &str| {
            let columns = columns.iter().map(|name| staged.place(name).map(|_| format!("s.{}", ddl::quote(name))));
            let sql = format!(
                "INSERT INTO {} SELECT {distinct} {} FROM {} s WHERE {}",
                into.name,
                columns.collect::<Result<Vec<_>>>()?.join(", "),
                staged.stage.name,
                self.decided()
            );
            crash::at(Point::Temporary, || job.db.execute(&sql, &[]).map_err(&fail))
        };
        copy(&absent.keys, &staged.layout.names[..staged.layout.key], "")?;
        let Some(windows) = &absent.windows else { return Ok(()) };
        let columns = &job.plan.target.pipeline.window;
        copy(windows, columns, "DISTINCT")?;
        let null: Vec<String> = columns.iter().map(|name| format!("{} IS NULL", ddl::quote(name))).collect();
        let any = format!("SELECT count(*) > 0 FROM {} WHERE {}", windows.name, null.join(" OR "));
        absent.nulls |= job.db.query_one(&any, &[]).and_then(|row| row.try_get::<bool>(0)).map_err(&fail)?;
        Ok(())
    }

    /// Remembers what became of the keys, for rows of the same load that are merged by another way.
    pub(super) fn remember(&self, seen: &mut Seen) -> Result<()> {
        let Joined { job, staged, fates, .. } = self;
        let fail = to("note keys that were met");
        let ends = format!("SELECT coalesce(min(place), 0), coalesce(max(place), -1) FROM {}", fates.name);
        let row = job.db.query_one(&ends, &[]).map_err(&fail)?;
        let (mut from, last): (i64, i64) = row.try_get(0).and_then(|a| Ok((a, row.try_get(1)?))).map_err(&fail)?;
        let keys: Vec<String> =
            staged.layout.names[..staged.layout.key].iter().map(|name| format!("s.{}", ddl::quote(name))).collect();
        while from <= last {
            let until = from.saturating_add(AT_ONCE);
            let sql = format!(
                "SELECT f.fate::BIGINT, {} FROM {} s JOIN {} f ON f.place = s.{ROW}
                 WHERE f.fate < {APART} AND f.place >= {from} AND f.place < {until}",
                keys.join(", "),
                staged.stage.name,
                fates.name
            );
            let (mut met, mut bytes) = (Vec::new(), Vec::new());
            job.db.copy_out(&sql, |row| {
                bytes.clear();
                (1..=keys.len()).for_each(|at| tuples::put(&mut bytes, row.cell(at)));
                let standing = usize::try_from(row.int(0)?).ok().and_then(|at| Standing::ALL.get(at));
                met.extend(standing.map(|standing| (xxh3_64(&bytes), *standing)));
                Ok(())
            })?;
            seen.set(job.db, met.into_iter())?;
            from = until;
        }
        Ok(())
    }

    /// Takes away what it was worked out with: it is as large as the chunk, and the commit would keep it.
    pub(super) fn clear(self) -> Result<()> {
        let names = ["_floodmark_stage", "_floodmark_fates", "_floodmark_apart"];
        let drop = names.map(|name| format!("DROP TABLE IF EXISTS temp.main.{name}")).join("; ");
        crash::at(Point::Temporary, || self.job.db.execute_batch(&drop).map_err(to("drop a temporary table")))
    }
}
