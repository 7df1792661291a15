//! The program under test.

use serde_json::Value;
use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

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
    // What is printed is looked for in whole lines, not as a terminal would wrap them.
    command.env("NO_COLOR", "1").env("TZ", "UTC").env("COLUMNS", "1000");
    Ok(command)
}

/// What a process left behind.
pub(crate) struct Ran {
    /// Its exit code; `None` where a signal ended it.
    pub(crate) exit: Option<i32>,
    /// The objects on its standard output, a line each.
    pub(crate) objects: Vec<Value>,
    /// Both streams, for a person.
    pub(crate) said: String,
}

/// Any command in `root`, with a file of it as standard input or none.
pub(crate) fn call(root: &Path, arguments: &[String], input: Option<&str>) -> Result<Ran, String> {
    let mut command = command()?;
    command.current_dir(root).args(arguments);
    let input = match input {
        Some(path) => Stdio::from(File::open(root.join(path)).map_err(|e| format!("{path}: {e}"))?),
        None => Stdio::null(),
    };
    let output = command.stdin(input).output().map_err(|e| format!("cannot start floodmark: {e}"))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = format!("stdout: {stdout}\nstderr: {stderr}");
    let objects = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Ok(Ran { exit: output.status.code(), objects, said })
}

/// `floodmark run` or `plan`, which print one object a pipeline and nothing else.
pub(crate) fn run(root: &Path, command: &str, arguments: &[String], input: Option<&str>) -> Result<Ran, String> {
    let start = ["--format", "json", command].map(str::to_owned);
    let ran = call(root, &[&start[..], arguments].concat(), input)?;
    let stdout = ran.said.strip_prefix("stdout: ").and_then(|s| s.split_once("\nstderr: ")).map_or("", |(out, _)| out);
    if stdout.lines().count() != ran.objects.len() {
        return Err(format!("stdout is not one object a line\n{}", ran.said));
    }
    Ok(ran)
}
