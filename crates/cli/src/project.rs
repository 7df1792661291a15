//! From the pipeline file, or `--destination`, to pipelines and the databases that hold their state.

use crate::{
    args::{Global, Store},
    commands::Failure,
    env,
    render::Printer,
};
use floodmark_config::Project;
use floodmark_connect::{Destination, destination::Ledger};
use floodmark_core::{Code, Error, Result, pipeline::Pipeline, url::ConnectionUrl, wording};
use floodmark_engine::registry;
use std::path::{Path, PathBuf};

/// Where `floodmark.yaml` is looked for.
const DEFAULT_FILE: &str = "floodmark.yaml";

/// Opens the pipeline file.
pub(crate) fn open(global: &Global) -> Result<Project, Failure> {
    Ok(Project::open(
        &pipeline_file(global, "to load a file without one: floodmark load orders.csv sqlite:///shop.db --key id")?,
        &env::lookup,
    )?)
}

/// The pipeline file's path: the one named (or in the directory named), else the one here. `instead` says how the
/// command does without.
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

/// The named pipelines in the order named, without repeats; all of them where none is named.
pub(crate) fn select<'a>(project: &'a Project, names: &[String]) -> Result<Vec<&'a Pipeline>> {
    if names.is_empty() {
        return Ok(project.pipelines.iter().collect());
    }
    let mut out: Vec<&Pipeline> = Vec::new();
    for name in names {
        let pipeline = find(project, name)?;
        if !out.iter().any(|p| p.name == pipeline.name) {
            out.push(pipeline);
        }
    }
    Ok(out)
}

/// One pipeline by name.
pub(crate) fn find<'a>(project: &'a Project, name: &str) -> Result<&'a Pipeline> {
    let names = || project.pipelines.iter().map(|p| p.name.as_str());
    project.pipelines.iter().find(|p| p.name == name).ok_or_else(|| unknown(name, names(), &project.path))
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>, place: &Path) -> Error {
    let known: Vec<&str> = known.collect();
    Error::new(Code::UnknownPipeline, format!("there is no pipeline {name:?} in {}", place.display()))
        .state("nothing was done")
        .help(wording::suggest(name, "there are", &known))
}

/// A database with state in it.
pub(crate) struct Keeper {
    /// Where it is.
    pub(crate) url: ConnectionUrl,
    /// The database.
    pub(crate) destination: Box<dyn Destination>,
    /// The pipelines of the file that load into it; `None` where there is no file, and all that it knows count.
    declared: Option<Vec<String>>,
}

impl Keeper {
    /// Its ledgers; `None` where no run has made the database yet.
    pub(crate) fn ledger(&self) -> Result<Option<Box<dyn Ledger>>> {
        if self.destination.exists() { self.destination.ledger().map(Some) } else { Ok(None) }
    }

    /// The pipelines to speak of.
    pub(crate) fn pipelines(&self, ledger: Option<&dyn Ledger>) -> Result<Vec<String>> {
        match (&self.declared, ledger) {
            (Some(declared), _) => Ok(declared.clone()),
            (None, Some(ledger)) => ledger.pipelines(),
            (None, None) => Ok(Vec::new()),
        }
    }
}

/// The databases that hold state, and the project where there is one.
pub(crate) struct Keepers {
    /// In the order of the pipeline file.
    pub(crate) all: Vec<Keeper>,
    /// `None` with `--destination`.
    pub(crate) project: Option<Project>,
}

impl Keepers {
    /// `--destination` when it is given, else the destinations of the pipeline file.
    pub(crate) fn open(global: &Global, store: &Store) -> Result<Self, Failure> {
        if let Some(url) = &store.destination {
            let url = ConnectionUrl::parse(url)?;
            let destination = registry::destination(&url)?;
            return Ok(Keepers { all: vec![Keeper { url, destination, declared: None }], project: None });
        }
        let instead = "or name the database that holds the state: --destination sqlite:///shop.db";
        let project = Project::open(&pipeline_file(global, instead)?, &env::lookup)?;
        let mut all: Vec<Keeper> = Vec::new();
        for pipeline in &project.pipelines {
            let url = &pipeline.destination.url;
            let index = match all.iter().position(|k| k.url == *url) {
                Some(index) => index,
                None => {
                    let destination = registry::destination(url)?;
                    all.push(Keeper { url: url.clone(), destination, declared: Some(Vec::new()) });
                    all.len() - 1
                }
            };
            all[index].declared.get_or_insert_default().push(pipeline.name.clone());
        }
        Ok(Keepers { all, project: Some(project) })
    }

    /// The database that holds a pipeline's state. Without a file it is the one that was named.
    pub(crate) fn of(&self, pipeline: &str) -> Result<&Keeper> {
        let declares = |k: &&Keeper| k.declared.as_ref().is_none_or(|names| names.iter().any(|n| n == pipeline));
        self.all.iter().find(declares).ok_or_else(|| {
            let names = self.all.iter().flat_map(|k| k.declared.iter().flatten()).map(String::as_str);
            unknown(pipeline, names, self.project.as_ref().map_or(Path::new(DEFAULT_FILE), |p| &p.path))
        })
    }

    /// The ledgers of all databases that are there.
    pub(crate) fn ledgers(&self) -> Result<Vec<Box<dyn Ledger>>> {
        self.all.iter().filter_map(|keeper| keeper.ledger().transpose()).collect()
    }

    /// Says which databases no run has made yet.
    pub(crate) fn tell_missing(&self, printer: &Printer) {
        for keeper in self.all.iter().filter(|k| !k.destination.exists()) {
            printer.note(&format!("There is no database yet: {}", keeper.url));
        }
    }

    /// The pipeline's settings, where there is a file that has them.
    pub(crate) fn settings(&self, pipeline: &str) -> Option<&Pipeline> {
        self.project.as_ref()?.pipelines.iter().find(|p| p.name == pipeline)
    }
}
