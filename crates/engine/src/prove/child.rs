//! Runs in processes of their own, which can be killed.

use super::bench::{Bench, Copy, beside};
use chrono::{DateTime, Utc};
use floodmark_core::{Code, Error, Result, url::ConnectionUrl};
use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, ExitStatus, Stdio},
    thread,
    time::Duration,
};

/// The variable that tells a process where it is to die.
const CRASH: &str = "FLOODMARK_CRASH";

/// How often a child is looked after.
const LOOK: Duration = Duration::from_millis(5);

/// What another process is to do: run a pipeline, into another database than its own.
pub struct Errand<'a> {
    /// The pipeline.
    pub pipeline: &'a str,
    /// Its destination.
    pub into: &'a ConnectionUrl,
    /// The time it is to take for now.
    pub at: DateTime<Utc>,
    /// How many rows it commits at a time, and takes from the source at most; `None` is as the pipeline says.
    pub commit_every: Option<u64>,
}

/// A process at work, killed when it is dropped.
pub(super) struct Running {
    child: Child,
    said: PathBuf,
}

/// How a process ended.
pub(super) struct Ended {
    status: ExitStatus,
    said: PathBuf,
}

impl Bench<'_> {
    /// Starts a run in a process of its own. `crash` is what it does where, `name` tells its output from others'.
    pub(super) fn start(
        &self,
        copy: &Copy,
        name: &str,
        commit_every: Option<u64>,
        crash: Option<&str>,
    ) -> Result<Running> {
        let mut command = self.command(copy, commit_every)?;
        let failed = |e| Error::new(Code::Internal, "a run cannot be started in a process of its own").cause(e);
        let said = beside(copy, name);
        let out = File::create(&said).map_err(failed)?;
        command.env_remove(CRASH).stdin(Stdio::null()).stderr(out.try_clone().map_err(failed)?).stdout(out);
        if let Some(crash) = crash {
            command.env(CRASH, crash);
        }
        Ok(Running { child: command.spawn().map_err(failed)?, said })
    }

    /// Waits for its end.
    pub(super) fn end(&self, mut running: Running) -> Result<Ended> {
        loop {
            let looked = running.child.try_wait();
            if let Some(status) = looked.map_err(|e| Error::internal("a run's end cannot be awaited").cause(e))? {
                return Ok(Ended { status, said: running.said.clone() });
            }
            self.stop().check()?;
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The exit code, where it was no signal.
    pub(super) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether it was killed as it was meant to be: by SIGKILL, where there are signals.
    #[cfg(unix)]
    pub(super) fn killed(&self) -> bool {
        std::os::unix::process::ExitStatusExt::signal(&self.status) == Some(9)
    }

    /// Whether it was killed as it was meant to be.
    #[cfg(not(unix))]
    pub(super) fn killed(&self) -> bool {
        !matches!(self.status.code(), Some(0 | 1 | 2 | 3))
    }

    /// The error of a run that ended otherwise than it should, with what it said.
    pub(super) fn error(&self, meant: &str) -> Error {
        let said = fs::read_to_string(&self.said).unwrap_or_default();
        let error = Error::new(Code::Internal, format!("a run {meant}, and ended with {}", self.status));
        let line = said.lines().find(|line| !line.trim().is_empty());
        match line {
            Some(line) => error.cause(floodmark_core::error::shorten(line)),
            None => error,
        }
    }
}
