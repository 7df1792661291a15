//! Sends the log to the disk while a load still writes it, so that the sync before its checkpoint finds little to do.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::Duration,
};

/// How often the log's length is looked at.
const PAUSE: Duration = Duration::from_millis(15);
/// Bytes that are worth a sync; a log that stays below it is left alone.
const STEP: u64 = 4 << 20;

/// A thread that syncs a growing log until it is dropped. What it cannot open or sync it leaves to SQLite, whose own sync
/// comes in any case and reports errors. SQLite holds no lock on the log itself, so a second handle to it does no harm
/// (a second handle to the database would: closing it drops the process's locks).
pub(crate) struct Writeback {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Writeback {
    pub(crate) fn start(database: Option<&Path>) -> Self {
        let thread = database.map(|path| {
            let (stop, stopped) = channel();
            let mut log = path.as_os_str().to_owned();
            log.push("-wal");
            let thread = std::thread::spawn(move || {
                let log = PathBuf::from(log);
                let mut synced = 0;
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(PAUSE) {
                    let length = fs::metadata(&log).map_or(0, |m| m.len());
                    if length >= synced + STEP
                        && let Ok(file) = File::open(&log)
                    {
                        let _ = file.sync_data();
                        synced = length;
                    }
                }
            });
            (stop, thread)
        });
        Writeback { thread }
    }
}

impl Drop for Writeback {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}
