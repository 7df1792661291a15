//! Runs of the ledger, in full: how fast they were, what became of their rows, and what each commit brought.

use super::{
    layout,
    terminal::{self, clean, count, number, style},
};
use chrono::TimeDelta;
use floodmark_core::{
    Counts,
    commits::{Committed, SliceKind, SliceShare},
    state::{IntervalEntry, RunRecord},
};
use std::{fmt::Write as _, time::Duration};

/// Lines of each table that are shown; `--format json` has them all.
const SHOWN: usize = 20;
/// Characters of a bar.
const BAR: usize = 40;
/// Of a run that is over in less a rate says nothing.
const TELLING: Duration = Duration::from_millis(100);

/// How long a run took.
pub(crate) fn took(record: &RunRecord) -> Option<String> {
    elapsed(record).map(terminal::seconds)
}

/// `81,000 rows/s, 9.4 MB/s`: the second of files, as they are stored.
pub(crate) fn pace(record: &RunRecord) -> Option<String> {
    let took = elapsed(record).filter(|took| *took >= TELLING)?;
    let rows = terminal::rate(record.counts.read, took)?;
    let bytes = record.commits.bytes().filter(|bytes| *bytes > 0);
    let bytes = bytes.map(|bytes| terminal::bytes((bytes as f64 / took.as_secs_f64()) as u64));
    Some(bytes.map_or_else(|| rows.clone(), |bytes| format!("{rows}, {bytes}/s")))
}

fn elapsed(record: &RunRecord) -> Option<Duration> {
    (record.finished_at? - record.started_at).to_std().ok()
}

/// What became of the rows, as bars. Each outcome has a line, so that no colour is needed to tell them apart.
pub(crate) fn picture(counts: &Counts) -> String {
    let outcomes = [
        ("inserted", counts.inserted, style::GOOD),
        ("updated", counts.updated, style::GOOD),
        ("deleted", counts.deleted, style::GOOD),
        ("unchanged", counts.unchanged, style::FAINT),
        ("skipped", counts.skipped, style::FAINT),
        ("superseded", counts.superseded, style::HINT),
        ("stale", counts.stale, style::HINT),
        ("delete_noop", counts.delete_noop, style::HINT),
        ("rejected", counts.rejected, style::ERROR),
    ];
    let met: Vec<_> = outcomes.into_iter().filter(|(_, n, _)| *n > 0).collect();
    let all = met.iter().map(|(_, n, _)| n).sum::<u64>() as f64;
    let digits = met.iter().map(|(_, n, _)| number(*n).len()).max().unwrap_or(0);
    let mut out = String::new();
    for (word, n, style) in met {
        let share = n as f64 / all;
        let _ = writeln!(
            out,
            "  {word:<11}  {style}{:<BAR$}{}  {:>digits$}  {:>6}",
            bar(share),
            style::RESET,
            number(n),
            percent(share)
        );
    }
    if out.is_empty() { out } else { format!("\n{out}") }
}

/// A bar in eighths of a character; what there is at all has one.
fn bar(share: f64) -> String {
    const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    let eighths = ((share * (BAR * 8) as f64).round() as usize).clamp(1, BAR * 8);
    let mut out = "█".repeat(eighths / 8);
    out.extend((eighths % 8).checked_sub(1).map(|rest| EIGHTHS[rest]));
    out
}

/// No share but nothing is 0 %, and none but all of it 100 %.
fn percent(share: f64) -> String {
    match share * 100.0 {
        p if p < 0.1 => "<0.1 %".to_owned(),
        p if p > 99.9 && share < 1.0 => ">99.9 %".to_owned(),
        p if p >= 100.0 => "100 %".to_owned(),
        p => format!("{p:.1} %"),
    }
}

