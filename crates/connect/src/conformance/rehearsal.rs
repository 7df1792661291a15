//! Loads that are looked at and not kept.

use super::scene::{Fail, Row, Scene};
use crate::{Destination, RowChange, Sample, Session, Stop};
use floodmark_core::{Code, Column, DataType, Value, pipeline::Load, schema::Change};
use std::time::Duration;

/// Everything that a rehearsal must leave as it is.
fn traces(destination: &dyn Destination, scene: &Scene) -> impl PartialEq + std::fmt::Debug + use<> {
    let ledger = destination.exists().then(|| destination.ledger().unwrap());
    let name = &scene.pipeline.name;
    (
        destination.exists(),
        ledger.as_ref().map(|l| (l.pipelines().unwrap(), l.state(name).unwrap(), l.memories(name).unwrap())),
        ledger.as_ref().map(|l| (l.runs(None, 100).unwrap(), l.rejects(None).unwrap())),
        destination.fingerprint(&scene.pipeline.destination.table).ok(),
    )
}

pub(super) fn no_trace(destination: &dyn Destination) {
    let rehearse = |scene: &Scene| destination.rehearse(&scene.pipeline.name, Some(Duration::ZERO), &Stop::default());
    for (_, load) in Load::NAMES.iter().copied() {
        let mut scene = Scene::new(load);
        scene.pipeline.name = load.name().into();
        scene.pipeline.destination.table = format!("t {}", load.name());
        scene.pipeline.adopt = true;
        let chunks: [&[Row]; 3] = [
            &[Row::new(1, "a", 1), Row::new(2, "b", 1), Row::new(2, "c", 2)],
            &[Row::new(2, "d", 3), Row::new(3, "e", 1)],
            &[Row::new(2, "b", 1), Row::null(4, 1)],
        ];
        // The first into what is not there yet, the second into what the first left.
        for widened in [false, true] {
            if widened {
                scene.changes = vec![Change::Add(Column::new("extra", DataType::Text))];
                scene.schema.columns.push(Column::new("extra", DataType::Text));
            }
            let before = traces(destination, &scene);
            let load = |session: &mut dyn Session, scene: &mut Scene| {
                let each = chunks.iter().map(|rows| {
                    let counts = scene.load(session, rows).unwrap();
                    scene.changes.clear();
                    counts
                });
                (each.collect::<Vec<_>>(), session.table(&scene.pipeline.destination.table).unwrap())
            };
            let changes = scene.changes.clone();
            let mut rehearsed = rehearse(&scene).unwrap();
            let seen = load(rehearsed.as_mut(), &mut scene);
            rehearsed.record(&scene.record(), &[]).unwrap();
            rehearsed.samples(2).unwrap();
            drop(rehearsed);
            assert_eq!(traces(destination, &scene), before, "{load:?}", load = scene.pipeline.load);
            scene.changes.clone_from(&changes);
            let mut failing = rehearse(&scene).unwrap();
            assert!(scene.load_failing(failing.as_mut(), chunks[0], Fail::AtSeal).is_err());
            drop(failing);
            assert_eq!(traces(destination, &scene), before, "{load:?}", load = scene.pipeline.load);
            let done = load(scene.open(destination).as_mut(), &mut scene);
            assert_eq!(seen, done, "{load:?}", load = scene.pipeline.load);
        }
    }
    // A run that has the pipeline is not looked past; it is not held up either.
    let scene = Scene::new(Load::Upsert);
    let held = scene.open(destination);
    assert_eq!(rehearse(&scene).err().map(|e| e.code()), Some(Code::Busy));
    drop(held);
    let idle = rehearse(&scene).unwrap();
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "a", 1)]).unwrap();
    drop(idle);
    let mut late = rehearse(&scene).unwrap();
    scene.load(scene.open(destination).as_mut(), &[Row::new(1, "b", 2)]).unwrap();
    assert_eq!(scene.load(late.as_mut(), &[Row::new(1, "c", 3)]).err().map(|e| e.code()), Some(Code::Busy));
}

pub(super) fn samples(destination: &dyn Destination) {
    let text = |text: &str| Value::Text(text.into());
    let cell = |name: &str, value| (name.to_owned(), value);
    let mut scene = Scene::new(Load::Upsert);
    scene.pipeline.delete_when = Some("gone".into());
    let rows: Vec<Row> = (1..=9).map(|id| Row::new(id, "a", 1)).collect();
    scene.load(scene.open(destination).as_mut(), &rows).unwrap();
    let mut session = destination.rehearse("p", Some(Duration::ZERO), &Stop::default()).unwrap();
    assert_eq!(session.samples(9).unwrap(), []);
    scene.load(session.as_mut(), &[Row::new(2, "b", 2), Row::new(2, "c", 3), Row::new(10, "n", 1)]).unwrap();
    // Another chunk: changed once more, changed back, put in and taken out, taken out and put in.
    let more = [
        Row::new(2, "d", 4),
        Row::new(10, "m", 2),
        Row::new(11, "x", 1),
        Row::deleted(11, 2),
        Row::deleted(4, 2),
        Row::new(4, "back", 3),
        Row::deleted(5, 2),
    ];
    scene.load(session.as_mut(), &more).unwrap();
    let expected = [
        Sample {
            key: vec![cell("id", Value::Int(10))],
            change: RowChange::Inserted(vec![cell("name", text("m")), cell("at", Value::Int(2))]),
        },
        Sample {
            key: vec![cell("id", Value::Int(2))],
            change: RowChange::Updated(vec![
                ("name".to_owned(), text("a"), text("d")),
                ("at".to_owned(), Value::Int(1), Value::Int(4)),
            ]),
        },
        Sample {
            key: vec![cell("id", Value::Int(4))],
            change: RowChange::Updated(vec![
                ("name".to_owned(), text("a"), text("back")),
                ("at".to_owned(), Value::Int(1), Value::Int(3)),
            ]),
        },
        Sample {
            key: vec![cell("id", Value::Int(5))],
            change: RowChange::Removed(vec![cell("name", text("a")), cell("at", Value::Int(1))]),
        },
    ];
    assert_eq!(session.samples(9).unwrap(), expected);
    assert_eq!(session.samples(1).unwrap().len(), 3);
    assert_eq!(session.samples(0).unwrap(), []);
    drop(session);
    // Without a key, rows that go out and come in again are no change.
    let mut keyless = Scene::new(Load::Overwrite);
    keyless.pipeline.key.clear();
    keyless.pipeline.name = "q".into();
    keyless.pipeline.destination.table = "u".into();
    let rows = [Row::new(1, "a", 1), Row::new(1, "a", 1), Row::new(2, "b", 1), Row::new(3, "c", 1)];
    keyless.load(keyless.open(destination).as_mut(), &rows).unwrap();
    let mut session = destination.rehearse("q", Some(Duration::ZERO), &Stop::default()).unwrap();
    keyless
        .load(session.as_mut(), &[Row::new(3, "c", 1), Row::new(1, "a", 1), Row::new(4, "d", 1), rows[2].clone()])
        .unwrap();
    let content = |id, name| vec![cell("id", Value::Int(id)), cell("name", text(name)), cell("at", Value::Int(1))];
    let expected = [
        Sample { key: Vec::new(), change: RowChange::Inserted(content(4, "d")) },
        Sample { key: Vec::new(), change: RowChange::Removed(content(1, "a")) },
    ];
    assert_eq!(session.samples(9).unwrap(), expected);
}
