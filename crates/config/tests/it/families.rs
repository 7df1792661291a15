//! Pipelines over several tables: what they become over the tables there are.

use super::{env, parse};
use floodmark_config::{Diagnostics, Family, Members, family_from_flags};
use floodmark_core::{
    Code, Error,
    catalog::{Catalog, Listed},
    pipeline::{AbsentRows, Load, Pipeline, Relation, SourceSpec},
};

/// A family called `shop` with these lines beside its destination; `source` is what stands beside its URL.
fn file(source: &str, lines: &str) -> String {
    let lines: String = lines.lines().map(|l| format!("    {}\n", l.trim_end())).collect();
    format!(
        "version: 1\npipelines:\n  shop:\n    source: {{ url: \"postgres://u@h/shop\", {source} }}\n    destination: {{ url: \"sqlite:///w.db\" }}\n{lines}"
    )
}

fn family(source: &str, lines: &str) -> Family {
    parse(&file(source, lines)).unwrap_or_else(|e| panic!("{e}")).families.remove(0)
}

/// Tables as `schema.name key…`; in `public` they are found by their name alone. A name in brackets is a view's.
fn catalog(tables: &[&str]) -> Catalog {
    let listed = |text: &&str| {
        let mut words = text.split(' ');
        let (schema, name) = words.next().and_then(|name| name.split_once('.')).unwrap();
        let own = !name.starts_with('(');
        let name = name.trim_matches(['(', ')']).to_owned();
        let key = words.map(str::to_owned).collect();
        Listed { schema: Some(schema.to_owned()), name, bare: schema == "public", own, key }
    };
    Catalog { tables: tables.iter().map(listed).collect(), case_sensitive: true }
}

fn members(source: &str, lines: &str, tables: &[&str]) -> Members {
    family(source, lines).members(&catalog(tables), &|_| false).unwrap_or_else(|e| panic!("{e}"))
}

/// The pipelines, all of which must be right.
fn pipelines(source: &str, lines: &str, tables: &[&str]) -> Vec<Pipeline> {
    let all = members(source, lines, tables).all;
    all.into_iter().map(|member| member.pipeline.unwrap_or_else(|e| panic!("{}: {e:?}", member.name))).collect()
}

fn names(source: &str, tables: &[&str]) -> Vec<String> {
    members(source, "", tables).all.into_iter().map(|member| member.name).collect()
}

