//! Any text as a pipeline file, with three variables.
#![no_main]

use floodmark_config::{Diagnostics, Project, lint};
use libfuzzer_sys::{Corpus, fuzz_target};
use std::path::Path;

/// What no message may say.
const SECRET: &str = "zq-Secret-17";

fn variable(name: &str) -> Option<String> {
    match name {
        "PASSWORD" => Some(SECRET.to_owned()),
        "WAREHOUSE" => Some("sqlite:///warehouse.db".to_owned()),
        "NUMBER" => Some("12".to_owned()),
        _ => None,
    }
}

fuzz_target!(|data: &[u8]| -> Corpus {
    // `${file:…}` reads files, and what they hold is not of this input.
    let Some(text) = std::str::from_utf8(data).ok().filter(|text| !text.contains("${file:")) else {
        return Corpus::Reject;
    };
    let read = || Project::parse(Path::new("shop/floodmark.yaml"), text, &variable);
    match (read(), read()) {
        (Ok(a), Ok(b)) => {
            assert_eq!(format!("{a:?}"), format!("{b:?}"), "one file, two pipelines");
            assert_eq!(format!("{:?}", lint(&a)), format!("{:?}", lint(&b)), "one file, two opinions");
        }
        (Err(a), Err(b)) => {
            assert_eq!(format!("{a:?}"), format!("{b:?}"), "one file, two lists of mistakes");
            told(&a, text);
        }
        (a, b) => panic!("a file that is right once and wrong once: {a:?} {b:?}"),
    }
    Corpus::Keep
});

/// Every mistake lies inside the text, and can be shown.
fn told(mistakes: &Diagnostics, text: &str) {
    assert!(mistakes.count() > 0, "refused without a reason");
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.split('\n').collect();
    for mistake in mistakes {
        assert!(!mistake.message().is_empty());
        if let Some((line, column)) = mistake.position() {
            assert!((1..=lines.len()).contains(&line), "line {line} of {}: {mistake:?}", lines.len());
            let width = lines[line - 1].chars().count();
            assert!((1..=width + 1).contains(&column), "column {column} of {width}: {mistake:?}");
        }
        if let Some(span) = mistake.span() {
            assert!(text.get(span).is_some(), "bytes outside the text: {mistake:?}");
        }
    }
    let said = [mistakes.render(false), mistakes.render(true), mistakes.to_json().to_string()];
    if !text.contains(SECRET) {
        assert!(!said.iter().any(|said| said.contains(SECRET)), "a message says what a variable holds: {}", said[0]);
    }
}
