//! `floodmark`: what was typed (`args`) becomes what is done (`commands`) becomes what is shown (`render`).
//!
//! Results go to stdout, all else to stderr, and `render` is the only part that writes to either. Another program that runs
//! a command ([`embed`]) gets the same objects that `--format json` prints, and nothing is written anywhere.

mod args;
mod commands;
pub mod embed;
mod env;
mod keepers;
mod logging;
mod project;
mod render;
mod shell;
mod signals;
mod work;

use std::ffi::OsString;

/// The program: the first argument is its name. `starts`: how it is started as a process of its own, where that is not by
/// what runs now alone (an interpreter is told what to run). Returns the exit code.
pub fn program(args: impl IntoIterator<Item = OsString>, starts: Option<Vec<OsString>>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match args::parse(&args) {
        Ok(cli) => cli,
        Err(error) => return render::error::usage(&error, &args),
    };
    if env::lookup(env::EVENTS).is_some() {
        // What the server that started this does without.
        floodmark_server::huge_pages(true);
    }
    let cx = commands::Context::new(cli.global, starts);
    let armed = env::lookup(env::CRASH).map_or(Ok(()), |specification| floodmark_connect::crash::arm(&specification));
    if let Err(error) = armed {
        return cx.printer.failure(error.into());
    }
    match commands::dispatch(&cx, cli.command) {
        Ok(code) => code,
        Err(failure) => cx.printer.failure(failure),
    }
}
