//! Files of a table that are written anew side by side, while one thread answers what the scratch database knows.

use crate::{
    ahead::threads,
    data::{DataFile, Layout, Left, discard, patch},
    failure,
    log::Snapshot,
    rows::Rows,
};
use arrow::array::RecordBatch;
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Error, Result};
use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        mpsc::{Sender, SyncSender, channel, sync_channel},
    },
    thread,
};

/// Asks for the rows that are now at some places of a file.
struct Question {
    file: u32,
    places: Range<u32>,
    answer: SyncSender<Result<RecordBatch>>,
}

/// Writes files anew: which ones, by their places in the snapshot, and what became of the rows of each. They are nobody's;
/// after an error there is none.
pub(crate) fn write(
    rows: &Rows,
    snapshot: &Snapshot,
    layout: &Layout,
    files: &[(u32, Left)],
    others: impl Fn(u32, Range<u32>) -> Result<RecordBatch>,
) -> Result<Vec<DataFile>> {
    let there = snapshot.files()?;
    let beside = threads(files.len());
    let (next, done) = (Mutex::new(files.iter()), Mutex::new(Vec::new()));
    let (ask, questions) = channel::<Question>();
    let work = |ask: Sender<Question>| {
        loop {
            let begun = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((file, left)) = begun else { return Ok(()) };
            let file = *file;
            let opened = rows.table.open_file(snapshot, &there[file as usize])?;
            let others = |places| {
                let nobody = || Error::internal("nobody knows the rows that were changed");
                let (answer, answered) = sync_channel(1);
                ask.send(Question { file, places, answer }).map_err(|_| nobody())?;
                answered.recv().map_err(|_| nobody())?
            };
            let patched = || patch(&rows.table, &opened, layout, left, &others, &rows.stop, beside);
            let patched = crash::at(Point::DataFile, patched)?;
            done.lock().unwrap_or_else(PoisonError::into_inner).push((file, patched));
        }
    };
    let ended = thread::scope(|scope| {
        let spawn = |_| {
            let (ask, next, work) = (ask.clone(), &next, &work);
            let worker = move || {
                let ended = work(ask);
                if ended.is_err() {
                    // No other thread begins a further file.
                    next.lock().unwrap_or_else(PoisonError::into_inner).by_ref().for_each(drop);
                }
                ended
            };
            thread::Builder::new().name("lake-files".to_owned()).spawn_scoped(scope, worker)
        };
        let workers: Vec<_> = (0..beside).map(spawn).collect();
        drop(ask);
        for Question { file, places, answer } in questions {
            // Who does not wait any more has ended with an error of its own.
            let _ = answer.send(others(file, places));
        }
        let mut ended = Ok(());
        for worker in workers {
            let panicked = |_| Error::internal("a thread that wrote a file anew panicked");
            let worker = worker.map_err(|e| failure::threads(&e)).and_then(|worker| worker.join().map_err(panicked)?);
            ended = ended.and(worker);
        }
        ended
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(file, _)| *file);
    let done: Vec<DataFile> = done.into_iter().map(|(_, file)| file).collect();
    ended.inspect_err(|_| discard(&rows.table, &done))?;
    Ok(done)
}
