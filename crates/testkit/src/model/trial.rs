//! Plays a history against the real program and compares what there is with the model after each step.

use super::{
    exclusions::{self, REFRESH_COUNTS, WIDER_AFTER_FAILURE, is_allowed},
    history::{History, How, Step},
    process::{self, Report},
    row::{Row, Value, get},
    scd2,
    settings::{Deletes, Load},
    world::{Expected, Gone, OUTCOMES, World, midnight},
};
use crate::{
    cell::Cell,
    dump::{self, join},
    play::{self, Style},
    project,
    store::{Destination, Store},
};
use serde_json::Value as Json;
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Child,
    time::{Duration, SystemTime},
};

/// Where the program and the model part.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    /// Index of the step.
    pub(super) step: usize,
    pub(super) message: String,
}

/// The first difference; `None` where all is as the model has it. The error is the harness's own.
pub(super) fn play(history: &History, on: Destination) -> Result<Option<Finding>, String> {
    let scratch = project::memory().map_err(|e| e.to_string())?;
    let mut trial = Trial::new(scratch.path(), history, on)?;
    for (step, what) in history.steps.iter().enumerate() {
        if let Err(message) = trial.step(what)? {
            return Ok(Some(Finding { step, message }));
        }
    }
    Ok(None)
}

/// The rows of the table at the end of a history, one line each.
pub(super) fn end(history: &History, on: Destination) -> Result<Vec<String>, String> {
    let scratch = project::memory().map_err(|e| e.to_string())?;
    let mut trial = Trial::new(scratch.path(), history, on)?;
    for step in &history.steps {
        // What the model has to say is asked elsewhere; here the program is compared with itself.
        let _ = trial.step(step)?;
    }
    let mut columns: Vec<String> = trial.columns()?;
    columns.sort();
    Ok(trial.rows(&columns)?.lines())
}

struct Trial<'a> {
    root: &'a Path,
    store: Store,
    world: World,
    /// Modification times, so that no two contents of a file ever share one.
    clock: u64,
}

type Compared = Result<(), String>;

