//! A failing history made small: steps, rows, columns and settings go as long as it still fails in the same way.

use super::{
    exclusions::excluded,
    history::{Fill, Filling, History, How, Step},
    row::{Format, Row},
    settings::{AXIS, Changed, Deletes, Load, MARK, Nulls, Source, Version, Watermark},
    trial::{self, Finding},
};
use crate::store::Destination;
use std::time::{Duration, Instant};

/// A smaller history and its finding. Kills are a matter of chance, so those get several tries.
pub(super) fn shrink(
    history: History,
    finding: Finding,
    allowed: &[String],
    time: Duration,
    on: Destination,
) -> (History, Finding) {
    let deadline = Instant::now() + time;
    let mut best = (history, finding);
    best.0.steps.truncate(best.1.step + 1);
    // On from where the last cut was made: beginning anew would try again all that is needed.
    let (mut place, mut cut_in_this_pass) = (0, false);
    while Instant::now() < deadline {
        let Some(candidate) = candidates(&best.0).into_iter().nth(place) else {
            if !cut_in_this_pass {
                break;
            }
            (place, cut_in_this_pass) = (0, false);
            continue;
        };
        let smaller = excluded(&candidate, allowed).is_none().then(|| still_fails(&candidate, &best.1, on)).flatten();
        match smaller {
            Some(finding) => {
                best = (candidate, finding);
                best.0.steps.truncate(best.1.step + 1);
                cut_in_this_pass = true;
            }
            None => place += 1,
        }
    }
    best
}

fn still_fails(candidate: &History, before: &Finding, on: Destination) -> Option<Finding> {
    let chance = candidate.steps.iter().any(|step| match step {
        Step::Kill(_) | Step::Run(How::Killed(_) | How::Several(_)) => true,
        Step::Fill(fill) => fill.how != Filling::Plain,
        _ => false,
    });
    let tries = if chance { 4 } else { 1 };
    (0..tries).find_map(|_| trial::play(candidate, on).ok().flatten()).filter(|after| kind(after) == kind(before))
}

/// Findings of one kind are taken for the same defect.
fn kind(finding: &Finding) -> (u8, Option<&str>) {
    let message = &finding.message;
    let kind = match message {
        m if m.starts_with("exit code") => 0,
        m if m.contains("the table differs") => 1,
        m if m.contains("watermark") => 2,
        _ => 3,
    };
    // Two errors are two defects.
    let code = message.split_once("\"code\":\"").and_then(|(_, rest)| rest.get(..6));
    (kind, code)
}

/// All that is one cut away, the largest cuts first.
fn candidates(history: &History) -> Vec<History> {
    let mut out = Vec::new();
    let mut with = |change: &dyn Fn(&mut History)| {
        let mut smaller = history.clone();
        change(&mut smaller);
        if smaller != *history {
            out.push(smaller);
        }
    };
    for place in (0..history.steps.len()).rev() {
        with(&|h| drop(h.steps.remove(place)));
    }
    settings(&mut with);
    for (place, step) in history.steps.iter().enumerate() {
        match step {
            Step::Run(how) => {
                with(&|h| h.steps[place] = Step::Run(How::Plain));
                if let How::Killed(delays) = how {
                    with(&|h| h.steps[place] = Step::Run(How::Killed(delays[..1].to_vec())));
                }
            }
            Step::Write(name, content) => {
                with(&|h| edit(h, place, Vec::clear));
                for row in (0..content.rows.len()).rev() {
                    with(&|h| edit(h, place, |rows| drop(rows.remove(row))));
                }
                if history.settings.source == Source::Files {
                    with(&|h| as_csv(h, name));
                }
            }
            Step::Fill(_) => {
                let cuts: [fn(&mut Fill); 4] =
                    [|f| f.how = Filling::Plain, |f| f.jobs = 1, |f| f.by = None, |f| f.force = false];
                for cut in cuts {
                    with(&|h| {
                        if let Step::Fill(fill) = &mut h.steps[place] {
                            cut(fill);
                        }
                    });
                }
                with(&|h| {
                    if let Step::Fill(Fill { how: Filling::Killed(kills), .. }) = &mut h.steps[place] {
                        kills.truncate(1);
                    }
                });
            }
            _ => {}
        }
    }
    for column in ["x", "name", "n", "day", "part", MARK, AXIS] {
        with(&|h| drop_column(h, column));
    }
    out
}

fn edit(history: &mut History, place: usize, change: impl Fn(&mut Vec<Row>)) {
    if let Step::Write(_, content) = &mut history.steps[place] {
        change(&mut content.rows);
    }
}

/// One file under another name and in CSV, in all steps.
fn as_csv(history: &mut History, file: &str) {
    let Some(stem) = file.strip_suffix(".jsonl") else { return };
    for step in &mut history.steps {
        match step {
            Step::Write(name, content) if name == file => {
                *name = format!("{stem}.csv");
                content.format = Format::Csv;
            }
            Step::Remove(name) | Step::Touch(name) if name == file => *name = format!("{stem}.csv"),
            _ => {}
        }
    }
}

fn drop_column(history: &mut History, column: &str) {
    let s = &mut history.settings;
    if column == AXIS && (s.watermark.is_some() || s.versioned()) || column == MARK && s.deletes != Deletes::None {
        return;
    }
    if s.key.contains(&column) && s.key.len() == 1 || s.window.contains(&column) {
        return;
    }
    s.key.retain(|c| *c != column);
    for step in &mut history.steps {
        if let Step::Write(_, content) = step
            && content.columns.len() > 2
        {
            content.columns.retain(|c| *c != column);
            content.rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
    }
}

/// Offers what a change makes of the history.
type Offer<'a> = dyn FnMut(&dyn Fn(&mut History)) + 'a;

fn settings(with: &mut Offer<'_>) {
    with(&|h| h.settings.commit_every = None);
    with(&|h| h.settings.keep.clear());
    with(&|h| h.settings.deletes = Deletes::None);
    with(&|h| {
        if h.settings.deletes == Deletes::Soft {
            h.settings.deletes = Deletes::Hard;
        }
    });
    with(&|h| h.settings.changed = Changed::Reload);
    with(&|h| h.settings.max_rejects = None);
    with(&|h| h.settings.reject = false);
    with(&|h| h.settings.absent_delete = false);
    with(&|h| h.settings.typed = false);
    with(&|h| h.settings.transform = false);
    with(&|h| h.settings.version = Version::Default);
    // What is filled goes along it, and an append of a table has nothing else to tell rows by.
    with(&|h| {
        let filled = h.steps.iter().any(|step| matches!(step, Step::Fill(_)));
        let appends = h.settings.source == Source::Table && h.settings.load == Load::Append;
        if !filled && !appends {
            h.settings.watermark = None;
        }
    });
    let cuts: [fn(&mut Watermark); 5] = [
        |w| w.start = None,
        |w| w.lookback = None,
        |w| w.exclusive = false,
        |w| w.late = None,
        |w| w.nulls = Nulls::Fail,
    ];
    for cut in cuts {
        with(&|h| h.settings.watermark.iter_mut().for_each(cut));
    }
}
