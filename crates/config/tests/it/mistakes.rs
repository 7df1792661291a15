//! Files with mistakes: all told at once, each where it stands, none with a secret in it.

use super::{env, parse, pipeline};
use floodmark_config::{Diagnostics, Project};
use floodmark_core::{
    Code, Error,
    pipeline::{READERS, SourceSpec},
};
use std::path::Path;

#[test]
fn a_file_with_every_kind_of_mistake() {
    let mistakes = parse(include_str!("mistakes.yaml")).unwrap_err();
    insta::assert_snapshot!(mistakes.render(false));
}

/// The text each mistake points at, with its message.
fn told(mistakes: &Diagnostics, text: &str) -> Vec<(String, String)> {
    let at = |d: &floodmark_config::Diagnostic| d.span().map_or(String::new(), |s| text[s].to_owned());
    mistakes.iter().map(|d| (at(d), d.message().to_owned())).collect()
}

#[track_caller]
fn refused(lines: &str, at: &str, message: &str) {
    let text = pipeline(lines);
    let mistakes = parse(&text).map(|p| format!("{p:?}")).unwrap_err();
    let told = told(&mistakes, &text);
    assert_eq!(told.len(), 1, "{lines}\n{mistakes}");
    assert_eq!(told[0].0, at, "{mistakes}");
    assert!(told[0].1.contains(message), "{mistakes}");
    let d = mistakes.iter().next().unwrap();
    assert_eq!(d.code(), Code::Unsafe, "{mistakes}");
    assert!(!d.advice().is_empty(), "no remedy: {mistakes}");
}

