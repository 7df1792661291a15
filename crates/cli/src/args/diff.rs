//! `diff` and `verify`.

use super::Wait;
use clap::Args;
use floodmark_core::interval::Tz;
use floodmark_engine::diff::{By, Sampling, Share};
use std::path::PathBuf;

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
    /// Say how far behind the watermark rows lie that are missing or different, and the `lookback` with which a run reads them
    /// again
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
    /// Part the rows by a column, or by a step of it: created_at, created_at:1d, created_at:1mo, id:10000 [default: by the
    /// key]
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

    /// What rows are parted by. A step alone is one along `cursor`. Days and months are those of a zone.
    pub(crate) fn by(&self, cursor: Option<&str>, zone: Tz) -> Option<By> {
        let text = self.by.as_deref()?;
        let step = |text: &str| floodmark_config::step(text).ok();
        let (column, step) = match (step(text), cursor) {
            (Some(step), Some(cursor)) => (cursor, Some(step)),
            _ => match text.rsplit_once(':').and_then(|(column, behind)| Some((column, step(behind)?))) {
                Some((column, step)) => (column, Some(step)),
                None => (text, None),
            },
        };
        Some(By { column: column.to_owned(), step, zone })
    }
}

fn share(text: &str) -> Result<Share, String> {
    let percent = text.strip_suffix('%').and_then(|n| n.parse::<f64>().ok()).filter(|n| *n > 0.0 && *n <= 100.0);
    let number = || text.parse::<u64>().ok().filter(|n| *n > 0).map(Share::Segments);
    percent.map(Share::Percent).or_else(number).ok_or_else(|| "write a number such as 50, or a share such as 5%".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use floodmark_core::interval::Step;
    use std::time::Duration;

    #[test]
    fn shares() {
        assert_eq!(share("5%"), Ok(Share::Percent(5.0)));
        assert_eq!(share("50"), Ok(Share::Segments(50)));
        for bad in ["", "0", "0%", "101%", "-1", "x", "NaN%"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn steps_are_those_of_a_backfill() {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            how: How,
        }
        let by = |text: &str, cursor: Option<&str>| {
            let line = Line::try_parse_from(["x", "--by", text]).unwrap();
            let by = line.how.by(cursor, Tz::UTC).unwrap();
            (by.column, by.step)
        };
        let of = |column: &str, step| (column.to_owned(), step);
        assert_eq!(by("at:1mo", None), of("at", Some(Step::Months(1))));
        assert_eq!(by("at:2w", None), of("at", Some(Step::Days(14))));
        assert_eq!(by("a:b:90m", None), of("a:b", Some(Step::Time(Duration::from_secs(5400)))));
        assert_eq!((by("1d", Some("at")), by("1d", None)), (of("at", Some(Step::Days(1))), of("1d", None)));
        assert_eq!(by("at:soon", None), of("at:soon", None));
    }
}
