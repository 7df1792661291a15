//! What an `append` knows of the rows at its watermark.

use super::scene::{Asked, Scene};
use crate::Destination;
use floodmark_core::{pipeline::Load, state::BoundaryChange};

/// `a: 1 2 2, b: 4` as rows by file and hash.
fn rows(text: &str) -> Vec<(std::sync::Arc<str>, u128)> {
    let mut out = Vec::new();
    for part in text.split(", ").filter(|part| !part.is_empty()) {
        let (file, hashes) = part.split_once(": ").unwrap();
        out.extend(hashes.split(' ').map(|hash| (file.into(), hash.parse().unwrap())));
    }
    out
}

/// `a: 1 2 -3, *: 4` as questions: rows that are known, and with a minus rows that are not; a star is any file.
fn asked(text: &str) -> Vec<Asked> {
    let question = |part: &str| {
        let (file, hashes) = part.split_once(": ").unwrap();
        let hashes = hashes
            .split(' ')
            .map(|hash| (hash.trim_start_matches('-').parse::<u128>().unwrap(), !hash.starts_with('-')));
        let (hashes, known) = hashes.unzip();
        Asked { file: (file != "*").then(|| file.to_owned()), hashes, known }
    };
    text.split(", ").map(question).collect()
}

/// Each row answers to one question, in whatever order they come, and what a load leaves is what the next one knows.
pub(super) fn answers_once(destination: &dyn Destination) {
    // What is asked for, then what a load changes: a plus goes to what is there, all else takes its place.
    let loads = [
        ("a: -1, *: -2", "a: 1 2 2 3, b: 2 4"),
        ("a: 1 2 2, b: 2, b: 4 -4, a: 3 -3", "+"),
        ("a: 2 1 -9 2 -2, b: 4 2 -4, c: -1, *: 3 -3 -1 -2", "+c: 5"),
        ("*: 2 2 2 -2 5 -5 1", "a: 7 7"),
        ("a: -1 7, *: -2 7 -7, b: -7", "+"),
        ("b: -7, a: 7 7 -7", ""),
        ("a: -7, *: -7", "+"),
    ];
    let mut scene = Scene::new(Load::Append);
    scene.pipeline.key.clear();
    let mut other = Scene::new(Load::Append);
    (other.pipeline.name, other.pipeline.destination.table) = ("q".into(), "u".into());
    other.pipeline.key.clear();
    other.boundary = BoundaryChange { anew: true, added: rows("a: 1 2 9") };
    other.load(other.open(destination).as_mut(), &[]).unwrap();
    for (questions, left) in loads {
        scene.asked = asked(questions);
        let added = rows(left.trim_start_matches('+'));
        scene.boundary = BoundaryChange { anew: !left.starts_with('+'), added };
        scene.load(scene.open(destination).as_mut(), &[]).unwrap();
    }
    other.asked = asked("a: 9 2 1 -1");
    other.load(other.open(destination).as_mut(), &[]).unwrap();
}
