//! PostgreSQL's errors, said of a source.

use crate::failure::{NO_TLS, cut_off, passes, speaks_no_tls, words};
use floodmark_core::{Code, Error};
use tokio_postgres::error::SqlState;

/// What the server said, with the remedy that fits. `doing` completes "the source's server failed to …".
pub(crate) fn failed(doing: &str, error: tokio_postgres::Error) -> Error {
    let message = format!("the source's PostgreSQL failed to {doing}");
    let Some(said) = error.as_db_error() else {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), |c| format!("{error}: {c}"));
        return lost(message, doing, cause);
    };
    let state = said.code();
    let (code, help) = match state {
        c if *c == SqlState::UNDEFINED_TABLE || *c == SqlState::INVALID_SCHEMA_NAME => {
            (Code::SourceMissing, "check the names of schemas and tables: they are case-sensitive in double quotes")
        }
        c if *c == SqlState::UNDEFINED_DATABASE => (Code::SourceMissing, "there is no such database: check the URL"),
        c if *c == SqlState::INSUFFICIENT_PRIVILEGE => (
            Code::SourceRead,
            "the user needs SELECT on what is read and USAGE on its schema; with SELECT on some columns only, name these \
             in `query: SELECT …`",
        ),
        c if *c == SqlState::LOCK_NOT_AVAILABLE => (
            Code::SourceRead,
            "another session holds a lock on the table: let it finish, or end it (see pg_stat_activity), and run again",
        ),
        c if *c == SqlState::TOO_MANY_CONNECTIONS => (
            Code::SourceRead,
            "the server has as many connections as it takes: close some, or raise max_connections, and run again",
        ),
        c if *c == SqlState::QUERY_CANCELED => {
            (Code::SourceRead, "the statement was canceled, by a person or by a time limit of the server: run again")
        }
        c if *c == SqlState::T_R_SERIALIZATION_FAILURE => (
            Code::SourceRead,
            "a standby that catches up ends long queries: run again, raise max_standby_streaming_delay there, or name the \
             primary server",
        ),
        c if *c == SqlState::INVALID_SQL_STATEMENT_NAME || *c == SqlState::DUPLICATE_PSTATEMENT => (
            Code::SourceRead,
            "the connection goes through a pooler in transaction mode: let Floodmark connect to the server itself, or to a \
             pooler in session mode (pgbouncer: pool_mode = session)",
        ),
        c if *c == SqlState::READ_ONLY_SQL_TRANSACTION => {
            (Code::SourceRead, "a source is only read: give `query:` a SELECT that writes nothing")
        }
        c => match &c.code()[..2] {
            "28" => (Code::SourceRead, "check the user and the password, and pg_hba.conf on the server"),
            "08" | "57" => {
                (Code::SourceRead, "the server is starting, stopping, or broke off: once it can be reached, run again")
            }
            "42" | "22" => (Code::SourceRead, "correct `query:`, or the view that is read; psql shows the same error"),
            _ => (Code::SourceRead, "after the cause is mended, run again"),
        },
    };
    let error = Error::new(code, message).help(help).cause(words(said));
    if passes(state) { error.transient() } else { error }
}

/// `map_err` shorthand.
pub(crate) fn to(doing: &'static str) -> impl Fn(tokio_postgres::Error) -> Error {
    move |error| failed(doing, error)
}

/// The same for what went wrong while rows were on their way, where the server's own word is inside.
pub(crate) fn sent(error: std::io::Error) -> Error {
    match error.into_inner().map(|inner| inner.downcast::<tokio_postgres::Error>()) {
        Some(Ok(error)) => failed("send its rows", *error),
        Some(Err(other)) => lost("the source's PostgreSQL failed to send its rows".into(), "", other.to_string()),
        None => lost("the source's PostgreSQL failed to send its rows".into(), "", "the stream ended".into()),
    }
}

fn lost(message: String, doing: &str, cause: String) -> Error {
    let mut passing = false;
    let help = match () {
        () if speaks_no_tls(&cause) => NO_TLS,
        () if cause.contains("TLS") => {
            "the server's certificate does not suit `sslmode`: name its authority (sslrootcert=/path/ca.crt) and the host \
             it is made out to"
        }
        () if doing.starts_with("connect") && !cut_off(&cause) => {
            "check host and port, that the server runs, and that it lets this machine in (pg_hba.conf)"
        }
        () => {
            passing = true;
            "the connection was lost: once the server can be reached, run again"
        }
    };
    let error = Error::new(Code::SourceRead, message).help(help).cause(cause);
    if passing { error.transient() } else { error }
}
