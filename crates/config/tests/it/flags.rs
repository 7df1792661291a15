//! The one-liner.

use super::env;
use floodmark_config::{Diagnostics, from_flags, load_flags};
use floodmark_core::{
    Code, DataType,
    pipeline::{Load, Pipeline},
};

fn load(flags: &[(&str, &str)]) -> Result<Pipeline, Diagnostics> {
    let base = [("files", "orders.csv"), ("url", "sqlite:///shop.db"), ("table", "orders")];
    let flags: Vec<(&str, String)> = base.iter().chain(flags).map(|(f, v)| (*f, (*v).to_owned())).collect();
    from_flags(&flags, &env)
}

#[test]
fn the_line_of_the_manual() {
    let p = load(&[("key", "id"), ("watermark", "updated_at")]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((p.name.as_str(), p.load, p.version.as_deref()), ("orders", Load::Upsert, Some("updated_at")));
    assert_eq!(p.destination.url.file_path().unwrap(), Some("shop.db".into()));
}

#[test]
fn lists_repeat_or_are_split_by_commas_and_patterns_are_not() {
    let p = load(&[
        ("key", "id,region"),
        ("key", "day"),
        ("files", "more-{a,b}.csv"),
        ("column", "zip=text"),
        ("column", "a=b=decimal(10,2)"),
        ("pipeline", "nightly"),
        ("header", "false"),
        ("names", "id, region,day"),
    ])
    .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(p.key, ["id", "region", "day"]);
    assert_eq!(p.name, "nightly");
    assert_eq!((p.columns[1].name.as_str(), p.columns[1].data_type), ("a=b", Some(DataType::Decimal(10, 2))));
    let files = p.source.files().unwrap();
    assert_eq!(files.patterns, ["orders.csv", "more-{a,b}.csv"]);
    assert_eq!(files.csv.names, ["id", "region", "day"]);
}

#[test]
fn every_flag_of_the_table_reaches_its_field() {
    for field in load_flags() {
        let flag = field.flag.unwrap();
        let mistakes = load(&[(flag, "\u{1}")]);
        let known = !mistakes.as_ref().is_err_and(|m| m.to_string().contains("is not a flag"));
        assert!(known, "{flag}");
    }
}

#[test]
fn mistakes_name_their_flags_and_come_all_at_once() {
    let mistakes = load(&[
        ("load", "upsrt"),
        ("lookback", "15 minutes"),
        ("watermrk", "at"),
        ("on-bad-row", "fail"),
        ("max-rejects", "5"),
        ("column", "zip"),
        ("boundary", "inclusive"),
        ("boundary", "exclusive"),
        ("key", "id,id"),
    ])
    .unwrap_err();
    insta::assert_snapshot!(mistakes.render(false));
    assert!(mistakes.iter().all(|d| d.position().is_none()));
}

#[test]
fn rules_speak_of_flags() {
    let mistakes = load(&[("load", "upsert")]).unwrap_err();
    let shown = mistakes.to_string();
    assert!(shown.contains("--load upsert needs a key") && shown.contains("--key id"), "{shown}");
    let mistakes = from_flags(&[("files", "-".to_owned()), ("load", "append".to_owned())], &env).unwrap_err();
    assert!(mistakes.to_string().contains("--table is missing"), "{mistakes}");
}

#[test]
fn a_missing_reference_is_told_and_a_secret_is_not() {
    let flags = [("files", "a.csv"), ("url", "pg:${NOPE}:hunter2"), ("table", "t"), ("load", "${SHOP_PASSWORD}")];
    let flags: Vec<(&str, String)> = flags.iter().map(|(f, v)| (*f, (*v).to_owned())).collect();
    let mistakes = from_flags(&flags, &env).unwrap_err();
    assert!(mistakes.iter().any(|d| d.code() == Code::Reference && d.flag() == Some("url")), "{mistakes}");
    assert!(!mistakes.to_string().contains("hunter2"), "{mistakes}");
}
