//! What the table holds for the keys of a batch.

use super::{
    Job, same_key,
    stage::{Column, PLACE, Stage},
};
use crate::{codec, failure::to, literal};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Code, DataType, Error, Result};
use floodmark_merge::slots::{Image, Layout, Slots};

/// Looks all keys up at once, and notes the rows found. They are locked until the transaction ends: what is decided on them
/// is written before another program writes them.
pub(super) fn look(job: &Job<'_>, layout: &Layout, slots: &mut Slots) -> Result<()> {
    let key = &layout.names[..layout.key];
    let mut columns = vec![Column::own(PLACE, DataType::BigInt)];
    columns.extend(key.iter().zip(&layout.types).map(|(name, t)| Column::of(job, name, *t)));
    let stage = Stage::make(job.db, "_floodmark_keys", columns, &[])?;
    crash::at(Point::Temporary, || {
        job.db.copy_in(&stage.inlet(), |writer| {
            for slot in 0..slots.slots.len() {
                writer.number(slot as i64)?;
                slots.key(slot).iter().try_for_each(|at| writer.cell(slots.cell(*at)))?;
                writer.end()?;
            }
            Ok(())
        })
    })?;
    let types = layout.names.iter().map(|name| Ok(job.table.find(name)?.data_type)).collect::<Result<Vec<_>>>()?;
    let cells: Vec<String> = layout.names.iter().map(|name| format!("t.{}", literal::name(name))).collect();
    // From the keys to the table, and not the other way round, as the server might for a small table.
    let sql = format!(
        "SELECT k.{}, {} FROM {} k STRAIGHT_JOIN {} t ON {} FOR UPDATE",
        literal::name(PLACE),
        cells.join(", "),
        stage.name,
        job.name,
        same_key(key.iter().map(String::as_str), "k.", "t.")
    );
    let fail = to("look keys up");
    let mut bytes = Vec::new();
    let mut rows = job.db.stream(&sql).map_err(&fail)?;
    while let Some(row) = rows.next().map_err(&fail)? {
        let slot = row.get(0).and_then(|b| std::str::from_utf8(b).ok()).and_then(|t| t.parse::<usize>().ok());
        let slot = slot.filter(|slot| *slot < slots.slots.len());
        let slot = slot.ok_or_else(|| Error::internal("the server found a key that was not asked for"))?;
        let mut cells = Vec::with_capacity(layout.names.len());
        for (n, data_type) in types.iter().enumerate() {
            let sent = row.get(n + 1);
            bytes.clear();
            codec::neutral(sent, *data_type, &mut bytes);
            cells.push(slots.keep(sent.map(|_| &bytes[4..]))?);
        }
        if !slots.same_cells(&cells[..layout.key], slots.key(slot)) {
            return Err(taken_for_one(job, layout, slots, slot, &cells));
        }
        let image: Image = cells.into();
        let slot = &mut slots.slots[slot];
        slot.before = Some(image.clone());
        slot.now = Some(image);
    }
    Ok(())
}

/// A key of the table that the server takes for one that came in, and that is not the same.
fn taken_for_one(
    job: &Job<'_>,
    layout: &Layout,
    slots: &Slots,
    slot: usize,
    there: &[floodmark_merge::slots::At],
) -> Error {
    let written = |cells: &[floodmark_merge::slots::At]| {
        let values = (0..layout.key).map(|n| slots.value(layout, n, cells[n]).unwrap_or(floodmark_core::Value::Null));
        values.map(|v| format!("{:?}", v.to_string())).collect::<Vec<_>>().join(", ")
    };
    Error::new(
        Code::TableShape,
        format!(
            "the key {} came in, and table {:?} holds {}: its columns take these for one",
            written(slots.key(slot)),
            job.plan.target.pipeline.destination.table,
            written(there)
        ),
    )
    .state("the open transaction was rolled back")
    .help(super::write::EXACT_KEY.replace("{}", job.db.server.exact()))
    .help("or make the values the same on their way: `transform: SELECT lower(id) AS id, … FROM source`")
}
