//! Loads that hold all rows of a part of the table, and have no key: rows are told apart by what they hold, as often as they
//! are there.
//!
//! The server hashes what a row holds, of those that came as of those that are there, and both are of the same types by then.
//! It would compare texts by their collations otherwise, and sort long ones by their beginnings.

use super::{
    Incoming, Job, Outcome, append, part,
    stage::{self, PLACE, Stage},
    window::make,
    write::all_met,
};
use crate::{ddl, failure::to, literal};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{DataType, Result};

/// Adds the rows that the table does not hold there yet. What else it holds there stays.
pub(super) fn add(job: &Job<'_>, incoming: &mut Incoming<'_>) -> Result<Outcome> {
    if !holds_rows(job)? {
        return append::run(job, incoming);
    }
    let sides = Sides::gather(job, incoming)?;
    let mut outcome = Outcome::default();
    outcome.counts.inserted = sides.insert(job, None)?;
    outcome.counts.unchanged = sides.rows - outcome.counts.inserted;
    Ok(outcome)
}

/// Makes the table hold there what came. Rows that it holds already are not touched, but for copies of one that it holds too
/// often: no key tells which of them are to go, so that all go, and as many come in as came.
pub(super) fn replace(job: &Job<'_>, incoming: &mut Incoming<'_>) -> Result<Outcome> {
    if !holds_rows(job)? {
        return append::run(job, incoming);
    }
    let sides = Sides::gather(job, incoming)?;
    let excess = Excess::of(job, &sides)?;
    let fail = to("replace a part of the table");
    if excess.there > 0 {
        let delete = format!(
            "DELETE t FROM {} t STRAIGHT_JOIN {} x ON x.{HASH} = {} WHERE {}",
            job.name,
            excess.stage.name,
            content(job, "t.")?,
            part::condition(job)?
        );
        let met = crash::at(Point::ReplaceWindow, || job.db.execute(&delete).map_err(&fail))?.rows;
        all_met(job, met, excess.there as usize)?;
    }
    let mut outcome = Outcome::default();
    outcome.counts.removed = excess.there - excess.came;
    outcome.counts.inserted = sides.insert(job, Some(&excess))? - excess.came;
    outcome.counts.unchanged = sides.rows - outcome.counts.inserted;
    Ok(outcome)
}

/// The columns of temporary tables, which can have no such names: a content's hash, which of the rows that hold it a row is,
/// and how many there are.
const HASH: &str = "_floodmark_hash";
const NTH: &str = "_floodmark_nth";
const COUNT: &str = "_floodmark_count";

/// Whether the table holds rows there. Where it holds none, nothing needs to be compared.
fn holds_rows(job: &Job<'_>) -> Result<bool> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {} t WHERE {})", job.name, part::condition(job)?);
    Ok(job.db.query_one(&sql).map_err(to("read the table"))?.number(0) == Some(1))
}

/// The hash of what a row holds; `row`: a table's name with its point.
fn content(job: &Job<'_>, row: &str) -> Result<String> {
    let mut cells = Vec::new();
    for column in &job.schema().columns {
        let found = job.table.find(&column.name)?;
        let name = format!("{row}{}", literal::name(&found.name));
        // A text may be longer than the server makes one of several.
        let cell = match found.data_type {
            DataType::Text | DataType::Json | DataType::Bytes => format!("SHA2({name}, 256)"),
            _ => name,
        };
        cells.push(format!("IFNULL({cell}, '-')"));
    }
    Ok(format!("UNHEX(SHA2(CONCAT_WS('|', {}), 256))", cells.join(", ")))
}

/// Both sides by their contents.
struct Sides {
    /// The rows that came.
    stage: Stage,
    rows: u64,
    /// By place: the hash, and which of the rows that hold it this one is.
    came: Stage,
    /// By hash: how many rows of the table hold it.
    there: Stage,
}

