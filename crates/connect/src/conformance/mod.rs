//! What every destination must do, as tests that a connector runs against itself. A failed expectation panics.
//!
//! Each function takes a fresh, empty destination and says in its name what holds.

#![expect(clippy::unwrap_used, reason = "this suite is test code: a failed expectation is a panic")]

mod beside;
mod boundary;
mod commits;
mod copies;
mod intervals;
mod pages;
mod part;
mod rehearsal;
mod scene;
mod sheet;

use crate::{Destination, Session, Stop, destination::StateChange};
use floodmark_core::{
    Code, Column, DataType, Value,
    pipeline::{AbsentRows, Deletes, Load, OnNull, Pipeline},
    schema::Change,
    state::{Mark, Reject, RunRecord},
};
use scene::{Fail, Row, Scene};
use std::time::Duration;

/// A test: takes a fresh, empty destination.
pub type Test = fn(&dyn Destination);

/// Every test with its name, for a connector's own harness.
pub const ALL: &[(&str, Test)] = &[
    ("a first load creates the table and its state", first_load),
    ("the same rows again change nothing", replay),
    ("older rows never win, ties go to the later", versions),
    ("a deleted row is not raised by an older copy", tombstones),
    ("soft deletes mark, and the row can come back", soft_deletes),
    ("an incoming NULL keeps what is there when told to", keep_nulls),
    ("rows of a batch supersede each other the same in any order", any_order),
    ("an overwrite makes the table the source and rewrites nothing equal", overwrite),
    ("rows that somebody else put into a table are not replaced unasked", adopt),
    ("insert_only leaves existing rows alone", insert_only),
    ("history opens a version only for new content", history),
    ("replayed rejects go with the commit that loads them", replayed),
    ("an error in the middle leaves nothing behind", rollback),
    ("a second holder is refused at once", lock),
    ("new and wider columns arrive in the load's transaction", evolve),
    ("another key, or kind of strategy, is refused with nothing to load", goes_on),
    ("a rehearsal counts as a load does and leaves no trace", rehearsal::no_trace),
    ("a rehearsal sees a row's end, not its way there", rehearsal::samples),
    ("a copy is a private one, without the pipeline", copies::copy),
    ("differences between two databases are told by row", copies::differences),
    ("a run and a load beside it go on at the same time", beside::at_once),
    ("a load beside a run comes between its chunks", beside::between_chunks),
    ("one load at a time goes on beside runs", beside::busy),
    ("a run that steps aside goes on beside runs", beside::steps_aside),
    ("a load beside runs looks whether it still knows the table", beside::moved_on),
    ("a load beside runs changes nothing of the table", beside::changes_nothing),
    ("loads of one pipeline come one after the other", beside::in_turn),
    ("a rehearsal and a load beside runs wait for each other at most", beside::rehearsed),
    ("receipts of intervals are kept as they are", intervals::kept),
    ("receipts of intervals are forgotten with the rows, not with the position", intervals::forgotten),
    ("a state goes elsewhere with its intervals", intervals::imported),
    ("old lines of the run ledger go, and what decides about rows stays", intervals::pruned),
    ("what the commits of a run brought is kept with them", commits::kept),
    ("what the commits of a run brought goes with its line", commits::pruned),
    ("runs are told page by page, the newest first", pages::runs),
    ("rejects are told page by page, and counted", pages::rejects),
    ("an append of a part adds what the table does not hold there", part::append),
    ("contents of every type are told apart in a part", part::contents),
    ("a part of a table without a key is replaced", part::replace),
    ("in a part of a table with a key absent rows go", part::replace_keyed),
    ("a part lies along values of every type, byte by byte", part::axes),
    ("by key alone a part is loaded as ever", part::as_ever),
    ("each row at the watermark answers to one question", boundary::answers_once),
    ("a failed run is on record", failed_run),
    ("the fingerprint does not depend on order", fingerprint),
];

