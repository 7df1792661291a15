//! The Python package, tested as users have it: built into a wheel, installed, and asked by pytest.

mod venv;
pub(crate) mod wheel;

use crate::{
    duckdb,
    services::{Services, Use},
    shell::{self, root},
    test::{binary, build},
};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// What builds the wheel, what tests it, and whose tables it takes.
const TOOLS: &str = "\
duckdb==2.0.1
ipykernel==7.4.0
maturin==1.16.0
mypy==2.4.1
nbclient==0.11.0
pandas==3.1.1
polars==2.1.0
pyarrow==26.0.1
pytest==9.0.2
pyyaml==6.0.3
";

/// What starts jobs in `examples/recipes`: a folder for each, since they do not agree on what they need. The first line of
/// a list is what is wanted, the others pin what that brings.
const STARTERS: [(&str, &str); 4] = [
    ("airflow", include_str!("airflow.txt")),
    ("dagster", include_str!("dagster.txt")),
    ("dbt", include_str!("dbt.txt")),
    ("prefect", include_str!("prefect.txt")),
];

/// The command, whose arguments are pytest's: builds, installs, and runs the tests.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (home, starters) = (tools()?, starters()?);
    build()?;
    let wheel = wheel::build(&home, "dev")?;
    install(&home, &wheel)?;
    starters.iter().try_for_each(|(_, folder)| share(&home, folder))?;
    let services = Services::start(Use::Tests)?;
    let python = home.join("bin/python");
    let named =
        |(name, folder): &(&str, PathBuf)| (format!("FLOODMARK_STARTER_{}", name.to_uppercase()), folder.clone());
    // From elsewhere, so that what is imported is what was installed.
    shell::run(
        Command::new(&python)
            .args(["-m", "pytest", "--config-file"])
            .arg(root().join("pyproject.toml"))
            .arg(root().join("crates/python/tests"))
            .args(arguments)
            .current_dir(&home)
            .env("FLOODMARK_BIN", binary())
            .env("FLOODMARK_EXAMPLES", root().join("examples"))
            .env("FLOODMARK_WHEEL", &wheel)
            .envs(starters.iter().map(named))
            .envs(services.variables())
            .envs(duckdb::variables()?),
    )?;
    shell::run(Command::new(&python).args(["-m", "mypy", "--strict", "--package", "floodmark"]).current_dir(&home))
}

/// A folder with Python and what the tests need.
pub(crate) fn tools() -> Result<PathBuf, String> {
    venv::made("python", TOOLS.split_whitespace(), None)
}

/// A Python with the package as users have it, optimised, and whose tables are measured; by the versions that the tests have.
pub(crate) fn released() -> Result<PathBuf, String> {
    let measured = ["duckdb", "pandas", "polars", "pyarrow"];
    let packages = TOOLS.split_whitespace().filter(|one| measured.iter().any(|name| one.starts_with(name)));
    let home = venv::made("python-bench", packages, None)?;
    install(&home, &wheel::build(&tools()?, "release")?)?;
    Ok(home.join("bin/python"))
}

/// Folders with Python and what starts jobs, by name.
pub(crate) fn starters() -> Result<Vec<(&'static str, PathBuf)>, String> {
    let made = |(name, list): (&'static str, &'static str)| {
        let wanted = list.lines().next().unwrap_or_default().split_whitespace();
        Ok((name, venv::made(&format!("python-{name}"), wanted, Some(list))?))
    };
    STARTERS.into_iter().map(made).collect()
}

/// A folder with what makes requests from the API's document.
pub(crate) fn schemathesis() -> Result<PathBuf, String> {
    let list = include_str!("schemathesis.txt");
    venv::made("python-schemathesis", list.lines().take(1), Some(list))
}

/// A folder with a server that speaks S3's protocol.
pub(crate) fn moto() -> Result<PathBuf, String> {
    let list = include_str!("moto.txt");
    venv::made("python-moto", list.lines().take(1), Some(list))
}

/// A Python with other programs that read and write Delta tables.
pub(crate) fn delta() -> Result<PathBuf, String> {
    let list = include_str!("delta.txt");
    let wanted = list.lines().next().unwrap_or_default().split_whitespace();
    venv::made("python-delta", wanted, Some(list)).map(|home| home.join("bin/python"))
}

/// The package that is installed in one folder is that of another, too: it is large, and there is but one wheel.
fn share(home: &Path, other: &Path) -> Result<(), String> {
    let (from, to) = (venv::packages(home)?.join("floodmark"), venv::packages(other)?.join("floodmark"));
    if fs::read_link(&to).is_ok_and(|linked| linked == from) {
        return Ok(());
    }
    symlink(&from, &to).map_err(|e| format!("{}: {e}", to.display()))
}

fn install(home: &Path, wheel: &Path) -> Result<(), String> {
    shell::run(
        Command::new(home.join("bin/pip"))
            .args(["install", "--quiet", "--no-deps", "--no-index", "--force-reinstall"])
            .arg(wheel),
    )
}
