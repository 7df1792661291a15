//! What several readers bring, on its way to one taker, who gets it in the order of the parts it was read from.
//!
//! Readers begin parts in turn. What they are ahead of the taker waits here, and there is room for so much: a reader beyond
//! that waits with one more in its hand, and as it takes nothing more from its server, the server waits with it. The reader
//! of the part whose turn it is can always go on, and so all of them do.

use floodmark_core::{Error, Result};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// Parts to begin, and what was brought of those that were begun.
pub(crate) struct Queue<P: Iterator, T> {
    state: Mutex<State<P, T>>,
    /// Something came, went or ended.
    moved: Condvar,
    room: usize,
}

struct State<P, T> {
    parts: P,
    /// No part is left to begin.
    spent: bool,
    /// The number of the part whose turn it is.
    turn: u64,
    /// The parts that were begun, from that one on.
    begun: VecDeque<Begun<T>>,
    /// What waits of all of them.
    waiting: usize,
    /// Who reads, or is about to.
    readers: usize,
    /// Nobody wants more.
    closed: bool,
}

struct Begun<T> {
    brought: VecDeque<Result<T>>,
    ended: bool,
}

impl<P: Iterator, T> Queue<P, T> {
    /// `room`: how much may wait.
    pub(crate) fn new(parts: P, room: usize) -> Self {
        let state =
            State { parts, spent: false, turn: 0, begun: VecDeque::new(), waiting: 0, readers: 0, closed: false };
        Queue { state: Mutex::new(state), moved: Condvar::new(), room }
    }

    fn state(&self) -> MutexGuard<'_, State<P, T>> {
        // A panic elsewhere leaves plain counters behind, which stay usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State<P, T>>) -> MutexGuard<'s, State<P, T>> {
        self.moved.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The next in order; `None` after the last part, and once nobody wants more. Behind an error nothing is sure to come.
    pub(crate) fn take(&self) -> Option<Result<T>> {
        let mut state = self.state();
        loop {
            let State { begun, waiting, turn, .. } = &mut *state;
            while begun.pop_front_if(|part| part.ended && part.brought.is_empty()).is_some() {
                *turn += 1;
                self.moved.notify_all();
            }
            if let Some(item) = begun.front_mut().and_then(|part| part.brought.pop_front()) {
                *waiting -= 1;
                self.moved.notify_all();
                return Some(item);
            }
            let idle = state.begun.is_empty();
            if state.closed || (idle && state.spent) {
                return None;
            }
            if idle && state.readers == 0 {
                return Some(Err(Error::internal("the reading threads ended before the rows did")));
            }
            state = self.wait(state);
        }
    }

    /// Nobody wants more: readers find that out at their next step.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.moved.notify_all();
    }

    /// One who reads, or is about to. The taker waits for the parts that are left as long as there is one.
    pub(crate) fn reader(self: &Arc<Self>) -> Reader<P, T> {
        self.state().readers += 1;
        Reader { queue: Arc::clone(self) }
    }
}

/// One who reads.
pub(crate) struct Reader<P: Iterator, T> {
    queue: Arc<Queue<P, T>>,
}

impl<P: Iterator, T> Reader<P, T> {
    /// The next part; `None` where none is left, or nobody wants more.
    pub(crate) fn begin(&self) -> Option<(P::Item, Turn<'_, P, T>)> {
        let mut state = self.queue.state();
        if state.closed || state.spent {
            return None;
        }
        let Some(part) = state.parts.next() else {
            state.spent = true;
            self.queue.moved.notify_all();
            return None;
        };
        let number = state.turn + state.begun.len() as u64;
        state.begun.push_back(Begun { brought: VecDeque::new(), ended: false });
        Some((part, Turn { queue: &self.queue, number, over: false }))
    }

    /// Whether all parts were begun, and somebody wants them.
    pub(crate) fn is_done(&self) -> bool {
        let state = self.queue.state();
        state.spent && !state.closed
    }
}

impl<P: Iterator, T> Drop for Reader<P, T> {
    fn drop(&mut self) {
        self.queue.state().readers -= 1;
        self.queue.moved.notify_all();
    }
}

/// A part that is being read. Dropped before its end it is an error.
pub(crate) struct Turn<'q, P: Iterator, T> {
    queue: &'q Queue<P, T>,
    number: u64,
    over: bool,
}

