//! How a large table is cut for several readers: into stretches of its pages.
//!
//! # Why each row comes once
//!
//! All readers see one snapshot. Of a row it shows exactly one version, and that version stays where it lies, page and place,
//! for as long as the snapshot may see it: an `UPDATE` writes another version elsewhere, which the snapshot does not show,
//! `VACUUM` removes only what nobody sees any more, and what writes a table anew (`VACUUM FULL`, `CLUSTER`, `TRUNCATE`,
//! `ALTER TABLE`) waits for the lock that the readers hold. So stretches that cover all pages and share none give each row
//! once, whatever is written meanwhile. The last stretch has no end: it need not be known which page was the last one.
//!
//! # Why the rows are in the same order
//!
//! One reader is given a table's rows as they lie, page after page, and those of a table with partitions or heirs one table
//! after the other. The tables are taken in the order of the plan that the server makes for one reader, and left to one
//! reader where that plan is anything else than to look through whole tables. An index that serves the watermark's condition
//! is used as before.

use super::{failure::to, relation::Found, snapshot::Snapshot};
use crate::{ddl::quote, link::Db};
use floodmark_core::Result;
use serde::Deserialize;
use std::collections::VecDeque;
use tokio_postgres::types::{FromSql, Type};

/// Bytes of a part, about: so many that a statement for each costs nothing, and so few that readers are done at about the
/// same time.
const PART: u64 = 8 << 20;

/// So many bytes a table counts for at least, so that no statement is about thousands of empty ones.
const LEAST: u64 = PART / 128;

/// A table of fewer bytes is read before a second session has connected.
const LARGE: u64 = 32 << 20;

/// What is asked of a table: columns, and which rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Select {
    pub(crate) list: String,
    /// What follows the table: TABLESAMPLE, where only some of its pages are looked at.
    pub(crate) sample: String,
    pub(crate) condition: Option<String>,
    /// What follows the condition: ORDER BY, LIMIT. Parts of a table have no order among them but that of its pages: with
    /// this, or a sample, there is one reader.
    pub(crate) rest: String,
}

impl Select {
    /// The statement for what stands behind FROM under the name `t`, with further conditions.
    pub(crate) fn from(&self, from: &str, more: &[String]) -> String {
        let conditions: Vec<&str> = self.condition.iter().chain(more).map(String::as_str).collect();
        let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        format!("SELECT {} FROM {from}{}{filter}{}", self.list, self.sample, self.rest)
    }
}

/// A table that is read through.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    /// As it stands behind FROM, under the name `t`.
    from: String,
    /// Nothing where it is not to be cut.
    pages: u64,
    /// Bytes for each of its pages, with those of long values that lie elsewhere.
    page: u64,
}

impl Stored {
    /// Pages of a part.
    fn part(&self) -> u64 {
        (PART / self.page.max(1)).max(1)
    }
}

/// The statements whose rows, one after the other, are those that are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    select: Select,
    /// The tables that are left, in their order.
    tables: VecDeque<Stored>,
    /// Where in the first of them the next part begins.
    page: u64,
}

impl Parts {
    /// All in one.
    pub(crate) fn whole(found: &Found, select: Select) -> Parts {
        Parts { select, tables: [Stored { from: found.from.clone(), pages: 0, page: 0 }].into(), page: 0 }
    }

    /// Parts for several readers, where that keeps the order of the rows and is worth their while.
    pub(crate) fn of(db: &Db, snapshot: &Snapshot, select: &Select) -> Result<Option<Parts>> {
        let found = &snapshot.found;
        let Some(table) = &found.table else { return Ok(None) };
        if snapshot.bytes.is_some_and(|bytes| bytes < LARGE) {
            return Ok(None);
        }
        let Some(names) = plan(db, &select.from(&found.from, &[]))?.and_then(Node::tables) else { return Ok(None) };
        let Some(tables) = stored(db, table, &names)? else { return Ok(None) };
        let Some(largest) = tables.iter().max_by_key(|table| table.pages * table.page) else { return Ok(None) };
        // A server that knows no such scans (before PostgreSQL 14) would look through all of the table for each part.
        let middle = select.from(&largest.from, &pages(largest.part(), Some(2 * largest.part())));
        let served = plan(db, &middle)?.is_some_and(|node| node.kind == "Tid Range Scan");
        Ok(served.then(|| Parts { select: select.clone(), tables: tables.into(), page: 0 }))
    }

    /// How many of so many readers find one to begin with.
    pub(crate) fn employ(&self, readers: usize) -> usize {
        self.clone().take(readers).count()
    }
}

