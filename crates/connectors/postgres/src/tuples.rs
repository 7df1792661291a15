//! Rows as `COPY … (FORMAT binary)` carries them (PostgreSQL, "COPY", "Binary Format").

use crate::{
    failure::{failed, sent, to},
    link::Db,
};
use bytes::Bytes;
use floodmark_core::{Error, Result};
pub(crate) use floodmark_merge::cell::{Cell, put};
use futures::{SinkExt, Stream};
use std::{
    future::poll_fn,
    io::{BufRead, Read},
    pin::Pin,
    task::Poll,
};
use tokio_postgres::{CopyInSink, CopyOutStream};

pub(crate) const SIGNATURE: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Bytes that are put together before they are sent.
const SEND: usize = 256 << 10;

/// Sends rows.
pub(crate) struct Writer<'c> {
    db: &'c Db,
    /// Nothing once the server broke off.
    sink: Option<Pin<Box<CopyInSink<Bytes>>>>,
    buffer: Vec<u8>,
}

impl<'c> Writer<'c> {
    pub(crate) fn new(db: &'c Db, sink: CopyInSink<Bytes>) -> Self {
        let mut buffer = empty();
        buffer.extend_from_slice(SIGNATURE);
        Writer { db, sink: Some(Box::pin(sink)), buffer }
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
        let bytes = Bytes::from(std::mem::replace(&mut self.buffer, empty()));
        let Err(error) = self.db.done(sink.send(bytes)) else { return Ok(()) };
        // A server that breaks off says why at the end only.
        match self.sink.take().map(|mut sink| self.db.done(sink.as_mut().finish())) {
            Some(Err(why)) if why.as_db_error().is_some() => Err(failed("take rows", why)),
            _ => Err(failed("take rows", error)),
        }
    }

    /// Ends the stream; how many rows the server took.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.buffer.extend_from_slice(&(-1i16).to_be_bytes());
        self.send()?;
        let mut sink = self.sink.take().ok_or_else(|| Error::internal("a stream of rows ended twice"))?;
        self.db.done(sink.as_mut().finish()).map_err(to("take rows"))
    }
}

fn empty() -> Vec<u8> {
    Vec::with_capacity(SEND + (64 << 10))
}

/// Bytes that are gathered before they are looked at: the server sends every row by itself.
const GATHER: usize = 64 << 10;

/// The bytes of `COPY … TO STDOUT`.
pub(crate) struct Received<'c> {
    db: &'c Db,
    stream: Pin<Box<CopyOutStream>>,
    gathered: Vec<u8>,
    /// Where the part begins that was not looked at yet.
    at: usize,
    ended: bool,
    /// What went wrong behind the bytes that were gathered.
    failed: Option<tokio_postgres::Error>,
}

impl<'c> Received<'c> {
    pub(crate) fn new(db: &'c Db, stream: CopyOutStream) -> Self {
        Received { db, stream: Box::pin(stream), gathered: Vec::new(), at: 0, ended: false, failed: None }
    }

    /// Gathers what has come, and waits for it where that is nothing.
    fn gather(&mut self) -> Result<(), tokio_postgres::Error> {
        let Received { db, stream, gathered, ended, failed, .. } = self;
        gathered.clear();
        db.done(poll_fn(|cx| {
            while gathered.len() < GATHER {
                match stream.as_mut().poll_next(cx) {
                    Poll::Ready(Some(Ok(bytes))) => gathered.extend_from_slice(&bytes),
                    Poll::Ready(Some(Err(error))) => {
                        (*ended, *failed) = (true, Some(error));
                        break;
                    }
                    Poll::Ready(None) => {
                        *ended = true;
                        break;
                    }
                    Poll::Pending if gathered.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(Ok(()))
        }))
    }
}

impl BufRead for Received<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.at == self.gathered.len() {
            self.at = 0;
            self.gathered.clear();
            if !self.ended {
                self.gather().map_err(std::io::Error::other)?;
            }
            if let Some(error) = self.failed.take_if(|_| self.gathered.is_empty()) {
                return Err(std::io::Error::other(error));
            }
        }
        Ok(&self.gathered[self.at..])
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes;
    }
}

impl Read for Received<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let there = self.fill_buf()?;
        let length = there.len().min(into.len());
        into[..length].copy_from_slice(&there[..length]);
        self.consume(length);
        Ok(length)
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
    source: Received<'c>,
    tuple: Tuple,
}

impl<'c> Reader<'c> {
    pub(crate) fn new(mut source: Received<'c>) -> Result<Self> {
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
