//! What becomes of each staged row, as queries: the rule of `floodmark_core::merge` said in SQL.

use super::{
    Job,
    joined::APART,
    memory::Memory,
    same_key,
    stage::{DELETE, Stage},
    staged::{ROW, Staged},
    window::derive,
};
use crate::{
    codec,
    ddl::{self, Found},
    failure::to,
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{
    DataType, Error, Result,
    merge::{Existing, Fate, Standing, decide},
    pipeline::Load,
};
use std::cmp::Ordering;

/// A table of each staged row's place, that of the table's row of its key, its fate, and in which columns the two differ.
///
/// First those whose keys the table holds: a join of what both have lets DuckDB take no other rows of the table's than these.
pub(super) fn derived(job: &Job<'_>, staged: &Staged, memory: &Memory) -> Result<Stage> {
    let (name, key) = (&staged.stage.name, &staged.layout.names[..staged.layout.key]);
    let repeated = repeated(job, staged)?;
    let copies = repeated.as_ref().map_or_else(String::new, |repeated| {
        let pairs: Vec<String> = key.iter().map(|k| ddl::quote(k)).map(|k| format!("r.{k} = s.{k}")).collect();
        format!(" LEFT JOIN {} r ON {}", repeated.name, pairs.join(" AND "))
    });
    let alone = alone(staged, repeated.is_some());
    let case = |rest: Vec<(String, usize)>| {
        let cases = alone.iter().chain(&rest).map(|(condition, fate)| format!("WHEN {condition} THEN {fate}"));
        format!("CASE {} END::INTEGER", cases.collect::<Vec<_>>().join(" "))
    };
    let same = compared(job, staged)?;
    let there = format!(
        "SELECT s.{ROW} AS place, t.{ROW} AS there, {} AS fate, {} AS differs FROM {name} s JOIN {} t ON {}{copies}",
        case(beside(job, staged, memory, &same)?),
        differs(&same),
        job.name,
        same_key(job.table, key, "s.", "t.")?
    );
    let fates = derive(job, "_floodmark_fates", &there)?;
    let absent = format!(
        "INSERT INTO {0} SELECT s.{ROW}, NULL, {1}, 0 FROM {name} s{copies}
         WHERE NOT EXISTS (SELECT 1 FROM {0} f WHERE f.place = s.{ROW})",
        fates.name,
        case(vec![("true".to_owned(), absent(job, memory))])
    );
    crash::at(Point::Temporary, || job.db.execute(&absent, &[]).map_err(to("compare rows")))?;
    Ok(fates)
}

/// Keys that come more than once: of their copies the rule takes one after the other.
fn repeated(job: &Job<'_>, staged: &Staged) -> Result<Option<Stage>> {
    if staged.rising {
        return Ok(None);
    }
    let key = ddl::list(staged.layout.names[..staged.layout.key].iter().map(String::as_str));
    let sql = format!("SELECT {key} FROM {} GROUP BY {key} HAVING count(*) > 1", staged.stage.name);
    let repeated = derive(job, "_floodmark_repeated", &sql)?;
    let any: bool = (job.db.query_one(&format!("SELECT count(*) > 0 FROM {}", repeated.name), &[]))
        .and_then(|row| row.try_get(0))
        .map_err(to("look for keys that come more than once"))?;
    Ok(any.then_some(repeated))
}

/// The columns that can differ, each with the condition that it does not.
fn compared(job: &Job<'_>, staged: &Staged) -> Result<Vec<(usize, String)>> {
    let layout = &staged.layout;
    // What most likely differs comes first, and what takes long to compare last: the first difference is enough.
    let mut compared: Vec<usize> = layout.data().filter(|n| staged.came[*n]).collect();
    compared.sort_by_key(|n| {
        let long = matches!(layout.types[*n], DataType::Text | DataType::Json | DataType::Bytes);
        (layout.version != Some(*n), long)
    });
    let same = |n: usize| {
        let name = &layout.names[n];
        let found = job.table.get(name).ok_or_else(|| Error::internal(format!("no column {name:?} in the table")))?;
        let (came, there) = sides(name, found);
        let kept = if layout.keeps[n] { format!("{came} IS NULL OR ") } else { String::new() };
        Ok((n, format!("{kept}{came} IS NOT DISTINCT FROM {there}")))
    };
    compared.into_iter().map(same).collect()
}

/// In which columns a row differs, as a number: a bit for each.
fn differs(same: &[(usize, String)]) -> String {
    let bits = same.iter().map(|(n, same)| format!("CASE WHEN {same} THEN 0 ELSE {} END", bit(*n)));
    format!("({})::BIGINT", std::iter::once("0".to_owned()).chain(bits).collect::<Vec<_>>().join(" | "))
}

/// A column's bit. Of many columns some share one.
pub(super) fn bit(column: usize) -> i64 {
    1 << (column % 62)
}

/// Conditions on rows for which more than the table's row counts.
fn alone(staged: &Staged, repeated: bool) -> Vec<(String, usize)> {
    let marked = staged.marks.then(|| format!("s.{DELETE}"));
    let repeated = repeated.then(|| format!("r.{} IS NOT NULL", ddl::quote(&staged.layout.names[0])));
    marked.into_iter().chain(repeated).map(|condition| (condition, APART)).collect()
}

/// What becomes of a row whose key the table lacks.
fn absent(job: &Job<'_>, memory: &Memory) -> usize {
    let inserted =
        decide(Existing::Absent, Ordering::Equal, false, versioned(job)) == Fate::Insert && !memory.tombstones;
    if inserted { Standing::Inserted as usize } else { APART }
}

/// A keyed overwrite makes the table the source: what the table held counts for nothing.
fn versioned(job: &Job<'_>) -> bool {
    let pipeline = job.plan.target.pipeline;
    pipeline.version.is_some() && pipeline.load != Load::Overwrite
}

/// Conditions, of which the first that holds says what becomes of a row beside the table's.
fn beside(job: &Job<'_>, staged: &Staged, memory: &Memory, same: &[(usize, String)]) -> Result<Vec<(String, usize)>> {
    let layout = &staged.layout;
    let found = |n: usize| {
        let name = &layout.names[n];
        job.table.get(name).ok_or_else(|| Error::internal(format!("no column {name:?} in the table")))
    };
    let apart = |condition: String| (condition, APART);
    let mut cases = Vec::new();
    if let Some(at) = layout.deleted {
        cases.push(apart(format!("t.{}", ddl::quote(&found(at)?.name))));
    }
    if job.plan.target.pipeline.load == Load::InsertOnly {
        cases.push(("true".to_owned(), Standing::Unchanged as usize));
        return Ok(cases);
    }
    if memory.dates {
        // Values older than their row are told by what is remembered of each.
        let kept = layout.data().filter(|n| layout.keeps[*n] && staged.came[*n]);
        let kept = kept.map(|n| format!("s.{} IS NULL", ddl::quote(&layout.names[n])));
        let kept: Vec<String> = if memory.dated { vec!["true".to_owned()] } else { kept.collect() };
        cases.extend(kept.into_iter().map(apart));
    }
    let order = [Ordering::Less, Ordering::Equal, Ordering::Greater];
    let mut orders = ["false".to_owned(), "true".to_owned(), "false".to_owned()];
    if let Some(at) = layout.version {
        let its = found(at)?;
        let (came, there) = sides(&layout.names[at], its);
        if matches!(its.data_type, DataType::Date | DataType::Timestamp { .. } | DataType::TimestampTz { .. }) {
            // Such a version compares with none of ours, and the look at its row says so.
            cases.push(apart(format!("isinf({there})")));
        }
        // NULL comes before every version.
        let less = |a: &str, b: &str| format!("({a} < {b} OR ({a} IS NULL AND {b} IS NOT NULL))");
        orders = [less(&came, &there), format!("{came} IS NOT DISTINCT FROM {there}"), less(&there, &came)];
    }
    for (order, condition) in order.into_iter().zip(orders) {
        let stale = decide(Existing::Row { deleted: false }, order, false, versioned(job)) == Fate::Stale;
        let fate = if memory.dates { APART } else { Standing::Stale as usize };
        cases.extend(stale.then_some((condition, fate)));
    }
    let same: Vec<String> = same.iter().map(|(_, same)| format!("({same})")).collect();
    let same = if same.is_empty() { "true".to_owned() } else { same.join(" AND ") };
    cases.push((same, Standing::Unchanged as usize));
    cases.push(("true".to_owned(), Standing::Updated as usize));
    Ok(cases)
}

/// A column's value as it came, and as it is there, so that they compare by every byte.
fn sides(name: &str, found: &Found) -> (String, String) {
    let there = found.read("t.");
    let there = if found.data_type == DataType::Json { format!("{there}::VARCHAR") } else { there };
    (format!("s.{}", ddl::quote(name)), there)
}

/// Whether the rule can be said so for a table: its columns hold the values that come.
pub(super) fn holds(job: &Job<'_>) -> bool {
    job.schema().columns.iter().all(|column| {
        (job.table.get(&column.name)).is_some_and(|found| {
            !found.is_foreign() && codec::declared(found.data_type) == codec::declared(column.data_type)
        })
    })
}
