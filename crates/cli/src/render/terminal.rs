//! Results for people: calm, aligned, sparing with colour.

use super::layout;
pub(crate) use floodmark_core::wording::{agree, count, grouped as number};
use floodmark_core::{
    Counts, Error,
    state::{Reject, WatermarkMove},
    wording,
};
use floodmark_engine::{Backfilled, Outcome, Status};
use std::{fmt::Write as _, time::Duration};

/// The few styles there are. Streams that take no colour drop them.
pub(crate) mod style {
    use anstyle::{AnsiColor, Reset, Style};

    pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
    pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
    pub(crate) const HINT: Style = AnsiColor::Cyan.on_default();
    pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
    pub(crate) const FAINT: Style = Style::new().dimmed();
    pub(crate) const BOLD: Style = Style::new().bold();
    pub(crate) const RESET: Reset = Reset;
}

/// Text from files, tables and errors with control characters made visible: a header cell must not move the cursor
/// or change the window's title. Line breaks stay.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A name above what belongs to it.
pub(crate) fn title(name: &str) -> String {
    format!("{}{}{}", style::BOLD, clean(name), style::RESET)
}

/// A warning as a line.
pub(crate) fn warning(text: &str) -> String {
    format!("{}warning{}: {}\n", style::WARNING, style::RESET, clean(text))
}

/// What to do about it, below.
pub(crate) fn help(text: &str) -> String {
    format!("  {}help{}: {}\n", style::HINT, style::RESET, clean(text))
}

/// How many rows were rejected, or `would` be, and why the first of them.
pub(crate) fn rejected(outcome: &Outcome, first: &Reject, would: bool) -> String {
    let (one, many) = if would { ("would be", "would be") } else { ("was", "were") };
    let rows = agree(outcome.counts.rejected, "row", one, many);
    // A row that a transform made has no line.
    let place = if first.line > 0 { format!("{}:{}", first.slice, first.line) } else { first.slice.clone() };
    let column = first.column.as_ref().map(|column| format!(", column {column:?}")).unwrap_or_default();
    format!("{}: {rows} rejected, the first at {place}{column}: {}", outcome.pipeline, first.reason)
}

/// One pipeline's run as a line; `width` is that of the longest name.
pub(crate) fn outcome(outcome: &Outcome, width: usize) -> String {
    line(outcome, ending(outcome), width)
}

/// A backfill as a line, with what became of its intervals below.
pub(crate) fn filled(filled: &Backfilled, width: usize) -> String {
    let mut out = outcome(&filled.outcome, width);
    let failed = filled.outcome.error.is_some() && filled.units == 0;
    if filled.column.is_empty() || filled.outcome.status == Status::Busy || failed {
        return out;
    }
    let mut parts = vec![match (filled.loaded, filled.units) {
        (_, 0) => format!("every interval of {} is in already: `--force` loads them again", clean(&filled.column)),
        (loaded, units) if loaded == units => {
            format!("{} of {} loaded", count(units as u64, "interval"), clean(&filled.column))
        }
        (loaded, units) => {
            format!("{loaded} of {} of {} loaded", count(units as u64, "interval"), clean(&filled.column))
        }
    }];
    if filled.open > 0 {
        let are = wording::verb(filled.open as u64, "is", "are");
        parts.push(format!(
            "{} of them {are} open, as rows may still come there: `--missing` loads them again",
            number(filled.open as u64)
        ));
    }
    out.push_str(&layout::flow(&" ".repeat(width + 15), &parts, width + 15));
    out
}

