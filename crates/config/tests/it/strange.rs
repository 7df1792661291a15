//! Text that nobody would write.

use super::{EXAMPLE, parse};
use floodmark_config::{Diagnostics, Project, from_flags, load_flags};
use floodmark_core::{
    Error,
    catalog::{Catalog, Listed},
};
use proptest::prelude::*;
use std::path::Path;

fn unset(_: &str) -> Option<String> {
    None
}

/// Everything that can be done with a result; whatever comes of it, nothing may panic.
fn use_it(result: Result<Project, Diagnostics>, text: &str) {
    match result {
        Ok(project) => {
            project.pipelines.iter().for_each(|pipeline| drop(floodmark_config::lint(pipeline)));
            for family in &project.families {
                drop((family.members(&catalog(true), &|_| false), family.members(&catalog(false), &|_| true)));
            }
        }
        Err(mistakes) => {
            assert!(mistakes.count() > 0);
            for d in &mistakes {
                let (span, position) = (d.span(), d.position());
                assert_eq!(span.is_some(), position.is_some());
                let text = text.strip_prefix('\u{feff}').unwrap_or(text);
                span.into_iter().for_each(|s| assert!(text.get(s).is_some()));
                position.into_iter().for_each(|(line, column)| assert!(line > 0 && column > 0));
            }
            assert!(!mistakes.render(false).is_empty() && !mistakes.render(true).is_empty());
            assert_eq!(mistakes.to_json().as_array().map(Vec::len), Some(mistakes.count()));
            drop(Error::from(mistakes));
        }
    }
}

fn catalog(schemas: bool) -> Catalog {
    let listed = |name: &str| Listed {
        schema: schemas.then(|| "public".to_owned()),
        name: name.to_owned(),
        bare: true,
        own: name != "view",
        key: if name == "t" { vec!["id".to_owned()] } else { Vec::new() },
    };
    Catalog { tables: ["orders", "t", "view", "a.\"\u{1}b"].map(listed).to_vec(), case_sensitive: schemas }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        use_it(parse(&text), &text);
    }

    #[test]
    fn any_text_of_yaml_characters_is_read_or_refused(text in "[-a: \\[\\]{}&*!|>'\"%@`,#?\\n\\r\\t~0<$ü\u{feff}]{0,80}") {
        use_it(parse(&text), &text);
    }

    #[test]
    fn a_mutated_file_is_read_or_refused(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[-a: \\[\\]{}&*!|>'\"#\\n\\t$ü]{0,6}"), 1..6)
    ) {
        let mut text = EXAMPLE.to_owned();
        for (at, length, with) in edits {
            let chars: Vec<usize> = text.char_indices().map(|(i, _)| i).chain([text.len()]).collect();
            let from = at.index(chars.len());
            let to = (from + length).min(chars.len() - 1);
            text.replace_range(chars[from]..chars[to].max(chars[from]), &with);
        }
        use_it(Project::parse(Path::new("f.yaml"), &text, &unset), &text);
    }

    #[test]
    fn a_file_cut_anywhere_is_read_or_refused(at in any::<prop::sample::Index>()) {
        let text = &EXAMPLE[..at.index(EXAMPLE.len())];
        use_it(parse(text), text);
    }

    #[test]
    fn any_flags_are_read_or_refused(given in prop::collection::vec((any::<prop::sample::Index>(), any::<String>()), 0..8)) {
        let names: Vec<&str> = load_flags().filter_map(|f| f.flag).chain(["files", "url", "table", "pipeline", "?"]).collect();
        let flags: Vec<(&str, String)> = given.into_iter().map(|(i, v)| (names[i.index(names.len())], v)).collect();
        if let Err(mistakes) = from_flags(&flags, &unset) {
            prop_assert!(!mistakes.render(false).is_empty());
        }
    }
}
