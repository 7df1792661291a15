//! What every destination must do, done in a lake.

use floodmark_connect::conformance;
use floodmark_core::url::ConnectionUrl;
use floodmark_lake::LakeDestination;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

fn lake(format: &str, folder: &Path) -> LakeDestination {
    let url = ConnectionUrl::parse(&format!("{format}:///{}", folder.join("lake").display())).unwrap();
    LakeDestination::new(&url).unwrap()
}

/// Those that fail are told together; `ONLY` names some.
fn all(format: &str) {
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut failed = Vec::new();
    for (name, test) in conformance::ALL.iter().filter(|(name, _)| name.contains(&only)) {
        let dir = tempfile::tempdir().unwrap();
        let destination = lake(format, dir.path());
        if catch_unwind(AssertUnwindSafe(|| test(&destination))).is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "{} of {} fail: {failed:#?}", failed.len(), conformance::ALL.len());
}

#[test]
fn conformance() {
    all("delta");
}

#[test]
fn conformance_of_datasets() {
    all("parquet");
}

#[test]
fn a_zombie_is_fenced() {
    let dir = tempfile::tempdir().unwrap();
    let lose = || std::fs::remove_dir_all(dir.path().join("lake/_floodmark/locks")).unwrap();
    conformance::fence(&lake("delta", dir.path()), &lose);
}
