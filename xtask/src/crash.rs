//! `cargo xtask crash`: the whole crash matrix, and the concurrency tests repeated; `--postgres`, `--mysql` or
//! `--duckdb`, `--delta`: the matrix there.

use crate::{
    duckdb,
    services::{Services, Use},
    shell::{self, cargo},
    test::{binary, build},
};

/// The command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    const ELSEWHERE: [&str; 4] = ["postgres", "mysql", "duckdb", "delta"];
    let there =
        arguments.first().and_then(|first| ELSEWHERE.into_iter().find(|name| first.strip_prefix("--") == Some(name)));
    let scenario = &arguments[usize::from(there.is_some())..];
    let only = match scenario {
        [] => "",
        [scenario] if !scenario.starts_with('-') => scenario,
        _ => return Err("cargo xtask crash [--postgres|--mysql|--duckdb|--delta] [SCENARIO]".to_owned()),
    };
    build()?;
    let mut test = cargo();
    test.envs(duckdb::variables()?);
    test.args(["test", "--package", "floodmark-testkit", "--features", "duckdb,lake", "--test", "it", "crash::", "--"]);
    // One after the other: each keeps all cores busy.
    test.args(["--ignored", "--nocapture", "--test-threads=1"]).env("FLOODMARK_BIN", binary());
    if !only.is_empty() {
        test.env("CRASH", only);
    }
    // The tests of the others are left out.
    ELSEWHERE.iter().filter(|name| Some(**name) != there).for_each(|name| {
        test.args(["--skip", &format!("on_{name}")]);
    });
    let Some(there) = there else { return shell::run(&mut test) };
    test.args(["--skip", "whole", "--skip", "fire"]);
    if there == "duckdb" {
        return shell::run(&mut test);
    }
    let services = Services::start(Use::Tests)?;
    shell::run(test.envs(services.variables()))
}