#[track_caller]
fn accepted(lines: &str) -> Project {
    parse(&pipeline(lines)).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn strategies_without_what_they_need_are_refused() {
    for load in ["upsert", "insert_only", "scd2"] {
        refused(&format!("load: {load}"), load, "needs a key");
        accepted(&format!("load: {load}\nkey: id"));
    }
    refused("load: delete_insert", "delete_insert", "has neither `window` nor `key`");
    refused("load: delete_insert\nwindow: day\nwatermark: at", "day", "not part of `window`");
    refused("load: append\nwindow: day", "day", "belongs to `load: delete_insert` alone");
    refused("load: overwrite\nwatermark: at", "at", "reads only a part");
    accepted("load: delete_insert\nwindow: [day]\nwatermark: day");
    accepted("load: delete_insert\nkey: id\nwatermark: at");
    accepted("load: upsert\nkey: id\nwatermark: { column: at, boundary: exclusive }");
}

#[test]
fn absent_rows_only_mean_something_in_a_full_read() {
    refused("load: upsert\nkey: id\nwatermark: at\nabsent_rows: delete", "delete", "absent only means unchanged");
    refused("load: scd2\nkey: id\nwatermark: at\nabsent_rows: close", "close", "absent only means unchanged");
    refused("load: upsert\nkey: id\nabsent_rows: close", "close", "belongs to `load: scd2`");
    refused("load: scd2\nkey: id\nabsent_rows: delete", "delete", "belongs to `load: upsert`");
    refused("load: overwrite\nabsent_rows: delete", "delete", "with a key");
    refused("load: overwrite\nkey: id\nabsent_rows: keep", "keep", "is an upsert");
    accepted("load: scd2\nkey: id\nwatermark: at\nabsent_rows: keep");
    accepted("load: overwrite\nkey: id\nabsent_rows: delete");
}

#[test]
fn settings_that_could_have_no_effect_are_refused() {
    for load in ["append", "overwrite", "overwrite\nkey: id", "insert_only\nkey: id", "delete_insert\nkey: id"] {
        refused(&format!("load: {load}\non_null: keep"), "keep", "no existing value to keep");
        refused(&format!("load: {load}\ncolumns: {{ a: {{ on_null: keep }} }}"), "keep", "no existing value to keep");
    }
    for load in ["append", "overwrite", "insert_only\nkey: id"] {
        refused(&format!("load: {load}\ndelete_when: gone = 1"), "gone = 1", "nothing to delete");
    }
    refused("load: append\nkey: id", "id", "append compares no keys");
    refused("load: upsert\nkey: id\nappend: at_least_once", "at_least_once", "`load: append` alone");
    refused("load: append\nappend: at_least_once\nwatermark: at", "at_least_once", "contradict");
    refused("load: upsert\nkey: id\nchanged_files: append_tail", "append_tail", "`load: append` alone");
    refused("load: append\nwatermark: { column: at, lookback: 1h }", "1h", "would add rows twice");
    refused("load: append\nversion: at", "at", "without a key no row has copies");
    refused("load: upsert\nkey: id\nmax_rejects: 1%", "1%", "bad rows fail the run");
    refused("load: upsert\nkey: [id, region, id]", "id", "stands twice");
    accepted("load: append\nversion: none");
    accepted("load: overwrite\nkey: id\ndelete_when: gone = 1");
}

#[test]
fn a_key_or_a_strategy_is_needed() {
    let text = pipeline("");
    let mistakes = parse(&text).unwrap_err();
    assert_eq!(told(&mistakes, &text), [("orders".to_owned(), "`load` is missing, and there is no `key`".to_owned())]);
    assert_eq!(accepted("key: id").pipelines[0].load.name(), "upsert");
}

fn with_source(source: &str) -> String {
    format!(
        "version: 1\npipelines:\n  a:\n    source: {source}\n    destination: {{ url: sqlite:///w.db }}\n    load: append\n"
    )
}

#[test]
fn sources_that_contradict_themselves_are_refused() {
    for (source, at, message) in [
        ("{ files: \"-\" }", "append", "standard input cannot be recognised"),
        ("{ files: [a.csv, \"-\"], format: csv }", "\"-\"", "one of several"),
        ("{ files: a.csv, delimiter: \"'\", quote: \"'\" }", "\"'\"", "same character"),
        ("{ files: a.csv, header: false }", "false", "columns have no names"),
        ("{ files: a.jsonl, format: jsonl, null: NA }", "null", "about CSV"),
    ] {
        let text = with_source(source);
        let mistakes = parse(&text).unwrap_err();
        assert!(told(&mistakes, &text).iter().any(|(a, m)| a == at && m.contains(message)), "{mistakes}");
    }
}

#[test]
fn a_database_source_says_what_of_it_is_read() {
    for (source, message) in [
        ("{ connection: shop, table: o }", "there is no connection `shop`"),
        ("{ url: sqlite:///s.db }", "neither `table` nor `query`"),
        ("{ table: o }", "the source has neither `connection` nor `url`"),
        ("{ url: sqlite:///s.db, connection: sqlite:///s.db, table: o }", "both say where the source is"),
        ("{ url: sqlite:///s.db, table: o, query: SELECT 1 }", "both say what is read"),
        ("{ url: sqlite:///s.db, table: o, files: a.csv }", "`files` is about files"),
        ("{ url: sqlite:///s.db, table: o, delimiter: \",\" }", "`delimiter` is about files"),
        ("{ url: sqlite:///s.db, table: o, exclude: x }", "`exclude` is about several tables"),
        ("{ url: sqlite:///s.db, table: o }", "cannot be told from those loaded before"),
        ("{ delimiter: \",\" }", "the source has neither `files` nor `connection`"),
    ] {
        let mistakes = parse(&with_source(source)).unwrap_err();
        assert!(mistakes.to_string().contains(message), "{source}: {mistakes}");
    }
}

#[test]
fn fields_about_files_are_not_for_tables() {
    let text =
        with_source("{ url: sqlite:///s.db, table: o }").replace("load: append", "key: id\n    changed_files: fail");
    let mistakes = parse(&text).unwrap_err();
    assert_eq!(mistakes.count(), 1, "{mistakes}");
    assert!(mistakes.to_string().contains("`changed_files` is about files"), "{mistakes}");
}

#[test]
fn readers_are_for_tables_of_postgresql() {
    let parsed = |source: &str| parse(&with_source(source).replace("load: append", "key: id"));
    for (source, message) in [
        ("{ url: sqlite:///s.db, table: o, readers: 2 }", "`readers` is about PostgreSQL, and the source is SQLite"),
        ("{ url: 'mysql://u@h/d', table: o, readers: 1 }", "`readers` is about PostgreSQL, and the source is MySQL"),
        ("{ url: 'postgres://u@h/d', query: SELECT 1, readers: 2 }", "`readers` is about tables, and a query is read"),
        ("{ files: a.csv, readers: 2 }", "`readers` is about PostgreSQL, and files are read"),
        ("{ url: 'postgres://u@h/d', table: o, readers: 0 }", "`0` is not a whole number from 1 for `readers`"),
    ] {
        let mistakes = parsed(source).unwrap_err();
        assert_eq!(mistakes.count(), 1, "{mistakes}");
        assert!(mistakes.to_string().contains(message), "{source}: {mistakes}");
    }
    let readers = |source: &str| match parsed(source).unwrap().pipelines.remove(0).source {
        SourceSpec::Database(database) => database.readers,
        other => panic!("{other:?}"),
    };
    assert_eq!(readers("{ url: 'postgres://u@h/d', table: o, readers: 3 }"), 3);
    assert_eq!(readers("{ url: 'postgres://u@h/d', table: o }"), READERS);
}

#[test]
fn a_database_of_a_kind_that_is_not_known_is_told_where_it_stands() {
    let text = with_source("{ files: a.csv }").replace("sqlite:///w.db", "oracle://u:pw@h/d");
    let mistakes = parse(&text).unwrap_err();
    assert_eq!(
        told(&mistakes, &text),
        [("oracle://u:pw@h/d".into(), "`oracle` is no database this version knows".into())]
    );
    assert!(!mistakes.to_string().contains("pw"), "{mistakes}");

    let text = with_source("{ files: a.csv }").replace("sqlite:///w.db", "postgresql+psycopg://h/d");
    let mistakes = parse(&text).unwrap_err();
    assert!(mistakes.to_string().contains("did you mean `postgresql`?"), "{mistakes}");
    for known in ["sqlite:///x.db", "postgres://u@h/d", "postgresql://u@h/d"] {
        assert!(parse(&with_source("{ files: a.csv }").replace("sqlite:///w.db", known)).is_ok(), "{known}");
    }
}

#[test]
fn a_field_in_the_singular_is_not_looked_for_elsewhere() {
    let text = with_source("{ files: a.csv }").replace("pipelines:", "connection: { w: sqlite:///w.db }\npipelines:");
    let mistakes = parse(&text).unwrap_err();
    assert!(mistakes.to_string().contains("did you mean `connections`?"), "{mistakes}");
}

#[test]
fn two_pipelines_cannot_share_a_table() {
    let one = |name: &str, url: &str, table: &str| {
        format!(
            "  {name}: {{ source: {{ files: a.csv }}, destination: {{ url: \"{url}\", table: {table} }}, load: overwrite }}\n"
        )
    };
    let file = |second: String| format!("version: 1\npipelines:\n{}{second}", one("a", "sqlite:///w.db", "t"));
    let text = file(one("b", "sqlite:w.db", "T"));
    // Spelt differently, the same file: the two are compared as resolved.
    let mistakes = parse(&text).unwrap_err();
    assert!(mistakes.to_string().contains("two pipelines load the table `T`"), "{mistakes}");
    assert!(parse(&file(one("b", "sqlite:///v.db", "t"))).is_ok());
    assert!(parse(&file(one("b", "sqlite:///w.db", "u"))).is_ok());
}

#[test]
fn yaml_mistakes_have_places() {
    for (text, at) in [
        ("version: 1\npipelines: [", (2, 13)),
        ("version: 1\n\tpipelines: {}", (2, 1)),
        ("version: 1\npipelines:\n\ta: {}", (3, 1)),
        ("version: 1\nversion: 1\npipelines: {}", (2, 1)),
        ("- a\n- b\n", (1, 1)),
        ("version: 1\n---\nversion: 1\n", (2, 1)),
        ("version: !x 1\npipelines: {}", (1, 10)),
        ("a: &a [*a]\n", (1, 8)),
    ] {
        let mistakes = parse(text).unwrap_err();
        assert!(mistakes.iter().any(|d| d.position() == Some(at)), "{text:?}\n{:#}\n{mistakes}", mistakes.to_json());
    }
    for text in ["", "# nothing\n", "\u{feff}"] {
        assert!(parse(text).unwrap_err().to_string().contains("the file holds nothing"), "{text:?}");
    }
}

#[test]
fn nested_aliases_cannot_fill_the_memory() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let of = format!("*a{}, ", i - 1).repeat(10);
        text.push_str(&format!("a{i}: &a{i} [{}]\n", of.trim_end_matches(", ")));
    }
    assert!(parse(&text).unwrap_err().to_string().contains("aliases copy more"));
    let nested = format!("version: {}{}", "[".repeat(100), "]".repeat(100));
    assert!(parse(&nested).unwrap_err().to_string().contains("nested too deeply"));
    for opener in ["[", "{a: ", "- "] {
        assert!(parse(&opener.repeat(100_000)).is_err());
    }
}

