//! What can be read, under which names, and what is said of what cannot.

use super::{Mysql, all, drain, open, query, survey, table};
use floodmark_connect::{Source, Stop};
use floodmark_core::{Code, pipeline::Relation};

#[test]
fn tables_views_and_queries_are_read_alike() {
    let database = Mysql::empty().unwrap();
    let mut client = database.client();
    client.run(
        "CREATE TABLE plain (id int, t text, twice int AS (id * 2)); INSERT INTO plain (id, t) VALUES (1, 'a'), (2, NULL);
         CREATE TABLE old (id int, t text, twice int) ENGINE = MyISAM; INSERT INTO old SELECT * FROM plain;
         CREATE VIEW seen AS SELECT * FROM plain;
         CREATE TABLE parts (id int, t text, twice int) PARTITION BY HASH (id) PARTITIONS 2; INSERT INTO parts SELECT * FROM plain",
    );
    let expected = [["1", "a", "2"], ["2", "NULL", "4"]];
    for own in ["plain", "old", "seen", "parts"] {
        for name in [own.to_owned(), format!("{}.{own}", database.name), format!("`{}`.`{own}`", database.name)] {
            let source = table(&database, &name);
            assert_eq!(source.slices(&Stop::default()).unwrap()[0].name, own);
            let mut rows = all(&source).rows;
            rows.sort();
            assert_eq!(rows, expected, "{name}");
            assert!(source.files().is_none());
        }
    }
    let with = "WITH p AS (SELECT * FROM plain) SELECT * FROM p -- all";
    for sql in ["SELECT * FROM plain ORDER BY id", " SELECT * FROM plain; ", with] {
        let source = query(&database, sql);
        assert_eq!(source.slices(&Stop::default()).unwrap()[0].name, "query");
        assert_eq!(all(&source).rows, expected, "{sql}");
    }
}

#[test]
fn hostile_names_are_names() {
    let database = Mysql::empty().unwrap();
    let column = r#"c`"'\; DROP TABLE keep; --"#;
    database.client().run(&format!(
        "CREATE TABLE keep (id int); CREATE TABLE `T.``; --` (`{}` int); INSERT INTO `T.``; --` VALUES (1)",
        column.replace('`', "``")
    ));
    let source = table(&database, "`T.``; --`");
    assert_eq!(survey(&source, None).unwrap().schema.names(), [column]);
    assert_eq!(all(&source).rows, [["1"]]);
    assert_eq!(all(&table(&database, "keep")).rows.len(), 0);
}