/// The error of the one pipeline that has one.
#[track_caller]
fn refused(source: &str, lines: &str, tables: &[&str]) -> Error {
    let all = members(source, lines, tables).all;
    let mut errors: Vec<Error> = all.into_iter().filter_map(|member| member.pipeline.err()).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

#[track_caller]
fn nothing(source: &str, lines: &str, tables: &[&str]) -> Diagnostics {
    family(source, lines).members(&catalog(tables), &|_| false).map(|m| format!("{m:?}")).unwrap_err()
}

const SHOP: [&str; 5] =
    ["public.lines order_id nr", "public.log", "public.orders id", "public.(open_orders)", "sales.orders id"];

fn read(p: &Pipeline) -> &str {
    match &p.source {
        SourceSpec::Database(of) => match &of.relation {
            Relation::Table(table) => table,
            Relation::Query(_) => panic!("a query"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_table_with_a_primary_key_is_merged_by_it_and_one_without_is_replaced() {
    let all = pipelines("tables: \"public.*\"", "", &SHOP);
    let shown: Vec<String> = all
        .iter()
        .map(|p| format!("{} {} {} {} {:?}", p.name, read(p), p.destination.table, p.load.name(), p.key))
        .collect();
    let expected = [
        "shop.lines public.lines lines upsert [\"order_id\", \"nr\"]",
        "shop.log public.log log overwrite []",
        "shop.orders public.orders orders upsert [\"id\"]",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn patterns_choose_and_leave_out() {
    assert_eq!(names("tables: \"*\"", &SHOP), ["shop.lines", "shop.log", "shop.orders"]);
    assert_eq!(names("tables: [\"l*\", open_orders], exclude: log", &SHOP), ["shop.lines", "shop.open_orders"]);
    assert_eq!(names("tables: \"public.*\", exclude: [\"l*\"]", &SHOP), ["shop.orders"]);
    assert_eq!(names("tables: sales.orders", &SHOP), ["shop.orders"]);
}

#[test]
fn where_patterns_reach_over_schemas_names_have_the_schema() {
    for source in ["tables: \"*.orders\"", "tables: [public.orders, sales.orders]", "tables: [\"o*\", \"sales.*\"]"] {
        assert_eq!(names(source, &SHOP), ["shop.public.orders", "shop.sales.orders"], "{source}");
        let tables: Vec<String> = pipelines(source, "", &SHOP).into_iter().map(|p| p.destination.table).collect();
        assert_eq!(tables, ["public_orders", "sales_orders"], "{source}");
    }
    // Also where there is only one today.
    assert_eq!(names("tables: \"*.*\", exclude: \"public.*\"", &SHOP), ["shop.sales.orders"]);
}

#[test]
fn the_destination_names_each() {
    let at = |lines: &str| {
        let text = file("tables: \"*\"", "").replace("\"sqlite:///w.db\"", &format!("\"sqlite:///w.db\", {lines}"));
        let family = parse(&text).unwrap_or_else(|e| panic!("{e}")).families.remove(0);
        let all = family.members(&catalog(&["public.orders id"]), &|_| false).unwrap().all;
        all.into_iter().map(|m| m.pipeline.unwrap().destination.table).collect::<Vec<_>>()
    };
    assert_eq!(at("table: \"raw_{table}\""), ["raw_orders"]);
    assert_eq!(at("table: \"{schema}.{table}\""), ["public.orders"]);
}

#[test]
fn an_override_stands_in_place_of_the_family_s_field() {
    let lines = "watermark: updated_at\nversion: none\nabsent_rows: keep\noverrides:\n  log: { load: append, watermark: at }\n  \"l?nes\": { load: overwrite, watermark: none, commit_every: 5 }\n  public.orders: { key: [nr], destination: { table: bills } }\n  \"*\": { on_bad_row: reject }\n";
    let all = pipelines("tables: \"public.*\"", lines, &SHOP);
    let [lines, log, orders] = &all[..] else { panic!("{all:?}") };
    assert_eq!((log.load, log.key.len(), &log.watermark.as_ref().unwrap().column[..]), (Load::Append, 0, "at"));
    assert_eq!((lines.load, lines.watermark.is_none(), lines.commit_every), (Load::Overwrite, true, 5));
    assert_eq!((lines.key.len(), lines.absent_rows), (2, AbsentRows::Delete));
    assert_eq!(
        (orders.load, &orders.key[..], &orders.destination.table[..]),
        (Load::Upsert, &["nr".into()][..], "bills")
    );
    assert!(all.iter().all(|p| format!("{:?}", p.on_bad_row) == "Reject" && p.version.is_none()));
}

#[test]
fn a_mirror_is_one_line_whatever_has_a_key() {
    let all = pipelines(
        "tables: \"public.*\"",
        "absent_rows: delete\noverrides: { lines: { load: append, watermark: at } }",
        &SHOP,
    );
    let [lines, log, orders] = &all[..] else { panic!("{all:?}") };
    assert_eq!((lines.load, lines.absent_rows), (Load::Append, AbsentRows::Keep));
    assert_eq!((log.load, orders.load, orders.absent_rows), (Load::Overwrite, Load::Upsert, AbsentRows::Delete));
}

#[test]
fn a_key_column_that_is_renamed_is_the_key_under_its_new_name() {
    let all = pipelines("tables: orders", "columns: { order_id: { from: id } }", &SHOP);
    assert_eq!(all[0].key, ["order_id"]);
}

#[test]
fn a_table_without_a_key_that_needs_one_is_refused_alone() {
    for (lines, says, help) in [
        ("load: upsert", "`load: upsert` needs a key", "`overrides: {log: {load: overwrite}}`"),
        ("load: scd2", "`load: scd2` needs a key", "`overrides: {log: {key: [id]}}`"),
        ("watermark: updated_at", "a watermark reads only a part of it", "`overrides: {log: {load: append}}`"),
    ] {
        let error = refused("tables: \"public.*\"", lines, &SHOP);
        assert_eq!(error.code(), Code::Unsafe, "{error:?}");
        assert!(error.message().contains("table `public.log` has no primary key"), "{error:?}");
        assert!(error.message().contains(says) && format!("{error:?}").contains(help), "{error:?}");
        assert!(error.place().and_then(|p| p.line).is_some(), "{error:?}");
    }
    // What was advised is taken.
    pipelines("tables: \"public.*\"", "load: upsert\noverrides: { log: { load: overwrite } }", &SHOP);
    pipelines("tables: \"public.*\"", "load: upsert\noverrides: { log: { key: [id] } }", &SHOP);
    pipelines("tables: \"public.*\"", "watermark: at\noverrides: { log: { load: append } }", &SHOP);
}

#[test]
fn two_tables_into_one_are_both_refused() {
    let text = file("tables: \"*.orders\"", "").replace("w.db\"", "w.db\", table: \"{table}\"");
    let family = parse(&text).unwrap().families.remove(0);
    let all = family.members(&catalog(&SHOP), &|_| false).unwrap().all;
    assert!(all.iter().all(|m| m.pipeline.as_ref().is_err_and(|e| e.message().contains("would load one table"))));
    assert_eq!(all.len(), 2);
}

#[test]
fn no_table_at_all_is_told_with_what_there_is() {
    let mistakes = nothing("tables: \"publc.*\"", "", &SHOP);
    let error = Error::from(mistakes);
    assert_eq!((error.code(), error.message()), (Code::SourceMissing, "no table matches `publc.*`"));
    assert!(error.advice()[0].contains("there are: public.lines, public.log"), "{error:?}");
    let all_out = nothing("tables: \"l*\", exclude: \"*\"", "", &SHOP);
    assert!(all_out.to_string().contains("is left out again"), "{all_out}");
    let empty = nothing("tables: \"*\"", "", &[]);
    assert!(empty.to_string().contains("no table that this user could see"), "{empty}");
    let bare = Catalog {
        tables: vec![Listed { schema: None, name: "orders".into(), bare: true, own: true, key: Vec::new() }],
        case_sensitive: false,
    };
    let schemas = family("tables: \"main.*\"", "").members(&bare, &|_| false).unwrap_err();
    assert!(schemas.to_string().contains("no schemas here"), "{schemas}");
}

#[test]
fn a_table_that_is_named_and_missing_fails_alone() {
    let error = refused("tables: [\"l*\", public.ordes]", "", &SHOP);
    assert_eq!(error.code(), Code::SourceMissing);
    assert_eq!(error.advice()[0], "did you mean `public.orders`?");
    assert_eq!(names("tables: [ordes, ordes, \"\\\"ordes\\\"\"]", &SHOP), ["shop.ordes"]);
}

#[test]
fn an_override_for_no_table_is_told_with_what_was_meant() {
    let mistakes = nothing("tables: \"public.*\"", "overrides: { ordrs: { load: append, watermark: at } }", &SHOP);
    let told = mistakes.to_string();
    assert!(
        told.contains("`ordrs` is none of the family's tables") && told.contains("did you mean `orders`?"),
        "{told}"
    );
    assert_eq!(mistakes.iter().next().unwrap().position(), Some((6, 18)));
    // One whose table is gone is no mistake.
    let family = family("tables: \"public.*\"", "overrides: { gone: { key: [id] } }");
    let found = family.members(&catalog(&SHOP), &|name| name == "shop.gone").unwrap();
    assert_eq!(found.all.len(), 3);
}

#[test]
fn what_was_loaded_and_is_not_read_any_more_is_told() {
    let family = family("tables: [\"public.*\", \"slaes.*\"], exclude: log", "");
    let remembered = ["shop.public.orders", "shop.public.gone", "shop.public.log", "other", "shopping.x"];
    let found = family.members(&catalog(&SHOP), &|_| false).unwrap();
    assert_eq!(found.notes, ["no table matches `slaes.*`"]);
    let gone = family.gone(&catalog(&SHOP), &remembered.map(str::to_owned));
    assert!(gone.len() == 1 && gone[0].starts_with("shop.public.gone was loaded before"), "{gone:?}");
}

#[test]
fn a_family_does_not_read_what_it_loads() {
    let text = file("tables: \"*\"", "").replace("sqlite:///w.db\"", "postgres://u@h/shop\", table: \"raw_{table}\"");
    let family = parse(&text).unwrap_or_else(|e| panic!("{e}")).families.remove(0);
    let tables = ["public.orders id", "public.raw_orders id"];
    let all = family.members(&catalog(&tables), &|_| false).unwrap().all;
    assert_eq!(all.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["shop.orders"]);
    let itself = text.replace("raw_{table}", "{table}");
    let family = parse(&itself).unwrap().families.remove(0);
    let told = family.members(&catalog(&tables), &|_| false).unwrap_err().to_string();
    assert!(told.contains("loaded into itself") && told.contains("copy_{table}"), "{told}");
}

/// What is wrong whatever the tables are, with the text it is told at.
#[track_caller]
fn mistake(source: &str, lines: &str, at: &str, says: &str) {
    let text = file(source, lines);
    let mistakes = parse(&text).map(|p| format!("{p:?}")).unwrap_err();
    assert_eq!(mistakes.count(), 1, "{mistakes}");
    let d = mistakes.iter().next().unwrap();
    assert_eq!(d.span().map(|s| &text[s]), Some(at), "{mistakes}");
    assert!(d.message().contains(says) && !d.advice().is_empty(), "{mistakes}");
}

#[test]
fn what_is_wrong_with_every_table_is_told_in_the_file() {
    mistake("tables: \"*\", table: o", "", "table", "both say what is read");
    mistake("tables: \"*\", files: a.csv", "", "files", "is about files");
    mistake("tables: \"*\"", "load: append", "append", "cannot be told from those loaded before");
    mistake("tables: \"*\"", "load: append\nkey: id\nwatermark: at", "id", "append compares no keys");
    mistake("tables: \"*\"", "load: overwrite\nwatermark: at", "at", "reads only a part");
    mistake("tables: \"*\"", "overrides: { a: { source: { table: b } } }", "source", "same for all tables");
    mistake(
        "tables: \"*\"",
        "overrides: { a: { destination: { url: 'sqlite:///x.db' } } }",
        "url",
        "go into one database",
    );
    mistake("tables: \"*\"", "overrides: { a: { laod: append } }", "laod", "is not a field");
    mistake("tables: \"*\"", "overrides: { a: { load: append } }", "append", "cannot be told from those loaded before");
    let told = parse(&file("tables: \"*\"", "overrides: { a: append }")).unwrap_err().to_string();
    assert!(told.contains("must be a mapping of fields of a pipeline"), "{told}");
    for (table, says) in [("all", "each of the family's needs its own"), ("x_{tabel}", "`{tabel}` stands for nothing")]
    {
        let text = file("tables: \"*\"", "").replace("w.db\"", &format!("w.db\", table: \"{table}\""));
        let mistakes = parse(&text).unwrap_err();
        assert!(mistakes.count() == 1 && mistakes.to_string().contains(says), "{mistakes}");
    }
}

#[test]
fn a_mistake_of_the_family_is_told_once_whatever_its_overrides() {
    let text = file("tables: \"*\"", "max_rejects: 5\noverrides: { a: { key: id }, b: { key: id, max_rejects: 6 } }");
    let told = parse(&text).unwrap_err();
    assert_eq!(told.count(), 2, "{told}");
}

#[test]
fn overrides_are_for_families_and_names_of_members_are_theirs() {
    let one = super::pipeline("key: id\noverrides: { a: { key: x } }");
    assert!(parse(&one).unwrap_err().to_string().contains("`overrides` is about several tables"));
    let clash = file("tables: \"*\"", "")
        + "  shop.orders: { source: { files: a.csv }, destination: { url: sqlite:///w.db }, key: id }\n";
    let told = parse(&clash).unwrap_err().to_string();
    assert!(told.contains("`shop.orders` may be the name of a table of `shop`"), "{told}");
    let beside = clash.replace("shop.orders:", "shop_orders:");
    let project = parse(&beside).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((project.pipelines.len(), project.families[0].before), (1, 0));
}

#[test]
fn a_secret_of_a_family_is_in_no_message() {
    let text = "version: 1\nconnections:\n  s: postgres://u:${SHOP_PASSWORD}@h/d\npipelines:\n  shop:\n    source: { connection: s, tables: \"${SHOP_PASSWORD}*\" }\n    destination: { connection: \"postgres://u:${SHOP_PASSWORD}@h/w\" }\n";
    let project = parse(text).unwrap_or_else(|e| panic!("{e}"));
    let told = project.families[0].members(&catalog(&SHOP), &|_| false).unwrap_err();
    assert!(!format!("{project:?}{told}{told:?}").contains("hunter2"), "{told}");
}

#[test]
fn the_one_liner_calls_pipelines_after_their_tables() {
    let of = |more: &[(&str, &str)]| {
        let base = [("source-url", "postgres://u@h/shop"), ("url", "sqlite:///w.db")];
        let flags: Vec<(&str, String)> = base.iter().chain(more).map(|(f, v)| (*f, (*v).to_owned())).collect();
        family_from_flags(&flags, &env)
    };
    let family = of(&[("source-tables", "l*,orders"), ("source-exclude", "lines")]).unwrap_or_else(|e| panic!("{e}"));
    let names = |family: &Family| {
        family.members(&catalog(&SHOP), &|_| false).unwrap().all.into_iter().map(|m| m.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&family), ["log", "orders"]);
    let named = of(&[("source-tables", "orders"), ("pipeline", "nightly"), ("table", "raw_{table}")]).unwrap();
    assert_eq!(names(&named), ["nightly.orders"]);
    let keyless = of(&[("source-tables", "log"), ("load", "upsert")]).unwrap();
    let all = keyless.members(&catalog(&SHOP), &|_| false).unwrap().all;
    let error = all[0].pipeline.as_ref().unwrap_err();
    assert!(format!("{error:?}").contains("--source-exclude 'public.log'"), "{error:?}");
    let told = of(&[("source-tables", "*"), ("table", "all"), ("load", "append")]).unwrap_err().to_string();
    assert!(told.contains("--table is one table") && told.contains("--watermark"), "{told}");
}
