//! A file on its way into a store, in parts of which a few are in the air at once.

use crate::store::{Place, runtime};
use floodmark_core::Result;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, UploadPart, path::Path};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::task::JoinSet;

/// Stores take parts of 5 MiB or more, and not more than 10,000 of them.
const PART: usize = 8 << 20;

/// A disk takes any: what is small is still in the processor's cache when it is written, and its memory is used again.
const PART_OF_DISK: usize = 1 << 20;

/// How many are on their way: with the one that fills up, what an upload holds at most.
const AHEAD: usize = 3;

/// Shared with who writes to it, and does not give it back.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Sink>>);

pub(crate) struct Sink {
    store: Arc<dyn ObjectStore>,
    path: Path,
    upload: Box<dyn MultipartUpload>,
    part: Vec<u8>,
    /// How large it becomes.
    full: usize,
    /// What may still be on its way.
    going: JoinSet<object_store::Result<()>>,
    written: u64,
}

impl Sink {
    pub(crate) fn open(place: &Place, path: &Path) -> Result<object_store::Result<Sink>> {
        let opened = runtime()?.block_on(place.store.put_multipart(path));
        Ok(opened.map(|upload| Sink {
            store: Arc::clone(&place.store),
            path: path.clone(),
            upload,
            part: Vec::new(),
            full: if place.local.is_some() { PART_OF_DISK } else { PART },
            going: JoinSet::new(),
            written: 0,
        }))
    }

    fn send(&mut self) -> io::Result<()> {
        let part: UploadPart = self.upload.put_part(std::mem::take(&mut self.part).into());
        let runtime = runtime().map_err(io::Error::other)?;
        self.going.spawn_on(part, runtime.handle());
        while self.going.len() > AHEAD {
            self.settle(runtime)?;
        }
        Ok(())
    }

    fn settle(&mut self, runtime: &tokio::runtime::Runtime) -> io::Result<()> {
        match runtime.block_on(self.going.join_next()) {
            None => Ok(()),
            Some(Ok(sent)) => sent.map_err(io::Error::other),
            Some(Err(e)) => Err(io::Error::other(e)),
        }
    }

    /// The file is there under its name when this returns.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.send()?;
        let runtime = runtime().map_err(io::Error::other)?;
        while !self.going.is_empty() {
            self.settle(runtime)?;
        }
        if let Err(error) = runtime.block_on(self.upload.complete()) {
            // Where an answer was lost, a second try finds no upload: the file is there, under a name that nobody else has.
            let there = runtime.block_on(self.store.head(&self.path));
            if !there.is_ok_and(|there| there.size == self.written) {
                return Err(io::Error::other(error));
            }
        }
        Ok(self.written)
    }

    /// Leaves nothing behind, as far as the store goes along.
    pub(crate) fn abandon(mut self) {
        if let Ok(runtime) = runtime() {
            runtime.block_on(async {
                self.going.shutdown().await;
                let _ = self.upload.abort().await;
            });
        }
    }
}

impl Shared {
    pub(crate) fn new(sink: Sink) -> Shared {
        Shared(Arc::new(Mutex::new(sink)))
    }

    /// The sink, when nobody writes to it any more.
    pub(crate) fn back(self) -> Option<Sink> {
        Arc::into_inner(self.0).map(|sink| sink.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.is_empty() {
            self.part.reserve_exact(self.full);
        }
        let taken = bytes.len().min(self.full - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        self.written += taken as u64;
        if self.part.len() == self.full {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
