//! `append`, and the inserting half of an `overwrite` without a key.

use super::{
    Beside, Incoming, Job, Outcome,
    lineage::{self, Lines},
};
use crate::{
    codec,
    codec::Taken,
    rows::{Inlet, Writer},
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::Result;
use floodmark_merge::{cell, incoming::Run, slots::types};

/// Inserts every row; where the plan asks for it, removes the earlier rows of reloaded files first and records which
/// rows come from which slice.
pub(super) fn run(job: &Job<'_>, incoming: &mut Incoming<'_>) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for (file, entry) in &job.plan.replace {
        outcome.counts.removed += lineage::remove(job, file, entry)?;
    }
    let mut lines = job.plan.lineage.then(Lines::default);
    let mut run = Run::new(incoming);
    while let Some(schema) = run.begin()? {
        let names = schema.fields().iter().map(|f| f.name().as_str());
        let inlet = straight(job, names)?;
        outcome.counts.inserted +=
            crash::at(Point::Insert, || job.db.copy_in(&inlet, |writer| send(job, &mut run, lines.as_mut(), writer)))?;
        if let Some(lines) = &mut lines {
            lines.keep(job)?;
        }
    }
    outcome.lineage = lines.map(Lines::finish).unwrap_or_default();
    Ok(outcome)
}

/// The table itself takes rows.
pub(super) fn straight<'n>(job: &Job<'_>, names: impl Iterator<Item = &'n str>) -> Result<Inlet> {
    let taken = |name: &str| job.table.find(name).map(|found| Taken { name: name.to_owned(), ..found.taken() });
    Ok(Inlet { table: job.name.to_string(), columns: names.map(taken).collect::<Result<_>>()? })
}

fn send(
    job: &Job<'_>,
    run: &mut Run<'_, '_, Beside<'_>>,
    mut lines: Option<&mut Lines>,
    writer: &mut Writer<'_, '_>,
) -> Result<()> {
    let mut bytes = Vec::new();
    while let Some(batch) = run.next()? {
        let cells = cell::columns(&batch.rows, &types(job.schema(), &batch)?, &codec::HOLDS)?;
        for row in 0..batch.rows.num_rows() {
            put(&cells, row, &mut bytes, writer)?;
            writer.end()?;
        }
        if let Some(lines) = &mut lines {
            lines.add(batch.slice, &cells, batch.rows.num_rows());
            run.full = lines.is_full();
        }
    }
    Ok(())
}

/// Writes the cells of a row. `bytes`: room that is used again and again.
pub(super) fn put(
    cells: &[cell::Cells<'_>],
    row: usize,
    bytes: &mut Vec<u8>,
    writer: &mut Writer<'_, '_>,
) -> Result<()> {
    for cell in cells {
        bytes.clear();
        cell.put(row, bytes)?;
        writer.cell((!cell.is_null(row)).then_some(&bytes[4..]))?;
    }
    Ok(())
}
