//! What of an axis is in, as a picture: a cell for each day (or month, or part of the numbers), in rows.

use super::{
    layout,
    terminal::{clean, count, style},
};
use floodmark_core::{
    Code, Error, Result, Value,
    interval::{Axis, Interval, Step, gaps},
};
use floodmark_engine::Coverage;
use serde_json::{Value as Json, json};
use std::{cmp::Ordering, fmt::Write as _};

/// Days are shown one by one for at most so many; months beyond.
const MOST_DAYS: usize = 800;
/// Cells of a row of numbers.
const ACROSS: u64 = 60;
/// Gaps that are listed.
const LISTED: usize = 10;

/// How a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// Not of the range.
    Beyond,
    Missing,
    /// Some of it is in.
    Part,
    /// All of it was loaded, and rows may still come.
    Open,
    /// By the pipeline's runs.
    Run,
    /// By a backfill.
    Filled,
}

impl Cell {
    fn sign(self) -> (char, anstyle::Style) {
        match self {
            Cell::Beyond => (' ', style::FAINT),
            Cell::Missing => ('·', style::ERROR),
            Cell::Part => ('▄', style::WARNING),
            Cell::Open => ('▒', style::WARNING),
            Cell::Run => ('▓', style::HINT),
            Cell::Filled => ('█', style::GOOD),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Cell::Beyond => "",
            Cell::Missing => "missing",
            Cell::Part => "partly in",
            Cell::Open => "open: rows may still come",
            Cell::Run => "by runs",
            Cell::Filled => "by backfill",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Cell::Beyond => "beyond",
            Cell::Missing => "missing",
            Cell::Part => "part",
            Cell::Open => "open",
            Cell::Run => "run",
            Cell::Filled => "filled",
        }
    }
}

/// The picture.
pub(crate) struct Picture {
    range: Interval,
    /// What a cell is, for people.
    cell: String,
    /// What stands above a column, where columns have names: days of the month, or months.
    columns: Vec<String>,
    rows: Vec<(String, Vec<(Cell, Interval)>)>,
    missing: Vec<Interval>,
}

impl Picture {
    /// Of a range, or of all that is known; `None` where that is nothing.
    pub(crate) fn new(covered: &Coverage, from: Option<&str>, until: Option<&str>) -> Result<Option<Picture>> {
        let Some(axis) = &covered.axis else { return Ok(None) };
        let parse = |flag: &str, text: Option<&str>| match text {
            None => Ok(None),
            Some(text) => axis.parse(text).map(Some).ok_or_else(|| {
                Error::new(
                    Code::BadArgument,
                    format!("{flag} {text} is not a {}, the type of column {:?}", axis.data_type, covered.column),
                )
            }),
        };
        // As runs read it: not in the pipeline's zone.
        let start = covered.start.as_deref().and_then(|start| Value::parse(start, axis.data_type));
        let ends = covered.entries.iter().flat_map(|entry| [&entry.interval.from, &entry.interval.until]);
        let known: Vec<&Value> = ends.chain(start.as_ref()).chain(covered.watermark.as_ref()).collect();
        let order = |a: &&&Value, b: &&&Value| a.compare(b).unwrap_or(Ordering::Equal);
        let lowest = parse("--from", from)?.or_else(|| known.iter().min_by(order).map(|v| (*v).clone()));
        let highest = parse("--to", until)?.or_else(|| known.iter().max_by(order).map(|v| (*v).clone()));
        let (Some(lowest), Some(highest)) = (lowest, highest) else { return Ok(None) };
        let Some(range) = Interval::new(lowest.clone(), highest) else { return Ok(None) };
        let run =
            covered.watermark.clone().and_then(|mark| Interval::new(start.unwrap_or_else(|| lowest.clone()), mark));
        let settled: Vec<Interval> = covered.entries.iter().filter(|e| e.settled).map(|e| e.interval.clone()).collect();
        let mut all: Vec<Interval> = covered.entries.iter().map(|e| e.interval.clone()).collect();
        all.extend(run.clone());
        let stands = |part: &Interval| {
            let of = |done: &[Interval]| gaps(part, done).is_empty();
            if of(&settled) {
                Cell::Filled
            } else if run.iter().any(|run| of(std::slice::from_ref(run))) {
                Cell::Run
            } else if of(&all) {
                Cell::Open
            } else if all.iter().any(|done| done.common(part).is_some()) {
                Cell::Part
            } else {
                Cell::Missing
            }
        };
        let Grid { cell, columns, rows } =
            if axis.is_time() { calendar(axis, &range)? } else { stretch(axis, &range)? };
        let rows = rows
            .into_iter()
            .map(|(label, cells)| {
                let cells = cells.into_iter().map(|whole| match whole.common(&range) {
                    Some(part) => (stands(&part), whole),
                    None => (Cell::Beyond, whole),
                });
                (label, cells.collect())
            })
            .collect();
        Ok(Some(Picture { missing: gaps(&range, &all), range, cell, columns, rows }))
    }

