//! Any text as a pipeline file, with three variables.
#![no_main]

use floodmark_config::{Diagnostics, Family, Project, lint};
use floodmark_core::catalog::{Catalog, Listed};
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
            let opinions = |project: &Project| project.pipelines.iter().flat_map(lint).collect::<Vec<_>>();
            assert_eq!(opinions(&a), opinions(&b), "one file, two opinions");
            a.families.iter().for_each(|family| over_tables(family, text));
        }
        (Err(a), Err(b)) => {
            assert_eq!(format!("{a:?}"), format!("{b:?}"), "one file, two lists of mistakes");
            told(&a, text);
        }
        (a, b) => panic!("a file that is right once and wrong once: {a:?} {b:?}"),
    }
    Corpus::Keep
});

/// A family over a few tables: what comes of it is nobody's pipeline twice, and no message says a secret.
fn over_tables(family: &Family, text: &str) {
    let listed = |(name, key): (&str, &str)| Listed {
        schema: Some("public".to_owned()),
        name: name.to_owned(),
        bare: true,
        own: true,
        key: key.split_whitespace().map(str::to_owned).collect(),
    };
    let tables = [("orders", "id"), ("log", ""), ("a.b*\"c", "x y")].map(listed).to_vec();
    match family.members(&Catalog { tables, case_sensitive: true }, &|name| name == "shop.gone") {
        Ok(members) => {
            let mut names: Vec<&str> = members.all.iter().map(|member| member.name.as_str()).collect();
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all, "two pipelines of one name: {names:?}");
            let said: Vec<String> =
                members.all.iter().filter_map(|m| Some(format!("{:?}", m.pipeline.as_ref().err()?))).collect();
            assert!(text.contains(SECRET) || !said.iter().any(|said| said.contains(SECRET)), "{said:?}");
        }
        Err(mistakes) => told(&mistakes, text),
    }
}

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
