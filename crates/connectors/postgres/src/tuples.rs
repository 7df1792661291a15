//! Rows as `COPY … (FORMAT binary)` carries them (PostgreSQL, "COPY", "Binary Format").

use crate::failure::{failed, sent, to};
use floodmark_core::{Error, Result};
use postgres::{CopyInWriter, CopyOutReader};
use std::io::{Read, Write};

/// One cell: its bytes in the type's binary form, `None` for NULL.
pub(crate) type Cell<'a> = Option<&'a [u8]>;

pub(crate) const SIGNATURE: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Bytes that are put together before they are sent.
const SEND: usize = 256 << 10;

/// Appends a cell: its length and its bytes.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, cell: Cell<'_>) {
    match cell {
        None => out.extend_from_slice(&(-1i32).to_be_bytes()),
        Some(bytes) => {
            out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
            out.extend_from_slice(bytes);
        }
    }
}

/// Sends rows.
pub(crate) struct Writer<'c> {
    /// Nothing once the server broke off.
    sink: Option<CopyInWriter<'c>>,
    buffer: Vec<u8>,
}

impl<'c> Writer<'c> {
    pub(crate) fn new(sink: CopyInWriter<'c>) -> Self {
        let mut buffer = Vec::with_capacity(SEND + (64 << 10));
        buffer.extend_from_slice(SIGNATURE);
        Writer { sink: Some(sink), buffer }
    }

    /// Begins a row of so many cells, which are to be [`put`] into the buffer.
    #[inline]
    pub(crate) fn row(&mut self, cells: usize) -> Result<&mut Vec<u8>> {
        if self.buffer.len() >= SEND {
            self.send()?;
        }
        self.buffer.extend_from_slice(&(cells as i16).to_be_bytes());
        Ok(&mut self.buffer)
    }

    /// Sends a row on as it came.
    pub(crate) fn pass(&mut self, row: &Tuple) -> Result<()> {
        let out = self.row(row.len())?;
        (0..row.len()).for_each(|at| put(out, row.cell(at)));
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let Some(sink) = &mut self.sink else { return Err(Error::internal("rows after the end of their stream")) };
        let done = sink.write_all(&self.buffer).and_then(|()| sink.flush());
        self.buffer.clear();
        let Err(error) = done else { return Ok(()) };
        // A server that breaks off says why at the end only.
        match self.sink.take().map(CopyInWriter::finish) {
            Some(Err(why)) if why.as_db_error().is_some() => Err(failed("take rows", why)),
            _ => Err(sent("take rows", error)),
        }
    }

    /// Ends the stream; how many rows the server took.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.buffer.extend_from_slice(&(-1i16).to_be_bytes());
        self.send()?;
        let sink = self.sink.take().ok_or_else(|| Error::internal("a stream of rows ended twice"))?;
        sink.finish().map_err(to("take rows"))
    }
}

/// One row that came in.
#[derive(Debug, Default)]
pub(crate) struct Tuple {
    bytes: Vec<u8>,
    /// Where each cell stands; a length of -1 is NULL.
    cells: Vec<(usize, i32)>,
}

impl Tuple {
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(crate) fn cell(&self, at: usize) -> Cell<'_> {
        let (start, length) = *self.cells.get(at)?;
        self.bytes.get(start..start + usize::try_from(length).ok()?)
    }

    pub(crate) fn int(&self, at: usize) -> Result<i64> {
        let bytes = self.cell(at).and_then(|b| b.try_into().ok());
        bytes.map(i64::from_be_bytes).ok_or_else(|| Error::internal("a number the server sent is none"))
    }
}

/// Takes rows.
pub(crate) struct Reader<'c> {
    source: CopyOutReader<'c>,
    tuple: Tuple,
}

impl<'c> Reader<'c> {
    pub(crate) fn new(mut source: CopyOutReader<'c>) -> Result<Self> {
        let mut head = [0; SIGNATURE.len()];
        source.read_exact(&mut head).map_err(|e| sent("send rows", e))?;
        if head != *SIGNATURE {
            return Err(Error::internal("the server sends rows in another form than asked for"));
        }
        Ok(Reader { source, tuple: Tuple::default() })
    }

    /// The next row; the one before is gone then.
    pub(crate) fn next(&mut self) -> Result<Option<&Tuple>> {
        let Reader { source, tuple } = self;
        let fail = |e| sent("send rows", e);
        let mut two = [0; 2];
        source.read_exact(&mut two).map_err(fail)?;
        let count = i16::from_be_bytes(two);
        tuple.bytes.clear();
        tuple.cells.clear();
        if count < 0 {
            // What follows is the end of the command, or what went wrong at the end.
            std::io::copy(source, &mut std::io::sink()).map_err(fail)?;
            return Ok(None);
        }
        for _ in 0..count {
            let mut four = [0; 4];
            source.read_exact(&mut four).map_err(fail)?;
            let length = i32::from_be_bytes(four);
            let start = tuple.bytes.len();
            tuple.cells.push((start, length));
            if let Ok(length) = usize::try_from(length) {
                tuple.bytes.resize(start + length, 0);
                source.read_exact(&mut tuple.bytes[start..]).map_err(fail)?;
            }
        }
        Ok(Some(tuple))
    }
}
