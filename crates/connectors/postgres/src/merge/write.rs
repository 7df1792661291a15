//! What differs between the table and what a batch makes of it, as set statements: rows that are equal are not touched.

use super::{Job, append, look::SEEN, stage::Stage};
use crate::{codec, ddl, failure::to, tuples};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Code, DataType, Error, Result, wording};
use floodmark_merge::slots::{At, Layout, Slots};

/// Writes what differs.
pub(super) fn write(job: &Job<'_>, layout: &Layout, slots: &Slots) -> Result<()> {
    type Row<'a> = (&'a [At], Option<At>);
    let (mut inserted, mut updated, mut deleted) =
        (Vec::<Row<'_>>::new(), Vec::<Row<'_>>::new(), Vec::<Row<'_>>::new());
    for slot in &slots.slots {
        match (&slot.before, &slot.now) {
            (None, Some(now)) => inserted.push((now, None)),
            (Some(before), Some(now)) if !std::rc::Rc::ptr_eq(before, now) && !slots.same_cells(before, now) => {
                updated.push((now, slot.seen));
            }
            (Some(_), None) => deleted.push((&[], slot.seen)),
            _ => {}
        }
    }
    let Layout { names, key, .. } = layout;
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    // Another program may commit a newer copy of a row after it was looked at: that one is not written over.
    let same = SEEN.map(|(own, ..)| format!("t.{own} = w.{PREFIX}{own}")).join(" AND ");
    if !deleted.is_empty() {
        let stage = send(job, layout, slots, 0, &deleted)?;
        let sql = format!("DELETE FROM {} t USING {} w WHERE {same}", job.name, stage.name);
        let met = crash::at(Point::Delete, || job.db.execute(&sql, &[]).map_err(to("delete rows")))?;
        all_met(job, met, deleted.len())?;
    }
    if !updated.is_empty() {
        let stage = send(job, layout, slots, names.len(), &updated)?;
        let set: Vec<String> = all[*key..]
            .iter()
            .filter_map(|name| job.table.get(name))
            .map(|c| format!("{} = {}", ddl::quote(&c.name), c.write(&format!("w.{}", ddl::quote(&c.name)))))
            .collect();
        let sql = format!("UPDATE {} t SET {} FROM {} w WHERE {same}", job.name, set.join(", "), stage.name);
        let met = crash::at(Point::Update, || job.db.execute(&sql, &[]).map_err(to("update rows")))?;
        all_met(job, met, updated.len())?;
    }
    if inserted.is_empty() {
        return Ok(());
    }
    let met = if job.table.takes(all.iter()) {
        let sql = append::straight(job, &ddl::list(all.iter().copied()));
        crash::at(Point::Insert, || copy(job, slots, &sql, &inserted, false))?
    } else {
        let stage = send(job, layout, slots, names.len(), &inserted)?;
        append::insert(job, &stage, &all)?
    };
    all_met(job, met, inserted.len())
}

/// Begins the columns of a temporary table that say which row was looked at.
const PREFIX: &str = "_floodmark_";

/// An error where a statement met fewer rows than it was to write.
pub(super) fn all_met(job: &Job<'_>, met: u64, rows: usize) -> Result<()> {
    if met == rows as u64 {
        return Ok(());
    }
    let (table, left) = (&job.name.table, wording::agree((rows as u64).abs_diff(met), "row", "was", "were"));
    Err(Error::new(Code::DestinationWrite, format!("{left} not written into table {table:?} as was decided"))
        .state("the open transaction was rolled back")
        .help("if another program wrote the same rows meanwhile, run again: what it wrote is taken into account")
        .help("a trigger, a rule or a policy of the table that leaves rows out must go: what a run reports is what it wrote"))
}

/// Puts the first `width` columns of rows into a temporary table.
fn send(job: &Job<'_>, layout: &Layout, slots: &Slots, width: usize, rows: &[(&[At], Option<At>)]) -> Result<Stage> {
    let staged = |(name, t): (&String, &DataType)| {
        job.table.get(name).map_or_else(|| codec::declared(*t), |found| found.staged(*t))
    };
    let columns = layout.names.iter().zip(&layout.types).take(width);
    let mut columns: Vec<(&str, String)> = columns.map(|c| (c.0.as_str(), staged(c))).collect();
    let own = SEEN.map(|(own, declared, _)| (format!("{PREFIX}{own}"), declared.to_owned()));
    columns.extend(own.iter().map(|(name, declared)| (name.as_str(), declared.clone())));
    let stage = Stage::make(job.db, "_floodmark_write", &columns)?;
    let sql = format!("COPY {} FROM STDIN (FORMAT binary)", stage.name);
    crash::at(Point::Temporary, || copy(job, slots, &sql, rows, true))?;
    Ok(stage)
}

/// `seen`: with which row was looked at, behind its cells; nothing for one that is not there yet.
fn copy(job: &Job<'_>, slots: &Slots, sql: &str, rows: &[(&[At], Option<At>)], seen: bool) -> Result<u64> {
    job.db.copy_in(sql, |writer| {
        for (row, of) in rows {
            let out = writer.row(row.len() + if seen { SEEN.len() } else { 0 })?;
            row.iter().for_each(|at| tuples::put(out, slots.cell(*at)));
            let mut rest = of.and_then(|at| slots.cell(at)).filter(|_| seen);
            for (.., length) in SEEN.iter().filter(|_| seen) {
                let part = rest.and_then(|bytes| bytes.split_at_checked(*length));
                tuples::put(out, part.map(|(own, _)| own));
                rest = part.map(|(_, rest)| rest);
            }
        }
        Ok(())
    })
}
