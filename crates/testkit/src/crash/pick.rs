//! Which of the points a stage meets are tried, and how.

use std::collections::BTreeSet;

/// Points that a recovery is killed at too: where something becomes lasting, and in the middle of the work.
const TURNING: [&str; 8] = [
    "take-commit:before",
    "take-commit:after",
    "mid-chunk:before",
    "write-position:after",
    "load-commit:before",
    "load-commit:after",
    "record-commit:before",
    "record-commit:after",
];

/// Points that every run meets alike, whatever it loads: tried in full on some stages only.
const COMMON: [&str; 13] = [
    "open-database",
    "journal-mode",
    "lock-folder",
    "lock-file",
    "name-holder",
    "create-state",
    "raise-token",
    "take-commit",
    "locked",
    "planned",
    "surveyed",
    "released",
    "reported",
];

/// How much of the matrix is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every point at least once, those of the load's own statements on most stages; the faults in turn.
    Sample,
    /// Kills at every point of every stage; every fault at those of a load's own statements, kills at their first,
    /// middle and last meeting. The points at which a recovery is killed take turns.
    Whole,
}

/// What goes wrong in an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// A kill.
    Kill,
    /// The run after it is killed at the same point.
    Twice,
    /// The run after it is killed at another point.
    Recovery(&'static str),
    /// A statement fails, or its answer is lost.
    Fail,
    /// A signal: what raises it, and the exit code it asks for.
    Signal(&'static str, i32),
}

impl Fault {
    /// As a report names it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Fault::Kill => "killed",
            Fault::Twice => "killed twice",
            Fault::Recovery(_) => "killed, and again while recovering",
            Fault::Fail => "failed, or its answer lost",
            Fault::Signal(..) => "SIGINT or SIGTERM",
        }
    }
}

/// One fault at one meeting of a point.
#[derive(Debug, Clone)]
pub(super) struct Experiment {
    /// `POINT:SIDE:N`.
    pub(super) shot: String,
    pub(super) fault: Fault,
    /// A load is to be committed after it: a request to stop must be heard.
    pub(super) uncommitted: bool,
}

/// Picks experiments, stage after stage.
pub(super) struct Picker {
    depth: Depth,
    turn: usize,
    tried: BTreeSet<String>,
}

impl Picker {
    pub(super) fn new(depth: Depth) -> Self {
        Picker { depth, turn: 0, tried: BTreeSet::new() }
    }

    /// What to try on a stage, from its trace: `POINT:SIDE` a line.
    pub(super) fn pick(&mut self, trace: &str) -> Vec<Experiment> {
        let mut met: Vec<(&str, usize)> = Vec::new();
        for line in trace.lines() {
            match met.iter_mut().find(|(point, _)| *point == line) {
                Some((_, times)) => *times += 1,
                None => met.push((line, 1)),
            }
        }
        let last_commit = trace.lines().enumerate().filter(|(_, line)| *line == "load-commit:before").last();
        let uncommitted = |point: &str, n: usize| {
            let met = trace.lines().enumerate().filter(|(_, line)| *line == point).nth(n - 1);
            met.zip(last_commit).is_some_and(|((met, _), (commit, _))| met < commit)
        };
        let mut out = Vec::new();
        for (point, times) in met {
            self.turn += 1;
            let mut add = |fault: Fault, meetings: &[usize]| {
                let meetings: BTreeSet<usize> = meetings.iter().copied().collect();
                out.extend(meetings.iter().map(|n| Experiment {
                    shot: format!("{point}:{n}"),
                    fault: fault.clone(),
                    uncommitted: uncommitted(point, *n),
                }));
            };
            let new = self.tried.insert(point.to_owned());
            let common = !new && COMMON.iter().any(|common| point.starts_with(common));
            match self.depth {
                Depth::Whole if common && !self.turn.is_multiple_of(8) => add(Fault::Kill, &[1]),
                Depth::Whole => whole(self.turn, times, &mut add),
                Depth::Sample if common && !self.turn.is_multiple_of(24) => {}
                Depth::Sample => sample(self.turn, new, point.contains("commit"), times, &mut add),
            }
        }
        out
    }
}

fn whole(turn: usize, times: usize, add: &mut dyn FnMut(Fault, &[usize])) {
    add(Fault::Kill, &[1, times.div_ceil(2), times]);
    add(Fault::Twice, &[1]);
    add(Fault::Recovery(TURNING[turn % TURNING.len()]), &[times]);
    add(Fault::Fail, &[1, times]);
    let signal = if turn.is_multiple_of(2) { Fault::Signal("term", 143) } else { Fault::Signal("int", 130) };
    add(signal, &[times]);
}

/// `lasting`: a commit. Between two statements nothing becomes lasting but by a commit: what comes after one is what
/// comes before the next, so elsewhere the two sides take turns.
fn sample(turn: usize, new: bool, lasting: bool, times: usize, add: &mut dyn FnMut(Fault, &[usize])) {
    let nth = if turn % 4 < 2 { 1 } else { times };
    if new || lasting || turn.is_multiple_of(2) {
        add(Fault::Kill, &[nth]);
    }
    let every = if lasting { 3 } else { 15 };
    match turn % every {
        0 => add(Fault::Twice, &[nth]),
        1 => add(Fault::Recovery(TURNING[turn / every % TURNING.len()]), &[nth]),
        2 => add(Fault::Fail, &[nth]),
        3 => add(Fault::Signal("term", 143), &[nth]),
        4 => add(Fault::Signal("int", 130), &[nth]),
        _ => {}
    }
}