/// What each commit brought, of which slices, and the intervals whose receipts are this run's.
pub(crate) fn detail(record: &RunRecord, intervals: &[IntervalEntry]) -> String {
    let entries = record.commits.entries();
    let mut out = String::new();
    if entries.len() > 1 {
        out.push_str(&section(&commits(record), entries.len(), "commit"));
    }
    let slices: Vec<(usize, &SliceShare)> =
        entries.iter().enumerate().flat_map(|(at, entry)| entry.slices.iter().map(move |s| (at, s))).collect();
    if !slices.is_empty() {
        out.push_str(&section(&shares(&slices, entries.len() > 1), slices.len(), "slice"));
    }
    if !intervals.is_empty() {
        out.push_str(&section(&receipts(intervals), intervals.len(), "interval"));
    }
    out
}

fn section(table: &str, all: usize, word: &str) -> String {
    let more = all.saturating_sub(SHOWN);
    let rest = match more {
        0 => String::new(),
        more => format!("and {}: --format json has all of them\n", count(more as u64, &format!("more {word}"))),
    };
    format!("\n{table}{rest}")
}

fn commits(record: &RunRecord) -> String {
    let entries = record.commits.entries();
    let several = entries.iter().any(|entry| entry.commits > 1);
    let mut heading = vec!["COMMIT", "TOOK", "ROWS/S", "WATERMARK", "RESULT"];
    if several {
        heading.insert(1, "OF");
    }
    let mut before = record.started_at;
    let mut mark = record.watermark.as_ref().and_then(|moved| moved.before.clone());
    let row = |(at, entry): (usize, &Committed)| {
        let took = (entry.at - before).max(TimeDelta::zero()).to_std().unwrap_or_default();
        before = entry.at;
        let moved = if entry.watermark == mark { String::new() } else { entry.watermark.clone().unwrap_or_default() };
        mark.clone_from(&entry.watermark);
        let mut row = vec![
            (at + 1).to_string(),
            terminal::seconds(took),
            terminal::rate(entry.counts.read, took).map(|rate| rate.replace(" rows/s", "")).unwrap_or_default(),
            moved,
            terminal::rows(&entry.counts),
        ];
        if several {
            row.insert(1, count(entry.commits, "commit"));
        }
        row
    };
    let rows: Vec<Vec<String>> = entries.iter().enumerate().map(row).take(SHOWN).collect();
    layout::table(&heading, &rows, heading.len() - 1)
}

fn shares(slices: &[(usize, &SliceShare)], several: bool) -> String {
    let mut heading = vec!["SLICE", "FROM", "TO", "READ", "SKIPPED", "REJECTED"];
    if several {
        heading.insert(0, "COMMIT");
    }
    let row = |(at, share): &(usize, &SliceShare)| {
        let name = match (&share.through, share.kind) {
            (Some(last), _) => format!("{} … {} ({})", share.name, last, number(share.slices)),
            (None, SliceKind::Interval) => format!("{}, {}", share.name, count(share.slices, "interval")),
            (None, SliceKind::File | SliceKind::Table) => share.name.clone(),
        };
        let end = |end: &Option<String>| match (share.kind, end) {
            (SliceKind::File, Some(row)) => format!("row {}", row.parse().map_or_else(|_| row.clone(), number)),
            (_, Some(value)) => value.clone(),
            (_, None) => String::new(),
        };
        let mut row = vec![
            name,
            end(&share.from),
            end(&share.until),
            number(share.read),
            number(share.skipped),
            number(share.rejected),
        ];
        if several {
            row.insert(0, (at + 1).to_string());
        }
        row
    };
    let rows: Vec<Vec<String>> = slices.iter().map(row).take(SHOWN).collect();
    layout::table(&heading, &rows, usize::from(several))
}

