//! Blocks over threads, results in file order.
//!
//! Threads take turns at cutting the next block (so that blocks are numbered in file order) and work on it alone. No
//! thread runs more than a window ahead of the reader, which bounds memory whatever the file's size. With one worker
//! there are no threads at all.

use crate::blocks::Block;
use floodmark_core::{Error, Result};
use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

/// Fills a block; `false` when there is none left.
pub(crate) type Pull = Box<dyn FnMut(&mut Block) -> Result<bool> + Send>;
/// Turns a block into a result. Every thread has its own.
pub(crate) type Work<T> = Box<dyn FnMut(&Block) -> Result<T> + Send>;

/// Results in the order of their blocks. The first error ends them; dropping it stops the threads.
pub(crate) enum Ordered<T> {
    Alone { pull: Pull, work: Work<T>, block: Block, done: bool },
    Threads { shared: Arc<Shared<T>>, threads: Vec<JoinHandle<()>>, done: bool },
}

pub(crate) struct Shared<T> {
    /// Held while cutting; never taken while `state` is held.
    pull: Mutex<Pull>,
    state: Mutex<State<T>>,
    /// A result was added, or the end is known.
    ready: Condvar,
    /// A result was taken, or nobody wants more.
    room: Condvar,
    window: u64,
}

struct State<T> {
    /// Blocks cut so far.
    cut: u64,
    /// Results taken so far.
    taken: u64,
    results: BTreeMap<u64, Result<T>>,
    /// No more blocks will be cut.
    ended: bool,
}

impl<T: Send + 'static> Ordered<T> {
    /// One of `workers` threads for each work in it; a single one runs in the caller's thread.
    pub(crate) fn new(pull: Pull, mut workers: Vec<Work<T>>) -> Result<Self> {
        if workers.len() == 1
            && let Some(work) = workers.pop()
        {
            return Ok(Ordered::Alone { pull, work, block: Block::default(), done: false });
        }
        let shared = Arc::new(Shared {
            pull: Mutex::new(pull),
            state: Mutex::new(State { cut: 0, taken: 0, results: BTreeMap::new(), ended: false }),
            ready: Condvar::new(),
            room: Condvar::new(),
            window: workers.len() as u64 + 2,
        });
        let mut threads = Vec::with_capacity(workers.len());
        for work in workers {
            let own = Arc::clone(&shared);
            let spawned = std::thread::Builder::new().name("floodmark-read".into()).spawn(move || own.run(work));
            match spawned {
                Ok(thread) => threads.push(thread),
                // Fewer threads do the same work.
                Err(_) if !threads.is_empty() => break,
                Err(e) => return Err(Error::internal("no thread can be started").cause(e)),
            }
        }
        Ok(Ordered::Threads { shared, threads, done: false })
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // A panic elsewhere leaves plain counters behind, which stay usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut work: Work<T>) {
        let mut block = Block::default();
        let mut guard = Guard { shared: self, number: None };
        loop {
            let number = {
                let mut pull = self.pull.lock().unwrap_or_else(PoisonError::into_inner);
                let mut state = self.state();
                while !state.ended && state.cut - state.taken >= self.window {
                    state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.ended {
                    break;
                }
                // From here the block is this thread's to answer for, even by a panic.
                let number = state.cut;
                state.cut += 1;
                guard.number = Some(number);
                drop(state);
                match pull(&mut block) {
                    Ok(true) => number,
                    Ok(false) => {
                        let mut state = self.state();
                        state.cut -= 1;
                        state.ended = true;
                        guard.number = None;
                        break;
                    }
                    Err(error) => {
                        let mut state = self.state();
                        state.results.insert(number, Err(error));
                        state.ended = true;
                        guard.number = None;
                        break;
                    }
                }
            };
            let result = work(&block);
            let mut state = self.state();
            state.ended |= result.is_err();
            state.results.insert(number, result);
            guard.number = None;
            drop(state);
            self.ready.notify_all();
        }
        // The end wakes the reader and the other threads.
    }
}

/// Wakes everybody at a thread's end, and answers for its block when it panicked.
struct Guard<'s, T> {
    shared: &'s Shared<T>,
    number: Option<u64>,
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            let mut state = self.shared.state();
            state.results.insert(number, Err(Error::internal("a reading thread broke down")));
            state.ended = true;
        }
        self.shared.ready.notify_all();
        self.shared.room.notify_all();
    }
}

impl<T> Iterator for Ordered<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        match self {
            Ordered::Alone { done: true, .. } | Ordered::Threads { done: true, .. } => None,
            Ordered::Alone { pull, work, block, done } => {
                let result = match pull(block) {
                    Ok(true) => work(block),
                    Ok(false) => {
                        *done = true;
                        return None;
                    }
                    Err(error) => Err(error),
                };
                *done = result.is_err();
                Some(result)
            }
            Ordered::Threads { shared, done, .. } => {
                let mut state = shared.state();
                loop {
                    let next = state.taken;
                    if let Some(result) = state.results.remove(&next) {
                        state.taken += 1;
                        drop(state);
                        shared.room.notify_all();
                        *done = result.is_err();
                        return Some(result);
                    }
                    if state.ended && state.taken == state.cut {
                        *done = true;
                        return None;
                    }
                    state = shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl<T> Drop for Ordered<T> {
    fn drop(&mut self) {
        if let Ordered::Threads { shared, threads, .. } = self {
            shared.state().ended = true;
            shared.room.notify_all();
            for thread in threads.drain(..) {
                // Its panic was reported as an error already.
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodmark_core::Code;

    fn numbers(n: u64, workers: usize, fail_at: Option<u64>) -> Ordered<u64> {
        let mut next = 0;
        let pull: Pull = Box::new(move |block| {
            block.line = next;
            next += 1;
            Ok(block.line < n)
        });
        let work = || -> Work<u64> {
            Box::new(move |block: &Block| {
                if block.line.is_multiple_of(3) {
                    std::thread::yield_now();
                }
                if fail_at == Some(block.line) {
                    return Err(Error::new(Code::BadFormat, "told to"));
                }
                Ok(block.line)
            })
        };
        Ordered::new(pull, (0..workers).map(|_| work()).collect()).unwrap()
    }

    #[test]
    fn results_come_in_order_for_any_number_of_threads() {
        for workers in 1..6 {
            let got: Vec<u64> = numbers(500, workers, None).map(Result::unwrap).collect();
            assert_eq!(got, (0..500).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_comes_in_its_place_and_ends_the_results() {
        for workers in 1..6 {
            let got: Vec<Result<u64>> = numbers(500, workers, Some(100)).collect();
            assert_eq!(got.len(), 101);
            assert!(got[100].is_err() && got[..100].iter().all(Result::is_ok));
        }
    }

    #[test]
    fn dropping_it_early_stops_the_threads() {
        let mut ordered = numbers(u64::MAX, 4, None);
        assert_eq!(ordered.next().unwrap().unwrap(), 0);
        drop(ordered);
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let work = || -> Work<u64> { Box::new(|_: &Block| panic!("on purpose")) };
        let mut ordered = Ordered::new(Box::new(|_: &mut Block| Ok(true)), vec![work(), work()]).unwrap();
        assert_eq!(ordered.next().unwrap().unwrap_err().code(), Code::Internal);
    }
}
