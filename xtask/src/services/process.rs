//! A server that is one process of ours: its port, its number and its log lie in the server's folder.

use super::{free_port, said, wait};
use nix::{
    sys::signal::{Signal::SIGTERM, kill},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// Starts it in a folder that is not there yet, on a free port of this machine alone. Returns its URL.
pub(super) fn start(
    name: &str,
    folder: &Path,
    answers: fn(&Path) -> bool,
    command: impl FnOnce(u16) -> Command,
) -> Result<String, String> {
    fs::create_dir(folder).map_err(|e| said(folder, e))?;
    let port = free_port()?;
    fs::write(folder.join("port"), port.to_string()).map_err(|e| said(folder, e))?;
    let log = File::create(folder.join("log")).map_err(|e| said(folder, e))?;
    let also = log.try_clone().map_err(|e| said(folder, e))?;
    let server = command(port)
        // With a group of its own, a Ctrl-C for the tests is not for it.
        .process_group(0)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(also))
        .spawn()
        .map_err(|e| format!("cannot start {name}: {e}"))?;
    fs::write(folder.join("pid"), server.id().to_string()).map_err(|e| said(folder, e))?;
    wait(name, folder, answers)?;
    Ok(format!("http://127.0.0.1:{port}"))
}

/// The head of what it answers where this path is asked for; nothing where it does not run.
pub(super) fn head(folder: &Path, path: &str) -> Option<String> {
    let port = fs::read_to_string(folder.join("port")).ok()?;
    let mut server = TcpStream::connect(format!("127.0.0.1:{port}")).ok()?;
    server.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    server.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    Some(answer.split_once("\r\n\r\n").map_or(&*answer, |(head, _)| head).to_owned())
}

pub(super) fn stop(folder: &Path) -> Result<(), String> {
    let pid = fs::read_to_string(folder.join("pid")).map_err(|e| said(folder, e))?;
    let pid = pid.parse().map_err(|_| format!("{}: no process", folder.display()))?;
    kill(Pid::from_raw(pid), SIGTERM).map_err(|e| e.to_string())
}
