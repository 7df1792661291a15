//! Every file under `tests/cases` is a test; a failure names its file and line.

use floodmark_testkit::{Destination, Style, scratch, suite};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn play_all(style: Style, on: Destination) {
    play_each(1, style, on);
}

/// One case of every so many; all that `CASE` names.
fn play_each(every: usize, style: Style, on: Destination) {
    let only = std::env::var("CASE").ok();
    let every = if only.is_some() { 1 } else { every };
    let report = suite::play_each(&root().join("tests/cases"), only.as_deref(), every, style, on).unwrap();
    let failures = &report.failures;
    assert!(failures.is_empty(), "{} of {} cases fail\n\n{}", failures.len(), report.played, failures.join("\n\n"));
}

#[test]
fn every_case_goes_as_it_says() {
    play_all(Style::AsWritten, Destination::Sqlite);
}

#[test]
fn p8_chunks_of_one_row_give_the_same_tables() {
    play_all(Style::OneRowChunks, Destination::Sqlite);
}

#[test]
fn every_case_goes_as_it_says_on_postgres() {
    play_all(Style::AsWritten, Destination::Postgres);
}

#[test]
fn p8_chunks_of_one_row_give_the_same_tables_on_postgres() {
    play_all(Style::OneRowChunks, Destination::Postgres);
}

#[test]
fn every_case_goes_as_it_says_on_mysql() {
    play_all(Style::AsWritten, Destination::Mysql);
}

#[test]
fn p8_chunks_of_one_row_give_the_same_tables_on_mysql() {
    play_all(Style::OneRowChunks, Destination::Mysql);
}

#[cfg(feature = "duckdb")]
#[test]
fn every_case_goes_as_it_says_on_duckdb() {
    play_all(Style::AsWritten, Destination::Duckdb);
}

// A quarter of them: a process that has DuckDB in it takes four times as long to begin and to end as another one.
#[cfg(feature = "duckdb")]
#[test]
fn p8_chunks_of_one_row_give_the_same_tables_on_duckdb() {
    play_each(4, Style::OneRowChunks, Destination::Duckdb);
}

#[cfg(feature = "lake")]
#[test]
fn every_case_goes_as_it_says_on_delta() {
    play_all(Style::AsWritten, Destination::Delta);
}

#[cfg(feature = "lake")]
#[test]
fn p8_chunks_of_one_row_give_the_same_tables_on_delta() {
    play_each(4, Style::OneRowChunks, Destination::Delta);
}

const GOOD: &str = "-- pipeline\nload: append\n-- file data/a.csv\nid\n1\n-- run\nok read=1 inserted=1\n";

#[test]
fn a_failing_case_is_told_by_step_and_difference() {
    let folder = scratch().unwrap();
    fs::create_dir(folder.path().join("below")).unwrap();
    fs::write(folder.path().join("good.txt"), GOOD).unwrap();
    fs::write(folder.path().join("below/rows.txt"), format!("{GOOD}-- table t\nid\n2\n")).unwrap();
    fs::write(folder.path().join("counts.txt"), GOOD.replace("inserted=1", "inserted=2")).unwrap();
    fs::write(folder.path().join("unread.txt"), "no section\n").unwrap();
    let report = suite::play_folder(folder.path(), None, Style::AsWritten, Destination::Sqlite).unwrap();
    let said: Vec<String> =
        report.failures.iter().map(|f| f.replace(&folder.path().display().to_string(), "")).collect();
    assert_eq!(report.played, 4, "{said:?}");
    let [rows, counts, unread] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(rows, "/below/rows.txt:8: -- table t\n      id\n    - 2\n    + 1");
    assert!(counts.starts_with("/counts.txt:6: -- run\n    - inserted=2\n    + inserted=1\n"), "{counts}");
    assert!(unread.starts_with("/unread.txt: no section"), "{unread}");
}

#[test]
fn a_folder_with_no_case_is_an_error() {
    let folder = scratch().unwrap();
    fs::write(folder.path().join("notes.md"), "none").unwrap();
    assert!(
        suite::play_folder(folder.path(), None, Style::AsWritten, Destination::Sqlite).unwrap_err().contains("no case")
    );
    fs::write(folder.path().join("good.txt"), GOOD).unwrap();
    assert!(suite::play_folder(folder.path(), Some("other"), Style::AsWritten, Destination::Sqlite).is_err());
    assert!(suite::play_folder(&folder.path().join("absent"), None, Style::AsWritten, Destination::Sqlite).is_err());
}

/// `docs/internals/coverage.md` names each case, and no case that is not there; a sentence with none says why. What a
/// sentence rests on cannot go unnoticed.
#[test]
fn the_coverage_table_names_every_case() {
    let base = root().join("tests/cases");
    let name = |path: &PathBuf| path.strip_prefix(&base).unwrap().with_extension("").display().to_string();
    let all: BTreeSet<String> = suite::files(&base).unwrap().iter().map(name).collect();
    let page = fs::read_to_string(root().join("docs/internals/coverage.md")).unwrap();
    let mut named = BTreeSet::new();
    let heading = ["| sentence | cases |", "| --- | --- |"];
    for row in page.lines().filter(|line| line.starts_with("| ") && !heading.contains(line)) {
        let [_, cell] = row.trim_matches('|').split(" | ").collect::<Vec<_>>()[..] else {
            panic!("not a sentence and its cases: {row}")
        };
        let cases: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        assert!(!cases.is_empty() || cell.starts_with('—'), "neither a case nor a reason: {row}");
        named.extend(cases.into_iter().map(str::to_owned));
    }
    let missing: Vec<&String> = all.difference(&named).collect();
    let gone: Vec<&String> = named.difference(&all).collect();
    assert!(missing.is_empty() && gone.is_empty(), "in no row: {missing:#?}\nno such case: {gone:#?}");
}
