//! What is read: a table, a view, or the result of a query.

use crate::{
    ddl::{MAX_NAME, quote, split},
    link::Db,
    source::failure::to,
};
use floodmark_core::{Code, Error, Result, pipeline::Relation, wording};

/// A relation that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// What the ledger calls it.
    pub(crate) name: String,
    /// As it stands behind FROM, under the name `t`.
    pub(crate) from: String,
    /// Its quoted name, where it is a table: plain, or one with partitions.
    pub(crate) table: Option<String>,
    /// Whether all of its rows are its own: it has no partitions or heirs.
    pub(crate) alone: bool,
    /// How many rows the server believes it has.
    pub(crate) estimate: u64,
    /// And how many pages.
    pub(crate) pages: u64,
}

/// Names that are listed at most for one that is wrong.
const LISTED: i64 = 5000;

pub(crate) fn find(db: &Db, relation: &Relation) -> Result<Found> {
    let written = match relation {
        Relation::Query(sql) => return Ok(query(sql)),
        Relation::Table(written) => written,
    };
    let (schema, table) = split(written).map_err(|error| error.or_state("nothing was written"))?;
    let read = to("find the table");
    let row = db
        .query_opt(
            "SELECT n.nspname::text, c.relkind IN ('r', 'p'), greatest(c.reltuples, 0)::bigint,
                    c.relkind = 'r' AND NOT c.relhassubclass, c.relpages::bigint
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relname::text = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
               AND CASE WHEN $2::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname::text = $2 END",
            &[&table.as_ref(), &schema.as_deref()],
        )
        .map_err(&read)?;
    let Some(row) = row else { return Err(missing(db, written, &table, schema.is_some())) };
    let get = || -> Result<(String, bool, i64, bool, i64), tokio_postgres::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?))
    };
    let (schema, stored, estimate, alone, pages) = get().map_err(&read)?;
    let quoted = format!("{}.{}", quote(&schema), quote(&table));
    Ok(Found {
        name: format!("{schema}.{table}"),
        from: format!("{quoted} AS t"),
        table: stored.then_some(quoted),
        alone,
        estimate: u64::try_from(estimate).unwrap_or(0),
        pages: u64::try_from(pages).unwrap_or(0),
    })
}

/// The rows of a relation for which a condition in the server's SQL holds.
///
/// # Errors
/// Where the name cannot be read.
pub fn filtered(relation: &Relation, condition: &str) -> Result<Relation> {
    let from = match relation {
        Relation::Table(written) => {
            let (schema, table) = split(written).map_err(|error| error.or_state("nothing was written"))?;
            schema.map_or_else(|| quote(&table), |schema| format!("{}.{}", quote(&schema), quote(&table)))
        }
        Relation::Query(sql) => query(sql).from,
    };
    // The line's end is for a comment at the end of the condition.
    Ok(Relation::Query(format!("SELECT * FROM {from} WHERE ({condition}\n)")))
}

fn query(sql: &str) -> Found {
    let sql = sql.trim().trim_end_matches(';');
    // The line's end is for a comment at the end of the query.
    let from = format!("({sql}\n) AS t");
    Found { name: "query".into(), from, table: None, alone: false, estimate: 0, pages: 0 }
}

/// `qualified`: a schema was named.
fn missing(db: &Db, written: &str, table: &str, qualified: bool) -> Error {
    let error = Error::new(Code::SourceMissing, format!("the source has no table or view {written:?}"));
    if table.len() > MAX_NAME {
        return error
            .help(format!("PostgreSQL's names have at most {MAX_NAME} bytes, and this one has {}", table.len()));
    }
    let names = db.query(
        "SELECT CASE WHEN $2 OR NOT pg_table_is_visible(c.oid) THEN n.nspname || '.' || c.relname ELSE c.relname::text END
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
           AND c.relname NOT LIKE '\\_floodmark\\_%'
         ORDER BY 1 LIMIT $1",
        &[&LISTED, &qualified],
    );
    // A table that is not found is told of also where the others cannot be listed.
    let names: Vec<String> = names.iter().flatten().filter_map(|row| row.try_get(0).ok()).collect();
    if names.is_empty() {
        return error.help("the database has no table that this user could see: check the URL");
    }
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    // Of a table in another schema the name alone is enough to go by.
    match known.iter().find(|name| name.rsplit('.').next() == Some(table)) {
        Some(elsewhere) => error.help(format!("did you mean {elsewhere:?}?")),
        None => error.help(wording::suggest(written, "there are", &known)),
    }
    .help("names are case-sensitive here, and those without a schema are looked for by search_path")
}
