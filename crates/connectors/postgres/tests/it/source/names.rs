//! What can be read, under which names, and what is said of what cannot.

use super::{Database, all, query, survey, table};
use floodmark_connect::{Source, Stop};
use floodmark_core::{Code, pipeline::Relation};
use floodmark_postgres::PostgresSource;

#[test]
fn tables_views_and_queries_are_read_alike() {
    let database = Database::new();
    let mut client = database.client();
    let port: String = client.query_one("SHOW port", &[]).unwrap().get(0);
    let name: String = client.query_one("SELECT current_database()::text", &[]).unwrap().get(0);
    client
        .batch_execute(&format!(
            "CREATE TABLE plain (id int, t text); INSERT INTO plain VALUES (1, 'a'), (2, NULL);
             ALTER TABLE plain ADD gone int; ALTER TABLE plain DROP gone;
             ALTER TABLE plain ADD twice int GENERATED ALWAYS AS (id * 2) STORED;
             CREATE VIEW seen AS SELECT * FROM plain;
             CREATE MATERIALIZED VIEW kept AS SELECT * FROM plain;
             CREATE TABLE parts (id int, t text, twice int) PARTITION BY LIST (id);
             CREATE TABLE parts1 PARTITION OF parts FOR VALUES IN (1); CREATE TABLE parts2 PARTITION OF parts DEFAULT;
             INSERT INTO parts SELECT * FROM plain;
             CREATE EXTENSION postgres_fdw;
             CREATE SERVER self FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{port}', dbname '{name}');
             CREATE USER MAPPING FOR postgres SERVER self OPTIONS (user 'postgres');
             CREATE FOREIGN TABLE far (id int, t text, twice int) SERVER self OPTIONS (table_name 'plain')"
        ))
        .unwrap();
    let expected = [["1", "a", "2"], ["2", "NULL", "4"]];
    for name in ["plain", "public.plain", "seen", "kept", "parts", "far"] {
        let source = table(&database, name);
        let slices = source.slices(&Stop::default()).unwrap();
        assert_eq!(slices[0].name, format!("public.{}", name.trim_start_matches("public.")));
        assert_eq!(all(&source).rows, expected, "{name}");
        assert!(source.files().is_none());
    }
    for sql in ["SELECT * FROM plain ORDER BY id", " TABLE plain; ", "WITH p AS (TABLE plain) SELECT * FROM p -- all"] {
        let source = query(&database, sql);
        assert_eq!(source.slices(&Stop::default()).unwrap()[0].name, "query");
        assert_eq!(all(&source).rows, expected, "{sql}");
    }
}

