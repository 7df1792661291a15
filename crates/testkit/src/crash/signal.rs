//! Signals to a child, and what a child is doing.

use std::{
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

/// Sends a signal by name (`CONT`, `TERM`).
pub fn send(child: &Child, signal: &str) -> Result<(), String> {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    match sent {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("kill -s {signal} ended with {status}")),
        Err(error) => Err(format!("kill cannot be started: {error}")),
    }
}

/// Waits until a child has stopped itself (SIGSTOP). Linux only: elsewhere there is no `/proc` to ask.
pub fn await_stopped(child: &Child) -> Result<(), String> {
    let since = Instant::now();
    let file = format!("/proc/{}/stat", child.id());
    loop {
        let stat = std::fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?;
        // `pid (name) state …`, and a name may hold anything.
        match stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()) {
            Some('T') => return Ok(()),
            Some('Z') => return Err("it ended, and was to stop itself".into()),
            _ if since.elapsed() > Duration::from_secs(30) => return Err("it did not stop itself in 30 s".into()),
            _ => thread::sleep(Duration::from_millis(2)),
        }
    }
}
