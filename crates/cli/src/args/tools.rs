//! The small commands.

use clap::Args;
use floodmark_config::sized;
use std::path::PathBuf;

/// `floodmark init`
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where; it is made when it is not there
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
}

/// `floodmark fingerprint`
#[derive(Debug, Args)]
pub(crate) struct FingerprintArgs {
    /// The database or lake, for example sqlite:///shop.db or delta:///lake
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// The table
    #[arg(value_name = "TABLE")]
    pub(crate) table: String,
}

/// `floodmark optimize`
#[derive(Debug, Args)]
pub(crate) struct OptimizeArgs {
    /// The lake, for example delta:///lake or delta+s3://bucket/lake; or a pipeline of the pipeline file, without a table
    #[arg(value_name = "URL|NAME")]
    pub(crate) lake: String,
    /// The table
    #[arg(value_name = "TABLE")]
    pub(crate) table: Option<String>,
    /// How large files become, about [default: as the pipeline says, else 128MiB]
    #[arg(long, value_name = "SIZE", value_parser = sized)]
    pub(crate) file_size: Option<usize>,
    /// How long files are kept that are the table's no more, for readers of earlier versions: 7d, 24h; as the table says, or 7 days, unless given
    #[arg(long, value_name = "DURATION")]
    pub(crate) keep: Option<String>,
}

/// `floodmark explain`
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// An error code such as FM0301; all of them are listed where none is given
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
}

/// `floodmark completions`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}
