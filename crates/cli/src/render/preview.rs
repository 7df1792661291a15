//! A plan: the line of the run it would be, then files, columns and rows; for programs, the run's object and `changes`.

use super::{
    json, layout,
    terminal::{self, clean, count, number, style},
};
use floodmark_connect::{RowChange, Sample};
use floodmark_core::{Value as Cell, schema::Change};
use floodmark_engine::{FileToRead, Outcome, Preview, Previewed, Status};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Files, and columns of a row, that are listed one by one.
const LISTED: usize = 10;
/// Characters of a value that are shown.
const SHOWN: usize = 40;
/// What stands before the columns of a row, here and in a certificate, at most.
const BEFORE: usize = 12;

/// One pipeline's plan.
pub(crate) fn text(previewed: &Previewed, table: &str, width: usize) -> String {
    let Previewed { outcome, preview } = previewed;
    let mut out = terminal::line(outcome, ending(outcome), width);
    section(&mut out, "files", files(preview));
    section(&mut out, "table", columns(preview, table));
    section(&mut out, "rows", rows(outcome, &preview.samples));
    out
}

/// The last line, where more than one pipeline was planned.
pub(crate) fn total(plans: &[Previewed], elapsed: Duration) -> String {
    let mut words: Vec<(&str, u64)> = Vec::new();
    for plan in plans {
        let word = ending(&plan.outcome).0;
        match words.iter_mut().find(|(w, _)| *w == word) {
            Some((_, n)) => *n += 1,
            None => words.push((word, 1)),
        }
    }
    let endings = words.iter().map(|(word, n)| format!("{n} {word}")).collect::<Vec<_>>().join(", ");
    format!("\n{}: {endings} · {}\n", count(plans.len() as u64, "pipeline"), terminal::seconds(elapsed))
}

fn ending(outcome: &Outcome) -> (&'static str, anstyle::Style) {
    match outcome.status {
        Status::Ok if outcome.counts.changed() => ("would load", style::GOOD),
        Status::Ok => ("no change", style::FAINT),
        Status::NothingNew => ("nothing new", style::FAINT),
        Status::Failed => ("would fail", style::ERROR),
        Status::Busy => ("busy", style::WARNING),
    }
}

/// A faint word, and lines beside it.
fn section(out: &mut String, name: &str, lines: Vec<String>) {
    for (n, line) in lines.iter().enumerate() {
        out.push_str(&layout::fact(if n == 0 { name } else { "" }, line, 5));
    }
}

fn files(preview: &Preview) -> Vec<String> {
    let shown = &preview.files[..preview.files.len().min(LISTED)];
    let width = shown.iter().map(|f| clean(&f.file).chars().count()).max().unwrap_or(0);
    let line = |f: &FileToRead| {
        let rows = f.rows.map_or_else(|| terminal::bytes(f.bytes), |rows| count(rows, "row"));
        let loaded = match f.loaded {
            0 => String::new(),
            n => format!(", after {} that {} loaded", count(n, "row"), if n == 1 { "is" } else { "are" }),
        };
        format!("{:<width$}  {:<10}  {rows}{loaded}", clean(&f.file), f.why.name())
    };
    let mut lines: Vec<String> = shown.iter().map(line).collect();
    if preview.files.len() > LISTED {
        let more = &preview.files[LISTED..];
        let rows: u64 = more.iter().filter_map(|f| f.rows).sum();
        lines.push(format!("… and {} with {}", count(more.len() as u64, "file"), count(rows, "row")));
    }
    if preview.unchanged > 0 {
        lines.push(format!("{} unchanged", number(preview.unchanged as u64)));
    }
    lines
}

fn columns(preview: &Preview, table: &str) -> Vec<String> {
    if preview.creates {
        let column = |change: &Change| match change {
            Change::Add(c) => format!("{} {}", clean(&c.name), c.data_type),
            Change::Widen { name, to, .. } => format!("{} {to}", clean(name)),
        };
        let mut all: Vec<String> = preview.schema.iter().take(LISTED).map(column).collect();
        if preview.schema.len() > LISTED {
            all.push(format!("… and {}", count((preview.schema.len() - LISTED) as u64, "column")));
        }
        return vec![format!("{} is created: {}", clean(table), all.join(", "))];
    }
    let line = |change: &Change| match change {
        Change::Add(c) => format!("{}+{} {} {}", style::GOOD, style::RESET, clean(&c.name), c.data_type),
        Change::Widen { name, from, to } => {
            format!("{}~{} {} {from} → {to}", style::WARNING, style::RESET, clean(name))
        }
    };
    preview.schema.iter().map(line).collect()
}

