//! SIGINT and SIGTERM ask a run to stop; a second SIGINT does not ask.

use floodmark_connect::Stop;
use floodmark_core::{Code, Error, Result};
use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGXFSZ},
    iterator::Signals,
};
use std::sync::{Arc, atomic::Ordering};

/// Watches from now on. Called by commands that run pipelines only: any other command may simply die of a signal,
/// which is quicker and leaves nothing behind.
pub(crate) fn watch(stop: &Stop) -> Result<()> {
    let flag = stop.flag();
    let cannot = |e: std::io::Error| Error::internal("signals cannot be watched").cause(e);
    // Caught, it makes the write fail, and the failure is reported; uncaught it ends the process without a word.
    signal_hook::flag::register(SIGXFSZ, Arc::default()).map_err(cannot)?;
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(cannot)?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                if flag.swap(signal, Ordering::Relaxed) != 0 && signal == SIGINT {
                    // The open transaction dies with the process, as it would under kill -9.
                    std::process::exit(128 + SIGINT);
                }
            }
        })
        .map(drop)
        .map_err(|e| Error::new(Code::Internal, "a thread cannot be started").cause(e))
}
