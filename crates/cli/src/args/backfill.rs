//! `backfill`.

use super::Wait;
use clap::Args;
use floodmark_core::interval::Step;
use std::path::PathBuf;

/// `floodmark backfill`
#[derive(Debug, Args)]
pub(crate) struct BackfillArgs {
    /// The pipeline to fill
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The first value that is loaded: 2024-01-01, 2024-01-01T12:00:00 or a number
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true, required_unless_present_any = ["missing", "status"])]
    pub(crate) from: Option<String>,
    /// The first value that is not loaded any more
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true, required_unless_present_any = ["missing", "status"])]
    pub(crate) to: Option<String>,
    /// How long an interval is: 15m, 1h, 1d, 1w, 1mo, 1y (`m` is a minute), or a whole number [default: 1d for dates and timestamps, all at once for
    /// numbers]
    #[arg(long, value_name = "STEP", value_parser = floodmark_config::step)]
    pub(crate) by: Option<Step>,
    /// The column to go along [default: that of the watermark, or the window]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) column: Option<String>,
    /// How many parts of the source are read at a time
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
    /// Load what neither a backfill nor a run has loaded, of all the source holds where no range is given
    #[arg(long, conflicts_with = "force")]
    pub(crate) missing: bool,
    /// Load intervals once more that are in
    #[arg(long)]
    pub(crate) force: bool,
    /// Show what is in and what is missing, and load nothing
    #[arg(long, conflicts_with_all = ["missing", "force", "by"])]
    pub(crate) status: bool,
    /// With --status: draw it into a file, too
    #[arg(long, value_name = "FILE", requires = "status")]
    pub(crate) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}
