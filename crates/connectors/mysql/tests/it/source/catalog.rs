//! Which tables there are.

use super::{Mysql, all, table};
use floodmark_core::{Code, url::ConnectionUrl};
use floodmark_mysql::catalog;

#[test]
fn tables_have_their_keys_and_what_is_no_table_of_its_own_is_marked() {
    let (database, other) = (Mysql::empty().unwrap(), Mysql::empty().unwrap());
    database.client().run(
        "CREATE TABLE plain (x int, id int PRIMARY KEY); CREATE TABLE pair (b int, a int, c int UNIQUE, PRIMARY KEY (a, b));
         CREATE TABLE bare (x int); CREATE VIEW seen AS SELECT * FROM plain; CREATE TABLE _floodmark_state (x int);
         CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 2",
    );
    other.client().run("CREATE TABLE `T.\"` (`K.` int PRIMARY KEY); INSERT INTO `T.\"` VALUES (7)");
    let found = catalog(&ConnectionUrl::parse(database.url()).unwrap()).unwrap();
    let shown = |name: &str| -> Vec<String> {
        let of = found.tables.iter().filter(|t| t.schema.as_deref() == Some(name));
        of.map(|t| format!("{} {} {} [{}]", t.name, t.bare, t.own, t.key.join(","))).collect()
    };
    let expected = [
        "bare true true []",
        "pair true true [a,b]",
        "parts true true [id]",
        "plain true true [id]",
        "seen true false []",
    ];
    assert_eq!(shown(&database.name), expected);
    assert_eq!(shown(&other.name), ["T.\" false true [K.]"]);
    assert!(found.tables.iter().all(|t| t.schema.as_deref() != Some("mysql")));
    // What the catalog calls a table is what reads it.
    let odd = found.tables.iter().find(|t| t.name == "T.\"").unwrap();
    assert_eq!(all(&table(&database, &odd.written())).rows, [["7"]]);
}

#[test]
fn a_server_that_cannot_be_reached_is_told_as_a_source() {
    let url = ConnectionUrl::parse("mysql://u@127.0.0.1:1/d").unwrap();
    let error = catalog(&url).unwrap_err();
    assert_eq!((error.code(), error.data_state()), (Code::SourceRead, Some("nothing was written")), "{error:?}");
}
