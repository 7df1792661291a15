//! Gets a message to somebody. It waits, on a thread of its own: nothing that loads or decides waits for it.

use super::message::Message;
use floodmark_core::outlet::{Channel, CommandLine, Given, Way};
use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a command may take.
const DONE: Duration = Duration::from_secs(30);
/// How often it is looked whether it has.
const GLANCE: Duration = Duration::from_millis(20);

/// Sends it, once.
///
/// # Errors
/// Why it did not arrive, in a sentence without a full stop and without a secret.
pub(crate) fn send(channel: &Channel, message: &Message) -> Result<(), String> {
    match &channel.way {
        Way::Webhook(endpoint) => match endpoint.ready()? {
            Some((url, token)) => {
                floodmark_post::post(url, token, &message.object(true), ANSWER).map_err(|unsent| unsent.to_string())
            }
            None => Err("it is switched off".into()),
        },
        Way::Command { line: Given::Is(line), folder } => run(line, folder, message, DONE),
        Way::Command { line: Given::Empty, .. } => Err("it is switched off".into()),
        Way::Command { line: Given::Unset(why), .. } => Err(why.clone()),
    }
}

fn run(line: &CommandLine, folder: &Path, message: &Message, within: Duration) -> Result<(), String> {
    // A path is the pipeline file's, a name is looked up as shells do.
    let program = if line.program.contains('/') { folder.join(&line.program) } else { (&line.program).into() };
    let text = |text: String| text.replace('\0', " ");
    let mut command = Command::new(program);
    command
        .args(&line.words)
        .env("FLOODMARK_ALERT_TEXT", text(message.text()))
        .env("FLOODMARK_ALERT_EVENT", message.event())
        .env("FLOODMARK_ALERT_PIPELINES", text(message.pipelines().join("\n")))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if !folder.as_os_str().is_empty() {
        command.current_dir(folder);
    }
    // What it starts is ended with it, and a signal of a terminal is not for it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(|e| format!("{line} cannot be started: {e}"))?;
    // One that does not read is no reason to wait, and no error.
    let (stdin, body) = (child.stdin.take(), message.object(false).to_string());
    thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(body.as_bytes())));
    let said = said(&mut child);
    let status = ended(&mut child, within).map_err(|e| format!("{line}: {e}"))?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            let last = said.recv_timeout(GLANCE * 5).unwrap_or_default();
            let last = if last.is_empty() { last } else { format!(": {last}") };
            Err(match status.code() {
                Some(code) => format!("{line} ended with exit code {code}{last}"),
                None => format!("{line} was killed by a signal{last}"),
            })
        }
        None => Err(format!("{line} took longer than {} s, and was ended", within.as_secs_f64())),
    }
}

/// The last line of what it says, once it says no more.
fn said(child: &mut Child) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel();
    let stderr = child.stderr.take();
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(stderr) = stderr {
            // A pipe that breaks ends it as well.
            let _ = stderr.take(64 << 10).read_to_end(&mut text);
        }
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        // Nobody need be waiting any more.
        let _ = tell.send(floodmark_core::error::shorten(line.trim()));
    });
    told
}

/// How it ended; `None` where it had to be killed.
fn ended(child: &mut Child, within: Duration) -> std::io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() >= within {
            kill(child);
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(GLANCE);
    }
}

fn kill(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // It may have ended just now.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::alert::message::Item;
    use chrono::DateTime;

    fn line(script: &str) -> CommandLine {
        CommandLine { program: "sh".into(), words: ["-c", script, "sh", "s3cret"].map(str::to_owned).to_vec() }
    }

    fn message() -> Message {
        Message { items: vec![Item::Test], project: "floodmark.yaml".into(), at: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn a_command_has_the_message_in_its_input_and_its_environment() {
        let folder = tempfile::tempdir().unwrap();
        let script = "cat > told.json; echo \"$FLOODMARK_ALERT_EVENT: $FLOODMARK_ALERT_TEXT\" > told.txt";
        run(&line(script), folder.path(), &message(), DONE).unwrap();
        let told: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(folder.path().join("told.json")).unwrap()).unwrap();
        assert_eq!(told["alerts"][0]["event"], "test");
        let text = std::fs::read_to_string(folder.path().join("told.txt")).unwrap();
        assert!(text.starts_with("test: This is a test."), "{text}");
    }

    #[test]
    fn a_command_that_fails_or_hangs_is_told_without_its_words() {
        let folder = Path::new("");
        for (script, told) in [
            ("echo gone >&2; exit 3", "sh ended with exit code 3: gone"),
            ("exec < /dev/null; exit 1", "sh ended with exit code 1"),
            ("kill -9 $$", "sh was killed by a signal"),
            // What it started keeps its pipes open.
            ("sleep 60 & sleep 60", "sh took longer than 0.3 s, and was ended"),
        ] {
            let began = Instant::now();
            let why = run(&line(script), folder, &message(), Duration::from_millis(300)).unwrap_err();
            assert_eq!(why, told);
            assert!(began.elapsed() < Duration::from_secs(10));
        }
        let none = CommandLine { program: "./not-there".into(), words: vec!["s3cret".into()] };
        let why = run(&none, folder, &message(), DONE).unwrap_err();
        assert!(why.contains("cannot be started") && !why.contains("s3cret"), "{why}");
    }
}