impl Iterator for Parts {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let (mut selects, mut taken) = (Vec::new(), 0);
        while let Some(table) = self.tables.front() {
            let (left, part) = (table.pages.saturating_sub(self.page), table.part());
            let bytes = (left * table.page).max(LEAST);
            if taken > 0 && taken + bytes > PART {
                break;
            }
            // What is left at the end is no part of its own where that would be a short one.
            let until = (left > part + part / 2).then_some(self.page + part);
            selects.push(self.select.from(&table.from, &pages(self.page, until)));
            taken += bytes;
            match until {
                Some(next) => self.page = next,
                None => {
                    self.tables.pop_front();
                    self.page = 0;
                }
            }
            if taken >= PART {
                break;
            }
        }
        // One after the other, as the server goes about it.
        (!selects.is_empty()).then(|| selects.join(" UNION ALL "))
    }
}

/// The conditions for rows of the pages from one on, and before another. Places on a page are counted from 1.
fn pages(from: u64, until: Option<u64>) -> Vec<String> {
    let lower = (from > 0).then(|| format!("t.ctid >= '({from},0)'::tid"));
    let upper = until.map(|until| format!("t.ctid < '({until},0)'::tid"));
    lower.into_iter().chain(upper).collect()
}

/// A step of a plan, as `EXPLAIN (VERBOSE, FORMAT JSON)` tells it.
#[derive(Debug, Deserialize)]
struct Node {
    #[serde(rename = "Node Type")]
    kind: String,
    /// What the step is to the one above it.
    #[serde(rename = "Parent Relationship")]
    role: Option<String>,
    #[serde(rename = "Schema")]
    schema: Option<String>,
    #[serde(rename = "Relation Name")]
    table: Option<String>,
    #[serde(rename = "Plans", default)]
    steps: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Explained {
    #[serde(rename = "Plan")]
    plan: Node,
}

impl<'a> FromSql<'a> for Explained {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let [plan]: [Explained; 1] = serde_json::from_slice(raw)?;
        Ok(plan)
    }

    tokio_postgres::types::accepts!(JSON);
}

impl Node {
    /// The tables that are looked through from the first page to the last, one after the other; `None` where rows come by
    /// anything else.
    fn tables(self) -> Option<Vec<(String, String)>> {
        match self.kind.as_str() {
            "Seq Scan" => Some(vec![(self.schema?, self.table?)]),
            "Append" => {
                let member = |step: Node| if step.role.as_deref() == Some("Member") { step.tables() } else { None };
                let each = self.steps.into_iter().map(member);
                Some(each.collect::<Option<Vec<_>>>()?.concat())
            }
            _ => None,
        }
    }
}

/// How the server means to go about a statement; `None` where it says that in words of its own.
fn plan(db: &Db, statement: &str) -> Result<Option<Node>> {
    let row = db
        .query_one(&format!("EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) {statement}"), &[])
        .map_err(to("plan how the rows are read"))?;
    Ok(row.try_get(0).ok().map(|explained: Explained| explained.plan))
}

