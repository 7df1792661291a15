//! From PostgreSQL's errors to ours.

use floodmark_core::{Code, Error};
use std::time::Duration;
use tokio_postgres::error::{DbError, SqlState};

/// What a server is to a run: its failures are told accordingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Destination,
    Source,
}

impl Role {
    /// What was being done, and what the driver said.
    pub(crate) fn failed(self, doing: &str, error: tokio_postgres::Error) -> Error {
        match self {
            Role::Destination => failed(doing, error),
            Role::Source => crate::source::failure::failed(doing, error),
        }
    }

    /// A server that did not answer in time.
    pub(crate) fn silent(self, doing: &str, limit: Duration) -> Error {
        let (code, whose) = match self {
            Role::Destination => (Code::DestinationOpen, "PostgreSQL"),
            Role::Source => (Code::SourceRead, "the source's PostgreSQL"),
        };
        Error::new(code, format!("{whose} failed to {doing}: no answer in {} s", limit.as_secs()))
            .state("nothing was written")
            .help("check that it is a PostgreSQL server that runs, and what stands between; connect_timeout=60 in the URL waits longer")
    }
}

/// What to do about a server that takes no writes.
pub(crate) const NO_WRITES: &str =
    "name the primary server, not a standby, and see default_transaction_read_only: this one takes no writes";

/// What to do about a server that speaks no TLS.
pub(crate) const NO_TLS: &str = "the server does not speak TLS, and `sslmode` asks for it: have it switched on there (ssl = on), \
                                 or where others may read along, write sslmode=prefer";

/// Whether a connection failed for that, and not for a certificate.
pub(crate) fn speaks_no_tls(cause: &str) -> bool {
    cause.contains("server does not support TLS")
}

/// What the server said, with the code and remedy that fit. `doing` completes "PostgreSQL failed to …".
pub(crate) fn failed(doing: &str, error: tokio_postgres::Error) -> Error {
    let Some(said) = error.as_db_error() else { return lost(doing, error) };
    let (code, help) = remedy(said);
    // Before a connection stands there is no transaction.
    let state = if connecting(doing) { "nothing was written" } else { "the open transaction was rolled back" };
    let error = Error::new(code, format!("PostgreSQL failed to {doing}")).state(state).help(help).cause(words(said));
    if passes(said.code()) { error.transient() } else { error }
}

/// Why no transaction that writes can be begun: what a standby says to that is about something else.
pub(crate) fn not_begun(error: tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(said) if *said.code() == SqlState::FEATURE_NOT_SUPPORTED => {
            Error::new(Code::DestinationOpen, "the server takes no writes")
                .state("nothing was written")
                .help(NO_WRITES)
                .cause(words(said))
        }
        _ => failed("begin a write transaction", error),
    }
}

/// Whether the same may succeed a moment later: a deadlock, a server that is starting or stopping or has no room for one
/// more connection, a session that was ended.
pub(crate) fn passes(code: &SqlState) -> bool {
    let class = &code.code()[..2];
    matches!(class, "08" | "40")
        || (class == "57" && *code != SqlState::QUERY_CANCELED)
        || *code == SqlState::TOO_MANY_CONNECTIONS
}

/// All that the server said.
pub(crate) fn words(said: &DbError) -> String {
    let mut message = said.message().to_owned();
    for more in [said.detail(), said.hint()].into_iter().flatten() {
        message.push_str("; ");
        message.push_str(more);
    }
    format!("{message} (SQLSTATE {})", said.code().code())
}

