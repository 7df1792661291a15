//! One process, measured whole: wall time, processor time, peak memory.

use crate::shell;
use nix::sys::resource::{UsageWho, getrusage};
use std::{
    env,
    fs::File,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

/// What a process cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Seconds of processor time, user and system.
    pub(crate) cpu: f64,
    /// Peak resident memory in MiB.
    pub(crate) memory: f64,
}

/// Runs a program in `directory` and measures it. Its input is `input`, or nothing.
///
/// The kernel keeps a process's peak memory among that of all children waited for, so each is the only child of a
/// process of its own: this program again, with the command `measure`.
pub(crate) fn measure(
    directory: &Path,
    input: Option<&Path>,
    program: &Path,
    arguments: &[&str],
) -> Result<Cost, String> {
    let own = env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(own);
    command
        .current_dir(directory)
        .arg("measure")
        .arg(input.unwrap_or(Path::new("/dev/null")))
        .arg(program)
        .args(arguments);
    let line = shell::read(&mut command)?;
    let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        [wall, cpu, memory] => Ok(Cost { wall: *wall, cpu: *cpu, memory: *memory }),
        _ => Err(format!("{}: no figures in {line:?}", program.display())),
    }
}

/// The command `measure INPUT PROGRAM [ARGUMENT…]`.
pub(crate) fn child(arguments: &[String]) -> Result<(), String> {
    let [input, program, rest @ ..] = arguments else { return Err("measure INPUT PROGRAM [ARGUMENT…]".to_owned()) };
    let input = File::open(input).map_err(|e| format!("{input}: {e}"))?;
    let mut command = Command::new(program);
    command.args(rest).stdin(input).stdout(Stdio::null());
    let start = Instant::now();
    shell::run(&mut command)?;
    let wall = start.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|e| e.to_string())?;
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
    let cpu = seconds(usage.user_time()) + seconds(usage.system_time());
    shell::say(&format!("{wall:.6} {cpu:.6} {:.3}", usage.max_rss() as f64 / 1024.0));
    Ok(())
}
