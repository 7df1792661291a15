//! What the table holds for the keys of a batch.

use super::{Job, same_key, stage::Stage};
use crate::{ddl, tuples};
use floodmark_core::{Code, DataType, Error, Result};
use floodmark_merge::slots::{Image, Layout, Slots};

/// Where a row stands: the same from the first statement of a transaction to its last.
pub(super) const ROW: &str = "rowid";

/// Looks all keys up at once, and notes the rows found.
pub(super) fn look(job: &Job<'_>, layout: &Layout, slots: &mut Slots) -> Result<()> {
    let names = layout.names[..layout.key].iter().map(String::as_str);
    // A key's column may be called `n`, too.
    let mut columns = vec![(super::stage::PLACE, DataType::BigInt)];
    columns.extend(names.zip(layout.types.iter().copied()));
    let stage = Stage::make(job.db, "_floodmark_asked", &columns)?;
    stage.send(job.db, |writer| {
        for slot in 0..slots.slots.len() {
            let out = writer.row(layout.key + 1)?;
            tuples::put(out, Some(&(slot as i64).to_be_bytes()));
            slots.key(slot).iter().for_each(|at| tuples::put(out, slots.cell(*at)));
        }
        Ok(())
    })?;
    let found = |name: &String| {
        let column = job.table.get(name).ok_or_else(|| Error::internal(format!("no column {name:?} in the table")))?;
        Ok(column.read("t."))
    };
    let cells = layout.names[layout.key..].iter().map(found).collect::<Result<Vec<_>>>()?;
    let select = [format!("k.{}", ddl::quote(super::stage::PLACE)), format!("t.{ROW}")];
    let select: Vec<String> = select.into_iter().chain(cells).collect();
    let sql = format!(
        "SELECT {} FROM {} k JOIN {} t ON {}",
        select.join(", "),
        stage.name,
        job.name,
        same_key(job.table, &layout.names[..layout.key], "k.", "t.")?
    );
    let width = layout.names.len() - layout.key;
    job.db.copy_out(&sql, |row| {
        let slot = usize::try_from(row.int(0)?).ok().filter(|slot| *slot < slots.slots.len());
        let slot = slot.ok_or_else(|| Error::internal("a key was found that was not asked for"))?;
        if slots.slots[slot].before.is_some() {
            return Err(twice(job, layout, slots, slot));
        }
        let mut cells = slots.key(slot).to_vec();
        for n in 0..width {
            cells.push(slots.keep(row.cell(n + 2))?);
        }
        let image: Image = cells.into();
        let seen = slots.keep(row.cell(1))?;
        let slot = &mut slots.slots[slot];
        slot.seen = Some(seen);
        slot.before = Some(image.clone());
        slot.now = Some(image);
        Ok(())
    })
}

/// Two rows of the table share a key that tells rows apart: somebody else put one of them there.
fn twice(job: &Job<'_>, layout: &Layout, slots: &Slots, slot: usize) -> Error {
    let table = &job.plan.target.pipeline.destination.table;
    let key = layout.names[..layout.key].join(", ");
    Error::new(
        Code::TableShape,
        format!("two rows of table {table:?} have the key {key} = {}", slots.key_text(layout, slot)),
    )
    .state("the open transaction was rolled back")
    .help("another program put one of them there: take one out, and run again")
    .help("a PRIMARY KEY or a unique index on the key keeps other programs from it, at the price of memory")
}
