//! Folders that say the value of a partition column: `day=2024-01-01`.

use floodmark_core::{Code, Error, Result, Value, error::shorten};
use std::fmt::Write;

/// What Hive has for NULL.
pub(crate) const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// As long as the names of most file systems may be.
const LONGEST: usize = 255;

/// The folder of a value. Whatever could mean something to a file system, a store or a URL is escaped.
pub(crate) fn folder(column: &str, value: &Value) -> Result<String> {
    let mut out = escaped(column);
    out.push('=');
    match value {
        Value::Null => out.push_str(NULL),
        value => out.push_str(&escaped(&text(value))),
    }
    if out.len() > LONGEST {
        return Err(Error::new(Code::Unstorable, format!("a value of column {column:?} is too long for a partition"))
            .help(format!("{}: partition by a column with short values", shorten(&value.to_string()))));
    }
    Ok(out)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_-.".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    // `.` and `..` are no names.
    if out.bytes().all(|b| b == b'.') { out.replace('.', "%2E") } else { out }
}

/// A partition's value as Delta writes it.
pub(crate) fn text(value: &Value) -> String {
    match value {
        // Without a `T`: what older readers take for either kind of timestamp.
        Value::Timestamp(_) => value.to_string().replace('T', " "),
        value => value.to_string(),
    }
}
