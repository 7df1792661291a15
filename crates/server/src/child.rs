//! Processes that do the work: what they tell, line by line, and how they end.

use crate::{board::Exit, scheduler::News};
use serde_json::Value;
use std::process::{Command, Stdio};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::Child,
    sync::mpsc::Sender,
};

/// A longer line is none that this program prints.
const LINE: u64 = 4 << 20;
/// So much is kept of what a process says beside its result.
const SAID: usize = 16 << 10;

/// The variable that has a process tell what happens, as lines of JSON among its results.
pub const EVENTS: &str = "FLOODMARK_EVENTS";
/// The variable that has a process die at a place, as `floodmark_connect::crash` names them.
pub const CRASH: &str = "FLOODMARK_CRASH";

/// Starts a process; its news go to `to` until it has ended. Returns its number.
pub(crate) fn start(mut command: Command, job: String, to: Sender<News>) -> std::io::Result<Option<u32>> {
    command.env(EVENTS, "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A signal to the group of a terminal is for the server alone, which tells its processes.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = tokio::process::Command::from(command).spawn()?;
    let number = child.id();
    tokio::spawn(async move {
        let exit = follow(&mut child, &job, &to).await;
        // The other end is gone when the server is.
        let _ = to.send(News::Exited(job, exit)).await;
    });
    Ok(number)
}

async fn follow(child: &mut Child, job: &str, to: &Sender<News>) -> Exit {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let told = async {
        let mut result = None;
        if let Some(out) = out {
            let mut out = BufReader::new(out);
            while let Some(line) = line(&mut out).await {
                let Ok(value) = serde_json::from_slice::<Value>(&line) else { continue };
                match value.get("event") {
                    Some(event) => {
                        let _ = to.send(News::Said(job.to_owned(), event.clone())).await;
                    }
                    None => result = Some(value),
                }
            }
        }
        result
    };
    let said = async {
        let mut said = Vec::new();
        if let Some(mut err) = err {
            let mut part = [0; 4096];
            while let Ok(n @ 1..) = err.read(&mut part).await {
                said.extend_from_slice(&part[..n]);
                // What was said last tells why it ended.
                if said.len() > 2 * SAID {
                    said.drain(..said.len() - SAID);
                }
            }
        }
        said.drain(..said.len().saturating_sub(SAID));
        String::from_utf8_lossy(&said).into_owned()
    };
    let (result, said) = tokio::join!(told, said);
    let status = child.wait().await;
    Exit { code: status.ok().and_then(|status| status.code()), result, said }
}

/// The next line; `None` at the end, and of a line that is too long what fits.
async fn line(from: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let read = from.take(LINE).read_until(b'\n', &mut line).await;
    read.ok().filter(|n| *n > 0).map(|_| line)
}

/// Asks a process to end, or ends it. One that has ended hears nothing.
#[cfg(unix)]
pub(crate) fn signal(number: u32, kill: bool) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, if kill { Signal::KILL } else { Signal::TERM });
    }
}

/// Nothing here asks a process to end.
#[cfg(not(unix))]
pub(crate) fn signal(_number: u32, _kill: bool) {}
