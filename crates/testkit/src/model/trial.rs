//! Plays a history against the real program and compares what there is with the model after each step.
//!
//! What a kill leaves, or two commands at once, is one of several worlds: the program must be in one of them, and those it
//! cannot be in are struck out as it goes on.

use super::{
    exclusions::{self, REFRESH_COUNTS, WIDER_AFTER_FAILURE, is_allowed},
    fill::End,
    history::{Fill, Filling, History, How, Step},
    origin,
    process::{self, Report},
    row::{Row, Value, get},
    scd2,
    settings::{Deletes, Load, Source},
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
    /// Any of them may be the program's; never none.
    worlds: Vec<World>,
    /// Modification times, so that no two contents of a file ever share one.
    clock: u64,
}

type Compared = Result<(), String>;

impl Trial<'_> {
    fn new<'a>(root: &'a Path, history: &History, on: Destination) -> Result<Trial<'a>, String> {
        let world = World { server: !matches!(on.name(), "sqlite" | "delta"), ..World::new(&history.settings) };
        let trial = Trial { root, store: Store::new(on)?, worlds: vec![world], clock: 0 };
        trial.configure()?;
        Ok(trial)
    }

    /// One of those that may be: settings and source are the same in all.
    fn world(&self) -> &World {
        &self.worlds[0]
    }

    fn configure(&self) -> Result<(), String> {
        let text = self.store.translate(&play::frame("t", &self.world().settings.yaml(), Style::AsWritten));
        let write = || {
            fs::create_dir_all(self.root.join("data"))?;
            fs::write(self.root.join("floodmark.yaml"), text)
        };
        write().map_err(|e| e.to_string())
    }

    fn step(&mut self, step: &Step) -> Result<Compared, String> {
        let io = |e: std::io::Error| e.to_string();
        let there = |name: &String| self.world().disk.contains_key(name);
        match step {
            Step::Write(_, content) if self.world().settings.source == Source::Table => {
                origin::write(&self.store, self.root, &self.world().settings, content)?;
            }
            Step::Write(name, content) => {
                fs::write(self.root.join(name), content.text()).map_err(io)?;
                self.stamp(name)?;
            }
            Step::Remove(name) if there(name) => fs::remove_file(self.root.join(name)).map_err(io)?,
            Step::Touch(name) if there(name) => self.stamp(name)?,
            Step::Remove(_) | Step::Touch(_) | Step::Chunks(_) => {}
            Step::Reset => {
                // Where nothing was loaded there is nothing to reset, and the program says so.
                process::run(self.root, &["--yes", "state", "reset", "t"])?;
            }
            Step::SetMark(value) if self.world().mark.is_some() => {
                let report = process::run(self.root, &["--yes", "state", "set", "t", "--watermark", &value.plain()])?;
                if report.exit != Some(0) {
                    return Ok(Err(format!("`state set` fails\n{}", report.said)));
                }
            }
            Step::SetMark(_) => {}
            Step::Kill(delay) => process::kill(self.root, *delay)?,
            Step::Run(how) => return self.run(step, how),
            Step::Fill(fill) => return self.fill(fill),
            Step::Verify => return self.verify(),
        }
        self.worlds.iter_mut().for_each(|world| drop(world.step(step)));
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
        let live = self.live()?;
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
        self.accepted(&report)?;
        let mut judged = Vec::new();
        for before in self.worlds.clone() {
            // Of several runs, killed ones among them, an earlier one may have done the work.
            let alone = how.plain() && !before.unsettled;
            let mut world = before.clone();
            let expected = world.step(step).ok_or("a run that the model does not know")?;
            let mut differences = compare_report(&world, &report, &expected, alone);
            if differences.is_empty() && expected.fails.is_none() {
                let known = *how == How::Refresh && !is_allowed(REFRESH_COUNTS, &exclusions::allowed());
                let mark = (alone && *how != How::Refresh).then_some(&before.mark);
                differences.extend(self.compare_sums(&report, alone && !known, mark, live)?);
            }
            judged.push((world, differences));
        }
        self.judge(judged, &report.said)
    }

    /// A `backfill`, with what disturbs it.
    fn fill(&mut self, fill: &Fill) -> Result<Compared, String> {
        let words = fill.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let live = self.live()?;
        let mut judged = Vec::new();
        let mut said = String::new();
        match &fill.how {
            Filling::Broken(kill) => {
                process::break_off(self.root, &words, kill)?;
                let stages = self.worlds.iter().flat_map(|world| world.fill(fill).stages);
                judged.extend(stages.map(|world| (world, Vec::new())));
            }
            Filling::Plain | Filling::Killed(_) => {
                let mut worlds = self.worlds.clone();
                if let Filling::Killed(kills) = &fill.how {
                    for kill in kills {
                        process::break_off(self.root, &words, kill)?;
                        worlds = distinct(worlds.iter().flat_map(|world| world.fill(fill).stages).collect());
                    }
                }
                let report = process::run(self.root, &words)?;
                said.clone_from(&report.said);
                for world in worlds {
                    let filled = world.fill(fill);
                    let end = filled.end;
                    let after = filled.last();
                    let mut differences = compare_fill(&after, &report, end);
                    if differences.is_empty() && end == End::Done {
                        let alone = fill.how == Filling::Plain;
                        differences.extend(self.compare_sums(&report, alone, alone.then_some(&world.mark), live)?);
                    }
                    judged.push((after, differences));
                }
            }
            Filling::Beside => {
                let wait = "--wait=60s";
                let filling = process::start(self.root, &[&words[..], &[wait]].concat(), false)?;
                let running = process::start(self.root, &["run", wait], false)?;
                let (filling, running) = (process::finish(filling)?, process::finish(running)?);
                said = format!("backfill: {}\nrun: {}", filling.said, running.said);
                self.accepted(&running)?;
                for world in &self.worlds {
                    for (after, end, expected) in world.beside_a_run(fill) {
                        let exit = i32::from(expected.fails.is_some());
                        let mut differences = compare_exit(&filling, end);
                        if running.exit != Some(exit) {
                            differences.push(format!("exit code of the run {:?}, the model has {exit}", running.exit));
                        }
                        judged.push((after, differences));
                    }
                }
            }
        }
        self.judge(judged, &said)
    }

    /// `verify` says that all is well where it is, and that it is not where it is not.
    fn verify(&self) -> Result<Compared, String> {
        let mut wanted = self.worlds.iter().map(World::verified);
        let Some(exit) = wanted.next().flatten() else { return Ok(Ok(())) };
        if wanted.any(|other| other != Some(exit)) {
            return Ok(Ok(()));
        }
        let report = process::run(self.root, &["verify", "t"])?;
        Ok(match report.exit == Some(exit) {
            true => Ok(()),
            false => Err(format!("exit code {:?} of verify, the model has {exit}\n{}", report.exit, report.said)),
        })
    }

    /// A pipeline that the program refuses is the generator's mistake.
    fn accepted(&self, report: &Report) -> Result<(), String> {
        match report.exit {
            Some(2) => {
                Err(format!("the program refuses the pipeline:\n{}{}", self.world().settings.yaml(), report.said))
            }
            _ => Ok(()),
        }
    }

    /// Keeps the worlds that the program may be in, by what it said and by the table.
    fn judge(&mut self, judged: Vec<(World, Vec<String>)>, said: &str) -> Result<Compared, String> {
        let (mut possible, mut first) = (Vec::new(), None);
        let mut others = Vec::new();
        for (world, mut differences) in judged {
            differences.extend(self.compare_table(&world)?);
            if differences.is_empty() {
                possible.push(world);
            } else {
                first.get_or_insert(differences);
                others.push(world);
            }
        }
        let found = possible.is_empty();
        self.worlds = distinct(if found { others } else { possible });
        let Some(differences) = first.filter(|_| found) else { return Ok(Ok(())) };
        let several = self.worlds.len();
        let all = if several > 1 { format!("\n(the first of {several} worlds that may be)") } else { String::new() };
        Ok(Err(format!("{}{all}\n{said}", differences.join("\n"))))
    }

    /// P9, and that what went in and out is what the table grew by. `mark`: what the watermark was before.
    fn compare_sums(
        &self,
        report: &Report,
        alone: bool,
        mark: Option<&Option<Value>>,
        before: u64,
    ) -> Result<Vec<String>, String> {
        let mut out = Vec::new();
        let rows = &report.object["rows"];
        let count = |name: &str| rows[name].as_u64().unwrap_or(0);
        let sum: u64 = OUTCOMES.iter().map(|name| count(name)).sum();
        let read = rows["transformed"].as_u64().unwrap_or(count("read"));
        if sum != read {
            out.push(format!("read={read} and the outcomes add up to {sum} (P9): {rows}"));
        }
        let told = &report.object["watermark"];
        if let Some(mark) = mark.filter(|mark| !told.is_null() && !same_mark(&told["before"], mark.as_ref())) {
            out.push(format!("watermark before is {}, the model has {mark:?}", told["before"]));
        }
        let s = &self.world().settings;
        // A soft delete takes no row out, and puts one in where there was none.
        if alone && s.load != Load::Scd2 && s.deletes != Deletes::Soft {
            let gone = count("removed") + count("deleted");
            let now = self.live()?;
            if before + count("inserted") != now + gone {
                out.push(format!("{before} rows became {now}, which the counts do not say: {rows}"));
            }
        }
        Ok(out)
    }

    fn compare_table(&self, world: &World) -> Result<Vec<String>, String> {
        let (columns, mut rows) = table(world);
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
        let current = if current_only(self.world()) { " WHERE is_current" } else { "" };
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

fn compare_report(world: &World, report: &Report, expected: &Expected, alone: bool) -> Vec<String> {
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
    let certain = alone && world.settings.commit_every.is_none();
    for (name, count) in &expected.counts {
        let found = report.object["rows"][*name].as_u64();
        if certain && found != Some(*count) {
            out.push(format!("{name} is {}, the model has {count}", report.object["rows"][*name]));
        }
    }
    let mark = &report.object["watermark"];
    let no_word = mark.is_null() && (!alone || expected.idle);
    if world.settings.watermark.is_some() && !no_word && !same_mark(&mark["after"], world.mark.as_ref()) {
        out.push(format!("watermark is {}, the model has {:?}", mark["after"], world.mark));
    }
    out
}

fn compare_exit(report: &Report, end: End) -> Vec<String> {
    let (exit, code) = match end {
        End::Done => (0, None),
        End::Fails(why) => (1, why.code()),
        End::Refused(code) => (2, Some(code)),
    };
    let found = report.object["error"]["code"].as_str();
    if report.exit != Some(exit) {
        return vec![format!("exit code {:?} ({found:?}), the model has {exit} ({code:?})", report.exit)];
    }
    match code {
        Some(code) if found != Some(code) => vec![format!("error {found:?}, the model has {code}")],
        _ => Vec::new(),
    }
}

/// `world`: as it is afterwards.
fn compare_fill(world: &World, report: &Report, end: End) -> Vec<String> {
    let mut out = compare_exit(report, end);
    let mark = &report.object["watermark"];
    if out.is_empty() && end == End::Done && !mark.is_null() && !same_mark(&mark["after"], world.mark.as_ref()) {
        out.push(format!("watermark is {}, the model has {:?}", mark["after"], world.mark));
    }
    out
}

/// Each world once.
fn distinct(worlds: Vec<World>) -> Vec<World> {
    let mut known = BTreeSet::new();
    worlds.into_iter().filter(|world| known.insert(format!("{world:?}"))).collect()
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
