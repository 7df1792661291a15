//! What differs between the table and what a batch makes of it, as set statements: rows that are equal are not touched.

use super::{
    Job, append, same_key,
    slots::{At, Layout, Slots},
    stage::{self, Stage},
};
use crate::{ddl, failure::to, tuples};
use floodmark_connect::crash::{self, Point};
use floodmark_core::Result;

/// Writes what differs.
pub(super) fn write(job: &Job<'_>, layout: &Layout, slots: &Slots) -> Result<()> {
    let (mut inserted, mut updated, mut deleted) = (Vec::<&[At]>::new(), Vec::<&[At]>::new(), Vec::<&[At]>::new());
    for (n, slot) in slots.slots.iter().enumerate() {
        match (&slot.before, &slot.now) {
            (None, Some(now)) => inserted.push(now),
            (Some(before), Some(now)) if !std::rc::Rc::ptr_eq(before, now) && !slots.same_cells(before, now) => {
                updated.push(now);
            }
            (Some(_), None) => deleted.push(slots.key(n)),
            _ => {}
        }
    }
    let Layout { names, key, .. } = layout;
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let same = same_key(job.table, &names[..*key], "w.", "t.")?;
    if !deleted.is_empty() {
        let stage = send(job, layout, slots, *key, &deleted)?;
        let sql = format!("DELETE FROM {} t USING {} w WHERE {same}", job.name, stage.name);
        crash::at(Point::Delete, || job.db.execute(&sql, &[]).map_err(to("delete rows")))?;
    }
    if !updated.is_empty() {
        let stage = send(job, layout, slots, names.len(), &updated)?;
        let set: Vec<String> = all[*key..]
            .iter()
            .filter_map(|name| job.table.get(name))
            .map(|c| format!("{} = {}", ddl::quote(&c.name), c.write(&format!("w.{}", ddl::quote(&c.name)))))
            .collect();
        let sql = format!("UPDATE {} t SET {} FROM {} w WHERE {same}", job.name, set.join(", "), stage.name);
        crash::at(Point::Update, || job.db.execute(&sql, &[]).map_err(to("update rows")))?;
    }
    if inserted.is_empty() {
        return Ok(());
    }
    if job.table.takes(all.iter()) {
        let sql = append::straight(job, &ddl::list(all.iter().copied()));
        crash::at(Point::Insert, || copy(job, slots, &sql, &inserted))?;
    } else {
        let stage = send(job, layout, slots, names.len(), &inserted)?;
        append::insert(job, &stage, &all)?;
    }
    Ok(())
}

/// Puts the first `width` columns of rows into a temporary table.
fn send(job: &Job<'_>, layout: &Layout, slots: &Slots, width: usize, rows: &[&[At]]) -> Result<Stage> {
    let columns = layout.names.iter().map(String::as_str).zip(layout.types.iter().copied()).take(width);
    let stage = Stage::make(job.db, "_floodmark_write", &stage::declared(columns))?;
    let sql = format!("COPY {} FROM STDIN (FORMAT binary)", stage.name);
    crash::at(Point::Temporary, || copy(job, slots, &sql, rows))?;
    stage.analyze(job.db)?;
    Ok(stage)
}

fn copy(job: &Job<'_>, slots: &Slots, sql: &str, rows: &[&[At]]) -> Result<u64> {
    job.db.copy_in(sql, |writer| {
        for row in rows {
            let out = writer.row(row.len())?;
            row.iter().for_each(|at| tuples::put(out, slots.cell(*at)));
        }
        Ok(())
    })
}
