//! What is said of rows that cannot be loaded.

use crate::cells::{RowAt, RowFlaw};
use floodmark_connect::BadRow;
use floodmark_core::{Code, DataType, Error, error::Place, error::shorten, wording};
use memchr::memchr_iter;

const SET_ASIDE: &str = "correct the file; `on_bad_row: reject` sets such rows aside";
const CURSOR_NULLS: &str =
    "load such rows too with `nulls: include`, or leave them out with `nulls: exclude`, under `watermark:`";

/// What messages need to know of a text file.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The file as the user would name it.
    pub(crate) name: String,
    /// Columns by their position in the file; empty where rows name their own.
    pub(crate) columns: Vec<String>,
    /// About the shape of the whole file, where something looks odd.
    pub(crate) hint: Option<String>,
}

/// Counts lines up to rows that come in order, reading each byte once.
pub(crate) struct LineCounter<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> LineCounter<'a> {
    /// `bytes` begin with line `line`.
    pub(crate) fn new(bytes: &'a [u8], line: u64) -> Self {
        LineCounter { bytes, at: 0, line }
    }

    /// The line of a byte at or after the last one asked for.
    pub(crate) fn line(&mut self, at: usize) -> u64 {
        self.line += memchr_iter(b'\n', &self.bytes[self.at..at]).count() as u64;
        self.at = at;
        self.line
    }
}

impl Context {
    fn place(&self, line: u64, column: Option<&str>, value: Option<String>) -> Place {
        Place {
            file: Some(self.name.clone().into()),
            line: Some(line),
            row: None,
            column: column.map(Into::into),
            value,
        }
    }

    /// The error of a row that could not be parsed; `line` is that of its first byte.
    pub(crate) fn flawed(&self, flaw: &RowFlaw, row: &[u8], line: u64) -> Error {
        let column = |field: usize| self.columns.get(field).map(String::as_str);
        match flaw {
            RowFlaw::Fields(found) => {
                let expected = self.columns.len();
                let error = Error::new(
                    Code::RaggedRow,
                    format!("the row has {}, the header {expected}", wording::count(*found as u64, "field")),
                )
                .at(self.place(line, None, None))
                .help("quote fields that hold the delimiter; `on_bad_row: reject` sets such rows aside");
                match &self.hint {
                    Some(hint) => error.help(hint),
                    None => error,
                }
            }
            RowFlaw::AfterQuote(field) => {
                Error::new(Code::BadFormat, "text stands behind the closing quote of a field")
                    .at(self.place(line, column(*field), Some(shorten(&String::from_utf8_lossy(row)))))
                    .help("double quotes that are part of the text (\"\"), or set `quote:` to another character")
                    .help("`on_bad_row: reject` sets such rows aside")
            }
            RowFlaw::Encoding(offset, field) => {
                let line = line + memchr_iter(b'\n', &row[..*offset]).count() as u64;
                // A little of what stands around it lets a person find it.
                let around = &row[offset.saturating_sub(20)..row.len().min(offset + 20)];
                Error::new(Code::BadEncoding, format!("byte 0x{:02x} is not UTF-8", row[*offset]))
                    .at(self.place(line, field.and_then(column), Some(shorten(&String::from_utf8_lossy(around)))))
                    .help("convert the file: iconv -f WINDOWS-1252 -t UTF-8 (or from whatever encoding it has)")
                    .help("`on_bad_row: reject` sets such rows aside")
            }
            RowFlaw::Json(said, lines, at) => {
                Error::new(Code::BadFormat, format!("not a JSON object: {said} (byte {at} of the line)"))
                    .at(self.place(line + *lines as u64, None, Some(shorten(&String::from_utf8_lossy(row)))))
                    .help("JSON Lines holds one whole object a line; other layouts are read as one array of objects")
                    .help("`on_bad_row: reject` sets such rows aside")
            }
        }
    }

    /// The error of a NULL in a column that must not hold one.
    pub(crate) fn null(&self, column: &str, code: Code, line: u64) -> Error {
        let (what, help) = match code {
            Code::NullKey => ("is part of the key and is NULL", SET_ASIDE),
            Code::NullCursor => ("is the watermark and is NULL", CURSOR_NULLS),
            _ => ("must not be NULL and is", SET_ASIDE),
        };
        Error::new(code, format!("column {column:?} {what}")).at(self.place(line, Some(column), None)).help(help)
    }

    /// The error of a value that does not fit its column.
    pub(crate) fn misfit(&self, column: &str, data_type: DataType, value: String, line: u64) -> Error {
        does_not_fit(column, data_type, self.place(line, Some(column), Some(value)))
    }
}

/// A value that does not fit its column, wherever it stands.
pub(crate) fn does_not_fit(column: &str, data_type: DataType, place: Place) -> Error {
    Error::new(Code::BadValue, format!("the value is not a {data_type}"))
        .at(place)
        .help(format!("`columns: {{ {column:?}: {{ type: text }} }}` keeps the column as text; a table that is loaded already also needs `--full-refresh`"))
        .help("`on_bad_row: reject` sets such rows aside")
}

/// A bad row of a block; its number is within the block until the block's place in the file is known.
pub(crate) fn row(bytes: &[u8], at: RowAt, line: u64, error: Error) -> BadRow {
    BadRow {
        row: u64::from(at.number),
        line: Some(line),
        error,
        raw: String::from_utf8_lossy(&bytes[at.start as usize..at.end as usize]).into_owned(),
    }
}