#[test]
fn no_message_holds_what_a_reference_stands_for() {
    let text = "version: 1\nconnections:\n  a: ${BROKEN_URL}\n  b: postgres://app:hunter2@db/x\npipelines:\n  p:\n    source: { files: \"${SHOP_PASSWORD}\", format: \"${SHOP_PASSWORD}\", delimiter: \"${SHOP_PASSWORD}\", header: \"${SHOP_PASSWORD}\" }\n    destination: { connection: \"${SHOP_PASSWORD}\", table: \"${SHOP_PASSWORD}\" }\n    load: \"${SHOP_PASSWORD}\"\n    key: [\"${SHOP_PASSWORD}\", \"${SHOP_PASSWORD}\"]\n    max_rejects: \"${SHOP_PASSWORD}\"\n    watermark: { column: \"${SHOP_PASSWORD}\", lookback: \"${SHOP_PASSWORD}\" }\n    columns: { c: \"${SHOP_PASSWORD}\" }\n    schedule: \"${SHOP_PASSWORD}\"\n    commit_every: \"${SHOP_PASSWORD}\"\n";
    let mistakes = parse(text).unwrap_err();
    assert!(mistakes.count() > 8, "{mistakes}");
    let all = format!("{mistakes}{}{:?}", mistakes.to_json(), mistakes);
    assert!(!all.contains("hunter2"), "{all}");
    assert!(!format!("{:?}", Error::from(mistakes)).contains("hunter2"));
}

