//! Other libraries of the same process that have a database file open.
//!
//! The system's locks on a file are a process's: two SQLites (or DuckDBs) in one process do not keep each other out, and when
//! either closes the file, the locks of both are gone. Only the program that both are in can tell that there is another.

use floodmark_core::{Result, url::ConnectionUrl};
use std::{path::Path, sync::OnceLock};

/// Says whether a file may be opened; an error where another library has it open.
pub type Look = fn(&Path) -> Result<()>;

static LOOK: OnceLock<Look> = OnceLock::new();

/// Has `look` asked before a database of one file is used, from now on.
pub fn ask_before_opening(look: Look) {
    // The first one stays: a process has one program around it.
    let _ = LOOK.set(look);
}

pub(crate) fn look(url: &ConnectionUrl) -> Result<()> {
    match (LOOK.get(), url.scheme()) {
        (Some(look), "sqlite" | "duckdb") => url.file_path()?.map_or(Ok(()), |path| look(&path)),
        _ => Ok(()),
    }
}
