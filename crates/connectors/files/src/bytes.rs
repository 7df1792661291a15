//! A file's bytes: of this machine, or of a store.

use crate::open::open_file;
use bytes::Bytes as Buffer;
use floodmark_connect::{
    Slice,
    store::{Object, Store},
};
use floodmark_core::{Error, Result};
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// The last bytes of an object, where a columnar file says what it holds: asked for at once.
const TAIL: u64 = 64 << 10;

/// An open file.
pub(crate) enum Bytes {
    Local(File),
    Object(Remote),
}

/// An object, read from some place on.
pub(crate) struct Remote {
    object: Arc<dyn Object>,
    at: u64,
    reader: Option<Box<dyn Read + Send + Sync>>,
    /// Ranges that were asked for before they are read.
    held: Arc<Mutex<Vec<(u64, Buffer)>>>,
    failure: Failure,
}

/// What a store said last, kept where decoders on the way make words of it.
#[derive(Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<Error>>>);

impl Failure {
    pub(crate) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps it, and gives back what a reader may say of it.
    fn keep(&self, error: io::Error) -> io::Error {
        match error.downcast::<Error>() {
            Ok(own) => {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(own);
                io::Error::other("the store gave no bytes")
            }
            Err(error) => error,
        }
    }
}

impl Bytes {
    /// Opens what a slice names: at `path`, unless it lies in a store.
    pub(crate) fn open(slice: &Slice, path: &Path, store: Option<&dyn Store>) -> Result<Bytes> {
        match store {
            Some(store) if is_remote(&slice.name) => Ok(Bytes::Object(Remote::new(store.open(slice)?))),
            _ => Ok(Bytes::Local(open_file(path, &slice.name)?)),
        }
    }

    pub(crate) fn try_clone(&self) -> io::Result<Bytes> {
        Ok(match self {
            Bytes::Local(file) => Bytes::Local(file.try_clone()?),
            Bytes::Object(remote) => Bytes::Object(remote.again(remote.at)),
        })
    }

    /// What the store says of reads that fail.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Bytes::Local(_) => Failure::default(),
            Bytes::Object(remote) => remote.failure.clone(),
        }
    }

    pub(crate) fn size(&self) -> io::Result<u64> {
        Ok(match self {
            Bytes::Local(file) => file.metadata()?.len(),
            Bytes::Object(remote) => remote.object.size(),
        })
    }

    /// Has ranges ready that are read soon, in place of those before. Files of this machine are ready as they are.
    pub(crate) fn hold(&self, ranges: &[Range<u64>]) -> io::Result<()> {
        let Bytes::Object(remote) = self else { return Ok(()) };
        // Those before go first: two row groups need not be there at a time.
        remote.held().clear();
        if ranges.iter().any(|range| range.end > remote.object.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let got = remote.object.ranges(ranges).map_err(|e| remote.failure.keep(e))?;
        *remote.held() = ranges.iter().map(|range| range.start).zip(got).collect();
        Ok(())
    }

    /// Has the end ready, where a columnar file is asked what it holds.
    pub(crate) fn hold_end(&self) -> io::Result<()> {
        let size = self.size()?;
        self.hold(std::slice::from_ref(&(size.saturating_sub(TAIL)..size)))
    }
}

/// Whether a name is that of an object.
pub(crate) fn is_remote(name: &str) -> bool {
    name.contains("://")
}

impl Remote {
    fn new(object: Arc<dyn Object>) -> Remote {
        Remote { object, at: 0, reader: None, held: Arc::default(), failure: Failure::default() }
    }

    fn again(&self, at: u64) -> Remote {
        Remote {
            object: Arc::clone(&self.object),
            at,
            reader: None,
            held: Arc::clone(&self.held),
            failure: self.failure.clone(),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Buffer)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From what is ready, as many bytes as it has from there on.
    fn ready(&self, start: u64) -> Option<Buffer> {
        let held = self.held();
        let (at, bytes) = held.iter().find(|(at, bytes)| (*at..*at + bytes.len() as u64).contains(&start))?;
        Some(bytes.slice((start - at) as usize..))
    }

    fn range(&self, start: u64, length: usize) -> io::Result<Buffer> {
        if let Some(ready) = self.ready(start).filter(|ready| ready.len() >= length) {
            return Ok(ready.slice(..length));
        }
        let end = start.saturating_add(length as u64);
        if end > self.object.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.object.range(start..end).map_err(|e| self.failure.keep(e))
    }
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Bytes::Local(file) => file.read(buffer),
            Bytes::Object(remote) => remote.read(buffer),
        }
    }
}

impl Read for Remote {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reader.is_none()
            && let Some(ready) = self.ready(self.at)
        {
            let n = ready.len().min(buffer.len());
            buffer[..n].copy_from_slice(&ready[..n]);
            self.at += n as u64;
            return Ok(n);
        }
        let reader = self.reader.get_or_insert_with(|| self.object.read_from(self.at));
        let n = reader.read(buffer).map_err(|e| self.failure.keep(e))?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Bytes {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let remote = match self {
            Bytes::Local(file) => return file.seek(to),
            Bytes::Object(remote) => remote,
        };
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => remote.object.size().checked_add_signed(by),
            SeekFrom::Current(by) => remote.at.checked_add_signed(by),
        };
        let at = at.ok_or(io::ErrorKind::InvalidInput)?;
        if at != remote.at {
            *remote = remote.again(at);
        }
        Ok(at)
    }
}

impl Length for Bytes {
    fn len(&self) -> u64 {
        self.size().unwrap_or_default()
    }
}

impl ChunkReader for Bytes {
    type T = BufReader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(match self {
            Bytes::Local(file) => {
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(start))?;
                BufReader::new(Bytes::Local(file))
            }
            Bytes::Object(remote) => BufReader::new(Bytes::Object(remote.again(start))),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Buffer> {
        match self {
            Bytes::Local(file) => file.get_bytes(start, length),
            Bytes::Object(remote) => remote.range(start, length).map_err(|e| ParquetError::External(Box::new(e))),
        }
    }
}
