//! From DuckDB's errors to ours.

use crate::raw::{Failure, Kind};
use floodmark_core::{Code, Error};

/// What DuckDB said, with the code and remedy that fit. `doing` completes "DuckDB failed to …".
pub(crate) fn failed(doing: &str, failure: Failure) -> Error {
    let (code, help) = remedy(&failure);
    // Nothing was open yet.
    let state = if failure.kind == Kind::Setting {
        "nothing was read or written"
    } else {
        "the open transaction was rolled back"
    };
    let error =
        Error::new(code, format!("DuckDB failed to {doing}")).state(state).help(help).cause(failure.message.clone());
    passing(error, &failure)
}

/// What DuckDB said while something was read of a source.
pub(crate) fn unreadable(failure: Failure) -> Error {
    if failure.kind == Kind::Setting {
        return failed("open the source", failure);
    }
    let help = match failure.kind {
        Kind::Io | Kind::Memory | Kind::Permission | Kind::Serialization | Kind::Fatal => remedy(&failure).1,
        _ => "try the statement in `duckdb FILE`",
    };
    let error = Error::new(Code::SourceRead, "DuckDB failed to read the source").help(help);
    passing(error.cause(failure.message.clone()), &failure)
}

/// The error, with whether it passes by itself.
fn passing(error: Error, failure: &Failure) -> Error {
    if failure.kind == Kind::Fatal || is_conflict(failure) { error.transient() } else { error }
}

/// Another transaction wrote to the same at that moment.
fn is_conflict(failure: &Failure) -> bool {
    failure.kind == Kind::Transaction && failure.message.to_ascii_lowercase().contains("conflict")
}

/// What DuckDB said to a commit. Where it gave the database up, all was committed, or nothing: it may have failed afterwards, at
/// writing its log back. Which of the two shows once the file is opened anew, so the same is tried again.
pub(crate) fn uncommitted(doing: &'static str) -> impl Fn(Failure) -> Error {
    move |failure| {
        if failure.kind != Kind::Fatal {
            return failed(doing, failure);
        }
        Error::new(Code::DestinationWrite, format!("DuckDB failed to {doing}, or to write its log back after that"))
            .state("all of it is committed, or nothing: the file says which when it is opened again")
            .help(GIVEN_UP)
            .cause(failure.message)
            .transient()
    }
}

/// What to do where DuckDB gave the database up.
const GIVEN_UP: &str = "see what the disk says, and run again: what is committed is found there";

fn remedy(failure: &Failure) -> (Code, &'static str) {
    let says = |part: &str| failure.message.contains(part);
    match failure.kind {
        _ if says("version number") || says("storage version") => (
            Code::DestinationOpen,
            "copy it into the older form, with the DuckDB that wrote it: ATTACH 'newer.duckdb' AS newer (READ_ONLY); ATTACH \
             'warehouse.duckdb' AS warehouse (STORAGE_VERSION 'v1.5.0'); COPY FROM DATABASE newer TO warehouse;",
        ),
        _ if says("not a valid DuckDB database file") => {
            (Code::DestinationOpen, "the file is not a DuckDB database: name another file, or move this one away")
        }
        _ if says("replaying WAL file") => (
            Code::DestinationOpen,
            "the log beside the database (.wal) is damaged, or another database's: restore both from a backup; without the \
             log what is committed since the last checkpoint is missing",
        ),
        _ if says("No space left") => (Code::DestinationWrite, "the disk is full: free some room and run again"),
        _ if says("Permission denied") || says("read-only") || says("Read-only") => (
            Code::DestinationOpen,
            "the database may not be written to: give write permission on the file, on the one beside it (.wal) and on its \
             folder",
        ),
        _ if says("Serialization Error") || says("Corrupt") || says("corrupt") => (
            Code::DestinationOpen,
            "the database file is damaged: restore a backup, or save what can be read with EXPORT DATABASE",
        ),
        Kind::Io if says("Cannot open file") || says("does not exist") => {
            (Code::DestinationOpen, "check that the folder exists and may be written to")
        }
        Kind::Io => {
            (Code::DestinationWrite, "see what the disk or its file system says: after the cause is mended, run again")
        }
        Kind::Memory => (
            Code::DestinationWrite,
            "give DuckDB more memory (duckdb:///file.duckdb?memory_limit=2GB), or room beside the file for what does not fit",
        ),
        Kind::Setting => (
            Code::BadUrl,
            "correct what stands behind the ? of its URL: memory_limit=1GB, threads=4, max_temp_directory_size=10GB",
        ),
        Kind::Permission => (Code::DestinationOpen, "give write permission on the file and on its folder"),
        Kind::Constraint => (
            Code::TableShape,
            "the table has a constraint that the rows break: drop the constraint, or correct the rows with `transform`",
        ),
        Kind::Dependency => (
            Code::TableShape,
            "an index or a view depends on what would change: drop it first, or leave the columns' types as they are",
        ),
        Kind::Conversion => (
            Code::Unstorable,
            "the table's column is too narrow for a value: give it a wider type (ALTER TABLE … ALTER … TYPE …)",
        ),
        Kind::Fatal => (Code::DestinationWrite, GIVEN_UP),
        Kind::Transaction if is_conflict(failure) => {
            (Code::DestinationBusy, "another program of this process wrote to the same rows at that moment: run again")
        }
        _ => (Code::DestinationWrite, "nothing needs repair: after the cause is mended, run again"),
    }
}

/// `map_err` shorthand.
pub(crate) fn to(doing: &'static str) -> impl Fn(Failure) -> Error {
    move |failure| failed(doing, failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_source_keeps_its_kind() {
        let told = |kind, message: &str| {
            let error = unreadable(Failure::of(kind, message));
            (error.code(), error.is_transient(), error.advice().join("; "))
        };
        for (kind, passes, help) in [
            (Kind::Catalog, false, "duckdb FILE"),
            (Kind::Memory, false, "memory_limit"),
            (Kind::Io, false, "the disk"),
            (Kind::Fatal, true, "run again"),
        ] {
            let (code, transient, advice) = told(kind, "it broke");
            assert_eq!((code, transient), (Code::SourceRead, passes), "{kind:?}");
            assert!(advice.contains(help), "{kind:?}: {advice}");
        }
        // What is written wrong is for who wrote it, whichever end it is.
        let wrong = told(Kind::Setting, "memory_limit takes no such value as \"nonsense\"");
        assert_eq!((wrong.0, wrong.1), (Code::BadUrl, false));
        assert_eq!(failed("open the database", Failure::of(Kind::Setting, "x")).exit_code(), 2);
        let newer = told(Kind::Io, "IO Error: Trying to read a database file with version number 99");
        assert!(newer.2.contains("COPY FROM DATABASE"), "{newer:?}");
        let damaged = told(Kind::Serialization, "Serialization Error: Failed to deserialize");
        assert!(damaged.2.contains("damaged"), "{damaged:?}");
    }
}
