//! From the errors of stores, files and logs to ours.

use floodmark_connect::aside::Aside;
use floodmark_core::{Code, Error, Result};
use object_store::Error as StoreError;

/// What a store said. `doing` completes "the store failed to …".
pub(crate) fn store(code: Code, doing: &str, name: &str, error: &StoreError) -> Error {
    let words = floodmark_objects::words(error);
    if let Some((what, help)) = floodmark_objects::of_credentials(&words).or_else(|| of_disk(&words)) {
        return Error::new(code, what).in_file(name).help(help).cause(words);
    }
    let (what, help) = match error {
        _ if ["NoSuchBucket", "ContainerNotFound"].iter().any(|code| words.contains(code)) => (
            "there is no such bucket".to_owned(),
            "make it, or check its name and the endpoint and account that it is looked for at",
        ),
        StoreError::NotFound { .. } => (
            "a file of the table is gone".to_owned(),
            "another program's vacuum may have taken it, with a retention shorter than this run took: run again; where the \
             table itself names files that are gone, restore an older version of it",
        ),
        StoreError::PermissionDenied { .. } => (
            format!("this user may not {doing} it"),
            "a lake is listed, read, written and deleted from: give the rights for all four below its folder",
        ),
        StoreError::NotImplemented { .. } | StoreError::NotSupported { .. } => (
            format!("the store cannot {doing} it"),
            "a lake needs a store that puts an object only where none of that name is (conditional writes)",
        ),
        _ => (
            format!("the store failed to {doing} it"),
            match doing {
                "write" => {
                    "it was tried again where that may help; check the endpoint, the room on the disk and the network"
                }
                _ => "it was tried again where that may help; check the endpoint, the region and the network",
            },
        ),
    };
    Error::new(code, what).in_file(name).help(help).cause(words)
}

/// What the system said of a folder on this machine that a person can put right.
fn of_disk(words: &str) -> Option<(&'static str, &'static str)> {
    let says = |told: &[&str]| told.iter().any(|told| words.contains(told));
    if says(&["No space left on device", "Disk quota exceeded"]) {
        return Some((
            "there is no room left for files of the table",
            "make room, or give the user more, and run again; what was written already belongs to no version of the table, \
             and `floodmark optimize` deletes it in time",
        ));
    }
    says(&["Permission denied", "Operation not permitted", "Read-only file system"]).then_some((
        "this user may not do that with files of the table",
        "a lake is listed, read, written and deleted from: give the user the rights for all four below its folder",
    ))
}

pub(crate) fn threads(error: &std::io::Error) -> Error {
    Error::new(Code::DestinationOpen, "no threads can be made for requests")
        .state("nothing was read or written")
        .help("see the limits for this user (ulimit -u) and the memory that is free")
        .cause(error.to_string())
}

/// A table that is none, or that asks for what is not done here.
pub(crate) fn unsuited(table: &str, what: impl Into<String>) -> Error {
    Error::new(Code::TableShape, what).in_file(table).state("nothing was written")
}

pub(crate) fn parquet(doing: &str, file: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let words = floodmark_objects::words(error.into().as_ref());
    if let Some((what, help)) = floodmark_objects::of_credentials(&words).or_else(|| of_disk(&words)) {
        return Error::new(Code::DestinationWrite, what).in_file(file).help(help).cause(words);
    }
    if doing == "read" && is_gone(&words) {
        return Error::new(Code::DestinationOpen, "a file of the table is gone")
            .in_file(file)
            .help("`optimize`, a load or another program's vacuum took it away while it was read: run again")
            .help("where the table still has it, restore an older version of the table")
            .cause(words)
            .transient();
    }
    Error::new(Code::DestinationWrite, format!("a Parquet file of the table cannot be {doing}"))
        .in_file(file)
        .help(match doing {
            "read" => "see the cause; a file that another program wrote may be broken, or be none",
            _ => "see the cause: the disk, or the store and the network to it; then run again",
        })
        .cause(words)
}

/// Whether it is said that an object is not there, as the store's client says it.
pub(crate) fn is_gone(words: &str) -> bool {
    words.contains("Object at location") && words.contains("not found")
}

/// A temporary file.
pub(crate) fn scratch(error: std::io::Error) -> Error {
    Error::new(Code::DestinationWrite, "the folder for temporary files cannot be used")
        .state("nothing was written")
        .help("make room there, or name another folder in TMPDIR")
        .cause(error)
}

/// A temporary folder; what loads that were killed have left of theirs goes.
pub(crate) fn scratch_folder() -> Result<Aside> {
    Aside::make(&std::env::temp_dir(), "floodmark-lake-").map_err(scratch)
}

/// What is there cannot be understood.
pub(crate) fn damaged(path: &object_store::path::Path) -> Error {
    Error::new(Code::StateDamaged, format!("{path} cannot be understood"))
        .state("nothing was written")
        .help("another program wrote it, or a newer Floodmark: bring back what was there")
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::errors::ParquetError;
    use std::io;

    #[test]
    fn a_list_needs_credentials_and_no_room() {
        let told = |said: &str| {
            let error = StoreError::Generic { store: "S3", source: said.into() };
            format!("{:?}", store(Code::DestinationOpen, "list", "t", &error))
        };
        let metadata = "Error performing PUT http://169.254.169.254/latest/api/token in 1ms - ";
        let none = told(&format!("{metadata}Server returned non-2xx status code: 403 Forbidden: "));
        assert!(
            none.contains("there are no credentials for the store") && none.contains("AWS_ACCESS_KEY_ID"),
            "{none}"
        );
        let failed = told("error sending request");
        assert!(failed.contains("failed to list") && !failed.contains("disk"), "{failed}");
    }

    #[test]
    fn what_a_disk_says_is_told_with_what_helps() {
        for (errno, what, help) in [
            (28, "there is no room left", "make room"),
            (122, "there is no room left", "make room"),
            (13, "this user may not", "give the user the rights"),
            (30, "this user may not", "give the user the rights"),
        ] {
            let failed = || StoreError::Generic { store: "local", source: io::Error::from_raw_os_error(errno).into() };
            let in_file: ParquetError = io::Error::other(failed()).into();
            for told in [
                store(Code::DestinationWrite, "delete", "t", &failed()),
                parquet("written", "t", ParquetError::External(Box::new(failed()))),
                parquet("written", "t", in_file),
            ] {
                let text = format!("{told:?}");
                assert!(text.contains(what) && text.contains(help), "{errno}: {text}");
            }
        }
    }
}
