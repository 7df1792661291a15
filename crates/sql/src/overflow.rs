//! A number that its type cannot hold.

use arrow::{datatypes::DataType, error::ArrowError};
use datafusion_common::DataFusionError;
use floodmark_core::{Code, Error};
use std::{error::Error as Cause, fmt};

/// What was worked out, and the type it was to be.
#[derive(Debug)]
pub(crate) struct Overflow {
    /// As it would be written: `4000000000 * 2`, `sum(…)`.
    worked_out: String,
    /// The number, where it is known.
    gave: Option<String>,
    data_type: DataType,
    help: String,
}

impl Overflow {
    /// Of an operation on whole numbers; `because` has the two of them. Any other error stays what it is.
    pub(crate) fn of_operation(
        because: ArrowError,
        sign: &str,
        operands: usize,
        data_type: DataType,
    ) -> DataFusionError {
        let ArrowError::ArithmeticOverflow(said) = because else { return because.into() };
        // The kernel has no other form for the values than these words.
        let worked_out = said.strip_prefix("Overflow happened on: ").unwrap_or(&said).to_owned();
        let example = match operands {
            1 => format!("{sign}CAST(a AS decimal(38,0))"),
            _ => format!("CAST(a AS decimal(38,0)) {sign} b"),
        };
        let help = format!("work it out in decimals, which hold 38 digits: {example}");
        Overflow { worked_out, gave: None, data_type, help }.into()
    }

    /// Of a sum that is `total`.
    pub(crate) fn of_sum(total: Option<String>, data_type: DataType) -> DataFusionError {
        let help = match data_type {
            DataType::Int64 | DataType::UInt64 => {
                "work it out in decimals, which hold 38 digits: sum(CAST(a AS decimal(38,0)))"
            }
            _ => "sum doubles where the last digits do not matter: sum(CAST(a AS double))",
        };
        Overflow { worked_out: "sum(…)".into(), gave: total, data_type, help: help.into() }.into()
    }

    /// The overflow that `error` comes from.
    pub(crate) fn behind(error: &DataFusionError) -> Option<&Overflow> {
        let mut error: Option<&(dyn Cause + 'static)> = Some(error);
        while let Some(cause) = error {
            if let Some(overflow) = cause.downcast_ref() {
                return Some(overflow);
            }
            error = cause.source();
        }
        None
    }

    /// The error a user sees: `what` failed.
    pub(crate) fn told(&self, what: impl Into<String>) -> Error {
        Error::new(Code::Transform, what).help(self.help.as_str()).cause(self.to_string())
    }
}

impl From<Overflow> for DataFusionError {
    fn from(overflow: Overflow) -> Self {
        DataFusionError::External(Box::new(overflow))
    }
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data_type = name(&self.data_type);
        match &self.gave {
            Some(gave) => write!(f, "{} is {gave}, which does not fit {data_type}", self.worked_out),
            None => write!(f, "{} does not fit {data_type}", self.worked_out),
        }
    }
}

/// What SQL calls a type.
fn name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Int8 => "tinyint",
        DataType::Int16 => "smallint",
        DataType::Int32 => "int",
        DataType::Int64 => "bigint",
        DataType::UInt8 => "tinyint unsigned",
        DataType::UInt16 => "smallint unsigned",
        DataType::UInt32 => "int unsigned",
        DataType::UInt64 => "bigint unsigned",
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale) => {
            return format!("decimal({digits},{scale})");
        }
        other => return other.to_string(),
    };
    name.to_owned()
}

impl Cause for Overflow {}