impl Trial<'_> {
    fn new<'a>(root: &'a Path, history: &History, on: Destination) -> Result<Trial<'a>, String> {
        let trial = Trial { root, store: Store::new(on)?, world: World::new(&history.settings), clock: 0 };
        trial.configure()?;
        Ok(trial)
    }

    fn configure(&self) -> Result<(), String> {
        let text = self.store.translate(&play::frame("t", &self.world.settings.yaml(), Style::AsWritten));
        let write = || {
            fs::create_dir_all(self.root.join("data"))?;
            fs::write(self.root.join("floodmark.yaml"), text)
        };
        write().map_err(|e| e.to_string())
    }

    fn step(&mut self, step: &Step) -> Result<Compared, String> {
        let io = |e: std::io::Error| e.to_string();
        match step {
            Step::Write(name, content) => {
                fs::write(self.root.join(name), content.text()).map_err(io)?;
                self.stamp(name)?;
            }
            Step::Remove(name) if self.world.disk.contains_key(name) => {
                fs::remove_file(self.root.join(name)).map_err(io)?;
            }
            Step::Touch(name) if self.world.disk.contains_key(name) => self.stamp(name)?,
            Step::Remove(_) | Step::Touch(_) | Step::Chunks(_) => {}
            Step::Reset => {
                // Where nothing was loaded there is nothing to reset, and the program says so.
                process::run(self.root, &["--yes", "state", "reset", "t"])?;
            }
            Step::SetMark(value) if self.world.mark.is_some() => {
                let report = process::run(self.root, &["--yes", "state", "set", "t", "--watermark", &value.plain()])?;
                if report.exit != Some(0) {
                    return Ok(Err(format!("`state set` fails\n{}", report.said)));
                }
            }
            Step::SetMark(_) => {}
            Step::Kill(delay) => process::kill(self.root, *delay)?,
            Step::Run(how) => return self.run(step, how),
        }
        self.world.step(step);
        if matches!(step, Step::Chunks(_)) {
            self.configure()?;
        }
        Ok(Ok(()))
    }

    fn stamp(&mut self, name: &str) -> Result<(), String> {
        self.clock += 1;
        let file = fs::File::options().append(true).open(self.root.join(name)).map_err(|e| e.to_string())?;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + self.clock);
        file.set_modified(time).map_err(|e| e.to_string())
    }

    fn run(&mut self, step: &Step, how: &How) -> Result<Compared, String> {
        let before = (self.live()?, self.world.mark.clone());
        // Of several runs, killed ones among them, an earlier one may have done the work.
        let alone = how.plain() && !self.world.unsettled;
        let report = match how {
            How::Plain => process::run(self.root, &["run"])?,
            How::Refresh => process::run(self.root, &["--yes", "run", "--full-refresh"])?,
            How::OneThread => process::finish(process::start(self.root, &["run"], true)?)?,
            How::Killed(delays) => {
                delays.iter().try_for_each(|delay| process::kill(self.root, *delay))?;
                process::run(self.root, &["run"])?
            }
            How::Several(number) => {
                let children: Vec<Child> =
                    (0..*number).map(|_| process::start(self.root, &["run"], false)).collect::<Result<_, _>>()?;
                let reports: Vec<Report> = children.into_iter().map(process::finish).collect::<Result<_, _>>()?;
                if let Some(odd) = reports.iter().find(|r| !matches!(r.exit, Some(0 | 1 | 3))) {
                    return Ok(Err(format!("one of several runs ended with {:?}\n{}", odd.exit, odd.said)));
                }
                let rank = |r: &Report| (r.exit == Some(3), r.object["status"] == "nothing_new");
                let Some(first) = reports.into_iter().min_by_key(rank) else { return Err("no run".to_owned()) };
                first
            }
        };
        if report.exit == Some(2) {
            return Err(format!("the program refuses the pipeline:\n{}{}", self.world.settings.yaml(), report.said));
        }
        let expected = self.world.step(step).ok_or("a run that the model does not know")?;
        let mut differences = self.compare_report(&report, &expected, alone);
        if differences.is_empty() && expected.fails.is_none() {
            differences.extend(self.compare_sums(&report, how, alone, &before)?);
        }
        differences.extend(self.compare_table()?);
        Ok(if differences.is_empty() { Ok(()) } else { Err(format!("{}\n{}", differences.join("\n"), report.said)) })
    }

    fn compare_report(&self, report: &Report, expected: &Expected, alone: bool) -> Vec<String> {
        let mut out = Vec::new();
        let exit = i32::from(expected.fails.is_some());
        if report.exit != Some(exit) {
            let why = expected.fails.map(|why| format!(" ({why:?})")).unwrap_or_default();
            return vec![format!("exit code {:?}, the model has {exit}{why}", report.exit)];
        }
        if let Some(why) = expected.fails {
            let code = report.object["error"]["code"].as_str().unwrap_or("(none)");
            if why.code().is_some_and(|wanted| wanted != code) {
                out.push(format!("error {code}, the model has {:?} for {why:?}", why.code()));
            }
            return out;
        }
        let status = report.object["status"].as_str().unwrap_or("(none)");
        if expected.idle && status != "nothing_new" {
            out.push(format!("status {status}, the model has nothing to read"));
        }
        let certain = alone && self.world.settings.commit_every.is_none();
        for (name, count) in &expected.counts {
            let found = report.object["rows"][*name].as_u64();
            if certain && found != Some(*count) {
                out.push(format!("{name} is {}, the model has {count}", report.object["rows"][*name]));
            }
        }
        let mark = &report.object["watermark"];
        let no_word = mark.is_null() && (!alone || expected.idle);
        if self.world.settings.watermark.is_some() && !no_word && !same_mark(&mark["after"], self.world.mark.as_ref()) {
            out.push(format!("watermark is {}, the model has {:?}", mark["after"], self.world.mark));
        }
        out
    }

    /// P9, and that what went in and out is what the table grew by.
    fn compare_sums(
        &self,
        report: &Report,
        how: &How,
        alone: bool,
        before: &(u64, Option<Value>),
    ) -> Result<Vec<String>, String> {
        let mut out = Vec::new();
        let rows = &report.object["rows"];
        let count = |name: &str| rows[name].as_u64().unwrap_or(0);
        let sum: u64 = OUTCOMES.iter().map(|name| count(name)).sum();
        if sum != count("read") {
            out.push(format!("read={} and the outcomes add up to {sum} (P9): {rows}", count("read")));
        }
        let mark = &report.object["watermark"];
        if alone && *how != How::Refresh && !mark.is_null() && !same_mark(&mark["before"], before.1.as_ref()) {
            out.push(format!("watermark before is {}, the model has {:?}", mark["before"], before.1));
        }
        let scd2 = self.world.settings.load == Load::Scd2;
        let known = *how == How::Refresh && !is_allowed(REFRESH_COUNTS, &exclusions::allowed());
        // A soft delete takes no row out, and puts one in where there was none.
        let soft = self.world.settings.deletes == Deletes::Soft;
        if alone && !scd2 && !soft && !known {
            let gone = count("removed") + count("deleted");
            let now = self.live()?;
            if before.0 + count("inserted") != now + gone {
                out.push(format!("{} rows became {now}, which the counts do not say: {rows}", before.0));
            }
        }
        Ok(out)
    }

    fn compare_table(&self) -> Result<Vec<String>, String> {
        let (columns, mut rows) = table(&self.world);
        let found = self.columns()?;
        if found.is_empty() && !rows.is_empty() {
            return Ok(vec!["there is no table".to_owned()]);
        }
        if rows.is_empty() {
            let left = self.live()?;
            return Ok(if left == 0 {
                Vec::new()
            } else {
                vec![format!("the table differs: {left} rows, and none in the model")]
            });
        }
        // A column of which the model has only NULLs may be there or not.
        let absent: Vec<usize> = (0..columns.len()).filter(|i| !found.contains(&columns[*i])).collect();
        if let Some(lost) = absent.iter().find(|i| rows.iter().any(|row| row[**i] != Value::Null)) {
            return Ok(vec![format!("the table has no column {:?}", columns[*lost])]);
        }
        let at = |i: &usize| !absent.contains(i);
        let names: Vec<String> = (0..columns.len()).filter(at).map(|i| columns[i].clone()).collect();
        for row in &mut rows {
            *row = (0..row.len()).filter(at).map(|i| row[i].clone()).collect();
        }
        let lines = |rows: &[Vec<Value>]| {
            let line = |row: &Vec<Value>| join(&row.iter().map(Value::cell).collect::<Vec<_>>());
            let mut lines: Vec<String> = rows.iter().map(line).collect();
            lines.sort();
            lines
        };
        let wanted = lines(&rows);
        let found = self.rows(&names)?.lines();
        if wanted == found {
            return Ok(Vec::new());
        }
        let wider = self.store.schema_commits() && !is_allowed(WIDER_AFTER_FAILURE, &exclusions::allowed());
        if let Some(day) = names.iter().position(|name| name == "day").filter(|_| wider) {
            rows.iter_mut().for_each(|row| midnight(&mut row[day]));
            if lines(&rows) == found {
                return Ok(Vec::new());
            }
        }
        let only = |a: &[String], b: &[String]| {
            let mut left = b.to_vec();
            let mut out = Vec::new();
            for line in a {
                match left.iter().position(|l| l == line) {
                    Some(place) => drop(left.swap_remove(place)),
                    None => out.push(line.clone()),
                }
            }
            out.join("\n  ")
        };
        Ok(vec![format!(
            "the table differs ({})\nrows of the model alone:\n  {}\nrows of the table alone:\n  {}",
            names.join(" | "),
            only(&wanted, &found),
            only(&found, &wanted)
        )])
    }

    fn columns(&self) -> Result<Vec<String>, String> {
        self.store.columns(self.root, "t")
    }

    fn rows(&self, columns: &[String]) -> Result<dump::Rows, String> {
        let names: Vec<String> = columns.iter().map(|c| dump::quote(c)).collect();
        let current = if current_only(&self.world) { " WHERE is_current" } else { "" };
        let mut found = self.store.query(self.root, &format!("SELECT {} FROM t{current}", names.join(", ")))?;
        // The model has no booleans, as some databases have none.
        for cell in found.rows.iter_mut().flatten() {
            if let Cell::Bool(value) = cell {
                *cell = Cell::Int(i64::from(*value));
            }
        }
        Ok(found)
    }

    fn live(&self) -> Result<u64, String> {
        let columns = self.columns()?;
        Ok(if columns.is_empty() { 0 } else { self.rows(&columns)?.rows.len() as u64 })
    }
}