fn first_load(destination: &dyn Destination) {
    let scene = Scene::new(Load::Upsert);
    let mut session = scene.open(destination);
    assert_eq!(session.table("t").unwrap(), None);
    let counts = scene.load(session.as_mut(), &[Row::new(1, "a", 1), Row::new(2, "b", 1)]).unwrap();
    assert_eq!((counts.inserted, counts.accounted()), (2, 2));
    let state = session.state().clone();
    assert_eq!(state.watermark.as_ref().map(|m| &m.value), Some(&Value::Int(1)));
    assert_eq!(state.schema.as_ref(), Some(&scene.schema));
    drop(session);
    // State outlives the process that wrote it.
    assert_eq!(scene.open(destination).state().watermark, state.watermark);
    assert_eq!(destination.ledger().unwrap().runs(Some("p"), 10).unwrap().len(), 1);
}

fn replay(destination: &dyn Destination) {
    let scene = Scene::new(Load::Upsert);
    let rows = [Row::new(1, "a", 1), Row::new(2, "b", 2)];
    scene.load(scene.open(destination).as_mut(), &rows).unwrap();
    let before = destination.fingerprint("t").unwrap();
    let counts = scene.load(scene.open(destination).as_mut(), &rows).unwrap();
    assert_eq!((counts.unchanged, counts.changed()), (2, false));
    assert_eq!(destination.fingerprint("t").unwrap(), before);
}

fn goes_on(destination: &dyn Destination) {
    let scene = Scene::new(Load::Append);
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let asked = |pipeline: &Pipeline| scene.open(destination).goes_on(pipeline).map_err(|e| e.code());
    assert_eq!(asked(&scene.pipeline), Ok(()));
    assert_eq!(asked(&Scene::new(Load::Upsert).pipeline), Err(Code::TableShape));
    let mut keyed = Scene::new(Load::Upsert);
    keyed.pipeline.destination.table = "keyed".into();
    keyed.load(keyed.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    assert_eq!(asked(&keyed.pipeline), Ok(()));
    keyed.pipeline.key = vec!["name".into()];
    assert_eq!(asked(&keyed.pipeline), Err(Code::TableShape));
}

fn versions(destination: &dyn Destination) {
    let scene = Scene::new(Load::Upsert);
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "new", 5)]).unwrap();
    let counts = scene.load(scene.open(destination).as_mut(), &[Row::new(1, "old", 4)]).unwrap();
    assert_eq!(counts.stale, 1);
    let counts = scene.load(scene.open(destination).as_mut(), &[Row::new(1, "tie", 5)]).unwrap();
    assert_eq!(counts.updated, 1);
    scene.expect(destination, &[Row::new(1, "tie", 5)]);
}

fn tombstones(destination: &dyn Destination) {
    let mut scene = Scene::new(Load::Upsert);
    scene.pipeline.delete_when = Some("gone".into());
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1), Row::new(2, "b", 1)]).unwrap();
    let counts = scene.load(scene.open(destination).as_mut(), &[Row::deleted(1, 3), Row::deleted(9, 3)]).unwrap();
    assert_eq!((counts.deleted, counts.delete_noop), (1, 1));
    let counts = scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 2), Row::new(9, "x", 2)]).unwrap();
    assert_eq!(counts.stale, 2);
    scene.expect(destination, &[Row::new(2, "b", 1)]);
    let counts = scene.load(scene.open(destination).as_mut(), &[Row::new(1, "again", 4)]).unwrap();
    assert_eq!(counts.inserted, 1);
    let counts = scene.load(scene.open(destination).as_mut(), &[Row::deleted(1, 3)]).unwrap();
    assert_eq!(counts.stale, 1);
}

