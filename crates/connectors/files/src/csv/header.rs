//! The header row: which delimiter, which names.

use super::{parse::CsvParser, split::Quotes};
use crate::{
    blocks::{Block, Cut, Sizes, too_large},
    cells::{CellAt, Chars, RowAt, RowFlaw, Rows},
    open::Input,
};
use floodmark_core::{Code, Error, Result, error::Place, error::shorten, pipeline::CsvOptions, wording};
use std::collections::HashMap;

/// Tried where no delimiter is given; on a tie the earlier one.
const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];

/// What is known before the first row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) delimiter: u8,
    pub(crate) names: Vec<String>,
    /// Line of the first row behind the header.
    pub(crate) line: u64,
    /// Said in later errors about the shape of rows.
    pub(crate) hint: Option<String>,
}

/// An error when the dialect contradicts itself.
pub(crate) fn check_options(options: &CsvOptions) -> Result<()> {
    let reserved = |b: u8| matches!(b, b'\n' | b'\r' | 0) || !b.is_ascii();
    let clash = options.delimiter.is_some_and(|d| reserved(d) || d == options.quote) || reserved(options.quote);
    if clash {
        return Err(Error::new(
            Code::BadArgument,
            "the CSV delimiter and quote must be two different ASCII characters",
        )
        .help("set `delimiter:` and `quote:` to one printable character each, or to a tab"));
    }
    Ok(())
}

impl Header {
    /// Reads the header from the beginning of `input` and leaves what follows in `input.carry`.
    pub(crate) fn read(input: &mut Input, options: &CsvOptions, sizes: Sizes, name: &str) -> Result<Header> {
        let mut line = 1;
        // Blank lines before the header say nothing.
        loop {
            input.peek(2)?;
            let blank = match input.carry.as_slice() {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => break,
            };
            input.carry.drain(..blank);
            line += 1;
        }
        let place = Place { file: Some(name.into()), line: Some(line), ..Place::default() };
        if input.carry.is_empty() {
            if options.header || options.names.is_empty() {
                return Err(Error::new(Code::SourceEmpty, "the file holds blank lines only").at(place));
            }
            let delimiter = options.delimiter.unwrap_or(b',');
            return Ok(Header { delimiter, names: unique(options.names.clone(), &place)?, line, hint: None });
        }
        let (delimiter, end) = first_row(input, options, sizes, name, line)?;
        let block = Block { bytes: input.carry[..end].to_vec(), line, spans: Vec::new() };
        // `header: false`: the row is looked at for its number of fields and stays.
        if options.header {
            input.carry.drain(..end);
            line += memchr::memchr_iter(b'\n', &block.bytes).count() as u64;
        }
        let mut fields = Fields::default();
        let plain = CsvOptions { null: None, ..options.clone() };
        CsvParser::new(&plain, delimiter, None, sizes.row, name).parse(&block, &mut fields)?;
        let found = fields.check(&place)?;
        let names = if options.names.is_empty() {
            if options.header { found } else { (1..=found.len()).map(|n| format!("column_{n}")).collect() }
        } else if options.names.len() == found.len() {
            options.names.clone()
        } else {
            let (given, there) = (options.names.len(), found.len());
            return Err(Error::new(
                Code::BadHeader,
                format!("`names:` lists {} and the file has {there}", wording::count(given as u64, "column")),
            )
            .at(place)
            .help("give one name for each column, in file order"));
        };
        let hint = other_delimiter(&names, delimiter);
        Ok(Header { delimiter, names: unique(names, &place)?, line, hint })
    }
}

/// The delimiter, and where the first row ends in `input.carry`.
fn first_row(input: &mut Input, options: &CsvOptions, sizes: Sizes, name: &str, line: u64) -> Result<(u8, usize)> {
    let mut size = sizes.block;
    loop {
        input.peek(size)?;
        let ended = input.ended;
        let bytes = input.carry.as_slice();
        if let Some(delimiter) = options.delimiter.or_else(|| guess_delimiter(bytes, options.quote, ended)) {
            match row_end(bytes, delimiter, options.quote) {
                Ok(end) => return Ok((delimiter, end)),
                Err(None) if ended => return Ok((delimiter, bytes.len())),
                Err(Some(at)) if ended => {
                    let line = line + memchr::memchr_iter(b'\n', &bytes[..at]).count() as u64;
                    return Err(Error::new(Code::OpenQuote, "a quote is opened in the header and never closed")
                        .at(Place { file: Some(name.into()), line: Some(line), ..Place::default() })
                        .help("close it, or set `quote:` to another character"));
                }
                Err(_) => {}
            }
        }
        if bytes.len() > sizes.row + 2 {
            return Err(too_large(name, line, sizes.row));
        }
        size = bytes.len().saturating_mul(2).max(sizes.block).min(sizes.row + 3);
    }
}

