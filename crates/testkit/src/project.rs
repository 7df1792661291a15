//! Scratch copies of projects.

use std::{fs, io, path::Path};
use tempfile::TempDir;

/// A scratch directory that goes when it is dropped.
pub fn scratch() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("floodmark-").tempdir()
}

/// Copies a directory, modification times included: a file that only looks new would be read again.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_tree(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
            let modified = entry.metadata()?.modified()?;
            fs::File::options().write(true).open(&target)?.set_modified(modified)?;
        }
    }
    Ok(())
}

/// A scratch directory in memory where the machine has one: many short runs spend their time waiting for a disk.
pub(crate) fn memory() -> io::Result<TempDir> {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("floodmark-");
        builder
    };
    builder().tempdir_in("/dev/shm").or_else(|_| builder().tempdir())
}
