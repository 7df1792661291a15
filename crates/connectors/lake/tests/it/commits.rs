//! Commits, alone and against each other.

use super::{Folder, append, columns, contents, ids, made, rows, written};
use floodmark_core::{Code, DataType, Schema};
use floodmark_lake::{Change, Layout, Outcome, Reads, Table};
use std::thread;

#[test]
fn a_table_is_made_appended_to_and_changed() {
    Folder::both(|folder| a_table_is_made_appended_to_and_changed_in(&folder));
}

fn a_table_is_made_appended_to_and_changed_in(folder: &Folder) {
    let table = folder.table();
    assert!(table.snapshot().unwrap().is_none());
    assert!(!folder.path().exists(), "looking makes nothing");
    let first = made(&table, &rows(0..10));
    assert_eq!((first.version, first.transaction("floodmark:maker").unwrap()), (0, Some(1)));
    assert_eq!(first.transaction("floodmark:other").unwrap(), None);
    let files = written(&table, Layout::new(columns()), &rows(10..12));
    assert_eq!(table.commit(Some(&first), &append(&files, "floodmark:maker", 2)).unwrap(), Outcome::Done(1));
    // Twice by the same application from the same state: the second moves nothing.
    assert_eq!(table.commit(Some(&first), &append(&files, "floodmark:maker", 2)).unwrap(), Outcome::Moved);
    assert_eq!(ids(&table), (0..12).collect::<Vec<_>>());
    let now = first.refresh().unwrap();
    assert_eq!((now.version, now.transaction("floodmark:maker").unwrap()), (1, Some(2)));
    let old: Vec<_> = now.files().unwrap().iter().collect();
    let files = written(&table, Layout::new(columns()), &rows(5..7));
    let change = Change { remove: &old, reads: Reads::Table, ..append(&files, "floodmark:maker", 3) };
    assert_eq!(table.commit(Some(&now), &change).unwrap(), Outcome::Done(2));
    assert_eq!(ids(&table), [5, 6]);
    let now = now.refresh().unwrap();
    assert_eq!(now.files().unwrap(), table.snapshot().unwrap().unwrap().files().unwrap());
    assert_eq!(contents(&table, &now).num_rows(), 2);
}

#[test]
fn a_refresh_keeps_what_it_knows_and_learns_the_rest() {
    Folder::both(|folder| a_refresh_keeps_what_it_knows_and_learns_the_rest_in(&folder));
}

fn a_refresh_keeps_what_it_knows_and_learns_the_rest_in(folder: &Folder) {
    let table = folder.table();
    let mut seen = made(&table, &rows(0..3));
    seen.files().unwrap();
    for version in 1..5 {
        let files = written(&table, Layout::new(columns()), &rows(version * 10..version * 10 + 2));
        let now = table.snapshot().unwrap().unwrap();
        let old: Vec<_> = now.files().unwrap().iter().take(1).collect();
        let change = Change { remove: &old, ..append(&files, "floodmark:x", version) };
        table.commit(Some(&now), &change).unwrap();
        seen = seen.refresh().unwrap();
        let mut known = seen.files().unwrap().to_vec();
        let mut read = table.snapshot().unwrap().unwrap().files().unwrap().to_vec();
        known.sort_by(|a, b| a.path.cmp(&b.path));
        read.sort_by(|a, b| a.path.cmp(&b.path));
        assert_eq!(known, read);
    }
}

/// 16 writers, each of its own pipeline, 8 appends each: none is lost, none is there twice.
#[test]
fn writers_at_once_lose_nothing() {
    Folder::both(|folder| writers_at_once_lose_nothing_in(&folder));
}

fn writers_at_once_lose_nothing_in(folder: &Folder) {
    let table = folder.table();
    made(&table, &rows(0..1));
    let write = |table: &Table, writer: i64| {
        for n in 0..8 {
            let first = 1 + (writer * 8 + n) * 10;
            let files = written(table, Layout::new(columns()), &rows(first..first + 10));
            let base = table.snapshot().unwrap().unwrap();
            let app = format!("floodmark:{writer}");
            assert!(matches!(table.commit(Some(&base), &append(&files, &app, n + 1)).unwrap(), Outcome::Done(_)));
        }
    };
    thread::scope(|scope| {
        for writer in 0..16 {
            let table = &table;
            scope.spawn(move || write(table, writer));
        }
    });
    assert_eq!(ids(&table), (0..=1280).collect::<Vec<_>>());
    let now = table.snapshot().unwrap().unwrap();
    assert_eq!(now.version, 128);
    for writer in 0..16 {
        assert_eq!(now.transaction(&format!("floodmark:{writer}")).unwrap(), Some(8));
    }
    let checkpoint = folder.path().join("_delta_log/_last_checkpoint");
    assert_eq!(checkpoint.exists(), folder.is_delta(), "version 100 is a checkpoint");
}

/// Two runs of one pipeline: exactly one of them moves it.
#[test]
fn of_two_runs_of_a_pipeline_one_is_fenced() {
    Folder::both(|folder| of_two_runs_of_a_pipeline_one_is_fenced_in(&folder));
}

