//! `init`: a small project that runs as it is.

use super::{Context, Failure};
use crate::{args::InitArgs, shell::quote};
use floodmark_core::{Code, Error, Result};
use serde_json::json;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// The files of the project, with their text.
const FILES: [(&str, &str); 4] = [
    ("floodmark.yaml", include_str!("../../project/floodmark.yaml")),
    ("README.md", include_str!("../../project/README.md")),
    ("data/orders-2024-01.csv", include_str!("../../project/data/orders-2024-01.csv")),
    ("data/orders-2024-02.csv", include_str!("../../project/data/orders-2024-02.csv")),
];

/// `floodmark init`
pub(super) fn init(cx: &Context, args: &InitArgs) -> Result<u8, Failure> {
    let dir = &args.dir;
    // All are looked at before any is written, so that a refusal leaves no half of a project.
    let in_the_way: Vec<&str> = FILES.iter().map(|(name, _)| *name).filter(|name| taken(&dir.join(name))).collect();
    if !in_the_way.is_empty() {
        let error = Error::new(Code::BadArgument, format!("{} would be overwritten", in_the_way.join(", ")))
            .in_file(dir.clone())
            .state("nothing was written")
            .help("name another directory: floodmark init my-project");
        return Err(error.into());
    }
    for (name, text) in FILES {
        write(&dir.join(name), text)?;
    }
    let next = if dir == Path::new(".") {
        "floodmark run".into()
    } else {
        format!("cd {} && floodmark run", quote(&dir.display().to_string()))
    };
    if cx.printer.json() {
        cx.printer
            .object(&json!({"dir": dir.display().to_string(), "files": FILES.map(|(name, _)| name), "next": next}))?;
        return Ok(0);
    }
    let mut out = format!("A small project is in {}:\n", dir.display());
    for (name, _) in FILES {
        out.push_str(&format!("  {name}\n"));
    }
    out.push_str(&format!(
        "\nLoad its data with\n  {next}\nand run that twice: the second time there is nothing to do.\n"
    ));
    cx.printer.done(&out)?;
    Ok(0)
}

/// Whether anything is there, a dangling link included.
fn taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn write(path: &Path, text: &str) -> Result<()> {
    let result = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
        // Refuses a file that came in the meantime.
        fs::OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
    });
    result.map_err(|e| {
        Error::new(Code::Output, "a file cannot be written")
            .in_file(PathBuf::from(path))
            .state("the project is not complete")
            .cause(e)
    })
}
