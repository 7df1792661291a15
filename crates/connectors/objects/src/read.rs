//! Objects, read by ranges of one state of them.

use crate::{
    failure::{self, carried},
    place::Place,
    runtime,
};
use bytes::Bytes;
use chrono::DateTime;
use floodmark_connect::{Slice, store::Object};
use floodmark_core::{Code, Error, Result};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Error as StoreError, GetOptions, GetRange, ObjectStore, path::Path};
use std::{
    io::{self, Read},
    ops::Range,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle};

/// What is asked for at once: large enough that the way there and back hardly counts.
const PART: u64 = 4 << 20;

/// The first of a reader's parts: who looks at a header wants no more.
const FIRST: u64 = 64 << 10;

/// Parts that are on their way at the same time. Together with those that wait, what a reader holds at most.
const AHEAD: usize = 4;

/// How often a range is asked for, and how long is waited in between: each time longer.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// One object as it was listed.
#[derive(Clone)]
pub(crate) struct Remote {
    store: Arc<dyn ObjectStore>,
    path: Path,
    name: String,
    size: u64,
    options: GetOptions,
}

impl Remote {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, place: &Place, slice: &Slice) -> Result<Remote> {
        let mut options = GetOptions::default();
        match &slice.tag {
            Some(tag) => options.if_match = Some(tag.clone()),
            // The second is all that a server which has no tags tells.
            None => {
                options.if_unmodified_since =
                    (slice.modified != 0).then(|| DateTime::from_timestamp_nanos(slice.modified))
            }
        }
        Ok(Remote { store, path: place.path()?, name: slice.name.clone(), size: slice.size, options })
    }

    /// The bytes of a range, whole. A request that fails is tried again by the client; a body that ends too early is not,
    /// where the server has no tags.
    async fn get(&self, range: Range<u64>) -> Result<Bytes> {
        let mut tries = 1;
        loop {
            match self.get_once(range.clone()).await {
                Ok(bytes) if bytes.len() as u64 == range.end - range.start => return Ok(bytes),
                Err(StoreError::Generic { .. }) | Ok(_) if tries < TRIES => {}
                Err(e) => return Err(failure::of("read", &self.name, e)),
                Ok(bytes) => {
                    let wanted = range.end - range.start;
                    let message = format!("the store gave {} bytes where {wanted} were asked for", bytes.len());
                    return Err(Error::new(Code::SourceRead, message)
                        .in_file(&self.name)
                        .help("see what stands between this machine and the store"));
                }
            }
            tokio::time::sleep(PAUSE * tries).await;
            tries += 1;
        }
    }

    async fn get_once(&self, range: Range<u64>) -> object_store::Result<Bytes> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..self.options.clone() };
        let got = self.store.get_opts(&self.path, options).await?;
        // Where a server takes no conditions, it shows here.
        let other_tag = self.options.if_match.as_ref().is_some_and(|tag| got.meta.e_tag.as_ref() != Some(tag));
        let newer = self.options.if_unmodified_since.is_some_and(|listed| got.meta.last_modified > listed);
        if other_tag || newer || got.meta.size != self.size {
            let replaced = "the object is of another size, tag or time than when it was listed";
            return Err(StoreError::Precondition { path: self.path.to_string(), source: replaced.into() });
        }
        got.bytes().await
    }
}

fn wait<T>(doing: impl Future<Output = Result<T>>) -> io::Result<T> {
    runtime().and_then(|runtime| runtime.block_on(doing)).map_err(carried)
}

impl Object for Remote {
    fn size(&self) -> u64 {
        self.size
    }

    fn range(&self, range: Range<u64>) -> io::Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        wait(self.get(range))
    }

    fn ranges(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        let gets = ranges.iter().filter(|range| !range.is_empty()).map(|range| self.get(range.clone()));
        let mut got = wait(stream::iter(gets).buffered(AHEAD).try_collect::<Vec<_>>())?.into_iter();
        Ok(ranges.iter().map(|range| if range.is_empty() { None } else { got.next() }.unwrap_or_default()).collect())
    }

    fn read_from(&self, start: u64) -> Box<dyn Read + Send + Sync> {
        Box::new(Reader { remote: self.clone(), came: start, begun: false, part: Bytes::new(), coming: None })
    }
}

/// Reads on and on: one small part when it is first asked, then large ones, of which the next are on their way.
struct Reader {
    remote: Remote,
    /// What came ends here.
    came: u64,
    begun: bool,
    part: Bytes,
    coming: Option<Coming>,
}

struct Coming {
    parts: mpsc::Receiver<Result<Bytes>>,
    asking: JoinHandle<()>,
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

impl Reader {
    fn ask(&self) -> io::Result<Coming> {
        let (sender, parts) = mpsc::channel(1);
        let (remote, mut at) = (self.remote.clone(), self.came);
        let ask = async move {
            let owner = &remote;
            let ranges = std::iter::from_fn(move || {
                let range = at..(at + PART).min(owner.size);
                at = range.end;
                (!range.is_empty()).then_some(range)
            });
            let mut parts = stream::iter(ranges).map(|range| owner.get(range)).buffered(AHEAD);
            while let Some(part) = parts.next().await {
                if sender.send(part).await.is_err() {
                    break;
                }
            }
        };
        let asking = runtime().map_err(carried)?.spawn(ask);
        Ok(Coming { parts, asking })
    }

    /// What comes next; nothing at the end.
    fn next(&mut self) -> io::Result<Bytes> {
        if !self.begun {
            self.begun = true;
            let first = self.came..(self.came + FIRST).min(self.remote.size);
            self.came = first.end;
            return self.remote.range(first);
        }
        if self.coming.is_none() && self.came < self.remote.size {
            self.coming = Some(self.ask()?);
        }
        match self.coming.as_mut().and_then(|coming| coming.parts.blocking_recv()) {
            Some(part) => {
                let part = part.map_err(carried)?;
                self.came += part.len() as u64;
                Ok(part)
            }
            None if self.came >= self.remote.size => Ok(Bytes::new()),
            // Who asks for the parts is gone: this is not the end, and must not look like it.
            None => Err(carried(Error::internal("the parts of an object ended before it did"))),
        }
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.part.is_empty() && !out.is_empty() {
            self.part = self.next()?;
        }
        let n = out.len().min(self.part.len());
        out[..n].copy_from_slice(&self.part.split_to(n));
        Ok(n)
    }
}