impl<P: Iterator, T> Turn<'_, P, T> {
    /// Waits for room; `false` where nobody wants more.
    pub(crate) fn bring(&self, item: T) -> bool {
        let mut state = self.queue.state();
        loop {
            if state.closed {
                return false;
            }
            let first = state.turn == self.number && state.begun.front().is_some_and(|part| part.brought.is_empty());
            if first || state.waiting < self.queue.room {
                break;
            }
            state = self.queue.wait(state);
        }
        self.put(&mut state, Ok(item));
        true
    }

    /// The part is read to its end.
    pub(crate) fn end(mut self) {
        self.over(None);
    }

    /// The part cannot be read to its end.
    pub(crate) fn fail(mut self, error: Error) {
        self.over(Some(error));
    }

    fn put(&self, state: &mut State<P, T>, item: Result<T>) {
        state.waiting += 1;
        if let Some(part) = self.part(state) {
            part.brought.push_back(item);
        }
        self.queue.moved.notify_all();
    }

    fn over(&mut self, error: Option<Error>) {
        self.over = true;
        let mut state = self.queue.state();
        if let Some(error) = error {
            self.put(&mut state, Err(error));
        }
        if let Some(part) = self.part(&mut state) {
            part.ended = true;
        }
        self.queue.moved.notify_all();
    }

    /// A part stays where it is until it has ended.
    fn part<'s>(&self, state: &'s mut State<P, T>) -> Option<&'s mut Begun<T>> {
        let at = usize::try_from(self.number.checked_sub(state.turn)?).ok()?;
        state.begun.get_mut(at)
    }
}

impl<P: Iterator, T> Drop for Turn<'_, P, T> {
    fn drop(&mut self) {
        if !self.over {
            self.over(Some(Error::internal("a reading thread broke down")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodmark_core::Code;
    use std::{
        ops::Range,
        sync::atomic::{AtomicUsize, Ordering},
        thread,
        time::Duration,
    };

    type Numbers = Queue<Range<u64>, u64>;

    fn numbers(parts: u64, room: usize) -> Arc<Numbers> {
        Arc::new(Queue::new(0..parts, room))
    }

    /// Part `n` brings `n` numbers, `n` each.
    fn read(reader: &Reader<Range<u64>, u64>, brought: &AtomicUsize) {
        while let Some((part, turn)) = reader.begin() {
            for _ in 0..part {
                if !turn.bring(part) {
                    return;
                }
                brought.fetch_add(1, Ordering::SeqCst);
                if part.is_multiple_of(3) {
                    thread::yield_now();
                }
            }
            turn.end();
        }
    }

    #[test]
    fn parts_come_in_order_whatever_the_number_of_readers_and_the_room() {
        let all: Vec<u64> = (0..60).flat_map(|n| std::iter::repeat_n(n, n as usize)).collect();
        for readers in 1..6 {
            for room in [0, 1, 7, 1000] {
                let queue = numbers(60, room);
                for _ in 0..readers {
                    let reader = queue.reader();
                    thread::spawn(move || read(&reader, &AtomicUsize::new(0)));
                }
                let came: Vec<u64> = std::iter::from_fn(|| queue.take()).map(Result::unwrap).collect();
                assert_eq!(came, all, "{readers} readers, room for {room}");
                assert!(queue.take().is_none());
            }
        }
    }

    /// However long nobody takes anything.
    #[test]
    fn no_more_waits_than_there_is_room_for() {
        let (queue, brought) = (numbers(1000, 8), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..3 {
                let reader = queue.reader();
                let brought = &brought;
                scope.spawn(move || read(&reader, brought));
            }
            for taken in 0..200 {
                thread::sleep(Duration::from_millis(if taken % 50 == 0 { 50 } else { 0 }));
                // The part whose turn it is may put in one beyond the room.
                assert!(brought.load(Ordering::SeqCst) <= taken + 9, "after {taken}");
                queue.take().unwrap().unwrap();
            }
            queue.close();
        });
    }

    #[test]
    fn readers_that_wait_end_when_nobody_wants_more() {
        let queue = numbers(10, 1);
        thread::scope(|scope| {
            for _ in 0..2 {
                let reader = queue.reader();
                scope.spawn(move || read(&reader, &AtomicUsize::new(0)));
            }
            queue.take().unwrap().unwrap();
            queue.close();
        });
    }

    #[test]
    fn an_error_comes_in_its_place() {
        let queue = numbers(3, 8);
        let reader = queue.reader();
        let [first, second, third] = [0; 3].map(|_| reader.begin().unwrap().1);
        second.fail(Error::new(Code::SourceRead, "told to"));
        third.end();
        assert!(first.bring(7));
        first.end();
        assert_eq!(queue.take().unwrap().unwrap(), 7);
        assert_eq!(queue.take().unwrap().unwrap_err().code(), Code::SourceRead);
        assert!(reader.begin().is_none() && reader.is_done());
        assert!(queue.take().is_none());
    }

    /// In the middle of a part, and between two.
    #[test]
    fn a_reader_that_breaks_down_is_an_error() {
        let queue = numbers(3, 8);
        let reader = queue.reader();
        let broken = thread::spawn(move || {
            let _turn = reader.begin().unwrap();
            panic!("on purpose");
        });
        assert_eq!(queue.take().unwrap().unwrap_err().code(), Code::Internal);
        assert!(broken.join().is_err());
        assert_eq!(queue.take().unwrap().unwrap_err().code(), Code::Internal);
    }
}
