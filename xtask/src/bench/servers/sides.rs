//! Who does a job: a shell script in a folder of its own, measured as a whole.

use super::Bench;
use crate::bench::measure::{self, Cost};
use std::{fs, path::Path, path::PathBuf};

/// Something to be measured.
pub(super) struct Job {
    /// What `--only` names.
    pub(super) name: &'static str,
    /// What the report calls it.
    pub(super) title: &'static str,
    /// Makes what all sides read. Not measured.
    pub(super) prepare: fn(&Bench) -> Result<(), String>,
    pub(super) sides: fn(&Bench) -> Vec<Side>,
    /// Brings a side's destination to where the job begins.
    pub(super) before: fn(&Bench, &Side) -> Result<(), String>,
    /// What the side's table holds then.
    pub(super) content: fn(&Bench, &Side) -> Result<String, String>,
    /// Keeps what a later job begins with.
    pub(super) after: fn(&Bench, &Side) -> Result<(), String>,
}

/// One who does it.
pub(super) struct Side {
    pub(super) name: &'static str,
    /// Neither Floodmark nor the database's own tool.
    pub(super) peer: bool,
    pub(super) script: String,
    /// Floodmark's pipeline file.
    pub(super) pipeline: Option<String>,
}

impl Side {
    pub(super) fn folder(&self, bench: &Bench) -> PathBuf {
        bench.work.join(self.name)
    }

    /// An empty folder with the job's files.
    pub(super) fn fresh(&self, bench: &Bench) -> Result<PathBuf, String> {
        let folder = self.folder(bench);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("data")).map_err(|e| e.to_string())?;
        if let Some(pipeline) = &self.pipeline {
            fs::write(folder.join("floodmark.yaml"), pipeline).map_err(|e| e.to_string())?;
        }
        Ok(folder)
    }

    /// Puts an input file in place: a link, so that nothing is copied and its time stays.
    pub(super) fn give(&self, bench: &Bench, file: &Path) -> Result<(), String> {
        let name = file.file_name().ok_or("a file without a name")?;
        let place = self.folder(bench).join("data").join(name);
        fs::hard_link(file, &place).map_err(|e| format!("{}: {e}", place.display()))
    }

    pub(super) fn load(&self, bench: &Bench) -> Result<Cost, String> {
        let script = format!("set -eu\n{}", self.script);
        measure::measure(&self.folder(bench), None, Path::new("sh"), &["-c", &script])
    }
}
