//! The program under test in a project, armed or not.

use crate::program;
use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// How a run of the program ended.
#[derive(Debug)]
pub struct Program {
    /// Exit code, or `None` when a signal ended it.
    pub exit: Option<i32>,
    /// Both outputs, for a report.
    pub said: String,
}

impl Program {
    /// The program with nothing of the caller's environment, ready to start. `crash` arms it.
    pub fn command(project: &Path, arguments: &[String], crash: Option<&str>) -> Result<Command, String> {
        let mut command = program::command()?;
        command.current_dir(project).args(arguments).stdin(Stdio::null());
        if let Some(crash) = crash {
            command.env("FLOODMARK_CRASH", crash);
        }
        Ok(command)
    }

    /// Runs it to its end, whatever that is.
    pub fn run(project: &Path, arguments: &[String], crash: Option<&str>) -> Result<Program, String> {
        let output = Program::command(project, arguments, crash)?.output();
        Ok(output.map_err(|e| format!("the program cannot be started: {e}"))?.into())
    }

    /// Runs it to its end, which must be a good one.
    pub(super) fn succeed(project: &Path, arguments: &[String], crash: Option<&str>) -> Result<(), String> {
        let ran = Program::run(project, arguments, crash)?;
        if ran.exit == Some(0) { Ok(()) } else { Err(format!("exit code {:?}\n{}", ran.exit, ran.said)) }
    }
}

impl From<Output> for Program {
    fn from(output: Output) -> Self {
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Program { exit: output.status.code(), said }
    }
}
