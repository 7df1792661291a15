//! The wheel that is tested and measured, with DuckDB's library where the tests have it.

use crate::{
    duckdb,
    shell::{self, root, target},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// By the tools of `home`, into a folder of it for this profile: `dev` with what the other tests have built already. It stays on
/// this machine, so that nobody looks what it is linked with.
pub(super) fn build(home: &Path, profile: &str) -> Result<PathBuf, String> {
    let out = home.join("wheels").join(profile);
    if out.exists() {
        fs::remove_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    }
    shell::run(
        Command::new(home.join("bin/maturin"))
            .args(["build", "--quiet", "--profile", profile, "--auditwheel", "skip"])
            .args(duckdb::PROGRAM)
            .arg("--interpreter")
            .arg(home.join("bin/python"))
            .arg("--out")
            .arg(&out)
            .current_dir(root())
            .env("CARGO_TARGET_DIR", target())
            .envs(duckdb::variables()?),
    )?;
    only(&out)
}

/// The wheel of a folder that has one.
pub(crate) fn only(folder: &Path) -> Result<PathBuf, String> {
    let files = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let wheel = files.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "whl"));
    wheel.ok_or_else(|| format!("{} has no wheel", folder.display()))
}