fn lost(doing: &str, error: tokio_postgres::Error) -> Error {
    let cause =
        std::error::Error::source(&error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    if error.is_closed() || cut_off(&cause) {
        return Error::new(Code::DestinationWrite, format!("PostgreSQL failed to {doing}: the connection was lost"))
            .state("the server rolls back what it had not committed, and lets go of the pipeline")
            .help("nothing needs repair: once the server can be reached, run again")
            .cause(cause)
            .transient();
    }
    if speaks_no_tls(&cause) {
        return Error::new(Code::DestinationOpen, format!("PostgreSQL failed to {doing}"))
            .state("nothing was written")
            .help(NO_TLS)
            .cause(cause);
    }
    if cause.contains("TLS") {
        return Error::new(Code::DestinationOpen, format!("PostgreSQL failed to {doing}"))
            .state("nothing was written")
            .help("the server's certificate does not suit `sslmode`: name its authority (sslrootcert=/path/ca.crt) and the host it is made out to")
            .help("or ask for less: sslmode=verify-ca takes any name, sslmode=require any certificate, as long as there is no root certificate")
            .cause(cause);
    }
    let code = if connecting(doing) { Code::DestinationOpen } else { Code::DestinationWrite };
    Error::new(code, format!("PostgreSQL failed to {doing}"))
        .state("nothing was written")
        .help("check host and port, that the server runs, and that it lets this machine in (pg_hba.conf)")
        .cause(cause)
}

/// Whether a connection that stood was lost, rather than none could be had.
pub(crate) fn cut_off(cause: &str) -> bool {
    cause.contains("communicating with the server") || cause.contains("connection closed")
}

fn connecting(doing: &str) -> bool {
    doing.starts_with("connect")
}

fn remedy(said: &DbError) -> (Code, &'static str) {
    let code = said.code();
    match code {
        c if *c == SqlState::LOCK_NOT_AVAILABLE => (
            Code::DestinationBusy,
            "another program holds a lock on the table: let it finish, or end it (see pg_stat_activity), and run again",
        ),
        c if *c == SqlState::T_R_DEADLOCK_DETECTED || *c == SqlState::T_R_SERIALIZATION_FAILURE => {
            (Code::DestinationBusy, "another program wrote to the same rows at that moment: run again")
        }
        c if *c == SqlState::TOO_MANY_CONNECTIONS => (
            Code::DestinationBusy,
            "the server has as many connections as it takes: close some, or raise max_connections",
        ),
        c if *c == SqlState::QUERY_CANCELED => (
            Code::DestinationWrite,
            "the statement was canceled, by a person or by a time limit of the server: run again",
        ),
        c if *c == SqlState::READ_ONLY_SQL_TRANSACTION => (Code::DestinationOpen, NO_WRITES),
        c if *c == SqlState::UNDEFINED_DATABASE => {
            (Code::DestinationOpen, "there is no such database: check the name, or create it with CREATE DATABASE")
        }
        c if *c == SqlState::INVALID_SCHEMA_NAME => {
            (Code::TableShape, "there is no such schema: create it with CREATE SCHEMA, or name another one")
        }
        c if *c == SqlState::INSUFFICIENT_PRIVILEGE => (
            Code::DestinationOpen,
            "the user needs CREATE on the schema, and to own the table or have SELECT, INSERT, UPDATE and DELETE on it",
        ),
        c if *c == SqlState::DEPENDENT_OBJECTS_STILL_EXIST => (
            Code::TableShape,
            "views or foreign keys depend on what would go: drop them first, or leave the columns' types as they are",
        ),
        c if *c == SqlState::DISK_FULL => {
            (Code::DestinationWrite, "the server's disk is full: free some room and run again")
        }
        c if *c == SqlState::NUMERIC_VALUE_OUT_OF_RANGE || *c == SqlState::STRING_DATA_RIGHT_TRUNCATION => (
            Code::Unstorable,
            "the table's column is too narrow for a value: give it a wider type (ALTER TABLE … TYPE …)",
        ),
        c if *c == SqlState::INVALID_SQL_STATEMENT_NAME || *c == SqlState::DUPLICATE_PSTATEMENT => (
            Code::Unsafe,
            "the connection goes through a pooler in transaction mode: let Floodmark connect to the server itself, or to a \
             pooler in session mode (pgbouncer: pool_mode = session)",
        ),
        c => match &c.code()[..2] {
            "28" => (Code::DestinationOpen, "check the user and the password, and pg_hba.conf on the server"),
            "23" => (
                Code::TableShape,
                "the table has a constraint that the rows break: drop the constraint, or correct the rows with `transform`",
            ),
            "08" | "57" => (
                Code::DestinationOpen,
                "the server is starting, stopping, or broke off: nothing needs repair; once it can be reached, run again",
            ),
            _ => (Code::DestinationWrite, "nothing needs repair: after the cause is mended, run again"),
        },
    }
}

/// `map_err` shorthand.
pub(crate) fn to(doing: &'static str) -> impl Fn(tokio_postgres::Error) -> Error {
    move |error| failed(doing, error)
}

/// The same for what went wrong while rows were on their way, where the server's own word is inside.
pub(crate) fn sent(doing: &str, error: std::io::Error) -> Error {
    match error.into_inner().map(|inner| inner.downcast::<tokio_postgres::Error>()) {
        Some(Ok(error)) => failed(doing, *error),
        Some(Err(other)) => Error::new(Code::DestinationWrite, format!("PostgreSQL failed to {doing}"))
            .state("the open transaction was rolled back")
            .cause(other),
        None => Error::new(Code::DestinationWrite, format!("PostgreSQL failed to {doing}"))
            .state("the open transaction was rolled back"),
    }
}
