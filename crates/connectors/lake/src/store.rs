//! What requests run on, and a put that is lasting and never replaces anything.

use crate::failure;
use bytes::Bytes;
use floodmark_core::Result;
use futures::TryStreamExt;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path as Local, PathBuf},
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

/// How often a put is tried whose answer says neither yes nor no, and how long is waited in between: each time longer.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(300);

/// For all of the process: requests mostly wait. Logs are read on threads of its own.
pub(crate) fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let made =
        RUNTIME.get_or_init(|| Builder::new_multi_thread().worker_threads(2).thread_name("lake").enable_all().build());
    made.as_ref().map_err(failure::threads)
}

/// A folder of a store, and where it lies when that is on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) local: Option<PathBuf>,
}

/// What became of a put.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Done,
    /// Something of that name is there: ours, where an answer was lost.
    Exists,
}

/// A put that was not done, as far as is known.
#[derive(Debug)]
pub(crate) struct NotPut {
    pub(crate) error: StoreError,
    /// It is certain that it was not done.
    pub(crate) certain: bool,
}

impl Place {
    /// Puts what may not be there yet. Where the answer is lost, it is there or is not: `Exists` says that somebody's is, and
    /// who reads it sees whose.
    pub(crate) fn put_once(&self, path: &Path, body: &[u8]) -> Result<Put, NotPut> {
        // A disk that says no says it again.
        let most = if self.local.is_some() { 1 } else { TRIES };
        let mut tries = 0;
        loop {
            let failed = match self.put_new(path, body.to_vec().into()) {
                Ok(Put::Done) => return Ok(Put::Done),
                Ok(Put::Exists) => None,
                Err(e) => Some(e),
            };
            let refused = failed.as_ref().is_some_and(floodmark_objects::is_refused);
            tries += 1;
            if self.local.is_none() && !refused && (failed.is_some() || tries > 1) {
                thread::sleep(PAUSE * tries);
            }
            let there = self.get(path);
            match (failed, there) {
                (_, Ok(Some(_))) | (None, Err(_)) => return Ok(Put::Exists),
                (Some(error), there) if refused => {
                    // A try of the client's before this answer may have been done.
                    let certain = there.is_ok() || !floodmark_objects::words(&error).contains(" retries");
                    return Err(NotPut { error, certain });
                }
                (Some(error), _) if tries == most => return Err(NotPut { error, certain: false }),
                (None, Ok(None)) if tries == most => return Ok(Put::Exists),
                // Two puts at one moment may both be told of the other (409), and neither be done.
                _ => {}
            }
        }
    }

    pub(crate) fn has(&self, path: &Path) -> object_store::Result<bool> {
        match wait(self.store.head(path))? {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn put_new(&self, path: &Path, bytes: Bytes) -> object_store::Result<Put> {
        if let Some(root) = &self.local {
            return put_new_file(&root.join(path.as_ref()), &bytes)
                .map_err(|e| StoreError::Generic { store: "LocalFileSystem", source: Box::new(e) });
        }
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match wait(self.store.put_opts(path, bytes.into(), options))? {
            Ok(_) => Ok(Put::Done),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(Put::Exists),
            Err(e) => Err(e),
        }
    }

    /// In the place of what is there.
    pub(crate) fn put(&self, path: &Path, bytes: Bytes) -> object_store::Result<()> {
        if let Some(root) = &self.local {
            return put_file(&root.join(path.as_ref()), &bytes)
                .map_err(|e| StoreError::Generic { store: "LocalFileSystem", source: Box::new(e) });
        }
        wait(self.store.put(path, bytes.into()))?.map(|_| ())
    }

    /// The names of the folders in a folder.
    pub(crate) fn folders(&self, folder: &Path) -> object_store::Result<Vec<String>> {
        match wait(self.store.list_with_delimiter(Some(folder)))? {
            Err(StoreError::NotFound { .. }) => Ok(Vec::new()),
            listed => {
                let folders = listed?.common_prefixes;
                Ok(folders.iter().filter_map(|folder| folder.filename().map(str::to_owned)).collect())
            }
        }
    }

    /// Nothing where there is no such object.
    pub(crate) fn get(&self, path: &Path) -> object_store::Result<Option<Bytes>> {
        let get = async { self.store.get(path).await?.bytes().await };
        match wait(get)? {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub(crate) fn list(&self, folder: Option<&Path>) -> object_store::Result<Vec<ObjectMeta>> {
        let listed = wait(self.store.list(folder).try_collect())?;
        match listed {
            Err(StoreError::NotFound { .. }) => Ok(Vec::new()),
            other => other,
        }
    }

    pub(crate) fn delete(&self, path: &Path) -> object_store::Result<()> {
        match wait(self.store.delete(path))? {
            Err(StoreError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// A file that a store has put on this machine's disk lasts when this returns.
    pub(crate) fn sync(&self, path: &Path) -> io::Result<()> {
        let Some(root) = &self.local else { return Ok(()) };
        let file = root.join(path.as_ref());
        File::open(&file)?.sync_all()?;
        sync_folder(&file)
    }
}

fn wait<T>(doing: impl Future<Output = T>) -> object_store::Result<T> {
    let runtime = runtime().map_err(|e| StoreError::Generic { store: "lake", source: Box::new(e) })?;
    Ok(runtime.block_on(doing))
}

/// The bytes are on disk before the name is there: a power cut leaves no empty log entry.
fn put_new_file(file: &Local, bytes: &[u8]) -> io::Result<Put> {
    if file.exists() {
        return Ok(Put::Exists);
    }
    match aside(file, bytes, |aside| fs::hard_link(aside, file)) {
        Ok(()) => Ok(Put::Done),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(Put::Exists),
        Err(e) => Err(e),
    }
}

/// The same for a file that takes the place of another.
fn put_file(file: &Local, bytes: &[u8]) -> io::Result<()> {
    aside(file, bytes, |aside| fs::rename(aside, file))
}

fn aside(file: &Local, bytes: &[u8], into_place: impl FnOnce(&Local) -> io::Result<()>) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Local::new("."));
    fs::create_dir_all(folder)?;
    let aside = folder.join(format!(".{}.tmp", uuid::Uuid::now_v7()));
    let put = (|| {
        let mut out = File::create_new(&aside)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        into_place(&aside)
    })();
    let _ = fs::remove_file(&aside);
    put.and_then(|()| sync_folder(file))
}

fn sync_folder(file: &Local) -> io::Result<()> {
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
