//! Charts, drawn here: SVG whose colours are those of the page.

use super::words;
use chrono::{DateTime, Utc};
use floodmark_core::Counts;
use std::fmt::Write as _;

/// An outcome of rows: its class, its name, and how many of a run's rows there are of it.
pub(super) type Outcome = (&'static str, &'static str, fn(&Counts) -> u64);

/// Outcomes of rows in the order in which they are stacked.
pub(super) const OUTCOMES: [Outcome; 9] = [
    ("inserted", "new", |c| c.inserted),
    ("updated", "updated", |c| c.updated),
    ("deleted", "deleted", |c| c.deleted),
    ("unchanged", "unchanged", |c| c.unchanged),
    ("superseded", "superseded", |c| c.superseded),
    ("stale", "stale", |c| c.stale),
    ("delete_noop", "deletes of nothing", |c| c.delete_noop),
    ("skipped", "skipped", |c| c.skipped),
    ("rejected", "rejected", |c| c.rejected),
];

/// Text inside of markup.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// One run as charts see it.
pub(super) struct Bar<'a> {
    pub(super) run: &'a str,
    pub(super) at: DateTime<Utc>,
    pub(super) status: &'a str,
    pub(super) counts: &'a Counts,
    pub(super) seconds: Option<f64>,
}

impl Bar<'_> {
    fn class(&self) -> &'static str {
        match self.status {
            "failed" | "interrupted" => "failed",
            "partial" => "open",
            "nothing_new" => "idle",
            _ => "ok",
        }
    }

    fn told(&self) -> String {
        let took =
            self.seconds.map(|s| format!(", {}", words::took(chrono::TimeDelta::milliseconds((s * 1000.0) as i64))));
        format!(
            "{}: {}, {}{}",
            words::minute(self.at),
            self.status,
            words::outcome(self.counts),
            took.unwrap_or_default()
        )
    }
}

/// The last runs, oldest first: a bar each, as high as the root of the rows that changed, and a line of how long they took.
pub(super) fn sparkline(bars: &[Bar<'_>], room: usize) -> String {
    const HIGH: f64 = 26.0;
    let step = 5.0;
    let wide = step * room as f64;
    let mut out = format!(
        "<svg class=\"spark\" viewBox=\"0 0 {wide} {}\" width=\"{wide}\" height=\"{}\" role=\"img\" aria-label=\"rows changed by the last {} runs\">",
        HIGH + 2.0,
        HIGH + 2.0,
        bars.len()
    );
    let changed =
        |bar: &Bar<'_>| (bar.counts.inserted + bar.counts.updated + bar.counts.deleted + bar.counts.removed) as f64;
    let most = bars.iter().map(changed).fold(1.0, f64::max).sqrt();
    let start = wide - step * bars.len() as f64;
    // A path for all of a kind: a page has many of these charts.
    for class in ["ok", "idle", "open", "failed"] {
        let mut path = String::new();
        for (at, bar) in bars.iter().enumerate().filter(|(_, bar)| bar.class() == class) {
            let x = start + at as f64 * step;
            let high = if class == "failed" { HIGH * 0.6 } else { (changed(bar).sqrt() / most * HIGH).max(2.0) };
            // Writing to a string cannot fail.
            let _ = write!(path, "M{x:.0} {}v-{high:.1}h3.5v{high:.1}z", HIGH + 2.0);
        }
        if !path.is_empty() {
            let _ = write!(out, "<path class=\"{class}\" d=\"{path}\"/>");
        }
    }
    let longest = bars.iter().filter_map(|bar| bar.seconds).fold(0.0, f64::max);
    let points: Vec<String> = bars
        .iter()
        .enumerate()
        .filter_map(|(at, bar)| {
            let y = HIGH - bar.seconds? / longest * (HIGH - 4.0);
            Some(format!("{:.0} {y:.0}", start + at as f64 * step + 1.7))
        })
        .collect();
    if longest > 0.0 && points.len() > 1 {
        let _ = write!(out, "<polyline class=\"took\" points=\"{}\"/>", points.join(" "));
    }
    out.push_str("</svg>");
    out
}

/// Runs as stacked bars of their accounting, oldest first; each leads to its page.
pub(super) fn stacks(bars: &[Bar<'_>]) -> String {
    const HIGH: f64 = 150.0;
    const WIDE: f64 = 900.0;
    const LEFT: f64 = 70.0;
    let most = bars.iter().map(|bar| bar.counts.accounted()).max().unwrap_or(0).max(1);
    let step = ((WIDE - LEFT) / bars.len().max(12) as f64).min(40.0);
    let mut out = format!(
        "<svg class=\"stacks\" viewBox=\"0 0 {WIDE} {}\" role=\"img\" aria-label=\"rows by outcome of the last {} runs\">",
        HIGH + 26.0,
        bars.len()
    );
    for share in [1.0, 0.5, 0.0] {
        let y = 8.0 + (1.0 - share) * (HIGH - 8.0);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDE}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"label\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            words::number((most as f64 * share) as u64)
        );
    }
    for (at, bar) in bars.iter().enumerate() {
        let x = LEFT + at as f64 * step + 1.0;
        let _ = write!(out, "<a href=\"/runs/{}\"><g><title>{}</title>", escaped(bar.run), escaped(&bar.told()));
        let mut y = HIGH;
        for (class, _, of) in OUTCOMES {
            let high = of(bar.counts) as f64 / most as f64 * (HIGH - 8.0);
            if high > 0.0 {
                y -= high;
                let _ = write!(
                    out,
                    "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                    step - 2.0,
                    high.max(0.7)
                );
            }
        }
        let _ = write!(
            out,
            "<rect class=\"hit\" x=\"{x:.1}\" y=\"0\" width=\"{:.1}\" height=\"{HIGH}\"/><rect class=\"mark {}\" x=\"{x:.1}\" y=\"{}\" width=\"{:.1}\" height=\"4\" rx=\"2\"/></g></a>",
            step - 2.0,
            bar.class(),
            HIGH + 4.0,
            step - 2.0
        );
    }
    if let (Some(first), Some(last)) = (bars.first(), bars.last()) {
        let end = LEFT + (bars.len() as f64 - 1.0) * step;
        let _ =
            write!(out, "<text class=\"label\" x=\"{LEFT}\" y=\"{}\">{}</text>", HIGH + 22.0, words::minute(first.at));
        if bars.len() > 10 {
            let _ = write!(
                out,
                "<text class=\"label\" x=\"{end:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                HIGH + 22.0,
                words::minute(last.at)
            );
        }
    }
    out.push_str("</svg>");
    out
}

