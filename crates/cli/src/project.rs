//! The pipeline file: which one it is, and what it has under which name.

use crate::{args::Global, commands::Failure, env};
use floodmark_config::Project;
use floodmark_core::{Code, Error, Result, wording};
use std::path::{Path, PathBuf};

/// Where `floodmark.yaml` is looked for.
const DEFAULT_FILE: &str = "floodmark.yaml";

/// Opens the pipeline file.
pub(crate) fn open(global: &Global) -> Result<Project, Failure> {
    open_or(global, "to load a file without one: floodmark load orders.csv sqlite:///shop.db --key id")
}

/// The same; `instead` says how the command does without.
pub(crate) fn open_or(global: &Global, instead: &str) -> Result<Project, Failure> {
    Ok(Project::open(&pipeline_file(global, instead)?, &env::lookup)?)
}

/// The pipeline file's path: the one named (or in the directory named), else the one here.
fn pipeline_file(global: &Global, instead: &str) -> Result<PathBuf> {
    match &global.file {
        Some(path) if path.is_dir() => Ok(path.join(DEFAULT_FILE)),
        Some(path) => Ok(path.clone()),
        None if Path::new(DEFAULT_FILE).exists() => Ok(PathBuf::from(DEFAULT_FILE)),
        None => Err(Error::new(Code::ConfigRead, "there is no floodmark.yaml in this directory")
            .state("nothing was done")
            .help("name a pipeline file with -f FILE, or make a project with `floodmark init`")
            .help(instead)),
    }
}

/// The error of a name that is none of the file's; `others` are names it might be beside those written there.
pub(crate) fn unknown(project: &Project, name: &str, others: &[String]) -> Error {
    let written = project.pipelines.iter().map(|p| &p.name).chain(project.families.iter().map(|f| &f.name));
    let mut known: Vec<&str> = Vec::new();
    for name in written.chain(others).map(String::as_str) {
        // A pipeline that is written there has its state in a database, too.
        if !known.contains(&name) {
            known.push(name);
        }
    }
    Error::new(Code::UnknownPipeline, format!("there is no pipeline {name:?} in {}", project.path.display()))
        .state("nothing was done")
        .help(wording::suggest(name, "there are", &known))
}
