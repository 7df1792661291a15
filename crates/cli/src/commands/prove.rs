//! `prove`: the promises tried on copies, with the pipeline's own data.

use super::{
    Context, Failure, own_program,
    plan::DIFFERENCES,
    run::{self, Hearers, Runner},
};
use crate::{
    args::ProveArgs,
    project,
    render::{Told, certificate},
    work,
};
use floodmark_core::{Code, Error, Result, clock::SystemClock};
use floodmark_engine::prove::{Certificate, Errand, Means};
use std::{
    ffi::OsString,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Instant,
};

/// `floodmark prove`. One pipeline after the other: each trial has the machine to itself.
pub(super) fn prove(cx: &Context, args: &ProveArgs) -> Result<u8, Failure> {
    let project = project::open(&cx.global)?;
    let began = Instant::now();
    let scratch = absolute(args.scratch.clone().unwrap_or_else(std::env::temp_dir))?;
    // Before hours of work, not after them.
    let mut written = args.certificate.as_deref().map(create).transpose()?;
    let program = own_program::find(cx)?;
    let launch = |errand: &Errand<'_>| Ok(command(&program, &project.path, errand));
    let means = Means { scratch: &scratch, launch: &launch };
    let works = work::select(&project, &args.names, &cx.printer, true)?;
    let runner = Runner::start(cx, &run::names(&works), Told::AsWritten, Arc::new(SystemClock), Hearers::NOBODY)?;
    let mut found: Vec<Certificate> = Vec::new();
    for work in works {
        if let Err(error) = cx.stop.check() {
            return Ok(error.exit_code());
        }
        let proven = runner.prove(cx, work, &means)?;
        if let (Some(file), Some(path)) = (&mut written, &args.certificate) {
            writeln!(file, "{}", certificate::object(&proven)).map_err(|e| unwritten(path, e))?;
        }
        found.push(proven);
    }
    if !cx.printer.json() {
        cx.printer.text(&certificate::total(&found, began.elapsed()))?;
        cx.printer.note("these were trials on copies: no table and no state was touched");
    }
    Ok(run::worst(found.iter().map(exit_code)))
}

fn exit_code(found: &Certificate) -> u8 {
    match found.failed() {
        Some(error) if found.reference.error.is_some() => error.exit_code(),
        Some(_) => 1,
        None if found.broken() => DIFFERENCES,
        None => 0,
    }
}

/// This program, running one pipeline of the same file on a copy. It finds the same environment, and so the same `${…}`.
fn command(program: &[OsString], file: &Path, errand: &Errand<'_>) -> Command {
    let mut command = own_program::command(program);
    command.arg("run").arg(errand.pipeline).arg("--file").arg(file);
    // As it is, and not as it is shown: where a password or a key is kept is hidden there.
    let into = format!("{}:{}", errand.into.scheme(), errand.into.written());
    command.args(["--quiet", "--format", "json", "--into", &into]);
    command.args(["--at", &errand.at.to_rfc3339()]);
    if let Some(rows) = errand.commit_every {
        command.args(["--commit-every", &rows.to_string()]);
    }
    command
}

fn absolute(folder: PathBuf) -> Result<PathBuf> {
    std::path::absolute(&folder)
        .map_err(|e| Error::new(Code::BadArgument, format!("there is no folder {}", folder.display())).cause(e))
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|e| unwritten(path, e).state("nothing was done"))
}

fn unwritten(path: &Path, error: std::io::Error) -> Error {
    Error::new(Code::Output, "the certificate cannot be written").in_file(path).cause(error)
}
