//! A request to stop, carried to the server: a statement of many minutes ends at once, and not when it is done.

use crate::{address::Address, greet, wire::Wire};
use floodmark_connect::Stop;
use std::{
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::Duration,
};

const PAUSE: Duration = Duration::from_millis(100);

/// A thread that watches for a stop until it is dropped. Once it is gone it ends nothing any more.
pub(crate) struct Interrupt {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Interrupt {
    /// `id`: the number of the connection whose statements are to end.
    pub(crate) fn start(address: &Address, id: u64, stop: &Stop) -> Self {
        let (address, stop) = (address.clone(), stop.clone());
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(PAUSE) {
                if stop.check().is_err() {
                    end_statement(&address, id);
                }
            }
        });
        Interrupt { thread: Some((end, thread)) }
    }
}

/// Ends the statement that is under way, if there is one. What cannot be told the server it finds out when it is done.
pub(crate) fn end_statement(address: &Address, id: u64) {
    if let Ok(packets) = greet::connect(address, "floodmark interrupt") {
        let _ = Wire::over(packets).ask(&format!("KILL QUERY {id}"));
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
