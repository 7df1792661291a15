//! The server's errors, said of a source.

use crate::failure::{Failure, code, passes, unreachable_help};
use floodmark_core::{Code, Error};

/// What the server said, with the remedy that fits. `doing` completes "the source's server failed to …".
pub(crate) fn failed(doing: &str, failure: Failure) -> Error {
    let message = format!("the source's server failed to {doing}");
    let number = match failure {
        Failure::Refused(error) => return error,
        Failure::Server { code, .. } => code,
        Failure::Lost(_) if !doing.starts_with("connect") => {
            return Error::new(Code::SourceRead, message)
                .help("the connection was lost: once the server can be reached, run again")
                .cause(failure)
                .transient();
        }
        // A server that breaks off amid a row may leave what nobody understands.
        Failure::Protocol(_) if !doing.starts_with("connect") => {
            return Error::new(Code::SourceRead, message)
                .help("run again, and see whether something between here and the server changes what passes")
                .cause(failure)
                .transient();
        }
        _ => {
            let cut = failure.is_cut();
            let error = Error::new(Code::SourceRead, message).help(unreachable_help(&failure)).cause(failure);
            return if cut { error.transient() } else { error };
        }
    };
    let (code, help) = match number {
        1049 => (Code::SourceMissing, "there is no such database: check the URL"),
        code::NO_SUCH_TABLE => (Code::SourceMissing, "check the names of databases and tables"),
        1060 => (Code::BadHeader, "give one of the columns another name: SELECT … AS `other_name`"),
        1142 | 1143 | 1370 | 1356 => (
            Code::SourceRead,
            "the user needs SELECT on what is read; with SELECT on some columns only, name these in `query: SELECT …`",
        ),
        1044 | 1045 | 1130 | 1698 => {
            (Code::SourceRead, "check the user, the password, and from where the user may connect (SHOW GRANTS)")
        }
        code::LOCK_WAIT => (
            Code::SourceRead,
            "another session holds a lock on the table: let it finish, or end it (see SHOW PROCESSLIST), and run again",
        ),
        code::TOO_MANY_CONNECTIONS | 1203 | 1226 => (
            Code::SourceRead,
            "the server has as many connections as it takes: close some, or raise max_connections, and run again",
        ),
        code::INTERRUPTED | 1969 | 3024 => {
            (Code::SourceRead, "the statement was stopped, by a person or by a time limit of the server: run again")
        }
        REDEFINED => (Code::SourceRead, "the table was changed (ALTER, TRUNCATE) at that moment: run again"),
        1792 => (Code::SourceRead, "a source is only read: give `query:` a SELECT that writes nothing"),
        1053 | 1927 | 3168 | 3169 | 4031 => {
            (Code::SourceRead, "the server is stopping, or broke off: once it can be reached, run again")
        }
        _ => (
            Code::SourceRead,
            "correct `query:`, or the view that is read; the server's own client shows the same error",
        ),
    };
    let error = Error::new(code, message).help(help).cause(failure);
    if passes(number) || number == REDEFINED { error.transient() } else { error }
}

/// "Table definition has changed": the snapshot is older than the table as it is now.
const REDEFINED: u16 = 1412;

/// `map_err` shorthand.
pub(crate) fn to(doing: &'static str) -> impl Fn(Failure) -> Error {
    move |failure| failed(doing, failure)
}
