//! Folders for what does not last: a process's own while it lives, and swept by the next one where it was killed.

use std::{
    fs::{self, DirBuilder, File},
    hash::{BuildHasher, Hasher, RandomState},
    io,
    path::{Path, PathBuf},
};

/// A folder that is made for one use, which nobody else looks into. It goes when this is dropped; what a kill leaves of one goes
/// when the next one is made beside it.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    /// Held as long as it is in use, and let go by the system however the process ends.
    lock: Option<File>,
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What is left behind the next one finds.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Aside {
    /// A name that is nobody else's: how it begins, the process, and a number by chance.
    #[must_use]
    pub fn name(begins: &str) -> String {
        let chance = RandomState::new().build_hasher().finish();
        format!("{begins}{}-{chance:016x}", std::process::id())
    }

    /// Makes one in a folder, and takes away what kills have left of those that begin so.
    ///
    /// # Errors
    /// Where none can be made there.
    pub fn make(place: &Path, begins: &str) -> io::Result<Aside> {
        let path = place.join(Aside::name(begins));
        private(&path)?;
        let lock = File::open(&path).ok().filter(|folder| folder.try_lock().is_ok());
        let aside = Aside { path, lock };
        if let Some(lock) = &aside.lock {
            sweep(place, begins, lock);
        }
        Ok(aside)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a folder that no other user looks into: rows of a table are put there.
fn private(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The process that a folder of such a name belongs to.
fn process(name: &str, begins: &str) -> Option<u32> {
    let (process, chance) = name.strip_prefix(begins)?.split_once('-')?;
    let is_chance = chance.len() == 16 && chance.bytes().all(|b| b.is_ascii_hexdigit());
    process.parse().ok().filter(|_| is_chance)
}

/// Takes away what kills left in a folder, of who owns `ours`. What cannot be read or taken away stays: it is in nobody's way.
fn sweep(place: &Path, begins: &str, ours: &File) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for entry in entries.flatten() {
        let process = entry.file_name().to_str().and_then(|name| process(name, begins));
        let left = process.is_some_and(|process| !is_alive(process));
        // A link is no folder of ours.
        if left && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            take_away(&entry.path(), ours);
        }
    }
}

/// Takes a folder away that nobody holds. The lock tells of processes that are not seen from here: in a container that shares
/// the folder, they have numbers of their own.
fn take_away(folder: &Path, ours: &File) {
    let Ok(held) = File::open(folder) else { return };
    if owner(&held) == owner(ours) && held.try_lock().is_ok() {
        let _ = fs::remove_dir_all(folder);
    }
}

/// Whether a process is there. Its number may be another one's by now: then what it left stays for longer.
fn is_alive(process: u32) -> bool {
    // Elsewhere, and where processes are not shown, the lock alone tells.
    process == std::process::id() || Path::new(&format!("/proc/{process}")).exists()
}

#[cfg(unix)]
fn owner(folder: &File) -> Option<u32> {
    folder.metadata().ok().map(|folder| std::os::unix::fs::MetadataExt::uid(&folder))
}

#[cfg(not(unix))]
fn owner(_: &File) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "floodmark-test-";

    /// The number of a process that has ended.
    fn ended() -> u32 {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    fn names(place: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_kill_left_goes_when_the_next_one_is_made() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            fs::create_dir(place.path().join(name)).unwrap();
            fs::write(place.path().join(name).join("0.db"), "rows").unwrap();
            name.to_owned()
        };
        let gone = ended();
        make(&format!("{NAME}{gone}-0123456789abcdef"));
        let held = make(&format!("{NAME}{gone}-fedcba9876543210"));
        let holder = File::open(place.path().join(&held)).unwrap();
        holder.try_lock().unwrap();
        // Of this process, which has others; and what is called otherwise.
        let mine = make(&format!("{NAME}{}-0123456789abcdef", std::process::id()));
        let others = [
            format!("{NAME}{gone}"),
            format!("{NAME}{gone}-0123456789abcdeg"),
            format!("floodmark-{gone}-0123456789abcdef"),
        ];
        let mut expected: Vec<String> = others.iter().map(|name| make(name)).chain([held, mine]).collect();
        expected.sort();
        let aside = Aside::make(place.path(), NAME).unwrap();
        let mut with_it = expected.clone();
        with_it.push(aside.path().file_name().unwrap().to_str().unwrap().to_owned());
        with_it.sort();
        assert_eq!(names(place.path()), with_it);
        drop(aside);
        assert_eq!(names(place.path()), expected);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_looks_into_it() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let aside = Aside::make(place.path(), NAME).unwrap();
        assert_eq!(fs::metadata(aside.path()).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
