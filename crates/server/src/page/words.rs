//! Numbers and times in words.

use super::view::{Deed, Ended, FileLine, Frame, Standing};
use chrono::{DateTime, TimeDelta, Utc};
use floodmark_core::{
    Counts,
    wording::{count, grouped},
};
use std::time::Duration;

/// `3 min ago`, `in 2 h`; what is as good as now is `just now`.
pub(crate) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let past = now - at;
    match past.num_seconds() {
        -4..=4 => "just now".to_owned(),
        5.. => format!("{} ago", span(past)),
        _ => format!("in {}", span(-past)),
    }
}

/// `34 s`, `12 min`, `5 h`, `3 days`, in the largest unit that is not a lie.
pub(crate) fn span(time: TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    match seconds {
        0..=89 => format!("{seconds} s"),
        90..=5_399 => format!("{} min", (seconds + 30) / 60),
        5_400..=172_799 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} days", grouped(((seconds + 43_200) / 86_400).unsigned_abs())),
    }
}

/// As one would write it in the file: `90 min`, `2 h`.
pub(crate) fn limit(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => "0 s".to_owned(),
        s if s % 86_400 == 0 && s > 86_400 => count(s / 86_400, "day"),
        s if s % 3_600 == 0 => format!("{} h", s / 3_600),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

/// How long a run took: `0.24 s`, `12.3 s`, `4 min 05 s`, `2 h 14 min`.
pub(crate) fn took(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match seconds {
        s if s < 9.95 => format!("{:.2} s", s.max(0.0)),
        s if s < 99.95 => format!("{s:.1} s"),
        _ if whole < 3_600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", grouped(whole / 3_600), whole % 3_600 / 60),
    }
}

/// A moment, in full.
pub(crate) fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A moment as machines read it.
pub(crate) fn machine(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A moment beside now: the day is left out where it is today.
pub(crate) fn clock(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let form = if at.date_naive() == now.date_naive() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M" };
    at.format(form).to_string()
}

/// `12.3k`, `1.4M`: where there is little room.
pub(crate) fn short(n: u64) -> String {
    let scaled = |unit: u64, letter: char| {
        let tenths = n / (unit / 10);
        if tenths < 100 && !tenths.is_multiple_of(10) {
            format!("{}.{}{letter}", tenths / 10, tenths % 10)
        } else {
            format!("{}{letter}", tenths / 10)
        }
    };
    match n {
        0..=9_999 => grouped(n),
        10_000..=999_999 => scaled(1_000, 'k'),
        1_000_000..=999_999_999 => scaled(1_000_000, 'M'),
        _ => scaled(1_000_000_000, 'G'),
    }
}

/// `4.1 MB`, in thousands.
pub(crate) fn bytes(n: u64) -> String {
    let (mut value, mut unit) = (n as f64, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 1_000.0 {
            break;
        }
        (value, unit) = (value / 1_000.0, larger);
    }
    if unit == "B" { format!("{n} B") } else { format!("{value:.1} {unit}") }
}

/// No share but nothing is 0 %, and none but all of it 100 %.
pub(crate) fn percent(part: u64, all: u64) -> String {
    let share = if all == 0 { 0.0 } else { part as f64 * 100.0 / all as f64 };
    match share {
        0.0 => "0 %".to_owned(),
        s if s < 0.1 => "<0.1 %".to_owned(),
        s if s > 99.9 && part < all => ">99.9 %".to_owned(),
        s if s >= 100.0 => "100 %".to_owned(),
        s => format!("{s:.1} %"),
    }
}

/// What a run brought: `1,204 inserted, 30 updated`; what it looked at where it changed nothing.
pub(crate) fn brought(rows: &Counts, ended: Ended) -> String {
    let told: Vec<String> = [
        ("inserted", rows.inserted),
        ("updated", rows.updated),
        ("deleted", rows.deleted),
        ("removed", rows.removed),
        ("rejected", rows.rejected),
    ]
    .iter()
    .filter(|(_, n)| *n > 0)
    .map(|(word, n)| format!("{} {word}", grouped(*n)))
    .collect();
    match (told.is_empty(), rows.read) {
        (false, _) => told.join(", "),
        (true, 0) if ended == Ended::NothingNew || ended == Ended::Ok => "nothing new".to_owned(),
        (true, 0) => "no rows".to_owned(),
        (true, read) if ended.is_good() => format!("{} read, nothing changed", grouped(read)),
        (true, read) => format!("{} read, none loaded", grouped(read)),
    }
}

/// Rows by outcome, in the order in which they are drawn: the word, how many, what it means.
pub(crate) fn outcomes(rows: &Counts) -> [(&'static str, u64, &'static str); 9] {
    [
        ("inserted", rows.inserted, "new rows"),
        ("updated", rows.updated, "rows whose content changed"),
        ("deleted", rows.deleted, "taken out by a delete mark"),
        ("unchanged", rows.unchanged, "same content, not written"),
        ("skipped", rows.skipped, "loaded before, or left for later"),
        ("superseded", rows.superseded, "lost to a newer copy in the same batch"),
        ("stale", rows.stale, "older than what the table holds"),
        ("delete_noop", rows.delete_noop, "delete marks for rows that were not there"),
        ("rejected", rows.rejected, "bad rows, kept with their reason"),
    ]
}

impl Frame {
    pub(crate) fn moment(&self) -> String {
        moment(self.now)
    }

    pub(crate) fn machine(&self) -> String {
        machine(self.now)
    }
}

impl Standing {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Standing::Failed => "failed",
            Standing::Broken => "cannot run",
            Standing::Unknown => "not known",
            Standing::Late => "late",
            Standing::Running => "running",
            Standing::Waiting => "waiting",
            Standing::New => "never run",
            Standing::Paused => "paused",
            Standing::Ok => "up to date",
        }
    }

    /// Told apart without colour.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Standing::Failed | Standing::Broken => "✕",
            Standing::Unknown => "?",
            Standing::Late => "!",
            Standing::Running => "▸",
            Standing::Waiting => "…",
            Standing::New => "○",
            Standing::Paused => "‖",
            Standing::Ok => "✓",
        }
    }

    pub(crate) fn class(self) -> &'static str {
        match self {
            Standing::Failed | Standing::Broken => "bad",
            Standing::Unknown | Standing::Late => "warn",
            Standing::Running => "live",
            Standing::Waiting | Standing::New | Standing::Paused => "rest",
            Standing::Ok => "good",
        }
    }

    /// Which of the filters it belongs to.
    pub(crate) fn filter(self) -> &'static str {
        match self {
            Standing::Failed | Standing::Broken | Standing::Unknown => "failed",
            Standing::Late => "late",
            Standing::Running | Standing::Waiting => "running",
            Standing::Paused | Standing::New => "paused",
            Standing::Ok => "ok",
        }
    }
}

