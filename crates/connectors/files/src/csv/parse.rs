//! Fields of a block of CSV rows.

use super::marks::Marks;
use crate::{
    blocks::{Block, too_large},
    cells::{CellAt, Chars, RowAt, RowFlaw, Rows},
};
use floodmark_core::{Result, infer::Cell, pipeline::CsvOptions};
use memchr::{memchr, memchr_iter};

/// Parses blocks; keeps its buffers from one to the next.
#[derive(Debug)]
pub(crate) struct CsvParser {
    delimiter: u8,
    quote: u8,
    null: Option<Vec<u8>>,
    /// Fields a row must have; `None`: any number (a header).
    width: Option<usize>,
    max_row: usize,
    name: String,
    row: Vec<CellAt>,
    /// Where fields begin; kept only for blocks that are not UTF-8, to name the column.
    begins: Vec<usize>,
    /// Text of fields with doubled quotes.
    pub(crate) resolved: Vec<u8>,
}

impl CsvParser {
    /// For rows of `width` fields, or any number, of at most `max_row` bytes.
    pub(crate) fn new(options: &CsvOptions, delimiter: u8, width: Option<usize>, max_row: usize, name: &str) -> Self {
        CsvParser {
            delimiter,
            quote: options.quote,
            null: options.null.clone().map(String::into_bytes),
            width,
            max_row,
            name: name.to_owned(),
            row: Vec::new(),
            begins: Vec::new(),
            resolved: Vec::new(),
        }
    }

    /// Hands every row of the block to `rows`.
    pub(crate) fn parse(&mut self, block: &Block, rows: &mut impl Rows) -> Result<()> {
        let bytes = block.bytes.as_slice();
        // Most blocks are ASCII, which is told faster.
        let clean = bytes.is_ascii() || std::str::from_utf8(bytes).is_ok();
        let mut marks = Marks::new(bytes, self.delimiter, b'\n');
        let width = self.width.unwrap_or(usize::MAX);
        let (mut pos, mut number) = (0, 0u32);
        self.resolved.clear();
        while pos < bytes.len() {
            let start = pos;
            let mut count = 0;
            let mut flaw = None;
            self.row.clear();
            self.begins.clear();
            let end = loop {
                if !clean {
                    self.begins.push(pos);
                }
                let (cell, end) = if bytes.get(pos) == Some(&self.quote) {
                    let (cell, after) = self.quoted(bytes, pos + 1);
                    marks.seek(after);
                    let end = marks.next();
                    if after != self.trimmed(bytes, after, end) {
                        flaw.get_or_insert(RowFlaw::AfterQuote(count));
                    }
                    (cell, end)
                } else {
                    let end = marks.next();
                    (self.bare(bytes, pos, self.trimmed(bytes, pos, end)), end)
                };
                count += 1;
                if count <= width {
                    self.row.push(cell);
                }
                if end >= bytes.len() || bytes[end] != self.delimiter {
                    break end;
                }
                pos = end + 1;
            };
            pos = (end + 1).min(bytes.len()).max(start + 1);
            let text_end = self.trimmed(bytes, start, end);
            if start == text_end {
                continue;
            }
            if text_end - start > self.max_row {
                let line = block.line + memchr_iter(b'\n', &bytes[..start]).count() as u64;
                return Err(too_large(&self.name, line, self.max_row));
            }
            let at = RowAt { start: start as u32, end: text_end as u32, number };
            number += 1;
            if !clean && let Err(error) = std::str::from_utf8(&bytes[start..text_end]) {
                let offset = error.valid_up_to();
                let field = self.begins.partition_point(|b| *b <= start + offset) - 1;
                flaw = Some(RowFlaw::Encoding(offset, Some(field)));
            } else if flaw.is_none() && self.width.is_some_and(|width| count != width) {
                flaw = Some(RowFlaw::Fields(count));
            }
            match flaw {
                None => rows.row(Chars { block: bytes, resolved: &self.resolved }, at, &self.row),
                Some(flaw) => rows.flawed(at, flaw),
            }
        }
        Ok(())
    }

    /// `end` without the CR of a line end.
    #[inline]
    fn trimmed(&self, bytes: &[u8], start: usize, end: usize) -> usize {
        let line_end = end >= bytes.len() || bytes[end] != self.delimiter;
        if line_end && end > start && bytes[end - 1] == b'\r' { end - 1 } else { end }
    }

    #[inline]
    fn bare(&self, bytes: &[u8], start: usize, end: usize) -> CellAt {
        if start >= end || self.null.as_deref().is_some_and(|null| *null == bytes[start..end]) {
            CellAt::NULL
        } else {
            CellAt::block(start, end, Cell::Bare)
        }
    }

    /// The cell of a quoted field whose text begins at `start`, and the position behind its closing quote.
    fn quoted(&mut self, bytes: &[u8], start: usize) -> (CellAt, usize) {
        let begun = self.resolved.len();
        let mut from = start;
        loop {
            // The block holds whole rows, so the quote is closed in it.
            let close = memchr(self.quote, &bytes[from..]).map_or(bytes.len(), |at| from + at);
            if bytes.get(close + 1) == Some(&self.quote) {
                self.resolved.extend_from_slice(&bytes[from..=close]);
                from = close + 2;
                continue;
            }
            let after = (close + 1).min(bytes.len());
            if from == start {
                return (CellAt::block(start, close, Cell::Bare), after);
            }
            self.resolved.extend_from_slice(&bytes[from..close]);
            return (CellAt::resolved(begun, self.resolved.len(), Cell::Bare), after);
        }
    }
}
