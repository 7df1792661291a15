//! A server that speaks S3's protocol: moto, from PyPI.

use super::{Kind, Use, free_port, said, wait};
use crate::python;
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

pub(super) const KIND: Kind = Kind { name: "s3", variable: "FLOODMARK_TEST_S3", tools, start, answers, stop };

fn tools() -> Result<(), String> {
    python::moto().map(drop)
}

fn start(folder: &Path, _: Use) -> Result<String, String> {
    let home = python::moto()?;
    fs::create_dir(folder).map_err(|e| said(folder, e))?;
    let port = free_port()?;
    fs::write(folder.join("port"), port.to_string()).map_err(|e| said(folder, e))?;
    let log = File::create(folder.join("log")).map_err(|e| said(folder, e))?;
    let also = log.try_clone().map_err(|e| said(folder, e))?;
    let server = Command::new(home.join("bin/moto_server"))
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        // With a group of its own, a Ctrl-C for the tests is not for it.
        .process_group(0)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(also))
        .spawn()
        .map_err(|e| format!("cannot start moto: {e}"))?;
    fs::write(folder.join("pid"), server.id().to_string()).map_err(|e| said(folder, e))?;
    wait("moto", folder, answers)?;
    Ok(format!("http://127.0.0.1:{port}"))
}

fn answers(folder: &Path) -> bool {
    let Ok(port) = fs::read_to_string(folder.join("port")) else { return false };
    let Ok(mut server) = TcpStream::connect(format!("127.0.0.1:{port}")) else { return false };
    let _ = server.set_read_timeout(Some(Duration::from_secs(2)));
    let asked = server.write_all(b"GET /moto-api/ HTTP/1.0\r\n\r\n");
    let mut head = [0; 12];
    asked.and_then(|()| server.read_exact(&mut head)).is_ok() && head.ends_with(b" 200")
}

fn stop(folder: &Path) -> Result<(), String> {
    let pid = fs::read_to_string(folder.join("pid")).map_err(|e| said(folder, e))?;
    let pid = pid.parse().map_err(|_| format!("{}: no process", folder.display()))?;
    kill(Pid::from_raw(pid), SIGTERM).map_err(|e| e.to_string())
}