impl Ended {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Ended::Ok => "loaded",
            Ended::NothingNew => "nothing new",
            Ended::Failed => "failed",
            Ended::Interrupted => "broken off",
            Ended::Partial => "partly in",
            Ended::Done => "done",
            Ended::Differences => "differences found",
            Ended::Busy => "another run was first",
            Ended::Running => "running",
            Ended::Waiting => "waiting",
        }
    }

    pub(crate) fn sign(self) -> &'static str {
        match self {
            Ended::Ok | Ended::NothingNew | Ended::Done => "✓",
            Ended::Failed => "✕",
            Ended::Interrupted | Ended::Partial | Ended::Differences => "!",
            Ended::Busy => "‖",
            Ended::Running => "▸",
            Ended::Waiting => "…",
        }
    }

    pub(crate) fn class(self) -> &'static str {
        match self {
            Ended::Ok | Ended::NothingNew | Ended::Done => "good",
            Ended::Failed => "bad",
            Ended::Interrupted | Ended::Partial | Ended::Differences => "warn",
            Ended::Busy | Ended::Waiting => "rest",
            Ended::Running => "live",
        }
    }
}

impl FileLine {
    pub(crate) fn class(&self) -> &'static str {
        match self.notes.iter().map(|note| note.mistake).max() {
            Some(true) => "bad",
            Some(false) => "warn",
            None => "",
        }
    }
}

impl Deed {
    /// Whether it is a run, of which the ledger has a line.
    pub(crate) fn loads(self) -> bool {
        !matches!(self, Deed::Plan | Deed::Verify)
    }

    /// What is being done, before the pipeline's name.
    pub(crate) fn doing(self) -> &'static str {
        match self {
            Deed::Load => "Loading",
            Deed::Reload => "Loading all of",
            Deed::Plan => "Planning a run of",
            Deed::Backfill => "Backfilling",
            Deed::Verify => "Comparing",
            Deed::Repair => "Repairing",
            Deed::Replay => "Replaying rejects of",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_largest_unit_that_is_not_a_lie() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let told = |seconds| ago(now - TimeDelta::seconds(seconds), now);
        let expected = [
            (0, "just now"),
            (-3, "just now"),
            (34, "34 s ago"),
            (91, "2 min ago"),
            (7_000, "2 h ago"),
            (90_000, "25 h ago"),
            (200_000, "2 days ago"),
            (-300, "in 5 min"),
        ];
        for (seconds, text) in expected {
            assert_eq!(told(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn small_shares_are_not_nothing_and_large_ones_not_all() {
        assert_eq!(percent(0, 0), "0 %");
        assert_eq!(percent(1, 1_000_000), "<0.1 %");
        assert_eq!(percent(999_999, 1_000_000), ">99.9 %");
        assert_eq!(percent(7, 7), "100 %");
        assert_eq!(percent(1, 3), "33.3 %");
    }

    #[test]
    fn numbers_where_there_is_little_room() {
        let told = [0, 9_999, 12_345, 120_000, 999_999, 1_400_000, 25_000_000, 3_000_000_000].map(short);
        assert_eq!(told, ["0", "9,999", "12k", "120k", "999k", "1.4M", "25M", "3G"]);
        assert_eq!([999, 4_100_000].map(bytes), ["999 B", "4.1 MB"]);
        assert_eq!([0.004, 9.96, 245.0, 8_040.0].map(took), ["0.00 s", "10.0 s", "4 min 05 s", "2 h 14 min"]);
    }
}