fn soft_deletes(destination: &dyn Destination) {
    let mut scene = Scene::new(Load::Upsert);
    scene.pipeline.deletes = Deletes::Soft;
    scene.pipeline.delete_when = Some("gone".into());
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let live = destination.fingerprint("t").unwrap();
    assert_eq!(scene.load(scene.open(destination).as_mut(), &[Row::deleted(1, 2)]).unwrap().deleted, 1);
    let marked = destination.fingerprint("t").unwrap();
    assert_eq!(marked.rows, 1);
    assert_ne!(marked, live);
    let again = scene.load(scene.open(destination).as_mut(), &[Row::deleted(1, 2)]).unwrap();
    assert_eq!((again.delete_noop, destination.fingerprint("t").unwrap()), (1, marked));
    assert_eq!(scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap().stale, 1);
    assert_eq!(scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 3)]).unwrap().updated, 1);
}

fn keep_nulls(destination: &dyn Destination) {
    // The column ends with its newest value that is not NULL, whatever came first and with what.
    let rows = [Row::new(1, "a", 1), Row::new(1, "b", 2), Row::null(1, 3), Row::null(1, 4)];
    let orders: [&[&[usize]]; 6] = [
        &[&[0, 1, 2, 3]],
        &[&[3, 2, 1, 0]],
        &[&[0], &[1, 2, 3]],
        &[&[3], &[0], &[1], &[2]],
        &[&[2, 0], &[3, 1]],
        &[&[1], &[3], &[0]],
    ];
    for (n, order) in orders.into_iter().enumerate() {
        let mut scene = Scene::new(Load::Upsert);
        scene.pipeline.name = format!("p{n}");
        scene.pipeline.destination.table = format!("t{n}");
        scene.pipeline.on_null = OnNull::Keep;
        for batch in order {
            let batch: Vec<Row> = batch.iter().map(|i| rows[*i].clone()).collect();
            scene.load(scene.open(destination).as_mut(), &batch).unwrap();
        }
        scene.expect(destination, &[Row::new(1, "b", 4)]);
        let again = scene.load(scene.open(destination).as_mut(), &rows).unwrap();
        assert_eq!(again.inserted + again.updated, 0, "order {n}");
    }
    // A delete between two versions takes the older value away, whenever it arrives.
    for (n, order) in [[0, 1, 2], [2, 1, 0], [2, 0, 1], [1, 2, 0]].into_iter().enumerate() {
        let rows = [Row::new(1, "a", 1), Row::deleted(1, 2), Row::null(1, 3)];
        let mut scene = Scene::new(Load::Upsert);
        scene.pipeline.name = format!("d{n}");
        scene.pipeline.destination.table = format!("d{n}");
        scene.pipeline.on_null = OnNull::Keep;
        scene.pipeline.delete_when = Some("gone".into());
        for i in order {
            scene.load(scene.open(destination).as_mut(), &[rows[i].clone()]).unwrap();
        }
        scene.expect(destination, &[Row::null(1, 3)]);
    }
}

fn any_order(destination: &dyn Destination) {
    let rows = [Row::new(1, "a", 1), Row::new(1, "b", 3), Row::deleted(1, 2), Row::new(2, "c", 1), Row::deleted(2, 5)];
    let mut orders = vec![rows.to_vec()];
    orders.push(rows.iter().rev().cloned().collect());
    orders.push([2, 4, 0, 3, 1].iter().map(|i| rows[*i].clone()).collect());
    for (n, order) in orders.into_iter().enumerate() {
        let mut scene = Scene::new(Load::Upsert);
        scene.pipeline.name = format!("p{n}");
        scene.pipeline.destination.table = format!("t{n}");
        scene.pipeline.delete_when = Some("gone".into());
        let counts = scene.load(scene.open(destination).as_mut(), &order).unwrap();
        assert_eq!((counts.inserted, counts.delete_noop, counts.superseded), (1, 1, 3), "order {n}");
        scene.expect(destination, &[Row::new(1, "b", 3)]);
    }
}

