//! Batches that a thread of their own reads ahead of their taker.

use crate::{Batch, Stop};
use floodmark_core::{Error, Result};
use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

/// Batches that wait for their taker.
const AHEAD: usize = 2;

/// Batches as they come. Once they are dropped, or have come to their end, the thread is gone, and with it all that it had
/// open: whoever opens the same next finds it free.
#[derive(Debug)]
pub struct Ahead {
    /// Nothing once it has ended.
    batches: Option<Receiver<Result<Batch>>>,
    thread: Option<JoinHandle<()>>,
    stop: Stop,
}

/// Whom the thread hands batches to.
#[derive(Debug)]
pub struct Taker {
    out: SyncSender<Result<Batch>>,
    /// Says also when nobody takes anything any more, so that no wait and no statement goes on for nobody.
    pub stop: Stop,
}

impl Taker {
    /// Hands one over, once there is room for it; `false` where nobody takes it.
    pub fn give(&self, batch: Batch) -> bool {
        self.out.send(Ok(batch)).is_ok()
    }
}

/// Starts the thread.
pub fn start(stop: &Stop, read: impl FnOnce(&Taker) -> Result<()> + Send + 'static) -> Ahead {
    let (out, batches) = sync_channel(AHEAD);
    let taker = Taker { out, stop: stop.part() };
    let stop = taker.stop.clone();
    let thread = std::thread::spawn(move || {
        // What it has open is closed before the batches end.
        if let Err(error) = read(&taker) {
            let error = taker.stop.check().err().unwrap_or(error);
            let _ = taker.out.send(Err(error));
        }
    });
    Ahead { batches: Some(batches), thread: Some(thread), stop }
}

impl Ahead {
    /// Waits for the thread; an error where it did not come to its end.
    fn end(&mut self) -> Result<()> {
        self.batches = None;
        let ended = self.thread.take().map_or(Ok(()), JoinHandle::join);
        ended.map_err(|_| Error::internal("a thread broke off amid the rows it read"))
    }
}

impl Iterator for Ahead {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        match self.batches.as_ref()?.recv() {
            Ok(batch) => Some(batch),
            Err(_) => self.end().err().map(Err),
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.stop.end();
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{array::RecordBatch, datatypes::Schema};
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    fn batch(number: u64) -> Batch {
        let rows = RecordBatch::new_empty(Arc::new(Schema::empty()));
        Batch { rows, bad: Vec::new(), first_row: number, covered: 1, left_out: 0 }
    }

    /// What a thread has open, and how long it takes to close it.
    struct Open(Arc<AtomicBool>);

    impl Drop for Open {
        fn drop(&mut self) {
            std::thread::sleep(Duration::from_millis(50));
            self.0.store(false, Ordering::SeqCst);
        }
    }

    /// Begins to read what has so many batches, and then does `last`.
    fn reading(batches: u64, last: impl FnOnce(&Taker) -> Result<()> + Send + 'static) -> (Ahead, Arc<AtomicBool>) {
        let is_open = Arc::new(AtomicBool::new(true));
        let open = Open(Arc::clone(&is_open));
        let ahead = start(&Stop::default(), move |taker| {
            let _open = open;
            let all = (1..=batches).all(|number| taker.give(batch(number)));
            if all { last(taker) } else { Ok(()) }
        });
        (ahead, is_open)
    }

    #[test]
    fn what_was_open_is_closed_when_the_batches_have_ended() {
        let (mut ahead, is_open) = reading(5, |_| Ok(()));
        let numbers: Vec<u64> = ahead.by_ref().map(|batch| batch.unwrap().first_row).collect();
        assert_eq!((numbers, is_open.load(Ordering::SeqCst)), (vec![1, 2, 3, 4, 5], false));
        assert!(ahead.next().is_none());
    }

    #[test]
    fn what_was_open_is_closed_when_the_batches_are_dropped() {
        let (mut ahead, is_open) = reading(100, |_| Ok(()));
        ahead.next().unwrap().unwrap();
        drop(ahead);
        assert!(!is_open.load(Ordering::SeqCst));
        // One that waits for something else than its taker.
        let (ahead, is_open) = reading(0, |taker| {
            while taker.stop.check().is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
        drop(ahead);
        assert!(!is_open.load(Ordering::SeqCst));
    }

    #[test]
    fn a_thread_that_breaks_off_is_no_end_of_the_rows() {
        let (ahead, _) = reading(1, |_| panic!("on purpose"));
        let all: Vec<bool> = ahead.map(|batch| batch.is_ok()).collect();
        assert_eq!(all, [true, false]);
    }
}
