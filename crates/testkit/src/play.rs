//! Plays a case, step after step, in a scratch copy of its project.

use crate::{
    case::{Action, Case, Step},
    compare::{bag, rows, tables},
    dump::{self, Dump},
    outcome::{self, Expected, Status},
    plan, program, project,
    store::{Destination, Store},
};
use std::{collections::HashMap, fs, path::Path, time::SystemTime};

/// Where a case did not go as it says.
#[derive(Debug)]
pub struct Failure {
    /// Line of the step's heading.
    pub line: usize,
    /// What is different.
    pub message: String,
}

/// How a case is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As written: outcomes, counts and tables. After every successful run a copy of the project is run once more, and
    /// its tables must not change (P1).
    AsWritten,
    /// Every chunk holds one row: tables must be the same (P8); counts may shift between `superseded`, `stale` and
    /// `updated`.
    OneRowChunks,
}

/// Plays `case` in a scratch copy of `project`, or in an empty directory, with an empty database.
pub fn play(case: &Case, project: Option<&Path>, style: Style, on: Destination) -> Result<(), Failure> {
    let at = |line: usize| move |message: String| Failure { line, message };
    let scratch = project::scratch().map_err(|e| at(0)(e.to_string()))?;
    if let Some(project) = project {
        project::copy_tree(project, scratch.path()).map_err(|e| at(0)(e.to_string()))?;
    }
    let once = case.steps.iter().any(|step| matches!(step.action, Action::Once(_)));
    let store = Store::new(on).map_err(at(0))?;
    let mut player = Player { root: scratch.path(), style, once, store, kept: HashMap::new() };
    player.find_database().map_err(at(0))?;
    case.steps.iter().try_for_each(|step| player.step(step).map_err(at(step.line)))
}

/// Whether a case is about that destination, and makes sense in that style: a run that must fail leaves what it committed
/// before in small chunks.
pub fn suits(case: &Case, style: Style, on: Destination) -> bool {
    let other =
        |s: &Step| matches!(&s.action, Action::Only { destinations } if !destinations.iter().any(|d| d == on.name()));
    if case.steps.iter().any(other) {
        return false;
    }
    #[cfg(feature = "duckdb")]
    if on == Destination::Duckdb && case.steps.iter().any(|s| matches!(s.action, Action::Forbid { .. })) {
        return false;
    }
    // Nobody else changes a table of a lake by a statement.
    #[cfg(feature = "lake")]
    if on == Destination::Delta && case.steps.iter().any(|s| matches!(s.action, Action::Forbid { .. } | Action::Sql(_)))
    {
        return false;
    }
    let framed = case.steps.iter().any(|s| matches!(s.action, Action::Pipeline { .. }));
    let fails = |line: &String| outcome::parse(line).is_ok_and(|e| e.status.exit() != 0);
    let failing =
        case.steps.iter().any(|s| matches!(&s.action, Action::Run { expected, .. } if expected.iter().any(fails)));
    style == Style::AsWritten || (framed && !failing)
}

struct Player<'a> {
    root: &'a Path,
    style: Style,
    once: bool,
    store: Store,
    kept: HashMap<String, Vec<String>>,
}

