//! Receipts of intervals, and what goes from a ledger.

use super::{
    beside::receipt,
    scene::{Row, Scene},
};
use crate::{Destination, destination::StateChange};
use chrono::{DateTime, TimeDelta, Utc};
use floodmark_core::{
    DataType, Value,
    interval::Interval,
    pipeline::Load,
    state::{IntervalEntry, RunRecord, State},
};

fn typed(column: &str, data_type: DataType, from: &str, until: &str) -> IntervalEntry {
    let value = |text| Value::parse(text, data_type).unwrap();
    IntervalEntry {
        column: column.into(),
        data_type,
        interval: Interval::new(value(from), value(until)).unwrap(),
        highest: Some(value(from)),
        ..receipt(0, 1)
    }
}

/// Receipts in one order.
fn sorted(mut entries: Vec<IntervalEntry>) -> Vec<IntervalEntry> {
    entries.sort_by_key(|e| (e.column.clone(), e.interval.to_string()));
    entries
}

/// One of each kind.
fn all() -> Vec<IntervalEntry> {
    let micros = DataType::TimestampTz { nanos: false };
    sorted(vec![
        receipt(0, 5),
        receipt(5, i64::MAX),
        IntervalEntry { rows: 0, highest: None, settled: false, ..receipt(-7, 0) },
        typed("day", DataType::Date, "2024-02-29", "2024-03-01"),
        typed("day", DataType::Date, "-0044-03-15", "+12024-01-01"),
        typed("price", DataType::Decimal(38, 2), "-999999999999999999999999999999999999.99", "0.10"),
        typed("time", DataType::Timestamp { nanos: true }, "2024-01-01 00:00:00", "2024-01-01 00:00:00.000000001"),
        typed("zoned", micros, "0001-01-01 00:00:00+00:00", "9999-12-31 23:59:59.999999+00:00"),
        typed("text", DataType::Text, "", "it's \"ü\" \\ 100%"),
        typed("text", DataType::Text, "A", "a"),
        typed("text", DataType::Text, "A ", "a"),
        typed("TEXT", DataType::Text, "A", "a"),
    ])
}

pub(super) fn kept(destination: &dyn Destination) {
    let mut scene = Scene::new(Load::Upsert);
    scene.intervals = all();
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let kept = |pipeline: &str| sorted(destination.ledger().unwrap().intervals(pipeline).unwrap());
    assert_eq!(kept("p"), all());
    let session = scene.open(destination);
    let of = |column: &str| all().into_iter().filter(|e| e.column == column).collect::<Vec<_>>();
    for column in ["at", "text", "TEXT", "price", "nowhere"] {
        assert_eq!(sorted(session.intervals(column).unwrap()), of(column));
    }
    drop(session);
    // Another pipeline's are its own.
    let mut other = Scene::new(Load::Upsert);
    other.pipeline.name = "other".into();
    other.pipeline.destination.table = "u".into();
    other.intervals = vec![receipt(0, 5)];
    other.load(other.open(destination).as_mut(), &[]).unwrap();
    // An entry with the same ends goes first; those that are absorbed go with it.
    let again = IntervalEntry { run: "run of p".into(), rows: 7, settled: false, highest: None, ..receipt(0, 5) };
    scene.intervals = vec![again.clone(), receipt(1, 2)];
    scene.absorbed = vec![
        ("at".into(), receipt(-7, 0).interval),
        ("text".into(), typed("text", DataType::Text, "A", "a").interval),
        ("day".into(), typed("day", DataType::Date, "-0044-03-15", "+12024-01-01").interval),
        // Not there.
        ("at".into(), receipt(0, 6).interval),
    ];
    scene.load(scene.open_beside(destination).as_mut(), &[]).unwrap();
    let gone = |e: &IntervalEntry| scene.absorbed.iter().any(|(column, i)| *column == e.column && *i == e.interval);
    let mut left = all();
    left.retain(|e| !gone(e) && *e != receipt(0, 5));
    left.extend([again, receipt(1, 2)]);
    assert_eq!(kept("p"), sorted(left));
    assert_eq!(kept("other"), [receipt(0, 5)]);
}

