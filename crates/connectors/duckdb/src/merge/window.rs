//! `delete_insert` without a key: each window the batch covers is replaced, unless it holds the same rows already.

use super::{
    Incoming, Job, Outcome, normal,
    stage::{self, PLACE, Stage},
};
use crate::{ddl, failure::to};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{DataType, Error, Result};

pub(super) fn run(job: &Job<'_>, incoming: &mut Incoming<'_>) -> Result<Outcome> {
    let pipeline = job.plan.target.pipeline;
    let (db, fail) = (job.db, to("replace a window"));
    let stage = make(job)?;
    stage::fill(job, &stage, incoming)?;
    let window: Vec<String> = pipeline.window.iter().map(|w| ddl::quote(w)).collect();
    let listed = window.join(", ");
    let windows = derive(job, "_floodmark_windows", &format!("SELECT DISTINCT {listed} FROM {}", stage.name))?;
    let any_null = window.iter().map(|w| format!("{w} IS NULL")).collect::<Vec<_>>().join(" OR ");
    let nulls: bool = db
        .query_one(&format!("SELECT count(*) > 0 FROM {} WHERE {any_null}", windows.name), &[])
        .and_then(|row| row.try_get(0))
        .map_err(&fail)?;

    let equal = same_window(job, nulls, "w.", "t.")?;
    let (new, old) = contents(job)?;
    let staged = format!("SELECT {new} FROM {} s", stage.name);
    let there =
        format!("SELECT {old} FROM {} t WHERE EXISTS (SELECT 1 FROM {} w WHERE {equal})", job.name, windows.name);
    let differ = format!(
        "SELECT DISTINCT {listed} FROM (({staged} EXCEPT ALL {there}) UNION ALL ({there} EXCEPT ALL {staged})) d"
    );
    let changed = derive(job, "_floodmark_changed", &differ)?;

    let staged_in = |not: &str| {
        let pairs: Vec<String> = window.iter().map(|w| format!("w.{w} {} s.{w}", equality(nulls))).collect();
        format!("{} s WHERE {not} EXISTS (SELECT 1 FROM {} w WHERE {})", stage.name, changed.name, pairs.join(" AND "))
    };
    let mut outcome = Outcome::default();
    outcome.counts.unchanged = db
        .query_one(&format!("SELECT count(*) FROM {}", staged_in("NOT")), &[])
        .and_then(|row| row.try_get::<i64>(0))
        .map_err(&fail)? as u64;
    let delete = format!("DELETE FROM {} t USING {} w WHERE {equal}", job.name, changed.name);
    outcome.counts.removed = crash::at(Point::ReplaceWindow, || db.execute(&delete, &[]).map_err(&fail))?;
    let names = job.schema().names();
    let values: Vec<String> = names
        .iter()
        .filter_map(|name| job.table.get(name))
        .map(|c| c.write(&format!("s.{}", ddl::quote(&c.name))))
        .collect();
    let insert = format!(
        "INSERT INTO {} ({}) SELECT {} FROM {} ORDER BY s.{PLACE}",
        job.name,
        ddl::list(names.iter().copied()),
        values.join(", "),
        staged_in("")
    );
    outcome.counts.inserted = crash::at(Point::ReplaceWindow, || db.execute(&insert, &[]).map_err(&fail))?;
    Ok(outcome)
}

/// A temporary table with the target's columns, and a row's place and mark.
pub(super) fn make(job: &Job<'_>) -> Result<Stage> {
    let columns = job.schema().columns.iter().map(|c| (c.name.as_str(), c.data_type));
    let own = [(PLACE, DataType::BigInt), (stage::DELETE, DataType::Bool)];
    Stage::make(job.db, "_floodmark_stage", &columns.chain(own).collect::<Vec<_>>())
}

/// What rows hold, as lists for SELECT: those of a temporary table `s`, and those of the table `t`. Both have the columns'
/// names. Rows compare by what they hold; of json that is its text.
pub(super) fn contents(job: &Job<'_>) -> Result<(String, String)> {
    let (mut new, mut old) = (Vec::new(), Vec::new());
    for column in &job.schema().columns {
        let found = job.table.get(&column.name).ok_or_else(|| Error::internal("a column is not in the table"))?;
        let alias = ddl::quote(&column.name);
        let exact = if column.data_type == DataType::Json { "::VARCHAR" } else { "" };
        new.push(format!("({}){exact} AS {alias}", normal::staged(found, &format!("s.{alias}"))));
        old.push(format!("({}){exact} AS {alias}", found.read("t.")));
    }
    Ok((new.join(", "), old.join(", ")))
}

/// A temporary table of what a query finds.
pub(super) fn derive(job: &Job<'_>, name: &str, query: &str) -> Result<Stage> {
    let sql = format!("CREATE OR REPLACE TEMPORARY TABLE {name} AS {query}");
    crash::at(Point::Temporary, || job.db.execute(&sql, &[]).map_err(to("compare rows")))?;
    Ok(Stage::made(name))
}

fn equality(nulls: bool) -> &'static str {
    if nulls { "IS NOT DISTINCT FROM" } else { "=" }
}

/// The condition that two rows are of the same window: ours is `left` (a name with its point), the table's `right`.
/// `nulls`: there are NULLs, which are equal to each other here. Without them the comparison is a plain one.
pub(super) fn same_window(job: &Job<'_>, nulls: bool, left: &str, right: &str) -> Result<String> {
    let mut parts = Vec::new();
    for name in &job.plan.target.pipeline.window {
        let column = job.table.get(name).ok_or_else(|| Error::internal(format!("no window column {name:?}")))?;
        let ours = column.write(&format!("{left}{}", ddl::quote(name)));
        parts.push(format!("{} {} {ours}", column.there(right), equality(nulls)));
    }
    Ok(parts.join(" AND "))
}
