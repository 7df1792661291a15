//! `floodmark` in Python: the same engine, commands and objects, without a process of its own.
//!
//! Everything that runs does so on a thread beside the caller's, which keeps Python: it answers what the run asks of it
//! (`caller`), looks for Ctrl-C, and holds the GIL for nothing else.

mod caller;
mod capsule;
mod handed;
mod host;
mod logging;
mod neighbours;
mod program;
mod read;
mod rows;
mod spool;

use pyo3::prelude::*;

#[pymodule]
mod _floodmark {
    #[pymodule_export]
    use super::logging::log_into;
    #[pymodule_export]
    use super::program::{command, flags, load, main};
    #[pymodule_export]
    use super::read::{Read, read};
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
