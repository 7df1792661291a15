//! `append`, and the inserting half of an `overwrite` without a key.

use super::{
    Beside, Incoming, Job, Outcome,
    lineage::{self, Lines},
    stage::Stage,
    write::all_met,
};
use crate::{codec, ddl, failure::to, tuples::Writer};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{DataType, Result};
use floodmark_merge::{
    cell,
    incoming::Run,
    slots::{type_of, types},
};

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
        let names = schema.fields().iter().map(|f| Ok((f.name().as_str(), type_of(job.schema(), f.name())?)));
        let columns = names.collect::<Result<Vec<_>>>()?;
        let mut sent = 0;
        let met = put(job, &columns, |writer| {
            sent += send(job, &mut run, lines.as_mut(), writer)?;
            Ok(())
        })?;
        all_met(job, met, sent)?;
        outcome.counts.inserted += met;
        if let Some(lines) = &mut lines {
            lines.keep(job)?;
        }
    }
    outcome.lineage = lines.map(Lines::finish).unwrap_or_default();
    Ok(outcome)
}

/// Sends rows into the table itself, or where it has types of its own, through a temporary one. How many went in.
pub(super) fn put(
    job: &Job<'_>,
    columns: &[(&str, DataType)],
    feed: impl FnOnce(&mut Writer) -> Result<()>,
) -> Result<u64> {
    if job.table.takes(columns.iter().map(|(name, _)| name)) {
        return crash::at(Point::Insert, || job.db.copy_in(&job.name.place(), columns, feed));
    }
    let stage = Stage::make(job.db, "_floodmark_stage", columns)?;
    stage.send(job.db, feed)?;
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    insert(job, &stage, &names)
}

/// Inserts what a temporary table holds, in the types of the table.
pub(super) fn insert(job: &Job<'_>, stage: &Stage, names: &[&str]) -> Result<u64> {
    let values: Vec<String> = names
        .iter()
        .map(|name| job.table.get(name).map_or_else(|| ddl::quote(name), |c| c.write(&ddl::quote(name))))
        .collect();
    let sql = format!(
        "INSERT INTO {} ({}) SELECT {} FROM {}",
        job.name,
        ddl::list(names.iter().copied()),
        values.join(", "),
        stage.name
    );
    crash::at(Point::Insert, || job.db.execute(&sql, &[]).map_err(to("insert rows")))
}

fn send(
    job: &Job<'_>,
    run: &mut Run<'_, '_, Beside<'_>>,
    mut lines: Option<&mut Lines>,
    writer: &mut Writer,
) -> Result<usize> {
    let mut sent = 0;
    while let Some(batch) = run.next()? {
        let rows = batch.rows.num_rows();
        sent += rows;
        let types = types(job.schema(), &batch)?;
        codec::refuse(job.db, &batch.rows, &types)?;
        let cells = cell::columns(&batch.rows, &types, &codec::HOLDS)?;
        writer.batch(&batch.rows)?;
        if let Some(lines) = &mut lines {
            lines.add(batch.slice, &cells, rows);
            run.full = lines.is_full();
        }
    }
    Ok(sent)
}
