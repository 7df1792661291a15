//! Which tables there are.

use super::{Database, all, table};
use floodmark_core::{Code, url::ConnectionUrl};
use floodmark_postgres::catalog;

#[test]
fn tables_have_their_keys_and_what_is_no_table_of_its_own_is_marked() {
    let database = Database::new();
    database
        .client()
        .batch_execute(
            "CREATE TABLE plain (x int, id int, PRIMARY KEY (id)); ALTER TABLE plain DROP x;
             CREATE TABLE pair (b int, a int, c int, PRIMARY KEY (a, b) INCLUDE (c)); CREATE TABLE bare (x int UNIQUE);
             CREATE VIEW seen AS TABLE plain; CREATE MATERIALIZED VIEW kept AS TABLE plain;
             CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE parts1 PARTITION OF parts DEFAULT;
             CREATE TABLE _floodmark_state (x int); CREATE TEMP TABLE passing (x int);
             CREATE SCHEMA \"s.x\"; CREATE TABLE \"s.x\".\"T \"\"\" (\"K.\" int PRIMARY KEY); INSERT INTO \"s.x\".\"T \"\"\" VALUES (7);
             CREATE TABLE \"s.x\".plain (x int)",
        )
        .unwrap();
    let found = catalog(&database.url()).unwrap();
    assert!(found.case_sensitive);
    let shown: Vec<String> =
        (found.tables.iter()).map(|t| format!("{} {} {} [{}]", t.written(), t.bare, t.own, t.key.join(","))).collect();
    let expected = [
        "public.bare true true []",
        "public.kept true false []",
        "public.pair true true [a,b]",
        "public.parts true true [id]",
        "public.parts1 true false [id]",
        "public.plain true true [id]",
        "public.seen true false []",
        "\"s.x\".\"T \"\"\" false true [K.]",
        "\"s.x\".plain false true []",
    ];
    assert_eq!(shown, expected);
    // What the catalog calls a table is what reads it.
    assert_eq!(all(&table(&database, &found.tables[7].written())).rows, [["7"]]);
}

#[test]
fn a_table_that_may_not_be_read_is_listed_all_the_same() {
    let database = Database::new();
    let mut client = database.client();
    let role = format!("lister_{}", std::process::id());
    client.batch_execute(&format!("CREATE TABLE closed (id int PRIMARY KEY); CREATE ROLE {role} LOGIN")).unwrap();
    let found = catalog(&database.url_as(&role)).unwrap();
    assert_eq!(found.tables.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["closed"]);
    client.batch_execute(&format!("DROP ROLE {role}")).unwrap();
}

#[test]
fn a_server_that_cannot_be_reached_is_told_as_a_source() {
    let url = ConnectionUrl::parse("postgres://u@127.0.0.1:1/d").unwrap();
    let error = catalog(&url).unwrap_err();
    assert_eq!((error.code(), error.data_state()), (Code::SourceRead, Some("nothing was written")), "{error:?}");
}
