//! From SQLite's errors to ours.

use floodmark_core::{Code, Error};
use rusqlite::ErrorCode;

/// What SQLite said, with the code and remedy that fit. `doing` completes "SQLite failed to …".
pub(crate) fn failed(doing: &str, error: rusqlite::Error) -> Error {
    let kind = error.sqlite_error_code();
    let (code, help) = match kind {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Code::DestinationBusy,
            "another program holds a write lock on the database: let it finish, or close it, and run again",
        ),
        Some(ErrorCode::NotADatabase) => {
            (Code::DestinationOpen, "the file is not an SQLite database: name another file, or move this one away")
        }
        Some(ErrorCode::DatabaseCorrupt) => (
            Code::DestinationOpen,
            "the database file is damaged: check it with `sqlite3 FILE 'PRAGMA integrity_check'` and restore a backup",
        ),
        Some(ErrorCode::CannotOpen) => (Code::DestinationOpen, "check that the folder exists and may be written to"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            Code::DestinationOpen,
            "the database is read-only: give write permission on the file, on those beside it (-wal, -shm) and on its folder",
        ),
        Some(ErrorCode::DiskFull) => (Code::DestinationWrite, "the disk is full: free some room and run again"),
        Some(ErrorCode::TooBig) => (Code::DestinationWrite, "a value is larger than SQLite's limit (1 GB)"),
        Some(ErrorCode::ConstraintViolation) => (
            Code::TableShape,
            "the table has a constraint that the rows break: drop the constraint, or correct the rows with `transform`",
        ),
        _ => (Code::DestinationWrite, "nothing needs repair: after the cause is mended, run again"),
    };
    Error::new(code, format!("SQLite failed to {doing}"))
        .state("the open transaction was rolled back")
        .help(help)
        .cause(error)
}

/// `map_err` shorthand.
pub(crate) fn to(doing: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |error| failed(doing, error)
}