/// An `scd2` that closes what is absent does so at the run's own time, so the current rows alone are certain.
pub(super) fn current_only(world: &World) -> bool {
    world.settings.load == Load::Scd2 && world.settings.full_read()
}

fn projected<'a>(rows: impl Iterator<Item = &'a Row> + Clone) -> (Vec<String>, Vec<Vec<Value>>) {
    let names: BTreeSet<&'static str> = rows.clone().flat_map(|row| row.keys().copied()).collect();
    let out = rows.map(|row| names.iter().map(|name| get(row, name)).collect()).collect();
    (names.iter().map(|name| (*name).to_owned()).collect(), out)
}

/// Names and rows the model's table holds.
pub(super) fn table(world: &World) -> (Vec<String>, Vec<Vec<Value>>) {
    if current_only(world) {
        let rows = scd2::current(world);
        return projected(rows.iter());
    }
    let spans: Vec<scd2::Span> = world.histories.values().flat_map(scd2::spans).collect();
    let rows = world.table.iter().map(|kept| &kept.row).chain(spans.iter().map(|span| &span.row));
    let (mut columns, mut out) = projected(rows);
    if world.settings.deletes == Deletes::Soft {
        columns.push("is_deleted".to_owned());
        for (row, kept) in out.iter_mut().zip(&world.table) {
            row.push(Value::Int(i64::from(kept.gone != Gone::No)));
        }
    }
    if world.settings.load == Load::Scd2 {
        columns.extend(["valid_from", "valid_to", "is_current"].map(str::to_owned));
        for (row, span) in out.iter_mut().zip(&spans) {
            let current = Value::Int(i64::from(span.to.is_none()));
            row.extend([span.from.clone(), span.to.clone().unwrap_or(Value::Null), current]);
        }
    }
    (columns, out)
}

fn same_mark(found: &Json, wanted: Option<&Value>) -> bool {
    match wanted {
        None => found.is_null(),
        Some(value) => found.as_str().map_or_else(|| found.to_string(), str::to_owned) == value.plain(),
    }
}
