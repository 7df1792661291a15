//! `cargo xtask cases FOLDER`: text cases from anywhere, against the program as it is now.

use crate::{
    duckdb,
    shell::{cargo, root},
    test,
};
use std::env;

/// The command. The player is the one the tests use; cargo builds it as an example of its crate.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (folder, rest) = match arguments {
        [folder] => (folder, &arguments[1..]),
        [folder, on] if ["--postgres", "--mysql", "--duckdb", "--delta"].contains(&on.as_str()) => {
            (folder, &arguments[1..])
        }
        _ => return Err("cargo xtask cases FOLDER [--postgres|--mysql|--duckdb|--delta]".to_owned()),
    };
    test::build()?;
    let here = env::current_dir().map_err(|e| e.to_string())?;
    let manifest = root().join("Cargo.toml");
    // From where the caller stands, so that the folder and the paths in failures mean what they say.
    let mut play = cargo();
    play.current_dir(here).env("FLOODMARK_BIN", test::binary()).args(["run", "--quiet", "--manifest-path"]);
    play.arg(manifest).envs(duckdb::variables()?).args(["--package", "floodmark-testkit", "--features", "duckdb,lake"]);
    play.args(["--example", "cases", "--"]).arg(folder).args(rest);
    let status = play.status().map_err(|e| format!("cannot start cargo: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("the cases of {folder} do not pass")) }
}
