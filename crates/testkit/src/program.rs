//! The program under test.

use std::{env, path::PathBuf, process::Command};

/// The `floodmark` binary: `FLOODMARK_BIN`, or the one built into the same target directory as the running test.
///
/// The error says how to build it.
pub fn floodmark() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("FLOODMARK_BIN").map(PathBuf::from) {
        return if path.is_file() { Ok(path) } else { Err(format!("FLOODMARK_BIN: no file {}", path.display())) };
    }
    let test = env::current_exe().map_err(|e| e.to_string())?;
    let name = format!("floodmark{}", env::consts::EXE_SUFFIX);
    // target/debug/deps/it-… → target/debug/floodmark
    let beside = test.ancestors().skip(1).take(2).map(|dir| dir.join(&name)).find(|path| path.is_file());
    beside.ok_or_else(|| "no floodmark binary: run `cargo build -p floodmark-cli`, or set FLOODMARK_BIN".to_owned())
}

/// A command of the program with nothing of the caller's surroundings that would change what it says.
pub(crate) fn command() -> Result<Command, String> {
    let mut command = Command::new(floodmark()?);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("FLOODMARK_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").env("TZ", "UTC");
    Ok(command)
}
