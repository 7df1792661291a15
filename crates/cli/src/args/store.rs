//! `runs` and `rejects`, and where their ledgers are.

use crate::env;
use clap::{ArgGroup, Args, Subcommand};

/// Where the ledgers are, when there is no pipeline file.
#[derive(Debug, Args)]
pub(crate) struct Store {
    /// The database that holds the state, in place of a pipeline file
    #[arg(long, value_name = "URL", global = true, env = env::DESTINATION, hide_env_values = true)]
    pub(crate) destination: Option<String>,
}

/// `floodmark runs`
#[derive(Debug, Args)]
#[command(
    after_help = "A run is `partial` while chunks of it are committed and the last is not: it is still running, or \
was killed, and then the next run goes on from there. A run that has committed nothing is not listed before it ends. Times and paces \
leave out a run's last commit, which the ledger's line is a part of; into a lake it writes the files."
)]
pub(crate) struct RunsArgs {
    #[command(flatten)]
    pub(crate) store: Store,
    /// Runs of this pipeline; of all where none is named
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// How many, newest first
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) limit: usize,
    #[command(subcommand)]
    pub(crate) command: Option<RunsCommand>,
}

/// One run.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Show one run in full
    Show {
        /// Its id, or as much of its beginning as no other run has
        id: String,
    },
}

/// `floodmark rejects`
#[derive(Debug, Args)]
pub(crate) struct RejectsArgs {
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(subcommand)]
    pub(crate) command: RejectsCommand,
}

/// What to do with rejects.
#[derive(Debug, Subcommand)]
pub(crate) enum RejectsCommand {
    /// List rejected rows with their reasons
    List {
        /// Of this pipeline; of all where none is named
        name: Option<String>,
    },
    /// Show one rejected row, whole
    Show {
        /// Its number
        #[arg(value_parser = shown)]
        id: i64,
        /// Of this pipeline, where several have a row of that number
        #[arg(long, value_name = "NAME")]
        pipeline: Option<String>,
    },
    /// Load the rejected rows of a pipeline again and drop those that loaded
    Replay {
        /// The pipeline
        name: String,
    },
    /// Drop rejected rows (asks first)
    #[command(group(ArgGroup::new("which").required(true)))]
    Drop {
        /// Their numbers
        #[arg(group = "which", value_parser = dropped)]
        ids: Vec<i64>,
        /// Of this pipeline, where several have rows of these numbers
        #[arg(long, value_name = "NAME", conflicts_with = "all")]
        pipeline: Option<String>,
        /// All rejects of this pipeline
        #[arg(long, value_name = "NAME", group = "which")]
        all: Option<String>,
    },
}

fn shown(text: &str) -> Result<i64, String> {
    text.parse()
        .map_err(|_| format!("rejected rows go by number: `floodmark rejects list {text}` says which there are"))
}

fn dropped(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| {
        format!("rejected rows go by number; for all of a pipeline: `floodmark rejects drop --all {text}`")
    })
}
