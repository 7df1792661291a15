//! The locks of pipelines. The file is this process's alone as long as the database is open, so they are kept in memory.

use floodmark_connect::Stop;
use floodmark_core::{Code, Error, Result};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::instance::Instance;

const POLL: Duration = Duration::from_millis(50);

/// What a lock is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    /// A pipeline's runs, of which there is one at a time.
    Pipeline(String),
    /// Loads beside these, likewise.
    Beside(String),
    /// Writing to the database, which is done by one transaction after the other: DuckDB would end one of two that write to the
    /// same rows, and what a load decides about a key is to stand until it has committed.
    Writer,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Pipeline(pipeline) => write!(f, "pipeline {pipeline:?} is held by"),
            Name::Beside(pipeline) => write!(f, "pipeline {pipeline:?} is loaded beside its runs already, by"),
            Name::Writer => f.write_str("the database is being written to by"),
        }
    }
}

/// Those of one database, with their holders.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    held: Mutex<HashMap<Name, String>>,
    freed: Condvar,
}

/// A held lock. Dropping it lets go.
#[derive(Debug)]
pub(crate) struct Lock {
    instance: Arc<Instance>,
    name: Name,
}

impl Lock {
    /// Takes the lock, waiting at most `wait` (`None`: for ever). `holder` is told whoever finds it taken.
    pub(crate) fn acquire(
        instance: &Arc<Instance>,
        name: Name,
        holder: &str,
        wait: Option<Duration>,
        stop: &Stop,
    ) -> Result<Lock> {
        until(&instance.locks, &name, wait, stop, |held| held.insert(name.clone(), holder.to_owned()))?;
        Ok(Lock { instance: instance.clone(), name })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let locks = &self.instance.locks;
        locks.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        locks.freed.notify_all();
    }
}

/// Waits at most `wait` until nobody holds the lock, and takes nothing.
pub(crate) fn look(instance: &Instance, name: &Name, wait: Option<Duration>, stop: &Stop) -> Result<()> {
    until(&instance.locks, name, wait, stop, |_| None)
}

fn until(
    locks: &Locks,
    name: &Name,
    wait: Option<Duration>,
    stop: &Stop,
    take: impl FnOnce(&mut HashMap<Name, String>) -> Option<String>,
) -> Result<()> {
    let since = Instant::now();
    let mut held = locks.held.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(holder) = held.get(name) {
        if wait.is_some_and(|wait| since.elapsed() >= wait) {
            return Err(Error::new(Code::Busy, format!("{name} {holder}"))
                .state("this run wrote nothing; the other one goes on")
                .help("let it finish, or wait for it with `--wait`"));
        }
        stop.check()?;
        held = locks.freed.wait_timeout(held, POLL).unwrap_or_else(PoisonError::into_inner).0;
    }
    take(&mut held);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_has_it() {
        let instance = Instance::in_memory(&[]).unwrap();
        let name = || Name::Pipeline("a".into());
        let take = || Lock::acquire(&instance, name(), "run 7", Some(Duration::ZERO), &Stop::default());
        let held = take().unwrap();
        let error = take().unwrap_err();
        assert_eq!(error.code(), Code::Busy);
        assert!(error.message().contains("run 7"), "{error}");
        assert!(look(&instance, &name(), Some(Duration::ZERO), &Stop::default()).is_err());
        drop(held);
        look(&instance, &name(), Some(Duration::ZERO), &Stop::default()).unwrap();
        take().unwrap();
    }
}
