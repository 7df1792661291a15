//! Loads beside the runs of a pipeline.

use super::scene::{Fail, Row, Scene};
use crate::{Destination, Session, Stop, destination::StateChange};
use floodmark_core::{
    Code, Column, Counts, DataType, Value,
    interval::Interval,
    pipeline::Load,
    schema::Change,
    state::{FileEntry, IntervalEntry},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    thread,
    time::Duration,
};

/// A receipt along the scene's cursor.
pub(super) fn receipt(from: i64, until: i64) -> IntervalEntry {
    IntervalEntry {
        column: "at".into(),
        data_type: DataType::BigInt,
        interval: Interval::new(Value::Int(from), Value::Int(until)).unwrap(),
        run: "beside p".into(),
        rows: 1,
        highest: Some(Value::Int(until - 1)),
        settled: true,
        loaded_at: chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
    }
}

/// The same pipeline as a load beside its runs has it.
fn beside(scene: &Scene) -> Scene {
    Scene {
        pipeline: scene.pipeline.clone(),
        schema: scene.schema.clone(),
        run: "beside",
        watermark: 99,
        ..Scene::new(scene.pipeline.load)
    }
}

pub(super) fn at_once(destination: &dyn Destination) {
    let mut scene = Scene::new(Load::Upsert);
    scene.pipeline.delete_when = Some("gone".into());
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 5), Row::new(2, "b", 5)]).unwrap();
    let mut filling = beside(&scene);
    filling.intervals = vec![receipt(0, 5)];
    let mut session = filling.open_beside(destination);
    let mut run = scene.open(destination);
    assert_eq!(session.state().watermark, run.state().watermark);
    let state = || destination.ledger().unwrap().state("p").unwrap();
    let before = state();
    // Older copies are stale, whoever brings them; what was deleted stays so.
    let counts = filling
        .load(session.as_mut(), &[Row::new(1, "old", 4), Row::new(3, "c", 1), Row::deleted(4, 6), Row::new(5, "e", 1)])
        .unwrap();
    assert_eq!((counts.stale, counts.inserted, counts.delete_noop), (1, 2, 1));
    assert_eq!(state(), before, "position, schema, settings and token are the runs' own");
    assert_eq!((session.intervals("at").unwrap(), session.intervals("id").unwrap()), (vec![receipt(0, 5)], vec![]));
    let counts = scene
        .load(run.as_mut(), &[Row::new(4, "d", 5), Row::new(3, "C", 7), Row::deleted(2, 8), Row::new(5, "e", 1)])
        .unwrap();
    assert_eq!((counts.stale, counts.updated, counts.deleted, counts.unchanged), (1, 1, 1, 1));
    assert_eq!(run.intervals("at").unwrap(), [receipt(0, 5)]);
    let counts = filling.load(session.as_mut(), &[Row::new(2, "b", 7), Row::new(3, "c", 6)]).unwrap();
    assert_eq!(counts.stale, 2);
    drop(run);
    drop(session);
    scene.expect(destination, &[Row::new(1, "a", 5), Row::new(3, "C", 7), Row::new(5, "e", 1)]);
    // Both are on record, with what they did.
    let ledger = destination.ledger().unwrap();
    let counts = |run: &str| ledger.runs_like(run, 2).unwrap().pop().map(|r| r.counts).unwrap();
    assert_eq!((counts("beside p").stale, counts("run of p").stale), (2, 1));
    // What failed, too; files are the runs' own.
    let mut session = filling.open_beside(destination);
    let record = floodmark_core::state::RunRecord { status: "failed".into(), ..filling.record() };
    let file = FileEntry { size: 1, modified: 1, hash: 1, rows: 1, complete: true, lineage: None };
    session.record(&record, &[("a.csv".into(), Some(file))]).unwrap();
    assert_eq!(session.receipt("beside p").unwrap().unwrap().status, "failed");
    drop(session);
    assert!(state().unwrap().files.is_empty());
}

pub(super) fn between_chunks(destination: &dyn Destination) {
    let scene = Scene::new(Load::Upsert);
    let mut run = scene.open(destination);
    // The table was empty when the run began, and is not any more, by another's work.
    scene.load(run.as_mut(), &[Row::new(1, "a", 5)]).unwrap();
    beside(&scene).load(scene.open_beside(destination).as_mut(), &[Row::new(2, "b", 5), Row::new(3, "c", 1)]).unwrap();
    let counts = scene.load(run.as_mut(), &[Row::new(2, "x", 4), Row::new(3, "C", 5), Row::new(4, "d", 1)]).unwrap();
    assert_eq!((counts.stale, counts.updated, counts.inserted, counts.superseded), (1, 1, 1, 0));
    drop(run);
    let rows = [Row::new(1, "a", 5), Row::new(2, "b", 5), Row::new(3, "C", 5), Row::new(4, "d", 1)];
    scene.expect(destination, &rows);
}

