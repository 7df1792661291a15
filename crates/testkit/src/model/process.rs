//! Runs of the real program: whole, killed, on one processor.

use super::history::Kill;
use crate::program;
use serde_json::Value as Json;
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Gives a program one processor; where there is none of it, the run has all.
const TASKSET: &str = "/usr/bin/taskset";

/// What the program said about one run.
pub(super) struct Report {
    pub(super) exit: Option<i32>,
    pub(super) object: Json,
    pub(super) said: String,
}

/// Kills a run so many microseconds after its start.
pub(super) fn kill(root: &Path, delay: u64) -> Result<(), String> {
    break_off(root, &["run"], &Kill::After(delay))
}

/// Kills a command, unless it ends before that.
pub(super) fn break_off(root: &Path, arguments: &[&str], kill: &Kill) -> Result<(), String> {
    let ended = match kill {
        Kill::After(delay) => {
            let mut child = start(root, arguments, false)?;
            thread::sleep(Duration::from_micros(*delay));
            child.kill().and_then(|()| child.wait())
        }
        Kill::At(point) => {
            let mut command = command(root, arguments)?;
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.env("FLOODMARK_CRASH", format!("{point}=abort")).status()
        }
    };
    ended.map(drop).map_err(|e| e.to_string())
}

/// Runs a command to its end.
pub(super) fn run(root: &Path, arguments: &[&str]) -> Result<Report, String> {
    finish(start(root, arguments, false)?)
}

fn command(root: &Path, arguments: &[&str]) -> Result<Command, String> {
    let mut command = program::command()?;
    command.current_dir(root).args(["--format", "json"]).args(arguments).stdin(Stdio::null());
    Ok(command)
}

pub(super) fn start(root: &Path, arguments: &[&str], one_thread: bool) -> Result<Child, String> {
    let mut command = command(root, arguments)?;
    if one_thread && Path::new(TASKSET).exists() {
        // The program has as many threads as it may use processors.
        let inner = command;
        command = Command::new(TASKSET);
        command.args(["-c", "0"]).arg(inner.get_program()).args(inner.get_args()).current_dir(root);
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|e| format!("cannot start floodmark: {e}"))
}

pub(super) fn finish(child: Child) -> Result<Report, String> {
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let object = stdout.lines().next().and_then(|line| serde_json::from_str(line).ok()).unwrap_or(Json::Null);
    Ok(Report { exit: output.status.code(), object, said: format!("stdout: {stdout}\nstderr: {stderr}") })
}
