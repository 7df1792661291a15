//! Errors for people: what happened, where, what state the data is in, what to do.

use super::{
    json,
    terminal::{clean, style},
    to_stderr,
};
use crate::args;
use clap::error::ErrorKind;
use floodmark_config::Diagnostics;
use floodmark_core::Error;
use std::{error::Error as _, ffi::OsString, fmt::Write as _};

/// An error as lines, the last of them naming its page. `of`: whose it is, where it could be another's.
pub(crate) fn text(of: Option<&str>, error: &Error) -> String {
    let code = error.code().number();
    let (e, h, r) = (style::ERROR, style::HINT, style::RESET);
    let of = of.map(|of| format!("{}: ", clean(of))).unwrap_or_default();
    let mut out = format!("{e}error[{code}]{r}: {of}{}\n", clean(error.message()));
    let mut line = |label: &str, text: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {label}{}", clean(text).replace('\n', "\n    "));
    };
    if let Some(place) = error.place().map(ToString::to_string).filter(|p| !p.is_empty()) {
        line("--> ", &place);
    }
    let mut cause = error.source();
    while let Some(source) = cause {
        line("cause: ", &source.to_string());
        cause = source.source();
    }
    if let Some(state) = error.data_state() {
        line("state: ", state);
    }
    for help in error.advice() {
        line(&format!("{h}help{r}: "), help);
    }
    line("more: ", &format!("floodmark explain {code}"));
    out
}

/// Mistakes of a pipeline file, each with its line, and one closing line.
pub(crate) fn mistakes(mistakes: &Diagnostics) -> String {
    let mut out = mistakes.render(true);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// A command line that cannot be read, or one that only asks for help; returns the exit code.
pub(crate) fn usage(error: &clap::Error, line: &[OsString]) -> u8 {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !asked && args::wants_json(line) {
        let value = json::usage(error);
        let printer = super::Printer::new(args::Format::Json, true);
        drop(printer.object(&value));
    } else if asked {
        // As for any result: a closed pipe is fine, and help has no other way to fail that matters.
        drop(error.print());
    } else {
        to_stderr(&error.render().ansi().to_string());
    }
    u8::try_from(error.exit_code()).unwrap_or(2)
}
