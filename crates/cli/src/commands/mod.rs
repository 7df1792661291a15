//! What each command does. Commands return results; `render` prints them.

mod backfill;
mod check;
mod diff;
mod explain;
mod fingerprint;
mod init;
pub(crate) mod load;
mod optimize;
mod own_program;
mod plan;
mod prove;
mod rejects;
mod replay;
mod run;
mod runs;
mod serve;
mod state;
mod state_file;
mod verify;

use crate::{
    args::{self, Command, Global},
    embed::Embedded,
    logging,
    render::Printer,
};
use floodmark_config::Diagnostics;
use floodmark_connect::Stop;
use floodmark_core::Error;
use std::ffi::OsString;

/// What every command has at hand.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) printer: Printer,
    /// Set by a signal, once signals are watched.
    pub(crate) stop: Stop,
    /// Whether log lines are being written.
    pub(crate) logging: bool,
    /// How this program is started, where that is known better than by what runs now.
    pub(crate) starts: Option<Vec<OsString>>,
    /// Whether it runs inside another program, which watches for signals.
    pub(crate) inside: bool,
}

impl Context {
    pub(crate) fn new(global: Global, starts: Option<Vec<OsString>>) -> Self {
        let logging = logging::start(global.verbose, global.log_format);
        Context {
            printer: Printer::new(global.format, global.quiet),
            stop: Stop::default(),
            logging,
            starts,
            inside: false,
            global,
        }
    }

    pub(crate) fn embedded(global: Global, embedded: Embedded) -> Self {
        let Embedded { host, stop, program } = embedded;
        Context { printer: Printer::hosted(host), stop, logging: false, starts: Some(program), inside: true, global }
    }
}

/// Why a command could not do what it was asked.
pub(crate) enum Failure {
    /// One error.
    Error(Error),
    /// The pipeline file (or the flags in its place) has mistakes, all of them here.
    Mistakes(Diagnostics),
}

impl Failure {
    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Error(error) => error.exit_code(),
            Failure::Mistakes(_) => 2,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

impl From<Diagnostics> for Failure {
    fn from(mistakes: Diagnostics) -> Self {
        Failure::Mistakes(mistakes)
    }
}

/// Does what was asked; returns the exit code.
pub(crate) fn dispatch(cx: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Init(args) => init::init(cx, &args),
        Command::Load(args) => load::load(cx, &args),
        Command::Run(args) => run::run(cx, &args),
        Command::Plan(args) => plan::plan(cx, &args),
        Command::Prove(args) => prove::prove(cx, &args),
        Command::Backfill(args) => backfill::backfill(cx, &args),
        Command::Verify(args) => verify::verify(cx, &args),
        Command::Diff(args) => diff::diff(cx, &args),
        Command::Serve(args) => serve::serve(cx, &args),
        Command::Check(args) => check::check(cx, &args),
        Command::State(args) => state::state(cx, &args),
        Command::Runs(args) => runs::runs(cx, &args),
        Command::Rejects(args) => rejects::rejects(cx, &args),
        Command::Fingerprint(args) => fingerprint::fingerprint(cx, &args),
        Command::Optimize(args) => optimize::optimize(cx, &args),
        Command::Explain(args) => explain::explain(cx, &args),
        Command::Schema => schema(cx),
        Command::Completions(args) => completions(cx, args.shell),
    }
}

fn schema(cx: &Context) -> Result<u8, Failure> {
    let schema = floodmark_config::json_schema();
    if cx.printer.json() {
        cx.printer.object(&schema)?;
    } else {
        cx.printer.text(&format!("{schema:#}\n"))?;
    }
    Ok(0)
}

fn completions(cx: &Context, shell: clap_complete::Shell) -> Result<u8, Failure> {
    // Into memory first, because the generator panics when it writes to a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "floodmark", &mut script);
    cx.printer.text(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
