//! Every file under `tests/cases` is a test; a failure names its file and line.

use floodmark_testkit::{Style, case, play, play::suits};
use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(directory: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|e| e == "txt") {
            out.push(path);
        }
    }
}

fn play_all(style: Style) {
    let base = root().join("tests/cases");
    let mut all = Vec::new();
    files(&base, &mut all);
    let only = std::env::var("CASE").ok();
    let mut played = 0;
    let mut failures = Vec::new();
    for path in all {
        let name = path.strip_prefix(&base).unwrap().display().to_string();
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let case = case::parse(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        if !suits(&case, style) {
            continue;
        }
        played += 1;
        if let Err(failure) = play(&case, None, style) {
            failures.push(format!("tests/cases/{name}:{}: {}", failure.line, failure.message));
        }
    }
    assert!(played > 0, "no case was played");
    assert!(failures.is_empty(), "{} of {played} cases fail\n\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn every_case_goes_as_it_says() {
    play_all(Style::AsWritten);
}

#[test]
fn p8_chunks_of_one_row_give_the_same_tables() {
    play_all(Style::OneRowChunks);
}
