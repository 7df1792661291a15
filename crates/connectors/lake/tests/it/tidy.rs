//! Compaction and vacuum, alone and beside loads.

use super::{Folder, append, columns, ids, made, read, rows, written};
use arrow::{array::AsArray, datatypes::Int64Type};
use floodmark_connect::destination::Tidied;
use floodmark_core::Code;
use floodmark_lake::{Change, Layout, Outcome, Reads};
use std::{
    fs::{self, File, FileTimes},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Everything there is becomes older, as a store has it.
fn age(folder: &Path, by: Duration) {
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            age(&path, by);
        } else {
            let then = fs::metadata(&path).unwrap().modified().unwrap() - by;
            File::options().write(true).open(&path).unwrap().set_times(FileTimes::new().set_modified(then)).unwrap();
        }
    }
}

fn parquets(folder: &Path) -> usize {
    let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".parquet")).count()
}

#[test]
fn small_files_become_one_and_keep_their_rows_and_numbers() {
    Folder::both(|folder| small_files_become_one_and_keep_their_rows_and_numbers_in(&folder));
}

fn small_files_become_one_and_keep_their_rows_and_numbers_in(folder: &Folder) {
    let table = folder.table();
    let mut now = made(&table, &rows(0..1));
    for n in 0..6 {
        let first = 10 + n * 10;
        let layout = Layout { numbered: Some(first), ..Layout::new(columns()) };
        let files = written(&table, layout, &rows(first..first + 4));
        table.commit(Some(&now), &append(&files, "floodmark:maker", n + 2)).unwrap();
        now = now.refresh().unwrap();
    }
    let before = ids(&table);
    // Who reads a folder alone takes every file in it for one of the table.
    let at_once = if table.name().starts_with("parquet:") { 6 } else { 0 };
    let tidied = table.optimize(128 << 20, None).unwrap();
    assert_eq!(Tidied { freed: 0, ..tidied }, Tidied { compacted: 6, into: 1, deleted: at_once, freed: 0 });
    assert_eq!(tidied.freed > 0, at_once > 0);
    assert_eq!(ids(&table), before);
    let now = table.snapshot().unwrap().unwrap();
    assert_eq!(now.files().unwrap().len(), 2);
    let file = now.files().unwrap().iter().find(|file| file.numbers.is_some()).unwrap();
    let numbers = file.numbers.clone().unwrap().into_iter().flat_map(|(first, last)| first..=last);
    // The row of a number is still that of this number.
    let read: Vec<i64> = table
        .read(&now, file, &["id"])
        .unwrap()
        .flat_map(|batch| batch.unwrap().column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    assert_eq!(numbers.collect::<Vec<_>>(), read);
    assert_eq!(now.transaction("floodmark:maker").unwrap(), Some(7));
    // What is no more the table's lies there until nobody can want it.
    assert_eq!(parquets(&folder.path()), 8 - at_once as usize);
    age(&folder.path(), DAY * 6);
    assert_eq!(table.optimize(128 << 20, None).unwrap(), Tidied::default());
    age(&folder.path(), DAY * 2);
    let young = written(&table, Layout::new(columns()), &rows(100..101));
    let tidied = table.optimize(128 << 20, None).unwrap();
    assert_eq!((tidied.deleted, tidied.freed > 0), (6 - at_once, at_once == 0));
    assert_eq!(ids(&table), before);
    // And what a load has just written is the load's.
    table.commit(Some(&now), &append(&young, "floodmark:maker", 8)).unwrap();
    assert_eq!(ids(&table).len(), before.len() + 1);
}

#[test]
fn what_was_removed_lately_is_kept_however_old_it_is() {
    Folder::both(|folder| what_was_removed_lately_is_kept_however_old_it_is_in(&folder));
}

fn what_was_removed_lately_is_kept_however_old_it_is_in(folder: &Folder) {
    let table = folder.table();
    let now = made(&table, &rows(0..3));
    age(&folder.path(), DAY * 30);
    let all: Vec<_> = now.files().unwrap().iter().collect();
    table.commit(Some(&now), &Change { remove: &all, ..append(&[], "floodmark:x", 1) }).unwrap();
    assert_eq!(table.optimize(1, None).unwrap(), Tidied::default());
    assert_eq!(parquets(&folder.path()), 1);
    age(&folder.path(), DAY * 8);
    assert_eq!(table.optimize(1, None).unwrap().deleted, 1);
    let error = table.optimize(1, Some(Duration::from_secs(60))).unwrap_err();
    assert_eq!(error.code(), Code::BadArgument);
}

/// Compactions go on while loads replace files and append.
#[test]
fn loads_and_compactions_at_once_lose_nothing() {
    Folder::both(|folder| loads_and_compactions_at_once_lose_nothing_in(&folder));
}

fn loads_and_compactions_at_once_lose_nothing_in(folder: &Folder) {
    let table = folder.table();
    made(&table, &rows(0..1));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                table.optimize(128 << 20, Some(Duration::from_secs(3600))).unwrap();
            }
        });
        let loads: Vec<_> = (0..2)
            .map(|app| {
                let table = &table;
                scope.spawn(move || {
                    let app = format!("floodmark:{app}");
                    let mut version = 1;
                    while version <= 12 {
                        let base = table.snapshot().unwrap().unwrap();
                        // Every row of the table once more, and one that is new.
                        let read = match read(table, &base) {
                            // Of a folder, files that were written together are gone: a load begins again.
                            Err(error) if error.is_transient() && table.name().starts_with("parquet:") => continue,
                            read => read.unwrap(),
                        };
                        let next = i64::try_from(read.num_rows()).unwrap();
                        let mut files = written(table, Layout::new(columns()), &read);
                        files.extend(written(table, Layout::new(columns()), &rows(next..next + 1)));
                        let all: Vec<_> = base.files().unwrap().iter().collect();
                        let change = Change { remove: &all, reads: Reads::Table, ..append(&files, &app, version) };
                        if let Outcome::Done(_) = table.commit(Some(&base), &change).unwrap() {
                            version += 1;
                        }
                    }
                })
            })
            .collect();
        loads.into_iter().for_each(|load| load.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(ids(&table), (0..25).collect::<Vec<_>>());
}
