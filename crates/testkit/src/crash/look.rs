//! What a run leaves behind, as far as it must be equal however it got there.

use crate::{
    cell::Cell,
    dump::{Rows, join},
    outcome::COUNTS,
};
use std::{collections::BTreeMap, fmt::Write, path::Path};

/// Rows by outcome, summed over receipts.
pub type Sums = BTreeMap<String, i64>;

/// A kind of destination.
pub trait Destination: Sync {
    /// What it is called.
    fn name(&self) -> &'static str;
    /// An empty database for a project.
    fn make(&self) -> Result<Box<dyn Database>, String>;
}

/// The database of one project, seen from outside.
pub trait Database: Send + Sync {
    /// Its URL as the pipeline file of the project has it.
    fn url(&self) -> String;
    /// The same content once more, for a copy of the project.
    fn copy(&self) -> Result<Box<dyn Database>, String>;
    /// Runs statements by hand.
    fn execute(&self, project: &Path, sql: &str) -> Result<(), String>;
    /// Everything that must be equal.
    fn look(&self, project: &Path) -> Result<Look, String>;
    /// Whether making and changing a table commits by itself: then an empty table, a new column or a wider type may be what
    /// a kill leaves of a load, and none of its rows.
    fn schema_commits(&self) -> bool {
        false
    }
}

/// What a destination holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// Tables and state, by name: definitions and sorted rows. Left out are tokens, run ids and times of runs.
    pub content: BTreeMap<String, Vec<String>>,
    /// The receipts, by run.
    pub receipts: BTreeMap<String, Sums>,
}

impl Look {
    /// The sum of the receipts that `before` does not have.
    pub fn since(&self, before: &Look) -> Sums {
        let mut sums = Sums::new();
        for (_, receipt) in self.receipts.iter().filter(|(run, _)| !before.receipts.contains_key(*run)) {
            for (name, n) in receipt {
                *sums.entry(name.clone()).or_default() += n;
            }
        }
        sums
    }

    /// How the content differs from what it should be, or nothing.
    pub(super) fn differences(&self, expected: &Look) -> String {
        let mut out = String::new();
        let none = Vec::new();
        let mut names: Vec<&String> = self.content.keys().chain(expected.content.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let (found, wanted) =
                (self.content.get(name).unwrap_or(&none), expected.content.get(name).unwrap_or(&none));
            if found == wanted {
                continue;
            }
            let _ = writeln!(out, "  {name}:");
            for line in wanted.iter().filter(|line| !found.contains(line)) {
                let _ = writeln!(out, "    missing   {}", short(line));
            }
            for line in found.iter().filter(|line| !wanted.contains(line)) {
                let _ = writeln!(out, "    too much  {}", short(line));
            }
            if found.len() != wanted.len() {
                let _ = writeln!(out, "    {} rows, and not {}", found.len(), wanted.len());
            }
        }
        out
    }
}

fn short(line: &str) -> String {
    let mut out: String = line.chars().take(300).collect();
    if out.len() < line.len() {
        out.push('…');
    }
    out
}

/// Of the sums those of rows that were written or taken out.
pub fn written(sums: &Sums) -> Sums {
    const WRITTEN: [&str; 4] = ["inserted", "updated", "deleted", "removed"];
    sums.iter().filter(|(name, _)| WRITTEN.contains(&name.as_str())).map(|(name, n)| (name.clone(), *n)).collect()
}

/// How sums differ from what they should be, or nothing. `chunked`: a row that a chunk's end parts from the copy that
/// it loses to, or wins over, is counted against the table.
pub(super) fn sums_differ(found: &Sums, expected: &Sums, chunked: bool) -> String {
    const ONE: [&str; 4] = ["superseded", "stale", "updated", "unchanged"];
    let folded = |sums: &Sums| {
        let mut out = Sums::new();
        for (name, n) in sums.iter().filter(|(_, n)| **n != 0) {
            let name = if chunked && ONE.contains(&name.as_str()) { ONE.join("+") } else { name.clone() };
            *out.entry(name).or_default() += n;
        }
        out
    };
    let (found, expected) = (folded(found), folded(expected));
    if found == expected { String::new() } else { format!("  receipts: {found:?}, and not {expected:?}\n") }
}

/// Takes a table in: its rows sorted, without what no two runs have in common; the receipts by run.
pub(super) fn settled(look: &mut Look, table: &str, rows: &mut Rows) {
    if table == "_floodmark_runs" {
        for row in &rows.rows {
            let counts = rows
                .columns
                .iter()
                .zip(row)
                .filter(|(column, _)| COUNTS.contains(&column.as_str()) && *column != "transformed");
            let receipt =
                counts.map(|(column, cell)| (column.clone(), if let Cell::Int(n) = cell { *n } else { 0 })).collect();
            look.receipts.insert(row[0].to_string(), receipt);
        }
        return;
    }
    // When what was committed is another matter in each run.
    if table == "_floodmark_commits" {
        return;
    }
    for row in &mut rows.rows {
        for (column, cell) in rows.columns.iter().zip(row) {
            let own = table.starts_with("_floodmark_")
                && ["token", "updated_at", "loaded_at", "run", "id"].contains(&column.as_str());
            if own || is_now(cell) {
                *cell = Cell::Text("(now)".into());
            }
            if table == "_floodmark_state" && column == "settings" {
                without_moment(cell);
            }
        }
    }
    let mut lines = rows.rows.iter().map(|row| join(row)).collect::<Vec<_>>();
    lines.sort();
    look.content.insert(table.to_owned(), lines);
}

/// Takes out of settings when, and by which run, the table's columns changed.
fn without_moment(cell: &mut Cell) {
    const NOW: &str = "(now)";
    let Cell::Text(text) = cell else { return };
    let Ok(mut settings) = serde_json::from_str::<serde_json::Value>(text) else { return };
    if let Some(moment) = settings.get_mut("reshaped") {
        *moment = NOW.into();
    }
    if let Some(noted) = settings.get_mut("reshapings")
        && let Some(mut list) =
            noted.as_str().and_then(|text| serde_json::from_str::<Vec<serde_json::Value>>(text).ok())
    {
        for change in &mut list {
            (change["at"], change["run"]) = (NOW.into(), NOW.into());
        }
        *noted = serde_json::Value::from(list);
    }
    *cell = Cell::Text(settings.to_string());
}

/// Whether a cell is the moment of a run: a history without versions holds it. Scenarios live in 2024.
fn is_now(cell: &Cell) -> bool {
    let Cell::Text(text) = cell else { return false };
    let year = text.get(..4).and_then(|y| y.parse::<u32>().ok());
    text.len() >= 19 && text.as_bytes().get(4) == Some(&b'-') && year.is_some_and(|y| y > 2024)
}
