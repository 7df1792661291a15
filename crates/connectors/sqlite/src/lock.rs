//! The lock of a pipeline: an OS lock on a file beside the database, which dies with its holder.

use floodmark_connect::{
    Stop,
    crash::{self, Point},
};
use floodmark_core::{Code, Error, Result};
use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(50);

/// How long a lock may be taken before it counts as held: who only looks at it ([`look`]) has it for an instant.
const GLANCE: Duration = Duration::from_millis(5);

/// How often the name of a holder is looked for.
const NAMING: u32 = 20;

/// What a lock is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// A pipeline's runs, of which there is one at a time.
    Pipeline(&'a str),
    /// Loads beside these, likewise.
    Beside(&'a str),
    /// One load of a pipeline, where its runs and those beside them commit in turn.
    Turn(&'a str),
    /// Writing to the database, which pipelines do in turn, so that none of them runs into SQLite's own time limit while
    /// another loads.
    Writer,
}

impl Name<'_> {
    /// Different for each: a dot in a pipeline's name is written in another way.
    fn file(self) -> String {
        match self {
            Name::Pipeline(pipeline) => format!("{}.lock", file_name(pipeline)),
            Name::Beside(pipeline) => format!("{}.beside.lock", file_name(pipeline)),
            Name::Turn(pipeline) => format!("{}.turn.lock", file_name(pipeline)),
            Name::Writer => ".lock".into(),
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Pipeline(pipeline) => write!(f, "pipeline {pipeline:?} is held by"),
            Name::Beside(pipeline) => write!(f, "pipeline {pipeline:?} is loaded beside its runs already, by"),
            Name::Turn(pipeline) => write!(f, "the table of pipeline {pipeline:?} is being written to by"),
            Name::Writer => f.write_str("the database is being written to by"),
        }
    }
}

/// A held lock. Dropping it lets go; the file stays, because removing it would let two holders lock two files.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would leave it to a process that was forked meanwhile and has the file open, too.
        let _ = self.file.unlock();
    }
}

/// The folder of lock files: `shop.db-floodmark/` beside `shop.db`.
pub fn folder(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-floodmark");
    PathBuf::from(name)
}

impl Lock {
    /// Takes the lock, waiting at most `wait` (`None`: for ever). `holder` is written into the file for
    /// whoever finds it taken.
    pub fn acquire(folder: &Path, name: Name<'_>, holder: &str, wait: Option<Duration>, stop: &Stop) -> Result<Lock> {
        let path = path(folder, name);
        let failed = |doing: &str, error: std::io::Error| {
            Error::new(Code::DestinationOpen, format!("the lock file {} cannot be {doing}", path.display()))
                .state("nothing was written")
                .help("give write permission on the database's folder")
                .cause(error)
        };
        crash::at(Point::LockFolder, || match std::fs::create_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(failed("created", error)),
            _ => Ok(()),
        })?;
        let mut file = crash::at(Point::LockFile, || {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).read(true).write(true);
            options.open(&path).map_err(|e| failed("opened", e))
        })?;
        until_free(&mut file, name, wait, stop, File::try_lock, |error| failed("locked", error))?;
        // Only a courtesy to those who find it taken: the lock holds without it.
        let _ = crash::at(Point::NameHolder, || {
            let named = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder.as_bytes()));
            named.map_err(|e| failed("written", e))
        });
        Ok(Lock { file })
    }
}

/// The file of a lock.
pub fn path(folder: &Path, name: Name<'_>) -> PathBuf {
    folder.join(name.file())
}

/// Waits at most `wait` until nobody holds the lock, and takes nothing. A lock that was never taken has no
/// file, and gets none.
pub fn look(folder: &Path, name: Name<'_>, wait: Option<Duration>, stop: &Stop) -> Result<()> {
    let path = path(folder, name);
    let failed = |error: std::io::Error| {
        Error::new(Code::DestinationOpen, format!("the lock file {} cannot be read", path.display())).cause(error)
    };
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    until_free(&mut file, name, wait, stop, File::try_lock_shared, failed)
}

fn until_free(
    file: &mut File,
    name: Name<'_>,
    wait: Option<Duration>,
    stop: &Stop,
    take: impl Fn(&File) -> std::result::Result<(), TryLockError>,
    failed: impl Fn(std::io::Error) -> Error,
) -> Result<()> {
    let since = Instant::now();
    loop {
        match take(file) {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                let waited = since.elapsed();
                if wait.is_some_and(|wait| waited >= wait.max(GLANCE)) {
                    return Err(busy(file, name));
                }
                stop.check()?;
                std::thread::sleep(if waited < GLANCE { GLANCE } else { POLL });
            }
        }
    }
}

fn busy(file: &mut File, name: Name<'_>) -> Error {
    let mut holder = String::new();
    // Who has just taken it has not said so yet.
    for _ in 0..NAMING {
        let _ = file.rewind().and_then(|()| file.take(1000).read_to_string(&mut holder));
        if !holder.trim().is_empty() {
            break;
        }
        std::thread::sleep(GLANCE);
    }
    let holder = if holder.trim().is_empty() { "another process".to_owned() } else { holder.trim().to_owned() };
    Error::new(Code::Busy, format!("{name} {holder}"))
        .state("this run wrote nothing; the other one goes on")
        .help("let it finish, or wait for it with `--wait`")
}

/// A file name for any pipeline name: letters, digits, `-` and `_` stay, every other byte becomes `%XX`.
pub fn file_name(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("x.db");
        let take =
            || Lock::acquire(&folder(&db), Name::Pipeline("a/b"), "process 7", Some(Duration::ZERO), &Stop::default());
        let held = take().unwrap();
        let error = take().unwrap_err();
        assert_eq!(error.code(), Code::Busy);
        assert!(error.message().contains("process 7"), "{error}");
        drop(held);
        take().unwrap();
    }

    #[test]
    fn a_look_finds_a_holder_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("x.db");
        let see = || look(&folder(&db), Name::Pipeline("a"), Some(Duration::ZERO), &Stop::default());
        see().unwrap();
        assert!(!folder(&db).exists());
        let held =
            Lock::acquire(&folder(&db), Name::Pipeline("a"), "process 7", Some(Duration::ZERO), &Stop::default())
                .unwrap();
        assert!(see().unwrap_err().message().contains("process 7"));
        drop(held);
        see().unwrap();
        Lock::acquire(&folder(&db), Name::Pipeline("a"), "process 8", Some(Duration::ZERO), &Stop::default()).unwrap();
    }

    #[test]
    fn names_do_not_escape_the_folder() {
        assert_eq!(file_name("../a b"), "%2E%2E%2Fa%20b");
        assert_ne!(file_name("a%"), file_name("a%25"));
        assert_ne!(Name::Pipeline("a.beside").file(), Name::Beside("a").file());
    }
}
