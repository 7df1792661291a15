//! Private copies of a database, and how tables differ between two.

use super::scene::{Row, Scene};
use crate::{Destination, Differences, RowChange, Sample, Stop};
use floodmark_core::{Value, pipeline::Load};

fn named(name: &str, load: Load) -> Scene {
    let mut scene = Scene::new(load);
    scene.pipeline.name = name.into();
    scene.pipeline.destination.table = format!("table of {name}");
    scene
}

pub(super) fn copy(destination: &dyn Destination) {
    let folder = tempfile::tempdir().unwrap();
    let stop = Stop::default();
    let (mine, other) = (named("mine", Load::Upsert), named("other", Load::Upsert));
    let rows = [Row::new(1, "a", 1), Row::new(2, "b", 1)];
    for scene in [&mine, &other] {
        scene.load(scene.open(destination).as_mut(), &rows).unwrap();
    }
    let before = |scene: &Scene| {
        let ledger = destination.ledger().unwrap();
        let name = &scene.pipeline.name;
        let print = destination.fingerprint(&scene.pipeline.destination.table).unwrap();
        (ledger.state(name).unwrap(), ledger.runs(Some(name), 10).unwrap(), print)
    };
    let were = (before(&mine), before(&other));
    let url = destination.copy(folder.path(), &mine.pipeline, &stop).unwrap();
    assert_eq!((before(&mine), before(&other)), were, "the original");
    assert_eq!(destination.differences(&url, &other.pipeline, 10).unwrap(), Differences::default());
    assert!(destination.differences(&url, &mine.pipeline, 10).is_err(), "it was never loaded there");
    // What comes later is not in the copy.
    other.load(other.open(destination).as_mut(), &[Row::new(3, "c", 1)]).unwrap();
    assert_eq!(destination.differences(&url, &other.pipeline, 10).unwrap().rows, 1);
}

pub(super) fn differences(destination: &dyn Destination) {
    let folder = tempfile::tempdir().unwrap();
    let (mine, keyless, bystander) =
        (named("mine", Load::Upsert), named("keyless", Load::Append), named("bystander", Load::Upsert));
    let keyless = {
        let mut scene = keyless;
        scene.pipeline.key.clear();
        scene
    };
    mine.load(mine.open(destination).as_mut(), &[Row::new(1, "a", 1), Row::new(2, "b", 1), Row::new(3, "c", 1)])
        .unwrap();
    keyless.load(keyless.open(destination).as_mut(), &[Row::new(1, "a", 1), Row::new(1, "a", 1)]).unwrap();
    let url = destination.copy(folder.path(), &bystander.pipeline, &Stop::default()).unwrap();
    // A newer version, another content under an equal one, a new row, and one that is only there.
    let newer = [Row::new(1, "a", 2), Row::new(2, "other", 1), Row::new(4, "d", 1)];
    mine.load(mine.open(destination).as_mut(), &newer).unwrap();
    let mut gone = named("mine", Load::Upsert);
    gone.pipeline.delete_when = Some("gone".into());
    gone.load(gone.open(destination).as_mut(), &[Row::deleted(3, 5)]).unwrap();
    let found = destination.differences(&url, &mine.pipeline, 10).unwrap();
    assert_eq!((found.rows, found.ties), (4, 1));
    let key = |id| vec![("id".to_owned(), Value::Int(id))];
    let text = |s: &str| Value::Text(s.into());
    let whole = |name: &str| vec![("name".to_owned(), text(name)), ("at".to_owned(), Value::Int(1))];
    let expected = [
        Sample { key: key(3), change: RowChange::Inserted(whole("c")) },
        Sample { key: key(1), change: RowChange::Updated(vec![("at".into(), Value::Int(2), Value::Int(1))]) },
        Sample { key: key(2), change: RowChange::Updated(vec![("name".into(), text("other"), text("b"))]) },
        Sample { key: key(4), change: RowChange::Removed(whole("d")) },
    ];
    assert_eq!(found.samples.len(), expected.len());
    for sample in expected {
        assert!(found.samples.contains(&sample), "{sample:?} in {:?}", found.samples);
    }
    // Without a key a row is its content, as often as it is there.
    keyless.load(keyless.open(destination).as_mut(), &[Row::new(1, "a", 1), Row::new(2, "b", 1)]).unwrap();
    assert_eq!(destination.differences(&url, &keyless.pipeline, 1).unwrap().rows, 2);
    assert_eq!(destination.differences(&url, &keyless.pipeline, 1).unwrap().samples.len(), 1);
}