/// Something that moved over time, as steps: the value (on an axis of its own), told as text.
pub(super) fn steps(points: &[(DateTime<Utc>, f64, String)], name: &str) -> Option<String> {
    const HIGH: f64 = 120.0;
    const WIDE: f64 = 900.0;
    const LEFT: f64 = 12.0;
    let (first, last) = (points.first()?, points.last()?);
    let (from, until) = (first.0.timestamp_millis() as f64, last.0.timestamp_millis() as f64);
    let low = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    if points.len() < 2 || until <= from || high <= low {
        return None;
    }
    let x = |at: DateTime<Utc>| LEFT + (at.timestamp_millis() as f64 - from) / (until - from) * (WIDE - 2.0 * LEFT);
    let y = |value: f64| HIGH - 8.0 - (value - low) / (high - low) * (HIGH - 30.0);
    let mut line = String::new();
    let mut before = y(first.1);
    for (at, value, _) in points {
        let _ = write!(line, "{:.1},{before:.1} {:.1},{:.1} ", x(*at), x(*at), y(*value));
        before = y(*value);
    }
    let mut out = format!(
        "<svg class=\"steps\" viewBox=\"0 0 {WIDE} {}\" role=\"img\" aria-label=\"{} over time\"><polygon class=\"under\" points=\"{LEFT},{HIGH} {line}{:.1},{HIGH}\"/><polyline points=\"{line}\"/>",
        HIGH + 20.0,
        escaped(name),
        WIDE - LEFT
    );
    for (at, value, told) in points {
        let _ = write!(
            out,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"><title>{}: {}</title></circle>",
            x(*at),
            y(*value),
            words::minute(*at),
            escaped(told)
        );
    }
    let _ = write!(
        out,
        "<text class=\"label\" x=\"{LEFT}\" y=\"{}\">{}</text><text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
         <text class=\"label\" x=\"{LEFT}\" y=\"12\">{}</text></svg>",
        HIGH + 16.0,
        words::minute(first.0),
        WIDE - LEFT,
        HIGH + 16.0,
        words::minute(last.0),
        escaped(&last.2)
    );
    Some(out)
}

