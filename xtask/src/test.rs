//! `cargo xtask test`: everything a change must pass, on a machine with Rust, a C compiler and (as root) apt.

use crate::{
    api, browser, duckdb, generate, python, services,
    shell::{self, cargo, complain, has, say, target},
};
use std::{path::PathBuf, time::Instant};

type Step = (&'static str, fn() -> Result<(), String>);

const QUICK: &[Step] = &[("format", format), ("lints", lints), ("tests", tests)];
const FULL: &[Step] = &[
    ("tools", tools),
    ("format", format),
    ("build", build),
    ("lints", lints),
    ("reference pages", || generate::docs(&["--check".to_owned()])),
    ("documentation", documentation),
    ("Python", || python::run(&[])),
    ("API", || api::run(&[])),
    ("tests", tests),
];

/// Runs the steps in order and stops at the first that fails.
fn steps(steps: &[Step]) -> Result<(), String> {
    let mut took = Vec::new();
    for (name, step) in steps {
        say(&format!("── {name}"));
        let start = Instant::now();
        if let Err(message) = step() {
            return Err(format!("\n{name}: {message}\nnothing after this step was tried"));
        }
        took.push(format!("{name} {:.0} s", start.elapsed().as_secs_f64()));
    }
    // On standard error, so that the test runner's own summary is the last line of the output.
    complain(&took.join(" · "));
    Ok(())
}

/// The command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [] => steps(FULL),
        [one] if one == "--quick" => steps(QUICK),
        _ => Err("cargo xtask test [--quick]".to_owned()),
    }
}

/// What the tests need beside Rust: `sqlite3`, which the examples' READMEs use, as a second opinion on our databases,
/// DuckDB's library, the servers, a browser, and what the files of `examples/deploy` are executed by.
fn tools() -> Result<(), String> {
    if !has("sqlite3") {
        shell::install("sqlite3", "the SQLite command line")?;
    }
    for (program, package, what) in [
        ("curl", "curl", "what asks for the health of a container"),
        ("systemd-analyze", "systemd", "what knows units"),
    ] {
        // A package alone starts nothing: only where systemd is the first process, units are run.
        if !has(program) && cfg!(target_os = "linux") {
            shell::install(package, what)?;
        }
    }
    python::tools().map(drop)?;
    python::starters().map(drop)?;
    python::schemathesis().map(drop)?;
    python::delta().map(drop)?;
    duckdb::library()?;
    browser::tools()?;
    services::tools()
}

fn format() -> Result<(), String> {
    // The fuzz targets are a workspace of their own.
    for workspace in [&[][..], &["--manifest-path", "fuzz/Cargo.toml"]] {
        shell::run(cargo().args(["fmt", "--all", "--check"]).args(workspace))
            .map_err(|e| format!("{e}\nthe same without `--check` puts it right"))?;
    }
    Ok(())
}

/// The program first: the cases run it.
pub(crate) fn build() -> Result<(), String> {
    shell::run(
        cargo()
            .args(["build", "--quiet", "--package", "floodmark-cli"])
            .args(duckdb::PROGRAM)
            .envs(duckdb::variables()?),
    )
}

/// Where `build` leaves it.
pub(crate) fn binary() -> PathBuf {
    target().join("debug").join(format!("floodmark{}", std::env::consts::EXE_SUFFIX))
}

/// With DuckDB and without it, as most people build the program: only what knows of it is looked at twice.
fn lints() -> Result<(), String> {
    for features in [&duckdb::FEATURES[..], &[]] {
        let mut clippy = cargo();
        clippy.args(["clippy", "--quiet", "--workspace", "--all-targets"]).args(features).envs(duckdb::variables()?);
        shell::run(clippy.args(["--", "--deny", "warnings"]))?;
    }
    Ok(())
}

fn documentation() -> Result<(), String> {
    let mut doc = cargo();
    doc.args(["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings");
    // What is built once with DuckDB's library in its place is built again where that is gone.
    shell::run(doc.envs(duckdb::variables()?))
}

/// By nextest where it is installed, else by cargo itself: nothing needs to be compiled for the tests' sake.
fn tests() -> Result<(), String> {
    build()?;
    browser::tools()?;
    let services = services::Services::start(services::Use::Tests)?;
    let mut test = cargo();
    if has("cargo-nextest") {
        test.args(["nextest", "run", "--workspace", "--no-fail-fast"]).args(duckdb::FEATURES);
    } else {
        test.args(["test", "--quiet", "--workspace", "--no-fail-fast"]).args(duckdb::FEATURES);
    }
    let test = test.env("FLOODMARK_BIN", binary()).env("FLOODMARK_TEST_DELTA", python::delta()?);
    shell::run(test.envs(services.variables()).envs(duckdb::variables()?))
}
