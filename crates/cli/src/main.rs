//! `floodmark`: what was typed (`args`) becomes what is done (`commands`) becomes what is shown (`render`).
//!
//! Results go to stdout, all else to stderr, and `render` is the only part that writes to either.

mod args;
mod commands;
mod env;
mod keepers;
mod logging;
mod project;
mod render;
mod shell;
mod signals;
mod work;

use std::process::ExitCode;

// Rows are parsed by several threads and freed by another, which is where the system's allocator is slowest.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match args::parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(render::error::usage(&error)),
    };
    let cx = commands::Context::new(cli.global);
    let armed = env::lookup(env::CRASH).map_or(Ok(()), |specification| floodmark_connect::crash::arm(&specification));
    if let Err(error) = armed {
        return ExitCode::from(cx.printer.failure(error.into()));
    }
    ExitCode::from(match commands::dispatch(&cx, cli.command) {
        Ok(code) => code,
        Err(failure) => cx.printer.failure(failure),
    })
}