/// What became of the rows of a run: from what was read to each outcome.
pub(super) fn flow(counts: &Counts) -> Option<String> {
    const WIDE: f64 = 900.0;
    const LEAST: f64 = 3.0;
    let all = counts.accounted();
    if all == 0 {
        return None;
    }
    let parts: Vec<(&str, &str, u64)> =
        OUTCOMES.iter().map(|(class, word, of)| (*class, *word, of(counts))).filter(|(_, _, n)| *n > 0).collect();
    let rows = 34.0 * parts.len() as f64;
    let tall = rows.max(90.0);
    let thick = |n: u64| (n as f64 / all as f64 * (tall - 24.0)).max(LEAST);
    let source_high: f64 = parts.iter().map(|(_, _, n)| thick(*n)).sum();
    let top = (tall - source_high) / 2.0;
    let mut out = format!(
        "<svg class=\"flow\" viewBox=\"0 0 {WIDE} {tall}\" role=\"img\" aria-label=\"what became of {} rows\">",
        words::number(all)
    );
    let middle = tall / 2.0;
    let (said, n) = match counts.transformed {
        Some(n) => ("transformed", n),
        None => ("read", counts.read),
    };
    let _ = write!(
        out,
        "<text class=\"number\" x=\"130\" y=\"{:.1}\" text-anchor=\"end\">{}</text><text class=\"label\" x=\"130\" y=\"{:.1}\" text-anchor=\"end\">{said}</text>\
         <rect class=\"read\" x=\"142\" y=\"{top:.1}\" width=\"10\" height=\"{source_high:.1}\" rx=\"2\"/>",
        middle - 2.0,
        words::number(n),
        middle + 16.0
    );
    let mut from = top;
    for (at, (class, word, n)) in parts.iter().enumerate() {
        let high = thick(*n);
        let to = at as f64 * (tall / parts.len() as f64) + (tall / parts.len() as f64 - high) / 2.0;
        let _ = write!(
            out,
            "<path class=\"{class} band\" d=\"M152,{from:.1} C380,{from:.1} 420,{to:.1} 640,{to:.1} L640,{:.1} C420,{:.1} 380,{:.1} 152,{:.1} Z\"><title>{} {word}</title></path>\
             <rect class=\"{class}\" x=\"640\" y=\"{to:.1}\" width=\"10\" height=\"{high:.1}\" rx=\"2\"/>\
             <text class=\"number\" x=\"662\" y=\"{:.1}\">{}<tspan class=\"label\" dx=\"8\">{word}</tspan></text>",
            to + high,
            to + high,
            from + high,
            from + high,
            words::number(*n),
            to + high / 2.0 + 5.0,
            words::number(*n)
        );
        from += high;
    }
    out.push_str("</svg>");
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_780_000_000 + second, 0).unwrap()
    }

    #[test]
    fn no_text_becomes_markup() {
        let counts = Counts { read: 1, inserted: 1, ..Counts::default() };
        let bar = Bar { run: "\"><script>", at: at(0), status: "<b>", counts: &counts, seconds: Some(0.5) };
        for chart in [sparkline(std::slice::from_ref(&bar), 30), stacks(&[bar])] {
            assert!(!chart.contains("<script") && !chart.contains("<b>"), "{chart}");
        }
        let points = [(at(0), 1.0, "<i>".to_owned()), (at(5), 2.0, "&".to_owned())];
        let chart = steps(&points, "<i>").unwrap();
        assert!(!chart.contains("<i>"), "{chart}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(flow(&Counts::default()), None);
        assert_eq!(steps(&[(at(0), 1.0, String::new())], "x"), None);
        assert!(sparkline(&[], 30).ends_with("</svg>"));
        assert!(stacks(&[]).ends_with("</svg>"));
    }

    #[test]
    fn a_flow_has_a_band_for_each_outcome() {
        let counts = Counts { read: 1_000_006, inserted: 1_000_000, rejected: 6, ..Counts::default() };
        let chart = flow(&counts).unwrap();
        assert_eq!(chart.matches(" band\"").count(), 2);
        assert!(chart.contains("1,000,000") && chart.contains(">6<"), "{chart}");
    }
}