/// The sizes of the tables that `table` consists of; `None` where all of them together are not large, and where one must not
/// be read by itself: for lack of a right to it, or because rows are hidden by a rule of the whole or of a part.
fn stored(db: &Db, table: &str, names: &[(String, String)]) -> Result<Option<Vec<Stored>>> {
    const SIZES: &str = "
        SELECT pg_relation_size(c.oid) / current_setting('block_size')::bigint, pg_table_size(c.oid),
               c.oid = $1::text::regclass OR (c.relkind = 'r' AND has_table_privilege(c.oid, 'SELECT')
                 AND NOT row_security_active(c.oid) AND NOT row_security_active($1::text::regclass))
        FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS n (schema, name, place)
        JOIN pg_namespace s ON s.nspname = n.schema::name
        JOIN pg_class c ON c.relnamespace = s.oid AND c.relname = n.name::name
        ORDER BY n.place";
    let look = to("look at the sizes of its tables");
    let (schemas, tables): (Vec<&str>, Vec<&str>) = names.iter().map(|(s, t)| (s.as_str(), t.as_str())).unzip();
    let rows = db.query(SIZES, &[&table, &schemas, &tables]).map_err(&look)?;
    let get = |row: &tokio_postgres::Row| -> Result<(i64, i64, bool), tokio_postgres::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
    };
    let sizes = rows.iter().map(get).collect::<Result<Vec<_>, _>>().map_err(&look)?;
    let bytes: i64 = sizes.iter().map(|(_, bytes, _)| bytes).sum();
    let readable = sizes.len() == names.len() && sizes.iter().all(|(.., readable)| *readable);
    if !readable || u64::try_from(bytes).unwrap_or(0) < LARGE {
        return Ok(None);
    }
    let stored = |((schema, name), (pages, bytes, _)): (&(String, String), &(i64, i64, bool))| Stored {
        from: format!("ONLY {}.{} AS t", quote(schema), quote(name)),
        pages: u64::try_from(*pages).unwrap_or(0),
        page: u64::try_from(bytes / (*pages).max(1)).unwrap_or(0),
    };
    Ok(Some(names.iter().zip(&sizes).map(stored).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of tables with 1024 pages for a part.
    fn parts(condition: Option<&str>, tables: &[(&str, u64)]) -> Vec<String> {
        let select = Select { list: "t.a".into(), condition: condition.map(str::to_owned), ..Select::default() };
        let stored = |(from, pages): &(&str, u64)| Stored { from: (*from).into(), pages: *pages, page: 8192 };
        Parts { select, tables: tables.iter().map(stored).collect(), page: 0 }.collect()
    }

    #[test]
    fn parts_cover_all_pages_and_share_none() {
        assert_eq!(parts(None, &[("x AS t", 0)]), ["SELECT t.a FROM x AS t"]);
        assert_eq!(parts(None, &[("x AS t", 1024)]), ["SELECT t.a FROM x AS t"]);
        assert_eq!(
            parts(Some("t.a > 1"), &[("x AS t", 2560), ("y AS t", 1024), ("z AS t", 2048)]),
            [
                "SELECT t.a FROM x AS t WHERE t.a > 1 AND t.ctid < '(1024,0)'::tid",
                "SELECT t.a FROM x AS t WHERE t.a > 1 AND t.ctid >= '(1024,0)'::tid",
                "SELECT t.a FROM y AS t WHERE t.a > 1",
                "SELECT t.a FROM z AS t WHERE t.a > 1 AND t.ctid < '(1024,0)'::tid",
                "SELECT t.a FROM z AS t WHERE t.a > 1 AND t.ctid >= '(1024,0)'::tid",
            ]
        );
        let all = parts(None, &[("x AS t", 102_400 + 768)]);
        assert_eq!(all.len(), 101);
        for (n, part) in all.iter().enumerate() {
            let from = (n > 0).then(|| format!("t.ctid >= '({},0)'::tid", n * 1024));
            let until = (n < 100).then(|| format!("t.ctid < '({},0)'::tid", (n + 1) * 1024));
            let both: Vec<String> = from.into_iter().chain(until).collect();
            assert_eq!(*part, format!("SELECT t.a FROM x AS t WHERE {}", both.join(" AND ")));
        }
    }

    #[test]
    fn small_tables_are_read_by_one_statement() {
        assert_eq!(
            parts(None, &[("x AS t", 0), ("y AS t", 1016), ("z AS t", 1)]),
            ["SELECT t.a FROM x AS t UNION ALL SELECT t.a FROM y AS t", "SELECT t.a FROM z AS t"]
        );
        assert_eq!(parts(None, &[("x AS t", 0); 1000]).len(), 8);
    }

    /// A table of few pages may hold long values that lie elsewhere.
    #[test]
    fn parts_are_as_large_with_what_lies_elsewhere() {
        let select = Select { list: "t.a".into(), ..Select::default() };
        let long = Stored { from: "x AS t".into(), pages: 100, page: PART };
        assert_eq!(Parts { select: select.clone(), tables: [long].into(), page: 0 }.count(), 100);
        let longer = Stored { from: "x AS t".into(), pages: 100, page: 3 * PART };
        assert_eq!(Parts { select, tables: [longer].into(), page: 0 }.employ(4), 4);
    }

    fn tables(plan: &str) -> Option<Vec<(String, String)>> {
        let [explained]: [Explained; 1] = serde_json::from_str(plan).unwrap();
        explained.plan.tables()
    }

    #[test]
    fn a_plan_that_looks_through_tables_names_them() {
        let is =
            |names: &[&str]| Some(names.iter().map(|name| ("s".to_owned(), (*name).to_owned())).collect::<Vec<_>>());
        assert_eq!(tables(r#"[{"Plan": {"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "a"}}]"#), is(&["a"]));
        let scan = |kind: &str, table: &str, role: &str| {
            format!(
                r#"{{"Node Type": "{kind}", "Parent Relationship": "{role}", "Schema": "s", "Relation Name": "{table}"}}"#
            )
        };
        let over = |kind: &str, steps: &[String]| {
            format!(
                r#"[{{"Plan": {{"Node Type": "{kind}", "Parallel Aware": false, "Plans": [{}]}}}}]"#,
                steps.join(", ")
            )
        };
        let two = [scan("Seq Scan", "b", "Member"), scan("Seq Scan", "a", "Member")];
        assert_eq!(tables(&over("Append", &two)), is(&["b", "a"]));
        assert_eq!(tables(&over("Gather", &two)), None);
        assert_eq!(tables(&over("Append", &[two[0].clone(), scan("Index Scan", "a", "Member")])), None);
        assert_eq!(tables(&over("Append", &[two[0].clone(), scan("Foreign Scan", "a", "Member")])), None);
        assert_eq!(tables(&over("Append", &[two[0].clone(), scan("Seq Scan", "a", "InitPlan")])), None);
        assert_eq!(tables(r#"[{"Plan": {"Node Type": "Index Scan", "Schema": "s", "Relation Name": "a"}}]"#), None);
    }
}
