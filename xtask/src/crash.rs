//! `cargo xtask crash`: the whole crash matrix, and the concurrency tests repeated.

use crate::{
    shell::{self, cargo},
    test::{binary, build},
};

/// The command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let only = match arguments {
        [] => "",
        [scenario] => scenario,
        _ => return Err("cargo xtask crash [SCENARIO]".to_owned()),
    };
    build()?;
    let mut test = cargo();
    test.args(["test", "--package", "floodmark-testkit", "--test", "it", "crash::", "--"]);
    // One after the other: each keeps all cores busy.
    test.args(["--ignored", "--nocapture", "--test-threads=1"]).env("FLOODMARK_BIN", binary());
    if !only.is_empty() {
        test.env("CRASH", only);
    }
    shell::run(&mut test)
}