#[test]
fn a_watermark_column_from_a_reference_is_not_shown_either() {
    let text = pipeline("load: delete_insert\nwindow: day\nwatermark: \"${SHOP_PASSWORD}\"");
    let mistakes = parse(&text).unwrap_err();
    assert!(!mistakes.to_string().contains("hunter2"), "{mistakes}");
}

#[test]
fn missing_files_and_other_bytes_are_told_with_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("floodmark.yaml");
    let missing = Project::open(&path, &env).unwrap_err();
    assert!(missing.to_string().contains("there is no such file") && missing.to_string().contains("floodmark.yaml"));
    let error = Error::from(missing);
    assert_eq!((error.code(), error.exit_code()), (Code::ConfigRead, 2));
    std::fs::write(&path, b"version: 1\n# \xff\n").unwrap();
    assert!(Project::open(&path, &env).unwrap_err().to_string().contains("line 2"));
    std::fs::write(&path, vec![b'#'; (4 << 20) + 1]).unwrap();
    assert!(Project::open(&path, &env).unwrap_err().to_string().contains("more than 4 MiB"));
}

#[test]
fn as_an_error_the_first_mistake_speaks_for_all() {
    let error = Error::from(parse("version: 1\nnonsense: 2\npipelines: {}\n").unwrap_err());
    assert_eq!((error.code(), error.exit_code()), (Code::ConfigInvalid, 2));
    assert_eq!(error.place().and_then(|p| p.line), Some(2));
    assert!(error.advice().iter().any(|h| h.contains("one more mistake")), "{error:?}");
}

#[test]
fn columns_are_counted_in_characters_and_carriage_returns_move_nothing() {
    let text = "version: 1\r\npipelines:\r\n  ünïcödé: { sauce: 1 }\r\n";
    let mistakes = Project::parse(Path::new("f"), text, &env).unwrap_err();
    let sauce = mistakes.iter().find(|d| d.message().contains("sauce")).unwrap();
    assert_eq!(sauce.position(), Some((3, 14)));
    assert_eq!(&text[sauce.span().unwrap()], "sauce");
}

#[test]
fn a_right_word_in_the_wrong_place_is_told_where_it_belongs() {
    let text = pipeline("key: id\nlookback: 15m\ntable: x");
    let shown = parse(&text).unwrap_err().to_string();
    assert!(shown.contains("it belongs in `pipelines.NAME.watermark`"), "{shown}");
    assert!(shown.contains("it belongs in `pipelines.NAME.source` or `pipelines.NAME.destination`"), "{shown}");
}

