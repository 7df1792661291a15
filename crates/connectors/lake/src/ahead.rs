//! Work on many files, or parts of them, side by side.

use crate::failure;
use floodmark_core::{Error, Result};
use std::{
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

/// Files that are worked on at once, at most: each holds a row group.
const FILES: usize = 5;

/// What waits of a file to be taken.
const WAITING: usize = 2;

/// How many files are worked on at once: one more than there are processors, as each waits for its store now and then.
pub(crate) fn threads(files: usize) -> usize {
    (thread::available_parallelism().map_or(1, NonZero::get) + 1).min(FILES).min(files)
}

/// Makes what there is of each file, on so many threads, and takes it here: in the files' order, and of each file in the order in
/// which it was made. No more files than there are threads wait to be taken. `make` is told by `false` that nothing more is taken.
pub(crate) fn each<F: Sync, T: Send>(
    files: &[F],
    threads: usize,
    make: impl Fn(usize, &F, &mut dyn FnMut(T) -> bool) -> Result<()> + Sync,
    mut take: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let (begun, beginning) = sync_channel::<Receiver<Result<T>>>(threads);
    let next = Mutex::new(files.iter().enumerate());
    // Each has a sender of its own: when none works any more, nobody waits for a file that is not begun.
    let work = |begun: SyncSender<Receiver<Result<T>>>| {
        loop {
            // A file is begun and told of in one step, so that they are taken in their order.
            let mut guard = next.lock().unwrap_or_else(PoisonError::into_inner);
            let Some((at, file)) = guard.next() else { return };
            let (made, making) = sync_channel(WAITING);
            if begun.send(making).is_err() {
                return;
            }
            drop(guard);
            if let Err(error) = make(at, file, &mut |one| made.send(Ok(one)).is_ok()) {
                let _ = made.send(Err(error));
            }
        }
    };
    thread::scope(|scope| {
        let spawn = |_| {
            let (begun, work) = (begun.clone(), &work);
            thread::Builder::new().name("lake-files".to_owned()).spawn_scoped(scope, move || work(begun))
        };
        let workers: Vec<_> = (0..threads.min(files.len())).map(spawn).collect();
        drop(begun);
        let mut taken = files.iter().try_for_each(|_| {
            let making = beginning.recv().map_err(|_| Error::internal("a file was not begun"))?;
            making.into_iter().try_for_each(|one| take(one?))
        });
        // Who still makes something is told so by this.
        drop(beginning);
        for worker in workers {
            let ended = worker.map_err(|e| failure::threads(&e)).and_then(|worker| {
                worker.join().map_err(|_| Error::internal("a thread that worked on files panicked"))
            });
            taken = taken.and(ended);
        }
        taken
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodmark_core::Code;

    #[test]
    fn files_are_taken_in_their_order() {
        let files: Vec<usize> = (0..50).collect();
        let mut taken = Vec::new();
        let make = |at: usize, file: &usize, send: &mut dyn FnMut((usize, usize)) -> bool| {
            thread::sleep(std::time::Duration::from_micros(((file * 7) % 5 * 100) as u64));
            (0..file % 4).all(|n| send((at, n)));
            Ok(())
        };
        each(&files, threads(files.len()), make, |one| {
            taken.push(one);
            Ok(())
        })
        .unwrap();
        let wanted: Vec<(usize, usize)> = files.iter().flat_map(|file| (0..file % 4).map(|n| (*file, n))).collect();
        assert_eq!(taken, wanted);
    }

    #[test]
    fn an_error_of_either_side_ends_it() {
        let files = [0; 20];
        let endless = |_: usize, _: &i32, send: &mut dyn FnMut(u8) -> bool| {
            while send(0) {}
            Ok(())
        };
        let enough = |_| Err(Error::new(Code::Interrupted, "enough"));
        assert_eq!(each(&files, 3, endless, enough).unwrap_err().code(), Code::Interrupted);
        let broken = |at: usize, _: &i32, send: &mut dyn FnMut(usize) -> bool| {
            send(at);
            if at == 7 { Err(Error::new(Code::BadFormat, "broken")) } else { Ok(()) }
        };
        let mut last = 0;
        let ended = each(&files, 3, broken, |at| {
            last = at;
            Ok(())
        });
        assert_eq!((ended.unwrap_err().code(), last), (Code::BadFormat, 7));
    }

    #[test]
    fn threads_that_panic_are_an_error_and_nobody_waits_for_them() {
        let panics = |_: usize, _: &i32, _: &mut dyn FnMut(u8) -> bool| -> Result<()> { panic!("as a fault would") };
        assert_eq!(each(&[0; 20], 3, panics, |_| Ok(())).unwrap_err().code(), Code::Internal);
    }
}
