//! `state`.

use super::Store;
use clap::{Args, Subcommand};
use std::{path::PathBuf, time::Duration};

/// `floodmark state`
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(subcommand)]
    pub(crate) command: StateCommand,
}

/// What to do with the state.
#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Show watermark, columns and files of a pipeline, or of all
    Show {
        /// The pipeline
        name: Option<String>,
    },
    /// Set the watermark by hand
    Set {
        /// The pipeline
        name: String,
        /// The new watermark, written as the column's values are
        #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
        watermark: String,
    },
    /// Forget a pipeline: the next run reads everything again; the table stays as it is (asks first)
    Reset {
        /// The pipeline
        name: String,
    },
    /// Take old runs out of the ledger (asks first); what decides about rows stays
    Prune {
        /// The pipeline; all where none is named
        name: Option<String>,
        /// Runs that began longer ago than this: 90d, 12h
        #[arg(long, value_name = "TIME", value_parser = floodmark_config::lasting)]
        older_than: Duration,
        /// So many of each pipeline's newest runs stay in any case
        #[arg(long, value_name = "N", default_value = "10")]
        keep: usize,
    },
    /// Print the state as JSON, to keep it or to move it
    Export {
        /// The pipeline; all where none is named
        name: Option<String>,
    },
    /// Put back what `export` printed (asks first)
    Import {
        /// The file, or `-` for standard input
        // Not `file`: that is the pipeline file's id, and ids are shared with the global options.
        #[arg(value_name = "FILE")]
        exported: PathBuf,
    },
}
