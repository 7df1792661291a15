//! Loads of a part of a table whose rows have no key: a row is its content, as often as it is there.

use super::{Batches, Outcome, append::encode, insert_sql, types};
use crate::{bind, ddl, failure::to, order};
use floodmark_connect::{
    LoadPlan,
    crash::{self, Point},
    destination::Within,
};
use floodmark_core::{Error, Result};
use rusqlite::{Connection, Statement, params_from_iter};
use xxhash_rust::xxh3::xxh3_128;

const STAGE: &str = "_floodmark_stage";

/// What holds for the rows in that part of the plan's table.
pub(super) fn condition(db: &Connection, plan: &LoadPlan<'_>, within: &Within) -> Result<order::Condition> {
    let column = plan.target.schema.get(&within.column);
    let data_type = column.ok_or_else(|| Error::internal("a range along a column that is not in the table"))?.data_type;
    let (name, interval) = (ddl::quote(&within.column), &within.interval);
    order::within(db, data_type, interval.clone())?;
    let exactly = format!("{}({name})", order::WITHIN);
    Ok(match order::roughly(&name, data_type, Some(&interval.from), Some(&interval.until), false) {
        Some(rough) => order::Condition { sql: format!("({}) AND {exactly}", rough.sql), parameters: rough.parameters },
        None => order::Condition { sql: exactly, parameters: Vec::new() },
    })
}

/// `append`: adds the rows that the table does not hold there.
pub(super) fn add(db: &Connection, plan: &LoadPlan<'_>, within: &Within, batches: &mut dyn Batches) -> Result<Outcome> {
    let held = Held::gather(db, plan, &condition(db, plan, within)?)?;
    let table = &plan.target.pipeline.destination.table;
    let mut outcome = Outcome::default();
    each_new(db, plan, held, batches, &mut outcome, Point::Insert, |names| insert_sql(table, names))?;
    Ok(outcome)
}

/// `overwrite`, or `delete_insert` where the part is the window: the rows that come take the place of those in it. What is
/// there already is not written again.
pub(super) fn replace(
    db: &Connection,
    plan: &LoadPlan<'_>,
    within: &Within,
    batches: &mut dyn Batches,
) -> Result<Outcome> {
    let table = &plan.target.pipeline.destination.table;
    let (quoted, rowid) = (ddl::quote(table), super::rowid_name(db, table)?);
    let fail = to("replace a part of the table");
    let held = Held::gather(db, plan, &condition(db, plan, within)?)?;
    // New rows wait until the old ones are gone: an index of the table may allow only one of them.
    let make =
        format!("DROP TABLE IF EXISTS temp.{STAGE}; CREATE TEMP TABLE {STAGE} AS SELECT * FROM {quoted} WHERE 0;");
    crash::at(Point::Temporary, || db.execute_batch(&make).map_err(&fail))?;
    let mut outcome = Outcome::default();
    let stage = |names: &[&str]| insert_sql(STAGE, names).replacen("INTO ", "INTO temp.", 1);
    each_new(db, plan, held, batches, &mut outcome, Point::Temporary, stage)?;
    let names = ddl::list(plan.target.schema.names());
    let delete = format!("DELETE FROM {quoted} WHERE {rowid} IN (SELECT id FROM temp._floodmark_held)");
    let insert = format!("INSERT INTO {quoted} ({names}) SELECT {names} FROM temp.{STAGE} ORDER BY rowid");
    let change = |sql: &str| crash::at(Point::ReplaceWindow, || db.execute(sql, []).map(|n| n as u64).map_err(&fail));
    outcome.counts.removed = change(&delete)?;
    outcome.counts.inserted = change(&insert)?;
    Ok(outcome)
}

/// Inserts each row that is not held. `sql`: by which statement, for the columns of a batch.
fn each_new(
    db: &Connection,
    plan: &LoadPlan<'_>,
    mut held: Held<'_>,
    batches: &mut dyn Batches,
    outcome: &mut Outcome,
    point: Point,
    sql: impl Fn(&[&str]) -> String,
) -> Result<()> {
    let fail = to("insert a row");
    let mut scratch = String::new();
    while let Some(batch) = batches.next()? {
        let types = types(&batch, plan.target.schema)?;
        let cells = bind::columns(&batch.rows, &types)?;
        let schema = batch.rows.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let mut insert = db.prepare_cached(&sql(&names)).map_err(&fail)?;
        for row in 0..batch.rows.num_rows() {
            held.bytes.clear();
            for (name, cells) in names.iter().zip(&cells) {
                encode(name, cells.stored(row, &mut scratch), cells.data_type, &mut held.bytes);
            }
            if held.take()? {
                outcome.counts.unchanged += 1;
                continue;
            }
            for (at, cells) in cells.iter().enumerate() {
                cells.bind(&mut insert, at + 1, row, &mut scratch).map_err(&fail)?;
            }
            crash::at(point, || insert.raw_execute().map_err(&fail))?;
            outcome.counts.inserted += 1;
        }
    }
    Ok(())
}

/// The rows that the table holds there and that none has answered to yet, in a temporary table.
struct Held<'db> {
    take: Statement<'db>,
    /// A row's content, as it is hashed.
    bytes: Vec<u8>,
}

impl<'db> Held<'db> {
    fn gather(db: &'db Connection, plan: &LoadPlan<'_>, there: &order::Condition) -> Result<Self> {
        let fail = to("read a part of the table");
        let table = &plan.target.pipeline.destination.table;
        let make = "DROP TABLE IF EXISTS temp._floodmark_held;
             CREATE TEMP TABLE _floodmark_held (hash BLOB, id INTEGER, PRIMARY KEY (hash, id)) WITHOUT ROWID";
        crash::at(Point::Temporary, || db.execute_batch(make).map_err(&fail))?;
        let select = format!(
            "SELECT {}, {} FROM {} WHERE {}",
            super::rowid_name(db, table)?,
            ddl::list(plan.target.schema.names()),
            ddl::quote(table),
            there.sql
        );
        let mut select = db.prepare(&select).map_err(&fail)?;
        let mut note = db.prepare("INSERT INTO temp._floodmark_held VALUES (?1, ?2)").map_err(&fail)?;
        let mut rows = select.query(params_from_iter(&there.parameters)).map_err(&fail)?;
        let mut bytes = Vec::new();
        while let Some(row) = rows.next().map_err(&fail)? {
            bytes.clear();
            for (at, column) in plan.target.schema.columns.iter().enumerate() {
                encode(&column.name, row.get_ref(at + 1).map_err(&fail)?, column.data_type, &mut bytes);
            }
            let id: i64 = row.get(0).map_err(&fail)?;
            crash::at(Point::Temporary, || note.execute((hash(&bytes), id)).map_err(&fail))?;
        }
        let take = db
            .prepare(
                "DELETE FROM temp._floodmark_held WHERE hash = ?1
                   AND id = (SELECT min(id) FROM temp._floodmark_held WHERE hash = ?1)",
            )
            .map_err(&fail)?;
        Ok(Held { take, bytes })
    }

    /// Whether there is one left of it, which is then taken.
    fn take(&mut self) -> Result<bool> {
        let hash = hash(&self.bytes);
        let taken = crash::at(Point::Temporary, || self.take.execute([hash]).map_err(to("look for a row")))?;
        Ok(taken > 0)
    }
}

fn hash(bytes: &[u8]) -> [u8; 16] {
    xxh3_128(bytes).to_be_bytes()
}