    /// For a terminal.
    pub(crate) fn text(&self, pipeline: &str, covered: &Coverage) -> String {
        let mut out = format!(
            "{}{}{}  along {}, {}\n\n",
            style::BOLD,
            clean(pipeline),
            style::RESET,
            clean(&covered.column),
            self.cell
        );
        let widest = self.rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        if let Some(heads) = self.heads() {
            let _ = writeln!(out, "  {:>widest$}  {}{heads}{}", "", style::FAINT, style::RESET);
        }
        for (label, cells) in &self.rows {
            let _ = write!(out, "  {label:>widest$}  ");
            for (cell, _) in cells {
                let (sign, style) = cell.sign();
                let _ = write!(out, "{style}{sign}{}", style::RESET);
            }
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
        out.push_str("\n  ");
        let legend: Vec<String> = self
            .met()
            .into_iter()
            .map(|cell| {
                let (sign, style) = cell.sign();
                format!("{style}{sign}{} {}", style::RESET, cell.word())
            })
            .collect();
        out.push_str(&legend.join("   "));
        out.push('\n');
        if let Some(mark) = &covered.watermark {
            let _ = write!(out, "\n  the watermark is {mark}\n");
        }
        if self.missing.is_empty() {
            let _ = write!(
                out,
                "\n  nothing is missing in {}; what the source holds beyond it, `--missing` loads\n",
                self.range
            );
            return out;
        }
        let _ = write!(out, "\n  missing: {}\n", count(self.missing.len() as u64, "gap"));
        for gap in self.missing.iter().take(LISTED) {
            let _ = writeln!(out, "    {gap}");
        }
        if self.missing.len() > LISTED {
            let _ = writeln!(out, "    and {} more", self.missing.len() - LISTED);
        }
        let help = format!(
            "fill them: floodmark backfill {} --missing --from {} --to {}",
            crate::shell::quote(pipeline),
            crate::shell::quote(&self.range.from.to_string()),
            crate::shell::quote(&self.range.until.to_string())
        );
        out.push_str(&layout::hanging(&format!("  {}help{}: {help}", style::HINT, style::RESET), 4));
        out
    }

    /// Names of columns on one line, a character a column: of those with several characters every fifth.
    fn heads(&self) -> Option<String> {
        let mut line = String::new();
        for (at, name) in self.columns.iter().enumerate().filter(|(at, _)| *at == 0 || (at + 1) % 5 == 0) {
            // Its last digit stands above its column.
            line.push_str(&" ".repeat((at + 1).saturating_sub(line.len() + name.len())));
            line.push_str(name);
        }
        (!line.is_empty()).then_some(line)
    }

    /// The kinds of cells there are.
    fn met(&self) -> Vec<Cell> {
        [Cell::Filled, Cell::Run, Cell::Open, Cell::Part, Cell::Missing]
            .into_iter()
            .filter(|cell| self.rows.iter().any(|(_, cells)| cells.iter().any(|(met, _)| met == cell)))
            .collect()
    }

    /// As a picture that stands for itself, light and dark.
    pub(crate) fn svg(&self, pipeline: &str, column: &str) -> String {
        const SIZE: usize = 14;
        let widest = self.rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        let across = self.rows.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
        let left = 20 + widest * 8;
        let (width, height) = ((left + across * SIZE + 20).max(560), 106 + self.rows.len() * SIZE);
        let title = format!("{} along {}", escaped(pipeline), escaped(column));
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             role=\"img\" aria-label=\"{title}\">\n<style>\n\
             svg {{ background: #fff; color: #222; font: 12px ui-monospace, monospace; }} text {{ fill: currentColor; }}\n\
             .head {{ font-size: 8px; opacity: 0.7; }}\n\
             .filled {{ fill: #2b8a3e; }} .run {{ fill: #1c7ed6; }} .open {{ fill: #f59f00; }} .part {{ fill: #ffd43b; }}\n\
             .missing {{ fill: #fff5f5; stroke: #e03131; }} .beyond {{ fill: none; }}\n\
             @media (prefers-color-scheme: dark) {{ svg {{ background: #16181d; color: #ddd; }} .missing {{ fill: #2b1416; }} }}\n\
             </style>\n<text x=\"20\" y=\"24\" font-weight=\"bold\">{title}</text>\n"
        );
        for (at, name) in self.columns.iter().enumerate() {
            let x = left + at * SIZE + SIZE / 2 - 1;
            let _ = writeln!(out, "<text class=\"head\" x=\"{x}\" y=\"46\" text-anchor=\"middle\">{name}</text>");
        }
        for (at, (label, cells)) in self.rows.iter().enumerate() {
            let y = 52 + at * SIZE;
            let _ = writeln!(out, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>", left - 8, y + SIZE - 4);
            for (n, (cell, part)) in cells.iter().enumerate().filter(|(_, (cell, _))| *cell != Cell::Beyond) {
                let _ = writeln!(
                    out,
                    "<rect class=\"{}\" x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{}\"><title>{part}: {}</title></rect>",
                    cell.class(),
                    left + n * SIZE,
                    SIZE - 2,
                    SIZE - 2,
                    cell.word()
                );
            }
        }
        let y = 52 + self.rows.len() * SIZE + 28;
        let mut x = 20;
        for cell in self.met() {
            let _ = writeln!(
                out,
                "<rect class=\"{}\" x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\"/><text x=\"{}\" y=\"{y}\">{}</text>",
                cell.class(),
                y - 10,
                x + 18,
                cell.word()
            );
            x += 40 + cell.word().len() * 8;
        }
        out.push_str("</svg>\n");
        out
    }
}

/// For programs.
pub(crate) fn object(pipeline: &str, covered: &Coverage, picture: Option<&Picture>) -> Json {
    let ends = |interval: &Interval| json!({ "from": interval.from.to_string(), "to": interval.until.to_string() });
    let entries = covered.entries.iter().map(super::json::interval);
    json!({
        "pipeline": pipeline,
        "column": covered.column,
        "watermark": covered.watermark.as_ref().map(ToString::to_string),
        "intervals": entries.collect::<Vec<_>>(),
        "missing": picture.map(|p| p.missing.iter().map(ends).collect::<Vec<_>>()).unwrap_or_default(),
    })
}

/// The picture of an axis of which nothing is known.
pub(crate) fn nothing(pipeline: &str, column: &str) -> String {
    let text = format!("{} along {}: nothing is loaded yet", escaped(pipeline), escaped(column));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 560 48\" width=\"560\" height=\"48\" role=\"img\" \
         aria-label=\"{text}\">\n<style>svg {{ background: #fff; color: #222; font: 12px ui-monospace, monospace; }} text \
         {{ fill: currentColor; }}\n@media (prefers-color-scheme: dark) {{ svg {{ background: #16181d; color: #ddd; }} }}\n\
         </style>\n<text x=\"20\" y=\"28\">{text}</text>\n</svg>\n"
    )
}