/// Where the first row ends, or else the quote that is left open in it.
fn row_end(bytes: &[u8], delimiter: u8, quote: u8) -> Result<usize, Option<usize>> {
    let mut cut = Quotes::new(delimiter, quote);
    let mut spans = Vec::new();
    // Line by line, until one ends outside quotes.
    for at in memchr::memchr_iter(b'\n', bytes) {
        if matches!(cut.advance(&bytes[..=at], &mut spans), Ok(end) if end > 0) {
            return Ok(at + 1);
        }
    }
    let _ = cut.advance(bytes, &mut spans);
    Err(cut.finish(bytes, &mut spans).err().map(|flaw| flaw.at))
}

/// The candidate that occurs most often outside quotes in the first row; `None` when the row does not end yet.
fn guess_delimiter(bytes: &[u8], quote: u8, ended: bool) -> Option<u8> {
    let mut counts = [0usize; CANDIDATES.len()];
    let mut quoted = false;
    let mut begins = true;
    let mut whole = false;
    for &b in bytes {
        if quoted {
            // A doubled quote closes and opens again at once.
            if b == quote {
                quoted = false;
                begins = true;
            }
            continue;
        }
        if b == quote && begins {
            quoted = true;
            continue;
        }
        if b == b'\n' {
            whole = true;
            break;
        }
        let candidate = CANDIDATES.iter().position(|c| *c == b);
        begins = candidate.is_some();
        if let Some(i) = candidate {
            counts[i] += 1;
        }
    }
    if !whole && !ended {
        return None;
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    counts.iter().position(|n| *n == most).map(|i| CANDIDATES[i])
}

/// A single column whose name holds another delimiter.
fn other_delimiter(names: &[String], delimiter: u8) -> Option<String> {
    let [only] = names else { return None };
    let other = CANDIDATES.iter().find(|c| **c != delimiter && only.as_bytes().contains(c))?;
    Some(format!(
        "the header has one column by delimiter {:?}; {:?} occurs in it: is that the delimiter?",
        char::from(delimiter),
        char::from(*other)
    ))
}

fn unique(names: Vec<String>, place: &Place) -> Result<Vec<String>> {
    let bad = |what: String, value: &str| {
        let place = Place { value: (!value.is_empty()).then(|| shorten(value)), ..place.clone() };
        Error::new(Code::BadHeader, what)
            .at(place)
            .help("correct the header, or give `names:` for all columns, which take its place")
    };
    let mut seen = HashMap::with_capacity(names.len());
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(bad(format!("column {} of {} has no name", i + 1, names.len()), ""));
        }
        if name.contains('\r') {
            return Err(bad("the header holds a carriage return: do lines end in CR alone?".to_owned(), name)
                .help("convert the line ends: tr '\\r' '\\n'"));
        }
        if name.contains('\0') {
            return Err(bad("the header holds NUL bytes: is the file UTF-16?".to_owned(), name)
                .help("convert it: iconv -f UTF-16 -t UTF-8"));
        }
        if let Some(before) = seen.insert(name.as_str(), i) {
            return Err(bad(format!("columns {} and {} have the same name", before + 1, i + 1), name));
        }
    }
    Ok(names)
}

/// Collects the fields of one row.
#[derive(Default)]
struct Fields {
    names: Vec<String>,
    flaw: Option<(RowFlaw, usize)>,
}

impl Fields {
    fn keep(&mut self, chars: Chars<'_>, cells: &[CellAt]) {
        self.names = cells.iter().map(|cell| String::from_utf8_lossy(chars.of(cell)).into_owned()).collect();
    }

    fn check(self, place: &Place) -> Result<Vec<String>> {
        match self.flaw {
            None => Ok(self.names),
            Some((RowFlaw::Encoding(offset, _), _)) => {
                Err(Error::new(Code::BadEncoding, format!("byte {} of the header is not UTF-8", offset + 1))
                    .at(place.clone())
                    .help("convert the file: iconv -f WINDOWS-1252 -t UTF-8 (or from whatever encoding it has)"))
            }
            Some((RowFlaw::AfterQuote(field), _)) => Err(Error::new(
                Code::BadHeader,
                format!("text stands behind the closing quote of column {}", field + 1),
            )
            .at(place.clone())
            .help("double quotes that are part of a name (\"\"), or set `quote:` to another character")),
            Some(_) => Err(Error::internal("a header of unlimited width has the wrong number of fields")),
        }
    }
}

impl Rows for Fields {
    fn row(&mut self, chars: Chars<'_>, _: RowAt, cells: &[CellAt]) {
        self.keep(chars, cells);
    }

    fn flawed(&mut self, at: RowAt, flaw: RowFlaw) {
        self.flaw = Some((flaw, at.start as usize));
    }
}
