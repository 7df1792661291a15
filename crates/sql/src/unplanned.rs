//! Why a statement cannot be planned, and what was probably meant.

use crate::{overflow::Overflow, session::SOURCE};
use datafusion_common::{DataFusionError, SchemaError};
use datafusion_sql::sqlparser::parser::ParserError;
use floodmark_core::{Code, Error, wording};
use std::fmt;

/// What Floodmark refuses by itself, whatever the types of the columns are.
#[derive(Debug)]
pub(crate) struct Refused {
    message: String,
    /// A table that was named and is not there.
    table: Option<String>,
}

impl Refused {
    pub(crate) fn because(message: impl Into<String>) -> DataFusionError {
        DataFusionError::External(Box::new(Refused { message: message.into(), table: None }))
    }

    pub(crate) fn table(name: &str) -> DataFusionError {
        let message = format!("there is no table {name:?}");
        DataFusionError::External(Box::new(Refused { message, table: Some(name.to_owned()) }))
    }

    fn of(error: &DataFusionError) -> Option<&Self> {
        let DataFusionError::External(refused) = error.find_root() else { return None };
        refused.downcast_ref()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}

/// Why a statement cannot be planned.
#[derive(Debug)]
pub struct Unplanned {
    /// What a user is told.
    pub error: Error,
    owing: Owing,
}

/// What an error is owing to, and so what has to be known before it is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owing {
    /// The text alone: it is no SQL, or it names a table or a function that is never there.
    Text,
    /// The columns there are.
    Columns,
    /// Their types, for all that can be told.
    Types,
}

impl From<Unplanned> for Error {
    fn from(unplanned: Unplanned) -> Error {
        unplanned.error
    }
}

impl From<Error> for Unplanned {
    fn from(error: Error) -> Unplanned {
        Unplanned { error, owing: Owing::Types }
    }
}

impl Unplanned {
    /// Whether it would fail over columns of other types as well, and, where they are not `all` there are, with further ones.
    pub fn certain(&self, all: bool) -> bool {
        match self.owing {
            Owing::Text => true,
            Owing::Columns => all,
            Owing::Types => false,
        }
    }

    /// `because` is the cause of `error`, to which it adds the spelling that was meant.
    pub(crate) fn new(error: Error, because: DataFusionError) -> Self {
        let owing = match because.find_root() {
            DataFusionError::SQL(..) => Owing::Text,
            // The SQL engine has no kind of error for a function that is in no library, only these words.
            DataFusionError::Plan(message) if message.starts_with("Invalid function ") => Owing::Text,
            DataFusionError::SchemaError(..) => Owing::Columns,
            _ if Refused::of(&because).is_some() => Owing::Text,
            _ => Owing::Types,
        };
        Unplanned { owing, error: caused(error, because) }
    }

    pub(crate) fn statement(sql: &str, because: DataFusionError) -> Self {
        match Overflow::behind(&because) {
            Some(_) => failed(sql, because).into(),
            None => Unplanned::new(told(sql), because),
        }
    }
}

/// What is said of a statement that was planned, and failed while it ran.
pub(crate) fn failed(sql: &str, because: DataFusionError) -> Error {
    match Overflow::behind(&because) {
        Some(overflow) => overflow.told("the SQL transform failed").help(the_statement(sql)),
        None => caused(told(sql), because),
    }
}

fn told(sql: &str) -> Error {
    Error::new(Code::Transform, "the SQL transform failed")
        .help("the input is the table `source`; write names that are not all lower-case in double quotes")
        .help(the_statement(sql))
}

fn the_statement(sql: &str) -> String {
    format!("the statement: {}", floodmark_core::error::shorten(sql.trim()))
}

/// `error` with its cause, and the spelling that was meant.
pub(crate) fn caused(error: Error, because: DataFusionError) -> Error {
    let error = match meant(&because) {
        Some(help) => error.help(help),
        None => error,
    };
    error.cause(said(&because))
}

/// The reason without the names that the SQL engine has for its kinds of error.
fn said(because: &DataFusionError) -> String {
    if let Some(refused) = Refused::of(because) {
        return refused.message.clone();
    }
    match because.find_root() {
        DataFusionError::SQL(error, _) => match error.as_ref() {
            ParserError::TokenizerError(said) | ParserError::ParserError(said) => said.clone(),
            ParserError::RecursionLimitExceeded => "it is nested too deeply".to_owned(),
        },
        DataFusionError::SchemaError(error, _) => error.to_string(),
        DataFusionError::Plan(said) => said.clone(),
        _ => because.strip_backtrace(),
    }
}

/// The spelling that was meant of a name that is no column, or no table.
fn meant(error: &DataFusionError) -> Option<String> {
    if let Some(refused) = Refused::of(error) {
        let near = wording::nearest(refused.table.as_ref()?, [SOURCE].into_iter())?;
        return Some(format!("did you mean `{near}`?"));
    }
    let DataFusionError::SchemaError(error, _) = error.find_root() else { return None };
    let SchemaError::FieldNotFound { field, valid_fields } = error.as_ref() else { return None };
    let known: Vec<&str> = valid_fields.iter().map(|c| c.name.as_str()).collect();
    (!known.is_empty()).then(|| wording::suggest(&field.name, "the columns are", &known))
}
