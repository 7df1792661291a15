//! What `check` can tell of a server before a run.

use crate::database::Database;
use floodmark_connect::{Destination, Source, Stop};
use floodmark_core::{Code, pipeline::Relation, url::ConnectionUrl};
use floodmark_postgres::{PostgresDestination, PostgresSource};

#[test]
fn a_user_that_may_not_make_the_state_tables_is_told_before_the_first_run() {
    let database = Database::new();
    let mut client = database.client();
    client.batch_execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC").unwrap();
    let role = format!("fm_probe_{}", std::process::id());
    client.batch_execute(&format!("CREATE ROLE {role} LOGIN")).unwrap();
    let destination = PostgresDestination::new(&database.url_as(&role)).unwrap();

    let error = destination.probe().unwrap_err();
    assert_eq!(error.code(), Code::DestinationOpen);
    assert!(error.message().contains("\"public\""), "{error}");

    client.batch_execute(&format!("ALTER ROLE {role} SET search_path = nowhere")).unwrap();
    let error = destination.probe().unwrap_err();
    assert!(error.message().contains("search_path"), "{error}");

    client
        .batch_execute(&format!("ALTER ROLE {role} RESET search_path; GRANT CREATE ON SCHEMA public TO {role}"))
        .unwrap();
    destination.probe().unwrap();
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

#[test]
fn a_server_without_tls_is_not_taken_for_one_with_a_wrong_certificate() {
    let database = Database::new();
    let port = database.url().written().split_once("port=").unwrap().1.to_owned();
    let url = |rest: &str| ConnectionUrl::parse(&format!("postgres://postgres@127.0.0.1:{port}/{rest}")).unwrap();
    let destination = |rest: &str| PostgresDestination::new(&url(rest)).unwrap().probe().unwrap_err();
    let source = PostgresSource::new(&url("postgres?sslmode=require"), Relation::Table("t".into()), 1).unwrap();
    for error in [destination("postgres?sslmode=require"), source.slices(&Stop::default()).unwrap_err()] {
        let advice = error.advice().join("\n");
        assert!(advice.contains("does not speak TLS") && !advice.contains("certificate"), "{advice}");
    }

    // Nothing was begun on a connection that was never there.
    assert_eq!(destination("no_such_database").data_state(), Some("nothing was written"));
}