#[test]
fn what_is_missing_is_told_with_what_was_meant() {
    let (database, other) = (Mysql::empty().unwrap(), Mysql::empty().unwrap());
    database.client().run("CREATE TABLE orders (id int)");
    other.client().run("CREATE TABLE only_elsewhere (id int)");
    let told = |name: &str| {
        let error = table(&database, name).slices(&Stop::default()).unwrap_err();
        assert_eq!(error.code(), Code::SourceMissing, "{name}");
        error.advice()[0].clone()
    };
    assert_eq!(told("ordres"), r#"did you mean "orders"?"#);
    assert_eq!(told(&format!("{}.ordres", database.name)), format!("did you mean \"{}.orders\"?", database.name));
    assert_eq!(told("only_elsewhere"), format!("did you mean \"{}.only_elsewhere\"?", other.name));
    assert_eq!(told("Orders"), r#"did you mean "orders"?"#);
    assert!(told(&"x".repeat(65)).contains("64 characters"));
    let error = survey(&query(&database, "SELECT * FROM nowhere"), None).unwrap_err();
    assert_eq!(error.code(), Code::SourceMissing, "{error:?}");
    let nowhere = database.url().replacen("/case_", "/nowhere_", 1);
    let error = super::source(&nowhere, Relation::Table("orders".into())).slices(&Stop::default()).unwrap_err();
    assert_eq!(error.code(), Code::SourceMissing, "{error:?}");
}

#[test]
fn a_query_must_be_one_that_reads_and_names_its_columns() {
    let database = Mysql::empty().unwrap();
    let mut client = database.client();
    client.run(
        "CREATE TABLE t (id int);
         CREATE FUNCTION f() RETURNS int MODIFIES SQL DATA RETURN (SELECT count(*) FROM t) + 0;
         DELIMITER //
         CREATE FUNCTION w() RETURNS int MODIFIES SQL DATA BEGIN INSERT INTO t VALUES (1); RETURN 1; END//
         DELIMITER ;
",
    );
    let refused = |sql: &str| survey(&query(&database, sql), None).unwrap_err();
    assert_eq!(refused("SELECT 1 AS a, 2 AS a").code(), Code::BadHeader);
    for wrong in ["INSERT INTO t VALUES (1)", "SELECT 1; DROP TABLE t", "SELECT 1) AS t; DROP TABLE t; --", ""] {
        assert_eq!(refused(wrong).code(), Code::SourceRead, "{wrong}");
    }
    // A function that writes is stopped by the transaction, which only reads.
    let source = query(&database, "SELECT w() AS id");
    let error = survey(&source, None).and_then(|s| drain(open(&source, &s.schema, None))).err().unwrap();
    assert_eq!(error.code(), Code::SourceRead, "{error:?}");
    assert!(error.advice()[0].contains("only read"), "{error:?}");
    assert_eq!(survey(&source, Some("id")).unwrap_err().code(), Code::SourceRead);
    assert_eq!(client.one("SELECT count(*) FROM t"), "0");
}

/// A query means here what it means to the server's other clients.
#[test]
fn a_query_is_read_as_the_server_reads_it() {
    let database = Mysql::empty().unwrap();
    let source = query(&database, r#"SELECT 'it\'s' AS a, "b" AS b"#);
    assert_eq!(all(&source).rows, [["it's", "b"]]);
}

#[test]
fn a_user_needs_select_alone() {
    let database = Mysql::empty().unwrap();
    let mut client = database.client();
    client.run(
        "CREATE TABLE t (id int, at timestamp); INSERT INTO t VALUES (1, now()); CREATE TABLE closed (id int);
         CREATE TABLE half (id int, secret int); INSERT INTO half VALUES (1, 2)",
    );
    let name = &database.name;
    let reader = database.user(&format!("GRANT SELECT ON {name}.t TO {{}}; GRANT SELECT (id) ON {name}.half TO {{}}"));
    let source = |relation| super::source(&database.url_as(&reader.name, "pw"), relation);
    let own = source(Relation::Table("t".into()));
    survey(&own, Some("at")).unwrap();
    assert_eq!(all(&own).rows.len(), 1);
    // The server does not show a table that nothing is granted on.
    let error = survey(&source(Relation::Table("closed".into())), None).unwrap_err();
    assert_eq!(error.code(), Code::SourceMissing, "{error:?}");
    let error = survey(&source(Relation::Query("SELECT * FROM closed".into())), None).unwrap_err();
    assert_eq!(error.code(), Code::SourceRead, "{error:?}");
    assert!(error.advice()[0].contains("SELECT"), "{error:?}");
    let error = survey(&source(Relation::Table("half".into())), None).unwrap_err();
    assert!(error.advice()[0].contains("SELECT"), "{error:?}");
    assert_eq!(all(&source(Relation::Query("SELECT id FROM half".into()))).rows, [["1"]]);
}

#[test]
fn who_is_not_let_in_is_told_without_the_password() {
    let database = Mysql::empty().unwrap();
    let told = |url: &str| {
        let error = super::source(url, Relation::Table("t".into())).slices(&Stop::default()).unwrap_err();
        assert_eq!(error.code(), Code::SourceRead, "{error:?}");
        assert!(!format!("{error:?} {error}").contains("s3cret"), "{error:?}");
        error
    };
    let error = told(&database.url_as("nobody", "s3cret"));
    assert!(error.advice()[0].contains("password"), "{error:?}");
    let error = told("mysql://u:s3cret@127.0.0.1:1/d");
    assert!(error.advice()[0].contains("host and port"), "{error:?}");
}
