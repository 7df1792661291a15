//! What the commits of a run brought stands in its ledger, and goes with the run's line.

use super::scene::{Fail, Row, Scene};
use crate::Destination;
use chrono::{DateTime, TimeDelta};
use floodmark_core::{
    Counts,
    commits::{Commits, Committed, SliceKind, SliceShare},
    pipeline::Load,
    state::RunRecord,
};

fn commits(n: i64) -> Commits {
    let share = |kind, name: &str| SliceShare {
        kind,
        name: name.into(),
        through: (n > 1).then(|| "z".into()),
        slices: 1,
        from: Some("it's \"ü\" \\ 100% \u{0}".into()),
        until: None,
        read: u64::MAX,
        skipped: 1,
        rejected: 2,
    };
    let mut out = Commits::default();
    for at in 0..n {
        out.push(Committed {
            commits: 1,
            at: DateTime::from_timestamp_millis(1_700_000_000_123 + at).unwrap(),
            counts: Counts { read: 3, transformed: Some(2), inserted: 2, ..Counts::default() },
            watermark: Some(at.to_string()),
            bytes: (at > 0).then_some(5),
            slices: vec![share(SliceKind::File, "data/a.csv"), share(SliceKind::Interval, "at")],
        });
    }
    out
}

pub(super) fn kept(destination: &dyn Destination) {
    let mut scene = Scene::new(Load::Upsert);
    scene.commits = commits(3);
    let mut session = scene.open(destination);
    let failed = scene.load_failing(session.as_mut(), &[Row::new(1, "a", 1)], Fail::AtSeal);
    assert!(failed.is_err() && session.receipt("run of p").unwrap().is_none());
    scene.load(session.as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    assert_eq!(session.receipt("run of p").unwrap().unwrap().commits, commits(3));
    // The next commit of a run has them all.
    scene.commits = commits(4);
    scene.load(session.as_mut(), &[Row::new(2, "a", 1)]).unwrap();
    drop(session);
    let of = |run: &str| destination.ledger().unwrap().runs_like(run, 2).unwrap().pop().unwrap().commits;
    assert_eq!(of("run of p"), commits(4));
    let beside = Scene { run: "beside", commits: commits(1), ..Scene::new(Load::Upsert) };
    beside.load(beside.open_beside(destination).as_mut(), &[Row::new(3, "a", 1)]).unwrap();
    let runs = destination.ledger().unwrap().runs(None, 10).unwrap();
    let mut all: Vec<(&str, &Commits)> = runs.iter().map(|run| (run.run.as_str(), &run.commits)).collect();
    all.sort_by_key(|(run, _)| *run);
    assert_eq!(all, [("beside p", &commits(1)), ("run of p", &commits(4))]);
}

pub(super) fn pruned(destination: &dyn Destination) {
    let scene = Scene { commits: commits(2), ..Scene::new(Load::Upsert) };
    let mut session = scene.open(destination);
    scene.load(session.as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let start = scene.record().started_at;
    let old = RunRecord {
        run: "old".into(),
        status: "failed".into(),
        started_at: start - TimeDelta::days(9),
        finished_at: Some(start),
        ..scene.record()
    };
    session.record(&old, &[]).unwrap();
    drop(session);
    let mut ledger = destination.ledger().unwrap();
    assert_eq!(ledger.runs_like("old", 2).unwrap().pop().unwrap().commits, commits(2));
    assert_eq!(ledger.prune_runs("p", start - TimeDelta::days(1), 0).unwrap(), 1);
    // A line of that name says nothing of the one before.
    let again = RunRecord { commits: Commits::default(), ..old };
    scene.open(destination).record(&again, &[]).unwrap();
    assert_eq!(ledger.runs_like("old", 2).unwrap().pop().unwrap().commits, Commits::default());
    assert_eq!(ledger.runs_like("run of p", 2).unwrap().pop().unwrap().commits, commits(2));
}
