//! `cargo xtask cases FOLDER`: plays every case of a folder against the built program. A crate's example and not a part
//! of `xtask`, so that `xtask` itself needs none of the player's dependencies.

use floodmark_testkit::{Destination, Style, suite};
use std::{
    env,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (folder, on) = match arguments.as_slice() {
        [folder] => (folder, Destination::Sqlite),
        [folder, on] if on == "--postgres" => (folder, Destination::Postgres),
        #[cfg(feature = "duckdb")]
        [folder, on] if on == "--duckdb" => (folder, Destination::Duckdb),
        #[cfg(feature = "lake")]
        [folder, on] if on == "--delta" => (folder, Destination::Delta),
        [folder, on] if on == "--mysql" => (folder, Destination::Mysql),
        _ => {
            let _ = writeln!(io::stderr(), "cases FOLDER [--postgres|--mysql|--duckdb|--delta]");
            return ExitCode::from(2);
        }
    };
    let mut failed = 0;
    for style in [Style::AsWritten, Style::OneRowChunks] {
        match suite::play_folder(Path::new(folder), None, style, on) {
            Ok(report) => {
                failed += report.failures.len();
                for failure in &report.failures {
                    // A closed pipe is no reason to stop.
                    let _ = writeln!(io::stdout(), "{failure}\n");
                }
                let how = if style == Style::AsWritten { "as written" } else { "in chunks of one row" };
                let passed = report.played - report.failures.len();
                let _ = writeln!(io::stdout(), "{how}: {passed} of {} cases pass", report.played);
            }
            Err(message) => {
                let _ = writeln!(io::stderr(), "{message}");
                return ExitCode::FAILURE;
            }
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
