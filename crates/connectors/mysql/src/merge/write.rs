//! What differs between the table and what a batch makes of it, as set statements: rows that are equal are not touched.

use super::{
    Job, append, same_key,
    stage::{Column, Stage},
};
use crate::{
    failure::{code, to},
    literal,
    rows::Inlet,
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Code, Error, Result, wording};
use floodmark_merge::slots::{At, Layout, Slots};

/// What makes keys count as what they are.
pub(super) const EXACT_KEY: &str =
    "give the key's columns a collation by which only equal texts are equal: ALTER TABLE … MODIFY … COLLATE {}";

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
    let same = same_key(names[..*key].iter().map(String::as_str), "w.", "t.");
    if !deleted.is_empty() {
        let stage = send(job, layout, slots, *key, &deleted)?;
        let sql = format!("DELETE t FROM {} w STRAIGHT_JOIN {} t ON {same}", stage.name, job.name);
        let met = crash::at(Point::Delete, || job.db.execute(&sql).map_err(to("delete rows")))?;
        all_met(job, met.rows, deleted.len())?;
    }
    if !updated.is_empty() {
        let stage = send(job, layout, slots, names.len(), &updated)?;
        let set: Vec<String> =
            names[*key..].iter().map(|name| literal::name(name)).map(|name| format!("t.{name} = w.{name}")).collect();
        let sql = format!("UPDATE {} w STRAIGHT_JOIN {} t ON {same} SET {}", stage.name, job.name, set.join(", "));
        let met = crash::at(Point::Update, || job.db.execute(&sql).map_err(to("update rows")))?;
        all_met(job, met.rows, updated.len())?;
    }
    if !inserted.is_empty() {
        let inlet = append::straight(job, names.iter().map(String::as_str))?;
        crash::at(Point::Insert, || copy(job, slots, &inlet, &inserted)).map_err(|e| there_already(job, e))?;
    }
    Ok(())
}

/// A row that was not there when it was looked for: another program put it in, or two that came in are one to the server.
fn there_already(job: &Job<'_>, error: Error) -> Error {
    let said = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    if !said.contains(&format!("(error {})", code::DUPLICATE_KEY)) {
        return error;
    }
    let key = &job.plan.target.pipeline.key;
    if key.iter().any(|k| job.table.get(k).is_some_and(|found| found.loose)) {
        // The server's own words name an index, which is another one in a copy of the table.
        let value = said.split_once("Duplicate entry ").and_then(|(_, rest)| rest.rsplit_once(" for key"));
        let table = &job.plan.target.pipeline.destination.table;
        return Error::new(
            Code::TableShape,
            format!(
                "two rows came in with keys that the columns of table {table:?} take for one: {} and another",
                value.map_or("this row's", |(value, _)| value)
            ),
        )
        .state("the open transaction was rolled back")
        .help(EXACT_KEY.replace("{}", job.db.server.exact()))
        .help("or make the values the same on their way: `transform: SELECT lower(id) AS id, … FROM source`");
    }
    error.help("if another program put the row in at this moment, run again: what it wrote is taken into account")
}

/// An error where a statement met fewer rows than it was to write.
pub(super) fn all_met(job: &Job<'_>, met: u64, rows: usize) -> Result<()> {
    if met == rows as u64 {
        return Ok(());
    }
    let (table, left) = (
        &job.plan.target.pipeline.destination.table,
        wording::agree((rows as u64).abs_diff(met), "row", "was", "were"),
    );
    Err(Error::new(Code::DestinationWrite, format!("{left} not written into table {table:?} as was decided"))
        .state("the open transaction was rolled back")
        .help("if another program wrote the same rows meanwhile, run again: what it wrote is taken into account"))
}

/// Puts the first `width` columns of rows into a temporary table.
fn send(job: &Job<'_>, layout: &Layout, slots: &Slots, width: usize, rows: &[&[At]]) -> Result<Stage> {
    let columns = layout.names.iter().zip(&layout.types).take(width).map(|(name, t)| Column::of(job, name, *t));
    let stage = Stage::make(job.db, "_floodmark_write", columns.collect(), &[])?;
    crash::at(Point::Temporary, || copy(job, slots, &stage.inlet(), rows))?;
    Ok(stage)
}

fn copy(job: &Job<'_>, slots: &Slots, inlet: &Inlet, rows: &[&[At]]) -> Result<u64> {
    job.db.copy_in(inlet, |writer| {
        for row in rows {
            row.iter().try_for_each(|at| writer.cell(slots.cell(*at)))?;
            writer.end()?;
        }
        Ok(())
    })
}
