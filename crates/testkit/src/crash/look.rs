//! What a run leaves behind, as far as it must be equal however it got there.

use std::{collections::BTreeMap, fmt::Write, path::Path};

/// Rows by outcome, summed over receipts.
pub type Sums = BTreeMap<String, i64>;

/// A kind of destination, seen from outside.
pub trait Destination: Sync {
    /// What it is called.
    fn name(&self) -> &'static str;
    /// Its URL as the pipeline file of a project has it.
    fn url(&self) -> String;
    /// Runs statements by hand.
    fn execute(&self, project: &Path, sql: &str) -> Result<(), String>;
    /// Everything that must be equal.
    fn look(&self, project: &Path) -> Result<Look, String>;
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
pub(super) fn written(sums: &Sums) -> Sums {
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
