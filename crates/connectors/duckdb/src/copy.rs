//! Private copies, on which loads may be tried: a file of their own.

use crate::{
    DuckdbDestination,
    ddl::{self, Name},
    failure::to,
    instance::Access,
    link::{Db, Step},
    receipts, state,
};
use floodmark_connect::{Destination, Stop};
use floodmark_core::{Code, Error, Result, pipeline::Pipeline, url::ConnectionUrl};
use std::path::Path;

pub(crate) fn copy(
    original: &DuckdbDestination,
    folder: &Path,
    without: &Pipeline,
    stop: &Stop,
) -> Result<ConnectionUrl> {
    let target = folder.join("copy.duckdb");
    let url = url_of(&target)?;
    for left in [target.clone(), folder.join("copy.duckdb.wal")] {
        let _ = std::fs::remove_file(left);
    }
    if !original.exists() {
        return Ok(url);
    }
    stop.check()?;
    let fail = to("make the copy");
    {
        let from = original.connect(Access::Write)?;
        let name: String =
            from.query_one("SELECT current_database()", &[]).and_then(|row| row.try_get(0)).map_err(&fail)?;
        // Another name than any database has here.
        let into = "_floodmark_copy";
        let attach = format!("ATTACH {} AS {into}", ddl::literal(&target.display().to_string()));
        from.execute_batch(&attach).map_err(&fail)?;
        let copied = from.execute_batch(&format!("COPY FROM DATABASE {} TO {into}", ddl::quote(&name)));
        let detached = from.execute_batch(&format!("DETACH {into}"));
        copied.and(detached).map_err(&fail)?;
    }
    stop.check()?;
    forget(&DuckdbDestination::new(&url)?.connect(Access::Write)?, without)?;
    Ok(url)
}

/// A file as a URL, which has its own marks.
fn url_of(path: &Path) -> Result<ConnectionUrl> {
    let cannot = || {
        Error::new(Code::BadArgument, format!("the path {} cannot be written as a URL", path.display()))
            .state("nothing was done")
            .help("choose another folder for the copies: --scratch DIR")
    };
    let url = ConnectionUrl::parse(&format!("duckdb:///{}", path.to_str().ok_or_else(cannot)?))?;
    if url.file_path()?.as_deref() != Some(path) || !path.is_absolute() {
        return Err(cannot());
    }
    Ok(url)
}

/// As if the pipeline had never run.
fn forget(db: &Db, pipeline: &Pipeline) -> Result<()> {
    let fail = to("take the pipeline's table out of the copy");
    let step = Step::begin(db, false)?;
    let name = Name::resolve(db, &pipeline.destination.table)?;
    if state::present(db)? {
        state::forget(db, &pipeline.name)?;
        receipts::forget_all_rejects(db, &pipeline.name)?;
        state::forget_key(db, &name)?;
    }
    if ddl::table(db, &name)?.is_some() {
        db.execute_batch(&format!("DROP TABLE {name}")).map_err(&fail)?;
    }
    step.commit().map_err(fail)
}
