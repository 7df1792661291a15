//! Whether another library of this process has a database file open: Python's `sqlite3`, for one.
//!
//! The system tells which files a process has open, and not whose they are. What is open before Floodmark opens it, while
//! nothing of Floodmark is at work, is another's. What another opens later goes unseen.

use floodmark_core::{Code, Error, Result};
use floodmark_engine::neighbours::ask_before_opening;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

#[derive(Default)]
struct Opened {
    /// How much is at work.
    active: usize,
    /// What it may have open.
    files: Vec<PathBuf>,
}

static OPENED: Mutex<Opened> = Mutex::new(Opened { active: 0, files: Vec::new() });

fn opened() -> MutexGuard<'static, Opened> {
    OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something of Floodmark is at work, as long as this lives.
pub(crate) struct Active(());

impl Active {
    pub(crate) fn begin() -> Self {
        ask_before_opening(look);
        opened().active += 1;
        Active(())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let mut opened = opened();
        opened.active -= 1;
        if opened.active == 0 {
            opened.files.clear();
        }
    }
}

fn look(path: &Path) -> Result<()> {
    // By its one true name, which a file has before it is there.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(folder), Some(name)) = (folder.canonicalize(), path.file_name()) else { return Ok(()) };
    let path = folder.join(name);
    let path = path.canonicalize().unwrap_or(path);
    let mut opened = opened();
    if opened.files.contains(&path) {
        return Ok(());
    }
    if held(&path) {
        return Err(Error::new(Code::DestinationBusy, "the database is open in this process by another library")
            .in_file(path)
            .state("nothing was read or written")
            .help("close that connection first (`connection.close()`; the end of a `with` does not close it), and open it again afterwards")
            .help("the system's locks do not hold between two libraries in one process, and the file could be damaged"));
    }
    opened.files.push(path);
    Ok(())
}

fn held(path: &Path) -> bool {
    let file = |found: fs::Metadata| (found.dev(), found.ino());
    let Ok(wanted) = fs::metadata(path).map(file) else { return false };
    // Other systems have no such folder, and nothing to tell.
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    open.filter_map(|entry| fs::metadata(entry.path()).ok()).any(|found| file(found) == wanted)
}
