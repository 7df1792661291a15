//! Plays a case, step after step, in a scratch copy of its project.

use crate::{
    case::{Action, Case, Step},
    compare::{bag, rows, tables},
    dump::{self, Dump},
    outcome::{self, Expected, Status},
    plan, program, project,
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

/// Plays `case` in a scratch copy of `project`, or in an empty directory.
pub fn play(case: &Case, project: Option<&Path>, style: Style) -> Result<(), Failure> {
    let at = |line: usize| move |message: String| Failure { line, message };
    let scratch = project::scratch().map_err(|e| at(0)(e.to_string()))?;
    if let Some(project) = project {
        project::copy_tree(project, scratch.path()).map_err(|e| at(0)(e.to_string()))?;
    }
    let once = case.steps.iter().any(|step| matches!(step.action, Action::Once(_)));
    let mut player = Player { root: scratch.path(), style, once, database: String::new(), kept: HashMap::new() };
    player.find_database().map_err(at(0))?;
    case.steps.iter().try_for_each(|step| player.step(step).map_err(at(step.line)))
}

/// Whether a case makes sense in that style: a run that must fail leaves what it committed before in small chunks.
pub fn suits(case: &Case, style: Style) -> bool {
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
    database: String,
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
                fs::write(path("floodmark.yaml"), frame(name, fields, self.style)).map_err(io("floodmark.yaml"))?;
                self.database = "out.db".to_owned();
            }
            Action::Project(text) => {
                fs::write(path("floodmark.yaml"), text).map_err(io("floodmark.yaml"))?;
                self.find_database()?;
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
            Action::Sql(sql) => dump::execute(&path(&self.database), sql)?,
            Action::Run { arguments, input, expected } => self.run(arguments, input.as_deref(), expected)?,
            Action::Floodmark { arguments, exit, says } => {
                let ran = program::call(self.root, arguments, None)?;
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
                let found = dump::query(&path(&self.database), &format!("SELECT * FROM {}", dump::quote(name)))?;
                rows(expected, &found)?;
            }
            Action::Query { sql, rows: expected } => rows(expected, &dump::query(&path(&self.database), sql)?)?,
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
            Action::Once(_) => {}
        }
        Ok(())
    }

    fn table_lines(&self, table: &str) -> Result<Vec<String>, String> {
        let dump = dump::dump(&self.root.join(&self.database))?;
        dump.get(table).cloned().ok_or_else(|| format!("no table {table}"))
    }

    /// The database is the one file the project's URL names.
    fn find_database(&mut self) -> Result<(), String> {
        let Ok(text) = fs::read_to_string(self.root.join("floodmark.yaml")) else { return Ok(()) };
        let url = text.split("sqlite:///").nth(1).ok_or("the project names no sqlite:/// database")?;
        let end = url.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '}' | ',')).unwrap_or(url.len());
        self.database = url[..end].to_owned();
        Ok(())
    }

    fn run(&self, arguments: &[String], input: Option<&str>, expected: &[String]) -> Result<(), String> {
        let expected: Vec<Expected> = expected.iter().map(|line| outcome::parse(line)).collect::<Result<_, _>>()?;
        let database = self.root.join(&self.database);
        let before = dump::dump(&database)?;
        let planned = plan::plan(self.root, arguments, input)?;
        let ran = program::run(self.root, "run", arguments, input)?;
        plan::compare(&planned, &ran.objects).map_err(|what| format!("{what}\n{}", ran.said))?;
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
                    differences.extend(one.differences(found, exact).into_iter().map(|d| format!("{name}{d}")));
                }
                None => {
                    differences.push(format!("no result for {}", one.pipeline.as_deref().unwrap_or("the pipeline")))
                }
            }
        }
        let after = dump::dump(&database)?;
        if expected.iter().all(|e| e.status.exit() != 0) && before != after {
            differences.push(format!("a run that failed changed the tables (P10)\n{}", tables(&before, &after)));
        }
        if !differences.is_empty() {
            return Err(format!("{}\n{}", differences.join("\n"), ran.said));
        }
        if exit == 0 && !self.once && self.style == Style::AsWritten {
            self.again(&after, arguments, input)
        } else {
            Ok(())
        }
    }

    /// P1 for every run of every case: once more over the same input, in a copy, changes nothing and says so.
    fn again(&self, before: &Dump, arguments: &[String], input: Option<&str>) -> Result<(), String> {
        let copy = project::scratch().map_err(|e| e.to_string())?;
        project::copy_tree(self.root, copy.path()).map_err(|e| e.to_string())?;
        let mut arguments = arguments.to_vec();
        arguments.retain(|argument| argument != "--full-refresh");
        let ran = program::run(copy.path(), "run", &arguments, input)?;
        if ran.exit != Some(0) {
            return Err(format!("run again over the same input it fails (P1)\n{}", ran.said));
        }
        let after = dump::dump(&copy.path().join(&self.database))?;
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
