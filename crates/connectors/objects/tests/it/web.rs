//! A file of a web server, on good days and on bad ones.

use super::{
    ill::{Ill, Server},
    rows, source,
};
use floodmark_connect::{Source, Stop};
use floodmark_core::Code;

fn csv(rows: usize) -> Vec<u8> {
    let text: String = (0..rows).map(|n| format!("{n},text {n}\n")).collect();
    format!("id,text\n{text}").into_bytes()
}

#[test]
fn what_fails_for_a_while_is_tried_again() {
    for tags in [true, false] {
        let server = Server::start(csv(100_000), tags, &[Ill::SlowDown, Ill::Cut, Ill::SlowDown, Ill::Cut]);
        let source = source(&[&server.url], None);
        assert_eq!(rows(&source).unwrap().1, 100_000);
    }
}

#[test]
fn a_file_that_is_replaced_between_two_parts_is_told() {
    for parts in 1..4 {
        let mut plan = vec![Ill::SlowDown; parts];
        plan.push(Ill::Replace);
        let server = Server::start(csv(100_000), true, &plan);
        let error = rows(&source(&[&server.url], None)).unwrap_err();
        assert!(error.message().contains("replaced"), "{error:?}");
    }
}

#[test]
fn a_file_that_is_known_is_not_opened() {
    let server = Server::start(csv(10), true, &[]);
    let source = source(&[&server.url], None);
    let slices = source.slices().unwrap();
    let hash = floodmark_connect::Files::hash(&source, &slices[0], &Stop::default()).unwrap();
    assert_ne!(hash, 0);
    assert_eq!(server.requests(), ["HEAD /a.csv HTTP/1.1"]);
}

#[test]
fn patterns_and_what_is_not_there_are_refused() {
    let server = Server::start(csv(10), true, &[]);
    let error = source(&["http://127.0.0.1:1/a.csv"], None).slices().unwrap_err();
    assert_eq!(error.code(), Code::SourceRead, "{error:?}");
    let error = source(&[&server.url.replace("a.csv", "*.csv")], None).slices().unwrap_err();
    assert_eq!(error.code(), Code::BadUrl, "{error:?}");
}