/// `outcome`, with the word for how it ended.
pub(crate) fn line(outcome: &Outcome, (word, style): (&str, anstyle::Style), width: usize) -> String {
    let name = clean(&outcome.pipeline);
    let mut parts = Vec::new();
    // An empty source may have emptied the table.
    if outcome.counts.read > 0 || outcome.counts.changed() {
        parts.push(rows(&outcome.counts));
    }
    if outcome.status == Status::NothingNew && outcome.counts.read == 0 {
        parts.push("the table is up to date".into());
    }
    if outcome.status == Status::Busy {
        parts.push("another run holds it".into());
    }
    parts.extend(outcome.watermark.as_ref().and_then(watermark));
    parts.push(pace(outcome.counts.read, outcome.elapsed));
    // Blanks behind the word are no part of it, as its line may end there.
    let lead = format!("{name:<width$}  {style}{word}{}{:gap$}", style::RESET, "", gap = 13 - word.len());
    layout::flow(&lead, &parts, width + 15)
}

/// The last lines, where more than one pipeline ran: how many ended how, and once more which of them did not load and why,
/// as that may have scrolled away.
pub(crate) fn total(outcomes: &[Outcome], elapsed: Duration) -> String {
    let mut words: Vec<(&str, usize)> = Vec::new();
    let mut counts = Counts::default();
    for outcome in outcomes {
        let word = ending(outcome).0;
        match words.iter_mut().find(|(w, _)| *w == word) {
            Some((_, n)) => *n += 1,
            None => words.push((word, 1)),
        }
        counts.add(&outcome.counts);
    }
    let endings = words.iter().map(|(word, n)| format!("{n} {word}")).collect::<Vec<_>>().join(", ");
    let mut parts = vec![format!("{}: {endings}", count(outcomes.len() as u64, "pipeline"))];
    if counts.read > 0 || counts.changed() {
        // A sum over pipelines with and without a transform is neither, so what a transform made is left out.
        parts.push(rows(&Counts { transformed: None, ..counts }));
    }
    parts.push(seconds(elapsed));
    let mut out = format!("\n{}", layout::flow("", &parts, 2));
    if outcomes.iter().all(|o| o.status == Status::NothingNew || (o.status == Status::Ok && !o.counts.changed())) {
        out.push_str("Nothing changed: every table is as the last run left it.\n");
    }
    let failed: Vec<(&Outcome, &Error)> = outcomes.iter().filter_map(|o| Some((o, o.error.as_ref()?))).collect();
    let width = failed.iter().map(|(o, _)| o.pipeline.chars().count()).max().unwrap_or(0);
    for (outcome, error) in failed {
        let (word, style) = ending(outcome);
        let lead = format!("{style}{word:<6}{}  {:<width$}  ", style::RESET, clean(&outcome.pipeline));
        let told = clean(&error.to_string()).replace('\n', " ");
        out.push_str(&layout::hanging(&format!("{lead}{} {told}", error.code().number()), 8));
    }
    out
}

fn ending(outcome: &Outcome) -> (&'static str, anstyle::Style) {
    match outcome.status {
        Status::Ok if outcome.counts.changed() => ("loaded", style::GOOD),
        Status::Ok => ("no change", style::FAINT),
        Status::NothingNew => ("nothing new", style::FAINT),
        Status::Failed => ("failed", style::ERROR),
        Status::Busy => ("busy", style::WARNING),
    }
}

/// `12,000 read: 11,900 inserted, 100 unchanged`, without the outcomes that did not occur. To be laid out: a number stays with
/// its word.
pub(crate) fn rows(counts: &Counts) -> String {
    let mut out = format!("{} read", number(counts.read));
    if let Some(n) = counts.transformed {
        let _ = write!(out, ", {} after the transform", number(n));
    }
    let outcomes = [
        ("inserted", counts.inserted),
        ("updated", counts.updated),
        ("deleted", counts.deleted),
        ("unchanged", counts.unchanged),
        ("superseded", counts.superseded),
        ("stale", counts.stale),
        ("skipped", counts.skipped),
        ("rejected", counts.rejected),
        ("delete_noop", counts.delete_noop),
    ];
    let mut parts: Vec<String> =
        outcomes.iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{} {word}", number(*n))).collect();
    if counts.removed > 0 {
        parts.push(format!("{} removed from the table", number(counts.removed)));
    }
    let parts: Vec<String> = parts.iter().map(|part| layout::together(part)).collect();
    if !parts.is_empty() {
        let _ = write!(out, ": {}", parts.join(", "));
    }
    out
}

