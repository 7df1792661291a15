//! Files that are made, not written.

use crate::{
    duckdb,
    shell::{self, cargo, root, say},
};
use std::fs;

/// Pages by the example that prints them: its crate, its name, its argument. Built as examples, so that xtask itself needs
/// none of their dependencies.
const PAGES: &[(&str, &str, &str, &str)] = &[
    ("floodmark-config", "reference", "schema", "docs/reference/floodmark.schema.json"),
    ("floodmark-config", "reference", "reference", "docs/reference/pipeline-file.md"),
    ("floodmark-testkit", "types", "", "docs/reference/types.md"),
];

/// `gen-docs [--check]`.
pub(crate) fn docs(arguments: &[String]) -> Result<(), String> {
    let check = match arguments {
        [] => false,
        [one] if one == "--check" => true,
        _ => return Err("cargo xtask gen-docs [--check]".to_owned()),
    };
    let mut stale = Vec::new();
    for (package, example, argument, path) in PAGES {
        let mut print = cargo();
        print.args(["run", "--quiet", "--package", package]);
        if *package == "floodmark-testkit" {
            print.args(["--features", "duckdb"]).envs(duckdb::variables()?);
        }
        print.args(["--example", example, "--", argument]);
        let text = shell::read(&mut print)?;
        let file = root().join(path);
        if fs::read_to_string(&file).is_ok_and(|kept| kept == text) {
            continue;
        }
        if check {
            stale.push(*path);
            continue;
        }
        fs::create_dir_all(root().join("docs/reference")).map_err(|e| e.to_string())?;
        fs::write(&file, text).map_err(|e| format!("{path}: {e}"))?;
        say(&format!("wrote {path}"));
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("not up to date: {}; run `cargo xtask gen-docs`", stale.join(", ")))
}

/// `gen-shop`.
pub(crate) fn shop(arguments: &[String]) -> Result<(), String> {
    if !arguments.is_empty() {
        return Err("cargo xtask gen-shop".to_owned());
    }
    let data = root().join("examples/shop/data");
    shell::run(cargo().args(["run", "--quiet", "--package", "floodmark-shop-data", "--"]).arg(&data))
}
