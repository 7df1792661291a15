//! A request to stop, carried to DuckDB: a statement of many minutes ends at once, and not when it is done.

use crate::raw::Connection;
use floodmark_connect::Stop;
use std::{
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

const PAUSE: Duration = Duration::from_millis(100);

/// A thread that watches for a stop until it is dropped. Once it is gone it interrupts nothing any more.
pub(crate) struct Interrupt {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Interrupt {
    pub(crate) fn start(connection: Arc<Connection>, stop: &Stop) -> Self {
        let stop = stop.clone();
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(PAUSE) {
                if stop.check().is_err() {
                    connection.interrupt();
                }
            }
        });
        Interrupt { thread: Some((end, thread)) }
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.thread.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}
