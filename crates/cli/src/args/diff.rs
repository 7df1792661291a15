//! `diff` and `verify`.

use super::Wait;
use clap::Args;
use floodmark_engine::diff::{By, Sampling, Share, Step};
use std::{path::PathBuf, time::Duration};

/// `floodmark diff`
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// A file or pattern, or a database's URL, with the table behind a `#`: postgres://user@host/shop#public.orders
    #[arg(value_name = "A")]
    pub(crate) first: String,
    /// What is held against it
    #[arg(value_name = "B")]
    pub(crate) second: String,
    /// The table, where the URLs name none
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// Columns by which a row is known [default: the primary key, or else its whole content]
    #[arg(short, long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) key: Vec<String>,
    #[command(flatten)]
    pub(crate) how: How,
}

/// `floodmark verify`
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Pipelines to verify; all where none is named
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Say how late rows came that are missing or old, and the `lookback` with which a run reads them
    #[arg(long)]
    pub(crate) late: bool,
    /// Load the rows again that differ, and compare once more
    #[arg(long, conflicts_with_all = ["condition", "columns"])]
    pub(crate) repair: bool,
    /// With --repair: take rows out that the source does not hold, also where the pipeline leaves them (asks first)
    #[arg(long, requires = "repair")]
    pub(crate) delete_extra: bool,
    /// With --repair: say what it would do, and do nothing
    #[arg(long, requires = "repair")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
    /// Where what the table should hold is made, if the source alone does not tell, and removed again [default: the system's
    /// temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) how: How,
}

/// How two tables are compared, and what is told of it.
#[derive(Debug, Args)]
pub(crate) struct How {
    /// Only these columns beside the key
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) columns: Option<Vec<String>>,
    /// Only rows for which a condition holds, in the SQL of the database (of DataFusion, for files)
    #[arg(long = "where", value_name = "SQL", allow_hyphen_values = true)]
    pub(crate) condition: Option<String>,
    /// Part the rows by a column, or by a step of it: created_at, created_at:1d, id:10000 [default: by the key]
    #[arg(long, value_name = "COLUMN[:STEP]")]
    pub(crate) by: Option<String>,
    /// Look at a share of the segments only: a number of them, or a percentage
    #[arg(long, value_name = "N|N%", value_parser = share)]
    pub(crate) sample: Option<Share>,
    /// What chooses the segments of a sample [default: the time]
    #[arg(long, value_name = "N", requires = "sample")]
    pub(crate) seed: Option<u64>,
    /// How many rows that differ are shown
    #[arg(short, long, value_name = "N", default_value = "20")]
    pub(crate) limit: usize,
    /// Write a report as a web page, with a picture of where the differences lie
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

impl How {
    /// The share of segments that is looked at, with its seed.
    pub(crate) fn sampling(&self) -> Option<Sampling> {
        let now = || {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            since.map_or(1, |since| since.as_secs())
        };
        self.sample.map(|wanted| Sampling { wanted, seed: self.seed.unwrap_or_else(now) })
    }

    /// What rows are parted by. A step alone is one along `cursor`.
    pub(crate) fn by(&self, cursor: Option<&str>) -> Option<By> {
        let text = self.by.as_deref()?;
        if let (Some(step), Some(cursor)) = (step(text), cursor) {
            return Some(By { column: cursor.to_owned(), step: Some(step) });
        }
        Some(match text.rsplit_once(':').and_then(|(column, behind)| Some((column, step(behind)?))) {
            Some((column, step)) => By { column: column.to_owned(), step: Some(step) },
            None => By { column: text.to_owned(), step: None },
        })
    }
}

fn share(text: &str) -> Result<Share, String> {
    let percent = text.strip_suffix('%').and_then(|n| n.parse::<f64>().ok()).filter(|n| *n > 0.0 && *n <= 100.0);
    let number = || text.parse::<u64>().ok().filter(|n| *n > 0).map(Share::Segments);
    percent.map(Share::Percent).or_else(number).ok_or_else(|| "write a number such as 50, or a share such as 5%".into())
}

/// `15m`, `1h`, `1d`, `1w`, or a whole number.
fn step(text: &str) -> Option<Step> {
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let number: u64 = number.parse().ok().filter(|n| *n > 0)?;
    let seconds = match unit {
        "" => return Some(Step::Number(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    Some(Step::Time(Duration::from_secs(number.checked_mul(seconds)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        assert_eq!(share("5%"), Ok(Share::Percent(5.0)));
        assert_eq!(share("50"), Ok(Share::Segments(50)));
        for bad in ["", "0", "0%", "101%", "-1", "x", "NaN%"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn steps() {
        assert_eq!(step("1d"), Some(Step::Time(Duration::from_secs(86_400))));
        assert_eq!(step("100"), Some(Step::Number(100)));
        for bad in ["", "d", "0d", "1y", "99999999999999999999w", "1d2h"] {
            assert_eq!(step(bad), None, "{bad}");
        }
    }
}