fn rows(outcome: &Outcome, samples: &[Sample]) -> Vec<String> {
    let mut lines: Vec<String> = samples.iter().map(sample).collect();
    let counts = &outcome.counts;
    let shown = |kind: fn(&RowChange) -> bool| samples.iter().filter(|s| kind(&s.change)).count() as u64;
    let left = [
        (counts.inserted.saturating_sub(shown(|c| matches!(c, RowChange::Inserted(_)))), "inserted"),
        (counts.updated.saturating_sub(shown(|c| matches!(c, RowChange::Updated(_)))), "updated"),
        (
            (counts.deleted + counts.removed).saturating_sub(shown(|c| matches!(c, RowChange::Removed(_)))),
            gone(outcome),
        ),
    ];
    let left: Vec<String> =
        left.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{} more {word}", number(*n))).collect();
    if !samples.is_empty() && !left.is_empty() {
        lines.push(format!("… and {}", left.join(", ")));
    }
    lines
}

/// A row as a line, its sign before it.
pub(crate) fn sample(sample: &Sample) -> String {
    let (sign, colour) = match sample.change {
        RowChange::Inserted(_) => ('+', style::GOOD),
        RowChange::Updated(_) => ('~', style::WARNING),
        RowChange::Removed(_) => ('-', style::ERROR),
    };
    let column = |name: &str| format!("{}{}{}", style::FAINT, clean(name), style::RESET);
    let named = |(name, value): &(String, Cell)| format!("{} {}", column(name), shown(value));
    let mut cells: Vec<String> = match &sample.change {
        RowChange::Inserted(cells) | RowChange::Removed(cells) => cells.iter().map(named).collect(),
        RowChange::Updated(cells) => cells
            .iter()
            .map(|(name, before, after)| format!("{} {} → {}", column(name), shown(before), shown(after)))
            .collect(),
    };
    if cells.len() > LISTED {
        let more = cells.split_off(LISTED).len() as u64;
        cells.push(format!("… and {}", count(more, "column")));
    }
    let key: Vec<String> = sample.key.iter().map(named).collect();
    let room = layout::width() - BEFORE;
    let all: Vec<String> = key.into_iter().chain(cells).map(|cell| layout::together_in(&cell, room)).collect();
    format!("{colour}{sign}{} {}", style::RESET, all.join("  "))
}

/// A value on one line, not too long of it.
fn shown(value: &Cell) -> String {
    let text = match value {
        Cell::Text(text) if text.is_empty() => return "\"\"".to_owned(),
        other => clean(&other.to_string().replace('\n', "\\n")),
    };
    layout::together(&match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    })
}

/// What a row is called that is not there any more.
fn gone(outcome: &Outcome) -> &'static str {
    if outcome.counts.deleted > 0 && outcome.counts.removed == 0 { "deleted" } else { "removed" }
}

/// For programs: what `run` would print, and `changes`. It has no run's id, because there is no run.
pub(crate) fn object(previewed: &Previewed) -> Value {
    let Previewed { outcome, preview } = previewed;
    let mut value = json::outcome(outcome);
    value["run"] = Value::Null;
    let file = |f: &FileToRead| json!({"file": f.file, "why": f.why.name(), "bytes": f.bytes, "rows": f.rows, "loaded": f.loaded});
    let column = |change: &Change| match change {
        Change::Add(c) => json!({"column": c.name, "before": null, "after": c.data_type.to_string()}),
        Change::Widen { name, from, to } => {
            json!({"column": name, "before": from.to_string(), "after": to.to_string()})
        }
    };
    value["changes"] = json!({
        "schema": {"creates": preview.creates, "columns": preview.schema.iter().map(column).collect::<Vec<_>>()},
        "samples": preview.samples.iter().map(|s| sample_object(s, gone(outcome))).collect::<Vec<_>>(),
        "files": {"read": preview.files.iter().map(file).collect::<Vec<_>>(), "unchanged": preview.unchanged},
    });
    value
}

/// A row for programs; `gone` is what one is called that is not there any more.
pub(crate) fn sample_object(sample: &Sample, gone: &str) -> Value {
    let object = |cells: &[(String, Cell)]| {
        Value::Object(cells.iter().map(|(name, value)| (name.clone(), exact(value))).collect::<Map<_, _>>())
    };
    let (change, name, columns) = match &sample.change {
        RowChange::Inserted(cells) => ("inserted", "row", object(cells)),
        RowChange::Removed(cells) => (gone, "row", object(cells)),
        RowChange::Updated(cells) => {
            let both = |(name, before, after): &(String, Cell, Cell)| {
                (name.clone(), json!({"before": exact(before), "after": exact(after)}))
            };
            ("updated", "columns", Value::Object(cells.iter().map(both).collect::<Map<_, _>>()))
        }
    };
    json!({"change": change, "key": object(&sample.key), name: columns})
}

/// Numbers that JSON has exactly are numbers, all else is text, so that no digit is lost.
fn exact(value: &Cell) -> Value {
    match value {
        Cell::Null => Value::Null,
        Cell::Bool(v) => json!(v),
        Cell::Int(v) => json!(v),
        Cell::Double(v) if v.is_finite() => json!(v),
        other => json!(other.to_string()),
    }
}