#[test]
fn sources_that_are_not_files_say_what_to_do() {
    for (url, says) in
        [("ftp://example.com/orders.csv", "paths and patterns"), ("file:///data/orders.csv", "the path that follows")]
    {
        let text = format!(
            "version: 1\npipelines:\n  t:\n    source: {{ files: \"{url}\" }}\n    destination: {{ url: \"sqlite:///w.db\" }}\n    key: id\n"
        );
        let all = parse(&text).unwrap_err();
        let first = all.iter().next().unwrap();
        assert_eq!((all.count(), first.code().number()), (1, "FM0105"), "{all}");
        assert!(first.position().is_some() && first.advice()[0].contains(says), "{all}");
    }
}

#[test]
fn what_is_said_of_a_store_must_fit_together() {
    for (source, more, says) in [
        ("{ connection: lake, files: \"s3://lake/a.csv\" }", "", "named by their keys below it"),
        ("{ connection: lake, files: \"-\" }", "", "named by their keys below it"),
        ("{ connection: shop, files: \"a.csv\" }", "", "a postgres database has no files"),
        (
            "{ connection: lake, files: \"a.csv\" }",
            "load: append\n    changed_files: append_tail",
            "objects do not grow",
        ),
        ("{ files: \"GS://lake/a.csv\" }", "load: append\n    changed_files: append_tail", "objects do not grow"),
    ] {
        let text = format!(
            "version: 1\nconnections: {{ lake: \"s3://lake?region=eu\", shop: \"postgres://db/shop\" }}\npipelines:\n  t:\n    \
             source: {source}\n    destination: {{ url: \"sqlite:///w.db\" }}\n    key: id\n    {more}\n"
        );
        let all = parse(&text).unwrap_err().to_string();
        assert!(all.contains(says), "{all}");
    }
}

/// A file with these pipelines, each with a line of its own.
fn several(pipelines: &[(&str, &str)]) -> String {
    let one = |(name, line): &(&str, &str)| {
        format!(
            "  {name}:\n    source: {{ files: a.csv }}\n    destination: {{ url: \"sqlite:///w.db\", table: {name} }}\n    key: id\n    {line}\n"
        )
    };
    format!("version: 1\npipelines:\n{}", pipelines.iter().map(one).collect::<String>())
}

#[test]
fn what_comes_first_is_in_the_file_and_waits_for_nobody_behind_it() {
    let text = several(&[("orders", ""), ("report", "after: [orders, ordres]")]);
    let mistakes = parse(&text).unwrap_err();
    assert_eq!(told(&mistakes, &text), [("ordres".into(), "there is no pipeline `ordres` to come first".into())]);
    assert!(mistakes.to_string().contains("did you mean `orders`?"), "{mistakes}");
    let text =
        several(&[("a", "after: c"), ("b", "after: a"), ("c", "after: [b]"), ("d", "after: a"), ("e", "after: e")]);
    let mistakes = parse(&text).unwrap_err();
    let expected = [("c", "these wait for each other: a after c after b after a"), ("e", "`e` would wait for itself")];
    assert_eq!(told(&mistakes, &text), expected.map(|(at, message)| (at.to_owned(), message.to_owned())));
    let good = parse(&several(&[("orders", "schedule: \"@every 10m\""), ("report", "after: orders")])).unwrap();
    assert_eq!(good.pipelines[1].service.after, ["orders"]);
}

#[test]
fn how_often_and_how_long_are_told_when_they_cannot_be() {
    for (line, message) in [
        ("jitter: 5", "`5` is not a duration for `jitter`"),
        ("timeout: 0s", "`0s` is not a duration for `timeout`"),
        ("retries: -1", "`-1` is not a whole number from 0 for `retries`"),
        ("catch_up: last", "`last` is not a value of `catch_up`"),
        ("freshness: soon", "`soon` is not a duration for `freshness`"),
    ] {
        let text = pipeline(&format!("key: id\n{line}"));
        let mistakes = parse(&text).map(|p| format!("{p:?}")).unwrap_err();
        let told: Vec<&str> = mistakes.iter().map(|d| d.message()).collect();
        assert_eq!(told, [message], "{line}");
    }
    let fields = "key: id\nretries: 3\nretry_delay: 5s\ntimeout: 1h\ncatch_up: all\nfreshness: 2h";
    let service = accepted(fields).pipelines[0].service.clone();
    assert_eq!(
        (service.retries, service.retry_delay.as_secs(), service.timeout.map(|t| t.as_secs())),
        (3, 5, Some(3600))
    );
}
