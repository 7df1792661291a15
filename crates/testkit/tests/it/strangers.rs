//! Rows whose keys nobody has: they go into the files of a lake as they come.

use super::patched::{files, project, rows, run, source};
use arrow::array::AsArray;
use floodmark_testkit::scratch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::{fs, path::Path};

/// The ids of the newest file, in its order: a merge puts them into that of the keys.
fn newest(folder: &Path) -> Vec<i64> {
    rows(&files(folder).last().unwrap().0).into_iter().map(|(id, _)| id).collect()
}

fn load(folder: &Path, ids: &[i64], said: &'static str) -> (u64, u64, u64) {
    source(folder, ids.iter().copied(), |_| said);
    let counts = run(folder);
    let count = |name: &str| counts[name].as_u64().unwrap();
    (count("inserted"), count("updated"), count("superseded"))
}

fn all(folder: &Path) -> Vec<(i64, String)> {
    let mut all: Vec<_> = files(folder).iter().flat_map(|(file, _)| rows(file)).collect();
    all.sort();
    all
}

#[test]
fn they_lie_as_they_came_and_any_other_is_merged() {
    let folder = scratch().unwrap();
    let folder = folder.path();
    project(folder, "version: at", "");
    assert_eq!(load(folder, &[5, 3, 9, 4], ""), (4, 0, 0));
    assert_eq!(newest(folder), [5, 3, 9, 4]);
    assert_eq!(load(folder, &[12, 10, 11], ""), (3, 0, 0));
    assert_eq!(newest(folder), [12, 10, 11]);
    // One that the table has, among others; and one that comes twice.
    assert_eq!(load(folder, &[14, 10, 13], "new "), (2, 1, 0));
    assert_eq!(load(folder, &[21, 20, 21], ""), (2, 0, 1));
    let expected = [3, 4, 5, 9, 10, 11, 12, 13, 14, 20, 21].map(|id| {
        let said = if [10, 13, 14].contains(&id) { "new " } else { "" };
        (id, format!("{said}row {id}"))
    });
    assert_eq!(all(folder), expected);
}

#[test]
fn what_was_deleted_later_stays_deleted() {
    let folder = scratch().unwrap();
    let folder = folder.path();
    project(folder, "version: at\n    delete_when: name LIKE 'gone%'", "");
    assert_eq!(load(folder, &[1, 2], ""), (2, 0, 0));
    source(folder, [2].into_iter(), |_| "gone ");
    assert_eq!(run(folder)["deleted"], 1);
    // The older copy comes once more, alone, and is a key that the table does not have.
    source(folder, [2, 3].into_iter(), |_| "");
    let counts = run(folder);
    assert_eq!((&counts["stale"], &counts["inserted"]), (&1.into(), &1.into()), "{counts}");
    assert_eq!(all(folder), [(1, "row 1".to_owned()), (3, "row 3".to_owned())]);
}

#[test]
fn with_soft_deletes_they_are_not_marked() {
    let folder = scratch().unwrap();
    let folder = folder.path();
    project(folder, "version: at\n    deletes: soft\n    delete_when: name LIKE 'gone%'", "");
    assert_eq!(load(folder, &[2, 1], ""), (2, 0, 0));
    assert_eq!(load(folder, &[4, 3], ""), (2, 0, 0));
    assert_eq!(newest(folder), [4, 3]);
    for (file, _) in files(folder) {
        for batch in ParquetRecordBatchReaderBuilder::try_new(fs::File::open(file).unwrap()).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let marks = batch.column_by_name("is_deleted").unwrap().as_boolean();
            assert!(marks.iter().all(|mark| mark == Some(false)), "{marks:?}");
        }
    }
    // One that comes with its mark is merged.
    source(folder, [6, 5].into_iter(), |id| if id == 5 { "gone " } else { "" });
    let counts = run(folder);
    assert_eq!((&counts["inserted"], &counts["delete_noop"]), (&1.into(), &1.into()), "{counts}");
}
