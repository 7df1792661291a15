//! Programs, paths and words on the terminal.

use std::{
    env,
    ffi::OsStr,
    io::{self, Write},
    path::PathBuf,
    process::Command,
};

/// Says something on standard output.
pub(crate) fn say(text: &str) {
    // A closed pipe is no reason to stop a chore.
    let _ = writeln!(io::stdout(), "{text}");
}

/// Says what went wrong on standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The workspace.
pub(crate) fn root() -> PathBuf {
    // As cargo says now: a target directory that several clones share may hold what another of them built.
    let here = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.join("..")
}

/// Where things are built: what cargo was told, or `target`.
pub(crate) fn target() -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let path = named.unwrap_or_else(|| "target".into());
    if path.is_absolute() { path } else { root().join(path) }
}

/// The cargo that runs us, so that the toolchain is the same.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs to the end; the error says what was run.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|e| format!("cannot start {}: {e}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", shown(command))) }
}

/// Runs to the end and returns what it wrote to standard output.
pub(crate) fn read(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("cannot start {}: {e}", shown(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} ended with {}: {}", shown(command), output.status, said.trim()));
    }
    String::from_utf8(output.stdout).map_err(|e| format!("{}: {e}", shown(command)))
}

/// Whether a program is on the path.
pub(crate) fn has(program: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).any(|dir| dir.join(program).is_file())
}

/// Installs a Debian package; the error says how to do it by hand.
pub(crate) fn install(package: &str, what: &str) -> Result<(), String> {
    if !has("apt-get") {
        return Err(format!("{what} is missing, and so is apt-get: install it by hand"));
    }
    let install = || run(Command::new("apt-get").args(["install", "-y", "--no-install-recommends", package]));
    // A fresh machine has no package lists yet.
    install().or_else(|_| run(Command::new("apt-get").arg("update")).and_then(|()| install())).map_err(|e| {
        format!("{e}\n{what} could not be installed; run this as root, or install the package {package} by hand")
    })
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
