//! A file of a web server, on good days and on bad ones.

use super::{
    ill::{Ill, Server},
    rows, source,
};
use floodmark_connect::{Source, Stop};
use floodmark_core::Code;
use std::{
    net::TcpListener,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

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
    let slices = source.slices(&Stop::default()).unwrap();
    let hash = floodmark_connect::Files::hash(&source, &slices[0], &Stop::default()).unwrap();
    assert_ne!(hash, 0);
    assert_eq!(server.requests(), ["HEAD /a.csv HTTP/1.1"]);
}

#[test]
fn a_small_file_is_asked_for_once_for_its_types_and_once_for_its_rows() {
    for tags in [true, false] {
        let server = Server::start(csv(10), tags, &[]);
        assert_eq!(rows(&source(&[&server.url], None)).unwrap().1, 10);
        let asked: Vec<String> = server.requests().iter().map(|line| line[..4].trim().to_owned()).collect();
        assert_eq!(asked, ["HEAD", "GET", "GET"], "tags: {tags}");
    }
}

#[test]
fn a_signal_ends_a_listing_that_does_not_go_on() {
    // What is asked of it waits for ever.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "s3://bucket?endpoint=http://{}&region=us-east-1&access_key_id=a&secret_access_key=b",
        silent.local_addr().unwrap()
    );
    let stop = Stop::default();
    let flag = stop.flag();
    let signal = thread::spawn(move || {
        let asked = silent.accept();
        flag.store(15, Ordering::Relaxed);
        asked
    });
    let began = Instant::now();
    let error = source(&["s3://bucket/*.csv"], Some(&url)).slices(&stop).unwrap_err();
    assert_eq!(error.code(), Code::Interrupted, "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(signal.join());
}

#[test]
fn patterns_and_what_is_not_there_are_refused() {
    let server = Server::start(csv(10), true, &[]);
    let error = source(&["http://127.0.0.1:1/a.csv"], None).slices(&Stop::default()).unwrap_err();
    assert_eq!(error.code(), Code::SourceRead, "{error:?}");
    let error = source(&[&server.url.replace("a.csv", "*.csv")], None).slices(&Stop::default()).unwrap_err();
    assert_eq!(error.code(), Code::BadUrl, "{error:?}");
}
