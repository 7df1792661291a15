//! `floodmark diff`: the same content in any two databases is equal, and what differs is named.

mod hostile;
mod large;
mod values;

use floodmark_testkit::{Mysql, Postgres, floodmark, scratch};
use serde_json::Value;
use std::{path::Path, process::Command};
use tempfile::TempDir;

/// Three databases of its own, and a folder.
pub(crate) struct Places {
    folder: TempDir,
    postgres: Postgres,
    mysql: Mysql,
}

impl Places {
    pub(crate) fn new() -> Places {
        Places { folder: scratch().unwrap(), postgres: Postgres::empty().unwrap(), mysql: Mysql::empty().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// By name, with their URLs.
    pub(crate) fn databases(&self) -> [(&'static str, String); 3] {
        [
            ("sqlite", "sqlite:///t.db".to_owned()),
            ("postgres", self.postgres.url().to_owned()),
            ("mysql", self.mysql.url().to_owned()),
        ]
    }

    pub(crate) fn sqlite(&self, sql: &str) {
        rusqlite::Connection::open(self.path().join("t.db")).unwrap().execute_batch(sql).unwrap();
    }

    pub(crate) fn postgres(&self, sql: &str) {
        self.postgres.connect().unwrap().batch_execute(sql).unwrap();
    }

    pub(crate) fn mysql(&self, sql: &str) {
        self.mysql.execute(sql).unwrap();
    }

    /// Runs the program; its exit code, and what it printed as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let mut program = Command::new(floodmark().unwrap());
        let output = program.current_dir(self.path()).args(arguments).args(["--format", "json"]).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let value = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {printed} {said}"));
        (output.status.code().unwrap(), value)
    }

    /// Compares, which must end with that exit code.
    pub(crate) fn diff(&self, code: i32, first: &str, second: &str, more: &[&str]) -> Value {
        let (ended, report) = self.json(&[&["diff", first, second], more].concat());
        assert_eq!(ended, code, "{first} and {second}: {report:#}");
        report
    }

    pub(crate) fn load(&self, from: &str, into: &str, table: &str, more: &[&str]) {
        let (ended, report) = self.json(&[&["load", from, into, "--table", table], more].concat());
        assert_eq!(ended, 0, "{report:#}");
    }
}

/// Missing, extra and different rows.
pub(crate) fn counts(report: &Value) -> [u64; 3] {
    ["missing", "extra", "different"].map(|kind| report["rows"][kind].as_u64().unwrap())
}

/// The rows that differ, each in a line.
pub(crate) fn told(report: &Value) -> Vec<String> {
    told_as(report, "first", "second")
}

/// The same where the two are called so.
pub(crate) fn told_as(report: &Value, first: &str, second: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("NULL").to_owned();
    let row = |row: &Value| {
        let key: Vec<String> = row["key"].as_object().unwrap().values().map(text).collect();
        let columns = row["columns"].as_object().into_iter().flatten();
        let columns: Vec<String> =
            columns.map(|(name, both)| format!(" {name} {}→{}", text(&both[first]), text(&both[second]))).collect();
        format!("{} {}{}", row["difference"].as_str().unwrap(), key.join(","), columns.concat())
    };
    let mut rows: Vec<String> = report["differences"].as_array().unwrap().iter().map(row).collect();
    rows.sort();
    rows
}