fn overwrite(destination: &dyn Destination) {
    let scene = Scene::new(Load::Overwrite);
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1), Row::new(2, "b", 1)]).unwrap();
    let counts = scene.load(scene.open(destination).as_mut(), &[Row::new(2, "b", 1), Row::new(3, "c", 1)]).unwrap();
    assert_eq!((counts.inserted, counts.unchanged, counts.updated, counts.removed), (1, 1, 0, 1));
    scene.expect(destination, &[Row::new(2, "b", 1), Row::new(3, "c", 1)]);
    let mut keyless = Scene::new(Load::Overwrite);
    keyless.pipeline.key.clear();
    keyless.pipeline.name = "q".into();
    keyless.pipeline.destination.table = "u".into();
    let rows = [Row::new(1, "a", 1), Row::new(1, "a", 1)];
    keyless.load(keyless.open(destination).as_mut(), &rows).unwrap();
    let counts = keyless.load(keyless.open(destination).as_mut(), &rows).unwrap();
    assert_eq!((counts.inserted, counts.removed), (2, 2));
    keyless.expect(destination, &rows);
}

fn adopt(destination: &dyn Destination) {
    let other = Scene {
        pipeline: Pipeline { name: "other".into(), ..Scene::new(Load::Upsert).pipeline },
        ..Scene::new(Load::Upsert)
    };
    let theirs = [Row::new(1, "a", 1), Row::new(2, "b", 1)];
    other.load(other.open(destination).as_mut(), &theirs).unwrap();
    let before = destination.fingerprint("t").unwrap();
    destination.ledger().unwrap().change_state("other", StateChange::Forget).unwrap();
    let mut scene = Scene::new(Load::Overwrite);
    let mine = [Row::new(3, "c", 1)];
    let error = scene.load(scene.open(destination).as_mut(), &mine).unwrap_err();
    assert_eq!(error.code(), Code::TableShape);
    assert!(error.message().contains("2 rows"), "{error}");
    assert_eq!(destination.fingerprint("t").unwrap(), before);
    scene.pipeline.adopt = true;
    scene.load(scene.open(destination).as_mut(), &mine).unwrap();
    scene.pipeline.adopt = false;
    // From now on the table is its own, also after its state was forgotten.
    scene.load(scene.open(destination).as_mut(), &[Row::new(4, "d", 1)]).unwrap();
    destination.ledger().unwrap().change_state("p", StateChange::Forget).unwrap();
    scene.load(scene.open(destination).as_mut(), &mine).unwrap();
    scene.expect(destination, &mine);
}

fn insert_only(destination: &dyn Destination) {
    let scene = Scene::new(Load::InsertOnly);
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let rows = [Row::new(1, "b", 2), Row::new(2, "c", 1), Row::new(2, "d", 2)];
    let counts = scene.load(scene.open(destination).as_mut(), &rows).unwrap();
    assert_eq!((counts.unchanged, counts.inserted, counts.superseded), (1, 1, 1));
    scene.expect(destination, &[Row::new(1, "a", 1), Row::new(2, "d", 2)]);
}

fn history(destination: &dyn Destination) {
    let mut scene = Scene::new(Load::Scd2);
    scene.pipeline.absent_rows = AbsentRows::Keep;
    let counts = scene.load(scene.open(destination).as_mut(), &[Row::new(1, "b", 3), Row::new(1, "a", 1)]).unwrap();
    assert_eq!(counts.inserted, 2);
    let before = destination.fingerprint("t").unwrap();
    let counts = scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1), Row::new(1, "b", 3)]).unwrap();
    assert_eq!((counts.unchanged, counts.changed()), (2, false));
    assert_eq!(destination.fingerprint("t").unwrap(), before);
    // A version that arrives late goes where it belongs, as if it had come first.
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "late", 2)]).unwrap();
    let mut whole = Scene::new(Load::Scd2);
    whole.pipeline.absent_rows = AbsentRows::Keep;
    whole.pipeline.name = "q".into();
    whole.pipeline.destination.table = "u".into();
    let all = [Row::new(1, "a", 1), Row::new(1, "late", 2), Row::new(1, "b", 3)];
    whole.load(whole.open(destination).as_mut(), &all).unwrap();
    assert_eq!(destination.fingerprint("t").unwrap(), destination.fingerprint("u").unwrap());
}

