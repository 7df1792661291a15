//! Rows as `COPY … (FORMAT binary)` sends them, gathered into blocks.

use super::failure::sent;
use crate::tuples::{Cell, SIGNATURE};
use floodmark_core::{Error, Result};
use std::io::BufRead;

/// So many rows at most are gathered, and about so many bytes: as much as stays at hand while it is turned into columns.
const ROWS: usize = 1 << 14;
const BYTES: usize = 2 << 20;

/// Rows that were gathered: their bytes, and where each cell stands.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    /// By row, then by column: start and length, which is -1 for NULL.
    cells: Vec<(u32, i32)>,
    columns: usize,
    pub(crate) rows: usize,
}

impl Block {
    pub(crate) fn new(columns: usize) -> Self {
        Block { bytes: Vec::new(), cells: Vec::new(), columns, rows: 0 }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.cells.clear();
        self.rows = 0;
    }

    fn is_full(&self) -> bool {
        self.rows >= ROWS || self.bytes.len() >= BYTES
    }

    #[inline]
    pub(crate) fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        let (start, length) = self.cells[row * self.columns + column];
        Some(&self.bytes[start as usize..][..usize::try_from(length).ok()?])
    }

    /// The cells of a column, from the first row to the last.
    pub(crate) fn column(&self, column: usize) -> impl Iterator<Item = Cell<'_>> {
        (0..self.rows).map(move |row| self.cell(row, column))
    }
}

/// What the bytes at hand begin with.
enum Framed {
    /// A whole row of so many bytes, whose cells are noted.
    Row(usize),
    /// The end of the rows.
    End,
    /// A part of a row.
    Part,
}

/// The stream, cut into rows.
pub(crate) struct Rows<'b, R> {
    stream: R,
    /// The beginning of a row whose end has not come yet.
    held: Vec<u8>,
    block: &'b mut Block,
    begun: bool,
    ended: bool,
    closed: bool,
}

impl<'b, R: BufRead> Rows<'b, R> {
    /// They are gathered in that block, one lot after the other.
    pub(crate) fn new(stream: R, block: &'b mut Block) -> Self {
        Rows { stream, held: Vec::new(), block, begun: false, ended: false, closed: false }
    }

    /// The next rows, `None` at the end; those before are gone then.
    pub(crate) fn next(&mut self) -> Result<Option<&Block>> {
        let block = &mut *self.block;
        block.clear();
        while !self.ended && !block.is_full() {
            let chunk = self.stream.fill_buf().map_err(sent)?;
            if chunk.is_empty() {
                return Err(sent(std::io::ErrorKind::UnexpectedEof.into()));
            }
            // The server sends a row in one piece, so that this is all there is to do, most times.
            let taken = match self.held.is_empty() {
                true => take(chunk, &mut self.begun, &mut self.ended, block)?,
                false => 0,
            };
            let whole = taken == chunk.len();
            if !whole && !self.ended {
                self.held.extend_from_slice(&chunk[taken..]);
            }
            let length = chunk.len();
            self.stream.consume(length);
            if !whole && !self.ended {
                let taken = take(&self.held, &mut self.begun, &mut self.ended, block)?;
                self.held.drain(..taken);
            }
        }
        // What follows is the end of the command, or what went wrong at the end.
        while self.ended && !self.closed {
            let more = self.stream.fill_buf().map_err(sent)?.len();
            self.stream.consume(more);
            self.closed = more == 0;
        }
        Ok((self.block.rows > 0).then_some(&*self.block))
    }
}

/// Takes the whole rows at the beginning of `bytes`; returns how many bytes they have.
fn take(bytes: &[u8], begun: &mut bool, ended: &mut bool, block: &mut Block) -> Result<usize> {
    let mut at = 0;
    if !*begun {
        let Some(head) = bytes.get(..SIGNATURE.len()) else { return Ok(0) };
        if head != SIGNATURE {
            return Err(Error::internal("the server sends rows in another form than asked for"));
        }
        (*begun, at) = (true, SIGNATURE.len());
    }
    while !*ended {
        match frame(&bytes[at..], block)? {
            Framed::Row(length) => at += length,
            Framed::End => *ended = true,
            Framed::Part => break,
        }
    }
    Ok(at)
}

/// Adds the row at the beginning of `bytes`, where it is whole.
fn frame(bytes: &[u8], block: &mut Block) -> Result<Framed> {
    let Some(count) = bytes.first_chunk::<2>() else { return Ok(Framed::Part) };
    let count = i16::from_be_bytes(*count);
    if count == -1 {
        return Ok(Framed::End);
    }
    if usize::try_from(count) != Ok(block.columns) {
        return Err(Error::internal(format!("a row of {count} columns, and {} were asked for", block.columns)));
    }
    let (noted, base) = (block.cells.len(), block.bytes.len());
    let far = || Error::internal("a row of more bytes than the server can send");
    let mut at = 2;
    for _ in 0..block.columns {
        let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) else {
            block.cells.truncate(noted);
            return Ok(Framed::Part);
        };
        let length = i32::from_be_bytes(*length);
        at += 4;
        block.cells.push((u32::try_from(base + at).map_err(|_| far())?, length));
        at += usize::try_from(length).unwrap_or(0);
    }
    let Some(row) = bytes.get(..at) else {
        block.cells.truncate(noted);
        return Ok(Framed::Part);
    };
    block.bytes.extend_from_slice(row);
    block.rows += 1;
    Ok(Framed::Row(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuples::put;
    use std::io::{BufReader, Cursor};

    /// The same rows, however they are cut on their way.
    #[test]
    fn rows_come_whole_from_pieces_of_any_size() {
        let mut stream = SIGNATURE.to_vec();
        let rows = [[Some(&b"ab"[..]), None], [Some(b""), Some(b"cde")], [None, None]];
        for row in &rows {
            stream.extend_from_slice(&2i16.to_be_bytes());
            row.iter().for_each(|cell| put(&mut stream, *cell));
        }
        stream.extend_from_slice(&(-1i16).to_be_bytes());
        for piece in 1..=stream.len() {
            let mut block = Block::new(2);
            let mut reader = Rows::new(BufReader::with_capacity(piece, Cursor::new(&stream)), &mut block);
            let block = reader.next().unwrap().unwrap();
            let came: Vec<[Cell<'_>; 2]> = (0..block.rows).map(|r| [block.cell(r, 0), block.cell(r, 1)]).collect();
            assert_eq!(came, rows, "in pieces of {piece}");
            assert!(reader.next().unwrap().is_none());
        }
    }

    #[test]
    fn a_stream_that_breaks_off_is_an_error() {
        let mut stream = SIGNATURE.to_vec();
        stream.extend_from_slice(&1i16.to_be_bytes());
        put(&mut stream, Some(b"ab"));
        for length in 0..=stream.len() {
            let mut block = Block::new(1);
            let mut reader = Rows::new(Cursor::new(&stream[..length]), &mut block);
            assert!(reader.next().is_err(), "{length}");
        }
    }
}
