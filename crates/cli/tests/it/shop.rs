//! What the shop's pages say is what its data gives.

use crate::support::Scratch;
use floodmark_core::wording::grouped;
use rusqlite::{Connection, types::ValueRef};
use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The shop as it is in the repository, without what a run of it may have left there.
fn shop() -> Scratch {
    let (scratch, from) = (Scratch::new(), repository().join("examples/shop"));
    fs::create_dir(scratch.path().join("data")).unwrap();
    fs::copy(from.join("floodmark.yaml"), scratch.path().join("floodmark.yaml")).unwrap();
    for file in fs::read_dir(from.join("data")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), scratch.path().join("data").join(file.file_name())).unwrap();
    }
    scratch
}

/// The rows of a query, as the shell of SQLite prints them.
fn query(scratch: &Scratch, sql: &str) -> Vec<String> {
    let db = Connection::open(scratch.path().join("shop.db")).unwrap();
    let mut statement = db.prepare(sql).unwrap();
    let columns = statement.column_count();
    let cell = |value: ValueRef<'_>| match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(n) => n.to_string(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
    };
    let rows = statement.query_map([], |row| {
        let cells = (0..columns).map(|i| row.get_ref(i).map(cell)).collect::<Result<Vec<_>, _>>()?;
        Ok(cells.join("|"))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// The counts of a run, summed over its pipelines.
fn run(scratch: &Scratch) -> impl Fn(&str) -> u64 {
    let outcomes = scratch.json(&["run"], 0);
    move |count: &str| outcomes.iter().map(|o| o["rows"][count].as_u64().unwrap()).sum()
}

#[test]
fn its_page_shows_what_there_is() {
    let scratch = shop();
    let page = fs::read_to_string(repository().join("examples/shop/README.md")).unwrap();
    let read = run(&scratch)("read");
    assert!(page.contains(&format!("{} read", grouped(read))), "{read} rows are read");
    let files = query(&scratch, "SELECT DISTINCT file, rows FROM _floodmark_files");
    let rows: u64 = files.iter().filter_map(|row| row.rsplit_once('|')?.1.parse::<u64>().ok()).sum();
    for page in [&page, &fs::read_to_string(repository().join("README.md")).unwrap()] {
        assert!(page.contains(&format!("{} rows", grouped(rows))), "the files have {rows} rows");
    }
    let mut lines = page.lines().peekable();
    let mut shown = 0;
    while let Some(line) = lines.next() {
        let Some(sql) = line.strip_prefix("sqlite3 shop.db \"").and_then(|l| l.strip_suffix('"')) else { continue };
        let mut rows = Vec::new();
        while let Some(row) = lines.next_if(|l| l.starts_with("# ")) {
            rows.push(row[2..].to_owned());
        }
        assert_eq!(query(&scratch, sql), rows, "{sql}");
        shown += 1;
    }
    assert_eq!(shown, 4);
}

#[test]
fn its_changes_do_what_is_said_of_them() {
    let scratch = shop();
    scratch.ok(&["run"]);
    let page = fs::read_to_string(repository().join("examples/shop/README.md")).unwrap();
    let then = page.split_once("Change something and run again").unwrap().1;
    let commands = then.split("```sh\n").nth(1).unwrap().split_once("```").unwrap().0;
    let change = |first: &str| {
        let command = commands.lines().find(|line| line.starts_with(first)).unwrap();
        assert!(Command::new("sh").args(["-c", command]).current_dir(scratch.path()).status().unwrap().success());
        run(&scratch)
    };
    let counts = change("echo '100000,");
    assert_eq!(["inserted", "updated", "removed"].map(counts), [0, 1, 0]);
    let counts = change("printf 'order_id,");
    assert_eq!(["inserted", "updated", "removed", "stale"].map(counts), [0, 0, 0, 1]);
    let counts = change("printf 'day,");
    assert_eq!(["inserted", "updated", "removed"].map(counts), [1, 0, 60]);
    let days: BTreeSet<String> = query(&scratch, "SELECT count(*) FROM daily_stock GROUP BY day").into_iter().collect();
    assert_eq!(days, ["1".to_owned(), "60".to_owned()].into());
}
