//! The folder in which this server's visitors try things, in the machine's temporary one. A server that lives holds a lock in
//! it; what has none is left of one that was killed, and is removed when another begins.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const PREFIX: &str = "floodmark-try-";
const LOCK: &str = "lock";

pub(super) struct Scratch {
    folder: TempDir,
    /// Held for as long as the server lives.
    _lock: File,
}

impl Scratch {
    /// Within `base`.
    pub(super) fn open(base: &Path) -> io::Result<Scratch> {
        sweep(base);
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(base)?;
            let lock = File::create(folder.path().join(LOCK))?;
            lock.lock()?;
            // Another one that swept at this very moment has taken it for an old one.
            if folder.path().join(LOCK).exists() {
                return Ok(Scratch { folder, _lock: lock });
            }
        }
    }

    /// A new folder in it.
    pub(super) fn folder(&self) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix("").tempdir_in(self.folder.path())
    }

    /// Removes it with all that is in it. What is being written at this moment is removed at once or by the next sweep.
    pub(super) fn remove(&self) {
        for _ in 0..3 {
            if fs::remove_dir_all(self.folder.path()).is_ok() {
                return;
            }
        }
    }
}

/// Removes what servers left that were killed.
fn sweep(base: &Path) {
    for folder in fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if !is_ours(&folder) {
            continue;
        }
        let lock = File::open(folder.join(LOCK));
        // Held until all of it is gone: its owner may just have begun.
        if lock.is_ok_and(|lock| lock.try_lock().is_ok() && fs::remove_dir_all(&folder).is_ok()) {
            tracing::info!(folder = %folder.display(), "what a server that was killed had left is removed");
        }
    }
}

/// Whether a server of this user made it. In a folder that all may write to, others may have put something under such a name.
fn is_ours(folder: &PathBuf) -> bool {
    let named = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    let known = fs::symlink_metadata(folder).ok().filter(|known| named && known.is_dir());
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        known.is_some_and(|known| known.uid() == rustix::process::getuid().as_raw())
    }
    #[cfg(not(unix))]
    {
        known.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_server_left_is_removed_and_what_a_living_one_has_is_not() {
        let base = tempfile::tempdir().unwrap();
        let living = Scratch::open(base.path()).unwrap();
        let place = living.folder().unwrap();
        fs::write(place.path().join("shop.db"), "rows").unwrap();
        let dead = base.path().join(format!("{PREFIX}dead"));
        fs::create_dir_all(dead.join("place")).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        // Not of any server: another name, no lock, a link to elsewhere.
        let (other, bare) = (base.path().join("other"), base.path().join(format!("{PREFIX}bare")));
        for folder in [&other, &bare] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(other.join(LOCK), "").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&other, base.path().join(format!("{PREFIX}link"))).unwrap();
        let second = Scratch::open(base.path()).unwrap();
        assert!(!dead.exists());
        assert!(place.path().join("shop.db").exists() && other.join(LOCK).exists() && bare.exists());
        second.remove();
        assert!(!second.folder.path().exists() && living.folder.path().exists());
    }
}
