//! The program.

use std::process::ExitCode;

// Rows are parsed by several threads and freed by another, which is where the system's allocator is slowest.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(floodmark_cli::program(std::env::args_os(), None))
}
