//! Where visitors try things: a small pipeline of their own in a scratch folder, run by the real program, run again, killed in
//! the middle. Few at a time, small and short; what is left for a while goes, and all of it goes with the server.

mod attempt;
mod recipe;
mod scratch;

pub(crate) use attempt::{Attempt, Deed, Held, How, Moment, Side, Table};
pub(crate) use recipe::{BYTES, LINES, Recipe};

use crate::Program;
use ring::rand::{SecureRandom, SystemRandom};
use scratch::Scratch;
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::sync::Semaphore;

/// Places at a time.
const PLACES: usize = 16;
/// A place that nobody used for so long goes.
pub(crate) const KEPT: Duration = Duration::from_secs(30 * 60);
/// Attempts that go on at a time, and how long another one waits.
const AT_A_TIME: usize = 2;
const WAIT: Duration = Duration::from_secs(5);
/// What a place may hold; then it begins anew.
const BYTES_OF_A_PLACE: u64 = 4 << 20;
/// Attempts that are shown.
const SHOWN: usize = 40;

pub(crate) struct Sandbox {
    program: Arc<dyn Program>,
    scratch: Scratch,
    places: Mutex<HashMap<String, Arc<Place>>>,
    attempts: Semaphore,
}

/// A visitor's.
struct Place {
    folder: TempDir,
    used: Mutex<Instant>,
    /// Held while something is tried: one thing at a time.
    known: tokio::sync::Mutex<Known>,
}

/// What is shown of a place.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) recipe: Recipe,
    /// The newest come last.
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) table: Option<Table>,
}

impl Known {
    /// Before anything was tried.
    pub(crate) fn nothing() -> Known {
        Known { recipe: Recipe::example(), attempts: Vec::new(), table: None }
    }
}

/// Why nothing was tried.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such place, or not any more.
    Gone,
    /// What was chosen may not be.
    Wrong(String),
    /// Too much goes on.
    Full,
    /// The machine does not let it.
    Failed(String),
}

impl Sandbox {
    /// Within a folder of the machine. What earlier servers left there goes.
    pub(crate) fn open(program: Arc<dyn Program>, base: &Path) -> io::Result<Sandbox> {
        Ok(Sandbox {
            program,
            scratch: Scratch::open(base)?,
            places: Mutex::default(),
            attempts: Semaphore::new(AT_A_TIME),
        })
    }

    fn places(&self) -> MutexGuard<'_, HashMap<String, Arc<Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new place, and what it is called, which nobody guesses. Where there are many, the one that was left longest goes; one
    /// that somebody has a hold of does not.
    fn begin(&self) -> Result<(String, Arc<Place>), Refused> {
        let failed = |error: io::Error| Refused::Failed(error.to_string());
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).map_err(|_| Refused::Failed("there is no randomness".into()))?;
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut places = self.places();
        if places.len() >= PLACES {
            let idle = places.iter().filter(|(_, place)| Arc::strong_count(place) == 1);
            let longest = idle.min_by_key(|(_, place)| place.used()).map(|(id, _)| id.clone());
            drop(places.remove(&longest.ok_or(Refused::Full)?));
        }
        let place = Arc::new(Place {
            folder: self.scratch.folder().map_err(failed)?,
            used: Mutex::new(Instant::now()),
            known: tokio::sync::Mutex::new(Known::nothing()),
        });
        places.insert(id.clone(), Arc::clone(&place));
        Ok((id, place))
    }

    fn place(&self, id: &str) -> Result<Arc<Place>, Refused> {
        let place = self.places().get(id).map(Arc::clone).ok_or(Refused::Gone)?;
        place.touch();
        Ok(place)
    }

    /// What is known of a place, once nothing goes on there.
    pub(crate) async fn look(&self, id: &str) -> Result<Known, Refused> {
        Ok(self.place(id)?.known.lock().await.clone())
    }

    /// Does something in a place, or in a new one, to its end, with what was chosen and checked. Returns what the place is
    /// called.
    pub(crate) async fn attempt(&self, id: Option<String>, recipe: Recipe, deed: Deed) -> Result<String, Refused> {
        let (id, place) = match id {
            Some(id) => {
                let place = self.place(&id)?;
                (id, place)
            }
            None => self.begin()?,
        };
        let mut known = place.known.try_lock().map_err(|_| Refused::Full)?;
        let waited = tokio::time::timeout(WAIT, self.attempts.acquire()).await;
        let Ok(Ok(_permit)) = waited else { return Err(Refused::Full) };
        let edited = known.recipe != recipe && !known.attempts.is_empty();
        place.prepare(recipe.clone(), deed).await?;
        known.recipe = recipe;
        let sides = match deed {
            Deed::Anew => None,
            Deed::Run => Some(attempt::sides(self.program.as_ref(), place.path(), None).await),
            Deed::Kill(moment) => Some(attempt::sides(self.program.as_ref(), place.path(), Some(moment)).await),
        };
        known.table = place.apart(|folder| Ok(attempt::table(&folder))).await?;
        let number = known.attempts.last().map_or(0, |last| last.number) + 1;
        known.attempts.push(Attempt { number, deed, edited, sides });
        let old = known.attempts.len().saturating_sub(SHOWN);
        known.attempts.drain(..old);
        place.touch();
        Ok(id)
    }

    /// Lets places go that nobody used for long.
    pub(crate) fn expire(&self, now: Instant) {
        self.places().retain(|_, place| now.saturating_duration_since(place.used()) < KEPT);
    }

    /// Nothing is left of it on the machine.
    pub(crate) fn close(&self) {
        self.places().clear();
        self.scratch.remove();
    }
}

