//! Loads that hold all rows of a part of the table, and have no key: rows are told apart by what they hold, as often as they
//! are there.

use super::{
    Incoming, Job, Outcome, append,
    look::ROW,
    part,
    stage::{self, PLACE, Stage},
    window::{contents, derive, make},
    write::all_met,
};
use crate::{ddl, failure::to};
use floodmark_connect::crash::{self, Point};
use floodmark_core::Result;

/// Adds the rows that the table does not hold there yet. What else it holds there stays.
pub(super) fn add(job: &Job<'_>, incoming: &mut Incoming<'_>) -> Result<Outcome> {
    if !holds_rows(job)? {
        return append::run(job, incoming);
    }
    let stage = make(job)?;
    let rows = stage::fill(job, &stage, incoming)?;
    let mut outcome = Outcome::default();
    outcome.counts.inserted = insert(job, &stage, &differing(job, &stage, &format!("NOT {KNOWN}"))?)?;
    outcome.counts.unchanged = rows - outcome.counts.inserted;
    Ok(outcome)
}

/// Makes the table hold there what came. Rows that it holds already are not touched.
pub(super) fn replace(job: &Job<'_>, incoming: &mut Incoming<'_>) -> Result<Outcome> {
    if !holds_rows(job)? {
        return append::run(job, incoming);
    }
    let stage = make(job)?;
    let rows = stage::fill(job, &stage, incoming)?;
    let differing = differing(job, &stage, "true")?;
    let fail = to("replace a part of the table");
    let gone: i64 = job
        .db
        .query_one(&format!("SELECT count(*) FROM {} WHERE {KNOWN}", differing.name), &[])
        .and_then(|row| row.try_get(0))
        .map_err(&fail)?;
    let mut outcome = Outcome::default();
    if gone > 0 {
        let delete =
            format!("DELETE FROM {} t USING {} d WHERE d.{KNOWN} AND t.{ROW} = d.{OWN}{ROW}", job.name, differing.name);
        outcome.counts.removed = crash::at(Point::ReplaceWindow, || job.db.execute(&delete, &[]).map_err(&fail))?;
        all_met(job, outcome.counts.removed, gone as usize)?;
    }
    outcome.counts.inserted = insert(job, &stage, &differing)?;
    outcome.counts.unchanged = rows - outcome.counts.inserted;
    Ok(outcome)
}

/// Begins the columns that say which row of the table it is.
const OWN: &str = "_floodmark_";

/// Whether a row is one of the table.
const KNOWN: &str = "_floodmark_known";

/// Whether the table holds rows there. Where it holds none, nothing needs to be compared.
fn holds_rows(job: &Job<'_>) -> Result<bool> {
    let sql = format!(
        "SELECT count(*) > 0 FROM (SELECT 1 FROM {} t WHERE {} LIMIT 1) any_row",
        job.name,
        part::condition(job)?
    );
    job.db.query_one(&sql, &[]).and_then(|row| row.try_get(0)).map_err(to("read the table"))
}

/// Rows that only one of the two holds, or holds more often: of equal ones so many answer to each other, and the others are
/// listed. `which` of them, as a condition.
fn differing(job: &Job<'_>, stage: &Stage, which: &str) -> Result<Stage> {
    let (new, old) = contents(job)?;
    let listed = ddl::list(job.schema().names().iter().copied());
    let sql = format!(
        "SELECT {KNOWN}, {PLACE}, {OWN}{ROW} FROM (
           SELECT {KNOWN}, {PLACE}, {OWN}{ROW},
                  row_number() OVER (PARTITION BY {listed}, {KNOWN} ORDER BY {PLACE}) AS {OWN}nth,
                  count(*) FILTER (WHERE {KNOWN}) OVER (PARTITION BY {listed}) AS {OWN}there,
                  count(*) FILTER (WHERE NOT {KNOWN}) OVER (PARTITION BY {listed}) AS {OWN}came
           FROM (SELECT false AS {KNOWN}, s.{PLACE}, NULL::BIGINT AS {OWN}{ROW}, {new} FROM {} s
                 UNION ALL SELECT true, 0, t.{ROW}, {old} FROM {} t WHERE {}) AS both_sides
         ) AS counted
         WHERE {which} AND {OWN}nth > CASE WHEN {KNOWN} THEN {OWN}came ELSE {OWN}there END",
        stage.name,
        job.name,
        part::condition(job)?
    );
    derive(job, "_floodmark_differing", &sql)
}

/// Inserts the rows that only came, in their order.
fn insert(job: &Job<'_>, stage: &Stage, differing: &Stage) -> Result<u64> {
    let names = job.schema().names();
    let values: Vec<String> = names
        .iter()
        .filter_map(|name| job.table.get(name))
        .map(|c| c.write(&format!("s.{}", ddl::quote(&c.name))))
        .collect();
    let sql = format!(
        "INSERT INTO {} ({}) SELECT {} FROM {} s JOIN {} d ON NOT d.{KNOWN} AND d.{PLACE} = s.{PLACE} ORDER BY s.{PLACE}",
        job.name,
        ddl::list(names.iter().copied()),
        values.join(", "),
        stage.name,
        differing.name
    );
    crash::at(Point::Insert, || job.db.execute(&sql, &[]).map_err(to("insert rows")))
}
