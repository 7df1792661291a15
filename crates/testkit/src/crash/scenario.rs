//! A pipeline and what happens to it.

use crate::{
    crash::Database,
    play::{Style, frame},
};
use std::{fs, path::Path};

/// One pipeline, called `t`, loading the table `t`.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is about; the source kind included.
    pub name: String,
    /// In order; each begins where the one before ended.
    pub stages: Vec<Stage>,
    /// Whether where a chunk ends decides between `superseded`, `stale`, `updated` and `unchanged`: then only their
    /// sum must be that of the unbroken run.
    pub chunked: bool,
}

/// Something changes, and a command runs.
#[derive(Debug, Clone, Default)]
pub struct Stage {
    /// Fields of the pipeline, as in the file; empty leaves the file as it is.
    pub pipeline: String,
    /// Files to write, or to remove.
    pub files: Vec<(String, Option<Vec<u8>>)>,
    /// Statements for the destination, by somebody else's hand.
    pub sql: String,
    /// Arguments of the program.
    pub command: Vec<String>,
    /// What the command does when its work is done already.
    pub again: Again,
}

/// What a command does a second time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Again {
    /// Nothing.
    #[default]
    Nothing,
    /// It reads everything once more, and finds nothing to write.
    Reads,
    /// It may say that there is nothing to do, and fail.
    Refuses,
    /// All of it, as `--full-refresh` says: the receipts add up to more.
    Everything,
}

impl Stage {
    /// A run after these files were written.
    pub fn run(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Stage {
        Stage {
            files: files.into_iter().map(|(name, bytes)| (name, Some(bytes))).collect(),
            command: vec!["run".into()],
            ..Stage::default()
        }
    }

    /// Another command, with nothing changed before it.
    pub fn command(words: &str) -> Stage {
        let command = words.split_whitespace().map(str::to_owned).collect();
        Stage { command, ..Stage::default() }
    }

    /// With these fields in the pipeline file from now on.
    #[must_use]
    pub fn with(mut self, fields: &str) -> Stage {
        self.pipeline = fields.to_owned();
        self
    }

    /// Writes everything that changes before the command runs.
    pub fn prepare(&self, project: &Path, database: &dyn Database) -> Result<(), String> {
        let io = |name: &str| {
            let name = name.to_owned();
            move |e: std::io::Error| format!("{name}: {e}")
        };
        if !self.pipeline.is_empty() {
            // No file of a lake counts as small: rows that change keep their places in it.
            let size = if database.url().starts_with("delta:") { ", file_size: 16KiB" } else { "" };
            let fields = format!("destination: {{ url: \"{}\", table: t{size} }}\n{}", database.url(), self.pipeline);
            let text = frame("t", &fields, Style::AsWritten);
            fs::write(project.join("floodmark.yaml"), text).map_err(io("floodmark.yaml"))?;
        }
        for (name, content) in &self.files {
            let path = project.join(name);
            match content {
                None => fs::remove_file(&path).map_err(io(name))?,
                Some(bytes) => {
                    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(io(name))?;
                    fs::write(&path, bytes).map_err(io(name))?;
                }
            }
        }
        if self.sql.is_empty() { Ok(()) } else { database.execute(project, &self.sql) }
    }
}
