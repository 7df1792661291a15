//! Scenarios × points × faults, on all cores.

use super::{
    look::{Database, Destination, Look, Sums, sums_differ, written},
    pick::{Depth, Experiment, Fault, Picker},
    scenario::{Again, Scenario, Stage},
    stage::Program,
};
use crate::project::{copy_tree, scratch};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use tempfile::TempDir;

/// A stage, with what it starts from and how it ends unbroken.
struct Ready<'a> {
    name: String,
    stage: &'a Stage,
    chunked: bool,
    home: Home,
    before: Look,
    after: Look,
    sums: Sums,
    trace: String,
}

/// An experiment that did not end as the unbroken run.
#[derive(Debug)]
pub struct Breakage {
    /// Scenario, stage, point and fault.
    pub what: String,
    /// How it ended.
    pub how: String,
}

/// What was run.
#[derive(Debug, Default)]
pub struct Report {
    /// Scenarios × destinations.
    pub scenarios: usize,
    /// Stages of them.
    pub stages: usize,
    /// Experiments by fault.
    pub experiments: BTreeMap<&'static str, usize>,
    /// Meetings of points that something was done at, by `POINT:SIDE`.
    pub points: BTreeMap<String, usize>,
    /// Those that broke a promise.
    pub breakages: Vec<Breakage>,
}

