//! Commands inside another program, which has the results as objects and watches for signals itself.

use crate::{
    args::{self, Format, Global, LogFormat},
    commands::{self, Context, load},
    render::json,
};
use floodmark_connect::{Source, Stop};
use floodmark_core::{Error, event::Event};
use floodmark_engine::RunOptions;
use serde_json::Value;
use std::{ffi::OsString, sync::Arc};

/// Who has what would be printed. Called from the threads of the command.
pub trait Host: Send + Sync {
    /// A result, as `--format json` prints it. An error that ends the command is one, too: `{"status": "failed", "error": …}`.
    fn object(&self, value: &Value);
    /// Something worth knowing that is not the result.
    fn note(&self, text: &str);
    /// Something that may need attention, with what to do about it.
    fn warning(&self, text: &str, help: Option<&str>);
    /// Something that happened on the way.
    fn event(&self, event: &Event);
}

/// The program that a command runs in.
#[derive(Clone)]
pub struct Embedded {
    /// Who has the results.
    pub host: Arc<dyn Host>,
    /// Ends the command when it is set.
    pub stop: Stop,
    /// How `floodmark` is started as a process of its own: `prove` kills some.
    pub program: Vec<OsString>,
}

/// Runs a command line (`run orders --jobs 2`, without the program's name). What a person would be asked is answered with
/// yes. Returns the exit code.
pub fn command(args: &[OsString], embedded: Embedded) -> u8 {
    let before = ["floodmark", "--format", "json", "--yes"].map(OsString::from);
    let line: Vec<OsString> = before.iter().chain(args).cloned().collect();
    let cli = match args::parse(&line) {
        Ok(cli) => cli,
        Err(error) => {
            embedded.host.object(&json::usage(&error));
            return 2;
        }
    };
    let cx = Context::embedded(cli.global, embedded);
    ended(&cx, commands::dispatch(&cx, cli.command))
}

/// Loads rows that the caller hands over; `settings` are flags of `load`. Returns the exit code.
pub fn load(
    rows: &str,
    source: &dyn Source,
    settings: &[(&str, String)],
    options: &RunOptions,
    embedded: Embedded,
) -> u8 {
    let global =
        Global { file: None, format: Format::Json, verbose: 0, log_format: LogFormat::Text, yes: true, quiet: false };
    let cx = Context::embedded(global, embedded);
    ended(&cx, load::handed(&cx, rows, source, settings, options))
}

/// What `--format json` prints of an error.
pub fn error(error: &Error) -> Value {
    json::error(error)
}

fn ended(cx: &Context, done: Result<u8, commands::Failure>) -> u8 {
    done.unwrap_or_else(|failure| cx.printer.failure(failure))
}
