//! What differs between the table and what a batch makes of it, as set statements: rows that are equal are not touched.

use super::{
    Job, append,
    look::ROW,
    stage::{PLACE, Stage},
};
use crate::{
    ddl,
    failure::to,
    tuples::{self, Writer},
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Code, DataType, Error, Result, wording};
use floodmark_merge::slots::{At, Layout, Slots};

/// Writes what differs.
pub(super) fn write(job: &Job<'_>, layout: &Layout, slots: &Slots) -> Result<()> {
    type Row<'a> = (&'a [At], Option<At>);
    let Layout { names, key, .. } = layout;
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
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
    let same = format!("t.{ROW} = w.{PLACE}");
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
        let columns: Vec<(&str, DataType)> = all.iter().copied().zip(layout.types.iter().copied()).collect();
        crash::at(Point::Insert, || {
            job.db.copy_in(&job.name.place(), &columns, |writer| copy(slots, writer, &inserted, false))
        })?
    } else {
        let stage = send(job, layout, slots, names.len(), &inserted)?;
        append::insert(job, &stage, &all)?
    };
    all_met(job, met, inserted.len())
}

/// An error where a statement met fewer rows than it was to write.
pub(super) fn all_met(job: &Job<'_>, met: u64, rows: usize) -> Result<()> {
    if met == rows as u64 {
        return Ok(());
    }
    let (table, left) = (&job.name.table, wording::agree((rows as u64).abs_diff(met), "row", "was", "were"));
    Err(Error::new(Code::DestinationWrite, format!("{left} not written into table {table:?} as was decided"))
        .state("the open transaction was rolled back")
        .help("run again: what the table holds by then is taken into account"))
}

/// Puts the first `width` columns of rows into a temporary table, and where the row stands that was looked at.
fn send(job: &Job<'_>, layout: &Layout, slots: &Slots, width: usize, rows: &[(&[At], Option<At>)]) -> Result<Stage> {
    let columns = layout.names.iter().map(String::as_str).zip(layout.types.iter().copied()).take(width);
    let columns: Vec<(&str, DataType)> = columns.chain([(PLACE, DataType::BigInt)]).collect();
    let stage = Stage::make(job.db, "_floodmark_write", &columns)?;
    stage.send(job.db, |writer| copy(slots, writer, rows, true))?;
    Ok(stage)
}

/// `seen`: with where the row stands that was looked at, behind its cells; nothing for one that is not there yet.
fn copy(slots: &Slots, writer: &mut Writer, rows: &[(&[At], Option<At>)], seen: bool) -> Result<()> {
    for (row, of) in rows {
        let out = writer.row(row.len() + usize::from(seen))?;
        row.iter().for_each(|at| tuples::put(out, slots.cell(*at)));
        if seen {
            tuples::put(out, of.and_then(|at| slots.cell(at)));
        }
    }
    Ok(())
}
