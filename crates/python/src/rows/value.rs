//! A value of Python, as what it says of itself.

use floodmark_core::{Code, DataType, Error, Result};
use pyo3::{
    prelude::*,
    types::{
        PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyMapping, PyModule, PySet,
        PyString, PyTuple,
    },
};

/// A value whose type is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// A number in decimal digits.
    Decimal(String),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// As ISO 8601 writes it, and the following, too.
    Date(String),
    Time(String),
    Timestamp(String),
    /// With its distance from UTC.
    TimestampTz(String),
    /// A list or an object.
    Json(String),
}

/// Types of Python's own library that a value may be of.
pub(crate) struct Names<'py> {
    datetime: Bound<'py, PyAny>,
    date: Bound<'py, PyAny>,
    time: Bound<'py, PyAny>,
    decimal: Bound<'py, PyAny>,
    uuid: Bound<'py, PyAny>,
    format: Bound<'py, PyAny>,
    json: Bound<'py, PyAny>,
}

impl<'py> Names<'py> {
    pub(crate) fn new(py: Python<'py>) -> PyResult<Self> {
        let of = |module: &str, name: &str| PyModule::import(py, module)?.getattr(name);
        Ok(Names {
            datetime: of("datetime", "datetime")?,
            date: of("datetime", "date")?,
            time: of("datetime", "time")?,
            decimal: of("decimal", "Decimal")?,
            uuid: of("uuid", "UUID")?,
            format: of("builtins", "format")?,
            json: of("floodmark._values", "nested")?,
        })
    }
}

impl Value {
    /// What a value is. What Python raises is one error; a value of no type that can be kept is another.
    pub(crate) fn of(value: &Bound<'_, PyAny>, names: &Names<'_>) -> PyResult<Result<Value>> {
        Ok(Ok(if value.is_none() {
            Value::Null
        } else if let Ok(v) = value.cast::<PyBool>() {
            Value::Bool(v.is_true())
        } else if value.is_instance_of::<PyInt>() {
            match value.extract::<i64>() {
                Ok(v) => Value::Int(v),
                Err(_) => Value::Decimal(names.format.call1((value, "d"))?.extract()?),
            }
        } else if let Ok(v) = value.cast::<PyFloat>() {
            Value::Double(v.value())
        } else if let Ok(v) = value.cast::<PyString>() {
            match v.to_str() {
                Ok(text) => Value::Text(text.to_owned()),
                // A lone surrogate: no text that a database knows.
                Err(_) => return Ok(Err(unkept("text that is not Unicode (a lone surrogate)"))),
            }
        } else if let Ok(v) = value.cast::<PyBytes>() {
            Value::Bytes(v.as_bytes().to_vec())
        } else if let Ok(v) = value.cast::<PyByteArray>() {
            Value::Bytes(v.to_vec())
        } else if value.is_instance(&names.datetime)? {
            return moment(value);
        } else if value.is_instance(&names.date)? {
            Value::Date(iso(value)?)
        } else if value.is_instance(&names.time)? {
            match value.call_method0("utcoffset")?.is_none() {
                true => Value::Time(iso(value)?),
                false => return Ok(Err(unkept("a time of day with a time zone"))),
            }
        } else if value.is_instance(&names.decimal)? {
            match value.call_method0("is_finite")?.is_truthy()? {
                true => Value::Decimal(names.format.call1((value, "f"))?.extract()?),
                false => return Ok(Err(unkept("a Decimal that is no number"))),
            }
        } else if value.is_instance(&names.uuid)? {
            Value::Text(value.str()?.extract()?)
        } else if nested(value) {
            Value::Json(names.json.call1((value,))?.extract()?)
        } else {
            return other(value, names);
        }))
    }

    /// What it takes in memory, about.
    pub(crate) fn size(&self) -> usize {
        let beside = match self {
            Value::Decimal(text)
            | Value::Text(text)
            | Value::Date(text)
            | Value::Time(text)
            | Value::Timestamp(text)
            | Value::TimestampTz(text)
            | Value::Json(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) => 0,
        };
        size_of::<Value>() + beside
    }

    /// As its text, which is the one that the value has in a column of its own type.
    pub(crate) fn text(&self) -> String {
        let typed = |text: &str, of: DataType| {
            floodmark_core::Value::parse(text, of).map_or_else(|| text.to_owned(), |value| value.to_string())
        };
        match self {
            Value::Null => String::new(),
            Value::Bool(v) => v.to_string(),
            Value::Int(v) => v.to_string(),
            Value::Double(v) => floodmark_core::Value::Double(*v).to_string(),
            Value::Bytes(v) => String::from_utf8_lossy(v).into_owned(),
            Value::Date(v) => typed(v, DataType::Date),
            Value::Time(v) => typed(v, DataType::Time),
            Value::Timestamp(v) => typed(v, DataType::Timestamp { nanos: true }),
            Value::TimestampTz(v) => typed(v, DataType::TimestampTz { nanos: true }),
            Value::Decimal(v) | Value::Text(v) | Value::Json(v) => v.clone(),
        }
    }
}

fn nested(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyDict>()
        || value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PySet>()
        || value.is_instance_of::<PyFrozenSet>()
        || value.cast::<PyMapping>().is_ok()
}

fn iso(value: &Bound<'_, PyAny>) -> PyResult<String> {
    value.call_method0("isoformat")?.extract()
}

/// A `datetime`, or a pandas Timestamp, whose text has its nanoseconds; `NaT` is one, too.
fn moment(value: &Bound<'_, PyAny>) -> PyResult<Result<Value>> {
    let text = iso(value)?;
    if text == "NaT" {
        return Ok(Ok(Value::Null));
    }
    Ok(Ok(match value.call_method0("utcoffset")?.is_none() {
        true => Value::Timestamp(text),
        false => Value::TimestampTz(text),
    }))
}

/// Values of NumPy and pandas that are of no type of Python's own.
fn other(value: &Bound<'_, PyAny>, names: &Names<'_>) -> PyResult<Result<Value>> {
    let of = value.get_type();
    let (name, module) = (of.name()?.to_string(), of.module()?.to_string());
    match (module.split('.').next().unwrap_or_default(), name.as_str()) {
        ("pandas", "NAType" | "NaTType") => return Ok(Ok(Value::Null)),
        ("numpy", "datetime64") => {
            let text: String = value.str()?.extract()?;
            return Ok(Ok(match text.as_str() {
                "NaT" => Value::Null,
                _ if text.contains('T') => Value::Timestamp(text),
                _ => Value::Date(text),
            }));
        }
        ("numpy", "timedelta64" | "complex64" | "complex128") => {}
        ("numpy", "ndarray") => return Value::of(&value.call_method0("tolist")?, names),
        ("numpy", _) => {
            let own = value.call_method0("item")?;
            if !own.get_type().is(&of) {
                return Value::of(&own, names);
            }
        }
        _ => {}
    }
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
    Ok(Err(unkept(&format!("{article} {name}"))))
}

fn unkept(what: &str) -> Error {
    Error::new(Code::BadValue, format!("{what} cannot be kept in a column"))
        .help("make it a number, text, date or timestamp before the rows are handed over")
}