pub(super) fn busy(destination: &dyn Destination) {
    let scene = Scene::new(Load::Upsert);
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let held = scene.open_beside(destination);
    let open =
        |pipeline: &str| destination.open_beside(pipeline, "r2", Some(Duration::ZERO), &Stop::default()).map(drop);
    assert_eq!(open("p").unwrap_err().code(), Code::Busy);
    // Neither another pipeline's nor the pipeline's own runs are in the way, nor those of one that is called alike.
    open("other").unwrap();
    open("p.beside").unwrap();
    drop(scene.open(destination));
    drop(destination.open("p.beside", "r3", Some(Duration::ZERO), &Stop::default()).unwrap());
    drop(destination.rehearse("p", Some(Duration::ZERO), &Stop::default()).unwrap());
    drop(held);
    open("p").unwrap();
}

pub(super) fn steps_aside(destination: &dyn Destination) {
    // Whether somebody else loads: beside the runs before it steps aside, as a run after it did.
    for (name, before, after) in [("alone", false, false), ("beside", true, false), ("run", false, true)] {
        let mut scene = Scene::new(Load::Upsert);
        scene.pipeline.name = name.to_owned();
        scene.pipeline.destination.table = format!("t {name}");
        let filling = beside(&scene);
        let mut owner = scene.open(destination);
        scene.load(owner.as_mut(), &[Row::new(1, "a", 1)]).unwrap();
        let other = [Row::new(2, "b", 1)];
        if before {
            assert_eq!(filling.load(filling.open_beside(destination).as_mut(), &other).unwrap().inserted, 1);
        }
        let mut session = owner.step_aside("beside", Some(Duration::ZERO)).unwrap();
        let open = destination.open_beside(name, "r2", Some(Duration::ZERO), &Stop::default());
        assert_eq!(open.map(drop).unwrap_err().code(), Code::Busy, "{name}");
        if after {
            assert_eq!(scene.load(scene.open(destination).as_mut(), &other).unwrap().inserted, 1);
        }
        let known = u64::from(before || after);
        let rows = [Row::new(1, "A", 2), Row::new(2, "B", 2)];
        let counts = filling.load(session.as_mut(), &rows).unwrap();
        // A row that the same run has put there is superseded for who knows that, and updated for who looked it up.
        let changed = |counts: &Counts| (counts.updated + counts.superseded, counts.inserted);
        assert_eq!(changed(&counts), (1 + known, 1 - known), "{name}");
        let counts = filling.load(session.as_mut(), &[Row::new(2, "B", 3), Row::new(3, "c", 1)]).unwrap();
        assert_eq!(changed(&counts), (1, 1), "{name}");
        scene.expect(destination, &[Row::new(1, "A", 2), Row::new(2, "B", 3), Row::new(3, "c", 1)]);
    }
}

pub(super) fn moved_on(destination: &dyn Destination) {
    let mut scene = Scene::new(Load::Upsert);
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let mut filling = beside(&scene);
    filling.intervals = vec![receipt(0, 5)];
    let rows = [Row::new(2, "b", 1)];
    let mut session = filling.open_beside(destination);
    let refused = |filling: &Scene, session: &mut dyn Session, why: &str| {
        let before = destination.fingerprint("t").unwrap();
        let error = filling.load(session, &rows).unwrap_err();
        assert!(error.is_transient(), "{why}: {error:?}");
        assert_eq!(error.code(), Code::DestinationBusy, "{why}");
        let ledger = destination.ledger().unwrap();
        assert_eq!(destination.fingerprint("t").unwrap(), before, "{why}");
        assert_eq!(ledger.intervals("p").unwrap(), [], "{why}");
        assert_eq!(session.receipt("beside p").unwrap(), None, "{why}");
        assert_eq!(
            session.state(),
            &ledger.state("p").unwrap().unwrap_or_default(),
            "{why}: it begins anew from there"
        );
    };
    scene.changes = vec![Change::Add(Column::new("extra", DataType::Text))];
    scene.schema.columns.push(Column::new("extra", DataType::Text));
    scene.load(scene.open(destination).as_mut(), &[]).unwrap();
    refused(&filling, session.as_mut(), "a column");
    scene.changes.clear();
    filling.schema = scene.schema.clone();
    scene.settings = Some([("load".to_owned(), "upsert".to_owned())].into());
    scene.load(scene.open(destination).as_mut(), &[]).unwrap();
    refused(&filling, session.as_mut(), "settings");
    // What a run does to rows alone is nothing new.
    scene.load(scene.open(destination).as_mut(), &[Row::new(3, "c", 1)]).unwrap();
    assert_eq!(filling.load(session.as_mut(), &rows).unwrap().inserted, 1);
    drop(session);
    let mut session = filling.open_beside(destination);
    destination.ledger().unwrap().change_state("p", StateChange::Forget).unwrap();
    let error = filling.load(session.as_mut(), &rows).unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    // It never loaded, as far as anybody knows: a load beside its runs is none of theirs.
    assert_eq!(filling.load(session.as_mut(), &rows).unwrap_err().code(), Code::Internal);
}

