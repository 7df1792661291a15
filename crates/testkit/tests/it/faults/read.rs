//! What other programs find in a lake: the `deltalake` package, and DuckDB of the files that a manifest names.

use super::project::Project;
use floodmark_testkit::scratch;
use std::{path::PathBuf, process::Command};

/// The rows (`id`, `name`) of table `orders` in each project's lake, all asked for at once: Python takes its time to begin.
pub(super) fn by_others(projects: &[&Project]) -> Vec<Vec<Vec<String>>> {
    let python = std::env::var("FLOODMARK_TEST_DELTA")
        .expect("FLOODMARK_TEST_DELTA is not set: `cargo xtask services up` says what to set");
    let copy = scratch().unwrap();
    let folders: Vec<PathBuf> = (0..projects.len()).map(|n| copy.path().join(n.to_string())).collect();
    for (project, folder) in projects.iter().zip(&folders) {
        project.bucket.bring(&format!("{}/orders/", project.lake), folder).unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/read.py");
    let out = Command::new(python).arg(script).args(&folders).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Rows as [`by_others`] has them.
pub(super) fn rows(rows: &[(&str, &str)]) -> Vec<Vec<String>> {
    rows.iter().map(|(id, name)| vec![(*id).to_owned(), (*name).to_owned()]).collect()
}
