//! Histories that are not asked for, each kind with its reason, so that it can be switched on by its name:
//! `FLOODMARK_MODEL_ALLOW=late-rows-fail,…`, or `all`.

use super::{
    history::{History, How, Step},
    row::{Content, Row, Value, get},
    settings::{AXIS, Axis, Changed, Load, Nulls, Source, Version},
    world::{Corner, Failure, World},
};
use std::{collections::BTreeSet, env};

/// A kind of history, and why it is left out.
pub(super) struct Exclusion {
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
    applies: fn(&History) -> bool,
}

/// All of them.
pub(super) const EXCLUSIONS: &[Exclusion] = &[
    Exclusion {
        name: "half-done-failure",
        reason: "a run that fails after it committed chunks keeps them (documented), and the model has no chunks",
        applies: half_done_failure,
    },
    Exclusion {
        name: "kill-and-change",
        reason: "how far a killed run came decides what a file that changes before the next run means",
        applies: kill_and_change,
    },
    Exclusion {
        name: "guessed-types",
        reason: "a column whose first file holds a bad value is text, and the value no bad one",
        applies: guessed_types,
    },
    Exclusion {
        name: "scd2-columns",
        reason: "which content a version has in a column that its file lacks is not specified",
        applies: scd2_columns,
    },
    Exclusion {
        name: "append-replayed",
        reason: "an append whose state was reset or set back by hand adds its rows again, as asked",
        applies: append_replayed,
    },
    Exclusion {
        name: "several-on-new-database",
        reason: "of several first runs at once a loser may fail (FM0403) while another makes the database (P3)",
        applies: several_on_new,
    },
    Exclusion {
        name: "keep-and-absent",
        reason: "`on_null: keep` beside columns that some files lack: what counts as existing within a batch is not specified",
        applies: keep_and_absent,
    },
    Exclusion {
        name: "batch-returns",
        reason: "a batch that changes a row and changes it back reports it as updated, not as unchanged (SPEC 4.4)",
        applies: |history| corners(history).contains(&Corner::BatchReturns),
    },
    Exclusion {
        name: "idle-after-gone",
        reason: "after a file is gone every further run of an overwrite reads all again, though nothing is new (P1)",
        applies: |history| corners(history).contains(&Corner::IdleAfterGone),
    },
    Exclusion {
        name: "stale-then-new",
        reason: "of a deleted key's older and newer copy in one batch the newer is reported as updated or deleted",
        applies: |history| corners(history).contains(&Corner::StaleThenNew),
    },
    Exclusion {
        name: "reset-without-types",
        reason: "after `state reset` a column that held only NULLs is text, whatever its first value is (P7)",
        applies: reset_without_types,
    },
    Exclusion {
        name: "scd2-null-version",
        reason: "scd2 refuses a row without a version (`nulls: include`), with a constraint's message",
        applies: |history| {
            let include = history.settings.watermark.as_ref().is_some_and(|w| w.nulls == Nulls::Include);
            history.settings.load == Load::Scd2 && include && rows(history).any(|row| get(row, AXIS) == Value::Null)
        },
    },
    Exclusion {
        name: "scd2-number-version",
        reason: "scd2 refuses to close absent rows on an axis of numbers, which says no time (FM0106)",
        applies: |history| {
            let settings = &history.settings;
            let closes = settings.load == Load::Scd2 && settings.watermark.is_none();
            closes && settings.version == Version::Column && settings.axis == Axis::Int
        },
    },
    Exclusion {
        name: "keep-equal-versions",
        reason: "`on_null: keep`: under a newer NULL the first of two values of one version stays, not the later (SPEC 4.4)",
        applies: |history| corners(history).contains(&Corner::KeepEqualVersions),
    },
    Exclusion {
        name: "reload-widened",
        reason: "an append whose date column became a timestamp takes a changed file's rows for edited (FM0210)",
        applies: |history| corners(history).contains(&Corner::ReloadWidened),
    },
    Exclusion {
        name: REFRESH_COUNTS,
        reason: "--full-refresh does not count the rows it takes out as removed (P9)",
        // No history is left out: the comparison of the counts is.
        applies: |_| false,
    },
    Exclusion {
        name: WIDER_AFTER_FAILURE,
        reason: "on MySQL a run that fails may leave a column wider: changing a table commits by itself there (documented)",
        // No history is left out: a day is as good as its midnight where it is compared.
        applies: |_| false,
    },
];

