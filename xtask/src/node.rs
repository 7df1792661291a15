//! Programs that are packages of npm.

use crate::shell::{self, has, target};
use std::{fs, path::PathBuf, process::Command};

/// Its last version for Node.js 18, which is Debian 12's.
const AZURITE: &str = "azurite@3.35.0";

/// What it brings along is what there was by then: later versions of that want a newer Node.js.
const AS_OF: &str = "2025-10-01";

/// Debian's package, which brings Node.js.
pub(crate) fn npm(what_for: &str) -> Result<(), String> {
    if has("npm") { Ok(()) } else { shell::install("npm", &format!("npm, which fetches {what_for}")) }
}

/// The script of Azurite's blob service; it is installed where it is not there yet.
pub(crate) fn azurite() -> Result<PathBuf, String> {
    let folder = target().join(AZURITE.replace('@', "-"));
    let program = folder.join("node_modules/azurite/dist/src/blob/main.js");
    if program.is_file() {
        return Ok(program);
    }
    npm("Azurite")?;
    let said = |e: std::io::Error| format!("{}: {e}", folder.display());
    // Beside its place, and moved there whole.
    let new = folder.with_extension(format!("new-{}", std::process::id()));
    fs::create_dir_all(&new).map_err(said)?;
    shell::run(
        Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"])
            .arg(format!("--before={AS_OF}"))
            .arg("--prefix")
            .arg(&new)
            .arg(AZURITE),
    )?;
    match fs::rename(&new, &folder) {
        // Somebody else was quicker.
        Err(_) if program.is_file() => fs::remove_dir_all(&new).map_err(said)?,
        moved => moved.map_err(said)?,
    }
    Ok(program)
}