/// Cells in rows.
struct Grid {
    cell: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Interval>)>,
}

/// A row for each month with its days, or for each year with its months.
fn calendar(axis: &Axis, range: &Interval) -> Result<Grid> {
    let days = axis.cut(&whole(axis, range, Step::Months(1)), Some(Step::Days(1)));
    let by_day = days.as_ref().is_ok_and(|days| days.len() <= MOST_DAYS);
    let (step, row, cell) = match by_day {
        true => (Step::Days(1), Step::Months(1), "a day each"),
        false => (Step::Months(1), Step::Months(12), "a month each"),
    };
    let rows = axis.cut(&whole(axis, range, row), Some(row))?;
    let rows = rows.iter().map(|part| {
        let shown = axis.shown(&part.from);
        let label = shown.get(..if by_day { 7 } else { 4 }).unwrap_or(&shown).to_owned();
        Ok((label, axis.cut(part, Some(step))?))
    });
    let columns = (1..=if by_day { 31 } else { 12 }).map(|n: u32| n.to_string()).collect();
    Ok(Grid { cell: cell.to_owned(), columns, rows: rows.collect::<Result<_>>()? })
}

/// The range, widened to whole units.
fn whole(axis: &Axis, range: &Interval, step: Step) -> Interval {
    let from = axis.floor(&range.from, step).unwrap_or_else(|| range.from.clone());
    let units = Interval::new(from.clone(), range.until.clone()).and_then(|r| axis.cut(&r, Some(step)).ok());
    // The last unit is cut off where the range ends: it goes on to where the one after it begins.
    let last = units.and_then(|units| axis.next(&units.last()?.from, step));
    Interval { from, until: last.unwrap_or_else(|| range.until.clone()) }
}

/// One row of cells of equal length.
fn stretch(axis: &Axis, range: &Interval) -> Result<Grid> {
    let length =
        range.until.to_string().parse::<f64>().unwrap_or(0.0) - range.from.to_string().parse::<f64>().unwrap_or(0.0);
    let step = ((length / ACROSS as f64).ceil() as u64).max(1);
    let cells = axis.cut(range, Some(Step::Number(step)))?;
    Ok(Grid { cell: format!("{step} each"), columns: Vec::new(), rows: vec![(range.from.to_string(), cells)] })
}

fn escaped(text: &str) -> String {
    clean(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_numbered_above_their_columns() {
        let picture = Picture {
            range: Interval { from: Value::Int(0), until: Value::Int(1) },
            cell: String::new(),
            columns: (1..=31).map(|n: u32| n.to_string()).collect(),
            rows: Vec::new(),
            missing: Vec::new(),
        };
        let heads = picture.heads().unwrap();
        assert_eq!(heads, "1   5   10   15   20   25   30");
        for day in [5, 10, 15, 20, 25, 30] {
            assert!(heads[..day].ends_with(&day.to_string()), "{day} ends above its column");
        }
        assert_eq!(Picture { columns: Vec::new(), ..picture }.heads(), None);
    }
}