impl Place {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    async fn prepare(&self, recipe: Recipe, deed: Deed) -> Result<(), Refused> {
        self.apart(move |folder| {
            if deed == Deed::Anew {
                attempt::empty(&folder)?;
            } else if attempt::size(&folder) > BYTES_OF_A_PLACE {
                return Ok(Err(Refused::Wrong("this place is full: start over".into())));
            }
            attempt::write(&folder, &recipe).map(Ok)
        })
        .await?
    }

    /// On a thread that may wait for the disk.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Refused> {
        let folder = self.path().to_owned();
        let done = tokio::task::spawn_blocking(move || work(folder)).await;
        let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| Refused::Failed(error.to_string()))
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use floodmark_core::Code;
    use std::{process::Command, thread};

    /// A program that does nothing, and takes a moment for it.
    struct Idle;

    impl Program for Idle {
        fn file(&self) -> &Path {
            Path::new("floodmark.yaml")
        }

        fn declared(&self) -> Result<crate::Declarations, String> {
            Ok(crate::Declarations { pipelines: Vec::new(), alerts: Vec::new() })
        }

        fn command(&self, _file: &Path, _arguments: &[String]) -> Command {
            let mut command = Command::new("/bin/sleep");
            command.arg("0.3");
            command
        }

        fn page(&self, _code: Code) -> Option<&'static str> {
            None
        }
    }

    fn sandbox(base: &Path) -> Arc<Sandbox> {
        Arc::new(Sandbox::open(Arc::new(Idle), base).unwrap())
    }

    fn begun(sandbox: &Sandbox) -> String {
        sandbox.begin().unwrap().0
    }

    fn folders(base: &Path) -> usize {
        std::fs::read_dir(base).unwrap().flatten().filter(|entry| entry.path().is_dir()).count()
    }

    #[tokio::test]
    async fn what_nobody_used_for_long_goes_and_all_of_it_in_the_end() {
        let base = tempfile::tempdir().unwrap();
        let sandbox = sandbox(base.path());
        let inside = sandbox.scratch.folder().unwrap().path().parent().unwrap().to_owned();
        let (old, new) = (begun(&sandbox), begun(&sandbox));
        assert_eq!(folders(&inside), 2);
        thread::sleep(Duration::from_millis(20));
        sandbox.look(&new).await.unwrap();
        let old_used = sandbox.places()[&old].used();
        sandbox.expire(old_used + KEPT);
        assert_eq!(sandbox.look(&old).await.unwrap_err(), Refused::Gone);
        assert!(sandbox.look(&new).await.is_ok() && folders(&inside) == 1);
        sandbox.close();
        assert!(!inside.exists() && folders(base.path()) == 0);
    }

    #[tokio::test]
    async fn places_are_few_and_the_one_that_was_left_longest_goes_first() {
        let base = tempfile::tempdir().unwrap();
        let sandbox = sandbox(base.path());
        let ids: Vec<String> = (0..PLACES).map(|_| begun(&sandbox)).collect();
        thread::sleep(Duration::from_millis(20));
        sandbox.look(&ids[0]).await.unwrap();
        begun(&sandbox);
        let mut kept = 0;
        for id in &ids {
            kept += usize::from(sandbox.look(id).await.is_ok());
        }
        assert_eq!(kept, PLACES - 1);
        assert!(sandbox.look(&ids[0]).await.is_ok(), "the one that is used goes");
        // Where something goes on everywhere, nothing goes.
        let places: Vec<Arc<Place>> = sandbox.places().values().cloned().collect();
        assert_eq!(sandbox.begin().err(), Some(Refused::Full));
        drop(places);
        assert!(sandbox.begin().is_ok());
    }

    #[tokio::test]
    async fn in_a_place_one_thing_goes_on_at_a_time() {
        let base = tempfile::tempdir().unwrap();
        let sandbox = sandbox(base.path());
        let id = begun(&sandbox);
        let twice = (0..2).map(|_| sandbox.attempt(Some(id.clone()), Recipe::example(), Deed::Run));
        let mut done = futures::future::join_all(twice).await;
        done.sort_by_key(Result::is_err);
        assert_eq!(done, [Ok(id.clone()), Err(Refused::Full)]);
        assert_eq!(sandbox.look(&id).await.unwrap().attempts.len(), 1);
    }

    #[tokio::test]
    async fn a_place_that_is_full_begins_anew() {
        let base = tempfile::tempdir().unwrap();
        let sandbox = sandbox(base.path());
        let id = begun(&sandbox);
        let large = sandbox.places()[&id].path().join("shop.db");
        std::fs::write(&large, vec![0; BYTES_OF_A_PLACE as usize + 1]).unwrap();
        let full = sandbox.attempt(Some(id.clone()), Recipe::example(), Deed::Run).await;
        assert!(matches!(&full, Err(Refused::Wrong(text)) if text.contains("start over")), "{full:?}");
        sandbox.attempt(Some(id.clone()), Recipe::example(), Deed::Anew).await.unwrap();
        assert!(!large.exists());
    }
}
