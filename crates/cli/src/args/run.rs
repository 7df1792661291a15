//! `run`, `plan`, `prove` and `check`.

use chrono::{DateTime, Utc};
use clap::Args;
use std::{num::NonZeroU64, path::PathBuf, time::Duration};

/// `floodmark run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Pipelines to run; all where none is named
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// How many pipelines run at a time
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: u16,
    #[command(flatten)]
    pub(crate) wait: Wait,
    /// Forget the state and the rows, and load everything again (asks first)
    #[arg(long)]
    pub(crate) full_refresh: bool,
    #[command(flatten)]
    pub(crate) elsewhere: Elsewhere,
    #[command(flatten)]
    pub(crate) served: Served,
}

/// How `serve` has its own program run a pipeline. For nobody else, and so in no help.
#[derive(Debug, Args)]
pub(crate) struct Served {
    /// Run only while this is the newest run in the ledger (empty: while there is none)
    #[arg(long, value_name = "RUN", hide = true)]
    pub(crate) newest: Option<String>,
    /// When it was due
    #[arg(long, value_name = "TIME", hide = true)]
    pub(crate) due: Option<DateTime<Utc>>,
}

/// How `prove` has its own program run a pipeline on a copy. For nobody else, and so in no help.
#[derive(Debug, Args)]
pub(crate) struct Elsewhere {
    /// The destination, in place of the pipeline's
    #[arg(long, value_name = "URL", hide = true)]
    pub(crate) into: Option<String>,
    /// The time that counts as now
    #[arg(long, value_name = "TIME", hide = true, requires = "into")]
    pub(crate) at: Option<DateTime<Utc>>,
    /// Rows committed at a time, and taken from the source at most
    #[arg(long, value_name = "N", hide = true, requires = "into")]
    pub(crate) commit_every: Option<NonZeroU64>,
}

/// `floodmark prove`
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// Pipelines to prove; all where none is named
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Write the certificates into a file as well: a JSON object a pipeline
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// Where the copies are made and removed again; they need a few times the room of the database [default: the system's
    /// temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
}

/// `floodmark plan`
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Pipelines to plan; all where none is named
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// How many rows of each kind (inserted, updated, removed) are shown
    #[arg(short, long, value_name = "N", default_value = "5")]
    pub(crate) samples: u16,
    /// Exit with 4 where a run would change something, with 0 where it would not
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// What to do while another run holds the pipeline.
#[derive(Debug, Clone, Args)]
pub(crate) struct Wait {
    /// Wait for another run of the same pipeline to end instead of leaving with exit code 3: for ever, or so long
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "forever", value_parser = wait)]
    wait: Option<Waiting>,
}

/// How long.
#[derive(Debug, Clone, Copy)]
enum Waiting {
    Forever,
    For(Duration),
}

impl Wait {
    /// As the engine takes it: `None` is for ever.
    pub(crate) fn time(&self) -> Option<Duration> {
        match self.wait {
            None => Some(Duration::ZERO),
            Some(Waiting::For(time)) => Some(time),
            Some(Waiting::Forever) => None,
        }
    }
}

/// `floodmark check`
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Pipelines to check; all where none is named
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

fn wait(text: &str) -> Result<Waiting, String> {
    if text == "forever" {
        return Ok(Waiting::Forever);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => 0,
    };
    let time = number.parse::<u64>().ok().and_then(|n| n.checked_mul(seconds)).filter(|_| seconds > 0);
    time.map(|s| Waiting::For(Duration::from_secs(s))).ok_or_else(|| "write a time such as 30s, 5m or 1h".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_times() {
        assert!(matches!(wait("30s"), Ok(Waiting::For(t)) if t.as_secs() == 30));
        assert!(matches!(wait("2m"), Ok(Waiting::For(t)) if t.as_secs() == 120));
        assert!(matches!(wait("7"), Ok(Waiting::For(t)) if t.as_secs() == 7));
        for bad in ["", "s", "1d", "99999999999999999999", "18446744073709551615h", "-1", "é"] {
            assert!(wait(bad).is_err(), "{bad}");
        }
    }
}
