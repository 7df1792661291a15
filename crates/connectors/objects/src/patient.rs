//! Asks once more where the client does not: for a list, or for what a store says of a failure, whose body ends too early.

use async_trait::async_trait;
use futures::{
    StreamExt, TryStreamExt, future,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};
use std::{
    fmt::{self, Display},
    sync::Arc,
    time::Duration,
};

/// How often, and how long is waited in between: each time longer.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// A store of the client's.
#[derive(Debug, Clone)]
pub(crate) struct Patient(pub(crate) Arc<dyn ObjectStore>);

impl Display for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a list has come to, and what it asks for next.
struct Listing {
    store: Arc<dyn ObjectStore>,
    prefix: Option<Path>,
    last: Option<Path>,
    tries: u32,
    open: Option<BoxStream<'static, Result<ObjectMeta>>>,
}

impl Listing {
    async fn next(mut self) -> Option<(Result<ObjectMeta>, Listing)> {
        loop {
            let open = self.open.get_or_insert_with(|| match &self.last {
                Some(last) => self.store.list_with_offset(self.prefix.as_ref(), last),
                None => self.store.list(self.prefix.as_ref()),
            });
            match open.next().await? {
                Err(error) if broke_off(&error) && self.tries < TRIES => {
                    tokio::time::sleep(PAUSE * self.tries).await;
                    self.tries += 1;
                    self.open = None;
                }
                Ok(meta) => {
                    self.last = Some(meta.location.clone());
                    return Some((Ok(meta), self));
                }
                Err(error) => return Some((Err(error), self)),
            }
        }
    }
}

fn listing(
    store: &Arc<dyn ObjectStore>,
    prefix: Option<&Path>,
    last: Option<&Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let (store, prefix, last) = (Arc::clone(store), prefix.cloned(), last.cloned());
    stream::unfold(Listing { store, prefix, last, tries: 1, open: None }, Listing::next).boxed()
}

/// The store did answer, and the answer's body ended too early.
fn broke_off(error: &Error) -> bool {
    matches!(error, Error::Generic { .. }) && crate::words(error).contains("response body")
}

#[async_trait]
impl ObjectStore for Patient {
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let mut tries = 1;
        loop {
            match self.0.get_opts(path, options.clone()).await {
                Err(error) if broke_off(&error) && tries < TRIES => tokio::time::sleep(PAUSE * tries).await,
                answer => return answer,
            }
            tries += 1;
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        listing(&self.0, prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        // Not every server knows of such a list: Azurite tells all there is.
        let begin = offset.clone();
        let behind = move |meta: &ObjectMeta| future::ready(meta.location > begin);
        listing(&self.0, prefix, Some(offset)).try_filter(behind).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut tries = 1;
        loop {
            match self.0.list_with_delimiter(prefix).await {
                Err(error) if broke_off(&error) && tries < TRIES => tokio::time::sleep(PAUSE * tries).await,
                answer => return answer,
            }
            tries += 1;
        }
    }

    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let mut tries = 1;
        loop {
            // An upload that was begun and is not known of is nobody's, and makes no object.
            match self.0.put_multipart_opts(path, options.clone()).await {
                Err(error) if broke_off(&error) && tries < TRIES => tokio::time::sleep(PAUSE * tries).await,
                answer => return answer,
            }
            tries += 1;
        }
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}
