//! What `check` can tell of a server before a run.

use crate::database::Database;
use floodmark_connect::Destination;
use floodmark_core::{Code, url::ConnectionUrl};
use floodmark_postgres::PostgresDestination;

/// A destination as a user of its own, who may do nothing yet.
fn as_somebody(database: &Database, name: &str) -> PostgresDestination {
    database.client().batch_execute(&format!("CREATE ROLE {name} LOGIN")).unwrap();
    let url = database.url().written().replacen("postgres@", &format!("{name}@"), 1);
    PostgresDestination::new(&ConnectionUrl::parse(&format!("postgres:{url}")).unwrap()).unwrap()
}

#[test]
fn a_user_that_may_not_make_the_state_tables_is_told_before_the_first_run() {
    let database = Database::new();
    let mut client = database.client();
    client.batch_execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC").unwrap();
    let role = format!("fm_probe_{}", std::process::id());
    let destination = as_somebody(&database, &role);

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
    let refused = |rest: &str| {
        let url = ConnectionUrl::parse(&format!("postgres://postgres@127.0.0.1:{port}/{rest}")).unwrap();
        PostgresDestination::new(&url).unwrap().probe().unwrap_err()
    };
    let error = refused("postgres?sslmode=require");
    assert_eq!(error.code(), Code::DestinationOpen);
    let advice = error.advice().join("\n");
    assert!(advice.contains("does not speak TLS") && !advice.contains("certificate"), "{advice}");

    // Nothing was begun on a connection that was never there.
    assert_eq!(refused("no_such_database").data_state(), Some("nothing was written"));
}
