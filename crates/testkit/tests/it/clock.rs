//! Clocks that are set back, or are behind those of another machine that loads the same table.

use super::backfill::{command, told};
use floodmark_testkit::scratch;
use std::{fs, path::Path};

fn run(folder: &Path) {
    let (exit, run) = told(command(folder, &["run"]).spawn().unwrap());
    assert_eq!(exit, Some(0), "{run:#}");
}

/// Content, whether it is the current one, and whether it ends where the next one begins, from the oldest on.
fn history(db: &rusqlite::Connection) -> Vec<(String, bool, bool)> {
    let sql =
        "SELECT n, is_current, valid_to IS lead(valid_from) OVER (ORDER BY valid_from) FROM t ORDER BY valid_from";
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_history_without_versions_goes_on_behind_its_last_commit() {
    let folder = scratch().unwrap();
    let folder = folder.path();
    let yaml = "version: 1\npipelines:\n  t:\n    source: { files: a.csv }\n    load: scd2\n    key: id\n    \
                destination: { url: 'sqlite:///out.db', table: t }\n";
    fs::write(folder.join("floodmark.yaml"), yaml).unwrap();
    fs::write(folder.join("a.csv"), "id,n\n1,first\n").unwrap();
    run(folder);
    // As if the clock had been a hundred years ahead.
    let db = rusqlite::Connection::open(folder.join("out.db")).unwrap();
    let ahead = "UPDATE t SET valid_from = '21' || substr(valid_from, 3);
                 UPDATE _floodmark_state SET updated_at = '21' || substr(updated_at, 3)";
    db.execute_batch(ahead).unwrap();
    for content in ["second", "third"] {
        fs::write(folder.join("a.csv"), format!("id,n\n1,{content}\n")).unwrap();
        run(folder);
    }
    let expected = [("first", false, true), ("second", false, true), ("third", true, true)];
    assert_eq!(history(&db), expected.map(|(content, current, meets)| (content.to_owned(), current, meets)));
}
