//! Where what does not fit into memory is put aside.

use crate::{
    file::{self, failed},
    raw::{Failure, Kind},
};
use std::{
    fs::{self, DirBuilder, File},
    hash::{BuildHasher, Hasher, RandomState},
    io,
    path::{Path, PathBuf},
};

const SETTING: &str = "temp_directory";

/// What a database is opened with, by name.
type Settings = Vec<(&'static str, String)>;

/// Begins the names of folders that are nobody else's: the process, and a number by chance.
const NAME: &str = "floodmark-";

/// A folder that is made for one open database, which nobody else looks into. It goes when this is dropped; what a kill leaves
/// of one goes when the next one is made beside it.
#[derive(Debug)]
pub(crate) struct Aside {
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

/// Settings with the folder to put aside into: one that is nobody else's, as two that shared one would write over each other's
/// files. `file`: the one that is written to, which is nobody else's either, and neither is the folder beside it that DuckDB
/// makes when it needs it.
pub(crate) fn settings(
    settings: &[(&'static str, String)],
    file: Option<&Path>,
) -> Result<(Settings, Option<Aside>), Failure> {
    let (asked, mut all): (Settings, Settings) = settings.iter().cloned().partition(|(name, _)| *name == SETTING);
    let (folder, aside) = match (asked.last(), file) {
        (Some((_, folder)), _) => {
            let folder = Path::new(folder);
            fs::create_dir_all(folder).map_err(|error| failed("the temp_directory cannot be made", &error))?;
            own(folder)
        }
        (None, Some(file)) => (file::with(file, ".tmp"), None),
        (None, None) => own(&std::env::temp_dir()),
    };
    let folder = folder.to_str().ok_or_else(|| Failure::of(Kind::Io, "the path of the temp_directory is not UTF-8"))?;
    all.push((SETTING, folder.to_owned()));
    Ok((all, aside))
}

/// One that is nobody else's. Where none can be made, its name alone: who never needs it is not to fail.
fn own(place: &Path) -> (PathBuf, Option<Aside>) {
    let chance = RandomState::new().build_hasher().finish();
    let path = place.join(format!("{NAME}{}-{chance:016x}", std::process::id()));
    if private(&path).is_err() {
        return (path, None);
    }
    let lock = File::open(&path).ok().filter(|folder| folder.try_lock().is_ok());
    let aside = Aside { path: path.clone(), lock };
    if let Some(lock) = &aside.lock {
        sweep(place, lock);
    }
    (path, Some(aside))
}

/// Makes a folder that no other user looks into: rows of the database are put there.
fn private(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The process that a folder of such a name belongs to.
fn process(name: &str) -> Option<u32> {
    let (process, chance) = name.strip_prefix(NAME)?.split_once('-')?;
    let is_chance = chance.len() == 16 && chance.bytes().all(|b| b.is_ascii_hexdigit());
    process.parse().ok().filter(|_| is_chance)
}

/// Takes away what kills left in a folder, of who owns `ours`. What cannot be read or taken away stays: it is in nobody's way.
fn sweep(place: &Path, ours: &File) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for entry in entries.flatten() {
        let left = entry.file_name().to_str().and_then(process).is_some_and(|process| !is_alive(process));
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
            fs::write(place.path().join(name).join("duckdb_temp_storage-0.tmp"), "rows").unwrap();
            name.to_owned()
        };
        let gone = ended();
        make(&format!("{NAME}{gone}-0123456789abcdef"));
        let held = make(&format!("{NAME}{gone}-fedcba9876543210"));
        let holder = File::open(place.path().join(&held)).unwrap();
        holder.try_lock().unwrap();
        // Of this process, which has others; and what is called otherwise.
        let mine = make(&format!("{NAME}{}-0123456789abcdef", std::process::id()));
        let stays = [held, mine, make(&format!("{NAME}{gone}")), make(&format!("{NAME}{gone}-0123456789abcdeg"))];
        let mut expected = stays.to_vec();
        expected.sort();
        let (path, aside) = own(place.path());
        let mut with_it = expected.clone();
        with_it.push(path.file_name().unwrap().to_str().unwrap().to_owned());
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
        let (path, _aside) = own(place.path());
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    /// Who never needs it is not to fail.
    #[test]
    fn a_place_that_takes_none_is_told_when_one_is_needed() {
        let place = tempfile::tempdir().unwrap();
        let (_, aside) = own(&place.path().join("missing"));
        assert!(aside.is_none());
    }
}
