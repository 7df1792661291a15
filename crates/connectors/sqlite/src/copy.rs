//! Private copies of a database, on which loads may be tried.

use crate::{SqliteDestination, ddl, destination, failure::to, state};
use floodmark_connect::Stop;
use floodmark_core::{Code, Error, Result, pipeline::Pipeline, url::ConnectionUrl};
use rusqlite::{Connection, OpenFlags, backup::Backup, config::DbConfig};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

/// Pages copied before a stop is looked for: 40 MB of the usual size.
const COPIED_AT_ONCE: i32 = 10_000;

/// Copies all of a database into another, page for page.
pub(crate) fn pages(from: &Connection, into: &mut Connection, stop: &Stop) -> Result<()> {
    use rusqlite::backup::StepResult::{Busy, Done, Locked, More};
    let fail = to("copy the database");
    let backup = Backup::new(from, into).map_err(&fail)?;
    loop {
        match backup.step(COPIED_AT_ONCE).map_err(&fail)? {
            Done => return Ok(()),
            Busy | Locked => std::thread::sleep(Duration::from_millis(50)),
            More | _ => {}
        }
        stop.check()?;
    }
}

pub(crate) fn copy(
    original: &SqliteDestination,
    folder: &Path,
    without: &Pipeline,
    stop: &Stop,
) -> Result<ConnectionUrl> {
    let Some(path) = original.path() else {
        return Err(Error::new(Code::Unsafe, "a database in memory is gone with its process, and its state with it")
            .state("nothing was done")
            .help("name a file: sqlite:///shop.db"));
    };
    let target = folder.join(path.file_name().unwrap_or(OsStr::new("copy.db")));
    let url = url_of(&target)?;
    if !path.try_exists().unwrap_or(true) {
        return Ok(url);
    }
    let from = connect(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut into = destination::open(&target, flags).map_err(to("make the copy"))?;
    destination::bounds(&into).map_err(to("make the copy"))?;
    pages(&from, &mut into, stop)?;
    drop(from);
    forget(&mut into, without)?;
    Ok(url)
}

/// A file as a URL, which has its own marks.
fn url_of(path: &Path) -> Result<ConnectionUrl> {
    let cannot = || {
        Error::new(Code::BadArgument, format!("the path {} cannot be written as a URL", path.display()))
            .state("nothing was done")
            .help("choose another folder for the copies: --scratch DIR")
    };
    let url = ConnectionUrl::parse(&format!("sqlite:///{}", path.to_str().ok_or_else(cannot)?))?;
    if url.file_path()?.as_deref() != Some(path) || !path.is_absolute() {
        return Err(cannot());
    }
    Ok(url)
}

/// A connection that leaves the database's files as they are, and reads one state of it to its end.
fn connect(path: &Path) -> Result<Connection> {
    let fail = to("open the database");
    // Who may write removes SQLite's own files again that reading has made; who may not leaves none where it matters.
    let db = destination::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .or_else(|_| destination::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY))
        .map_err(&fail)?;
    destination::bounds(&db).map_err(&fail)?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if PathBuf::from(log).metadata().is_ok_and(|m| m.len() > 0) {
        // Closing as the last one would write the log back into the database's file.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(&fail)?;
    }
    let mode: String = db.query_row("PRAGMA journal_mode", [], |r| r.get(0)).map_err(&fail)?;
    if mode == "wal" {
        // One state, and no beginning anew when others write. In other modes this would keep them waiting.
        db.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").map_err(fail)?;
    }
    Ok(db)
}

/// As if the pipeline had never run.
fn forget(db: &mut Connection, pipeline: &Pipeline) -> Result<()> {
    let fail = to("take the pipeline's table out of the copy");
    // Rows of other tables that refer to this one's stay as they are; they are not looked at.
    db.pragma_update(None, "foreign_keys", false).map_err(&fail)?;
    db.pragma_update(None, "synchronous", "OFF").map_err(&fail)?;
    let tx = db.transaction().map_err(&fail)?;
    if state::present(&tx)? {
        state::create(&tx)?;
        state::forget(&tx, &pipeline.name)?;
        state::forget_all_rejects(&tx, &pipeline.name)?;
    }
    tx.execute_batch(&format!("DROP TABLE IF EXISTS {}", ddl::quote(&pipeline.destination.table))).map_err(&fail)?;
    tx.commit().map_err(&fail)?;
    let pages = |pragma: &str| db.query_row(&format!("PRAGMA {pragma}"), [], |r| r.get::<_, i64>(0)).map_err(&fail);
    if pages("freelist_count")? > pages("page_count")? / 4 {
        // Every trial copies this again: the room of the table that went would be most of it.
        db.execute_batch("VACUUM").map_err(&fail)?;
    }
    Ok(())
}