#[test]
fn hostile_names_are_names() {
    let database = Database::new();
    let column = r#"c"'; DROP TABLE keep; --"#;
    let quoted = column.replace('"', "\"\"");
    database
        .client()
        .batch_execute(&format!(
            "CREATE TABLE keep (id int); CREATE SCHEMA \"s.x\"; CREATE TABLE \"s.x\".\"T \"\"; --\" (\"{quoted}\" int);
             INSERT INTO \"s.x\".\"T \"\"; --\" VALUES (1); CREATE SCHEMA apart; CREATE TABLE apart.only (id int)"
        ))
        .unwrap();
    let source = table(&database, r#""s.x"."T ""; --""#);
    assert_eq!(survey(&source, None).unwrap().schema.names(), [column]);
    assert_eq!(all(&source).rows, [["1"]]);
    assert_eq!(all(&table(&database, "keep")).rows.len(), 0);
    // A table in no schema of the search path is not found by its name alone.
    assert_eq!(table(&database, "only").slices(&Stop::default()).unwrap_err().code(), Code::SourceMissing);
    assert_eq!(all(&table(&database, "apart.only")).rows.len(), 0);
}

#[test]
fn what_is_missing_is_told_with_what_was_meant() {
    let database = Database::new();
    database
        .client()
        .batch_execute("CREATE TABLE orders (id int); CREATE SCHEMA sales; CREATE TABLE sales.lines (id int)")
        .unwrap();
    let told = |name: &str| {
        let error = table(&database, name).slices(&Stop::default()).unwrap_err();
        assert_eq!(error.code(), Code::SourceMissing, "{name}");
        error.advice()[0].clone()
    };
    assert_eq!(told("ordres"), r#"did you mean "orders"?"#);
    assert_eq!(told("public.ordres"), r#"did you mean "public.orders"?"#);
    assert_eq!(told("lines"), r#"did you mean "sales.lines"?"#);
    assert_eq!(told("Orders"), r#"did you mean "orders"?"#);
    assert!(told(&"x".repeat(64)).contains("63 bytes"));
    let error = survey(&query(&database, "SELECT * FROM nowhere"), None).unwrap_err();
    assert_eq!(error.code(), Code::SourceMissing, "{error:?}");
    let nowhere = database.url().written().replacen("/fm_", "/nowhere_", 1);
    let url = floodmark_core::url::ConnectionUrl::parse(&format!("postgres:{nowhere}")).unwrap();
    let error =
        PostgresSource::new(&url, Relation::Table("orders".into()), 1).unwrap().slices(&Stop::default()).unwrap_err();
    assert_eq!(error.code(), Code::SourceMissing, "{error:?}");
}

#[test]
fn a_query_must_be_one_that_reads_and_names_its_columns() {
    let database = Database::new();
    database.client().batch_execute("CREATE TABLE t (id int); CREATE TABLE nothing ()").unwrap();
    let refused = |sql: &str| survey(&query(&database, sql), None).unwrap_err();
    assert_eq!(refused("SELECT 1 AS a, 2 AS a").code(), Code::BadHeader);
    assert_eq!(survey(&table(&database, "nothing"), None).unwrap_err().code(), Code::BadHeader);
    for wrong in
        ["INSERT INTO t VALUES (1) RETURNING id", "SELECT 1; DROP TABLE t", "SELECT 1) AS t; DROP TABLE t; --", ""]
    {
        assert_eq!(refused(wrong).code(), Code::SourceRead, "{wrong}");
    }
    // A function that writes is stopped by the transaction, which only reads.
    let mut client = database.client();
    client
        .batch_execute("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING id'")
        .unwrap();
    let source = query(&database, "SELECT f() AS id");
    let schema = survey(&source, None).unwrap().schema;
    let error = super::drain(super::open(&source, &schema, None)).err().unwrap();
    assert_eq!(error.code(), Code::SourceRead, "{error:?}");
    assert_eq!(survey(&source, Some("id")).unwrap_err().code(), Code::SourceRead);
    assert_eq!(client.query("TABLE t", &[]).unwrap().len(), 0);
}

#[test]
fn a_user_needs_select_alone() {
    let database = Database::new();
    let mut client = database.client();
    let role = format!("reader_{}", std::process::id());
    client
        .batch_execute(&format!(
            "CREATE TABLE t (id int, at timestamptz); INSERT INTO t VALUES (1, now()); CREATE TABLE closed (id int);
             CREATE TABLE half (id int, secret int); INSERT INTO half VALUES (1, 2);
             CREATE ROLE {role} LOGIN; GRANT SELECT ON t TO {role}; GRANT SELECT (id) ON half TO {role}"
        ))
        .unwrap();
    let as_role = |relation| PostgresSource::new(&database.url_as(&role), relation, 1).unwrap();
    let source = as_role(Relation::Table("t".into()));
    survey(&source, Some("at")).unwrap();
    assert_eq!(all(&source).rows.len(), 1);
    let error = survey(&as_role(Relation::Table("closed".into())), None).unwrap_err();
    assert_eq!(error.code(), Code::SourceRead);
    assert!(error.advice()[0].contains("SELECT"), "{error:?}");
    assert_eq!(all(&as_role(Relation::Query("SELECT id FROM half".into()))).rows, [["1"]]);
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}
