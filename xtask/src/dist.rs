//! `cargo xtask dist`: what is given away. A wheel, and an archive of the program.

use crate::{
    duckdb,
    python::{self, wheel},
    shell::{self, cargo, root, say, target},
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const USAGE: &str = "cargo xtask dist [--duckdb] [--profile PROFILE]";

/// What goes into the archive as it stands in the workspace.
const FILES: [&str; 4] = ["LICENSE", "README.md", "GUIDE.md", "CHANGELOG.md"];

/// Completions, by the shell and the name that it looks for.
const COMPLETIONS: [(&str, &str); 3] = [("bash", "floodmark"), ("zsh", "_floodmark"), ("fish", "floodmark.fish")];

struct Options {
    profile: String,
    /// With DuckDB, compiled from its own sources: what is given away finds no library where this machine has it.
    duckdb: bool,
}

/// The command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let mut options = Options { profile: "dist".to_owned(), duckdb: false };
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--duckdb" => options.duckdb = true,
            "--profile" => options.profile = rest.next().ok_or(USAGE)?.clone(),
            _ => return Err(USAGE.to_owned()),
        }
    }
    let out = target().join("wheels");
    if out.exists() {
        fs::remove_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    }
    let wheel = wheel(&out, &options)?;
    let glibc = glibc(&wheel)?;
    let archive = archive(&program(&options)?, &out)?;
    for file in [&wheel, &archive] {
        sum(file)?;
        say(&file.display().to_string());
    }
    say(&format!("both need a Linux with glibc {glibc} or newer: older than the one they are built with is not tried"));
    Ok(())
}

fn features(options: &Options) -> [&'static str; 2] {
    ["--features", if options.duckdb { "lake,duckdb-bundled" } else { "lake" }]
}

/// What both are built with. A library of DuckDB that this machine has is none of the others'.
fn built<'a>(command: &'a mut Command, options: &Options) -> &'a mut Command {
    command.args(["--profile", &options.profile]).args(features(options)).env_remove(duckdb::PLACE)
}

/// maturin finds the oldest system that it runs on, and refuses one that is linked with what others lack.
fn wheel(out: &Path, options: &Options) -> Result<PathBuf, String> {
    let home = python::tools()?;
    let mut maturin = Command::new(home.join("bin/maturin"));
    maturin.args(["build", "--quiet", "--locked", "--auditwheel", "check", "--out"]).arg(out);
    maturin.arg("--interpreter").arg(home.join("bin/python")).current_dir(root()).env("CARGO_TARGET_DIR", target());
    shell::run(built(&mut maturin, options))?;
    wheel::only(out)
}

/// The oldest glibc a wheel runs with, as its name says: `…-manylinux_2_35_x86_64.whl`.
fn glibc(wheel: &Path) -> Result<String, String> {
    let name = wheel.file_name().unwrap_or_default().to_string_lossy();
    let (_, tag) = name.split_once("-cp310-abi3-manylinux_").ok_or_else(|| format!("{name} is for no manylinux"))?;
    let mut parts = tag.split('_');
    match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => Ok(format!("{major}.{minor}")),
        _ => Err(format!("{name} names no version of glibc")),
    }
}

fn program(options: &Options) -> Result<PathBuf, String> {
    shell::run(built(cargo().args(["build", "--locked", "--package", "floodmark-cli"]), options))?;
    // The profile `dev` keeps what it builds under the name that it had before it had one.
    let folder = if options.profile == "dev" { "debug" } else { &options.profile };
    Ok(target().join(folder).join("floodmark"))
}

/// `floodmark-VERSION-TARGET.tar.gz`, with a folder of that name, from a program. The same program gives the same archive.
fn archive(program: &Path, out: &Path) -> Result<PathBuf, String> {
    let fail = |e: std::io::Error| format!("{}: {e}", out.display());
    let said = shell::read(Command::new(program).arg("--version"))?;
    let version = said.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    let name = format!("floodmark-{version}-{}-{}", env::consts::ARCH, env::consts::OS);
    let folder = out.join(&name);
    fs::create_dir_all(folder.join("completions")).map_err(fail)?;
    fs::copy(program, folder.join("floodmark")).map_err(fail)?;
    for file in FILES {
        fs::copy(root().join(file), folder.join(file)).map_err(fail)?;
    }
    for (shell, file) in COMPLETIONS {
        let text = shell::read(Command::new(program).args(["completions", shell]))?;
        fs::write(folder.join("completions").join(file), text).map_err(fail)?;
    }
    let archive = out.join(format!("{name}.tar.gz"));
    shell::run(
        Command::new("tar")
            .args([
                "--create",
                "--gzip",
                "--sort=name",
                "--mtime=@0",
                "--owner=0",
                "--group=0",
                "--numeric-owner",
                "--file",
            ])
            .arg(&archive)
            .arg("--directory")
            .arg(out)
            .arg(&name),
    )?;
    fs::remove_dir_all(&folder).map_err(fail)?;
    Ok(archive)
}

/// Its SHA-256 beside it, as `sha256sum --check` reads it.
fn sum(file: &Path) -> Result<(), String> {
    let (folder, name) = (file.parent().unwrap_or(Path::new(".")), file.file_name().unwrap_or_default());
    let line = shell::read(Command::new("sha256sum").arg(name).current_dir(folder))?;
    let beside = folder.join(format!("{}.sha256", name.to_string_lossy()));
    fs::write(&beside, line).map_err(|e| format!("{}: {e}", beside.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> PathBuf {
        env::var_os("FLOODMARK_BIN").map_or_else(crate::test::binary, PathBuf::from)
    }

    #[test]
    fn the_archive_has_a_program_that_runs_and_what_belongs_to_it() {
        let out = tempfile::tempdir().unwrap();
        let made = archive(&program(), out.path()).unwrap();
        sum(&made).unwrap();
        let name = made.file_name().unwrap().to_str().unwrap();
        let check = format!("{name}.sha256");
        shell::read(Command::new("sha256sum").args(["--check", &check]).current_dir(out.path())).unwrap();
        shell::run(Command::new("tar").args(["--extract", "--file", name]).current_dir(out.path())).unwrap();
        let folder = out.path().join(name.trim_end_matches(".tar.gz"));
        let own = shell::read(Command::new(program()).arg("--version")).unwrap();
        assert_eq!(shell::read(Command::new(folder.join("floodmark")).arg("--version")).unwrap(), own);
        assert!(fs::read_to_string(folder.join("LICENSE")).unwrap().contains("Apache License"));
        for (shell, file) in COMPLETIONS {
            let text = fs::read_to_string(folder.join("completions").join(file)).unwrap();
            assert!(text.contains("full-refresh"), "{shell}");
        }
    }

    #[test]
    fn a_wheel_says_which_glibc_it_needs() {
        let of = |name: &str| glibc(Path::new(name));
        assert_eq!(of("target/floodmark-0.1.0-cp310-abi3-manylinux_2_35_x86_64.whl").unwrap(), "2.35");
        // Built for this machine alone, or for one version of Python.
        assert!(of("floodmark-0.1.0-cp310-abi3-linux_x86_64.whl").is_err());
        assert!(of("floodmark-0.1.0-cp311-cp311-manylinux_2_35_x86_64.whl").is_err());
    }
}
