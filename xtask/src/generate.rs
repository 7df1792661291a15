//! Files that are made, not written.

use crate::shell::{self, cargo, root, say};
use std::fs;

/// Pages made from the table of fields in `crates/config`.
const PAGES: &[(&str, &str)] =
    &[("schema", "docs/reference/floodmark.schema.json"), ("reference", "docs/reference/pipeline-file.md")];

/// `gen-docs [--check]`.
pub(crate) fn docs(arguments: &[String]) -> Result<(), String> {
    let check = match arguments {
        [] => false,
        [one] if one == "--check" => true,
        _ => return Err("cargo xtask gen-docs [--check]".to_owned()),
    };
    let mut stale = Vec::new();
    for (page, path) in PAGES {
        // Built as an example of the crate that holds the table, so that xtask itself needs none of its dependencies.
        let text = shell::read(cargo().args([
            "run",
            "--quiet",
            "--package",
            "floodmark-config",
            "--example",
            "reference",
            "--",
            page,
        ]))?;
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
