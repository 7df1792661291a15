//! Files in object stores as a source: S3 and what speaks like it, Azure, Google Cloud, and files of a web server.
//!
//! An object is found by listing, which tells its size and its *tag* (ETag): what a store calls the state of an object's
//! bytes. Every read asks for that state and no other (`If-Match`), so that rows of two states are never mixed, and one whose
//! tag is in the ledger is not opened at all.

mod failure;
mod find;
mod patient;
mod place;
mod read;
mod settings;

pub use failure::{is_refused, of_credentials, without_queries, words};
use floodmark_connect::{
    Slice, Stop,
    store::{Object, Store},
};
use floodmark_core::{Code, Error, Result, url::ConnectionUrl};
use object_store::{ObjectStore, path::Path};
use place::{Place, Root};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};
use tokio::runtime::{Builder, Runtime};

/// The stores that a source's patterns name.
#[derive(Default)]
pub struct Objects {
    /// Settings and credentials that were written down, for what lies below.
    connection: Option<ConnectionUrl>,
    open: Mutex<HashMap<Root, Arc<dyn ObjectStore>>>,
}

impl Objects {
    /// With the settings of a connection, where there is one; else what the environment says holds.
    pub fn new(connection: Option<ConnectionUrl>) -> Objects {
        Objects { connection, open: Mutex::default() }
    }

    fn store(&self, place: &Place) -> Result<Arc<dyn ObjectStore>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(&place.root) {
            return Ok(Arc::clone(store));
        }
        let store = settings::open(&place.root, self.connection.as_ref())?;
        open.insert(place.root.clone(), Arc::clone(&store));
        Ok(store)
    }
}

impl Store for Objects {
    fn find(&self, pattern: &str, stop: &Stop) -> Result<Vec<Slice>> {
        let place = Place::parse(pattern)?;
        let found = self.store(&place).and_then(|store| find::find(store.as_ref(), &place, stop));
        found.map_err(|error| match place.has_settings() && error.code() != Code::Interrupted {
            true => {
                error.help("a `?` is a wildcard here: settings stand in the URL of a connection, or in the environment")
            }
            false => error,
        })
    }

    fn open(&self, slice: &Slice) -> Result<Arc<dyn Object>> {
        let place = Place::parse(&slice.name)?;
        Ok(Arc::new(read::Remote::new(self.store(&place)?, &place, slice)?))
    }
}

/// The store that a URL names, with the settings behind its question mark, and the folder in it. Nothing is asked of it yet.
pub fn open_root(url: &ConnectionUrl) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let place = Place::parse(&url.below(""))?;
    if place.root.kind == place::Kind::Web {
        return Err(Error::new(Code::BadUrl, format!("{url} is a web server, which takes no files"))
            .help("name a bucket: s3://BUCKET/FOLDER, or gs:// or az://"));
    }
    let place = Place { key: place.key.trim_matches('/').to_owned(), ..place };
    Ok((settings::open(&place.root, Some(url))?, place.path()?))
}

/// What requests run on, for all of the process: they mostly wait.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let made = RUNTIME
        .get_or_init(|| Builder::new_multi_thread().worker_threads(2).thread_name("objects").enable_all().build());
    made.as_ref().map_err(failure::threads)
}
