//! Everything that is printed. Nothing outside this module writes to stdout or stderr.

pub(crate) mod certificate;
pub(crate) mod comparison;
pub(crate) mod coverage;
pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod layout;
pub(crate) mod preview;
pub(crate) mod progress;
pub(crate) mod runs;
pub(crate) mod terminal;
pub(crate) mod verdicts;

use crate::{args::Format, commands::Failure, embed::Host};
use floodmark_core::{Code, Error, Result};
use floodmark_server::Arrival;
use serde_json::Value;
use std::{
    io::{BufRead, ErrorKind, IsTerminal, Write},
    sync::Arc,
};

/// How errors and warnings of a run speak of a pipeline's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// As fields of the pipeline file.
    AsWritten,
    /// As flags of `load`.
    AsFlags,
}

impl Told {
    pub(crate) fn tell(self, text: &str) -> String {
        match self {
            Told::AsWritten => text.to_owned(),
            Told::AsFlags => floodmark_config::as_flags(text),
        }
    }
}

/// Decides what goes where.
#[derive(Clone)]
pub(crate) struct Printer {
    format: Format,
    quiet: bool,
    /// Another program, which has everything in place of the terminal.
    host: Option<Arc<dyn Host>>,
}

impl Printer {
    pub(crate) fn new(format: Format, quiet: bool) -> Self {
        Printer { format, quiet, host: None }
    }

    /// Nothing is printed: `host` has it.
    pub(crate) fn hosted(host: Arc<dyn Host>) -> Self {
        Printer { format: Format::Json, quiet: false, host: Some(host) }
    }

    /// The program that has everything in place of a terminal.
    pub(crate) fn host(&self) -> Option<&dyn Host> {
        self.host.as_deref()
    }

    /// Whether results are for programs.
    pub(crate) fn json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether errors alone are wanted, and what was asked to be shown.
    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether a picture is worth its room: where people look, and lines are no records.
    pub(crate) fn draws(&self) -> bool {
        !self.json() && std::io::stdout().is_terminal()
    }

    /// A result, as it stands. Colours are dropped where stdout takes none.
    pub(crate) fn text(&self, text: &str) -> Result<()> {
        if let Some(host) = &self.host {
            host.note(text);
            return Ok(());
        }
        let mut out = anstream::stdout().lock();
        written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    /// The result of what was done, where it went well and somebody wants to hear so.
    pub(crate) fn done(&self, text: &str) -> Result<()> {
        if self.quiet { Ok(()) } else { self.text(text) }
    }

    /// A result as one JSON object on a line of its own.
    pub(crate) fn object(&self, value: &Value) -> Result<()> {
        if let Some(host) = &self.host {
            host.object(value);
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        written(writeln!(out, "{value}").and_then(|()| out.flush()))
    }

    /// Something worth knowing that is not the result.
    pub(crate) fn note(&self, text: &str) {
        match &self.host {
            Some(host) => host.note(text),
            None if self.quiet => {}
            None => to_stderr(&format!("{text}\n")),
        }
    }

    /// Something that may need attention.
    pub(crate) fn warning(&self, text: &str) {
        match &self.host {
            Some(host) => host.warning(text, None),
            None if self.quiet => {}
            None => to_stderr(&terminal::warning(text)),
        }
    }

    /// The same, with what to do about it.
    pub(crate) fn warning_with(&self, text: &str, help: &str) {
        match &self.host {
            Some(host) => host.warning(text, Some(help)),
            None if self.quiet => {}
            None => to_stderr(&format!("{}{}", terminal::warning(text), terminal::help(help))),
        }
    }

    /// An error of one of several pieces of work, while the others go on. `of`: what it is called.
    pub(crate) fn error(&self, of: Option<&str>, error: &Error) {
        match &self.host {
            Some(host) => host.warning(&error.to_string(), None),
            None => to_stderr(&error::text(of, error)),
        }
    }

    /// The error that ends the command; returns the exit code.
    pub(crate) fn failure(&self, failure: Failure) -> u8 {
        let code = failure.exit_code();
        if self.json() {
            // Where stdout is gone there is nobody left to tell; the exit code still says it.
            drop(self.object(&json::failure(failure)));
        } else {
            match failure {
                Failure::Error(error) => to_stderr(&error::text(None, &error)),
                Failure::Mistakes(mistakes) => to_stderr(&error::mistakes(&mistakes)),
            }
        }
        code
    }

    /// Asks before something is destroyed. Without a terminal there is nobody to ask, which is an error.
    pub(crate) fn confirm(&self, what: &str, yes: bool) -> Result<()> {
        if yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(Error::new(Code::BadArgument, "this must be confirmed, and there is no terminal to ask on")
                .state("nothing was changed")
                .help(format!("what would happen: {what}"))
                .help("if that is meant, add --yes"));
        }
        to_stderr(&format!("{what}.\nContinue? [y/N] "));
        let mut answer = String::new();
        // An unreadable answer is not a yes.
        let read = std::io::stdin().lock().read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
        Err(Error::new(Code::BadArgument, "the answer was not yes").state("nothing was changed"))
    }
}

/// Whether a test arrived at somebody.
pub(crate) fn arrived(printer: &Printer, channel: &str, arrival: &Arrival) -> Result<()> {
    if printer.json() {
        return printer.object(&json::arrived(channel, arrival));
    }
    printer.text(&match arrival {
        Arrival::Arrived => format!("{channel}: a test arrived\n"),
        Arrival::Off => format!("{channel}: it is switched off\n"),
        Arrival::Lost(why) => format!("{channel}: a test did not arrive: {why}\n"),
    })
}

/// A reader that has seen enough (`| head`) is no error; a full disk behind `>` is.
fn written(result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Error::new(Code::Output, "the output cannot be written").cause(e))
        }
        _ => Ok(()),
    }
}

fn to_stderr(text: &str) {
    // There is no third place to report to.
    drop(anstream::stderr().lock().write_all(text.as_bytes()));
}
