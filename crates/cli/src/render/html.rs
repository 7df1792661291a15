//! How two tables differ, as a page that stands by itself: no script, nothing that is fetched.

use super::{
    comparison::{Words, misfit_told, repeated, shown},
    layout,
    terminal::{agree, count, number},
};
use chrono::{DateTime, Utc};
use floodmark_engine::diff::{Counts, Report, Segment};
use std::fmt::Write as _;

/// Bars of the picture; more segments than that share one.
const BARS: usize = 150;
/// Its size, in the units of the drawing.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 150.0;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2733; --faint: #66727f; --ground: #fff; --line: #d8dee5; --quiet: #e6ebf0;
  --missing: #b3402a; --extra: #2f6db3; --different: #b98300; --good: #2c7a4b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ee; --faint: #97a3b0; --ground: #14191f; --line: #323c47;
  --quiet: #29323c; --missing: #ef8068; --extra: #77aef2; --different: #e6b64a; --good: #6cc58f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); max-width: 62rem;
  margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
section + section { border-top: 1px solid var(--line); margin-top: 3rem; padding-top: 1.5rem; }
a { color: inherit; } .equal { color: var(--good); } .differs { color: var(--missing); }
p, dd { margin: 0; } dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 1rem 0; }
dt, .faint, figcaption { color: var(--faint); } figure { margin: 1rem 0; } svg { width: 100%; height: auto; display: block; }
text { fill: var(--faint); font-size: 12px; } .quiet { fill: var(--quiet); } .unseen { fill: none; stroke: var(--quiet); }
.missing { fill: var(--missing); } .extra { fill: var(--extra); } .different { fill: var(--different); }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; vertical-align: -.05em; }
.key.missing { background: var(--missing); } .key.extra { background: var(--extra); } .key.different { background: var(--different); }
td .key { margin-left: 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--faint); font-weight: normal; } td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
code { font: .92em ui-monospace, monospace; }
";

/// What is told of one comparison.
pub(crate) struct Section {
    name: String,
    /// The class of its heading, and the heading.
    class: &'static str,
    title: String,
    body: String,
}

/// Of a report. `name`: what was compared; `notes`: what else there is to know.
pub(crate) fn section(report: &Report, words: Words, name: &str, differs: bool, notes: &[String]) -> Section {
    let counts = &report.counts;
    let (class, title) = match (differs, counts.all()) {
        (false, _) => ("equal", "Equal".to_owned()),
        (true, 0) => ("differs", "Equal rows, different columns".to_owned()),
        (true, rows) => ("differs", agree(rows, "row", "differs", "differ")),
    };
    let second = words.second;
    let mut body = format!(
        "<p class=\"faint\">{} missing in the {second}, {} in the {second} alone, {} different</p>\n",
        number(counts.missing),
        number(counts.extra),
        number(counts.different)
    );
    facts(&mut body, report, words, notes);
    picture(&mut body, report);
    by_column(&mut body, report);
    rows(&mut body, report, words);
    Section { name: escaped(name), class, title, body }
}

/// Of a comparison that did not come to an end.
pub(crate) fn failed(name: &str, why: &str) -> Section {
    let body = format!("<p>{}</p>\n", escaped(why));
    Section { name: escaped(name), class: "differs", title: "Not compared".into(), body }
}