pub(super) fn forgotten(destination: &dyn Destination) {
    let mut scene = Scene::new(Load::Upsert);
    scene.intervals = vec![receipt(0, 5)];
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let kept = || destination.ledger().unwrap().intervals("p").unwrap();
    let mut ledger = destination.ledger().unwrap();
    let seen = ledger.state("p").unwrap().unwrap();
    let to = State { watermark: None, ..seen.clone() };
    ledger.change_state("p", StateChange::Move { seen: &seen, to: &to }).unwrap();
    assert_eq!(kept(), [receipt(0, 5)], "a position that moves takes no rows along");
    // A full refresh has those of its own load.
    let mut fresh = Scene::new(Load::Upsert);
    fresh.forget = true;
    fresh.intervals = vec![receipt(7, 9)];
    fresh.load(fresh.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    assert_eq!(kept(), [receipt(7, 9)]);
    ledger.change_state("p", StateChange::Forget).unwrap();
    assert_eq!(kept(), []);
}

pub(super) fn imported(destination: &dyn Destination) {
    let mut scene = Scene::new(Load::Upsert);
    scene.intervals = all();
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let mut ledger = destination.ledger().unwrap();
    let (state, intervals) = (ledger.state("p").unwrap().unwrap(), ledger.intervals("p").unwrap());
    drop(destination.open("q", "r", None, &crate::Stop::default()).unwrap());
    for intervals in [&intervals[..], &[receipt(3, 4)], &[]] {
        let change = StateChange::Import { state: &state, memories: &[], intervals };
        ledger.change_state("q", change).unwrap();
        assert_eq!(sorted(destination.ledger().unwrap().intervals("q").unwrap()), sorted(intervals.to_vec()));
    }
    assert_eq!(sorted(ledger.intervals("p").unwrap()), all());
}

pub(super) fn pruned(destination: &dyn Destination) {
    let scene = Scene::new(Load::Upsert);
    let start = scene.record().started_at;
    let day = |n: i64| start + TimeDelta::days(n);
    let mut session = scene.open(destination);
    scene.load(session.as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let run = |name: &str, n: i64, ended: bool, status: &str| RunRecord {
        run: format!("{name} {n}"),
        status: status.into(),
        started_at: day(n),
        finished_at: ended.then(|| day(n)),
        ..scene.record()
    };
    let mut loaded = session.receipt("run of p").unwrap().unwrap();
    loaded.finished_at = Some(start);
    session.record(&loaded, &[]).unwrap();
    for n in 1..=5 {
        session.record(&run("failed", n, true, "failed"), &[]).unwrap();
    }
    session.record(&run("lost", 1, false, "partial"), &[]).unwrap();
    drop(session);
    let mut other = Scene::new(Load::Upsert);
    other.pipeline.name = "other".into();
    let theirs = RunRecord { finished_at: Some(start), ..other.record() };
    other.open(destination).record(&theirs, &[]).unwrap();
    let prune = |before: DateTime<Utc>, keep| destination.ledger().unwrap().prune_runs("p", before, keep).unwrap();
    let left = |pipeline| {
        let mut runs: Vec<_> = destination.ledger().unwrap().runs(Some(pipeline), 100).unwrap();
        runs.sort_by(|a, b| a.run.cmp(&b.run));
        runs.into_iter().map(|r| r.run).collect::<Vec<_>>()
    };
    assert_eq!(prune(start, 0), 0, "those that began then are none that began before");
    assert_eq!(prune(day(9), 100), 0);
    assert_eq!(prune(day(3), 0), 2);
    // The one that loaded the table, and one that never ended, are the oldest.
    assert_eq!(left("p"), ["failed 3", "failed 4", "failed 5", "lost 1", "run of p"]);
    assert_eq!(prune(day(9), 2), 1);
    assert_eq!(left("p"), ["failed 4", "failed 5", "lost 1", "run of p"]);
    assert_eq!(prune(day(9), 0), 2);
    assert_eq!(left("p"), ["lost 1", "run of p"]);
    assert_eq!(left("other"), ["run of other"]);
    // How the table was loaded is still known.
    let error = Scene::new(Load::Append).load(scene.open(destination).as_mut(), &[Row::new(2, "b", 1)]).unwrap_err();
    assert_eq!(error.code(), floodmark_core::Code::TableShape);
}