fn of_two_runs_of_a_pipeline_one_is_fenced_in(folder: &Folder) {
    let table = folder.table();
    let base = made(&table, &rows(0..1));
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|n| {
                let (table, base) = (&table, &base);
                scope.spawn(move || {
                    let files = written(table, Layout::new(columns()), &rows(n * 10..n * 10 + 1));
                    table.commit(Some(base), &append(&files, "floodmark:one", 2)).unwrap()
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done(_))).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Moved).count(), 7, "{outcomes:?}");
    assert_eq!(ids(&table).len(), 2);
}

#[test]
fn what_does_not_go_together_is_told() {
    Folder::both(|folder| what_does_not_go_together_is_told_in(&folder));
}

fn what_does_not_go_together_is_told_in(folder: &Folder) {
    let table = folder.table();
    let base = made(&table, &rows(0..4));
    let old: Vec<_> = base.files().unwrap().iter().collect();
    let more = written(&table, Layout::new(columns()), &rows(4..6));
    assert_eq!(table.commit(Some(&base), &append(&more, "floodmark:a", 1)).unwrap(), Outcome::Done(1));
    // Decided on all rows: others came.
    let files = written(&table, Layout::new(columns()), &rows(0..2));
    let merge = Change { reads: Reads::Table, ..append(&files, "floodmark:b", 1) };
    let Outcome::Changed(what) = table.commit(Some(&base), &merge).unwrap() else { panic!("committed") };
    assert!(what.contains("rows") && what.contains("WRITE"), "{what}");
    // Takes files out that nobody else touched, and read nothing: goes on.
    let take = Change { remove: &old, ..append(&[], "floodmark:c", 1) };
    assert_eq!(table.commit(Some(&base), &take).unwrap(), Outcome::Done(2));
    // Takes them out again: they are gone.
    let again = Change { remove: &old, ..append(&[], "floodmark:d", 1) };
    assert!(matches!(table.commit(Some(&base), &again).unwrap(), Outcome::Changed(_)));
    // New columns do not go with rows of the old ones.
    let wider =
        Schema::new([("id", DataType::BigInt), ("name", DataType::Text), ("at", DataType::Timestamp { nanos: false })]);
    let now = table.snapshot().unwrap().unwrap();
    let change = Change { schema: Some(&wider), ..append(&[], "floodmark:e", 1) };
    assert_eq!(table.commit(Some(&now), &change).unwrap(), Outcome::Done(3));
    assert!(matches!(table.commit(Some(&now), &append(&more, "floodmark:f", 1)).unwrap(), Outcome::Changed(_)));
    // Older files have no values in them.
    let now = table.snapshot().unwrap().unwrap();
    assert_eq!(now.schema, wider);
    assert_eq!(contents(&table, &now).column(2).null_count(), 2);
    // And a table cannot be made where one is.
    let create = Change { schema: Some(&wider), ..append(&[], "floodmark:g", 1) };
    assert!(matches!(table.commit(None, &create).unwrap(), Outcome::Changed(_)));
}

#[test]
fn a_folder_of_something_else_is_no_table() {
    Folder::both(|folder| a_folder_of_something_else_is_no_table_in(&folder));
}

fn a_folder_of_something_else_is_no_table_in(folder: &Folder) {
    let table = folder.table();
    std::fs::create_dir_all(folder.path()).unwrap();
    std::fs::write(folder.path().join("a.parquet"), b"x").unwrap();
    let error = table.snapshot().unwrap_err();
    assert_eq!(error.code(), Code::TableShape, "{error:?}");
    assert!(error.message().contains("a.parquet"), "{error:?}");
    std::fs::remove_file(folder.path().join("a.parquet")).unwrap();
    // What a load leaves that is killed before its first commit.
    written(&table, Layout::new(columns()), &rows(0..3));
    assert!(table.snapshot().unwrap().is_none());
}

#[test]
fn what_is_not_finished_leaves_nothing() {
    let folder = Folder::new();
    let table = folder.table();
    let layout = Layout { target: 1, ..Layout::new(columns()) };
    let mut writer = floodmark_lake::Writer::new(&table, layout).unwrap();
    for n in 0..5 {
        writer.write(&rows(n * 10..n * 10 + 10)).unwrap();
    }
    drop(writer);
    let left = std::fs::read_dir(folder.path()).map_or(0, |files| files.count());
    assert_eq!(left, 0);
}

/// A number that was cleaned away is free again: who puts it is behind the table, and not its next version.
#[test]
fn a_version_that_nobody_comes_to_is_none() {
    let folder = Folder::new();
    let table = folder.table();
    let base = made(&table, &rows(0..10));
    for version in 1..103 {
        let files = written(&table, Layout::new(columns()), &rows(version * 10..version * 10 + 1));
        let now = table.snapshot().unwrap().unwrap();
        assert!(matches!(table.commit(Some(&now), &append(&files, "floodmark:x", version)).unwrap(), Outcome::Done(_)));
    }
    let before = ids(&table);
    for version in 0..100 {
        std::fs::remove_file(folder.path().join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    let files = written(&table, Layout::new(columns()), &rows(900..902));
    let late = table.commit(Some(&base), &append(&files, "floodmark:y", 1)).unwrap();
    assert_eq!(late, Outcome::Changed("its log was cleaned up meanwhile".to_owned()));
    assert_eq!(ids(&table), before);
}