/// The page of one comparison, or of several, with a table of them at its top. `title`: what became of them all.
pub(crate) fn page(sections: &[Section], title: &str, at: DateTime<Utc>) -> String {
    let at = at.format("%Y-%m-%d %H:%M UTC");
    let head = match sections {
        [only] => format!("{}: {}", only.name, only.title),
        _ => escaped(title),
    };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{head}, {at}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    );
    let several = sections.len() > 1;
    // Writing to a string cannot fail.
    if several {
        let _ = writeln!(out, "<p class=\"faint\">{at}</p>\n<h1>{head}</h1>\n<div class=\"scroll\"><table>");
        for (n, Section { name, class, title, .. }) in sections.iter().enumerate() {
            let _ = writeln!(
                out,
                "<tr><td><a href=\"#c{n}\"><code>{name}</code></a></td><td class=\"{class}\">{title}</td></tr>"
            );
        }
        out.push_str("</table></div>\n");
    }
    for (n, Section { name, class, title, body }) in sections.iter().enumerate() {
        let _ = match several {
            true => writeln!(out, "<section id=\"c{n}\">\n<p class=\"faint\"><code>{name}</code></p>"),
            false => writeln!(out, "<section>\n<p class=\"faint\"><code>{name}</code>, {at}</p>"),
        };
        let _ = writeln!(out, "<h1 class=\"{class}\">{title}</h1>\n{body}</section>");
    }
    out.push_str("</body>\n</html>\n");
    out
}

fn facts(out: &mut String, report: &Report, words: Words, notes: &[String]) {
    let mut facts = vec![
        (words.first, format!("{}, {}", report.left.name, count(report.left.rows, "row"))),
        (words.second, format!("{}, {}", report.right.name, count(report.right.rows, "row"))),
        ("columns", report.columns.join(", ")),
        (
            "key",
            if report.key.is_empty() { "none: rows are known by their content".into() } else { report.key.join(", ") },
        ),
    ];
    facts.extend(repeated(report, words).map(|told| ("", told)));
    let shape = &report.shape;
    if !shape.only_left.is_empty() {
        facts.push(("only in the first", shape.only_left.join(", ")));
    }
    if !shape.only_right.is_empty() {
        facts.push(("only in the second", shape.only_right.join(", ")));
    }
    for (name, a, b) in &shape.incomparable {
        facts.push(("not compared", format!("{name}: {a} and {b}")));
    }
    facts.extend(shape.misfits.iter().map(|misfit| ("", misfit_told(misfit, words))));
    if let Some(sampling) = &report.sampling {
        let looked = report.segments.iter().filter(|s| s.compared).count() as u64;
        let all = report.segments.len() as u64;
        facts.push(("sample", format!("{} of {}, seed {}", number(looked), count(all, "segment"), sampling.seed)));
    }
    facts.extend(notes.iter().map(|note| ("note", note.clone())));
    out.push_str("<dl>\n");
    for (name, value) in facts {
        let _ = writeln!(out, "<dt>{name}</dt><dd>{}</dd>", escaped(&value));
    }
    out.push_str("</dl>\n");
}

/// Segments that share a bar.
#[derive(Default)]
struct Bar {
    from: Option<String>,
    until: Option<String>,
    rows: u64,
    counts: Counts,
    compared: bool,
}

fn bars(segments: &[Segment]) -> Vec<Bar> {
    let ranges: Vec<&Segment> = segments.iter().filter(|s| !s.null).collect();
    let each = ranges.len().div_ceil(BARS).max(1);
    ranges
        .chunks(each)
        .map(|part| {
            let mut bar = Bar { from: part[0].from.clone(), ..Bar::default() };
            for segment in part {
                bar.until.clone_from(&segment.until);
                bar.rows += segment.left.max(segment.right);
                bar.counts.missing += segment.counts.missing;
                bar.counts.extra += segment.counts.extra;
                bar.counts.different += segment.counts.different;
                bar.compared |= segment.compared;
            }
            bar
        })
        .collect()
}

