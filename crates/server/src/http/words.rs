//! Numbers and times as pages tell them.

use chrono::{DateTime, TimeDelta, Utc};
use floodmark_core::{Counts, wording};

/// `1,234`.
pub(super) fn number(n: u64) -> String {
    wording::grouped(n)
}

/// `4 min`, `3 h`, `2 days`: in the largest unit of which there are some.
pub(super) fn span(time: TimeDelta) -> String {
    let seconds = time.num_seconds().unsigned_abs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => wording::count(seconds / 86_400, "day"),
    }
}

/// `4 min ago`, `in 3 h`.
pub(super) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let away = now - at;
    if away.num_seconds().abs() < 1 {
        return "now".into();
    }
    if away > TimeDelta::zero() { format!("{} ago", span(away)) } else { format!("in {}", span(away)) }
}

/// To the minute, in UTC.
pub(super) fn minute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// How long something took.
pub(super) fn took(time: TimeDelta) -> String {
    let seconds = time.as_seconds_f64().max(0.0);
    match seconds {
        s if s < 10.0 => format!("{s:.2} s"),
        s if s < 60.0 => format!("{s:.1} s"),
        s => format!("{} min {} s", s as u64 / 60, s as u64 % 60),
    }
}

/// What a run did to the table, in few words.
pub(super) fn outcome(counts: &Counts) -> String {
    let named = [
        (counts.inserted, "new"),
        (counts.updated, "updated"),
        (counts.deleted, "deleted"),
        (counts.removed, "removed"),
        (counts.rejected, "rejected"),
    ];
    let told: Vec<String> =
        named.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{} {word}", number(*n))).collect();
    if told.is_empty() { "nothing changed".into() } else { told.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let now = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
        let told = |seconds| ago(now - TimeDelta::seconds(seconds), now);
        assert_eq!(
            [0, 5, 65, 7300, 90_000, 200_000, -240].map(told),
            ["now", "5 s ago", "1 min ago", "2 h ago", "25 h ago", "2 days ago", "in 4 min"]
        );
    }
}
