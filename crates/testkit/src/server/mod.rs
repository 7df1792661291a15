//! Servers of a test's own: they can be stopped and started, be followed by another one, and have little room.
//!
//! The programs are those of the tests' servers, and run as the users these run as.

pub mod mariadb;
pub mod postgres;

use crate::crash::send;
use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long a server may take to answer, or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server's process, where it runs.
#[derive(Debug, Default)]
struct Process(Mutex<Option<Child>>);

impl Process {
    /// Starts it, and waits until it answers. What it says goes to the end of a file.
    fn start(&self, mut command: Command, log: &Path, answers: impl Fn() -> bool) -> Result<(), String> {
        let file = File::options().create(true).append(true).open(log).map_err(|e| e.to_string())?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn();
        let mut child = child.map_err(|e| format!("the server cannot be started: {e}"))?;
        let since = Instant::now();
        while !answers() {
            let ended = child.try_wait().map_err(|e| e.to_string())?.is_some();
            if ended || since.elapsed() > PATIENCE {
                let _ = child.kill();
                return Err(format!("the server does not start:\n{}", read(log)));
            }
            thread::sleep(Duration::from_millis(20));
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        Ok(())
    }

    /// Sends it a signal after which it ends, and waits until it has.
    fn stop(&self, signal: &str, log: &Path) -> Result<(), String> {
        let Some(mut child) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        send(&child, signal)?;
        let since = Instant::now();
        while child.try_wait().map_err(|e| e.to_string())?.is_none() {
            if since.elapsed() > PATIENCE {
                let _ = child.kill();
                return Err(format!("the server does not stop:\n{}", read(log)));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

fn read(log: &Path) -> String {
    fs::read_to_string(log).unwrap_or_default()
}

/// A port that nobody listens at.
pub(crate) fn free_port() -> Result<u16, String> {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map(|at| at.port()).map_err(|e| e.to_string())
}

/// Gives a file or folder to the owner of another one.
fn give(path: &Path, to_the_owner_of: &Path) -> Result<(), String> {
    let owner = fs::metadata(to_the_owner_of).map_err(|e| format!("{}: {e}", to_the_owner_of.display()))?;
    chown(path, Some(owner.uid()), Some(owner.gid())).map_err(|e| e.to_string())
}

/// A server's program. It refuses to run as root, and so runs as the owner of its folder; and it ends when we do, however
/// that is.
pub(crate) fn program(path: &Path, folder: &Path) -> Result<Command, String> {
    let mut command = Command::new("setpriv");
    command.args(privileges(folder)?).arg(path).current_dir("/").stdin(Stdio::null());
    Ok(command)
}

/// The same in a mount namespace of its own, where `place` is a file system of so many megabytes. It needs no root: who is
/// not is given the right within a user namespace.
fn in_little_room(path: &Path, folder: &Path, place: &Path, megabytes: u32) -> Result<Command, String> {
    let mut command = Command::new("unshare");
    if fs::metadata("/proc/self").map_err(|e| e.to_string())?.uid() != 0 {
        command.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    let owner = fs::metadata(folder).map_err(|e| e.to_string())?;
    let options = format!("size={megabytes}m,mode=0700,uid={},gid={}", owner.uid(), owner.gid());
    let script = format!("mount -t tmpfs -o {options} small \"$0\" && exec setpriv \"$@\"");
    command.args(["--mount", "sh", "-c", &script]).arg(place);
    command.args(privileges(folder)?).arg(path).current_dir("/");
    Ok(command)
}

/// Arguments of `setpriv`.
fn privileges(folder: &Path) -> Result<Vec<String>, String> {
    let ours = fs::metadata("/proc/self").map_err(|e| e.to_string())?.uid();
    let owner = fs::metadata(folder).map_err(|e| e.to_string())?;
    let mut out = vec!["--pdeathsig=QUIT".to_owned()];
    if ours == 0 {
        out.extend([format!("--reuid={}", owner.uid()), format!("--regid={}", owner.gid()), "--clear-groups".into()]);
    }
    Ok(out)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{}: {e}", Path::new(command.get_program()).display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?} ended with {}: {said}", output.status)) }
}