/// Where along the axis the differences lie. The height of a bar is the root of a count, so that one row is seen beside many.
fn picture(out: &mut String, report: &Report) {
    let Some(axis) = &report.axis else { return };
    let bars = bars(&report.segments);
    // At the ends where nothing lies there is nothing to see.
    let holds = |bar: &Bar| bar.rows > 0 || !bar.compared;
    let (Some(first), Some(last)) = (bars.iter().position(holds), bars.iter().rposition(holds)) else { return };
    let bars = &bars[first..=last];
    let most = bars.iter().map(|b| b.counts.all()).max().unwrap_or(0).max(1) as f64;
    let step = WIDTH / bars.len() as f64;
    let (ground, room) = (HEIGHT - 24.0, HEIGHT - 40.0);
    let _ = write!(
        out,
        "<h2>Where they differ</h2>\n<figure>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"differing rows along {}\">\n",
        escaped(axis)
    );
    for (at, bar) in bars.iter().enumerate() {
        let (x, wide) = (at as f64 * step, (step - 1.0).max(step * 0.8));
        let class = if bar.compared { "quiet" } else { "unseen" };
        let _ = write!(out, "<g><title>{}</title>", escaped(&told(axis, bar)));
        // Where there are no rows the line is broken.
        if bar.rows > 0 || !bar.compared {
            let _ = write!(
                out,
                "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{ground:.2}\" width=\"{wide:.2}\" height=\"5\"/>"
            );
        }
        let high = (bar.counts.all() as f64 / most).sqrt() * room;
        let mut y = ground - 2.0;
        let parts = [("missing", bar.counts.missing), ("extra", bar.counts.extra), ("different", bar.counts.different)];
        for (class, rows) in parts.into_iter().filter(|(_, rows)| *rows > 0) {
            let part = (high * rows as f64 / bar.counts.all() as f64).max(2.0);
            y -= part;
            let _ = write!(
                out,
                "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{y:.2}\" width=\"{wide:.2}\" height=\"{part:.2}\"/>"
            );
        }
        out.push_str("</g>\n");
    }
    for (x, anchor, text) in marks(bars, step) {
        let _ = writeln!(
            out,
            "<text x=\"{x:.2}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            HEIGHT - 4.0,
            escaped(&text)
        );
    }
    let keys = ["missing", "extra", "different"].map(|word| format!("<span class=\"key {word}\"></span>{word}"));
    let each = report.segments.iter().filter(|s| !s.null).count().div_ceil(BARS) as u64;
    let _ = writeln!(
        out,
        "</svg>\n<figcaption>along <code>{}</code>, each bar {} of about as many rows, or a step of it; the highest is {}{}</figcaption>\n</figure>",
        escaped(axis),
        match each {
            0 | 1 => "a part".to_owned(),
            each => format!("{} parts", number(each)),
        },
        count(most as u64, "row"),
        keys.concat()
    );
}

/// What stands below the bars: where, how it lies there, and which value of the axis.
fn marks(bars: &[Bar], step: f64) -> Vec<(f64, &'static str, String)> {
    let value = |value: &str| layout::beginning(&shown(Some(value.trim_end_matches(" 00:00:00"))), 24);
    let (Some(first), Some(last)) = (bars.first(), bars.last()) else { return Vec::new() };
    let begin = match (&first.from, &first.until) {
        (Some(from), _) => value(from),
        (None, Some(until)) => format!("before {}", value(until)),
        (None, None) => "all".to_owned(),
    };
    let end = match (&last.from, &last.until) {
        (_, Some(until)) => format!("before {}", value(until)),
        (Some(from), None) => format!("from {}", value(from)),
        (None, None) => String::new(),
    };
    // About as wide as it is drawn, with a gap.
    let wide = |text: &str| (text.chars().count() + 2) as f64 * 7.0;
    let (mut room, stop) = (wide(&begin), WIDTH - wide(&end));
    let mut marks = vec![(0.0, "start", begin)];
    for quarter in 1..4 {
        let at = bars.len() * quarter / 4;
        let Some(text) = bars.get(at).and_then(|bar| bar.from.as_deref()).map(value) else { continue };
        let (x, half) = (at as f64 * step, wide(&text) / 2.0);
        if x - half >= room && x + half <= stop {
            room = x + half;
            marks.push((x, "middle", text));
        }
    }
    if bars.len() > 1 {
        marks.push((WIDTH, "end", end));
    }
    marks
}

