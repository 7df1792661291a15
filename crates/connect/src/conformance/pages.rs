//! Ledgers are read page by page, in an order that does not change.

use super::scene::{Row, Scene};
use crate::{
    Destination,
    destination::{Ledger, RejectQuery, RunQuery},
};
use chrono::TimeDelta;
use floodmark_core::{
    pipeline::Load,
    state::{Reject, RunRecord},
};

/// Ids of runs.
fn ids(ledger: &dyn Ledger, query: RunQuery<'_>) -> Vec<String> {
    ledger.find_runs(&query).unwrap().into_iter().map(|run| run.run).collect()
}

pub(super) fn runs(destination: &dyn Destination) {
    let scene = Scene::new(Load::Upsert);
    let mut session = scene.open(destination);
    let start = scene.record().started_at;
    // Two that begin together, and one of before with a higher id.
    for (id, status, days) in [("r5", "failed", 1), ("r7", "failed", 1), ("r9", "interrupted", 2)] {
        let started_at = start - TimeDelta::days(days);
        let run = RunRecord {
            run: id.into(),
            status: status.into(),
            started_at,
            finished_at: Some(started_at),
            ..scene.record()
        };
        session.record(&run, &[]).unwrap();
    }
    drop(session);
    let mut other = Scene::new(Load::Upsert);
    other.pipeline.name = "q".into();
    other.pipeline.destination.table = "u".into();
    other.run = "r6";
    other.load(other.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let ledger = destination.ledger().unwrap();
    let of_p = RunQuery { pipeline: Some("p"), limit: 10, ..RunQuery::default() };
    assert_eq!(ids(ledger.as_ref(), of_p), ["r7", "r5", "r9"]);
    assert_eq!(
        ids(ledger.as_ref(), RunQuery { status: Some("failed"), limit: 10, ..RunQuery::default() }),
        ["r7", "r5"]
    );
    let mut seen = Vec::new();
    loop {
        let last: Option<RunRecord> = seen.last().cloned();
        let before = last.as_ref().map(|run| (run.started_at, run.run.as_str()));
        let page = ledger.find_runs(&RunQuery { before, limit: 1, ..RunQuery::default() }).unwrap();
        match page.into_iter().next() {
            Some(run) => seen.push(run),
            None => break,
        }
    }
    let seen: Vec<&str> = seen.iter().map(|run| run.run.as_str()).collect();
    assert_eq!(seen[1..], ["r7", "r5", "r9"]);
    assert_eq!(seen.len(), 4, "{seen:?}");
}

pub(super) fn rejects(destination: &dyn Destination) {
    let reject =
        |line| Reject { slice: "a.csv".into(), line, column: None, reason: "FM0301".into(), raw: format!("{line},x") };
    let mut scene = Scene::new(Load::Upsert);
    scene.rejects = (1..=5).map(reject).collect();
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let ledger = destination.ledger().unwrap();
    assert_eq!((ledger.count_rejects("p").unwrap(), ledger.count_rejects("q").unwrap()), (5, 0));
    let (mut lines, mut after) = (Vec::new(), i64::MIN);
    loop {
        let page = ledger.find_rejects(&RejectQuery { pipeline: Some("p"), after, limit: 2 }).unwrap();
        let Some(last) = page.last() else { break };
        after = last.id;
        lines.extend(page.iter().map(|kept| kept.reject.line));
    }
    assert_eq!(lines, [1, 2, 3, 4, 5]);
    assert_eq!(ledger.find_rejects(&RejectQuery { pipeline: Some("q"), after: i64::MIN, limit: 2 }).unwrap(), []);
}
