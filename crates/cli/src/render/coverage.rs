//! What of an axis is in, as a picture: a cell for each day (or month, or part of the numbers), in rows.

use super::{
    layout,
    terminal::{clean, count, style},
};
use floodmark_core::{
    Code, Error, Result,
    coverage::{Grid, Known, Stands},
    interval::Interval,
};
use floodmark_engine::Coverage;
use serde_json::{Value as Json, json};
use std::fmt::Write as _;

/// Gaps that are listed.
const LISTED: usize = 10;

fn sign(cell: Stands) -> (char, anstyle::Style) {
    match cell {
        Stands::Beyond => (' ', style::FAINT),
        Stands::Missing => ('·', style::ERROR),
        Stands::Part => ('▄', style::WARNING),
        Stands::Open => ('▒', style::WARNING),
        Stands::Run => ('▓', style::HINT),
        Stands::Filled => ('█', style::GOOD),
    }
}

/// The picture.
pub(crate) struct Picture {
    grid: Grid,
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
        let (from, until) = (parse("--from", from)?, parse("--to", until)?);
        let known = Known {
            axis,
            entries: &covered.entries,
            start: covered.start.as_deref(),
            watermark: covered.watermark.as_ref(),
        };
        Ok(Grid::new(known, from, until)?.map(|grid| Picture { grid }))
    }

    /// For a terminal.
    pub(crate) fn text(&self, pipeline: &str, covered: &Coverage) -> String {
        let mut out = format!(
            "{}{}{}  along {}, {}\n\n",
            style::BOLD,
            clean(pipeline),
            style::RESET,
            clean(&covered.column),
            self.grid.cell
        );
        let widest = self.grid.rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        if let Some(heads) = self.heads() {
            let _ = writeln!(out, "  {:>widest$}  {}{heads}{}", "", style::FAINT, style::RESET);
        }
        for (label, cells) in &self.grid.rows {
            let _ = write!(out, "  {label:>widest$}  ");
            for (cell, _) in cells {
                let (sign, style) = sign(*cell);
                let _ = write!(out, "{style}{sign}{}", style::RESET);
            }
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
        out.push_str("\n  ");
        let legend: Vec<String> = self
            .grid
            .met()
            .into_iter()
            .map(|cell| {
                let (sign, style) = sign(cell);
                format!("{style}{sign}{} {}", style::RESET, cell.word())
            })
            .collect();
        out.push_str(&legend.join("   "));
        out.push('\n');
        if let Some(mark) = &covered.watermark {
            let _ = write!(out, "\n  the watermark is {mark}\n");
        }
        if self.grid.missing.is_empty() {
            let _ = write!(
                out,
                "\n  nothing is missing in {}; what the source holds beyond it, `--missing` loads\n",
                self.grid.range
            );
            return out;
        }
        let _ = write!(out, "\n  missing: {}\n", count(self.grid.missing.len() as u64, "gap"));
        for gap in self.grid.missing.iter().take(LISTED) {
            let _ = writeln!(out, "    {gap}");
        }
        if self.grid.missing.len() > LISTED {
            let _ = writeln!(out, "    and {} more", self.grid.missing.len() - LISTED);
        }
        let help = format!(
            "fill them: floodmark backfill {} --missing --from {} --to {}",
            crate::shell::quote(pipeline),
            crate::shell::quote(&self.grid.range.from.to_string()),
            crate::shell::quote(&self.grid.range.until.to_string())
        );
        out.push_str(&layout::hanging(&format!("  {}help{}: {help}", style::HINT, style::RESET), 4));
        out
    }

    /// Names of columns on one line, a character a column: of those with several characters every fifth.
    fn heads(&self) -> Option<String> {
        let mut line = String::new();
        for (at, name) in self.grid.columns.iter().enumerate().filter(|(at, _)| *at == 0 || (at + 1) % 5 == 0) {
            // Its last digit stands above its column.
            line.push_str(&" ".repeat((at + 1).saturating_sub(line.len() + name.len())));
            line.push_str(name);
        }
        (!line.is_empty()).then_some(line)
    }

    /// As a picture that stands for itself, light and dark.
    pub(crate) fn svg(&self, pipeline: &str, column: &str) -> String {
        const SIZE: usize = 14;
        let widest = self.grid.rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        let across = self.grid.rows.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
        let left = 20 + widest * 8;
        let (width, height) = ((left + across * SIZE + 20).max(560), 106 + self.grid.rows.len() * SIZE);
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
        for (at, name) in self.grid.columns.iter().enumerate() {
            let x = left + at * SIZE + SIZE / 2 - 1;
            let _ = writeln!(out, "<text class=\"head\" x=\"{x}\" y=\"46\" text-anchor=\"middle\">{name}</text>");
        }
        for (at, (label, cells)) in self.grid.rows.iter().enumerate() {
            let y = 52 + at * SIZE;
            let _ = writeln!(out, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>", left - 8, y + SIZE - 4);
            for (n, (cell, part)) in cells.iter().enumerate().filter(|(_, (cell, _))| *cell != Stands::Beyond) {
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
        let y = 52 + self.grid.rows.len() * SIZE + 28;
        let mut x = 20;
        for cell in self.grid.met() {
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
        "missing": picture.map(|p| p.grid.missing.iter().map(ends).collect::<Vec<_>>()).unwrap_or_default(),
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

fn escaped(text: &str) -> String {
    clean(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodmark_core::Value;

    #[test]
    fn days_are_numbered_above_their_columns() {
        let grid = Grid {
            range: Interval { from: Value::Int(0), until: Value::Int(1) },
            cell: String::new(),
            columns: (1..=31).map(|n: u32| n.to_string()).collect(),
            rows: Vec::new(),
            missing: Vec::new(),
        };
        let heads = Picture { grid: grid.clone() }.heads().unwrap();
        assert_eq!(heads, "1   5   10   15   20   25   30");
        for day in [5, 10, 15, 20, 25, 30] {
            assert!(heads[..day].ends_with(&day.to_string()), "{day} ends above its column");
        }
        assert_eq!(Picture { grid: Grid { columns: Vec::new(), ..grid } }.heads(), None);
    }
}