impl Player<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        let path = |name: &str| self.root.join(name);
        let io = |name: &str| {
            let name = name.to_owned();
            move |e: std::io::Error| format!("{name}: {e}")
        };
        match &step.action {
            Action::Pipeline { name, fields } => {
                let text = frame(name, fields, self.style);
                fs::write(path("floodmark.yaml"), self.store.translate(&text)).map_err(io("floodmark.yaml"))?;
                self.store.find("sqlite:///out.db")?;
            }
            Action::Project(text) => {
                fs::write(path("floodmark.yaml"), self.store.translate(text)).map_err(io("floodmark.yaml"))?;
                self.store.find(text)?;
            }
            Action::File { path: name, content } => {
                make_parent(&path(name))?;
                fs::write(path(name), content).map_err(io(name))?;
            }
            Action::More { path: name, content } => {
                let mut whole = fs::read(path(name)).map_err(io(name))?;
                whole.extend_from_slice(content);
                fs::write(path(name), whole).map_err(io(name))?;
            }
            Action::Copy { from, to } => {
                make_parent(&path(to))?;
                fs::copy(path(from), path(to)).map_err(io(from))?;
            }
            Action::Remove(name) if path(name).is_dir() => fs::remove_dir_all(path(name)).map_err(io(name))?,
            Action::Remove(name) => fs::remove_file(path(name)).map_err(io(name))?,
            Action::Touch(name) => {
                let file = fs::File::options().append(true).open(path(name)).map_err(io(name))?;
                file.set_modified(SystemTime::now()).map_err(io(name))?;
            }
            Action::Spoil(name) => {
                let modified = fs::metadata(path(name)).and_then(|m| m.modified()).map_err(io(name))?;
                let bytes: Vec<u8> = fs::read(path(name)).map_err(io(name))?.iter().map(|byte| !byte).collect();
                fs::write(path(name), bytes).map_err(io(name))?;
                let file = fs::File::options().append(true).open(path(name)).map_err(io(name))?;
                file.set_modified(modified).map_err(io(name))?;
            }
            Action::Sql(sql) => self.store.execute(self.root, sql)?,
            Action::Source(sql) => self.store.execute_on_source(self.root, sql)?,
            Action::Run { command, arguments, input, expected } => {
                self.run(command, arguments, input.as_deref(), expected)?;
            }
            Action::Floodmark { arguments, exit, says } => {
                let arguments: Vec<String> = arguments.iter().map(|a| self.store.translate(a)).collect();
                let ran = program::call(self.root, &arguments, None)?;
                let mut differences = Vec::new();
                if ran.exit != Some(*exit) {
                    differences.push(format!("- exit {exit}\n+ exit {}", ran.exit.unwrap_or(-1)));
                }
                for text in says {
                    match text.strip_prefix("! ") {
                        Some(never) if ran.said.contains(never) => differences.push(format!("+ says {never}")),
                        None if !ran.said.contains(text) => differences.push(format!("- says {text}")),
                        _ => {}
                    }
                }
                if !differences.is_empty() {
                    return Err(format!("{}\n{}", differences.join("\n"), ran.said));
                }
            }
            Action::Table { name, rows: expected } => {
                let found = self.store.query(self.root, &format!("SELECT * FROM {}", dump::quote(name)))?;
                rows(expected, &found)?;
            }
            Action::Query { sql, rows: expected } => rows(expected, &self.store.query(self.root, sql)?)?,
            Action::Keep(table) => {
                let lines = self.table_lines(table)?;
                self.kept.insert(table.clone(), lines);
            }
            Action::Same(table) => {
                let before = self.kept.get(table).ok_or_else(|| format!("`-- keep {table}` comes first"))?;
                let now = self.table_lines(table)?;
                if *before != now {
                    return Err(format!("{table} is not what it was\n{}", bag(before, &now).join("\n")));
                }
            }
            Action::Forbid { table, events } => {
                let sql: Vec<String> = events.iter().map(|event| self.store.forbid(table, event)).collect();
                self.store.execute(self.root, &sql.join("\n"))?;
            }
            Action::Once(_) | Action::Only { .. } => {}
        }
        Ok(())
    }

    fn table_lines(&self, table: &str) -> Result<Vec<String>, String> {
        let dump = self.store.dump(self.root)?;
        dump.get(table).cloned().ok_or_else(|| format!("no table {table}"))
    }

    /// The database of a project that is there from the beginning.
    fn find_database(&mut self) -> Result<(), String> {
        let path = self.root.join("floodmark.yaml");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
        fs::write(&path, self.store.translate(&text)).map_err(|e| e.to_string())?;
        self.store.find(&text)
    }

    fn run(&self, command: &str, arguments: &[String], input: Option<&str>, expected: &[String]) -> Result<(), String> {
        let expected: Vec<Expected> = expected.iter().map(|line| outcome::parse(line)).collect::<Result<_, _>>()?;
        let before = self.store.dump(self.root)?;
        // Of runs alone it can be said before what they will do.
        let planned = if command == "run" { Some(plan::plan(self.root, arguments, input)?) } else { None };
        let ran = program::run(self.root, command, arguments, input)?;
        if let Some(planned) = planned {
            plan::compare(&planned, &ran.objects).map_err(|what| format!("{what}\n{}", ran.said))?;
        }
        let mut differences = Vec::new();
        let exit = expected.iter().map(|e| e.status).max_by_key(|s| severity(*s)).map_or(0, Status::exit);
        if ran.exit != Some(exit) {
            differences.push(format!("- exit {exit}\n+ exit {}", ran.exit.unwrap_or(-1)));
        }
        for one in &expected {
            let found = match &one.pipeline {
                Some(name) => ran.objects.iter().find(|o| o["pipeline"].as_str() == Some(name)),
                None if ran.objects.len() == 1 => ran.objects.first(),
                None => None,
            };
            match found {
                Some(found) => {
                    let name = one.pipeline.as_deref().map(|n| format!("{n}: ")).unwrap_or_default();
                    let exact = self.style == Style::AsWritten;
                    // Of a repair what it did is told beside what it left.
                    let found = if command == "verify" { &found["repair"] } else { found };
                    differences.extend(one.differences(found, exact).into_iter().map(|d| format!("{name}{d}")));
                }
                None => {
                    differences.push(format!("no result for {}", one.pipeline.as_deref().unwrap_or("the pipeline")))
                }
            }
        }
        let after = self.store.dump(self.root)?;
        if expected.iter().all(|e| e.status.exit() != 0) && before != after {
            differences.push(format!("a run that failed changed the tables (P10)\n{}", tables(&before, &after)));
        }
        if !differences.is_empty() {
            return Err(format!("{}\n{}", differences.join("\n"), ran.said));
        }
        if exit == 0 && !self.once && self.style == Style::AsWritten {
            self.again(&after, command, arguments, input)
        } else {
            Ok(())
        }
    }

    /// P1 for every run of every case: once more over the same input, in a copy, changes nothing and says so.
    fn again(&self, before: &Dump, command: &str, arguments: &[String], input: Option<&str>) -> Result<(), String> {
        let copy = project::scratch().map_err(|e| e.to_string())?;
        project::copy_tree(self.root, copy.path()).map_err(|e| e.to_string())?;
        let store = self.store.copy()?;
        let file = copy.path().join("floodmark.yaml");
        if let (Some(mine), Some(its), Ok(text)) = (self.store.url(), store.url(), fs::read_to_string(&file)) {
            fs::write(&file, text.replace(mine, its)).map_err(|e| e.to_string())?;
        }
        let mut arguments = arguments.to_vec();
        arguments.retain(|argument| argument != "--full-refresh");
        let ran = program::run(copy.path(), command, &arguments, input)?;
        if ran.exit != Some(0) {
            return Err(format!("run again over the same input it fails (P1)\n{}", ran.said));
        }
        let after = store.dump(copy.path())?;
        if *before != after {
            let what = tables(before, &after);
            return Err(format!("run again over the same input the tables change (P1)\n{what}\n{}", ran.said));
        }
        let mut moved = ran.objects.iter().flat_map(outcome::moved);
        match moved.next() {
            Some(what) => Err(format!("run again over the same input, {what} (P1)\n{}", ran.said)),
            None => Ok(()),
        }
    }
}

