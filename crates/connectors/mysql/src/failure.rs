//! From the server's errors to ours.

use floodmark_core::{Code, Error};
use std::{fmt, io, time::Duration};

/// What went wrong on a connection.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server's own word.
    Server { code: u16, message: String },
    /// The connection is gone, or was never made.
    Lost(io::Error),
    /// Nothing was said in so long, from the beginning.
    Silent(Duration),
    /// No TLS could be agreed on.
    Tls(io::Error),
    /// The server does not speak TLS, and the URL asks for it.
    NoTls,
    /// The password would have to be sent for everybody to read.
    Clear,
    /// The server asks who this is in a way that is not known.
    Method(String),
    /// What the server said is not what it may say.
    Protocol(&'static str),
    /// Another part of this program has said already what is wrong.
    Refused(Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Lost(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Server { code, message } => write!(f, "{message} (error {code})"),
            Failure::Lost(error) | Failure::Tls(error) => write!(f, "{error}"),
            Failure::Silent(limit) => write!(f, "no answer in {} s", limit.as_secs()),
            Failure::NoTls => f.write_str("the server does not speak TLS"),
            Failure::Clear => {
                f.write_str("the server wants the password itself, over a connection that others can read")
            }
            Failure::Method(method) => write!(f, "the server identifies its users by {method:?}"),
            Failure::Protocol(what) => write!(f, "the server cannot be understood: {what}"),
            Failure::Refused(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// Whether a connection that stood was cut off, rather than none could be had.
    pub(crate) fn is_cut(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        matches!(self, Failure::Lost(error) if matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
        ))
    }

    /// The number of the server's error; 0 where it said nothing.
    pub(crate) fn code(&self) -> u16 {
        match self {
            Failure::Server { code, .. } => *code,
            _ => 0,
        }
    }
}

/// Errors of the server that are told apart (MySQL, "Server Error Message Reference"; MariaDB has the same numbers).
pub(crate) mod code {
    pub(crate) const TOO_MANY_CONNECTIONS: u16 = 1040;
    pub(crate) const DUPLICATE_KEY: u16 = 1062;
    pub(crate) const NO_SUCH_SESSION: u16 = 1094;
    pub(crate) const NO_SUCH_TABLE: u16 = 1146;
    pub(crate) const PACKET_TOO_LARGE: u16 = 1153;
    pub(crate) const LOCK_WAIT: u16 = 1205;
    pub(crate) const DEADLOCK: u16 = 1213;
    pub(crate) const PRIVILEGE: u16 = 1227;
    pub(crate) const INTERRUPTED: u16 = 1317;
}

/// How a failure is told: what was being done, and what was said.
pub(crate) type Failed = fn(&str, Failure) -> Error;

/// What to do about a server that speaks no TLS.
pub(crate) const NO_TLS: &str = "the server does not speak TLS, and `ssl-mode` asks for it: have it switched on there (ssl_cert, ssl_key), \
                                 or where others may read along, write ssl-mode=preferred";

/// What the server said, with the code and remedy that fit. `doing` completes "the server failed to …".
pub(crate) fn failed(doing: &str, failure: Failure) -> Error {
    let connecting = doing.starts_with("connect");
    // Before a connection stands there is no transaction.
    let state = if connecting { "nothing was written" } else { "the open transaction was rolled back" };
    let message = format!("the server failed to {doing}");
    match failure {
        Failure::Refused(error) => error,
        Failure::Server { code: number, .. } => {
            let (code, help) = remedy(number);
            let error = Error::new(code, message).help(help).cause(failure);
            // What is written before a server takes no writes any more is for the run to say.
            let error = if takes_no_writes(number) { error } else { error.state(state) };
            if passes(number) { error.transient() } else { error }
        }
        Failure::Lost(_) if !connecting => {
            Error::new(Code::DestinationWrite, format!("{message}: the connection was lost"))
                .state("the server rolls back what it had not committed, and lets go of the pipeline")
                .help("nothing needs repair: once the server can be reached, run again")
                .cause(failure)
                .transient()
        }
        // A server that breaks off amid a row may leave what nobody understands.
        Failure::Protocol(_) if !connecting => {
            Error::new(Code::DestinationWrite, message).state(state).cause(failure).transient()
        }
        _ => {
            let cut = failure.is_cut();
            let error =
                Error::new(Code::DestinationOpen, message).state(state).help(unreachable_help(&failure)).cause(failure);
            if cut { error.transient() } else { error }
        }
    }
}

/// What to do about a server that takes no writes.
pub(crate) const NO_WRITES: &str =
    "name the primary server, not a replica, and see read_only: this one takes no writes";

/// What to do where no connection comes about.
pub(crate) fn unreachable_help(failure: &Failure) -> &'static str {
    match failure {
        Failure::NoTls => NO_TLS,
        Failure::Tls(_) => {
            "the server's certificate does not suit `ssl-mode`: name its authority (ssl-ca=/path/ca.pem) and the host it is made \
             out to, or ask for less: ssl-mode=verify_ca takes any name, ssl-mode=required any certificate"
        }
        Failure::Clear => "let it be reached by TLS (ssl-mode=required) or by its socket",
        Failure::Silent(_) => {
            "check that it is a MySQL or MariaDB server that runs, and what stands between; connect-timeout=60 in the URL waits longer"
        }
        Failure::Method(_) => {
            "give the user another method: mysql_native_password, caching_sha2_password, or over TLS mysql_clear_password"
        }
        _ => {
            "check host and port, that the server runs, and that it takes connections from this machine (bind_address)"
        }
    }
}

/// Whether the same may succeed a moment later: a deadlock, a server that is full, starting or stopping, a session that was
/// ended. A lock that somebody kept for as long as a run waits is kept on purpose.
pub(crate) fn passes(number: u16) -> bool {
    matches!(number, code::TOO_MANY_CONNECTIONS | code::DEADLOCK)
        // Shutdown in progress, connection killed, aborted connection, lost in a query, killed by idleness, read-only for a moment.
        || matches!(number, 1053 | 1152 | 1158..=1161 | 1184 | 1927 | 3168 | 3169 | 4031)
}

/// Read-only: by an option, in a transaction, for a moment, in a group.
fn takes_no_writes(number: u16) -> bool {
    matches!(number, 1290 | 1792 | 1836 | 3100)
}

fn remedy(number: u16) -> (Code, &'static str) {
    match number {
        code::LOCK_WAIT => (
            Code::DestinationBusy,
            "another program holds a lock on the table or its rows: let it finish, or end it (SHOW PROCESSLIST), and run again",
        ),
        code::DEADLOCK => (Code::DestinationBusy, "another program wrote to the same rows at that moment: run again"),
        code::TOO_MANY_CONNECTIONS | 1203 | 1226 => (
            Code::DestinationBusy,
            "the server has as many connections as it takes: close some, or raise max_connections",
        ),
        code::INTERRUPTED | 1969 | 3024 => (
            Code::DestinationWrite,
            "the statement was stopped, by a person or by a time limit of the server: run again",
        ),
        _ if takes_no_writes(number) => (Code::DestinationOpen, NO_WRITES),
        1049 => (Code::DestinationOpen, "there is no such database: check the name, or create it with CREATE DATABASE"),
        1044 | 1045 | 1130 | 1698 => {
            (Code::DestinationOpen, "check the user, the password, and from where the user may connect (SHOW GRANTS)")
        }
        1142 | 1143 | code::PRIVILEGE | 1370 => (
            Code::DestinationOpen,
            "the user needs SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP and CREATE TEMPORARY TABLES on the database",
        ),
        1021 | 1114 | 1030 => {
            (Code::DestinationWrite, "the server's disk is full or failing: free some room and run again")
        }
        1264 | 1265 | 1292 | 1366 | 1406 | 1690 => (
            Code::Unstorable,
            "the table's column is too narrow for a value, or of another kind: give it a wider type (ALTER TABLE … MODIFY …)",
        ),
        1048 | 1364 | 1451 | 1452 | code::DUPLICATE_KEY | 1586 | 3819 | 4025 => (
            Code::TableShape,
            "the table has a constraint that the rows break: drop the constraint, or correct the rows with `transform`",
        ),
        1118 | 1117 | 1071 => (
            Code::TableShape,
            "a row or a key would be larger than the server's tables can hold: load fewer or narrower columns",
        ),
        code::PACKET_TOO_LARGE => {
            (Code::DestinationWrite, "a value is larger than the server takes at once: raise max_allowed_packet there")
        }
        1053 | 1927 | 3168 | 3169 | 4031 => (
            Code::DestinationOpen,
            "the server is stopping, or broke off: nothing needs repair; once it can be reached, run again",
        ),
        _ => (Code::DestinationWrite, "nothing needs repair: after the cause is mended, run again"),
    }
}

/// `map_err` shorthand.
pub(crate) fn to(doing: &'static str) -> impl Fn(Failure) -> Error {
    move |failure| failed(doing, failure)
}
