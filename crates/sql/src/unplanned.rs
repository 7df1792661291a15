//! Why a statement cannot be planned, and what was probably meant.

use datafusion_common::{DataFusionError, SchemaError};
use floodmark_core::{Code, Error, wording};

/// Why a statement cannot be planned.
#[derive(Debug)]
pub struct Unplanned {
    /// What a user is told.
    pub error: Error,
    /// It is wrong whatever the columns' types are: a name that is not there, or no SQL at all.
    pub by_name: bool,
}

impl From<Unplanned> for Error {
    fn from(unplanned: Unplanned) -> Error {
        unplanned.error
    }
}

impl From<Error> for Unplanned {
    fn from(error: Error) -> Unplanned {
        Unplanned { error, by_name: false }
    }
}

impl Unplanned {
    /// `because` is the cause of `error`, to which it adds the spelling that was meant.
    pub(crate) fn new(error: Error, because: DataFusionError) -> Self {
        let by_name = matches!(because.find_root(), DataFusionError::SchemaError(..) | DataFusionError::SQL(..));
        Unplanned { by_name, error: caused(error, because) }
    }

    pub(crate) fn statement(sql: &str, because: DataFusionError) -> Self {
        Unplanned::new(told(sql), because)
    }
}

/// What is said of a statement that was planned, and failed while it ran.
pub(crate) fn failed(sql: &str, because: DataFusionError) -> Error {
    caused(told(sql), because)
}

fn told(sql: &str) -> Error {
    Error::new(Code::Transform, "the SQL transform failed")
        .help("the input is the table `source`; write names that are not all lower-case in double quotes")
        .help(format!("the statement: {}", floodmark_core::error::shorten(sql.trim())))
}

fn caused(error: Error, because: DataFusionError) -> Error {
    let error = match meant(&because) {
        Some(help) => error.help(help),
        None => error,
    };
    error.cause(because.strip_backtrace())
}

/// The spelling that was meant of a name that is no column.
fn meant(error: &DataFusionError) -> Option<String> {
    let DataFusionError::SchemaError(error, _) = error.find_root() else { return None };
    let SchemaError::FieldNotFound { field, valid_fields } = error.as_ref() else { return None };
    let known: Vec<&str> = valid_fields.iter().map(|c| c.name.as_str()).collect();
    (!known.is_empty()).then(|| wording::suggest(&field.name, "the columns are", &known))
}
