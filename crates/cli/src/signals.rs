//! SIGINT and SIGTERM ask a run to stop; a SIGINT after that does not ask.

use floodmark_connect::Stop;
use floodmark_core::{Error, Result};
use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGXFSZ},
    flag,
};
use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

/// Watches from now on. Called by commands that run pipelines only: any other command may simply die of a signal,
/// which is quicker and leaves nothing behind.
pub(crate) fn watch(stop: &Stop) -> Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    let watch = || -> io::Result<()> {
        // Caught, it makes the write fail, and the failure is reported; uncaught it ends the process without a word.
        flag::register(SIGXFSZ, Arc::default())?;
        // Before it is asked: the open transaction dies with the process, as it would under kill -9.
        flag::register_conditional_shutdown(SIGINT, 128 + SIGINT, Arc::clone(&asked))?;
        for signal in [SIGINT, SIGTERM] {
            flag::register(signal, Arc::clone(&asked))?;
            flag::register_usize(signal, stop.flag(), signal as usize)?;
        }
        Ok(())
    };
    watch().map_err(|e| Error::internal("signals cannot be watched").cause(e))
}