/// Runs every scenario on every destination. An error is one of the unbroken runs.
pub fn run(destinations: &[&dyn Destination], scenarios: &[Scenario], depth: Depth) -> Result<Report, String> {
    let mut report = Report { scenarios: scenarios.len() * destinations.len(), ..Report::default() };
    let pairs: Vec<_> = destinations.iter().flat_map(|d| scenarios.iter().map(move |s| (*d, s))).collect();
    let ready = spread(&pairs, |(destination, scenario)| ready(*destination, scenario));
    let ready: Vec<Ready<'_>> = ready.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    report.stages = ready.len();
    let mut picker = Picker::new(depth);
    let all: Vec<(&Ready<'_>, Experiment)> = ready
        .iter()
        .flat_map(|ready| picker.pick(&ready.trace).into_iter().map(move |experiment| (ready, experiment)))
        .collect();
    let broken = spread(&all, |(ready, experiment)| ready.experiment(experiment).err());
    for ((ready, experiment), broken) in all.iter().zip(broken) {
        *report.experiments.entry(experiment.fault.name()).or_default() += 1;
        let point = experiment.shot.rsplit_once(':').map_or(experiment.shot.as_str(), |(point, _)| point);
        *report.points.entry(point.to_owned()).or_default() += 1;
        report.breakages.extend(broken.map(|how| Breakage {
            what: format!("{} at {} ({:?})", ready.name, experiment.shot, experiment.fault),
            how,
        }));
    }
    Ok(report)
}

/// Does the work for each item on all cores; results in order.
fn spread<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// A project and its database.
struct Home {
    project: TempDir,
    database: Box<dyn Database>,
}

impl Home {
    fn new(destination: &dyn Destination) -> Result<Home, String> {
        Ok(Home { project: scratch().map_err(|e| e.to_string())?, database: destination.make()? })
    }

    fn path(&self) -> &Path {
        self.project.path()
    }

    /// The same once more, as it is now.
    fn copy(&self) -> Result<Home, String> {
        let copy = Home { project: scratch().map_err(|e| e.to_string())?, database: self.database.copy()? };
        copy_tree(self.path(), copy.path()).map_err(|e| e.to_string())?;
        let file = copy.path().join("floodmark.yaml");
        let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        fs::write(&file, text.replace(&self.database.url(), &copy.database.url())).map_err(|e| e.to_string())?;
        Ok(copy)
    }

    fn look(&self) -> Result<Look, String> {
        self.database.look(self.path())
    }
}

/// Plays a scenario unbroken, tracing the points that each stage meets.
fn ready<'a>(destination: &'a dyn Destination, scenario: &'a Scenario) -> Result<Vec<Ready<'a>>, String> {
    let mut out = Vec::new();
    let mut home = Home::new(destination)?;
    for (number, stage) in scenario.stages.iter().enumerate() {
        let name = format!("{} on {}, stage {}", scenario.name, destination.name(), number + 1);
        let step = || -> Result<_, String> {
            stage.prepare(home.path(), home.database.as_ref())?;
            let before = home.look()?;
            let unbroken = home.copy()?;
            let trace = scratch().map_err(|e| e.to_string())?;
            let file = trace.path().join("trace");
            Program::succeed(unbroken.path(), &stage.command, Some(&format!("trace={}", file.display())))?;
            let after = unbroken.look()?;
            let trace = fs::read_to_string(&file).map_err(|e| format!("no trace of points: {e}"))?;
            Ok((before, after, unbroken, trace))
        };
        let (before, after, unbroken, trace) = step().map_err(|e| format!("{name}: {e}"))?;
        out.push(Ready {
            name,
            stage,
            chunked: scenario.chunked,
            sums: after.since(&before),
            before,
            after,
            home: std::mem::replace(&mut home, unbroken),
            trace,
        });
    }
    Ok(out)
}

impl Ready<'_> {
    fn experiment(&self, experiment: &Experiment) -> Result<(), String> {
        let home = self.home.copy()?;
        let run = |crash: &str| Program::run(home.path(), &self.stage.command, Some(crash));
        let shot = &experiment.shot;
        match &experiment.fault {
            Fault::Kill | Fault::Twice | Fault::Recovery(_) => {
                let ran = run(&format!("{shot}=abort"))?;
                if ran.exit.is_some() {
                    return Err(format!("it was not killed, and ended with {:?}\n{}", ran.exit, ran.said));
                }
                match &experiment.fault {
                    // What the first run met, the second may not meet: its work is done, or begins elsewhere.
                    Fault::Recovery(other) => {
                        run(&format!("{other}=abort"))?;
                    }
                    Fault::Twice => {
                        run(&format!("{shot}=abort"))?;
                        self.whole_or_nothing(&home.look()?, home.database.schema_commits())?;
                    }
                    _ => {}
                }
            }
            Fault::Fail => self.ended(&run(&format!("{shot}=fail"))?, 1, &home)?,
            Fault::Signal(name, code) => {
                let ran = run(&format!("{shot}={name}"))?;
                let loads = self.trace.contains("load-commit");
                // A command that loads nothing may simply die of a signal.
                if loads || ran.exit.is_some() {
                    self.ended(&ran, *code, &home)?;
                }
                if experiment.uncommitted && ran.exit != Some(*code) {
                    return Err(format!("asked to stop before its commit, it went on\n{}", ran.said));
                }
            }
        }
        let ran = Program::run(home.path(), &self.stage.command, None)?;
        if ran.exit != Some(0) && self.stage.again != Again::Refuses {
            return Err(format!("the run after it ended with {:?}\n{}", ran.exit, ran.said));
        }
        self.compare(&home.look()?)
    }

    /// A run that was disturbed fails with its code, or was not in need of what it was denied: then its work is done.
    fn ended(&self, ran: &Program, code: i32, home: &Home) -> Result<(), String> {
        match ran.exit {
            Some(0) => self.compare(&home.look()?).map_err(|how| format!("it said it was done\n{how}")),
            Some(exit) if exit == code => Ok(()),
            other => Err(format!("it ended with {other:?}, and not with {code}\n{}", ran.said)),
        }
    }

    /// Of a load that is one transaction all is there, or nothing is. `schema_commits`: but for what makes or changes the
    /// table, after which its rows are those of before, with a column more perhaps, and the ledgers are untouched.
    fn whole_or_nothing(&self, found: &Look, schema_commits: bool) -> Result<(), String> {
        let table = |look: &Look| look.content.get("t").cloned();
        if self.chunked || table(found) == table(&self.before) || table(found) == table(&self.after) {
            return Ok(());
        }
        let of = |look: &Look, name: &str| look.content.get(name).cloned().unwrap_or_default();
        let defines = |look: &Look| of(look, "schema").iter().any(|line| line.contains("is_deleted"));
        let marks = defines(found) && !defines(&self.before);
        let untouched = |name: &str| of(found, name) == of(&self.before, name);
        if schema_commits
            && !untouched("schema")
            && ["_floodmark_files", "_floodmark_boundary", "_floodmark_lineage"].into_iter().all(untouched)
            && of(found, "t").len() == of(&self.before, "t").len()
            && of(found, "t").iter().zip(of(&self.before, "t")).all(|(row, before)| wider(row, &before, marks))
        {
            return Ok(());
        }
        Err(format!("after the kills the table is neither as before nor as after\n{}", found.differences(&self.after)))
    }

    fn compare(&self, found: &Look) -> Result<(), String> {
        let mut how = found.differences(&self.after);
        let sums = found.since(&self.before);
        match self.stage.again {
            Again::Everything => {}
            Again::Reads => how.push_str(&sums_differ(&written(&sums), &written(&self.sums), self.chunked)),
            Again::Nothing | Again::Refuses => how.push_str(&sums_differ(&sums, &self.sums, self.chunked)),
        }
        if how.is_empty() { Ok(()) } else { Err(how) }
    }
}

/// Whether a row is the one of before in columns that became wider, with NULL in those that are new. `marks`: one of these
/// marks deletes, and there is none.
fn wider(row: &str, before: &str, marks: bool) -> bool {
    let cells = |row: &str| row.split(" | ").map(|cell| cell.trim_matches('"').to_owned()).collect::<Vec<_>>();
    let (row, before) = (cells(row), cells(before));
    // `3` as `3.00`, a day as its midnight.
    let same = |new: &String, old: &String| {
        let more = new.strip_prefix(old.as_str());
        more.is_some_and(|more| {
            more.is_empty() || (more.starts_with(['.', ' ']) && more.chars().all(|c| ". 0:".contains(c)))
        })
    };
    let new = row.get(before.len()..).unwrap_or_default();
    row.len() >= before.len()
        && row.iter().zip(&before).all(|(new, old)| same(new, old))
        && new.iter().all(|cell| cell == "NULL" || (marks && cell == "false"))
        && new.iter().filter(|cell| *cell == "false").count() == usize::from(marks)
}