impl Sides {
    fn gather(job: &Job<'_>, incoming: &mut Incoming<'_>) -> Result<Sides> {
        let stage = make(job, &[PLACE])?;
        let rows = stage::fill(job, &stage, incoming, &[], &mut |_, _| Ok(Vec::new()))?;
        let hashed = content(job, "s.")?;
        let came = Stage::derive(
            job.db,
            "_floodmark_came",
            &format!("({PLACE} bigint, {HASH} binary(32), {NTH} bigint, KEY ({HASH}, {NTH}))"),
            &format!(
                "SELECT {PLACE}, {HASH}, ROW_NUMBER() OVER (PARTITION BY {HASH} ORDER BY {PLACE}) AS {NTH}
                 FROM (SELECT s.{PLACE}, {hashed} AS {HASH} FROM {} s) AS hashed",
                stage.name
            ),
        )?;
        let there = Stage::derive(
            job.db,
            "_floodmark_there",
            &format!("({HASH} binary(32) PRIMARY KEY, {COUNT} bigint)"),
            &format!(
                "SELECT {} AS {HASH}, COUNT(*) AS {COUNT} FROM {} t WHERE {} GROUP BY {HASH}",
                content(job, "t.")?,
                job.name,
                part::condition(job)?
            ),
        )?;
        Ok(Sides { stage, rows, came, there })
    }

    /// Inserts the rows that the table does not hold, in their order.
    fn insert(&self, job: &Job<'_>, excess: Option<&Excess>) -> Result<u64> {
        let names: Vec<&str> = job.schema().names();
        let listed = ddl::list(names.iter().copied());
        let of_stage = names.iter().map(|name| format!("s.{}", literal::name(name))).collect::<Vec<_>>().join(", ");
        let (join, held) = match excess {
            None => (String::new(), format!("IFNULL(h.{COUNT}, 0)")),
            Some(excess) => (
                format!(" LEFT JOIN {} x ON x.{HASH} = c.{HASH}", excess.stage.name),
                format!("IF(x.{HASH} IS NULL, IFNULL(h.{COUNT}, 0), 0)"),
            ),
        };
        let sql = format!(
            "INSERT INTO {} ({listed}) SELECT {of_stage} FROM {} c LEFT JOIN {} h ON h.{HASH} = c.{HASH}{join}
             JOIN {} s ON s.{PLACE} = c.{PLACE} WHERE c.{NTH} > {held} ORDER BY c.{PLACE}",
            job.name, self.came.name, self.there.name, self.stage.name
        );
        Ok(crash::at(Point::Insert, || job.db.execute(&sql).map_err(to("insert rows")))?.rows)
    }
}

/// Contents that the table holds more often than they came.
struct Excess {
    /// By hash.
    stage: Stage,
    /// How many rows of the table hold them, and how many came.
    there: u64,
    came: u64,
}

impl Excess {
    fn of(job: &Job<'_>, sides: &Sides) -> Result<Excess> {
        let stage = Stage::derive(
            job.db,
            "_floodmark_excess",
            &format!("({HASH} binary(32) PRIMARY KEY, {COUNT} bigint, {NTH} bigint)"),
            &format!(
                "SELECT h.{HASH}, h.{COUNT}, IFNULL(MAX(c.{NTH}), 0) AS {NTH} FROM {} h LEFT JOIN {} c ON c.{HASH} = h.{HASH}
                 GROUP BY h.{HASH}, h.{COUNT} HAVING h.{COUNT} > IFNULL(MAX(c.{NTH}), 0)",
                sides.there.name, sides.came.name
            ),
        )?;
        let sql = format!("SELECT IFNULL(SUM({COUNT}), 0), IFNULL(SUM({NTH}), 0) FROM {}", stage.name);
        let row = job.db.query_one(&sql).map_err(to("replace a part of the table"))?;
        let sum = |at: usize| row.number::<u64>(at).unwrap_or_default();
        Ok(Excess { there: sum(0), came: sum(1), stage })
    }
}
