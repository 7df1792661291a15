//! The project's own chores: `cargo xtask help`.

mod api;
mod bench;
mod browser;
mod cases;
mod crash;
mod dist;
mod duckdb;
mod fuzz;
mod generate;
mod node;
mod python;
mod served;
mod services;
mod shell;
mod soak;
mod test;

use std::{env, process::ExitCode};

const HELP: &str = "\
cargo xtask COMMAND

  test [--quick]           everything a change must pass; installs what it needs. --quick leaves out the slow steps
  cases FOLDER [--postgres|--mysql|--duckdb]
                           plays every text case (*.txt) found in a folder and below it against the program, which it builds
  crash [--postgres|--mysql|--duckdb] [SCENARIO]
                           kills every scenario (or those whose name has it) at every crash point in every way, and fires a
                           hundred times ten runs at once; the test suite holds a sample of both
  soak [--postgres|--mysql|--duckdb|--delta] [--seed S] [--minutes N]
                           random histories against a model of the promises; an hour unless told otherwise
  fuzz [TARGET] [--seconds N]
                           runs the targets of fuzz/ for 30 seconds each unless told otherwise; installs what they need,
                           keeps an input that breaks something and says how to run it again
  python [ARGUMENTS]       builds the Python package and runs its tests; the arguments are pytest's
  api                      starts `floodmark serve` on a small project and holds its API against its own document, by
                           schemathesis
  dist [--duckdb] [--profile PROFILE]
                           builds a wheel and an archive of the program into target/wheels, says which glibc they need, and
                           writes their sums beside them. --duckdb compiles DuckDB into both, which takes long
  services up|down         starts the database servers that the tests use and says what to set, or stops them; installs what
                           is missing. `test` has its own
  gen-docs [--check]       writes docs/reference from the code; --check fails when it is not up to date
  gen-shop                 writes the data of examples/shop
  bench [--runs N] [--only NAME] [--keep]
                           measures Floodmark against sqlite3's own tools and adds a section to bench/RESULTS.md
  bench --only duckdb [--runs N]
                           the same beside DuckDB's own shell
  bench --only python [--runs N]
                           frames and files from Python, beside pandas, both databases' own tools and the command line
  bench --only serve [--runs N]
                           `floodmark serve` with 200 pipelines and 100,000 runs: its overview, those who watch, and nothing to do
  bench --servers [--runs N] [--only NAME] [--peers]
                           the same into and out of PostgreSQL and MariaDB, beside their own tools and other loaders
                           names: first, idle, delta, flat
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let done = match arguments.first().map(String::as_str) {
        Some("test") => test::run(rest),
        Some("cases") => cases::run(rest),
        Some("crash") => crash::run(rest),
        Some("soak") => soak::run(rest),
        Some("fuzz") => fuzz::run(rest),
        Some("python") => python::run(rest),
        Some("api") => api::run(rest),
        Some("dist") => dist::run(rest),
        Some("services") => services::run(rest),
        Some("gen-docs") => generate::docs(rest),
        Some("gen-shop") => generate::shop(rest),
        Some("bench") => bench::run(rest),
        // One measured child, for `bench`.
        Some("measure") => bench::measure::child(rest),
        Some("help" | "--help" | "-h") => {
            shell::say(HELP.trim_end());
            Ok(())
        }
        Some(other) => Err(format!("no command is called {other:?}\n\n{HELP}")),
        None => Err(HELP.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            shell::complain(&message);
            ExitCode::FAILURE
        }
    }
}
