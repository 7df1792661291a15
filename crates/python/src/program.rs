//! Commands, and loads of rows that are handed over.

use crate::{
    caller,
    handed::{self, FromPython},
    host::Listener,
    neighbours::Active,
};
use floodmark_cli::embed::{self, Embedded};
use floodmark_connect::Stop;
use floodmark_engine::RunOptions;
use floodmark_files::HandedSource;
use pyo3::{exceptions::PyValueError, prelude::*};
use std::{
    ffi::OsString,
    sync::{Arc, PoisonError},
    time::Duration,
};

/// How a run ended: its exit code; what Python raised meanwhile and stopped it by (a signal, the listener); and what was
/// raised where rows were made, which is the cause of its error.
type Ended = (u8, Option<PyErr>, Option<PyErr>);

/// `floodmark` as a program; `program`: how it is started. Returns the exit code.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, args: Vec<OsString>, program: Vec<OsString>) -> u8 {
    py.detach(|| floodmark_cli::program(args, Some(program)))
}

/// Flags of `load`, without their hyphens, and whether each stands alone.
#[pyfunction]
pub(crate) fn flags() -> Vec<(&'static str, bool)> {
    let of_fields =
        floodmark_config::load_flags().filter_map(|f| Some((f.flag?, f.kind == floodmark_config::Kind::Bool)));
    let others = [floodmark_config::TABLE_FLAG, floodmark_config::PIPELINE_FLAG].map(|flag| (flag, false));
    of_fields.chain(others).chain([("full-refresh", true), ("wait", false)]).collect()
}

/// Runs a command line.
#[pyfunction]
pub(crate) fn command(
    py: Python<'_>,
    args: Vec<OsString>,
    program: Vec<OsString>,
    host: Py<PyAny>,
    watched: bool,
) -> PyResult<Ended> {
    run(py, host, watched, program, |embedded, _| (embed::command(&args, embedded), None))
}

/// Loads what `rows` hands over; see `floodmark._data.Rows`.
#[pyfunction]
#[pyo3(signature = (rows, settings, program, host, watched, wait, full_refresh))]
#[expect(clippy::too_many_arguments, reason = "each is one of the Python function that calls it")]
pub(crate) fn load(
    py: Python<'_>,
    rows: Py<PyAny>,
    settings: Vec<(String, String)>,
    program: Vec<OsString>,
    host: Py<PyAny>,
    watched: bool,
    wait: Option<f64>,
    full_refresh: bool,
) -> PyResult<Ended> {
    let rows = handed::Rows::new(rows.bind(py))?;
    let settings: Vec<(&str, String)> = settings.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    // As on the command line: not at all unless it is asked for, and for ever where no end is given.
    if wait.is_some_and(|seconds| seconds.is_nan() || seconds < 0.0) {
        return Err(PyValueError::new_err("wait is so many seconds, or True"));
    }
    let wait = wait.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    let wait = wait.filter(|wait| *wait < Duration::MAX);
    let options = RunOptions { wait, full_refresh, ..RunOptions::default() };
    run(py, host, watched, program, |embedded, caller| {
        let name = rows.name.clone();
        let from_python = FromPython::new(rows, caller.clone());
        let cause = from_python.cause();
        let code = embed::load(&name, &HandedSource::new(from_python), &settings, &options, embedded);
        let cause = cause.lock().unwrap_or_else(PoisonError::into_inner).take();
        (code, cause)
    })
}

fn run(
    py: Python<'_>,
    host: Py<PyAny>,
    watched: bool,
    program: Vec<OsString>,
    work: impl FnOnce(Embedded, &caller::Caller) -> (u8, Option<PyErr>) + Send,
) -> PyResult<Ended> {
    let stop = Stop::default();
    let host = Arc::new(host);
    let _active = Active::begin();
    let ((code, cause, listener), signal) = caller::beside(py, &stop, |caller| {
        let listener = Listener::new(host, watched, caller.clone());
        let raised = listener.raised();
        let embedded = Embedded { host: Arc::new(listener), stop: stop.clone(), program };
        let (code, cause) = work(embedded, caller);
        let raised = raised.lock().unwrap_or_else(PoisonError::into_inner).take();
        (code, cause, raised)
    })?;
    Ok((code, signal.or(listener), cause))
}