/// `updated_at 2024-01-03 → 2024-02-01`, or only where it stands when it did not move. To be laid out: its values stay whole.
pub(crate) fn watermark(mark: &WatermarkMove) -> Option<String> {
    let column = clean(&mark.column);
    let value = |text: &String| layout::together(&clean(text));
    Some(match (&mark.before, &mark.after) {
        (Some(before), Some(after)) if before == after => format!("{column} still {}", value(after)),
        (Some(before), Some(after)) => format!("{column} {} → {}", value(before), value(after)),
        (None, Some(after)) => format!("{column} → {}", value(after)),
        _ => return None,
    })
}

fn pace(rows: u64, elapsed: Duration) -> String {
    let mut out = seconds(elapsed);
    if let Some(rate) = rate(rows, elapsed) {
        let _ = write!(out, " ({rate})");
    }
    out
}

/// `81,000 rows/s`. Of few rows, or a load that is over in a blink, a rate says nothing.
pub(crate) fn rate(rows: u64, elapsed: Duration) -> Option<String> {
    let told = rows >= 1000 && elapsed >= Duration::from_millis(100);
    told.then(|| format!("{} rows/s", number(two_digits(rows as f64 / elapsed.as_secs_f64()))))
}

/// A rate has two digits worth reading.
fn two_digits(rate: f64) -> u64 {
    let rate = rate as u64;
    let step = 10u64.pow(rate.checked_ilog10().unwrap_or(0).saturating_sub(1));
    rate / step * step
}

/// `0.42 s`, `12.3 s`, `3 min 20 s`.
pub(crate) fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 10.0 => format!("{s:.2} s"),
        s if s < 60.0 => format!("{s:.1} s"),
        _ => format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60),
    }
}

/// `12.3 MB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut size = n as f64 / 1000.0;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    if n < 1000 { count(n, "byte") } else { format!("{size:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_keep_two_digits() {
        assert_eq!([0.0, 7.9, 123.4, 98_765.0].map(two_digits), [0, 7, 120, 98_000]);
    }

    #[test]
    fn few_rows_have_no_rate() {
        let rate = |rows| rate(rows, Duration::from_secs(1));
        assert_eq!([rate(3), rate(999), rate(1000)], [None, None, Some("1,000 rows/s".to_owned())]);
    }

    #[test]
    fn sizes_have_one_unit() {
        assert_eq!([999, 1000, 173_000_000].map(bytes), ["999 bytes", "1.0 kB", "173.0 MB"]);
    }

    #[test]
    fn escape_sequences_are_shown_not_obeyed() {
        assert_eq!(clean("a\u{1b}]0;x\u{7}\nb"), "a\\u{1b}]0;x\\u{7}\nb");
    }

    #[test]
    fn only_what_occurred_is_told() {
        let counts = Counts { read: 3, inserted: 2, stale: 1, ..Counts::default() };
        assert_eq!(rows(&counts), "3 read: 2\u{a0}inserted, 1\u{a0}stale");
        assert_eq!(rows(&Counts::default()), "0 read");
    }

    #[test]
    fn a_mark_that_stands_has_no_arrow() {
        let mark = |b: Option<&str>, a: Option<&str>| {
            watermark(&WatermarkMove { column: "at".into(), before: b.map(Into::into), after: a.map(Into::into) })
        };
        assert_eq!(mark(Some("1"), Some("1")).as_deref(), Some("at still 1"));
        assert_eq!(mark(Some("1"), Some("2")).as_deref(), Some("at 1 → 2"));
        assert_eq!(mark(None, Some("2")).as_deref(), Some("at → 2"));
        assert_eq!(mark(None, None), None);
    }
}
