//! Where what does not fit into memory is put aside.

use crate::{
    file::{self, failed},
    raw::{Failure, Kind},
};
use floodmark_connect::aside::Aside;
use std::{
    fs,
    path::{Path, PathBuf},
};

const SETTING: &str = "temp_directory";

/// What a database is opened with, by name.
type Settings = Vec<(&'static str, String)>;

/// How the names of its folders begin.
const NAME: &str = "floodmark-";

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
    match Aside::make(place, NAME) {
        Ok(aside) => (aside.path().to_owned(), Some(aside)),
        Err(_) => (place.join(Aside::name(NAME)), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who never needs it is not to fail.
    #[test]
    fn a_place_that_takes_none_is_told_when_one_is_needed() {
        let place = tempfile::tempdir().unwrap();
        let (_, aside) = own(&place.path().join("missing"));
        assert!(aside.is_none());
    }
}
