//! Sessions with the databases whose ledgers are read: how many there are at a time, and how long an answer is waited for. A
//! database that says nothing holds up nobody but those who ask for it, and these not for long.

use floodmark_core::{Code, Error, url::ConnectionUrl};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinHandle, time};

/// Sessions with one database for those who look at pages and ask the API. The scheduler, which looks at all ledgers there, has
/// one beside these.
const EACH: usize = 2;
/// What says nothing for so long is not waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Databases, by scheme and what the URL says.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<String, Arc<Place>>>);

/// A database.
#[derive(Debug)]
pub(crate) struct Place {
    free: Arc<Semaphore>,
    looks: Mutex<Looks>,
}

#[derive(Debug, Default)]
struct Looks {
    next: u64,
    /// When each of those that go on had an answer last.
    heard: BTreeMap<u64, Instant>,
}

/// A look that goes on.
pub(crate) struct Look {
    place: Arc<Place>,
    number: u64,
}

impl Look {
    /// There was an answer.
    pub(crate) fn heard(&self) {
        self.place.looks().heard.insert(self.number, Instant::now());
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.place.looks().heard.remove(&self.number);
    }
}

/// It does not answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Silent;

impl Silent {
    pub(crate) fn told(self, url: &ConnectionUrl) -> Error {
        let seconds = PATIENCE.as_secs();
        Error::new(Code::DestinationOpen, format!("{url} has not answered for {seconds} seconds"))
            .state("what is known of its tables is from before")
            .help("look whether the server runs, and what stands between")
    }
}

impl Sessions {
    pub(crate) fn place(&self, url: &ConnectionUrl) -> Arc<Place> {
        let name = format!("{}:{}", url.scheme(), url.written());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Place { free: Arc::new(Semaphore::new(EACH)), looks: Mutex::default() });
        Arc::clone(all.entry(name).or_insert_with(new))
    }
}

impl Place {
    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody waits in vain.
    pub(crate) fn is_silent(&self) -> bool {
        self.looks().heard.values().any(|heard| heard.elapsed() >= PATIENCE)
    }

    /// Looks, on a thread of its own.
    pub(crate) fn look<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&Look) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let begun = {
            let mut looks = self.looks();
            looks.next += 1;
            let number = looks.next;
            looks.heard.insert(number, Instant::now());
            Look { place: Arc::clone(self), number }
        };
        tokio::task::spawn_blocking(move || look(&begun))
    }

    /// Looks for somebody who waits, when one of the few sessions is free. `None`: the look came to no end.
    pub(crate) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, Silent> {
        if self.is_silent() {
            return Err(Silent);
        }
        let asked = async {
            let permit = Arc::clone(&self.free).acquire_owned().await;
            let looking = self.look(move |_| {
                let found = look();
                // One that is not waited for any more has its session until it ends.
                drop(permit);
                found
            });
            looking.await.ok()
        };
        time::timeout(PATIENCE, asked).await.map_err(|_| Silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    fn url() -> ConnectionUrl {
        ConnectionUrl::parse("postgres://app:hunter2@db/shop").unwrap()
    }

    fn on_threads<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn a_database_has_few_sessions_however_many_ask() {
        on_threads(async {
            let (sessions, now, most) =
                (Sessions::default(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let ask = || {
                let (place, now, most) = (sessions.place(&url()), Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(async move {
                    place
                        .ask(move || {
                            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            thread::sleep(Duration::from_millis(20));
                            now.fetch_sub(1, Ordering::SeqCst)
                        })
                        .await
                })
            };
            for asked in (0..12).map(|_| ask()).collect::<Vec<_>>() {
                assert!(asked.await.unwrap().unwrap().is_some());
            }
            assert_eq!(most.load(Ordering::SeqCst), EACH);
        });
    }

    #[test]
    fn what_is_silent_is_told_at_once_to_all_but_the_first_and_is_heard_again() {
        on_threads(async {
            let place = Sessions::default().place(&url());
            let (answer, waits) = std::sync::mpsc::channel::<()>();
            let began = Instant::now();
            let first = place.ask(move || waits.recv().is_ok()).await;
            assert!(first == Err(Silent) && began.elapsed() >= PATIENCE);
            let began = Instant::now();
            assert_eq!(place.ask(|| ()).await, Err(Silent));
            assert!(began.elapsed() < PATIENCE / 2);
            answer.send(()).unwrap();
            while place.is_silent() {
                time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(place.ask(|| ()).await, Ok(Some(())));
        });
    }

    #[test]
    fn nothing_secret_is_told() {
        let told = Silent.told(&url()).to_string();
        assert!(told.contains("db") && !told.contains("hunter2"), "{told}");
    }
}