/// The worse of two ends decides the exit code: a failure beats a busy pipeline.
fn severity(status: Status) -> u8 {
    match status {
        Status::Ok | Status::NothingNew | Status::Done => 0,
        Status::Busy => 1,
        Status::Failed => 2,
        Status::Refused => 3,
    }
}

/// The whole pipeline file around the fields of a case.
pub(crate) fn frame(name: &str, fields: &str, style: Style) -> String {
    let says = |field: &str| fields.lines().any(|l| l.starts_with(field));
    let mut out = format!("version: 1\npipelines:\n  {name}:\n");
    if !says("source:") {
        out.push_str("    source: { files: \"data/*\" }\n");
    }
    if !says("destination:") {
        out.push_str(&format!("    destination: {{ url: \"sqlite:///out.db\", table: {name} }}\n"));
    }
    if style == Style::OneRowChunks && !says("commit_every:") {
        out.push_str("    commit_every: 1\n");
    }
    fields.lines().for_each(|line| out.push_str(&format!("    {line}\n")));
    out
}

fn make_parent(path: &Path) -> Result<(), String> {
    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fills_in_what_is_not_said() {
        let text = frame("t", "load: append\nsource: { files: x.csv }\n", Style::AsWritten);
        assert!(text.contains("sqlite:///out.db") && !text.contains("data/*") && !text.contains("commit_every"));
        assert!(frame("t", "load: append\n", Style::OneRowChunks).contains("commit_every: 1"));
    }
}
