//! The file of a database: where it is, what it is whatever it is called, and how it is made.

use crate::raw::{Database, Failure, Kind};
use floodmark_core::{Code, Error, Result};
use std::{
    fs::{self, File, Metadata},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// A file, whatever it is called; where that cannot be told, by its true name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Identity(#[cfg(unix)] (u64, u64), #[cfg(not(unix))] PathBuf);

/// Which file it is.
pub(crate) fn identity(path: &Path) -> io::Result<Identity> {
    of(&fs::metadata(path)?, path)
}

#[cfg(unix)]
fn of(file: &Metadata, _: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    Ok(Identity((file.dev(), file.ino())))
}

#[cfg(not(unix))]
fn of(_: &Metadata, path: &Path) -> io::Result<Identity> {
    path.canonicalize().map(Identity)
}

/// How many links are followed to a file that is not there.
const LINKS: usize = 40;

/// The file's true name; of one that is not there, the one it will have.
pub(crate) fn place(path: &Path) -> Result<PathBuf> {
    if let Ok(name) = path.canonicalize() {
        return Ok(name);
    }
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = folder_of(&path).join(target);
    }
    let folder = folder_of(&path).canonicalize().map_err(|error| {
        Error::new(Code::DestinationOpen, "the database's folder cannot be read")
            .state("nothing was written")
            .help("check that the folder exists and may be written to")
            .in_file(path.clone())
            .cause(error)
    })?;
    Ok(path.file_name().map_or_else(|| folder.clone(), |name| folder.join(name)))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(crate) fn with(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// An error of the file system as DuckDB would tell it.
pub(crate) fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::of(Kind::Io, format!("{what}: {error}"))
}

/// Makes an empty database where there is none, whole or not at all: of one that is killed while it writes the first bytes
/// nobody could make anything. It is made in a folder beside, which belongs to who has locked it: one that a kill left behind
/// is the next one's.
pub(crate) fn make(file: &Path) -> std::result::Result<(), Failure> {
    let fail = |error: io::Error| failed("Cannot open file", &error);
    let folder = with(file, ".new");
    while !file.exists() {
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(fail(error)),
            _ => {}
        }
        let Some(_held) = held(&folder).map_err(fail)? else { continue };
        clear(&folder);
        if !file.exists() {
            let new = folder.join(NEW);
            drop(Database::open(Some(&new), &[])?);
            // The log of a database that is gone: DuckDB throws it away when it makes the file, and would read it into this one.
            let log = fs::remove_file(with(file, ".wal"));
            log.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }).map_err(fail)?;
            // It never takes the place of a database that somebody else made meanwhile.
            let moved = tempfile::TempPath::try_from_path(&new).map_err(fail)?.persist_noclobber(file);
            moved.map_err(|moved| moved.error).or_else(taken).map_err(fail)?;
        }
        let _ = fs::remove_dir(&folder);
    }
    if folder.exists()
        && let Some(_held) = held(&folder).map_err(fail)?
    {
        clear(&folder);
        let _ = fs::remove_dir(&folder);
    }
    Ok(())
}

/// The file in the folder in which a database is made.
const NEW: &str = "new.duckdb";

/// Takes away what is left of a database that was being made there, and nothing else.
fn clear(folder: &Path) {
    for left in [NEW, "new.duckdb.wal"] {
        let _ = fs::remove_file(folder.join(left));
    }
}

/// That it is there already is as well.
fn taken(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

/// Locks a folder, until what is returned is dropped; nothing where it has gone meanwhile.
fn held(folder: &Path) -> io::Result<Option<File>> {
    let gone = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    let lock = match File::open(folder) {
        Err(error) if gone(&error) => return Ok(None),
        opened => opened?,
    };
    // Where the file system knows no locks of folders, two that come at once may get an error instead of their turns.
    let _ = lock.lock();
    match identity(folder) {
        Err(error) if gone(&error) => Ok(None),
        now => Ok((now? == of(&lock.metadata()?, folder)?).then_some(lock)),
    }
}