/// Named in two places.
pub(super) const REFRESH_COUNTS: &str = "refresh-counts";
/// Named in two places.
pub(super) const WIDER_AFTER_FAILURE: &str = "wider-after-failure";

/// The names that are switched on.
pub(super) fn allowed() -> Vec<String> {
    let text = env::var("FLOODMARK_MODEL_ALLOW").unwrap_or_default();
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Whether what is left out under that name is switched on.
pub(super) fn is_allowed(name: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|one| one == name || one == "all")
}

/// The first reason to leave a history out.
pub(super) fn excluded(history: &History, allowed: &[String]) -> Option<&'static str> {
    EXCLUSIONS.iter().filter(|e| !is_allowed(e.name, allowed)).find(|e| (e.applies)(history)).map(|e| e.name)
}

fn contents(history: &History) -> impl Iterator<Item = (&String, &Content)> {
    history.steps.iter().filter_map(|step| match step {
        Step::Write(name, content) => Some((name, content)),
        _ => None,
    })
}

fn rows(history: &History) -> impl Iterator<Item = &Row> {
    contents(history).flat_map(|(_, content)| &content.rows)
}

/// Corners the model came by.
fn corners(history: &History) -> BTreeSet<Corner> {
    let mut world = World::new(&history.settings);
    for step in &history.steps {
        world.step(step);
    }
    world.corners
}

/// The model's failures, with the settings of that moment.
fn failures(history: &History) -> Vec<(Failure, Option<u64>)> {
    let mut world = World::new(&history.settings);
    let mut out = Vec::new();
    for step in &history.steps {
        if let Some(expected) = world.step(step)
            && let Some(why) = expected.fails
        {
            out.push((why, world.settings.commit_every));
        }
    }
    out
}

fn half_done_failure(history: &History) -> bool {
    let upsert = history.settings.load == Load::Upsert;
    let in_chunks = upsert || history.settings.load == Load::Append;
    let late = |why| match why {
        Failure::BadRow | Failure::NullCursor => in_chunks,
        // An append that may fail so is one transaction.
        Failure::LateRows => upsert,
        _ => false,
    };
    failures(history).into_iter().any(|(why, chunks)| late(why) && chunks.is_some())
}

/// After a kill another world than the model's may be the right one, unless the table is what the files are.
fn kill_and_change(history: &History) -> bool {
    let s = &history.settings;
    let files = s.watermark.is_none() && s.changed == Changed::Reload && s.load == Load::Append;
    // A file that goes half-loaded is missed, and the run refused.
    let goes = history.steps.iter().any(|step| matches!(step, Step::Remove(_)));
    let certain = (files && !goes) || s.load == Load::Overwrite;
    !certain && history.steps.iter().any(|step| matches!(step, Step::Kill(_)))
}

fn guessed_types(history: &History) -> bool {
    !history.settings.typed && rows(history).any(|row| matches!(get(row, "n"), Value::Text(_)))
}

fn reset_without_types(history: &History) -> bool {
    let empty = |content: &Content, column: &str| content.rows.iter().all(|row| get(row, column) == Value::Null);
    let some = contents(history).any(|(_, content)| content.columns.iter().any(|column| empty(content, column)));
    let guessed = !history.settings.typed && history.settings.source == Source::Files;
    guessed && some && history.steps.iter().any(|step| matches!(step, Step::Reset))
}

fn scd2_columns(history: &History) -> bool {
    let mut known: Vec<&str> = Vec::new();
    let lacks = contents(history).any(|(_, content)| {
        let lacks = known.iter().any(|column| !content.columns.contains(column));
        known.extend(content.columns.iter().filter(|c| !known.contains(*c)).copied().collect::<Vec<_>>());
        lacks
    });
    history.settings.load == Load::Scd2 && lacks
}

fn append_replayed(history: &History) -> bool {
    history.settings.load == Load::Append
        && history.steps.iter().any(|step| matches!(step, Step::Reset | Step::SetMark(_)))
}

fn several_on_new(history: &History) -> bool {
    let first = history.steps.iter().find(|step| matches!(step, Step::Run(_) | Step::Kill(_)));
    matches!(first, Some(Step::Run(How::Several(_))))
}

fn keep_and_absent(history: &History) -> bool {
    let columns: BTreeSet<BTreeSet<&str>> =
        contents(history).map(|(_, content)| content.columns.iter().copied().collect()).collect();
    !history.settings.keep.is_empty() && columns.len() > 1
}