fn told(axis: &str, bar: &Bar) -> String {
    let range = match (&bar.from, &bar.until) {
        (None, None) => "all".to_owned(),
        (Some(from), None) => format!("from {from}"),
        (None, Some(until)) => format!("before {until}"),
        (Some(from), Some(until)) => format!("from {from} to before {until}"),
    };
    let Counts { missing, extra, different } = bar.counts;
    match bar.compared {
        true => format!(
            "{axis} {range}: {}; {missing} missing, {extra} extra, {different} different",
            count(bar.rows, "row")
        ),
        false => format!("{axis} {range}: not looked at"),
    }
}

fn by_column(out: &mut String, report: &Report) {
    if report.by_column.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Columns that differ</h2>\n<div class=\"scroll\"><table>\n<tr><th>column</th><th>rows</th></tr>\n",
    );
    for (name, rows) in &report.by_column {
        let _ = writeln!(out, "<tr><td><code>{}</code></td><td>{}</td></tr>", escaped(name), number(*rows));
    }
    out.push_str("</table></div>\n");
}

fn rows(out: &mut String, report: &Report, words: Words) {
    if report.samples.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<h2>Rows</h2>\n<div class=\"scroll\"><table>\n<tr><th></th><th>{}</th><th>column</th><th>{}</th><th>{}</th></tr>",
        if report.key.is_empty() { "content" } else { "key" },
        words.first,
        words.second
    );
    for row in &report.samples {
        let key = row
            .key
            .iter()
            .map(|(name, value)| format!("{} <code>{}</code>", escaped(name), escaped(&shown(value.as_deref()))));
        let mut key = key.collect::<Vec<_>>().join(", ");
        if row.times > 1 {
            let _ = write!(key, " ({} times)", number(row.times));
        }
        let word = row.kind.name();
        let mut lead = format!("<span class=\"key {word}\"></span>{word}</td><td>{key}");
        if row.columns.is_empty() {
            let _ = writeln!(out, "<tr><td>{lead}</td><td></td><td></td><td></td></tr>");
        }
        for (name, first, second) in &row.columns {
            let values =
                [first, second].map(|value| format!("<td><code>{}</code></td>", escaped(&shown(value.as_deref()))));
            let _ = writeln!(out, "<tr><td>{lead}</td><td>{}</td>{}</tr>", escaped(name), values.concat());
            lead = "</td><td>".to_owned();
        }
    }
    out.push_str("</table></div>\n");
    let told: u64 = report.samples.iter().map(|s| s.times).sum();
    let more = report.counts.all().saturating_sub(told);
    if more > 0 {
        let _ = writeln!(out, "<p class=\"faint\">… and {} more</p>", count(more, "row"));
    }
}

/// Text of a table is text on the page.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // A page may hold none of these, written in whatever way.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_do_not_lie_on_each_other() {
        let bar = |n: i64| Bar {
            from: (n > 0).then(|| format!("2024-01-{:02} 00:00:00", n + 1)),
            until: (n < 29).then(|| format!("2024-01-{:02} 00:00:00", n + 2)),
            ..Bar::default()
        };
        let bars: Vec<Bar> = (0..30).map(bar).collect();
        let told: Vec<String> = marks(&bars, WIDTH / 30.0).into_iter().map(|(.., text)| text).collect();
        assert_eq!(told, ["before 2024-01-02", "2024-01-08", "2024-01-16", "2024-01-23", "from 2024-01-30"]);
        let long: Vec<Bar> = (0..30).map(|n| Bar { from: Some(format!("{n:030}")), ..Bar::default() }).collect();
        assert_eq!(marks(&long, WIDTH / 30.0).len(), 3);
        assert_eq!(marks(&bars[..1], WIDTH).len(), 1);
    }

    #[test]
    fn text_is_never_markup() {
        assert_eq!(escaped("<script>'\"&\u{1}"), "&lt;script&gt;&#39;&quot;&amp;\u{fffd}");
    }
}
