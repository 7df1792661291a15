//! What somebody else sees of a database: for tests, which look at what a run left.

use crate::{
    codec::{self, Way},
    ddl::quote,
    instance::{Access, Instance},
    link::Db,
    settings::Settings,
};
use floodmark_connect::Stop;
use floodmark_core::{Result, Value, url::ConnectionUrl};
use std::path::Path;

/// Names of columns, and rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// In the query's order.
    pub columns: Vec<String>,
    /// Values of types that are not Floodmark's are texts.
    pub rows: Vec<Vec<Value>>,
}

fn open(file: &Path) -> Result<Db> {
    let url = ConnectionUrl::parse(&format!("duckdb:///{}", file.display()))?;
    let settings = Settings::of(&url)?;
    // A process that was killed is gone a moment later.
    let wait = Some(std::time::Duration::from_secs(10));
    Db::connect(&Instance::open(file, Access::Write, &settings.all(), wait, &Stop::default())?)
}

/// Rows of a query.
pub fn query(file: &Path, sql: &str) -> Result<Rows> {
    let db = open(file)?;
    let fail = crate::failure::to("read rows");
    let described = db.query(&format!("SELECT column_name, column_type FROM (DESCRIBE {sql})"), &[]).map_err(&fail)?;
    let (mut columns, mut types, mut select) = (Vec::new(), Vec::new(), Vec::new());
    for row in &described {
        let (name, declared): (String, String) =
            row.try_get(0).and_then(|name| Ok((name, row.try_get(1)?))).map_err(&fail)?;
        let read = codec::read_as(&declared);
        let cast = match read.way {
            Way::Ours => String::new(),
            _ => format!("::{}", codec::read_type(read.data_type)),
        };
        select.push(format!("{}{cast}", quote(&name)));
        types.push(read.data_type);
        columns.push(name);
    }
    let mut rows = Vec::new();
    db.copy_out(&format!("SELECT {} FROM ({sql}) q", select.join(", ")), |row| {
        rows.push(types.iter().enumerate().map(|(at, t)| codec::shown(row.cell(at), *t)).collect());
        Ok(())
    })?;
    Ok(Rows { columns, rows })
}

/// Statements, by hand.
pub fn execute(file: &Path, sql: &str) -> Result<()> {
    open(file)?.execute_batch(sql).map_err(crate::failure::to("do what was written by hand"))
}
