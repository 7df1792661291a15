//! DuckDB's library, which the tests link against: a build of its own would take longer than everything else together.

use crate::{
    node,
    shell::{self, target},
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The version that the crate `libduckdb-sys` in Cargo.lock is for.
const VERSION: &str = "1.5.6";

/// The package whose library is a plain one, and the SHA-512 of its archive.
const PACKAGE: &str = "@duckdb/node-bindings-linux-x64@1.5.6-r.1";
const SUM: &str = "21772b64913a904a8cd19e30c1d5671811d7fdface4b7dd53cd0300d743f43e16cf386f4e7c41ef78721ac208870d2651bc6375072145387817824315b998dd5";

/// The variable that names a folder with the library.
pub(crate) const PLACE: &str = "DUCKDB_LIB_DIR";

/// What makes cargo build the program with everything, as the package `floodmark-cli`.
pub(crate) const PROGRAM: [&str; 2] = ["--features", "duckdb,lake"];

/// What makes cargo build the program and its tests with everything, as parts of the workspace.
pub(crate) const FEATURES: [&str; 2] =
    ["--features", "floodmark-cli/duckdb,floodmark-cli/lake,floodmark-testkit/duckdb,floodmark-testkit/lake"];

/// Where the library is; it is fetched where it is not there yet. `DUCKDB_LIB_DIR` may name one of one's own.
pub(crate) fn library() -> Result<PathBuf, String> {
    if let Some(folder) = env::var_os(PLACE) {
        return Ok(folder.into());
    }
    let folder = target().join(format!("duckdb-{VERSION}"));
    if !folder.join("libduckdb.so").is_file() {
        fetch(&folder)?;
    }
    Ok(folder)
}

/// What cargo and the tests are to find in their environment.
pub(crate) fn variables() -> Result<[(&'static str, PathBuf); 1], String> {
    Ok([(PLACE, library()?)])
}

fn fetch(folder: &Path) -> Result<(), String> {
    let by_hand = format!("put libduckdb.so of DuckDB {VERSION} into a folder and name it: DUCKDB_LIB_DIR=/folder");
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(format!("DuckDB's library is fetched for Linux on x86-64 only: {by_hand}"));
    }
    node::npm("DuckDB's library")?;
    let said = |e: std::io::Error| format!("{}: {e}", folder.display());
    // Beside its place, and moved there whole.
    let new = folder.with_extension(format!("new-{}", std::process::id()));
    fs::create_dir_all(&new).map_err(said)?;
    shell::read(Command::new("npm").args(["pack", "--silent", PACKAGE]).current_dir(&new))
        .map_err(|e| format!("{e}\n{by_hand}"))?;
    let mut files = fs::read_dir(&new).map_err(said)?.filter_map(Result::ok).map(|entry| entry.path());
    let archive = files.next().ok_or_else(|| format!("npm left no archive of {PACKAGE}\n{by_hand}"))?;
    let sum = shell::read(Command::new("sha512sum").arg(&archive))?;
    if sum.split_whitespace().next() != Some(SUM) {
        return Err(format!("the archive of {PACKAGE} is not the one that is known: {sum}"));
    }
    let part = "package/libduckdb.so";
    shell::run(
        Command::new("tar")
            .args(["--extract", "--gzip", "--strip-components=1", "--file"])
            .arg(&archive)
            .arg("-C")
            .arg(&new)
            .arg(part),
    )?;
    fs::remove_file(&archive).map_err(said)?;
    match fs::rename(&new, folder) {
        // Somebody else was quicker.
        Err(_) if folder.join("libduckdb.so").is_file() => fs::remove_dir_all(&new).map_err(said),
        moved => moved.map_err(said),
    }
}
