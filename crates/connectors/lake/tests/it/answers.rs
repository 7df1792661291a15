//! A store whose answers are lost: it does what it is asked for, or does not, and says that it failed.

use super::{append, columns, rows, written};
use async_trait::async_trait;
use floodmark_lake::{Change, Lake, Layout, Outcome};
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex},
};

#[derive(Debug, Clone, Copy)]
enum Answer {
    /// Written, and then a 503.
    Applied,
    /// Not written, and a 503.
    Failed,
    /// Written; the client asked again and was told that something is there.
    AppliedThenThere,
    /// Another writer's entry is there first.
    Beaten,
}

#[derive(Debug)]
struct Ill {
    inner: InMemory,
    plan: Mutex<VecDeque<Answer>>,
}

impl fmt::Display for Ill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ill")
    }
}

fn lost() -> Error {
    Error::Generic { store: "ill", source: "503 Slow Down".into() }
}

#[async_trait]
impl ObjectStore for Ill {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let answer = if options.mode == PutMode::Create { self.plan.lock().unwrap().pop_front() } else { None };
        match answer {
            None => self.inner.put_opts(path, payload, options).await,
            Some(Answer::Failed) => Err(lost()),
            Some(Answer::Applied) => self.inner.put_opts(path, payload, options).await.and(Err(lost())),
            Some(Answer::AppliedThenThere) => {
                self.inner.put_opts(path, payload.clone(), options.clone()).await?;
                self.inner.put_opts(path, payload, options).await
            }
            Some(Answer::Beaten) => {
                let theirs = "{\"commitInfo\":{\"operation\":\"WRITE\",\"engineInfo\":\"other\"}}\n";
                self.inner.put_opts(path, theirs.into(), options.clone()).await?;
                self.inner.put_opts(path, payload, options).await
            }
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Commits once with these answers of the store, and says what became of it and how many rows there are then.
fn play(plan: &[Answer]) -> (floodmark_core::Result<Outcome>, usize, u64) {
    let store = Arc::new(Ill { inner: InMemory::new(), plan: Mutex::default() });
    let table = Lake::in_store(store.clone(), "memory").table("t").unwrap();
    let base = super::made(&table, &rows(0..2));
    let files = written(&table, Layout::new(columns()), &rows(2..5));
    store.plan.lock().unwrap().extend(plan);
    let outcome = table.commit(Some(&base), &Change { ..append(&files, "floodmark:one", 1) });
    let now = table.snapshot().unwrap().unwrap();
    (outcome, super::ids(&table).len(), now.version)
}

#[test]
fn a_lost_answer_neither_doubles_a_commit_nor_loses_it() {
    use Answer::*;
    for plan in [
        vec![Applied],
        vec![AppliedThenThere],
        vec![Failed],
        vec![Failed, Failed, Applied],
        vec![Beaten],
        vec![Beaten, Applied],
        vec![Beaten, Beaten, AppliedThenThere],
        vec![Failed, Beaten, Failed, Applied],
    ] {
        let (outcome, rows, version) = play(&plan);
        let beaten = plan.iter().filter(|answer| matches!(answer, Beaten)).count() as u64;
        assert_eq!(outcome.unwrap(), Outcome::Done(1 + beaten), "{plan:?}");
        assert_eq!((rows, version), (5, 1 + beaten), "{plan:?}");
    }
}

#[test]
fn a_store_that_never_answers_is_told_with_what_is_not_known() {
    let (outcome, rows, _) = play(&[Answer::Failed; 6]);
    let error = outcome.unwrap_err();
    assert!(error.data_state().unwrap().contains("not known") && error.is_transient(), "{error:?}");
    assert_eq!(rows, 2);
}
