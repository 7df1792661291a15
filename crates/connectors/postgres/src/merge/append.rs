//! `append`, and the inserting half of an `overwrite` without a key.

use super::{
    Beside, Incoming, Job, Outcome,
    lineage::{self, Lines},
    stage::{self, Stage},
    write::all_met,
};
use crate::{codec, ddl, failure::to, tuples::Writer};
use floodmark_connect::crash::{self, Point};
use floodmark_core::Result;
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
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let columns = ddl::list(names.iter().copied());
        let mut sent = 0;
        let mut send = |writer: &mut Writer<'_>| {
            sent += send(job, &mut run, lines.as_mut(), writer)?;
            Ok(())
        };
        let met = if job.table.takes(names.iter()) {
            let sql = straight(job, &columns);
            crash::at(Point::Insert, || job.db.copy_in(&sql, &mut send))?
        } else {
            let types =
                names.iter().map(|name| Ok((*name, type_of(job.schema(), name)?))).collect::<Result<Vec<_>>>()?;
            let stage = Stage::make(job.db, "_floodmark_stage", &stage::declared(types))?;
            let sql = format!("COPY {} ({columns}) FROM STDIN (FORMAT binary)", stage.name);
            crash::at(Point::Temporary, || job.db.copy_in(&sql, &mut send))?;
            insert(job, &stage, &names)?
        };
        all_met(job, met, sent)?;
        outcome.counts.inserted += met;
        if let Some(lines) = &mut lines {
            lines.keep(job)?;
        }
    }
    outcome.lineage = lines.map(Lines::finish).unwrap_or_default();
    Ok(outcome)
}

/// `COPY` into the table itself. Into a table of this transaction rows go in frozen: they need no second visit later.
pub(super) fn straight(job: &Job<'_>, columns: &str) -> String {
    let freeze = if job.created { ", FREEZE" } else { "" };
    format!("COPY {} ({columns}) FROM STDIN (FORMAT binary{freeze})", job.name)
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
    writer: &mut Writer<'_>,
) -> Result<usize> {
    let mut sent = 0;
    while let Some(batch) = run.next()? {
        sent += batch.rows.num_rows();
        let cells = cell::columns(&batch.rows, &types(job.schema(), &batch)?, &codec::HOLDS)?;
        for row in 0..batch.rows.num_rows() {
            let out = writer.row(cells.len())?;
            cells.iter().try_for_each(|cell| cell.put(row, out))?;
        }
        if let Some(lines) = &mut lines {
            lines.add(batch.slice, &cells, batch.rows.num_rows());
            run.full = lines.is_full();
        }
    }
    Ok(sent)
}