fn replayed(destination: &dyn Destination) {
    let mut scene = Scene::new(Load::Upsert);
    let reject = |line, raw: &str| Reject {
        slice: "a.csv".into(),
        line,
        column: None,
        reason: "FM0301".into(),
        raw: raw.into(),
    };
    scene.rejects = vec![reject(3, "2,x"), reject(4, "3,y")];
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let kept = |destination: &dyn Destination| destination.ledger().unwrap().rejects(Some("p")).unwrap();
    let before = kept(destination);
    assert_eq!(before.iter().map(|k| k.reject.clone()).collect::<Vec<_>>(), scene.rejects);
    assert!(scene.open(destination).rejected().unwrap().contains("a.csv"));
    // The one is loaded now, the other rejected again.
    scene.replayed = before.iter().map(|k| k.id).collect();
    scene.rejects.remove(0);
    let mine = [Row::new(2, "x", 1)];
    scene.load_failing(scene.open(destination).as_mut(), &mine, Fail::AtSeal).unwrap_err();
    assert_eq!(kept(destination), before);
    scene.load(scene.open(destination).as_mut(), &mine).unwrap();
    assert_eq!(kept(destination).iter().map(|k| k.reject.raw.as_str()).collect::<Vec<_>>(), ["3,y"]);
    // Another replay took them meanwhile: its rows are in, and must not be added again.
    let late = scene.load(scene.open(destination).as_mut(), &[Row::new(3, "y", 1)]).unwrap_err();
    assert_eq!(late.code(), Code::Busy);
    scene.expect(destination, &[Row::new(1, "a", 1), Row::new(2, "x", 1)]);
}

fn rollback(destination: &dyn Destination) {
    let scene = Scene::new(Load::Upsert);
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    let before = destination.fingerprint("t").unwrap();
    for fail_at in [scene::Fail::AfterRows, scene::Fail::AtSeal] {
        let mut session = scene.open(destination);
        let error = scene.load_failing(session.as_mut(), &[Row::new(2, "b", 9)], fail_at).unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        assert_eq!(destination.fingerprint("t").unwrap(), before);
        // The session is still good for the run's record, and for another try.
        assert_eq!(session.state().watermark.as_ref().map(|m| &m.value), Some(&Value::Int(1)));
    }
    assert_eq!(scene.load(scene.open(destination).as_mut(), &[Row::new(2, "b", 9)]).unwrap().inserted, 1);
}

fn lock(destination: &dyn Destination) {
    let scene = Scene::new(Load::Upsert);
    let held = scene.open(destination);
    let second = destination.open("p", "r2", Some(Duration::ZERO), &Stop::default());
    assert_eq!(second.err().map(|e| e.code()), Some(Code::Busy));
    // Another pipeline is not in the way.
    drop(destination.open("other", "r3", Some(Duration::ZERO), &Stop::default()).unwrap());
    drop(held);
    drop(destination.open("p", "r4", Some(Duration::ZERO), &Stop::default()).unwrap());
}

/// A holder whose lock was lost to another cannot commit, nor can one beside the runs. `lose` takes the only lock that is held
/// away without the holder's knowing.
pub fn fence(destination: &dyn Destination, lose: &dyn Fn()) {
    let scene = Scene::new(Load::Upsert);
    let open: [&dyn Fn() -> Box<dyn Session>; 2] = [&|| scene.open(destination), &|| scene.open_beside(destination)];
    for (n, open) in (0..).zip(open) {
        let mut zombie = open();
        lose();
        let mut second = open();
        scene.load(second.as_mut(), &[Row::new(1, "second", 2 + n)]).unwrap();
        drop(second);
        let error = scene.load(zombie.as_mut(), &[Row::new(1, "zombie", 9)]).unwrap_err();
        assert_eq!(error.code(), Code::Fenced);
        drop(zombie);
        scene.expect(destination, &[Row::new(1, "second", 2 + n)]);
    }
}

