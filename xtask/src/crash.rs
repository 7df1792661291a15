//! `cargo xtask crash`: the whole crash matrix, and the concurrency tests repeated; `--postgres` or `--mysql`: the matrix on
//! a server.

use crate::{
    services::{Services, Use},
    shell::{self, cargo},
    test::{binary, build},
};

/// The command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    // With a server, the tests of the other one are left out.
    let (other, scenario) = match arguments {
        [first, rest @ ..] if first == "--postgres" => (Some("on_mysql"), rest),
        [first, rest @ ..] if first == "--mysql" => (Some("on_postgres"), rest),
        all => (None, all),
    };
    let only = match scenario {
        [] => "",
        [scenario] if !scenario.starts_with('-') => scenario,
        _ => return Err("cargo xtask crash [--postgres|--mysql] [SCENARIO]".to_owned()),
    };
    build()?;
    let mut test = cargo();
    test.args(["test", "--package", "floodmark-testkit", "--test", "it", "crash::", "--"]);
    // One after the other: each keeps all cores busy.
    test.args(["--ignored", "--nocapture", "--test-threads=1"]).env("FLOODMARK_BIN", binary());
    if !only.is_empty() {
        test.env("CRASH", only);
    }
    let Some(other) = other else {
        return shell::run(test.args(["--skip", "on_postgres", "--skip", "on_mysql"]));
    };
    let services = Services::start(Use::Tests)?;
    shell::run(test.args(["--skip", "whole", "--skip", "fire", "--skip", other]).envs(services.variables()))
}