fn receipts(intervals: &[IntervalEntry]) -> String {
    let row = |entry: &IntervalEntry| {
        vec![
            clean(&entry.column),
            entry.interval.from.to_string(),
            entry.interval.until.to_string(),
            number(entry.rows),
            entry.highest.as_ref().map(ToString::to_string).unwrap_or_default(),
            if entry.settled { "in" } else { "open" }.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = intervals.iter().map(row).take(SHOWN).collect();
    layout::table(&["INTERVAL OF", "FROM", "TO", "ROWS", "HIGHEST", "STANDS"], &rows, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use floodmark_core::{commits::Commits, state::WatermarkMove};

    #[test]
    fn what_there_is_is_seen_and_what_is_not_all_is_not_told_as_all() {
        assert_eq!((bar(0.000_001), bar(1.0)), ("▏".to_owned(), "█".repeat(BAR)));
        assert_eq!(bar(0.5), "█".repeat(BAR / 2));
        assert_eq!([0.0001, 0.123, 0.9999, 1.0].map(percent), ["<0.1 %", "12.3 %", ">99.9 %", "100 %"]);
        let plain = anstream::adapter::strip_str(&picture(&Counts {
            read: 1000,
            inserted: 990,
            unchanged: 9,
            rejected: 1,
            ..Counts::default()
        }))
        .to_string();
        let (most, none) = ("█".repeat(39), " ".repeat(39));
        let expected = [
            String::new(),
            format!("  inserted     {most}▋  990  99.0 %"),
            format!("  unchanged    ▍{none}    9   0.9 %"),
            format!("  rejected     ▏{none}    1   0.1 %"),
        ];
        assert_eq!(plain.lines().collect::<Vec<_>>(), expected);
    }

    fn run(commits: Commits) -> RunRecord {
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let mut counts = Counts::default();
        commits.entries().iter().for_each(|entry| counts.add(&entry.counts));
        RunRecord {
            run: "r".into(),
            pipeline: "p".into(),
            status: "ok".into(),
            load: "upsert".into(),
            started_at: start,
            finished_at: Some(start + TimeDelta::seconds(10)),
            counts,
            watermark: Some(WatermarkMove { column: "at".into(), before: None, after: Some("7".into()) }),
            error: None,
            commits,
        }
    }

    #[test]
    fn a_run_of_several_commits_is_told_commit_by_commit() {
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let mut commits = Commits::default();
        for n in 1..=3u64 {
            let slice = |name: &str, from: u64| SliceShare {
                kind: SliceKind::File,
                name: name.into(),
                through: None,
                slices: 1,
                from: Some(from.to_string()),
                until: Some((n * 1000).to_string()),
                read: 1000,
                skipped: 0,
                rejected: n % 2,
            };
            commits.push(Committed {
                commits: 1,
                at: start + TimeDelta::seconds(n as i64),
                counts: Counts { read: 1000, inserted: 1000 - n % 2, rejected: n % 2, ..Counts::default() },
                watermark: (n == 3).then(|| "7".into()),
                bytes: Some(50_000),
                slices: vec![slice("data/a.csv", (n - 1) * 1000 + 1)],
            });
        }
        let record = run(commits);
        assert_eq!(pace(&record).as_deref(), Some("300 rows/s, 15.0 kB/s"));
        let told = anstream::adapter::strip_str(&detail(&record, &[])).to_string();
        let told: Vec<String> =
            told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let expected = [
            "",
            "COMMIT TOOK ROWS/S WATERMARK RESULT",
            "1 1.00 s 1,000 1,000 read: 999 inserted, 1 rejected",
            "2 1.00 s 1,000 1,000 read: 1,000 inserted",
            "3 1.00 s 1,000 7 1,000 read: 999 inserted, 1 rejected",
            "",
            "COMMIT SLICE FROM TO READ SKIPPED REJECTED",
            "1 data/a.csv row 1 row 1,000 1,000 0 1",
            "2 data/a.csv row 1,001 row 2,000 1,000 0 0",
            "3 data/a.csv row 2,001 row 3,000 1,000 0 1",
        ];
        assert_eq!(told, expected);
    }
}