pub(super) fn changes_nothing(destination: &dyn Destination) {
    let scene = Scene::new(Load::Upsert);
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let mut filling = beside(&scene);
    filling.intervals = vec![receipt(0, 5)];
    filling.changes = vec![Change::Add(Column::new("extra", DataType::Text))];
    filling.schema.columns.push(Column::new("extra", DataType::Text));
    let mut session = filling.open_beside(destination);
    assert_eq!(filling.load(session.as_mut(), &[Row::new(2, "b", 1)]).unwrap_err().code(), Code::Internal);
    assert_eq!(session.table("t").unwrap().as_ref(), Some(&scene.schema));
    // An error in the middle leaves nothing either, and the session is good for another try.
    let mut filling = beside(&scene);
    filling.intervals = vec![receipt(0, 5)];
    for fail in [Fail::AfterRows, Fail::AtSeal] {
        filling.load_failing(session.as_mut(), &[Row::new(2, "b", 1)], fail).unwrap_err();
        assert_eq!(session.intervals("at").unwrap(), []);
    }
    scene.expect(destination, &[Row::new(1, "a", 1)]);
    assert_eq!(filling.load(session.as_mut(), &[Row::new(2, "b", 1)]).unwrap().inserted, 1);
    assert_eq!(session.intervals("at").unwrap(), [receipt(0, 5)]);
}

pub(super) fn in_turn(destination: &dyn Destination) {
    for beside_first in [true, false] {
        let mut scene = Scene::new(Load::Upsert);
        scene.pipeline.name = format!("p {beside_first}");
        scene.pipeline.destination.table = format!("t {beside_first}");
        scene.pipeline.delete_when = Some("gone".into());
        scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1), Row::new(2, "b", 1)]).unwrap();
        let (mut first, mut second) = (beside(&scene), beside(&scene));
        let mut sessions = (first.open_beside(destination), second.open(destination));
        if !beside_first {
            sessions = (sessions.1, sessions.0);
        }
        // Both bring new keys, and each what the other makes stale.
        let (say, begun) = channel();
        let called = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&called);
        first.meanwhile = Some(Box::new(move || {
            say.send(()).unwrap();
            thread::sleep(Duration::from_millis(300));
            assert!(!seen.load(Ordering::SeqCst), "the other began before this one's end");
        }));
        second.meanwhile = Some(Box::new(move || called.store(true, Ordering::SeqCst)));
        let (first, second) = (&first, &second);
        let (mut one, mut other) = sessions;
        let counts: (Counts, Counts) = thread::scope(|scope| {
            let one = scope.spawn(move || {
                let rows = [Row::new(1, "A", 5), Row::deleted(2, 5), Row::new(3, "c", 5)];
                first.load(one.as_mut(), &rows).unwrap()
            });
            begun.recv().unwrap();
            let rows = [Row::new(1, "x", 4), Row::new(2, "y", 4), Row::new(3, "z", 4), Row::new(4, "d", 4)];
            let other = second.load(other.as_mut(), &rows).unwrap();
            (one.join().unwrap(), other)
        });
        assert_eq!((counts.0.updated, counts.0.deleted, counts.0.inserted), (1, 1, 1));
        assert_eq!((counts.1.stale, counts.1.inserted), (3, 1), "what the other had committed was not seen");
        scene.expect(destination, &[Row::new(1, "A", 5), Row::new(3, "c", 5), Row::new(4, "d", 4)]);
    }
}

pub(super) fn rehearsed(destination: &dyn Destination) {
    let scene = Scene::new(Load::Upsert);
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let filling = beside(&scene);
    let mut session = filling.open_beside(destination);
    let mut rehearsal = destination.rehearse("p", Some(Duration::ZERO), &Stop::default()).unwrap();
    assert_eq!(scene.load(rehearsal.as_mut(), &[Row::new(1, "b", 2), Row::new(2, "c", 1)]).unwrap().updated, 1);
    thread::scope(|scope| {
        let load = scope.spawn(|| filling.load(session.as_mut(), &[Row::new(1, "d", 3)]).unwrap());
        thread::sleep(Duration::from_millis(200));
        assert_eq!(scene.load(rehearsal.as_mut(), &[Row::new(2, "d", 2)]).unwrap().updated, 1);
        drop(rehearsal);
        assert_eq!(load.join().unwrap().updated, 1);
    });
    drop(session);
    scene.expect(destination, &[Row::new(1, "d", 3)]);
}
