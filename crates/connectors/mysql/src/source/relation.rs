//! What is read: a table, a view, or the result of a query.

use super::{
    failure::to,
    names::{quote, split, text},
};
use crate::link::Db;
use floodmark_core::{Code, Error, Result, pipeline::Relation, wording};

/// The servers' limit.
const MAX_NAME: usize = 64;

/// Names that are listed at most for one that is wrong.
const LISTED: usize = 5000;

/// A relation that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// What the ledger calls it.
    pub(crate) name: String,
    /// As it stands behind FROM, under the name `t`.
    pub(crate) from: String,
    /// How many rows the server believes it has.
    pub(crate) estimate: u64,
}

pub(crate) fn find(db: &Db, relation: &Relation) -> Result<Found> {
    let written = match relation {
        Relation::Query(sql) => return Ok(query(sql)),
        Relation::Table(written) => written,
    };
    let (database, table) = split(written);
    let schema = database.as_deref().unwrap_or(&db.server.database);
    let sql = format!(
        "SELECT table_schema, table_name, COALESCE(table_rows, 0) FROM information_schema.tables
         WHERE table_schema = {} AND table_name = {}",
        text(schema),
        text(&table)
    );
    let rows = db.query(&sql).map_err(to("find the table"))?;
    // Of names that differ by their case alone, on a server that tells them apart, the one that is meant.
    let exact = rows.iter().find(|row| row.text(1) == Some(&table));
    let Some(row) = exact.or_else(|| rows.first().filter(|_| !db.server.case_sensitive)) else {
        return Err(missing(db, written, &table, database.is_some()));
    };
    let (schema, table) = (row.text(0).unwrap_or(schema), row.text(1).unwrap_or(&table));
    Ok(Found {
        // A database has another name where it is restored or copied to: what was loaded of its table is that of this one.
        name: table.to_owned(),
        from: format!("{}.{} AS t", quote(schema), quote(table)),
        estimate: row.number(2).unwrap_or(0),
    })
}

/// The rows of a relation for which a condition in the server's SQL holds.
pub fn filtered(relation: &Relation, condition: &str) -> Relation {
    let from = match relation {
        Relation::Table(written) => {
            let (database, table) = split(written);
            database.map_or_else(|| quote(&table), |database| format!("{}.{}", quote(&database), quote(&table)))
        }
        Relation::Query(sql) => query(sql).from,
    };
    // The line's end is for a comment at the end of the condition.
    Relation::Query(format!("SELECT * FROM {from} WHERE ({condition}\n)"))
}

fn query(sql: &str) -> Found {
    let sql = sql.trim().trim_end_matches(';');
    // The line's end is for a comment at the end of the query.
    Found { name: "query".into(), from: format!("({sql}\n) AS t"), estimate: 0 }
}

/// `qualified`: a database was named.
fn missing(db: &Db, written: &str, table: &str, qualified: bool) -> Error {
    let error = Error::new(Code::SourceMissing, format!("the source has no table or view {written:?}"));
    let length = table.chars().count();
    if length > MAX_NAME {
        return error.help(format!("the server's names have at most {MAX_NAME} characters, and this one has {length}"));
    }
    let own = text(&db.server.database);
    let sql = format!(
        "SELECT IF({} OR table_schema <> {own}, CONCAT(table_schema, '.', table_name), table_name)
         FROM information_schema.tables
         WHERE table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
           AND LEFT(table_name, 11) <> '_floodmark_'
         ORDER BY table_schema <> {own}, table_name LIMIT {LISTED}",
        u8::from(qualified)
    );
    // A table that is not found is told of also where the others cannot be listed.
    let rows = db.query(&sql).unwrap_or_default();
    let known: Vec<&str> = rows.iter().filter_map(|row| row.text(0)).collect();
    if known.is_empty() {
        return error.help("the server has no table that this user could see: check the URL, and SHOW GRANTS");
    }
    // Of a table in another database the name alone is enough to go by.
    let error = match known.iter().find(|name| name.rsplit('.').next() == Some(table)) {
        Some(elsewhere) => error.help(format!("did you mean {elsewhere:?}?")),
        None => error.help(wording::suggest(written, "there are", &known)),
    };
    match db.server.case_sensitive {
        true => error.help("names of tables are case-sensitive on this server"),
        false => error,
    }
}
