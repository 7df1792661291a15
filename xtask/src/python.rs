//! The Python package, tested as users have it: built into a wheel, installed, and asked by pytest.

use crate::{
    services::{Services, Use},
    shell::{self, root, target},
    test::{binary, build},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What builds the wheel, what tests it, and whose tables it takes.
const TOOLS: [&str; 7] = [
    "duckdb==2.0.1",
    "maturin==1.16.0",
    "mypy==2.4.1",
    "pandas==3.1.1",
    "polars==2.1.0",
    "pyarrow==26.0.1",
    "pytest==9.0.2",
];

/// The command, whose arguments are pytest's: builds, installs, and runs the tests.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let home = tools()?;
    build()?;
    let wheel = wheel(&home)?;
    let python = home.join("bin/python");
    shell::run(
        Command::new(home.join("bin/pip"))
            .args(["install", "--quiet", "--no-deps", "--no-index", "--force-reinstall"])
            .arg(&wheel),
    )?;
    let services = Services::start(Use::Tests)?;
    // From elsewhere, so that what is imported is what was installed.
    shell::run(
        Command::new(&python)
            .args(["-m", "pytest", "--config-file"])
            .arg(root().join("pyproject.toml"))
            .arg(root().join("crates/python/tests"))
            .args(arguments)
            .current_dir(&home)
            .env("FLOODMARK_BIN", binary())
            .envs(services.variables()),
    )?;
    shell::run(Command::new(&python).args(["-m", "mypy", "--strict", "--package", "floodmark"]).current_dir(&home))
}

/// A folder with Python and what is needed, made once for each choice of versions.
pub(crate) fn tools() -> Result<PathBuf, String> {
    let home = target().join("python");
    let made = home.join("tools");
    let wanted = TOOLS.join("\n");
    if fs::read_to_string(&made).is_ok_and(|had| had == wanted) {
        return Ok(home);
    }
    let whole = Command::new("python3").args(["-c", "import ensurepip, venv"]).status();
    if !whole.is_ok_and(|status| status.success()) {
        shell::install("python3-venv", "Python with venv")?;
    }
    shell::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    shell::run(Command::new(home.join("bin/pip")).args(["install", "--quiet"]).args(TOOLS))?;
    fs::write(&made, wanted).map_err(|e| format!("{}: {e}", made.display()))?;
    Ok(home)
}

/// With what the other tests have built already.
fn wheel(home: &Path) -> Result<PathBuf, String> {
    let out = home.join("wheels");
    if out.exists() {
        fs::remove_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    }
    shell::run(
        Command::new(home.join("bin/maturin"))
            .args(["build", "--quiet", "--profile", "dev", "--interpreter"])
            .arg(home.join("bin/python"))
            .arg("--out")
            .arg(&out)
            .current_dir(root())
            .env("CARGO_TARGET_DIR", target()),
    )?;
    let built = fs::read_dir(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let wheel = built.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "whl"));
    wheel.ok_or_else(|| format!("{} has no wheel", out.display()))
}
