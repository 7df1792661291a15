//! This program, started once more as a process of its own.

use super::Context;
use floodmark_core::{Error, Result};
use std::{
    ffi::{OsStr, OsString},
    process::Command,
};

/// How it is started.
pub(super) fn find(cx: &Context) -> Result<Vec<OsString>> {
    match &cx.starts {
        Some(program) => Ok(program.clone()),
        None => std::env::current_exe()
            .map(|program| vec![program.into()])
            .map_err(|e| Error::internal("this program cannot be found").cause(e)),
    }
}

/// The beginning of its command line.
pub(super) fn command(program: &[OsString]) -> Command {
    let (name, rest) = program.split_first().map_or((OsStr::new("floodmark"), &[][..]), |(name, rest)| (name, rest));
    let mut command = Command::new(name);
    command.args(rest);
    command
}