/// Whether a commit is there whose answer was lost, the next session knows. `lose` has the answer to the next commit of the
/// session that is open lost; `kept`: and that commit is there.
pub fn unanswered(destination: &dyn Destination, lose: &dyn Fn(), kept: bool) {
    let mut scene = Scene::new(Load::Upsert);
    let mut session = scene.open(destination);
    scene.load(session.as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    scene.run = "another run of";
    lose();
    let error = scene.load(session.as_mut(), &[Row::new(2, "b", 1)]).unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    drop(session);
    let mut session = scene.open(destination);
    assert_eq!(session.receipt("another run of p").unwrap().is_some(), kept);
    let counts = scene.load(session.as_mut(), &[Row::new(2, "b", 1)]).unwrap();
    assert_eq!((counts.inserted, counts.unchanged), if kept { (0, 1) } else { (1, 0) });
    drop(session);
    scene.expect(destination, &[Row::new(1, "a", 1), Row::new(2, "b", 1)]);
}

fn evolve(destination: &dyn Destination) {
    let mut scene = Scene::new(Load::Upsert);
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1), Row::new(2, "b", 2)]).unwrap();
    scene.changes = vec![
        Change::Add(Column::new("extra", DataType::Text)),
        Change::Widen { name: "at".into(), from: DataType::BigInt, to: DataType::Decimal(21, 2) },
    ];
    scene.schema.columns[2].data_type = DataType::Decimal(21, 2);
    scene.schema.columns.push(Column::new("extra", DataType::Text));
    let mut session = scene.open(destination);
    assert!(scene.load_failing(session.as_mut(), &[], scene::Fail::AtSeal).is_err());
    if destination.capabilities().transactional_schema {
        assert_eq!(session.table("t").unwrap().map(|t| t.columns.len()), Some(3), "schema changes roll back too");
    }
    scene.load(session.as_mut(), &[]).unwrap();
    assert_eq!(session.table("t").unwrap().as_ref(), Some(&scene.schema));
    // Old versions compare with new ones across the change.
    assert_eq!(scene.load(session.as_mut(), &[Row::new(1, "old", 0)]).unwrap().stale, 1);
    assert_eq!(scene.load(session.as_mut(), &[Row::new(1, "new", 3)]).unwrap().updated, 1);
}

fn failed_run(destination: &dyn Destination) {
    let scene = Scene::new(Load::Upsert);
    let run = RunRecord { status: "failed".into(), error: Some("FM0301 no".into()), ..scene.record() };
    scene.open(destination).record(&run, &[]).unwrap();
    let found = destination.ledger().unwrap().runs_like(&run.run, 2).unwrap().remove(0);
    assert_eq!((found.status.as_str(), found.error), ("failed", run.error));
}

fn fingerprint(destination: &dyn Destination) {
    let rows = [Row::new(1, "a", 1), Row::null(2, 2), Row::new(3, "", 3)];
    let mut prints = Vec::new();
    for n in 0..rows.len() {
        let mut scene = Scene::new(Load::Upsert);
        scene.pipeline.name = format!("p{n}");
        scene.pipeline.destination.table = format!("t{n}");
        let mut order = rows.to_vec();
        order.rotate_left(n);
        scene.load(scene.open(destination).as_mut(), &order).unwrap();
        prints.push(destination.fingerprint(&scene.pipeline.destination.table).unwrap());
    }
    assert!(prints.windows(2).all(|p| p[0] == p[1]), "{prints:?}");
    assert_eq!(prints[0].rows, 3);
}

/// A mark of the scene's cursor.
pub(crate) fn mark(value: i64) -> Mark {
    Mark { column: "at".into(), data_type: DataType::BigInt, value: Value::Int(value) }
}
