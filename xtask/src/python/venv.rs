//! Folders with Python and packages.

use crate::shell::{self, target};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A folder with these packages, made once for each choice of versions. `pins`: a list with the versions of whatever they
/// bring along.
pub(crate) fn made<'a>(
    name: &str,
    packages: impl Iterator<Item = &'a str>,
    pins: Option<&str>,
) -> Result<PathBuf, String> {
    let home = target().join(name);
    let list = home.join("packages");
    let packages: Vec<&str> = packages.collect();
    let wanted = format!("{}\n{}", packages.join("\n"), pins.unwrap_or_default());
    if fs::read_to_string(&list).is_ok_and(|had| had == wanted) {
        return Ok(home);
    }
    let whole = Command::new("python3").args(["-c", "import ensurepip, venv"]).status();
    if !whole.is_ok_and(|status| status.success()) {
        shell::install("python3-venv", "Python with venv")?;
    }
    shell::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    let mut pip = Command::new(home.join("bin/pip"));
    pip.args(["install", "--quiet"]).args(&packages);
    if let Some(pins) = pins {
        let file = home.join("pins");
        // Its first line is what is wanted, with names that a list of pins may not have.
        let pins: Vec<&str> = pins.lines().skip(1).collect();
        fs::write(&file, pins.join("\n")).map_err(|e| format!("{}: {e}", file.display()))?;
        pip.arg("--constraint").arg(&file);
    }
    shell::run(&mut pip)?;
    fs::write(&list, wanted).map_err(|e| format!("{}: {e}", list.display()))?;
    Ok(home)
}

/// Where the packages of such a folder are.
pub(super) fn packages(home: &Path) -> Result<PathBuf, String> {
    let ask = "import sysconfig; print(sysconfig.get_path('purelib'))";
    shell::read(Command::new(home.join("bin/python")).args(["-c", ask])).map(|path| path.trim().into())
}
