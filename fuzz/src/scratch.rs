//! Where the targets put files: in memory where the system has a folder for that.

use std::{path::Path, sync::OnceLock};
use tempfile::TempDir;

/// A folder of this process; it stays when a target dies, with the file that killed it.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let made = FOLDER.get_or_init(|| {
        let named = tempfile::Builder::new().prefix("floodmark-fuzz-").to_owned();
        let memory = Path::new("/dev/shm");
        let made = if memory.is_dir() { named.tempdir_in(memory) } else { named.tempdir() };
        made.expect("a folder for scratch files")
    });
    made.path()
}
