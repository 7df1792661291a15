//! A request to stop, carried to the server: a statement of many minutes ends at once, and not when it is done.

use crate::{address::Address, link, tls};
use floodmark_connect::Stop;
use std::{
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::Duration,
};
use tokio_postgres::{CancelToken, NoTls};

const PAUSE: Duration = Duration::from_millis(100);

/// A thread that watches for a stop until it is dropped. Once it is gone it cancels nothing any more.
pub(crate) struct Interrupt {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Interrupt {
    pub(crate) fn start(address: &Address, cancel: CancelToken, stop: &Stop) -> Self {
        let (address, stop) = (address.clone(), stop.clone());
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(PAUSE) {
                if stop.check().is_err() {
                    end_statement(&address, &cancel);
                }
            }
        });
        Interrupt { thread: Some((end, thread)) }
    }
}

/// Ends the statement that is under way, if there is one. What cannot be told the server it finds out when it is done.
pub(crate) fn end_statement(address: &Address, cancel: &CancelToken) {
    let Ok(runtime) = link::runtime() else { return };
    let _ = match tls::connector(address) {
        Ok(tls) if !address.mode.is_plain() => runtime.block_on(cancel.cancel_query(tls)),
        _ => runtime.block_on(cancel.cancel_query(NoTls)),
    };
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.thread.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}
